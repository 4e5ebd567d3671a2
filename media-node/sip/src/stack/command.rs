//! What handles ask of the stack's task.

use tokio::sync::{mpsc, oneshot};

use super::handles::InfoCell;
use crate::endpoint::{
    Body, Content, DialogEvent, DialogId, InviteSpec, OutOfDialog, Reply, RequestError, RequestId,
    Tuning,
};
use crate::message::{Headers, Method, Response};

/// Answer to an out-of-dialog or in-dialog request.
pub(crate) type ReplyTo<T> = oneshot::Sender<Result<T, RequestError>>;

#[derive(Debug)]
pub(crate) enum Command {
    Invite {
        id: DialogId,
        spec: Box<InviteSpec>,
        events: mpsc::Sender<DialogEvent>,
        info: InfoCell,
    },
    Request {
        spec: Box<OutOfDialog>,
        reply: ReplyTo<Reply>,
    },
    /// Final or provisional answer to an out-of-dialog request.
    Respond {
        id: RequestId,
        content: Content,
    },
    /// An incoming INVITE becomes a dialog: events from now on go here.
    Adopt {
        id: DialogId,
        events: mpsc::Sender<DialogEvent>,
    },
    Dialog {
        id: DialogId,
        command: DialogCommand,
    },
    /// Other settings.
    Retune(Box<Tuning>),
    Stop,
}

#[derive(Debug)]
pub(crate) enum DialogCommand {
    /// To the INVITE that made the dialog.
    Respond(Content),
    /// To a later request of the peer.
    Answer {
        id: RequestId,
        content: Content,
    },
    Ack {
        headers: Headers,
        body: Option<Body>,
    },
    Cancel {
        headers: Headers,
    },
    Bye {
        headers: Headers,
    },
    Reinvite {
        headers: Headers,
        body: Option<Body>,
    },
    Request {
        method: Method,
        headers: Headers,
        body: Option<Body>,
        reply: ReplyTo<Response>,
    },
    /// Send to where the peer's messages come from, whatever its Contact says.
    Pin,
    /// Another session interval than the stack's.
    Session {
        seconds: u32,
        by_update: Option<bool>,
    },
    /// The handle was dropped: end the dialog as its state demands.
    Drop,
}
