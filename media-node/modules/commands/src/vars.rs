//! Global variables and expansion: `global_getvar`, `eval`, `expand`, `getenv`.

use std::sync::Arc;

use esl_server::event::{Event, EventName};

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::Channel;
use crate::host;
use crate::switch::Switch;

/// The family.
pub const APIS: &[Api] = &[
    api!("eval", "mod_commands", "[uuid:<uuid> ]<expression>", "eval (noop)", async eval),
    api!("expand", "mod_commands", "[uuid:<uuid> ]<cmd> <args>", "Execute an api with variable expansion", async expand),
    api!("getenv", "mod_commands", "name", "getenv", getenv),
    api!("global_getvar", "mod_commands", "<var>", "Get global variable", getvar),
    api!("global_setvar", "mod_commands", SETVAR, "Set global variable", setvar),
];

const SETVAR: &str = "<var>=<value> [=<value2>]";

fn getvar(call: &ApiCall) -> String {
    let name = call.args.trim();
    if !name.is_empty() {
        return call.switch.global_marked(name).unwrap_or_default();
    }
    let mut out = String::new();
    for (name, value) in call.switch.globals().iter() {
        out.push_str(&format!("{name}={value}\n"));
    }
    out
}

fn setvar(call: &ApiCall) -> String {
    let Some((name, rest)) = call.marked.split_once('=') else { return usage(SETVAR) };
    let name = name.trim();
    if name.is_empty() {
        return usage(SETVAR);
    }
    let (value, expected) = rest.split_once('=').unwrap_or((rest, ""));
    // With a third part the value is only set if the old one is that, as in the reference; no third value means any.
    let old = call.switch.global(name).unwrap_or_default();
    if !expected.is_empty() && !old.is_empty() && old != base::far::plain(expected) {
        return "-ERR".into();
    }
    if call.switch.set_global(name, value) {
        "+OK".into()
    } else {
        "-ERR refused to clients on other machines (allow-host-commands in event_socket.conf)\n"
            .into()
    }
}

fn getenv(call: &ApiCall) -> String {
    std::env::var(call.args.trim()).unwrap_or_else(|_| "_undef_".into())
}

/// Splits `uuid:<uuid> text`.
fn addressed(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix("uuid:") {
        Some(rest) => {
            let (uuid, text) = rest.split_once(' ').unwrap_or((rest, ""));
            (Some(uuid), text)
        }
        None => (None, text),
    }
}

/// Expands for the calling channel, or from the headers of the addressed one, or from globals only.
async fn expanded(
    switch: &Arc<Switch>,
    channel: Option<&Arc<Channel>>,
    uuid: Option<&str>,
    text: &str,
) -> String {
    if let Some(channel) = channel.filter(|_| uuid.is_none()) {
        return host::expand_for(switch, Some(channel), text).await;
    }
    let event = match uuid.and_then(|uuid| switch.channel(uuid)) {
        Some(channel) => channel.channel_data(false),
        None => Event::new(EventName::ChannelData),
    };
    host::expand_headers(switch, &event, text).await
}

async fn eval(call: ApiCall) -> String {
    let (uuid, text) = addressed(&call.marked);
    expanded(&call.switch, call.channel.as_ref(), uuid, text).await
}

async fn expand(call: ApiCall) -> String {
    let (uuid, text) = addressed(call.marked.trim());
    if text.is_empty() {
        return "-ERR No input\n".into();
    }
    let (command, args) = text.split_once(' ').unwrap_or((text, ""));
    let args = expanded(&call.switch, call.channel.as_ref(), uuid, args).await;
    let run = call.switch.run_api_marked(command, &args, call.channel.clone());
    Box::pin(run).await.unwrap_or_else(|| "-ERR Cannot execute command\n".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_be_named_first() {
        assert_eq!(addressed("uuid:1-2 a b"), (Some("1-2"), "a b"));
        assert_eq!(addressed("a uuid:b"), (None, "a uuid:b"));
    }
}
