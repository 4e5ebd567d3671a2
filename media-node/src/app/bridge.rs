//! The `bridge` application: dial, join, and decide what follows a failure.

use std::sync::Arc;

use super::{App, Flags};
use crate::app;
use crate::call::originate::{self, Request};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, bridge, transfer};
use crate::text;

/// The family.
pub const APPS: &[App] =
    &[app!("bridge", "mod_dptools", Flags::NO_MEDIA, "<channel_url>", "Bridge Audio", run)];

async fn run(session: &mut Session, argument: &str) -> AppResult {
    if argument.is_empty() {
        return Ok(());
    }
    session.run_hooks("pre_originate").await;
    let request = Request { dial: argument.to_owned(), ..Request::default() };
    let switch = Arc::clone(session.switch());
    let result = originate::originate(&switch, &request, Some(session)).await;
    session.ring_wait(false);
    match result {
        Ok(peer) => bridged(session, &peer).await,
        Err(failure) => {
            session.check()?;
            after_failure(session, failure.cause)
        }
    }
}

async fn bridged(session: &mut Session, peer: &Arc<Channel>) -> AppResult {
    session.run_hooks("post_originate").await;
    if let Err(interrupt) = session.check() {
        peer.hangup(Cause::ORIGINATOR_CANCEL);
        return Err(interrupt);
    }
    session.bridge_to(peer).await?;
    bridge::after_bridge(session, peer).await
}

/// The caller is still there and nobody answered: go on, go elsewhere, or end with the same cause.
fn after_failure(session: &mut Session, cause: Cause) -> AppResult {
    let channel = Arc::clone(session.channel());
    if cause != Cause::ATTENDED_TRANSFER && continues(&channel, cause) {
        return Ok(());
    }
    if let Some(rule) = channel.var("transfer_on_fail") {
        if text::is_true(&rule) {
            return Ok(());
        }
        let mut parts = rule.split_whitespace();
        if listed(parts.next().unwrap_or_default(), cause) {
            let exten = match parts.next() {
                None | Some("auto_cause") => cause.name().to_owned(),
                Some(exten) => exten.to_owned(),
            };
            transfer::transfer(&channel, &exten, parts.next(), parts.next());
            return Err(Interrupt::Moved);
        }
    }
    channel.hangup(cause);
    Err(Interrupt::Hangup)
}

fn continues(channel: &Channel, cause: Cause) -> bool {
    let go_on = channel.var("continue_on_fail");
    let failures = channel.var("failure_causes");
    if let Some(list) = &failures
        && !listed(list, cause)
    {
        return true;
    }
    if let Some(rule) = &go_on {
        return text::is_true(rule)
            && Cause::parse_strict(rule)
                .is_none_or(|_| rule.parse::<u16>().is_err() || rule == "1")
            || listed(rule, cause);
    }
    failures.is_none()
        && matches!(cause, Cause::NO_ANSWER | Cause::NO_USER_RESPONSE | Cause::ORIGINATOR_CANCEL)
}

/// Is the cause named, by name or number, in the comma list?
fn listed(list: &str, cause: Cause) -> bool {
    list.split(',').map(str::trim).any(|item| Cause::parse_strict(item) == Some(cause))
}
