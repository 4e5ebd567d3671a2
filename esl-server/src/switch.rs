//! What the Event Socket asks of the switch behind it: object-safe traits, and the messages that
//! pass through them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use base::guess_guard::{Attempt, Entry};
pub use base::text::{int as leading_number, is_true};
use bytes::Bytes;

use crate::bus::{EventBus, EventSink};
use crate::event::{Event, EventName, Headers};
use crate::log::LogHub;

/// A boxed future that may be moved between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The switch as the Event Socket sees it.
pub trait Switch: Send + Sync + 'static {
    /// Where events come from and go to.
    fn bus(&self) -> &Arc<EventBus>;

    /// Where log lines come from.
    fn logs(&self) -> &Arc<LogHub>;

    /// Runs an API command, and fires its `API` event when it has finished.
    fn api(&self, request: ApiRequest) -> BoxFuture<'_, ApiReply>;

    /// A call that has not hung up.
    fn call(&self, uuid: &str) -> Option<Arc<dyn CallControl>>;

    /// Whether an access list (or a comma-separated list of CIDRs) admits an address.
    fn acl_allows(&self, list: &str, ip: IpAddr) -> bool;

    /// A directory user who may log in with `userauth`. May ask a server elsewhere.
    fn esl_user<'a>(&'a self, user: &'a str, domain: &'a str) -> BoxFuture<'a, Option<EslUser>>;

    /// An address or account is banned for guessing from now on: says so.
    fn guessing(&self, _attempt: &Attempt<'_>, _held_back: &Entry) {}

    /// Queues an event to a live call instead of broadcasting it; gives it back when there is no
    /// such call.
    #[allow(clippy::result_large_err, reason = "the event comes back by value, unused")]
    fn queue_event_to_call(&self, uuid: &str, event: Event) -> Result<(), Event>;

    /// Resolves when the system is being shut down, for connections that calls have opened.
    fn shutting_down(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    /// What a console line stands for when its first word is an alias.
    fn expand_alias(&self, _line: &str) -> Option<String> {
        None
    }
}

/// One API command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// Its name.
    pub command: String,
    /// Its arguments, trimmed; empty when there are none.
    pub args: String,
    /// Whether it was typed at a console (`fs_cli`).
    pub console: bool,
}

/// The outcome of an API command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiReply {
    /// What the command printed; may be empty.
    Output(String),
    /// There is no such command, or it reported failure.
    NotFound,
}

/// What the directory says about a user of the Event Socket.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EslUser {
    /// `esl-password`.
    pub password: Option<String>,
    /// `esl-allowed-events`; `None` allows all.
    pub allowed_events: Option<String>,
    /// `esl-allowed-api`; `None` allows all.
    pub allowed_api: Option<String>,
    /// `esl-allowed-log`; `None` allows.
    pub allowed_log: Option<String>,
}

impl fmt::Debug for EslUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EslUser")
            .field("allowed_events", &self.allowed_events)
            .field("allowed_api", &self.allowed_api)
            .field("allowed_log", &self.allowed_log)
            .finish_non_exhaustive()
    }
}

/// What a connection may do with one call.
pub trait CallControl: Send + Sync {
    /// Its `Unique-ID`.
    fn uuid(&self) -> &str;

    /// Its channel name, `sofia/internal/1000@example.com`.
    fn channel_name(&self) -> String;

    /// A `CHANNEL_DATA` event of the present state: `Channel-*` profile, basic data, `Caller-*`,
    /// `variable_*`. The core block is stamped by the caller.
    fn channel_data(&self) -> Event;

    /// A channel variable.
    fn getvar(&self, name: &str) -> Option<String>;

    /// Sets a channel variable, or deletes it.
    fn setvar(&self, name: &str, value: Option<&str>);

    /// Queues a message on the call's bounded queue. A call that has hung up takes it and does
    /// nothing with it, even when its task has ended.
    ///
    /// # Errors
    /// The queue is full; the connection that sent the message is closed.
    fn post(&self, message: CallMessage) -> Result<(), QueueFull>;

