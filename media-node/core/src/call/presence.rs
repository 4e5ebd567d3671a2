//! PRESENCE_IN: what a leg with a `presence_id` does, for subscribers of that identity.

use std::sync::atomic::Ordering;

use esl_server::event::{Event, EventName};

use super::channel::Channel;
use super::state::Direction;
use crate::switch::Switch;

impl Channel {
    /// Fires PRESENCE_IN with that status, if the leg has a `presence_id`.
    pub fn fire_presence(&self, status: &str) {
        let Some(id) = self.var("presence_id") else { return };
        let info = self.var("presence_call_info");
        let private = self.is_true("presence_privacy");
        let count = self.presence_events.fetch_add(1, Ordering::Relaxed);
        let place = esl_server::caller!();
        self.fire_with(
            EventName::PresenceIn,
            |_| {},
            |event| {
                event.push("proto", "any");
                event.push("login", "src/switch_channel.c");
                event.push("from", id);
                event.push("rpid", "unknown");
                event.push("status", status);
                event.push("event_type", "presence");
                event.push("alt_event_type", "dialog");
                event.push("presence-call-info-state", self.call_info_state(status));
                event.push_some("presence-call-info", info);
                event.push("presence-call-direction", self.direction().name());
                event.push("event_count", count.to_string());
                event.push("Presence-Calling-File", place.file);
                event.push("Presence-Calling-Function", place.func);
                event.push("Presence-Calling-Line", place.line.to_string());
                if private {
                    event.push("Presence-Privacy", "true");
                }
            },
        );
    }

    fn call_info_state(&self, status: &str) -> &'static str {
        match status {
            _ if status == "idle" || !self.is_up() => "idle",
            "hold-private" => "held-private",
            "hold" => "held",
            _ if self.is_answered() => "active",
            _ if self.direction() == Direction::Outbound => "progressing",
            _ => "alerting",
        }
    }
}

/// Fires PRESENCE_IN of a queue of callers: `proto` and `id` as subscribers name it, and how many wait in it.
pub fn fire_queue_presence(switch: &Switch, proto: &str, id: &str, queue: &str, waiting: usize) {
    let mut event = Event::new(EventName::PresenceIn);
    event.push("proto", proto.to_owned());
    event.push("login", id.to_owned());
    event.push("from", id.to_owned());
    let (status, state, answer) = match waiting {
        0 => ("Idle".to_owned(), "CS_HANGUP", "terminated"),
        n => (format!("Active ({n} waiting)"), "CS_ROUTING", "confirmed"),
    };
    event.push("force-status", status);
    event.push("rpid", "unknown");
    event.push("event_type", "presence");
    event.push("alt_event_type", "dialog");
    event.push("event_count", "0");
    event.push("channel-state", state);
    event.push("unique-id", queue.to_owned());
    event.push("answer-state", answer);
    event.push("presence-call-direction", "inbound");
    esl_server::fire!(switch.bus, event);
}
