//! What becomes of the legs of a bridge that is over, and of a caller whose bridge never came about.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cause::Cause;
use super::channel::Channel;
use super::plan::Extension;
use super::session::{AppResult, Interrupt, Session};
use super::state::State;
use super::transfer;
use crate::text;

/// After a bridge by application: what the originator does next.
///
/// # Errors
/// [`Interrupt`] when the call is hung up, parked or transferred.
pub fn of_originator(session: &Session, peer: &Arc<Channel>) -> AppResult {
    session.check()?;
    let channel = Arc::clone(session.channel());
    if exec_after_bridge(&channel) {
        return Ok(());
    }
    let cause = peer.cause().unwrap_or(Cause::NORMAL_CLEARING);
    let hangup_rule = channel.var("hangup_after_bridge").unwrap_or_default();
    let answered = peer.is_answered();
    if !answered {
        failed(&channel, cause)?;
    }
    if hangup_rule.eq_ignore_ascii_case("explicit") {
        channel.hangup(cause);
        return Err(Interrupt::Hangup);
    }
    if (answered && channel.is_true("park_after_bridge"))
        || channel.is_true("park_after_early_bridge")
    {
        channel.set_state(State::Park);
        return Err(Interrupt::Moved);
    }
    let target = channel
        .var("transfer_after_bridge")
        .filter(|_| answered)
        .or_else(|| channel.var("transfer_after_early_bridge"));
    if let Some(target) = target {
        transfer_after_bridge(&channel, &target);
        return Err(Interrupt::Moved);
    }
    if answered && text::is_true(&hangup_rule) {
        channel.hangup(cause);
        return Err(Interrupt::Hangup);
    }
    Ok(())
}

/// The leg that did not ask for the bridge, still up: parked, sent elsewhere, or hung up.
pub(super) fn of_partner(peer: &Arc<Channel>) {
    if !peer.is_up() || exec_after_bridge(peer) {
        return;
    }
    if peer.is_true("park_after_bridge") {
        peer.set_state(State::Park);
    } else if let Some(target) = peer.var("transfer_after_bridge") {
        transfer_after_bridge(peer, &target);
    } else if peer.is_answered() {
        peer.hangup(Cause::NORMAL_CLEARING);
    } else if is_adopted(peer) {
        peer.set_var("park_timeout", ORPHAN_SECONDS);
        let _full = peer.job(Box::new(|leg| Box::pin(leg.run_hooks("orphaned_bleg"))));
        peer.set_state(State::Park);
    } else {
        peer.hangup(Cause::ORIGINATOR_CANCEL);
    }
}

/// Seconds an unanswered leg whose caller left waits for what its hook makes of it.
const ORPHAN_SECONDS: &str = "3";

/// Does a hook see to a leg whose caller left before the answer?
fn is_adopted(leg: &Channel) -> bool {
    let vars = leg.vars();
    vars.iter().any(|(name, _)| {
        ["execute_on_orphaned_bleg", "api_on_orphaned_bleg"].iter().any(|hook| {
            name.get(..hook.len()).is_some_and(|start| start.eq_ignore_ascii_case(hook))
        })
    })
}

/// A far end that held the other and then left takes it along, or sends it to `hold_hangup_xfer_exten`.
pub(super) fn held_partner(gone: &Channel, left: &Arc<Channel>) {
    let moved = left.flags.transferred.load(Ordering::Relaxed)
        || left.with(|data| data.state != data.running);
    if moved || !gone.flags.left_holding.load(Ordering::Relaxed) {
        return;
    }
    left.stop_broadcast();
    match gone.var("hold_hangup_xfer_exten") {
        Some(exten) => left.set_var("transfer_after_bridge", exten),
        None => left.hangup(Cause::NORMAL_CLEARING),
    }
}

/// `exten[:dialplan[:context]]`; the variable serves once.
fn transfer_after_bridge(channel: &Arc<Channel>, target: &str) {
    channel.unset_var("transfer_after_bridge");
    let mut parts = target.splitn(3, ':');
    let exten = parts.next().unwrap_or_default();
    transfer::transfer(channel, exten, parts.next(), parts.next());
}

/// `exec_after_bridge_app` takes the place of what the leg would do next.
fn exec_after_bridge(channel: &Arc<Channel>) -> bool {
    let Some(app) = channel.var("exec_after_bridge_app") else { return false };
    let argument = channel.var("exec_after_bridge_arg").unwrap_or_default();
    channel.with(|data| {
        data.begin_extension(Extension::new(app.as_str(), app.as_str(), [(&*app, argument)]));
    });
    channel.set_state(State::Execute);
    true
}

/// The caller is still there and no leg answered: go on, go elsewhere, or end with the same cause.
///
/// # Errors
/// [`Interrupt`] when the caller does not go on.
pub fn failed(channel: &Arc<Channel>, cause: Cause) -> AppResult {
    if cause != Cause::ATTENDED_TRANSFER && continues(channel, cause) {
        return Ok(());
    }
    if cause != Cause::ATTENDED_TRANSFER
        && let Some(rule) = channel.var("transfer_on_fail")
    {
        if text::is_true(&rule) {
            return Ok(());
        }
        let mut parts = rule.split_whitespace();
        if listed(parts.next().unwrap_or_default(), cause) {
            let exten = match parts.next() {
                None => cause.name(),
                Some(auto) if auto.eq_ignore_ascii_case("auto_cause") => cause.name(),
                Some(exten) => exten,
            };
            transfer::transfer(channel, exten, parts.next(), parts.next());
            return Err(Interrupt::Moved);
        }
    }
    channel.hangup(cause);
    Err(Interrupt::Hangup)
}

/// `failure_causes` and `continue_on_fail`: does the caller's dialplan go on after that cause?
fn continues(channel: &Channel, cause: Cause) -> bool {
    let go_on = channel.var("continue_on_fail");
    let failures = channel.var("failure_causes");
    if let Some(list) = &failures
        && !listed(list, cause)
    {
        return true;
    }
    if let Some(rule) = &go_on {
        // A number alone is a cause, not a yes.
        let yes = text::is_true(rule) && (rule == "1" || rule.parse::<u16>().is_err());
        return yes || listed(rule, cause);
    }
    failures.is_none()
        && matches!(cause, Cause::NO_ANSWER | Cause::NO_USER_RESPONSE | Cause::ORIGINATOR_CANCEL)
}

/// Is the cause named, by name or number, in the comma list?
fn listed(list: &str, cause: Cause) -> bool {
    list.split(',').map(str::trim).any(|item| Cause::parse_strict(item) == Some(cause))
}
