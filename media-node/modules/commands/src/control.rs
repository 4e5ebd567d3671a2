//! Commands that act on the whole switch: `reloadxml`, `hupall`, `bgapi`, `log`, and small questions.

use std::sync::Arc;

use esl_server::event::{Event, EventName};

use super::{Api, ApiCall, net, usage};
use crate::call::Cause;
use crate::{api, clock, config};

/// The family.
pub const APIS: &[Api] = &[
    api!("bgapi", "mod_commands", "<command>[ <arg>]", "Execute an api command in a thread", bgapi),
    api!("file_exists", "mod_commands", "<file>", "Check if a file exists on server", async file_exists).path(),
    api!("hupall", "mod_commands", "<cause> [<var> <value>] [<var2> <value2>]", "hupall", hupall),
    api!("log", "mod_commands", LOG, "Log", log),
    api!("nat_map", "mod_commands", NAT_MAP, "Manage NAT", nat_map),
    api!("reloadxml", "mod_commands", "[dry]", "Reload XML", async reloadxml),
];

const LOG: &str = "<level> <message>";
const NAT_MAP: &str =
    "[status|republish|reinit] | [add|del] <port> [tcp|udp] [static] | [mapping] <enable|disable>";

async fn reloadxml(call: ApiCall) -> String {
    let dry = call.args.trim().eq_ignore_ascii_case("dry");
    let reloaded =
        if dry { config::try_reload(&call.switch).await } else { net::reload(&call).await };
    let mut out = format!("+OK [{}]\n", reloaded.status);
    // Programs compare the reply with the reference's one line.
    for line in reloaded.told.iter().filter(|_| dry || call.console) {
        out.push_str(&format!("{line}\n"));
    }
    if dry && reloaded.serves {
        let would = if reloaded.told.is_empty() {
            "nothing would change"
        } else {
            "nothing has changed yet"
        };
        out.push_str(&format!("Tried only: {would}\n"));
    }
    out
}

fn hupall(call: &ApiCall) -> String {
    let words = call.words(64);
    let (name, cause) = match words.first() {
        Some(word) => {
            let cause = Cause::parse(word);
            (cause.name(), cause)
        }
        None => (Cause::MANAGER_REQUEST.name(), Cause::MANAGER_REQUEST),
    };
    let pairs: Vec<(&str, &str)> = words
        .get(1..)
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str())))
        .collect();
    for channel in call.switch.channels() {
        let meant =
            pairs.iter().all(|(variable, value)| channel.var(variable).as_deref() == Some(*value));
        if meant {
            channel.hangup(cause);
        }
    }
    match pairs[..] {
        [] => format!("+OK hangup all channels with cause {name}\n"),
        [(variable, value)] => {
            format!("+OK hangup all channels matching [{variable}]=[{value}] with cause: {name}\n")
        }
        [(variable, value), ..] => {
            format!(
                "+OK hangup all channels matching [{variable}]=[{value}]... with cause: {name}\n"
            )
        }
    }
}

fn bgapi(call: &ApiCall) -> String {
    let mut text = call.marked.trim();
    let mut job = clock::new_uuid();
    if let Some(rest) = text.strip_prefix("uuid:") {
        let (uuid, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        uuid.clone_into(&mut job);
        text = rest;
    }
    if text.is_empty() {
        return "-ERR Invalid syntax\n".into();
    }
    let (command, args) = text.split_once(' ').unwrap_or((text, ""));
    let (command, args) = (command.to_owned(), args.to_owned());
    let reply = format!("+OK Job-UUID: {job}\n");
    let switch = Arc::clone(&call.switch);
    crate::foreign::spawn(async move {
        let output = switch.run_api(&command, &args, None).await;
        let output = output.unwrap_or_else(|| format!("-ERR {command} Command not found!\n"));
        let mut event = Event::new(EventName::BackgroundJob);
        event.push("Job-UUID", job);
        event.push("Job-Command", command);
        event.push("Job-Command-Arg", args);
        event.set_body(output);
        esl_server::fire!(switch.bus, event);
    });
    reply
}

async fn file_exists(call: ApiCall) -> String {
    tokio::fs::try_exists(call.args.trim()).await.unwrap_or(false).to_string()
}

/// Where the reference logs such lines: tools that pick them out look for it.
const PLACE: &str = "mod_commands.c:log_function:7200";

/// Logs for an administrator or a dialplan; false for a level that does not exist.
pub fn log_line(level: &str, line: &str, uuid: &str) -> bool {
    let Some(level) = crate::parse_level(level) else { return false };
    crate::log_line(level, Some(PLACE), uuid, line);
    true
}

fn log(call: &ApiCall) -> String {
    match call.args.trim().split_once(' ') {
        Some((level, line)) if log_line(level, line, "") => "+OK\n".into(),
        Some(_) => "-ERR\n".into(),
        None => usage(LOG),
    }
}

/// Mappings of a router in between (UPnP, NAT-PMP): there are none to manage, and it says so as the reference does where
/// it finds no such router.
fn nat_map(call: &ApiCall) -> String {
    let words = call.words(5);
    let verb = words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let is = |wanted: &str| verb.contains(wanted);
    let status = |mapping: &str| {
        format!("Nat Type: UNKNOWN, ExtIP: \nNAT port mapping {mapping}.\n\n0 total.\n")
    };
    match words.len() {
        0 => usage(NAT_MAP),
        _ if is("status") || is("reinit") => status("enabled"),
        _ if is("republish") => "true".into(),
        1 => usage(NAT_MAP),
        _ if is("mapping") => {
            let off = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("disable"));
            status(if off { "disabled" } else { "enabled" })
        }
        _ => "false".into(),
    }
}
