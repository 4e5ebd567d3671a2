//! The event of a recognition, and digits that were spoken.

use esl_server::event::EventName;
use std::sync::Arc;
use switch_core::call::{Channel, Digit, DigitSource};
use switch_core::text;

/// Digits taken of one result.
const MOST_DIGITS: usize = 64;
/// Length of a key that was spoken, samples at 8000 Hz.
const KEY: u32 = 2000;

/// Fires DETECTED_SPEECH where it was asked for: to a connection that diverts the call's events, or to all clients with
/// `fire_asr_events`.
pub(super) fn fire(channel: &Channel, kind: &str, headers: &[(&'static str, String)], body: &str) {
    if !channel.with(|data| data.divert.is_some()) && !channel.is_true("fire_asr_events") {
        return;
    }
    channel.fire_with(
        EventName::DetectedSpeech,
        |event| {
            event.push("Speech-Type", kind.to_owned());
            for (name, value) in headers {
                event.push(*name, value.clone());
            }
        },
        |event| {
            if !body.is_empty() {
                event.set_body(body.to_owned());
            }
        },
    );
}

/// Queues the keys a result names (`asr_intercept_dtmf`): digits, `pound`, `hash`, `star`, `asterisk`.
pub(super) fn press(channel: &Arc<Channel>, said: &str) {
    for digit in keys(said) {
        channel.queue_digit(Digit { digit, duration: KEY, source: DigitSource::Inband });
    }
    channel.notify();
}

fn keys(said: &str) -> Vec<char> {
    let mut out = Vec::new();
    for word in said.split_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "pound" | "hash" => out.push('#'),
            "star" | "asterisk" => out.push('*'),
            word => out.extend(word.chars().filter(|c| c.is_ascii_digit() || "*#".contains(*c))),
        }
    }
    out.truncate(MOST_DIGITS);
    out
}

/// A number of milliseconds, or none where it is none.
pub(super) fn millis(value: &str) -> Option<std::time::Duration> {
    let ms = text::int(value);
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(std::time::Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoken_keys_are_digits_and_words_are_none() {
        assert_eq!(keys("12 star 3# pound bad"), ['1', '2', '*', '3', '#', '#']);
        assert_eq!(keys(&"9".repeat(500)).len(), MOST_DIGITS);
    }
}
