//! A call's media: recording, volume, displacement, what is attached to it.

use super::{Api, ApiCall, FAILED, NO_CHANNEL, OK, SUCCESS, usage};
use crate::api;
use crate::text;
use media::leg::Side;

/// The family.
pub const APIS: &[Api] = &[
    api!("pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_audio", "mod_commands", AUDIO, "uuid_audio", audio),
    api!("uuid_capture_text", "mod_commands", "<uuid> <on|off>", "start/stop capture_text", unread)
        .no_effect(TEXT),
    api!("uuid_codec_debug", "mod_commands", CODEC_DEBUG, "Send codec a debug message", codec)
        .no_effect("codecs have no log of their own"),
    api!("uuid_codec_param", "mod_commands", CODEC_PARAM, "Send codec a param", codec_param)
        .no_effect("codecs have no parameters that change in a call"),
    api!("uuid_debug_media", "mod_commands", DEBUG, "Debug media", debug_media)
        .no_effect("packets are seen by tools that capture them"),
    api!("uuid_fileman", "mod_commands", FILEMAN, "Manage session audio", fileman).path(),
    api!("uuid_jitterbuffer", "mod_commands", JITTER, "uuid_jitterbuffer", jitterbuffer),
    api!(
        "uuid_media_stats",
        "mod_commands",
        "<uuid>",
        "Loss, jitter, round trip and score of a call's audio, as JSON",
        media_stats
    ),
    api!(
        "uuid_media_params",
        "mod_commands",
        "<uuid> <json>",
        "Update remote vid params",
        video_of
    )
    .no_effect(VIDEO),
    api!("uuid_pause", "mod_commands", PAUSE, "Pause media on a channel", pause),
    api!("uuid_preprocess", "mod_commands", "<>", "Pre-process Channel", preprocess)
        .no_effect("there is no echo canceller, gain control or noise suppression"),
    api!("uuid_send_text", "mod_commands", "<uuid> <text>", "Send text in real-time", unread)
        .no_effect(TEXT),
    api!("uuid_set_media_stats", "mod_commands", "<uuid>", "Set media stats", set_media_stats),
    api!("uuid_video_bandwidth", "mod_commands", "<uuid> <bw>", "Send video bandwidth", video_of)
        .no_effect(VIDEO),
    api!(
        "uuid_video_bitrate",
        "mod_commands",
        "<uuid> <bitrate>",
        "Send video bitrate req.",
        video_of
    )
    .no_effect(VIDEO),
    api!("uuid_video_refresh", "mod_commands", REFRESH, "Send video refresh.", video)
        .no_effect(VIDEO),
];

const AUDIO: &str = "<uuid> [start [read|write] [mute|level <level>]|stop]";
const CODEC_DEBUG: &str = "<uuid> audio|video <level>";
const CODEC_PARAM: &str = "<uuid> audio|video read|write <param> <val>";
const REFRESH: &str = "<uuid> [auto|manual]";
const TEXT: &str = "real-time text is passed between legs, not read or written";
const VIDEO: &str = "video is passed between legs: far ends ask each other for what they need";
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

/// Refused: nothing of the kind can be done, and the reference's failure says so.
fn refused(call: &ApiCall, words: usize, syntax: &str) -> String {
    if call.words(words).len() < words { usage(syntax) } else { "-ERR Operation Failed\n".into() }
}

fn codec(call: &ApiCall) -> String {
    refused(call, 3, CODEC_DEBUG)
}

fn codec_param(call: &ApiCall) -> String {
    let words = call.words(5);
    let (Some(uuid), Some(_), Some(_)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(CODEC_PARAM);
    };
    // A codec that takes no parameters answers nothing, there as here.
    let outcome = match call.switch.channel(uuid) {
        Some(_) => "+OK Command sent reply:",
        None => "-ERR Operation Failed",
    };
    format!("{outcome} [NOT SENT]\n")
}

fn video(call: &ApiCall) -> String {
    refused(call, 1, REFRESH)
}

fn video_of(call: &ApiCall) -> String {
    refused(call, 2, "<uuid> <value>")
}

fn unread(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(_)) = (words.first(), words.get(1)) else {
        return usage("<uuid> <text>");
    };
    match call.switch.channel(uuid) {
        Some(_) => "-ERR Operation Failed\n".into(),
        None => format!("-ERR No such channel {uuid}!\n"),
    }
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

fn media_stats(call: &ApiCall) -> String {
    crate::json::uuid_media_stats(call)
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