    /// Resolves once the call has begun to hang up; at once when it already has.
    fn hung_up(&self) -> BoxFuture<'static, ()>;

    /// Sends the events the call makes for itself (digits, speech) to a sink, or back to the bus.
    fn divert_events(&self, to: Option<EventSink>);

    /// Says whether a connection controls the call.
    fn set_controlled(&self, on: bool);

    /// Breaks off the application that is running, such as a bridge, so that the dialplan goes on.
    /// Asked for when a connection ends and the variable `socket_resume` is true.
    fn interrupt(&self);
}

/// A call's queue takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call's queue is full")]
pub struct QueueFull;

/// The call inside whose own task the `socket` application runs.
pub trait InlineCall: Send {
    /// The handle anybody may hold.
    fn control(&self) -> Arc<dyn CallControl>;

    /// Runs a message here and now; resolves when its application has finished. How a synchronous
    /// connection executes.
    fn execute<'a>(&'a mut self, message: CallMessage) -> BoxFuture<'a, ()>;

    /// Lets the call breathe while a synchronous connection waits for its client; queued messages
    /// are not run. Resolves only when the call hangs up. May be dropped at any time.
    fn idle<'a>(&'a mut self) -> BoxFuture<'a, ()>;

    /// Parks the call (`CHANNEL_PARK`, then `CHANNEL_UNPARK`) and runs its queued messages until
    /// `stop` resolves and no application is running, or the call hangs up or is moved elsewhere.
    fn park<'a>(&'a mut self, stop: BoxFuture<'static, ()>) -> BoxFuture<'a, ()>;
}

/// A `sendmsg`: headers, and perhaps a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallMessage {
    /// The headers, `Command` first when a client sent it.
    pub headers: Headers,
    /// The body.
    pub body: Option<Bytes>,
    /// Set where it was queued inside the switch: until when the message means anything. Never shown.
    pub ticket: Option<u64>,
}

impl CallMessage {
    /// A message that runs an application.
    pub fn execute(app: &str, arg: &str) -> Self {
        let mut headers = Headers::new();
        headers.push("call-command", "execute");
        headers.push("execute-app-name", app.to_owned());
        headers.push("execute-app-arg", arg.to_owned());
        Self { headers, ..Self::default() }
    }

    /// A message that hangs up.
    pub fn hangup(cause: &str) -> Self {
        let mut headers = Headers::new();
        headers.push("call-command", "hangup");
        headers.push("hangup-cause", cause.to_owned());
        Self { headers, ..Self::default() }
    }

