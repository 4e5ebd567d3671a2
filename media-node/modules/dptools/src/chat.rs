//! `chat`: a text message to a user.

use esl_server::event::{Event, EventName};

use crate::api;
use crate::api::{Api, ApiCall};
use crate::contract::ChatMessage;
use crate::switch::Switch;

/// The family.
pub const APIS: &[Api] = &[api!("chat", "mod_dptools", SYNTAX, "chat", run)];

const SYNTAX: &str = "<proto>|<from>|<to>|<message>|[<content-type>]";

fn run(call: &ApiCall) -> String {
    let parts: Vec<&str> = call.args.splitn(5, '|').collect();
    let [proto, from, to, body, rest @ ..] = parts.as_slice() else { return "Invalid".into() };
    let kind = rest.first().copied().filter(|kind| !kind.is_empty()).unwrap_or("text/plain");
    let message = ChatMessage { from, to, body, kind };
    if send(&call.switch, proto, &message) {
        "Sent".into()
    } else {
        "Error! Message Not Sent".into()
    }
}

/// Sends a message; false when the addressee cannot be reached that way.
#[must_use]
pub fn send(switch: &Switch, proto: &str, message: &ChatMessage<'_>) -> bool {
    let mut linked = switch.linked().iter();
    let kind = linked.find_map(|module| {
        module.provides().chats.iter().find(|kind| kind.name.eq_ignore_ascii_case(proto))
    });
    kind.is_some_and(|kind| (kind.send)(switch, message))
}

/// A message as an event, for event clients.
pub fn by_event(switch: &Switch, message: &ChatMessage<'_>) -> bool {
    let mut event = Event::new(EventName::Message);
    event.push("proto", "event");
    event.push("from", message.from);
    event.push("to", message.to);
    event.push("type", message.kind);
    event.set_body(message.body.to_owned());
    esl_server::fire!(switch.bus, event);
    true
}
