//! `guesses`: who guesses passwords, and is held back for it.

use std::fmt::Write as _;
use std::time::Instant;

use super::{Api, ApiCall, usage};
use crate::api;
use switch_core::guesses::{Door, shown};

const SYNTAX: &str = "[list [sip|event_socket]|count|clear [<address>|<account>]]";

/// The family.
pub const APIS: &[Api] =
    &[api!("guesses", "mod_commands", SYNTAX, "Show and forget who guesses passwords", run)];

fn run(call: &ApiCall) -> String {
    let words = call.words(3);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | [""] | ["list"] => list(call, &Door::ALL),
        ["list", name] => match Door::ALL.iter().find(|door| door.name() == *name) {
            Some(door) => list(call, &[*door]),
            None => usage(SYNTAX),
        },
        ["count"] => count(call),
        ["clear"] => clear(call, None),
        ["clear", who] => clear(call, Some(who)),
        _ => usage(SYNTAX),
    }
}

fn list(call: &ApiCall, doors: &[Door]) -> String {
    let now = Instant::now();
    let mut out = String::from("door,kind,who,failures,seconds_held_back,seconds_ago\n");
    let mut total = 0;
    for door in doors {
        for entry in call.switch.guesses.at(*door).list(now) {
            let (kind, who) = shown(&entry.subject);
            total += 1;
            let who = crate::text::harmless(&who).replace(',', "_");
            let _ = writeln!(
                out,
                "{},{kind},{who},{},{},{}",
                door.name(),
                entry.failures,
                entry.wait.as_millis().div_ceil(1000),
                entry.ago.as_secs()
            );
        }
    }
    let _ = write!(out, "\n{total} total.\n");
    out
}

fn count(call: &ApiCall) -> String {
    let mut out = String::from("door,failed,held_back,barred\n");
    for door in Door::ALL {
        let counts = call.switch.guesses.at(door).counts();
        let _ = writeln!(
            out,
            "{},{},{},{}",
            door.name(),
            counts.failed,
            counts.held_back,
            counts.barred
        );
    }
    out
}

fn clear(call: &ApiCall, who: Option<&str>) -> String {
    let cleared: usize =
        Door::ALL.iter().map(|door| call.switch.guesses.at(*door).clear(who)).sum();
    match (cleared, who) {
        (0, Some(who)) => format!("-ERR nobody of that name is held back: {who}\n"),
        _ => format!("+OK {cleared} forgotten\n"),
    }
}
