//! `mutex`: calls that go one at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::time::Instant;

use super::turns::Turns;
use super::{App, Flags};
use crate::app;
use crate::call::transfer::transfer;
use crate::call::{AppResult, Interrupt, Session, Wake};
use crate::text;

/// The family.
pub const APPS: &[App] = &[app!(
    "mutex",
    "mod_dptools",
    Flags::NO_MEDIA,
    "<keyname>[ on|off]",
    "block on a call flow only allowing one at a time",
    mutex
)
.marked()];

async fn mutex(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 2);
    let Some(key) = words.first() else { return Ok(()) };
    let channel = Arc::clone(session.channel());
    let turns = session.switch().module::<Turns>();
    if words.get(1).is_some_and(|word| !text::is_true(word)) {
        turns.leave(Some(key), channel.uuid());
        return Ok(());
    }
    turns.queue(key, channel.uuid());
    let had = wait_turn(session, key).await;
    if had == Ok(true) {
        return Ok(());
    }
    turns.leave(Some(key), channel.uuid());
    if had? {
        return Ok(());
    }
    if let Some(exten) = channel.var("mutex_orbit_exten") {
        let (dialplan, context) =
            (channel.var("mutex_orbit_dialplan"), channel.var("mutex_orbit_context"));
        transfer(&channel, &exten, dialplan.as_deref(), context.as_deref());
    }
    session.check()
}

/// Waits until it is this call's turn; false when `mutex_timeout` seconds were not enough.
async fn wait_turn(session: &mut Session, key: &str) -> Result<bool, Interrupt> {
    let channel = Arc::clone(session.channel());
    let turns = session.switch().module::<Turns>();
    let seconds = channel
        .var("mutex_timeout")
        .and_then(|text| u64::try_from(text::int(&text)).ok())
        .unwrap_or(0);
    let until = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
    let mut watch = turns.watch();
    while !turns.has_turn(key, channel.uuid()) {
        if matches!(session.wait_or(until, watch.changed()).await?, Either::Left(Wake::Timeout)) {
            return Ok(false);
        }
    }
    Ok(true)
}
