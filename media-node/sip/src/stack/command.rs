//! What handles ask of the stack's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::queue;
use tokio::sync::mpsc::error::TrySendError;
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
        events: queue::Sender<DialogEvent>,
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
        events: queue::Sender<DialogEvent>,
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

/// Commands waiting beyond which new work (calls and requests of our own) is refused.
const NEW_WORK: usize = 4096;
/// Commands waiting beyond which what a dialog could do without is left out: requests, provisional answers.
const OPTIONAL: usize = 16_384;
/// Commands that may wait at all: several for each dialog that may be. What is owed beyond them is lost, and the timers
/// of the stack and of the far end end what it was about.
const ALL: usize = 262_144;

/// How much a command matters while the stack's task does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Would add to the load.
    NewWork,
    /// Its sender can do without.
    Optional,
    /// Ends or answers something. As many as there are dialogs and requests, which are bounded, a few times over.
    Owed,
}

impl Command {
    fn weight(&self) -> Weight {
        match self {
            Self::Invite { .. } | Self::Request { .. } => Weight::NewWork,
            Self::Dialog { command, .. } => match command {
                DialogCommand::Request { .. } | DialogCommand::Reinvite { .. } => Weight::Optional,
                DialogCommand::Respond(content) if content.status < 200 => Weight::Optional,
                _ => Weight::Owed,
            },
            _ => Weight::Owed,
        }
    }
}

/// The handles' end of the queue of commands. It never waits: see [`CommandSender::post`].
#[derive(Clone, Debug)]
pub(crate) struct CommandSender {
    sender: mpsc::Sender<Command>,
    waiting: Arc<AtomicUsize>,
}

/// The same, not keeping the stack alive.
pub(crate) struct WeakCommandSender {
    sender: mpsc::WeakSender<Command>,
    waiting: Arc<AtomicUsize>,
}

/// The stack's end.
pub(crate) struct CommandQueue {
    receiver: mpsc::Receiver<Command>,
    waiting: Arc<AtomicUsize>,
}

/// A queue of commands, bounded by what is let in.
#[allow(
    clippy::disallowed_methods,
    reason = "`post` refuses work beyond a bound; what ends a call must always fit"
)]
pub(crate) fn queue() -> (CommandSender, CommandQueue) {
    let (sender, receiver) = mpsc::channel(ALL);
    let waiting = Arc::new(AtomicUsize::new(0));
    (CommandSender { sender, waiting: Arc::clone(&waiting) }, CommandQueue { receiver, waiting })
}

impl CommandSender {
    /// Leaves a command for the stack. While it does not keep up, new work is given back first, then what dialogs can
    /// do without; what ends or answers something is always taken.
    pub(crate) fn post(&self, command: Command) -> Result<(), Command> {
        let most = match command.weight() {
            Weight::NewWork => NEW_WORK,
            Weight::Optional => OPTIONAL,
            Weight::Owed => ALL,
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("SIP stack overloaded: a command was refused");
            return Err(command);
        }
        // A stopped stack answers through the dropped receivers inside the command.
        match self.sender.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Full(command)) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(command)
            }
        }
    }

    /// Resolves when the stack has ended.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    pub(crate) fn downgrade(&self) -> WeakCommandSender {
        WeakCommandSender { sender: self.sender.downgrade(), waiting: Arc::clone(&self.waiting) }
    }
}

impl WeakCommandSender {
    pub(crate) fn upgrade(&self) -> Option<CommandSender> {
        let sender = self.sender.upgrade()?;
        Some(CommandSender { sender, waiting: Arc::clone(&self.waiting) })
    }
}

impl CommandQueue {
    /// The next command; `None` when all senders are gone.
    pub(crate) async fn recv(&mut self) -> Option<Command> {
        let command = self.receiver.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(command)
    }

    /// The next command that is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Command> {
        let command = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Headers;

    fn dialog(command: DialogCommand) -> Command {
        Command::Dialog { id: DialogId(1), command }
    }

    fn info() -> DialogCommand {
        let (reply, _answer) = oneshot::channel();
        DialogCommand::Request { method: Method::Info, headers: Headers::new(), body: None, reply }
    }

    #[test]
    fn a_stack_that_does_not_keep_up_refuses_what_is_not_owed() {
        let (sender, mut queue) = queue();
        let taken = (0..2 * OPTIONAL).filter(|_| sender.post(dialog(info())).is_ok()).count();
        assert_eq!(taken, OPTIONAL);
        assert!(sender.post(dialog(DialogCommand::Drop)).is_ok());
        assert!(sender.post(dialog(DialogCommand::Bye { headers: Headers::new() })).is_ok());
        while queue.try_recv().is_some() {}
        assert!(sender.post(dialog(info())).is_ok(), "there is room again");
    }

    #[test]
    fn what_is_owed_has_an_end_as_well() {
        let (sender, mut queue) = queue();
        let taken =
            (0..ALL + 10).filter(|_| sender.post(dialog(DialogCommand::Drop)).is_ok()).count();
        assert_eq!(taken, ALL);
        assert!(queue.try_recv().is_some());
        assert!(sender.post(dialog(DialogCommand::Drop)).is_ok(), "there is room again");
    }
}
