//! `bind_digit_action`, `digit_action_set_realm`, `clear_digit_action`.

use std::sync::Arc;

use super::digit_filter;
use super::digit_machine::{Bound, DigitMachine, Party};
use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Channel, Session, bridge};

/// The family.
pub const APPS: &[App] = &[
    app!(
        "bind_digit_action",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<realm>,<digits|~regex>,<string>[,<value>][,<dtmf target leg>][,<event target leg>]",
        "bind a key sequence or regex to an action",
        bind
    )
    .marked(),
    app!(
        "digit_action_set_realm",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<realm>[,<target>]",
        "change binding realm",
        set_realm
    ),
    app!(
        "clear_digit_action",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<realm>|all[,<target>]",
        "clear all digit bindings",
        clear
    ),
];

async fn bind(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let parts = crate::text::separated_marked(argument, ',', 6);
    let [realm, digits, what, rest @ ..] = parts.as_slice() else {
        tracing::error!(
            uuid = %channel.uuid(),
            "Syntax Error, USAGE <realm>,<digits|~regex>,<string>[,<value>][,<dtmf target leg>][,<event target leg>]"
        );
        return Ok(());
    };
    let plain = |text: &str| base::far::plain(text).into_owned();
    let (realm, digits, what) = (&plain(realm), plain(digits), plain(what));
    let part = |at: usize| rest.get(at).map(String::as_str);
    let bound = Bound {
        digits: digits.clone(),
        what: what.clone(),
        value: part(0).unwrap_or_default().to_owned(),
        listen: Party::parse(part(1)),
        act: Party::parse(part(2)),
    };
    tracing::info!(uuid = %channel.uuid(), "Digit parser {realm}: binding [{digits}] {what}");
    channel.with(|data| data.slot::<DigitMachine>().bind(realm, bound));
    digit_filter::note(&channel);
    bridge::digits_changed(&channel);
    Ok(())
}

/// The leg, or those, a realm command is about.
fn targets(channel: &Arc<Channel>, target: Option<&str>) -> Vec<Arc<Channel>> {
    let own = || Some(Arc::clone(channel));
    match Party::parse(target) {
        Party::Own => own().into_iter().collect(),
        Party::Peer => channel.partner().into_iter().collect(),
        Party::Both => own().into_iter().chain(channel.partner()).collect(),
    }
}

async fn set_realm(session: &mut Session, argument: &str) -> AppResult {
    let (realm, target) = split(argument);
    for leg in targets(session.channel(), target) {
        if !leg.with(|data| data.slot::<DigitMachine>().set_realm(realm)) {
            tracing::error!(uuid = %leg.uuid(), "no such realm: {realm}");
        }
        digit_filter::note(&leg);
    }
    Ok(())
}

async fn clear(session: &mut Session, argument: &str) -> AppResult {
    let (realm, target) = split(argument);
    for leg in targets(session.channel(), target) {
        leg.with(|data| data.slot::<DigitMachine>().clear(realm));
        digit_filter::note(&leg);
        bridge::digits_changed(&leg);
    }
    Ok(())
}

fn split(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once(',') {
        Some((realm, target)) => (realm.trim(), Some(target)),
        None => (argument.trim(), None),
    }
}
