//! `uuid_audio_stream`.

use std::sync::Arc;

use switch_core::api::{ApiCall, usage};
use switch_core::call::Channel;
use switch_core::text;
use voice::capture::Mix;
use voice::dialects::stream::{Setup, Stream};
use voice::target::Target;

use crate::registry::{self, Control, Family};
use crate::settings::Settings;
use crate::split::split;
use crate::start::{self, Order};
use crate::{EMPTY, FAILED, OK};

pub(crate) const SYNTAX: &str = "<uuid> [start | stop | send_text | pause | resume | mute | unmute | graceful-shutdown ] \
     [wss-url | path | user | program | all] [mono | mixed | stereo] [8000 | 16000] [metadata]";

/// A call has one stream of this family.
const NAME: &str = "audio_stream";

pub(crate) async fn run(call: ApiCall) -> String {
    let words = split(&call.marked, 6);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else { return usage(SYNTAX) };
    if verb == "start" && words.len() < 4 {
        return usage(SYNTAX);
    }
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    let said = words.get(2).map(String::as_str).filter(|said| !said.is_empty());
    // What was no UTF-8 on the wire comes with this character in its place.
    let broken = said.is_some_and(|said| said.contains('\u{fffd}'));
    let reply = match verb.to_ascii_lowercase().as_str() {
        "start" => start(&call, &channel, &words).await,
        "stop" | "send_text" if broken => EMPTY,
        "stop" => done(registry::stop(&channel, Family::Stream, NAME, said.map(str::to_owned))),
        "send_text" => match said {
            Some(said) => ask(&channel, Control::Send(said.to_owned())),
            None => EMPTY,
        },
        verb @ ("pause" | "resume" | "mute" | "unmute") => {
            Control::of(verb, said.unwrap_or_default()).map_or(FAILED, |asked| ask(&channel, asked))
        }
        _ => FAILED,
    };
    reply.into()
}

fn done(done: bool) -> &'static str {
    if done { OK } else { FAILED }
}

fn ask(channel: &Channel, control: Control) -> &'static str {
    done(registry::find(channel, Family::Stream, NAME).is_some_and(|handle| handle.ask(control)))
}

async fn start(call: &ApiCall, channel: &Arc<Channel>, words: &[String]) -> &'static str {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let Some(mix) = Mix::of(word(3)) else { return EMPTY };
    let rate = if word(4).is_empty() { Some(8000) } else { start::rate(word(4)) };
    let (Some(target), Some(rate)) = (Target::stream(word(2)), rate) else { return FAILED };
    if !start::ensure_media(channel, call.channel.as_ref()).await {
        return FAILED;
    }
    let metadata = word(5);
    if metadata.starts_with('{') && serde_json::from_str::<serde_json::Value>(metadata).is_err() {
        tracing::warn!(uuid = %channel.uuid(), "uuid_audio_stream: the metadata is no JSON");
    }
    let settings = Settings::of(&call.switch);
    let playback = playback(channel, rate);
    let setup = Setup {
        rate,
        frame_ms: start::stream_frame(channel),
        metadata: metadata.to_owned(),
        playback,
        files: start::files(channel),
    };
    let order = Order {
        family: Family::Stream,
        name: NAME.to_owned(),
        targets: vec![target],
        way: start::stream_way(channel),
        mix,
        dialect: Box::new(Stream::new(setup)),
        capture_ms: settings.capture_ms,
        ping: start::stream_ping(channel, &settings),
        reconnects: 0,
        speaks: playback.is_some(),
        activity: start::activity(channel),
        duck: start::duck(channel),
        told: None,
        trusted: false,
    };
    match start::begin(channel, order) {
        Ok(_) => OK,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "uuid_audio_stream: {error}");
            FAILED
        }
    }
}

/// `STREAM_PLAYBACK`: the switch plays what comes; the rate of binary messages then.
fn playback(channel: &Channel, rate: u32) -> Option<u32> {
    if !channel.is_true("STREAM_PLAYBACK") {
        return None;
    }
    let set = channel.var("STREAM_SAMPLE_RATE").filter(|set| !set.is_empty());
    let set = set.and_then(|set| u32::try_from(text::int(&set)).ok());
    Some(set.filter(|rate| (1000..=192_000).contains(rate)).unwrap_or(rate))
}
