//! Where a call goes: answer, park, transfer, bridge, broadcast, hang up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Api, ApiCall, NO_CHANNEL, OK, in_task, no_such_channel, usage};
use crate::api;
use crate::call::transfer::{Legs, Moving, transfer, transfer_legs};
use crate::call::{Cause, Channel, Direction, State, broadcast, heartbeat};
use crate::text;
use switch_log as log;

/// The family.
pub const APIS: &[Api] = &[
    api!("break", "mod_commands", BREAK, "uuid_break", interrupt),
    api!("uuid_answer", "mod_commands", "<uuid>", "answer", async answer),
    api!("uuid_break", "mod_commands", BREAK, "Break out of media sent to channel", interrupt),
    api!("uuid_bridge", "mod_commands", BRIDGE, "Bridge call legs", bridge),
    api!(
        "uuid_broadcast",
        "mod_commands",
        BROADCAST,
        "Execute dialplan application",
        run_broadcast
    )
    .path(),
    api!(
        "uuid_dual_transfer",
        "mod_commands",
        DUAL,
        "Transfer a session and its partner",
        dual_transfer
    ),
    api!("uuid_early_ok", "mod_commands", "<uuid>", "stop ignoring early media", early_ok),
    api!("uuid_kill", "mod_commands", KILL, "Kill channel", kill),
    api!("uuid_loglevel", "mod_commands", LOGLEVEL, "Set loglevel on session", loglevel),
    api!(
        "uuid_outgoing_answer",
        "mod_commands",
        "<uuid>",
        "Answer outgoing channel",
        outgoing_answer
    ),
    api!("uuid_park", "mod_commands", "<uuid>", "Park channel", park),
    api!("uuid_pre_answer", "mod_commands", "<uuid>", "pre_answer", async pre_answer),
    api!("uuid_ring_ready", "mod_commands", RING_READY, "Sending ringing to a channel", async ring_ready),
    api!(
        "uuid_session_heartbeat",
        "mod_commands",
        HEARTBEAT,
        "uuid_session_heartbeat",
        session_heartbeat
    ),
    api!("uuid_transfer", "mod_commands", TRANSFER, "Transfer a session", run_transfer),
    api!(
        "uuid_zombie_exec",
        "mod_commands",
        "<uuid>",
        "Set zombie_exec flag on the specified uuid",
        zombie_exec
    ),
];

const BREAK: &str = "<uuid> [all]";
const BRIDGE: &str = "<uuid> <other_uuid>";
const BROADCAST: &str = "<uuid> <path> [aleg|bleg|holdb|both]";
const DUAL: &str = "<uuid> <A-dest-exten>[/<A-dialplan>][/<A-context>] <B-dest-exten>[/<B-dialplan>][/<B-context>]";
const HEARTBEAT: &str = "uuid_session_heartbeat <uuid> [sched] [0|<seconds>]";
const KILL: &str = "<uuid> [cause]";
const LOGLEVEL: &str = "<uuid> <level>";
const RING_READY: &str = "<uuid> [queued]";
const TRANSFER: &str = "<uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]";
const ERROR: &str = "-ERROR\n";

fn kill(call: &ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return usage(KILL) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    channel.hangup(words.get(1).map_or(Cause::NORMAL_CLEARING, |name| Cause::parse(name)));
    OK.into()
}

async fn answer(call: ApiCall) -> String {
    let Some(channel) = call.switch.channel(call.args.trim()) else { return ERROR.into() };
    in_task(&call, &channel, |session| Box::pin(async move { session.answer().await.is_ok() }))
        .await;
    OK.into()
}

async fn pre_answer(call: ApiCall) -> String {
    let Some(channel) = call.switch.channel(call.args.trim()) else { return ERROR.into() };
    in_task(&call, &channel, |session| Box::pin(async move { session.pre_answer().await.is_ok() }))
        .await;
    OK.into()
}

async fn ring_ready(call: ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return usage(RING_READY) };
    let Some(channel) = call.switch.channel(uuid) else { return ERROR.into() };
    let queued = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("queued"));
    in_task(&call, &channel, move |session| {
        Box::pin(async move { session.ring_ready(queued).await.is_ok() })
    })
    .await;
    OK.into()
}

fn early_ok(call: &ApiCall) -> String {
    match call.switch.channel(call.args.trim()) {
        Some(channel) => {
            channel.flags.early_ok.store(true, Ordering::Relaxed);
            channel.notify();
            String::new()
        }
        None => ERROR.into(),
    }
}

fn outgoing_answer(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return usage("<uuid>");
    }
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    if channel.direction() != Direction::Outbound {
        return "-ERR Not an outbound channel!\n".into();
    }
    if channel.mark_answered() {
        let _full = channel
            .job(Box::new(|session| Box::pin(async move { session.run_answer_hooks().await })));
    }
    OK.into()
}

fn park(call: &ApiCall) -> String {
    let Some(channel) = call.switch.channel(call.args.trim()) else { return NO_CHANNEL.into() };
    channel.flags.transferred.store(true, Ordering::Relaxed);
    channel.set_state(State::Park);
    OK.into()
}

