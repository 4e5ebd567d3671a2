//! `chat`: a text message to somebody.

use esl_server::event::{Event, EventName};

use super::{Api, ApiCall};
use crate::api;
use crate::switch::Switch;

/// The family.
pub const APIS: &[Api] = &[api!("chat", "mod_dptools", SYNTAX, "chat", run)];

const SYNTAX: &str = "<proto>|<from>|<to>|<message>|[<content-type>]";

fn run(call: &ApiCall) -> String {
    let parts: Vec<&str> = call.args.splitn(5, '|').collect();
    let [proto, from, to, body, rest @ ..] = parts.as_slice() else { return "Invalid".into() };
    let kind = rest.first().copied().filter(|kind| !kind.is_empty()).unwrap_or("text/plain");
    let message = Message { from, to, body, kind };
    if message.send(&call.switch, proto) { "Sent".into() } else { "Error! Message Not Sent".into() }
}

/// A message between two addresses.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// Who sends it.
    pub from: &'m str,
    /// Who gets it: `user@domain`, with the profile before a slash if it is to be a certain one.
    pub to: &'m str,
    /// The text.
    pub body: &'m str,
    /// MIME type.
    pub kind: &'m str,
}

impl Message<'_> {
    /// Sends it; false when nobody can be reached that way.
    #[must_use]
    pub fn send(&self, switch: &Switch, proto: &str) -> bool {
        match proto.to_ascii_lowercase().as_str() {
            "sip" => self.by_sip(switch),
            "event" => {
                self.by_event(switch);
                true
            }
            _ => false,
        }
    }

    fn by_sip(&self, switch: &Switch) -> bool {
        // A line end would begin a header of its own.
        if self.kind.chars().any(char::is_control) {
            return false;
        }
        let Some(sofia) = switch.sofia() else { return false };
        let (profile, address) = self
            .to
            .split_once('/')
            .map_or((None, self.to), |(profile, address)| (Some(profile), address));
        let Some((user, host)) = address.split_once('@') else { return false };
        let mut sent = false;
        for one in sofia.profiles() {
            if profile.is_none_or(|name| one.name == name) {
                sent |= crate::sofia::notify::message(
                    &one, user, host, self.from, self.kind, self.body,
                );
            }
        }
        sent
    }

    fn by_event(&self, switch: &Switch) {
        let mut event = Event::new(EventName::Message);
        event.push("proto", "event");
        event.push("from", self.from);
        event.push("to", self.to);
        event.push("type", self.kind);
        event.set_body(self.body.to_owned());
        esl_server::fire!(switch.bus, event);
    }
}
