//! `fifo`, `fifo_member`, `fifo_add_outbound`, `fifo_check_bridge`.

use std::fmt::Write as _;
use std::sync::Arc;

use switch_core::api;
use switch_core::api::{Api, ApiCall, usage};
use switch_core::switch::Switch;
use switch_core::{clock, text};

use crate::center::{self, Fifos, hostname};
use crate::lists;
use crate::state::{Member, Node, PRIORITIES, State, Waiting, identity};

/// The commands.
pub(crate) const APIS: &[Api] = &[
    api!("fifo", "mod_fifo", SYNTAX, "Return data about a fifo", async fifo),
    api!("fifo_member", "mod_fifo", MEMBER_SYNTAX, "Add members to a fifo", member),
    api!(
        "fifo_add_outbound",
        "mod_fifo",
        "<node> <url> [<priority>]",
        "Add outbound members to a fifo",
        add_outbound
    ),
    api!(
        "fifo_check_bridge",
        "mod_fifo",
        "<uuid>|<outbound_id>",
        "check if uuid is in a bridge",
        check_bridge
    ),
];

const SYNTAX: &str =
    "list|list_verbose|count|debug|status|has_outbound|importance [<fifo name>]|reparse [del_all]";
const MEMBER_SYNTAX: &str = "[add <fifo_name> <originate_string> [<simo_count>] [<timeout>] [<lag>] [<expires>] \
     [<taking_calls>] | del <fifo_name> <originate_string>]";
const OK: &str = "+OK\n";
const INVALID: &str = "-ERR Invalid!\n";

async fn fifo(call: ApiCall) -> String {
    let words = call.words(5);
    let fifos = center::of(&call.switch);
    let Some(action) = words.first() else { return format!("{SYNTAX}\n") };
    let name = words.get(1).map(String::as_str);
    match action.to_ascii_lowercase().as_str() {
        "status" => status(&fifos.state.lock()),
        "debug" => {
            let mut state = fifos.state.lock();
            if let Some(level) = name {
                state.debug = text::int(level).max(0);
            }
            format!("debug {}\n", state.debug)
        }
        "reparse" => {
            let all = name.is_some_and(|word| word.eq_ignore_ascii_case("del_all"));
            fifos.reparse(&call.switch, all).await;
            OK.into()
        }
        "list" => lists::report(&call.switch, &fifos.state.lock(), name, false),
        "list_verbose" => lists::report(&call.switch, &fifos.state.lock(), name, true),
        "importance" => importance(&fifos, name, words.get(2).map(String::as_str)),
        "count" => {
            let state = fifos.state.lock();
            lines(&state, name, |node| counts(&call.switch, &state, node))
        }
        "has_outbound" => lines(&fifos.state.lock(), name, |node| {
            format!("{}:{}\n", node.name, i64::from(node.has_outbound))
        }),
        _ => format!("-ERR Usage: {SYNTAX}\n"),
    }
}

/// A line for each fifo, or for one.
fn lines(state: &State, name: Option<&str>, line: impl Fn(&Node) -> String) -> String {
    let nodes = match name {
        Some(name) => state.node(name).into_iter().collect(),
        None => state.ordered(),
    };
    if nodes.is_empty() { "none\n".into() } else { nodes.into_iter().map(line).collect() }
}

fn counts(switch: &Switch, state: &State, node: &Node) -> String {
    let idle = |uuid: &&Arc<str>| switch.channel(uuid).is_some_and(|leg| leg.partner().is_none());
    format!(
        "{}:{}:{}:{}:{}:{}\n",
        node.name,
        node.consumers.len(),
        node.waiting(),
        state.member_count(&node.name),
        node.ringing,
        node.consumers.iter().filter(idle).count()
    )
}

fn importance(fifos: &Fifos, name: Option<&str>, given: Option<&str>) -> String {
    let mut state = fifos.state.lock();
    let Some(node) = name.and_then(|name| state.node_mut(name)) else {
        return "no fifo by that name\n".into();
    };
    if let Some(given) = given {
        node.importance = text::int(given).max(0);
    }
    format!("importance: {}\n", node.importance)
}

fn status(state: &State) -> String {
    let mut out = String::new();
    for node in state.ordered() {
        let _fits = write!(
            out,
            "node: {}\n outbound_name: {}\n outbound_per_cycle: {} outbound_per_cycle_min: {} outbound_priority: {} \
             outbound_strategy: {}\n has_outbound: {}\n outbound_priority: {}\n busy: 0\n ready: {}\n waiting: {}\n",
            node.name,
            node.outbound_name.as_deref().unwrap_or_default(),
            node.per_cycle,
            node.per_cycle_min,
            node.priority,
            node.strategy.name(),
            i64::from(node.has_outbound),
            node.priority,
            node.ready,
            node.waiting()
        );
    }
    let sets = [
        (" caller_orig:\n", &state.caller_orig),
        (" consumer_orig:\n", &state.consumer_orig),
        (" bridge:\n", &state.bridged),
    ];
    for (title, names) in sets {
        out.push_str(title);
        let mut names: Vec<_> = names.iter().collect();
        names.sort();
        for name in names {
            let _fits = writeln!(out, "  {name}");
        }
    }
    out
}

fn member(call: &ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(MEMBER_SYNTAX);
    }
    let words = call.words(8);
    let [action, fifo, dial, rest @ ..] = words.as_slice() else { return INVALID.into() };
    let fifos = center::of(&call.switch);
    let number = |at: usize, least: i64, usual: i64| {
        rest.get(at).map(|word| text::int(word)).filter(|n| *n >= least).unwrap_or(usual)
    };
    match action.to_ascii_lowercase().as_str() {
        "add" => {
            let expires = rest.get(3).map_or(0, |word| clock::now_secs() + text::int(word));
            let member = Member {
                simo: number(0, 0, 1),
                timeout: number(1, 0, 60),
                lag: number(2, 0, 5),
                expires,
                taking_calls: number(4, 1, 1),
                ..Member::new(fifo, dial, &hostname(&call.switch))
            };
            fifos.state.lock().add_member(member);
            OK.into()
        }
        "del" => {
            fifos.state.lock().delete_member(fifo, &identity(dial));
            OK.into()
        }
        _ => INVALID.into(),
    }
}

fn add_outbound(call: &ApiCall) -> String {
    let words = call.words(4);
    let [fifo, url, rest @ ..] = words.as_slice() else { return "0".into() };
    let priority = rest.first().map_or(0, |word| text::int(word)).max(0);
    let slot = usize::try_from(priority).unwrap_or(0).min(PRIORITIES - 1);
    let fifos = center::of(&call.switch);
    let place = {
        let mut state = fifos.state.lock();
        state.make(fifo, 0);
        state.push(fifo, slot, Waiting::Dial(url.clone()))
    };
    fifos.wake_consumers(&call.switch, fifo);
    place.unwrap_or(0).to_string()
}

fn check_bridge(call: &ApiCall) -> String {
    let known = center::of(&call.switch).state.lock().bridged.contains(call.args.trim());
    known.to_string()
}
