//! The voice bus: what happens to calls in versioned JSON (`call_messages`), with keys `call.<kind>.<direction>`.

use std::sync::Arc;

use esl_server::Subscription;
use esl_server::event::Event;
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::settings::VoiceBus;
use crate::spool::{Message, SpoolError};
use crate::{Stats, events};

/// Starts the bus: what reads events, and what publishes.
pub(crate) fn start(
    switch: &Arc<Switch>,
    bus: &VoiceBus,
    stats: &Arc<Stats>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, SpoolError> {
    let listen = |subscription: &Subscription| {
        call_messages::EVENTS.into_iter().for_each(|name| subscription.listen(name));
        call_messages::SUBCLASSES.into_iter().for_each(|name| subscription.listen_custom(name));
    };
    let make = |event: &Event, into: &mut Vec<Message>| {
        into.extend(call_messages::of(event).into_iter().map(spooled));
    };
    events::run(switch, &bus.common, stats, stopped, listen, make)
}

fn spooled(message: call_messages::Message) -> Message {
    let direction = if message.direction.is_empty() { "none" } else { &message.direction };
    Message {
        key: format!("call.{}.{direction}", message.kind.to_lowercase()),
        id: message.id,
        time: message.time,
        body: message.document.to_string(),
    }
}