    /// A header, in any case.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.get(name)
    }

    /// `call-command`; the spelling must match exactly, so an unknown one does nothing.
    pub fn command(&self) -> CallCommand {
        match self.get("call-command").as_deref() {
            Some("execute") => CallCommand::Execute,
            Some("hangup") => CallCommand::Hangup,
            Some("unicast") => CallCommand::Unicast,
            Some("nomedia") => CallCommand::Nomedia,
            Some("xferext") => CallCommand::Xferext,
            _ => CallCommand::None,
        }
    }

    /// `execute-app-name`.
    pub fn app_name(&self) -> Option<Cow<'_, str>> {
        self.get("execute-app-name")
    }

    /// `execute-app-arg`, or the body when that is `content-type: text/plain`.
    pub fn app_arg(&self) -> Option<Cow<'_, str>> {
        self.get("execute-app-arg").or_else(|| {
            let plain =
                self.get("content-type").is_some_and(|t| t.eq_ignore_ascii_case("text/plain"));
            self.body.as_ref().filter(|_| plain).map(|body| String::from_utf8_lossy(body))
        })
    }

    /// `Event-UUID`: becomes `Application-UUID`.
    pub fn event_uuid(&self) -> Option<Cow<'_, str>> {
        self.get("Event-UUID")
    }

    /// `Event-UUID-Name`: becomes `Application-UUID-Name`.
    pub fn event_uuid_name(&self) -> Option<Cow<'_, str>> {
        self.get("Event-UUID-Name")
    }

    /// `loops`: how often to run the application; `None` means without end. What is no number is 0.
    pub fn loops(&self) -> Option<u32> {
        match self.get("loops") {
            None => Some(1),
            Some(text) => match leading_number(&text) {
                n if n < 0 => None,
                n => Some(u32::try_from(n).unwrap_or(u32::MAX)),
            },
        }
    }

    /// `event-lock`: no other queued message starts while this one runs.
    pub fn event_lock(&self) -> bool {
        self.flag("event-lock")
    }

    /// `async`: queue it even on a synchronous connection.
    pub fn is_async(&self) -> bool {
        self.flag("async")
    }

    /// `hold-bleg`: play hold music to the peer meanwhile.
    pub fn hold_bleg(&self) -> bool {
        self.flag("hold-bleg")
    }

    /// `lead-frames`: how many audio frames to read first.
    pub fn lead_frames(&self) -> u32 {
        self.get("lead-frames").map_or(0, |text| u32::try_from(leading_number(&text)).unwrap_or(0))
    }

    /// `hangup-cause`, as sent.
    pub fn hangup_cause(&self) -> Option<Cow<'_, str>> {
        self.get("hangup-cause")
    }

    /// `nomedia-uuid`.
    pub fn nomedia_uuid(&self) -> Option<Cow<'_, str>> {
        self.get("nomedia-uuid")
    }

    /// Every `application` header of an `xferext`, `<app> <data>` each.
    pub fn applications(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.headers.all("application")
    }

    /// The message as an event, such as the `PRIVATE_COMMAND` a call fires for it.
    pub fn into_event(self, name: EventName) -> Event {
        let mut event = Event::from_headers(name, self.headers);
        if let Some(body) = self.body {
            event.set_body(body);
        }
        event
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| is_true(&text))
    }
}

/// What a message asks a call to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallCommand {
    /// Run an application.
    Execute,
    /// Hang up.
    Hangup,
    /// Send the audio elsewhere.
    Unicast,
    /// Take the media path away from the switch.
    Nomedia,
    /// Build an extension and transfer to it.
    Xferext,
    /// Nothing known.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&'static str, &str)]) -> CallMessage {
        let mut message = CallMessage::default();
        for &(name, value) in headers {
            message.headers.push(name, value);
        }
        message
    }

    #[test]
    fn truth_has_seven_words_and_any_number_but_zero() {
        for yes in ["yes", "ON", "True", "t", "enabled", "active", "allow", "1", "-2"] {
            assert!(is_true(yes), "{yes}");
        }
        for no in ["", "no", "false", "0", "y", "1x", "truely"] {
            assert!(!is_true(no), "{no}");
        }
    }

    #[test]
    fn commands_are_exact_lower_case() {
        assert_eq!(message(&[("call-command", "execute")]).command(), CallCommand::Execute);
        assert_eq!(message(&[("call-command", "Execute")]).command(), CallCommand::None);
        assert_eq!(message(&[]).command(), CallCommand::None);
    }

    #[test]
    fn a_plain_body_is_the_argument_when_no_header_is() {
        let mut from_body = message(&[("content-type", "Text/Plain")]);
        from_body.body = Some("a=b".into());
        assert_eq!(from_body.app_arg().as_deref(), Some("a=b"));
        from_body.headers.push("execute-app-arg", "c=d");
        assert_eq!(from_body.app_arg().as_deref(), Some("c=d"));
    }

    #[test]
    fn loops_default_to_one_and_negative_means_endless() {
        assert_eq!(message(&[]).loops(), Some(1));
        assert_eq!(message(&[("loops", "3")]).loops(), Some(3));
        assert_eq!(message(&[("loops", "-1")]).loops(), None);
        assert_eq!(message(&[("loops", "0")]).loops(), Some(0));
        assert_eq!(message(&[("loops", "many")]).loops(), Some(0));
    }
}
