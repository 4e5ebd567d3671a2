//! `uuid_openai_audio_stream`.

use std::sync::Arc;

use serde_json::Value;
use switch_core::api::{ApiCall, usage};
use switch_core::call::Channel;
use voice::capture::Mix;
use voice::dialects::openai::{Model, Setup};
use voice::target::Target;

use crate::registry::{self, Control, Family};
use crate::settings::Settings;
use crate::split::split;
use crate::start::{self, Order};
use crate::{EMPTY, FAILED, OK};

pub(crate) const SYNTAX: &str = "<uuid> [start | stop | send_json | pause | resume | mute | unmute] \
     [wss-url | base64json | user | openai | all] [mono | mixed | stereo] [8k | 16k | 24k] [mute_user]";

/// A call has one stream of this family.
const NAME: &str = "openai_audio_stream";
/// Samples per second a model expects unless told otherwise.
const RATE: u32 = 24_000;
/// Tries to connect again unless `STREAM_NO_RECONNECT` says otherwise.
const RECONNECTS: u32 = 5;

pub(crate) async fn run(call: ApiCall) -> String {
    let words = split(&call.marked, 6);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else { return usage(SYNTAX) };
    if verb == "start" && words.len() < 4 {
        return usage(SYNTAX);
    }
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    let word = words.get(2).map_or("", String::as_str);
    let reply = match verb.to_ascii_lowercase().as_str() {
        "start" => start(&call, &channel, &words).await,
        "stop" => done(registry::stop(&channel, Family::Model, NAME, None)),
        "pause" => ask(&channel, Control::Pause { silence: false }),
        "resume" => ask(&channel, Control::Resume),
        "mute" => mute(&channel, "mute", word),
        "unmute" => mute(&channel, "unmute", word),
        "send_json" if word.is_empty() => EMPTY,
        "send_json" if is_object(word) => {
            ask(&channel, Control::Tune("send_json", word.to_owned()))
        }
        _ => FAILED,
    };
    reply.into()
}

fn done(done: bool) -> &'static str {
    if done { OK } else { FAILED }
}

fn ask(channel: &Channel, control: Control) -> &'static str {
    done(registry::find(channel, Family::Model, NAME).is_some_and(|handle| handle.ask(control)))
}

fn mute(channel: &Channel, verb: &'static str, whom: &str) -> &'static str {
    match whom {
        "" => ask(channel, Control::Tune(verb, "user".to_owned())),
        "user" | "openai" | "all" | "both" => ask(channel, Control::Tune(verb, whom.to_owned())),
        _ => FAILED,
    }
}

/// Is that the base64 of a JSON object?
fn is_object(word: &str) -> bool {
    let decoded = voice::audio::decode(word).and_then(|octets| String::from_utf8(octets).ok());
    decoded.is_some_and(|text| matches!(serde_json::from_str(&text), Ok(Value::Object(_))))
}

async fn start(call: &ApiCall, channel: &Arc<Channel>, words: &[String]) -> &'static str {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let Some(mix) = Mix::of(word(3)) else { return EMPTY };
    // `mute_user` may stand where the rate may be left out.
    let mute_user = word(4) == "mute_user" || word(5) == "mute_user";
    let rate = match word(4) {
        "" | "mute_user" => Some(RATE),
        set => start::rate(set),
    };
    let (Some(target), Some(rate)) = (Target::stream(word(2)), rate) else { return FAILED };
    if !start::ensure_media(channel, call.channel.as_ref()).await {
        return FAILED;
    }
    let settings = Settings::of(&call.switch);
    let setup = Setup {
        rate,
        frame_ms: start::stream_frame(channel),
        mute_user,
        keeps_files: !channel.is_true("STREAM_DISABLE_AUDIOFILES"),
        files: start::files(channel),
    };
    let mut way = start::stream_way(channel);
    let key = channel.var("STREAM_OPENAI_API_KEY").filter(|key| !key.is_empty());
    way.headers.extend(key.map(|key| start::bearer(&key)));
    let order = Order {
        family: Family::Model,
        name: NAME.to_owned(),
        targets: vec![target],
        way,
        mix,
        dialect: Box::new(Model::new(setup)),
        capture_ms: settings.capture_ms,
        ping: start::stream_ping(channel, &settings),
        reconnects: if channel.is_true("STREAM_NO_RECONNECT") { 0 } else { RECONNECTS },
        speaks: true,
        activity: start::activity(channel),
        duck: start::duck(channel),
        told: None,
        trusted: false,
    };
    match start::begin(channel, order) {
        Ok(_) => OK,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "uuid_openai_audio_stream: {error}");
            FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_sent_as_json() {
        assert!(is_object("eyJ0eXBlIjoieCJ9"));
        for other in ["", "W10=", "*", "bm8="] {
            assert!(!is_object(other), "{other}");
        }
    }
}
