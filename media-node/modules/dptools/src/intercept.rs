//! `intercept` and `pickup`: answering another party's call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use esl_server::event::EventName;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{App, Flags};
use crate::app;
use crate::call::links::Link;
use crate::call::{AppResult, Cause, Channel, Direction, Session, State, uuid_bridge};
use crate::endpoint::pickup;
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("intercept", "mod_dptools", Flags::NO_MEDIA, "[-bleg] <uuid>", "intercept", intercept)
        .marked(),
    app!("pickup", "mod_dptools", Flags::NO_MEDIA, "[<key>]", "Pickup", run_pickup),
];

/// How long a caller may take to be answered before it is taken.
const ANSWER_TIME: Duration = Duration::from_secs(5);

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
    leg.partner().or_else(|| leg.linked(Link::Bond))
}

/// Takes `target` out of its call and talks to it; whom it talked to is picked off.
pub async fn take(session: &mut Session, target: &Arc<Channel>) -> AppResult {
    let own = Arc::clone(session.channel());
    if Arc::ptr_eq(&own, target) {
        return Ok(());
    }
    let says = |name: &str| own.var(name).is_some_and(|value| text::is_true(&value));
    if says("intercept_unbridged_only") && target.partner().is_some() {
        return Ok(());
    }
    if says("intercept_unanswered_only") && target.is_answered() {
        return Ok(());
    }
    session.answer().await?;
    session.wait_for(answer(target)).await?;
    tracing::info!(
        uuid = %own.uuid(), fs_level = "NOTICE",
        "{} intercepts {}", own.name(), target.name()
    );
    let left = target.partner();
    // Phones that ring for it learn that it was picked off, not that it gave up.
    let dials = target.flags.dials.load(Ordering::Relaxed);
    target.flags.intercepted.store(dials && left.is_none(), Ordering::Relaxed);
    uuid_bridge::join(target, &own);
    if let Some(left) = left {
        left.hangup(Cause::PICKED_OFF);
    }
    session.check()
}

/// A caller that still waits for an answer gets it from its own task; without one it has no audio to be bridged.
async fn answer(target: &Arc<Channel>) {
    if target.is_answered() || target.direction() != Direction::Inbound {
        return;
    }
    let (tell, answered) = oneshot::channel();
    let job = target.job(Box::new(move |session| {
        Box::pin(async move {
            let _interrupted = session.answer().await;
            let _gone = tell.send(());
        })
    }));
    if job.is_ok() {
        let _late = timeout(ANSWER_TIME, answered).await;
    }
}

/// Takes the oldest call that waits under the key (`pickup/<key>` in a dial string): this call becomes the leg that was
/// dialled, and waits to be bridged.
async fn run_pickup(session: &mut Session, argument: &str) -> AppResult {
    let own = Arc::clone(session.channel());
    let key = argument.trim();
    if key.is_empty() {
        tracing::warn!(uuid = %own.uuid(), "Missing data.  Usage: pickup <key>");
        return Ok(());
    }
    let Some(waiting) = pickup::waiting(session.switch(), key) else { return Ok(()) };
    let caller = waiting.profile();
    own.with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.callee_id_name = std::mem::take(&mut profile.caller_id_name);
            profile.callee_id_number = std::mem::take(&mut profile.caller_id_number);
            profile.caller_id_name.clone_from(&caller.caller_id_name);
            profile.caller_id_number.clone_from(&caller.caller_id_number);
        }
    });
    own.fire_with(
        EventName::CallUpdate,
        |event| {
            event.push("Direction", "RECV");
        },
        |_| {},
    );
    // How it came here is over: from now on it is a leg like any other that was called.
    own.flags.transferred.store(false, Ordering::Relaxed);
    own.set_state(State::Hibernate);
    waiting.link(Link::SwappedFor, &own);
    waiting.notify();
    session.check()
}
