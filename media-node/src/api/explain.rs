//! `explain`: why a call that is up would go where it goes.

use std::sync::Arc;

use dialplan_xml::Host as _;
use dialplan_xml::dialplan::PROFILE_FIELDS;
use dialplan_xml::explain::explain;
use dialplan_xml::simulate::Caller;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::Channel;

/// The family.
pub const APIS: &[Api] =
    &[api!("explain", "mod_dialplan_xml", SYNTAX, "Explain a dialplan decision", explain_call)];

const SYNTAX: &str = "<uuid> [<destination> [<context>]]";

/// The decision is made for a copy of the call: nothing about the call changes, nothing is run.
fn explain_call(call: &ApiCall) -> String {
    let words = call.words(3);
    let Some(uuid) = words.first().filter(|w| !w.is_empty()) else { return usage(SYNTAX) };
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR No such channel!\n".into() };
    let mut caller = on_paper(&channel);
    for (name, word) in ["destination_number", "context"].iter().zip(words.iter().skip(1)) {
        caller.set_field(name, word);
    }
    let dialplan = Arc::clone(&call.switch.config.load().dialplan);
    explain(&dialplan, &mut caller).to_text(false)
}

fn on_paper(channel: &Channel) -> Caller {
    let mut caller = Caller::new("", "default");
    for name in PROFILE_FIELDS {
        if let Some(value) = channel.field(name) {
            caller.set_field(name, &value);
        }
    }
    let vars = channel.vars();
    for (name, _) in vars.iter() {
        caller.set_variable(name, channel.var(name).as_deref());
    }
    caller.globals = channel.switch().globals();
    caller.now = Timestamp::now();
    caller.zone = TimeZone::system();
    caller
}
