//! Text messages to a room (`conf+room@domain`): `list` is answered with its members.

use super::commands;
use super::room::Rooms;
use crate::contract::ChatMessage;
use crate::switch::Switch;

/// Takes a message. False when there is no such room; the sender is told.
pub(super) fn send(switch: &Switch, message: &ChatMessage<'_>) -> bool {
    let to = message.to.split_once('+').map_or(message.to, |(_, room)| room);
    let name = to.split('@').next().unwrap_or_default();
    let Some(room) = switch.module::<Rooms>().find(name) else {
        answer(switch, message, to, "Conference not active.");
        return false;
    };
    if message.body.to_ascii_lowercase().contains("list") {
        answer(switch, message, to, &commands::listed(&room));
    }
    true
}

/// Answers by SIP MESSAGE, from the address the room is written to: what a phone answers comes back to the room.
fn answer(switch: &Switch, message: &ChatMessage<'_>, room: &str, body: &str) {
    let from = &format!("conf+{room}");
    let reply = ChatMessage { from, to: message.from, body, kind: "text/plain" };
    let sent = switch
        .provided(|provides| provides.chats)
        .find(|kind| kind.name == "sip")
        .is_some_and(|kind| (kind.send)(switch, &reply));
    if !sent {
        tracing::debug!("No phone takes the answer from {from} to {}", message.from);
    }
}
