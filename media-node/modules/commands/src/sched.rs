//! Timed commands: `sched_api`, `sched_del`, and what is scheduled for calls.

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::Cause;
use crate::schedule::{Job, epoch};
use crate::text;

/// The family.
pub const APIS: &[Api] = &[
    api!("sched_api", "mod_commands", API, "Schedule an api command", sched_api),
    api!(
        "sched_broadcast",
        "mod_commands",
        BROADCAST,
        "Schedule a broadcast event to a running call",
        sched_broadcast
    )
    .path(),
    api!("sched_del", "mod_commands", "<task_id>|<group_id>", "Delete a scheduled task", sched_del),
    api!("sched_hangup", "mod_commands", HANGUP, "Schedule a running call to hangup", sched_hangup),
    api!(
        "sched_transfer",
        "mod_commands",
        TRANSFER,
        "Schedule a transfer for a running call",
        sched_transfer
    ),
    api!("unsched_api", "mod_commands", "<task_id>", "Unschedule an api command", unsched_api),
];

const API: &str = "[+@]<time> <group_name> <command_string>[&]";
const BROADCAST: &str = "[[+]<time>|@time] <uuid> <path> [aleg|bleg|both]";
const HANGUP: &str = "[+]<time> <uuid> [<cause>]";
const TRANSFER: &str = "[+]<time> <uuid> <extension> [<dialplan>] [<context>]";
const NO_CHANNEL: &str = "-ERR No such channel!\n";

fn sched_api(call: &ApiCall) -> String {
    let words = text::words_marked(&call.marked, 3);
    let (Some(time), Some(group), Some(command)) = (words.first(), words.get(1), words.get(2))
    else {
        return format!("-ERR Invalid syntax. USAGE: {API}\n");
    };
    let every = time.strip_prefix('@').and_then(|seconds| u32::try_from(text::int(seconds)).ok());
    let (name, args) = command
        .trim_end_matches('&')
        .split_once(' ')
        .unwrap_or((command.trim_end_matches('&'), ""));
    let id =
        call.switch.scheduler.add(&call.switch, epoch(time), Job::api(group, name, args, every));
    format!("+OK Added: {id}\n")
}

fn sched_del(call: &ApiCall) -> String {
    let which = call.args.trim();
    if which.is_empty() {
        return "-ERR Invalid syntax\n".into();
    }
    format!("+OK Deleted: {}\n", call.switch.scheduler.remove(&call.switch, which))
}

fn unsched_api(call: &ApiCall) -> String {
    let which = call.args.trim();
    if which.is_empty() {
        return usage("<task_id>");
    }
    let number = text::int(which).to_string();
    if call.switch.scheduler.remove(&call.switch, &number) > 0 {
        "+OK\n".into()
    } else {
        "-ERR No such id\n".into()
    }
}

fn sched_hangup(call: &ApiCall) -> String {
    let words = call.words(3);
    let (Some(time), Some(uuid)) = (words.first(), words.get(1)) else { return usage(HANGUP) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let cause = words.get(2).map_or(Cause::ALLOTTED_TIMEOUT, |name| Cause::parse(name));
    let when = epoch(time);
    if when <= crate::clock::now_secs() {
        channel.hangup(cause);
    } else {
        call.switch.scheduler.add(&call.switch, when, Job::hangup(uuid, cause, false));
    }
    "+OK\n".into()
}

fn sched_transfer(call: &ApiCall) -> String {
    let words = call.words(6);
    let (Some(time), Some(uuid), Some(exten)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(TRANSFER);
    };
    if call.switch.channel(uuid).is_none() {
        return NO_CHANNEL.into();
    }
    let job = Job::transfer(uuid, exten, words.get(3).cloned(), words.get(4).cloned());
    call.switch.scheduler.add(&call.switch, epoch(time), job);
    "+OK\n".into()
}

fn sched_broadcast(call: &ApiCall) -> String {
    let words = call.words(4);
    let (Some(time), Some(uuid), Some(path)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(BROADCAST);
    };
    let job = Job::broadcast(uuid, path, words.get(3).map_or("", String::as_str));
    call.switch.scheduler.add(&call.switch, epoch(time), job);
    "+OK Message scheduled\n".into()
}
