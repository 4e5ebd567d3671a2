//! `verto.info`: keys, texts between users, commands for the call; and texts to clients.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use switch_core::call::Channel;
use switch_core::contract::ChatMessage;
use switch_core::switch::Switch;

use super::calls::user_vars;
use super::{Ask, Outcome, refuse};
use crate::hub::{Call, Hub};
use crate::leg::Order;
use crate::rpc::{self, Object};

/// How this way of sending texts is called.
const PROTO: &str = "verto";

/// Does what the message brings.
pub(super) async fn info(ask: Ask<'_>) -> Outcome {
    let Some(params) = &ask.params else { return refuse(Object::new(), "Params data missing") };
    let dialog = rpc::object_in(params, "dialogParams");
    let uuid = dialog.and_then(|dialog| rpc::text(dialog, "callID"));
    let channel = uuid.and_then(|uuid| ask.call(uuid));
    let mut result = Object::new();
    if let (Some(channel), Some(dialog)) = (&channel, dialog) {
        user_vars(channel, dialog);
        if let Some(command) = rpc::get(params, "command") {
            queue_command(channel, &command.to_string());
        }
        if let Some(keys) = rpc::text(params, "dtmf") {
            let orders = channel.with(|data| data.slot::<Call>().orders.clone());
            let _full = orders.map(|orders| orders.try_send(Order::Digits(keys.to_owned())));
            result.insert("message".into(), "SENT".into());
        }
    }
    match rpc::object_in(params, "msg") {
        Some(message) => match send_text(&ask, message, channel.as_ref()) {
            true => {
                result.insert("message".into(), "SENT".into());
                Outcome::Done(result)
            }
            false => {
                let message = "INVALID MESSAGE to and body params required";
                result.insert("message".into(), message.into());
                Outcome::Failed(result)
            }
        },
        None => Outcome::Done(result),
    }
}

/// Gives the call an event that its programs are told.
fn queue_command(channel: &Channel, command: &str) {
    let mut event = Event::new(EventName::Command);
    event.push("content-type", "text/json");
    event.push("content-source", PROTO);
    event.set_body(command.to_owned());
    channel.queue_event(event);
}

/// Sends a text to `[proto+]user@domain`, or into the call it names. False when it lacks what it needs.
fn send_text(ask: &Ask<'_>, message: &Object, channel: Option<&Arc<Channel>>) -> bool {
    let text = |name| rpc::text(message, name).filter(|text: &&str| !text.is_empty());
    let (Some(to), Some(body)) = (text("to"), text("body")) else { return false };
    let (proto, to) = to.split_once('+').unwrap_or((PROTO, to));
    let login = ask.client.login();
    if rpc::get(message, "inDialog").is_some_and(rpc::means_yes) {
        if let Some(channel) = channel {
            let mut event = Event::new(EventName::Message);
            for (name, value) in [
                ("proto", PROTO),
                ("from", login.uid.as_str()),
                ("from_user", &login.id),
                ("from_host", &login.domain),
                ("to", to),
                ("type", "text/plain"),
                ("from_full", &login.id),
                ("verto_profile", ask.client.profile.name()),
                ("verto_jsock_uuid", &ask.client.session()),
                ("call_id", channel.uuid()),
            ] {
                event.push(name, value.to_owned());
            }
            event.set_body(body.to_owned());
            channel.queue_event(event);
        }
        return true;
    }
    let chat = ChatMessage { from: &login.uid, to, body, kind: "text/plain" };
    let kinds = ask.switch.provided(|provides| provides.chats);
    for kind in kinds.filter(|kind| kind.name.eq_ignore_ascii_case(proto)) {
        (kind.send)(ask.switch, &chat);
    }
    true
}

/// A text for a user's clients (`chat verto|…`); false when none is connected.
pub(crate) fn chat(switch: &Switch, message: &ChatMessage<'_>) -> bool {
    if message.from.is_empty() || message.body.is_empty() {
        return false;
    }
    let hub = Hub::of(switch);
    let clients = hub.clients_of(message.to);
    for client in &clients {
        let mut text = Object::new();
        for (name, value) in [("from", message.from), ("to", message.to), ("body", message.body)] {
            text.insert(name.into(), value.into());
        }
        let mut params = Object::new();
        params.insert("msg".into(), text.into());
        client.send(hub.request("verto.info", params));
    }
    !clients.is_empty()
}
