//! What every stream begins with: the call's media, its settings in channel variables, its task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use switch_core::call::{Channel, Direction};
use switch_core::text;
use tokio::sync::mpsc;
use voice::Dialect;
use voice::audio::encode;
use voice::capture::{Capture, Mix};
use voice::target::Target;
use voice::vad::Settings as VadSettings;

use crate::activity::{Activity, ActivityOptions};
use crate::call_audio::CallAudio;
use crate::link::{Tls, Way};
use crate::registry::{self, Family, Handle, Refused};
use crate::session::{Plan, Session, Told};
use crate::settings::Settings;

/// How long a call may take to get its early media.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A stream to be begun.
pub(crate) struct Order {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) way: Way,
    pub(crate) mix: Mix,
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) capture_ms: u64,
    pub(crate) ping: Option<Duration>,
    pub(crate) reconnects: u32,
    /// The program's audio is heard.
    pub(crate) speaks: bool,
    pub(crate) activity: ActivityOptions,
    pub(crate) duck: u32,
    /// The module that is told what happens, instead of events.
    pub(crate) told: Option<mpsc::Sender<Told>>,
    /// The administrator wrote the address: it may be inside the node's own network.
    pub(crate) trusted: bool,
}

/// Why a stream cannot be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the call has no media")]
    NoMedia,
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Begins a stream. The call's media is tapped when this returns.
pub(crate) fn begin(channel: &Arc<Channel>, order: Order) -> Result<Arc<Handle>, StartError> {
    let settings = Settings::of(channel.switch());
    let activity = Activity::new(order.activity);
    let both = order.mix != Mix::Mono || order.activity.vad;
    let wanted = order.dialect.wanted();
    let audio = CallAudio::new(channel, both, order.speaks, order.duck, wanted.opus)
        .ok_or(StartError::NoMedia)?;
    let shown = order.targets.first().map(Target::shown).unwrap_or_default();
    let (handle, requests) = Handle::new(order.family, &order.name, shown);
    registry::add(channel, &handle, settings.streams)?;
    let plan = Plan {
        targets: order.targets,
        way: traced(channel, order.way),
        capture: Capture::new(order.mix, wanted.rate, wanted.frame_ms),
        capture_ms: order.capture_ms,
        ping: order.ping,
        reconnects: order.reconnects,
        activity,
        told: order.told,
        trusted: order.trusted,
    };
    let session = Session::new(channel, &handle, requests, order.dialect, audio, plan);
    let (channel, own) = (Arc::clone(channel), Arc::clone(&handle));
    tokio::spawn(async move {
        if switch_core::tasks::step("audio stream", session.run()).await.is_none() {
            registry::remove(&channel, &own, true);
        }
    });
    Ok(handle)
}

/// The same with a header `traceparent` (W3C Trace Context): of the variable of that name, or a trace named after the call.
fn traced(channel: &Channel, mut way: Way) -> Way {
    if !way.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("traceparent")) {
        let set = channel.var("traceparent").unwrap_or_default();
        let span = switch_core::clock::new_uuid();
        // A call that is traced tells of its own span, unless the dialplan has named another trace since.
        let other = base::trace::Context::parse(&set).map(|set| set.trace);
        let traced = base::trace::call(channel.uuid()).map(|call| call.context);
        let traced = traced.filter(|own| other.is_none_or(|other| other == own.trace));
        let header = traced
            .map_or_else(|| traceparent(&set, channel.uuid(), &span), |traced| traced.header());
        way.headers.push(("traceparent".to_owned(), header));
    }
    way
}

/// `version-trace-parent-flags`: the trace of `set` if it is one, with a span of our own.
fn traceparent(set: &str, call: &str, span: &str) -> String {
    let digits = |text: &str, most: usize| -> String {
        text.chars().filter(char::is_ascii_hexdigit).take(most).collect()
    };
    let parts: Vec<&str> = set.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && part.bytes().any(|b| b != b'0')
    };
    let (trace, flags) = match parts.as_slice() {
        ["00", trace, parent, flags] if hex(trace, 32) && hex(parent, 16) && flags.len() == 2 => {
            ((*trace).to_owned(), digits(flags, 2))
        }
        _ => (digits(call, 32).to_lowercase(), "01".to_owned()),
    };
    format!("00-{trace:0>32}-{:0>16}-{flags:0>2}", digits(span, 16).to_lowercase())
}