fn run_transfer(call: &ApiCall) -> String {
    let mut words = call.words(6);
    if words.len() < 2 {
        return usage(TRANSFER);
    }
    let uuid = words.remove(0);
    let legs = match words.first().map(|word| word.to_ascii_lowercase()).as_deref() {
        Some("-bleg") => Legs::Partner,
        Some("-both") => Legs::Both,
        _ => Legs::Own,
    };
    if legs != Legs::Own {
        words.remove(0);
    }
    let Some(exten) = words.first() else { return usage(TRANSFER) };
    let Some(channel) = call.switch.channel(&uuid) else { return NO_CHANNEL.into() };
    let (dialplan, context) = (words.get(1).map(String::as_str), words.get(2).map(String::as_str));
    if transfer_legs(&channel, legs, exten, dialplan, context) {
        OK.into()
    } else {
        "-ERR\n".into()
    }
}

/// `exten/dialplan/context`.
fn target(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let mut parts = text.splitn(3, '/');
    (parts.next().unwrap_or_default(), parts.next(), parts.next())
}

fn dual_transfer(call: &ApiCall) -> String {
    let words = call.words(3);
    let (Some(uuid), Some(a), Some(b)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(DUAL);
    };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let moving = Moving::begin(&channel);
    if let Some(partner) = channel.partner() {
        let (exten, dialplan, context) = target(b);
        transfer(&partner, exten, dialplan, context);
    }
    let (exten, dialplan, context) = target(a);
    transfer(&channel, exten, dialplan, context);
    drop(moving);
    OK.into()
}

fn bridge(call: &ApiCall) -> String {
    const INVALID: &str = "-ERR Invalid uuid\n";
    let words = call.words(4);
    let (Some(first), Some(second)) = (words.first(), words.get(1)) else { return usage(BRIDGE) };
    let find = |uuid: &str| call.switch.channel(uuid).filter(|channel| channel.is_up());
    let spare = || words.get(2).and_then(|uuid| find(uuid));
    let (Some(a), Some(b)) = (find(first), find(second).or_else(spare)) else {
        return INVALID.into();
    };
    if a.uuid() == b.uuid() {
        return INVALID.into();
    }
    // The leg with media leads.
    let (a, b) = match (a.has_media(), b.has_media()) {
        (false, false) => return INVALID.into(),
        (false, true) => (b, a),
        _ => (a, b),
    };
    crate::call::uuid_bridge::join(&a, &b);
    format!("+OK {second}\n")
}

fn run_broadcast(call: &ApiCall) -> String {
    let words = call.words(3);
    let (Some(uuid), Some(path)) = (words.first(), words.get(1)) else { return usage(BROADCAST) };
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR invalid uuid\n".into() };
    broadcast::broadcast(&channel, path, words.get(2).map_or("", String::as_str));
    "+OK Message sent\n".into()
}

fn interrupt(call: &ApiCall) -> String {
    let words = call.words(3);
    let Some(uuid) = words.first() else { return usage(BREAK) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let says = |wanted: &str| words.iter().skip(1).any(|word| word.eq_ignore_ascii_case(wanted));
    let stop = |channel: &Arc<Channel>| channel.interrupt(says("all"));
    stop(&channel);
    if says("both") {
        channel.partner().iter().for_each(stop);
    }
    OK.into()
}

fn loglevel(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(level)) = (words.first(), words.get(1)) else { return usage(LOGLEVEL) };
    if call.switch.channel(uuid).is_none() {
        return no_such_channel(uuid);
    }
    if log::calls::set_word(uuid, level) { OK.into() } else { "-ERR Invalid log level!\n".into() }
}

fn session_heartbeat(call: &ApiCall) -> String {
    let words = call.words(3);
    let Some(uuid) = words.first() else { return usage(HEARTBEAT) };
    let Some(channel) = call.switch.channel(uuid) else {
        return format!("-ERR Cannot locate session. USAGE: {HEARTBEAT}\n");
    };
    let word = words.iter().skip(1).find(|word| !word.eq_ignore_ascii_case("sched"));
    let seconds = match word {
        None => 60,
        Some(word) => u32::try_from(text::int(word)).unwrap_or(0),
    };
    let seconds =
        if seconds == 0 && word.is_some_and(|word| text::is_true(word)) { 60 } else { seconds };
    heartbeat::start(&channel, seconds);
    OK.into()
}

fn zombie_exec(call: &ApiCall) -> String {
    match call.switch.channel(call.args.trim()) {
        Some(channel) => {
            channel.flags.zombie.store(true, Ordering::Relaxed);
            "+OK MMM Brains...\n".into()
        }
        None => "-ERR no such session\n".into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_target_names_number_dialplan_and_context() {
        assert_eq!(super::target("1/XML/main"), ("1", Some("XML"), Some("main")));
        assert_eq!(super::target("1"), ("1", None, None));
    }
}
