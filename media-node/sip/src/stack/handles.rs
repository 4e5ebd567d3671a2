//! Handles: small, cheap to clone or drop, posting commands to the stack's task.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::queue;
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, CommandSender, DialogCommand};
use crate::endpoint::{
    Body, Content, DialogEvent, DialogId, DialogInfo, Failure, InviteSpec, OutOfDialog, Reply,
    RequestError, RequestId, Tuning,
};
use crate::message::{Headers, Method, Request, Response};
use crate::transport::{Path, Transport};

/// One running stack: the transports of one SIP profile. Clones share it; it stops with
/// [`Stack::stop`].
#[derive(Clone, Debug)]
pub struct Stack {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: CommandSender,
    listening: Vec<(Transport, SocketAddr)>,
    next_dialog: AtomicU64,
    dialog_queue: usize,
}

impl Stack {
    pub(super) fn over(
        commands: CommandSender,
        listening: Vec<(Transport, SocketAddr)>,
        dialog_queue: usize,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                commands,
                listening,
                next_dialog: AtomicU64::new(1),
                dialog_queue,
            }),
        }
    }

    /// The addresses bound, ports filled in.
    pub fn listening(&self) -> &[(Transport, SocketAddr)] {
        &self.shared.listening
    }

    /// Sends an INVITE. Its whole life is told by the events. Dropping the [`Dialog`] ends the call.
    pub fn invite(&self, spec: InviteSpec) -> (Dialog, queue::Receiver<DialogEvent>) {
        // Even numbers are ours, odd ones the driver's (incoming).
        let id = DialogId(self.shared.next_dialog.fetch_add(1, Ordering::Relaxed) * 2);
        let (events, receiver) = queue::bounded(self.shared.dialog_queue);
        let info = InfoCell::default();
        let dialog = Dialog::over(id, self.shared.commands.clone(), info.clone());
        let refused = self.post(Command::Invite { id, spec: Box::new(spec), events, info });
        if let Err(Command::Invite { events, .. }) = refused {
            let failure = Failure::NoResponse(RequestError::Overloaded);
            let _ = events.try_send(DialogEvent::Failed(failure));
        }
        (dialog, receiver)
    }

    /// Sends a request outside any dialog and waits for its final response. 401 and 407 are answered
    /// once with [`OutOfDialog::credentials`].
    pub async fn request(&self, spec: OutOfDialog) -> Result<Reply, RequestError> {
        let (reply, answer) = oneshot::channel();
        if self.post(Command::Request { spec: Box::new(spec), reply }).is_err() {
            return Err(RequestError::Overloaded);
        }
        answer.await.unwrap_or(Err(RequestError::Stopped))
    }

    /// Takes on other settings, for what happens from now on; addresses stay bound.
    pub fn retune(&self, tuning: Tuning) {
        let _ = self.post(Command::Retune(Box::new(tuning)));
    }

    /// Ends all dialogs (BYE, CANCEL, 503), lets transactions finish briefly and closes the sockets.
    pub fn stop(&self) {
        let _ = self.post(Command::Stop);
    }

    /// Resolves once a stack that was told to stop has ended and its ports are free.
    pub async fn stopped(&self) {
        self.shared.commands.closed().await;
    }

    fn post(&self, command: Command) -> Result<(), Command> {
        self.shared.commands.post(command)
    }
}

/// What comes in, known peers' requests first: strangers wait, and overflow, in a queue of their own.
#[derive(Debug)]
pub struct Arrivals {
    pub(super) known: mpsc::Receiver<Incoming>,
    pub(super) strangers: mpsc::Receiver<Incoming>,
}

impl Arrivals {
    /// The next request; `None` when the stack has ended.
    pub async fn recv(&mut self) -> Option<Incoming> {
        tokio::select! {
            biased;
            Some(incoming) = self.known.recv() => Some(incoming),
            Some(incoming) = self.strangers.recv() => Some(incoming),
            else => None,
        }
    }
}