/// Sees to it that audio flows: a call that rings gets early media. False when it does not.
pub(crate) async fn ensure_media(channel: &Arc<Channel>, own: Option<&Arc<Channel>>) -> bool {
    if channel.has_media() || channel.direction() == Direction::Outbound {
        return channel.media().is_some();
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let posted = channel.job(Box::new(move |session| {
        Box::pin(async move {
            let done = session.pre_answer().await.is_ok();
            let _nobody_waits = sender.send(done);
        })
    }));
    if posted.is_err() {
        return false;
    }
    // A call that asks something of itself cannot be waited for.
    if own.is_some_and(|own| own.uuid() == channel.uuid()) {
        return channel.media().is_some();
    }
    let done = tokio::time::timeout(TIMEOUT, receiver).await;
    matches!(done, Ok(Ok(true))) && channel.media().is_some()
}

/// A rate as commands write it: `8k`, `16k`, or samples per second, a multiple of 8000.
pub(crate) fn rate(word: &str) -> Option<u32> {
    let rate = match word.to_ascii_lowercase().as_str() {
        "8k" => 8000,
        "16k" => 16_000,
        "24k" => 24_000,
        "48k" => 48_000,
        _ => u32::try_from(text::int(word)).ok()?,
    };
    (rate > 0 && rate % 8000 == 0 && rate <= 192_000).then_some(rate)
}

/// Path of a stream's files, without number and extension.
pub(crate) fn files(channel: &Channel) -> PathBuf {
    channel.switch().dirs.temp_dir.join(&**channel.uuid())
}

/// Headers of a JSON object; values that are no texts are left out.
pub(crate) fn headers(json: &str) -> Vec<(String, String)> {
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(json) else { return Vec::new() };
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    object.into_iter().filter_map(text).collect()
}

/// `Authorization: Basic …`.
pub(crate) fn basic(user: &str, password: &str) -> (String, String) {
    let pair = encode(format!("{user}:{password}").as_bytes());
    ("Authorization".to_owned(), format!("Basic {pair}"))
}

/// `Authorization: Bearer …`.
pub(crate) fn bearer(token: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {token}"))
}

/// A JSON object, or one made of whatever else the text is.
pub(crate) fn object(metadata: &str) -> Map<String, Value> {
    match serde_json::from_str(metadata) {
        Ok(Value::Object(object)) => object,
        _ if metadata.is_empty() => Map::new(),
        _ => Map::from_iter([("metadata".to_owned(), Value::from(metadata))]),
    }
}

/// Variables of mod_audio_stream's family.
pub(crate) fn stream_way(channel: &Channel) -> Way {
    let var = |name: &str| channel.var(name).filter(|value| !value.is_empty());
    let yes = |name: &str| channel.is_true(name);
    let authority = var("STREAM_TLS_CA_FILE").filter(|file| file != "SYSTEM");
    let none = authority.as_deref() == Some("NONE");
    Way {
        protocol: None,
        headers: var("STREAM_EXTRA_HEADERS").map(|json| headers(&json)).unwrap_or_default(),
        deflate: !yes("STREAM_MESSAGE_DEFLATE"),
        bare_host: false,
        tls: Tls {
            authorities: authority.filter(|_| !none),
            no_authority: none,
            no_name: none || yes("STREAM_TLS_DISABLE_HOSTNAME_VALIDATION"),
            expired: false,
            certificate: var("STREAM_TLS_CERT_FILE"),
            key: var("STREAM_TLS_KEY_FILE"),
        },
    }
}

/// `STREAM_BUFFER_SIZE`: milliseconds of a message, a multiple of 20.
pub(crate) fn stream_frame(channel: &Channel) -> u32 {
    let Some(set) = channel.var("STREAM_BUFFER_SIZE").filter(|set| !set.is_empty()) else {
        return 20;
    };
    match u32::try_from(text::int(&set)) {
        Ok(ms) if ms > 0 && ms % 20 == 0 && ms <= 10_000 => ms,
        _ => {
            tracing::warn!(uuid = %channel.uuid(), "STREAM_BUFFER_SIZE {set}: no multiple of 20");
            20
        }
    }
}

/// `STREAM_HEART_BEAT`: seconds between pings, where it is set.
pub(crate) fn stream_ping(channel: &Channel, settings: &Settings) -> Option<Duration> {
    match channel.var("STREAM_HEART_BEAT").filter(|set| !set.is_empty()) {
        Some(set) => {
            let seconds = u64::try_from(text::int(&set)).unwrap_or(0);
            (seconds > 0).then(|| Duration::from_secs(seconds))
        }
        None => settings.ping,
    }
}

/// Does `vad` ask for the network? Without it loudness decides.
pub(crate) fn is_neural(channel: &Channel, set: &str) -> bool {
    let asked = set.trim().eq_ignore_ascii_case("neural");
    if asked && !voice::vad::HAS_NETWORK {
        tracing::warn!(uuid = %channel.uuid(), "vad=neural: built without the feature neural-vad, loudness decides");
    }
    asked
}

/// Voice activity as channel variables ask for it.
pub(crate) fn activity(channel: &Channel) -> ActivityOptions {
    let number = |name: &str, default: u32| {
        let set = channel.var(name).filter(|set| !set.is_empty());
        set.map_or(default, |set| u32::try_from(text::int(&set)).unwrap_or(default))
    };
    let usual = VadSettings::default();
    let neural = channel.var("stream_vad").is_some_and(|set| is_neural(channel, &set));
    ActivityOptions {
        vad: channel.is_true("stream_vad") || neural,
        said: false,
        barge_in: channel.is_true("stream_barge_in"),
        turn_ms: number("stream_turn_silence_ms", 0),
        settings: VadSettings {
            threshold: number("stream_vad_threshold", usual.threshold),
            min_ms: number("stream_vad_min_ms", usual.min_ms),
            end_ms: number("stream_vad_end_ms", usual.end_ms),
            neural,
        },
    }
}

/// `stream_prebuffer_ms`: audio of a program that must be there before it is heard.
pub(crate) fn prebuffer(channel: &Channel) -> u64 {
    let set = channel.var("stream_prebuffer_ms").filter(|set| !set.is_empty());
    set.and_then(|set| u64::try_from(text::int(&set)).ok()).unwrap_or(20)
}

/// `stream_duck`: level of everything else while a program speaks, in percent.
pub(crate) fn duck(channel: &Channel) -> u32 {
    let set = channel.var("stream_duck").filter(|set| !set.is_empty());
    set.map_or(100, |set| u32::try_from(text::int(&set)).unwrap_or(100).min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_words_or_multiples_of_eight_thousand() {
        let all = ["8k", "16K", "8000", "24000", "48000", "64000"].map(rate);
        assert_eq!(all, [8000, 16_000, 8000, 24_000, 48_000, 64_000].map(Some));
        for odd in ["", "0", "11025", "x", "-8000", "800000"] {
            assert_eq!(rate(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_trace_goes_on_or_is_the_call_s() {
        let (call, span) =
            ("0a1b2c3d-0000-4000-8000-00000000000F", "11223344-5566-7788-99aa-bbccddeeff00");
        let own = "00-0a1b2c3d00004000800000000000000f-1122334455667788-01";
        for odd in ["", "x", "00-0-0-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"]
        {
            assert_eq!(traceparent(odd, call, span), own, "{odd}");
        }
        let set = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let on = "00-4bf92f3577b34da6a3ce929d0e0e4736-1122334455667788-00";
        assert_eq!(traceparent(set, call, span), on);
    }

    #[test]
    fn headers_are_the_texts_of_an_object() {
        assert_eq!(headers(r#"{"A":"b","c":1}"#), [("A".to_owned(), "b".to_owned())]);
        assert_eq!(headers("x"), []);
        assert_eq!(basic("u", "p").1, "Basic dTpw");
    }
}
