//! The dialects, one file each.

pub mod audiosocket;
pub mod chan_websocket;
pub mod fork;
pub mod openai;
pub mod stream;
pub mod transcriber;
pub mod twilio;
pub mod vosk;
pub mod whisper;

use serde_json::{Map, Value, json};

use crate::audio::{Coding, decode};
use crate::{Action, Actions, Input};

/// Largest clip that is put into a file, bytes.
const MAX_CLIP: usize = 32 * 1024 * 1024;

/// Rates a raw clip may have.
const RATES: [u32; 6] = [8000, 16_000, 24_000, 32_000, 48_000, 64_000];

/// The text of a mark, as the reference writes it.
fn mark_text(name: &str, event: &str) -> String {
    let name = crate::audio::quoted(name);
    format!(r#"{{"type": "mark", "data": {{"name":{name}, "event": "{event}"}}}}"#)
}

/// An object's text of that name.
fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    object.get(key)?.as_str()
}

/// A number, written as one or as a text.
fn number(object: &Map<String, Value>, key: &str) -> Option<u32> {
    let value = object.get(key)?;
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number
        .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64))
        .and_then(|number| u32::try_from(number).ok())
}

/// Base64 of a clip, if it is not too long.
fn clip(text: &str) -> Option<Vec<u8>> {
    if text.len() / 4 * 3 > MAX_CLIP { None } else { decode(text) }
}

/// The extension of a raw clip.
fn raw_extension(rate: u32) -> &'static str {
    match rate {
        8000 => "r8",
        24_000 => "r24",
        32_000 => "r32",
        48_000 => "r48",
        64_000 => "r64",
        _ => "r16",
    }
}

/// Samples of a WAV file, mixed down to one channel.
fn wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let (info, samples) = media::wav::decode(bytes).ok()?;
    Some((info.rate, samples))
}

/// What a text begins with that may be long or secret.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Linear samples of octets.
fn linear(octets: &[u8]) -> Vec<i16> {
    Coding::Linear.read(octets)
}

/// Why a connection was closed, in the words of RFC 6455 where the server had none.
fn close_reason(code: u16, reason: &str) -> String {
    if !reason.is_empty() {
        return reason.to_owned();
    }
    let known = match code {
        1000 => "Normal closure",
        1001 => "Going away",
        1002 => "Protocol error",
        1003 => "Unsupported data",
        1005 => "No status received",
        1006 => "Abnormal closure",
        1007 => "Invalid frame payload data",
        1008 => "Policy violation",
        1009 => "Message too big",
        1011 => "Internal error",
        _ => "",
    };
    known.to_owned()
}

/// What dialects without words of their own for it tell of a connection's end and of lost audio.
fn say_end_or_loss(input: Input<'_>, out: &mut Actions) {
    match input {
        Input::Closed(..) => out.push(Action::Event("disconnect", None)),
        Input::Failed(end) => {
            let body = json!({"reason": end.to_string()}).to_string();
            out.push(Action::Event("error", Some(body)));
        }
        Input::Overrun => out.push(Action::Log("audio lost: the program is too slow".into())),
        Input::Overflow => out.push(Action::Log("the program's audio found no room".into())),
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod kit {
    //! Feeding dialects in tests.

    use crate::{Action, Dialect, Input};

    /// What one input leads to.
    pub(crate) fn fed(dialect: &mut dyn Dialect, input: Input<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        dialect.feed(input, &mut out);
        out
    }

    /// The texts among actions.
    pub(crate) fn texts<'a>(actions: &'a [Action]) -> Vec<&'a str> {
        let text = |action: &'a Action| match action {
            Action::Text(text) | Action::AudioText(text) => Some(text.as_str()),
            _ => None,
        };
        actions.iter().filter_map(text).collect()
    }

    /// The events among them.
    pub(crate) fn events<'a>(actions: &'a [Action]) -> Vec<(&'a str, Option<&'a str>)> {
        let event = |action: &'a Action| match action {
            Action::Event(name, body) => Some((*name, body.as_deref())),
            Action::Store(_, name, body) => Some((*name, Some(body.as_str()))),
            _ => None,
        };
        actions.iter().filter_map(event).collect()
    }
}