/// A request outside dialogs.
#[derive(Debug)]
pub enum Incoming {
    /// A call.
    Invite(IncomingInvite),
    /// Anything else: REGISTER, MESSAGE, SUBSCRIBE, PUBLISH, NOTIFY, REFER, OPTIONS, INFO...
    Request(IncomingRequest),
    /// A connection is gone, and with it the way to whoever was at its other end.
    Disconnected(Path),
}

/// An INVITE that nobody has answered yet. The stack has sent nothing; after 200 ms it sends 100 by
/// itself (RFC 3261 §17.2.1). Dropping it unanswered refuses it with 480.
#[derive(Debug)]
pub struct IncomingInvite {
    /// The request.
    pub request: Arc<Request>,
    /// How it came.
    pub path: Path,
    /// It came from a known peer (see [`super::Peers`]), or one in a running dialog.
    pub known: bool,
    dialog: Dialog,
    dialog_queue: usize,
}

impl IncomingInvite {
    pub(super) fn new(
        request: Arc<Request>,
        path: Path,
        known: bool,
        dialog: Dialog,
        dialog_queue: usize,
    ) -> Self {
        Self { request, path, known, dialog, dialog_queue }
    }

    /// Answers without making a call of it: a challenge, a refusal.
    pub fn respond(self, status: u16, reason: &str, headers: Headers, body: Option<Body>) {
        // The handle drops after it: what is left of the call then is nothing.
        self.dialog.post(DialogCommand::Respond(Content {
            status,
            reason: reason.to_owned(),
            headers,
            body,
        }));
    }

    /// Sends `100 Trying` now.
    pub fn trying(&self) {
        self.dialog.provisional(100, "", Headers::new(), None);
    }

    /// The To tag our answers carry.
    pub fn local_tag(&self) -> String {
        self.dialog.info().map(|i| i.local_tag.clone()).unwrap_or_default()
    }

    /// Takes the call on.
    pub fn into_dialog(self) -> (Dialog, queue::Receiver<DialogEvent>) {
        let (events, receiver) = queue::bounded(self.dialog_queue);
        let _ = self.dialog.commands.post(Command::Adopt { id: self.dialog.id, events });
        (self.dialog, receiver)
    }
}

/// A request outside dialogs that must be answered once. Dropping it unanswered sends 500.
#[derive(Debug)]
pub struct IncomingRequest {
    /// The request.
    pub request: Arc<Request>,
    /// How it came.
    pub path: Path,
    /// It came from a known peer (see [`super::Peers`]), or one in a running dialog.
    pub known: bool,
    /// The To tag the answer will carry.
    pub local_tag: String,
    id: RequestId,
    commands: CommandSender,
    answered: bool,
}

impl IncomingRequest {
    pub(super) fn new(
        request: Arc<Request>,
        (path, known): (Path, bool),
        local_tag: String,
        id: RequestId,
        commands: CommandSender,
    ) -> Self {
        Self { request, path, known, local_tag, id, commands, answered: false }
    }

    /// Answers. An empty reason takes the usual phrase.
    pub fn respond(mut self, status: u16, reason: &str, headers: Headers, body: Option<Body>) {
        self.answered = true;
        self.send(status, reason, headers, body);
    }

    fn send(&self, status: u16, reason: &str, headers: Headers, body: Option<Body>) {
        let content = Content { status, reason: reason.to_owned(), headers, body };
        let _ = self.commands.post(Command::Respond { id: self.id, content });
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        if !self.answered {
            self.send(500, "", Headers::new(), None);
        }
    }
}

/// One dialog, from INVITE to BYE. All methods return at once; what became of them is told by
/// events. Commands a dialog's state does not allow are ignored. Dropping the handle ends the call:
/// 480 or CANCEL before the answer, BYE after.
#[derive(Debug)]
pub struct Dialog {
    id: DialogId,
    commands: CommandSender,
    info: InfoCell,
}

impl Dialog {
    pub(super) fn over(id: DialogId, commands: CommandSender, info: InfoCell) -> Self {
        Self { id, commands, info }
    }

    /// The identity of the dialog within the stack.
    pub fn id(&self) -> DialogId {
        self.id
    }

