//! A call's media: recording, volume, displacement, what is attached to it.

use super::{Api, ApiCall, FAILED, NO_CHANNEL, OK, SUCCESS, usage};
use crate::api;
use crate::text;
use media::leg::Side;

/// The family.
pub const APIS: &[Api] = &[
    api!("pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_audio", "mod_commands", AUDIO, "uuid_audio", audio),
    api!("uuid_debug_media", "mod_commands", DEBUG, "Debug media", debug_media)
        .no_effect("packets are seen by tools that capture them"),
    api!("uuid_fileman", "mod_commands", FILEMAN, "Manage session audio", fileman),
    api!("uuid_jitterbuffer", "mod_commands", JITTER, "uuid_jitterbuffer", jitterbuffer),
    api!("uuid_pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_preprocess", "mod_commands", "<>", "Pre-process Channel", preprocess)
        .no_effect("there is no echo canceller, gain control or noise suppression"),
    api!("uuid_set_media_stats", "mod_commands", "<uuid>", "Set media stats", set_media_stats),
];

const AUDIO: &str = "<uuid> [start [read|write] [mute|level <level>]|stop]";
const DEBUG: &str = "<uuid> <read|write|both|vread|vwrite|vboth|all> <on|off>";
const FILEMAN: &str = "<uuid> <cmd>:<val>";
const JITTER: &str = "<uuid> [0|<min_msec>[:<max_msec>]]";
const PAUSE: &str = "<uuid> <on|off>";

fn audio(call: &ApiCall) -> String {
    let words = call.words(5);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else { return usage(AUDIO) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let word = |at: usize| words.get(at).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let leg = channel.media();
    if verb.eq_ignore_ascii_case("stop") {
        for side in [Side::Read, Side::Write] {
            let _closed = leg.as_ref().map(|leg| (leg.mute(side, false), leg.gain(side, 100)));
        }
        return OK.into();
    }
    let side = match word(2).as_str() {
        "read" => Side::Read,
        "write" => Side::Write,
        _ => return usage(AUDIO),
    };
    let (true, Some(level)) = (verb.eq_ignore_ascii_case("start"), words.get(4)) else {
        return usage(AUDIO);
    };
    let level = text::int(level);
    match (word(3).as_str(), leg) {
        // A level for mute is noise to hear instead of silence; 0 takes the mute away.
        ("mute", Some(leg)) if leg.mute(side, level != 0).is_err() => {
            return "-ERR Operation failed\n".into();
        }
        ("level", _) => crate::call::audio::set_level(&channel, side, level),
        ("mute", _) => {}
        _ => return usage(AUDIO),
    }
    OK.into()
}

fn pause(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(on)) = (words.first(), words.get(1)) else { return usage(PAUSE) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let on = text::is_true(on);
    if let Some(leg) = channel.media() {
        for side in [Side::Read, Side::Write] {
            let _closed = leg.mute(side, on);
        }
    }
    String::new()
}

fn debug_media(call: &ApiCall) -> String {
    let words = call.words(3);
    let [uuid, which, _] = words.as_slice() else { return format!("{}{FAILED}", usage(DEBUG)) };
    // Packets are not written into the log one by one; a capture (`sofia global capture`, tcpdump) shows them.
    let _asked = (uuid, which);
    FAILED.into()
}

fn fileman(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(order)) = (words.first(), words.get(1)) else { return usage(FILEMAN) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    match crate::app::play::steer(&channel, order) {
        Some(true) => OK.into(),
        Some(false) => "-ERR Operation failed\n".into(),
        None => "-ERR No file handle!\n".into(),
    }
}

/// Without a length, and with 0, the buffer is taken away.
fn jitterbuffer(call: &ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return usage(JITTER) };
    let value = words.get(1).map_or("0", String::as_str);
    let channel = call.switch.channel(uuid);
    let done = channel.is_some_and(|channel| crate::call::jitter::set(&channel, value));
    if done { SUCCESS.into() } else { FAILED.into() }
}

fn preprocess(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(_)) = (words.first(), words.get(1)) else { return usage("<>") };
    // No echo canceller and no gain control is built in.
    let known = call.switch.channel(uuid).is_some();
    if known { "-ERR Operation failed\n".into() } else { NO_CHANNEL.into() }
}

fn set_media_stats(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return usage("<uuid>");
    }
    let Some(channel) = call.switch.channel(uuid) else { return super::no_such_channel(uuid) };
    crate::call::statistics::set(&channel);
    "+OK:\n".into()
}
