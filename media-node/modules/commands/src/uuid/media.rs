//! A call's media: recording, volume, displacement, what is attached to it.

use super::{Api, ApiCall, FAILED, NO_CHANNEL, OK, SUCCESS, usage};
use crate::api;
use crate::text;
use media::leg::Side;

/// The family.
pub const APIS: &[Api] = &[
    api!("pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_audio", "mod_commands", AUDIO, "uuid_audio", audio),
    api!("uuid_debug_media", "mod_commands", DEBUG, "Debug media", debug_media),
    api!("uuid_fileman", "mod_commands", FILEMAN, "Manage session audio", fileman),
    api!("uuid_jitterbuffer", "mod_commands", JITTER, "uuid_jitterbuffer", jitterbuffer),
    api!("uuid_pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_preprocess", "mod_commands", "<>", "Pre-process Channel", preprocess),
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
    let Some(leg) = channel.media() else { return "-ERR Operation failed\n".into() };
    let word = |at: usize| words.get(at).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    if verb.eq_ignore_ascii_case("stop") {
        for side in [Side::Read, Side::Write] {
            let _closed = leg.mute(side, false);
            let _closed = leg.gain(side, 100);
        }
        return OK.into();
    }
    if !verb.eq_ignore_ascii_case("start") {
        return usage(AUDIO);
    }
    let side = if word(2) == "write" { Side::Write } else { Side::Read };
    let done = match word(3).as_str() {
        // A level for mute is noise to hear instead of silence; 0 takes the mute away.
        "mute" => leg.mute(side, words.get(4).is_none_or(|level| text::int(level) != 0)),
        "level" => {
            crate::call::audio::set_level(&channel, side, text::int(&word(4)));
            Ok(())
        }
        _ => return usage(AUDIO),
    };
    if done.is_ok() { OK.into() } else { "-ERR Operation failed\n".into() }
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
    let known =
        matches!(which.as_str(), "read" | "write" | "both" | "vread" | "vwrite" | "vboth" | "all");
    if known && call.switch.channel(uuid).is_some() { SUCCESS.into() } else { FAILED.into() }
}

fn fileman(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(order)) = (words.first(), words.get(1)) else { return usage(FILEMAN) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_CHANNEL.into() };
    let steered = crate::app::play::steer(&channel, order);
    if steered { OK.into() } else { "-ERR No file handle!\n".into() }
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
    if call.switch.channel(uuid).is_some() { OK.into() } else { NO_CHANNEL.into() }
}

fn set_media_stats(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return usage("<uuid>");
    }
    if call.switch.channel(uuid).is_some() { "+OK:\n".into() } else { super::no_such_channel(uuid) }
}
