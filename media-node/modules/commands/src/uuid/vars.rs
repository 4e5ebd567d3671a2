//! A call's variables: `uuid_getvar`, `uuid_setvar`, `uuid_dump`.

use super::{Api, ApiCall, NO_CHANNEL, OK, usage};
use crate::api;

/// The family.
pub const APIS: &[Api] = &[
    api!("create_uuid", "mod_commands", "", "Create a uuid", create),
    api!("uuid_dump", "mod_commands", DUMP, "Dump session vars", dump),
    api!("uuid_exists", "mod_commands", "<uuid>", "Check if a uuid exists", exists),
    api!("uuid_getvar", "mod_commands", GETVAR, "Get a variable from a channel", getvar),
    api!("uuid_setvar", "mod_commands", SETVAR, "Set a variable on a channel", setvar),
    api!(
        "uuid_setvar_multi",
        "mod_commands",
        MULTI,
        "Set multiple variables on a channel",
        setvar_multi
    ),
];

const DUMP: &str = "<uuid> [format]";
const GETVAR: &str = "<uuid> <var>";
const SETVAR: &str = "<uuid> <var> [value]";
const MULTI: &str = "<uuid> <var>=<value>;<var>=<value>...";

fn create(_call: &ApiCall) -> String {
    crate::clock::new_uuid()
}

fn exists(call: &ApiCall) -> String {
    call.switch.channel(call.args.trim()).is_some().to_string()
}

fn getvar(call: &ApiCall) -> String {
    let words = call.words(3);
    let (Some(uuid), Some(name)) = (words.first(), words.get(1)) else { return usage(GETVAR) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    channel.var_marked(name).unwrap_or_else(|| "_undef_".into())
}

fn setvar(call: &ApiCall) -> String {
    let words = crate::text::words_marked(&call.marked, 3);
    let (Some(uuid), Some(name)) = (words.first(), words.get(1)) else { return usage(SETVAR) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    channel.set_var_as_is(name.clone(), words.get(2).cloned().unwrap_or_default());
    OK.into()
}

fn setvar_multi(call: &ApiCall) -> String {
    let (uuid, pairs) = call.args.trim().split_once(' ').unwrap_or_default();
    if pairs.is_empty() {
        return usage(MULTI);
    }
    let Some(channel) = call.switch.channel(uuid) else {
        return format!("{NO_CHANNEL}{}", usage(MULTI));
    };
    for pair in crate::call::dialstring::separate(pairs, ';') {
        if let Some((name, value)) = pair.split_once('=') {
            channel.set_var_as_is(name.trim().to_owned(), value);
        }
    }
    OK.into()
}

fn dump(call: &ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return usage(DUMP) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let mut event = channel.channel_data(false);
    esl_server::stamp!(call.switch.bus, &mut event);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match words.get(1).map(|format| format.to_ascii_lowercase()).as_deref() {
        Some("json") => text(&event.json()),
        Some("xml") => text(&event.xml()),
        Some("plain") => {
            let mut out = String::new();
            event.for_each_header(|name, value| {
                out.push_str(&format!("{name}: [{}]\n", value.text()))
            });
            out
        }
        _ => text(&event.plain()),
    }
}
