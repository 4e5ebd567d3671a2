//! What others may ask of a channel's task, and the digits that wait in it.

use esl_server::CallMessage;

use super::session::Session;
use crate::BoxFuture;

/// Commands that wait when the task is busy; more are refused ([`esl_server::QueueFull`]).
pub const COMMAND_QUEUE: usize = 256;

/// Where a channel's task takes its requests from.
pub type Inbox = base::queue::Receiver<Command>;

/// A job that needs the channel's task: gets the session, runs between two steps of whatever application runs.
pub type Job = Box<dyn for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, ()> + Send>;

/// A request to a channel's task.
pub enum Command {
    /// `sendmsg` and everything built on it (broadcast): run in order, nested inside the running application.
    /// Boxed: a queue keeps room for dozens of commands, and few are messages.
    Message(Box<CallMessage>),
    /// Run this with the session.
    Job(Job),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message",
            Self::Job(_) => "Job",
        })
    }
}
