//! `sched_hangup`, `sched_transfer`, `sched_broadcast`, `sched_cancel`, `enable_heartbeat`.

use std::sync::Arc;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Cause, Session, broadcast, heartbeat};
use crate::text;
use switch_core::schedule::{self, Job};

/// The family.
pub const APPS: &[App] = &[
    app!(
        "sched_hangup",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[+]<time> [<cause>]",
        "Schedule a hangup in the future",
        sched_hangup
    ),
    app!(
        "sched_transfer",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[+]<time> <extension> <dialplan> <context>",
        "Schedule a transfer in the future",
        sched_transfer
    )
    .marked(),
    app!(
        "sched_broadcast",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[+]<time> <path> [aleg|bleg|both]",
        "Schedule a broadcast in the future",
        sched_broadcast
    )
    .path()
    .marked(),
    app!(
        "broadcast",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path> [leg]",
        "Broadcast File",
        broadcast_file
    )
    .path()
    .marked(),
    app!(
        "sched_cancel",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[group]",
        "cancel scheduled tasks",
        sched_cancel
    ),
    app!(
        "sched_heartbeat",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[0|<seconds>]",
        "Enable Scheduled Heartbeat",
        enable_heartbeat
    ),
    app!(
        "enable_heartbeat",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[0|<seconds>]",
        "Enable Media Heartbeat",
        enable_heartbeat
    ),
];

/// Plays a file, or runs an application, on the leg, its partner or both, as `uuid_broadcast` does.
async fn broadcast_file(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 2);
    let Some(path) = words.first() else {
        tracing::error!(uuid = %session.channel().uuid(), "broadcast: no path");
        return Ok(());
    };
    broadcast::broadcast(session.channel(), path, words.get(1).map_or("", String::as_str));
    Ok(())
}

async fn sched_hangup(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let Some(time) = words.first() else { return Ok(()) };
    let cause = words.get(1).map_or(Cause::ALLOTTED_TIMEOUT, |name| Cause::parse(name));
    let partner = words.get(2).is_some_and(|leg| leg.eq_ignore_ascii_case("bleg"));
    let when = schedule::epoch(time);
    if when <= crate::clock::now_secs() {
        session.channel().hangup(cause);
        return session.check();
    }
    let uuid = Arc::clone(session.channel().uuid());
    let id =
        session.switch().scheduler.add(session.switch(), when, Job::hangup(&uuid, cause, partner));
    session.channel().set_var("last_sched_id", id.to_string());
    Ok(())
}

async fn sched_transfer(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words_marked(argument, 4);
    let (Some(time), Some(exten)) = (words.first(), words.get(1)) else { return Ok(()) };
    let job = Job::transfer(
        session.channel().uuid(),
        exten,
        words.get(2).map(|word| base::far::plain(word).into_owned()),
        words.get(3).map(|word| base::far::plain(word).into_owned()),
    );
    let id = session.switch().scheduler.add(session.switch(), schedule::epoch(time), job);
    session.channel().set_var("last_sched_id", id.to_string());
    Ok(())
}

async fn sched_broadcast(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let (Some(time), Some(path)) = (words.first(), words.get(1)) else { return Ok(()) };
    let legs = words.get(2).map_or("aleg", String::as_str);
    let job = Job::broadcast(session.channel().uuid(), path, legs);
    let id = session.switch().scheduler.add(session.switch(), schedule::epoch(time), job);
    session.channel().set_var("last_sched_id", id.to_string());
    Ok(())
}

async fn sched_cancel(session: &mut Session, argument: &str) -> AppResult {
    let group = if argument.is_empty() {
        session.channel().uuid().to_string()
    } else {
        argument.to_owned()
    };
    session.switch().scheduler.remove(session.switch(), &group);
    Ok(())
}

async fn enable_heartbeat(session: &mut Session, argument: &str) -> AppResult {
    let seconds = u32::try_from(text::int(argument)).unwrap_or(0);
    let seconds =
        if argument.is_empty() || (seconds == 0 && text::is_true(argument)) { 60 } else { seconds };
    heartbeat::start(session.channel(), seconds);
    Ok(())
}
