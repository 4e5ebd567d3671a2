//! `intercept` and `pickup`: answering somebody else's call.

use std::sync::Arc;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Cause, Channel, Session, bridge};
use crate::endpoint::pickup;
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("intercept", "mod_dptools", Flags::NO_MEDIA, "[-bleg] <uuid>", "intercept", intercept),
    app!("pickup", "mod_dptools", Flags::NO_MEDIA, "[<key>]", "Pickup", run_pickup),
];

async fn intercept(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let bleg = words.first().is_some_and(|word| word.eq_ignore_ascii_case("-bleg"));
    let Some(uuid) = words.get(usize::from(bleg)) else {
        tracing::error!(uuid = %session.channel().uuid(), "Usage: [-bleg] <uuid>");
        return Ok(());
    };
    let found = session.switch().channel(uuid);
    let target = if bleg { found.and_then(|leg| partner_of(&leg)) } else { found };
    let Some(target) = target.filter(|leg| leg.is_up()) else {
        tracing::warn!(uuid = %session.channel().uuid(), "no uuid: {uuid}");
        return Ok(());
    };
    take(session, &target).await
}

/// The leg it is bridged to, or that it rings for.
fn partner_of(leg: &Channel) -> Option<Arc<Channel>> {
    leg.partner().or_else(|| leg.switch().channel(&leg.var("signal_bond")?))
}

/// Takes `target` out of its call and talks to it; whom it talked to is picked off.
pub async fn take(session: &mut Session, target: &Arc<Channel>) -> AppResult {
    let own = Arc::clone(session.channel());
    if Arc::ptr_eq(&own, target) {
        return Ok(());
    }
    let says = |name: &str| own.lookup(name).is_some_and(|value| text::is_true(&value));
    if says("intercept_unbridged_only") && target.partner().is_some() {
        return Ok(());
    }
    if says("intercept_unanswered_only") && target.is_answered() {
        return Ok(());
    }
    session.answer().await?;
    tracing::info!(
        uuid = %own.uuid(), fs_level = "NOTICE",
        "{} intercepts {}", own.name(), target.name()
    );
    let left = target.partner();
    bridge::uuid_bridge(target, &own);
    if let Some(left) = left {
        left.hangup(Cause::PICKED_OFF);
    }
    session.check()
}

/// Answers the oldest call that waits under the key (`pickup/<key>` in a dial string).
async fn run_pickup(session: &mut Session, argument: &str) -> AppResult {
    let key = argument.trim();
    let switch = Arc::clone(session.switch());
    let waiting = pickup::waiting(&switch, key);
    let caller = waiting
        .as_ref()
        .and_then(|leg| leg.var("originating_leg_uuid"))
        .and_then(|uuid| switch.channel(&uuid));
    match (waiting, caller) {
        (Some(leg), Some(caller)) if caller.is_up() => {
            session.channel().set_var("pickup", leg.uuid().to_string());
            take(session, &caller).await
        }
        _ => Ok(()),
    }
}