    /// Identifiers and addresses; `None` until the stack has made them (outgoing calls: a moment).
    /// The peer's tag joins with the answer.
    pub fn info(&self) -> Option<Arc<DialogInfo>> {
        self.info.get()
    }

    /// From now on requests of ours go to where the peer's messages come from, whatever its Contact
    /// and route say: the peer is behind NAT.
    pub fn pin_to_source(&self) {
        self.post(DialogCommand::Pin);
    }

    /// The session interval of this call instead of the stack's, seconds (0: none of ours), and whether to refresh it by
    /// UPDATE. For calls received, before the answer.
    pub fn set_session_expires(&self, seconds: u32, by_update: Option<bool>) {
        self.post(DialogCommand::Session { seconds, by_update });
    }

    /// 1xx to the caller.
    pub fn provisional(&self, status: u16, reason: &str, headers: Headers, body: Option<Body>) {
        self.post(DialogCommand::Respond(Content {
            status,
            reason: reason.to_owned(),
            headers,
            body,
        }));
    }

    /// 200 to the caller, repeated until acknowledged.
    pub fn answer(&self, headers: Headers, body: Option<Body>) {
        self.post(DialogCommand::Respond(Content {
            status: 200,
            reason: "OK".into(),
            headers,
            body,
        }));
    }

    /// 300 to 699 to the caller; the dialog is over.
    pub fn reject(&self, status: u16, reason: &str, headers: Headers, body: Option<Body>) {
        self.post(DialogCommand::Respond(Content {
            status,
            reason: reason.to_owned(),
            headers,
            body,
        }));
    }

    /// ACK to a 2xx, when [`InviteSpec::auto_ack`] is off or the answer to a late offer must travel.
    pub fn ack(&self, headers: Headers, body: Option<Body>) {
        self.post(DialogCommand::Ack { headers, body });
    }

    /// CANCEL of our unanswered INVITE: at once, or as soon as a 1xx allows it. A 2xx that crosses it
    /// is acknowledged and ended with BYE.
    pub fn cancel(&self, headers: Headers) {
        self.post(DialogCommand::Cancel { headers });
    }

    /// BYE.
    pub fn bye(&self, headers: Headers) {
        self.post(DialogCommand::Bye { headers });
    }

    /// Re-INVITE; ends in [`DialogEvent::ReinviteDone`].
    pub fn reinvite(&self, headers: Headers, body: Option<Body>) {
        self.post(DialogCommand::Reinvite { headers, body });
    }

    /// Any other request in the dialog: INFO, UPDATE, REFER, NOTIFY, MESSAGE, OPTIONS.
    pub fn request(
        &self,
        method: Method,
        headers: Headers,
        body: Option<Body>,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let refused = !self.post(DialogCommand::Request { method, headers, body, reply });
        async move {
            if refused {
                return Err(RequestError::Overloaded);
            }
            answer.await.unwrap_or(Err(RequestError::Stopped))
        }
    }

    /// Answers a request of the peer (re-INVITE, UPDATE, INFO...).
    pub fn respond(
        &self,
        id: RequestId,
        status: u16,
        reason: &str,
        headers: Headers,
        body: Option<Body>,
    ) {
        let content = Content { status, reason: reason.to_owned(), headers, body };
        self.post(DialogCommand::Answer { id, content });
    }

    /// False if the stack does not keep up and left it out.
    fn post(&self, command: DialogCommand) -> bool {
        self.commands.post(Command::Dialog { id: self.id, command }).is_ok()
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.post(DialogCommand::Drop);
    }
}

/// Where the stack's task leaves a dialog's identifiers for its handle.
#[derive(Clone, Debug, Default)]
pub(super) struct InfoCell(Arc<Mutex<Option<Arc<DialogInfo>>>>);

impl InfoCell {
    pub(super) fn set(&self, info: DialogInfo) {
        if let Ok(mut cell) = self.0.lock() {
            *cell = Some(Arc::new(info));
        }
    }

    fn get(&self) -> Option<Arc<DialogInfo>> {
        self.0.lock().ok()?.clone()
    }
}
