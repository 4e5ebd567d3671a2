//! Guessing of passwords at the switch's doors: who is held back, the event about it, the list to look at and clear.
//!
//! The slowing itself is [`base::guess_guard`]; here stand the doors that share the event, the log line and the command.

use std::sync::Arc;
use std::time::Instant;

use base::guess_guard::{Attempt, Entry, GuessGuard, Subject, Verdict};
use esl_server::event::{Event, EventName};

use crate::switch::Switch;

/// Subclass of the event of a ban.
pub const EVENT: &str = "ferroswitch::guessing";

/// Where passwords are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Digest over SIP.
    Sip,
    /// `auth` and `userauth` on the Event Socket.
    EventSocket,
    /// Logins of Verto clients.
    Verto,
}

impl Door {
    /// All doors, in the order of the list.
    pub const ALL: [Self; 3] = [Self::Sip, Self::EventSocket, Self::Verto];

    /// As events and the list name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::EventSocket => "event_socket",
            Self::Verto => "verto",
        }
    }
}

/// The guards of all doors.
#[derive(Debug, Default)]
pub struct Guesses {
    sip: Arc<GuessGuard>,
    event_socket: Arc<GuessGuard>,
    verto: Arc<GuessGuard>,
}

impl Guesses {
    /// The guard of one door.
    #[must_use]
    pub const fn at(&self, door: Door) -> &Arc<GuessGuard> {
        match door {
            Door::Sip => &self.sip,
            Door::EventSocket => &self.event_socket,
            Door::Verto => &self.verto,
        }
    }

    /// Whether a password may be judged now.
    #[must_use]
    pub fn ask(&self, door: Door, attempt: &Attempt<'_>) -> Verdict {
        self.at(door).ask(attempt, Instant::now())
    }

    /// A password was right.
    pub fn passed(&self, door: Door, attempt: &Attempt<'_>) {
        self.at(door).passed(attempt, Instant::now());
    }
}

impl Switch {
    /// A password was wrong, or its account does not exist. A ban for it is told of in the log and in an
    /// event.
    pub fn guess_failed(&self, door: Door, attempt: &Attempt<'_>) {
        if let Some(entry) = self.guesses.at(door).failed(attempt, Instant::now()) {
            self.tell_of_guessing(door, attempt, &entry);
        }
    }

    /// Says who is held back, in the log and in an event.
    pub fn tell_of_guessing(&self, door: Door, attempt: &Attempt<'_>, entry: &Entry) {
        let door = door.name();
        let (kind, who) = shown(&entry.subject);
        tracing::warn!(
            "{door}: guessing of passwords from {}: {kind} {who} is held back for {} s after {} failures",
            attempt.address,
            entry.wait.as_secs(),
            entry.failures
        );
        let bus = &self.bus;
        if !bus.wants(EventName::Custom) {
            bus.skip();
            return;
        }
        let mut event = Event::custom(EVENT);
        event.push("Door", door);
        event.push("Network-IP", attempt.address.to_string());
        if let Some(account) = attempt.account {
            event.push("Account", account);
        }
        event.push("Held-Back", kind);
        event.push("Held-Back-Who", who);
        event.push("Failures", entry.failures.to_string());
        event.push("Seconds", entry.wait.as_secs().to_string());
        esl_server::fire!(bus, event);
    }
}

/// Kind and name of who is held back.
#[must_use]
pub fn shown(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::Address(ip) => ("address", ip.to_string()),
        Subject::Account(name) => ("account", name.clone()),
        Subject::Proven(ip, name) => ("phone", format!("{name} at {ip}")),
    }
}
