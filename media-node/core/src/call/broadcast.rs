//! Playing something, or running an application, on a call from outside (`uuid_broadcast`), and what ends it.
//!
//! A message may run its application without limit (music on hold). A stop ends all of it, not the turn that runs: each run
//! remembers how often the leg's broadcasts had been stopped when it began, and ends when that number has changed.
//! Music that was queued and has not begun is void by the same rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use esl_server::CallMessage;

use super::channel::Channel;

/// Queues `path` on the legs named: `aleg`, `bleg`, `both`, `holdb`.
///
/// `path` is a file, `app::args`, or `app!cause::args` (runs, then hangs up with the cause).
pub fn broadcast(channel: &Arc<Channel>, path: &str, legs: &str) {
    let legs = legs.to_ascii_lowercase();
    let both = legs.contains("both");
    let partner = channel.partner();
    let (app, argument, cause) = parse(path);
    if let Some(partner) = &partner
        && (both || legs.contains("bleg"))
    {
        send(partner, app, argument, cause, None);
    }
    if both || !legs.contains("bleg") {
        let hold = partner.is_some() && (legs.contains("holdb") || (!both && legs.is_empty()));
        send(channel, app, argument, cause, hold.then_some("true"));
    }
}

/// The applications that messages run on a leg, and how often they were stopped.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    running: AtomicUsize,
    stops: AtomicU64,
}

/// One message's application, from its first turn to its last.
pub(super) struct Running {
    leg: Arc<Channel>,
    ticket: u64,
}

impl Running {
    pub(super) fn begin(leg: &Arc<Channel>) -> Self {
        // Counted first: a stop from here on sees it.
        leg.broadcasts.running.fetch_add(1, Ordering::SeqCst);
        Self { leg: Arc::clone(leg), ticket: leg.broadcasts.stops.load(Ordering::SeqCst) }
    }

    /// Was everything queued with that ticket stopped before this began?
    pub(super) fn is_void(&self, ticket: Option<u64>) -> bool {
        ticket.is_some_and(|ticket| ticket != self.ticket)
    }

    /// Was it stopped since it began?
    pub(super) fn is_stopped(&self) -> bool {
        self.leg.broadcasts.stops.load(Ordering::SeqCst) != self.ticket
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.leg.broadcasts.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Channel {
    /// Ends what messages run on the leg, with all its turns, and music that waits to begin. True if something ran.
    pub fn stop_broadcast(&self) -> bool {
        self.broadcasts.stops.fetch_add(1, Ordering::SeqCst);
        let runs = self.is_broadcasting();
        if runs {
            self.break_media();
        }
        runs
    }

    /// Interrupts the leg (`uuid_break`, `break`): all of what messages run on it, else the media operation that goes
    /// on. `all` forgets messages that wait, too.
    pub fn interrupt(&self, all: bool) {
        if all {
            self.forget_waiting();
        }
        if !self.stop_broadcast() {
            self.break_media();
        }
    }

    /// The leg goes elsewhere: what messages run on it ends with that, and music that waits does not begin.
    pub(super) fn leave_broadcasts(&self) {
        self.broadcasts.stops.fetch_add(1, Ordering::SeqCst);
    }

    /// Does a message's application run on the leg?
    #[must_use]
    pub fn is_broadcasting(&self) -> bool {
        self.broadcasts.running.load(Ordering::SeqCst) > 0
    }
}

/// Queues music on a leg that plays until [`Channel::stop_broadcast`].
pub fn play_endlessly(leg: &Arc<Channel>, music: &str) {
    let ticket = Some(leg.broadcasts.stops.load(Ordering::SeqCst));
    let mut message = CallMessage { ticket, ..CallMessage::default() };
    message.headers.push("Event-Name", "COMMAND");
    message.headers.push("call-command", "execute");
    message.headers.push("execute-app-name", "playback");
    message.headers.push("execute-app-arg", music.to_owned());
    message.headers.push("event-lock", "true");
    message.headers.push("lead-frames", "5");
    message.headers.push("loops", "-1");
    let _full = leg.post(message);
}

/// Queues an application on one leg; with `hold`, its partner hears music meanwhile.
pub fn run(leg: &Arc<Channel>, app: &str, argument: &str, hold: bool) {
    send(leg, app, argument, None, hold.then_some("true"));
}

fn parse(path: &str) -> (&str, &str, Option<&str>) {
    match path.split_once("::") {
        Some((app, argument)) if !app.contains(['/', ' ', '$']) => match app.split_once('!') {
            Some((app, cause)) => (app, argument, Some(cause)),
            None => (app, argument, None),
        },
        _ => ("playback", path, None),
    }
}

fn send(leg: &Arc<Channel>, app: &str, argument: &str, cause: Option<&str>, hold: Option<&str>) {
    let mut message = CallMessage::default();
    message.headers.push("Event-Name", "COMMAND");
    message.headers.push("call-command", "execute");
    message.headers.push("execute-app-name", app.to_owned());
    message.headers.push("execute-app-arg", argument.to_owned());
    message.headers.push("event-lock", "true");
    if let Some(hold) = hold {
        message.headers.push("hold-bleg", hold.to_owned());
    }
    message.headers.push("lead-frames", "5");
    let _full = leg.post(message);
    if let Some(cause) = cause {
        let mut message = CallMessage::execute("hangup", cause);
        message.headers.push("Event-Name", "COMMAND");
        message.headers.push("event-lock", "true");
        let _full = leg.post(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_an_application_and_a_cause() {
        assert_eq!(parse("/tmp/a.wav"), ("playback", "/tmp/a.wav", None));
        assert_eq!(parse("tone_stream://%(1,0,2)"), ("playback", "tone_stream://%(1,0,2)", None));
        assert_eq!(parse("say::en number"), ("say", "en number", None));
        assert_eq!(parse("playback!user_busy::x.wav"), ("playback", "x.wav", Some("user_busy")));
    }
}
