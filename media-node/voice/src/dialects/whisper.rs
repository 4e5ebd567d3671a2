//! A Whisper server that is streamed to (WhisperLive and its kin): settings as a text, samples as 32-bit floating point,
//! segments back that grow until they are complete.

use serde_json::{Map, Value, json};

use super::{excerpt, say_end_or_loss, text};
use crate::speech::{Speech, Words};
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_whisper";
/// These servers take no other rate.
pub const RATE: u32 = 16_000;
/// What tells the server that no more will come.
const END: &[u8] = b"END_OF_AUDIO";
/// Silence that lets the server close a segment, milliseconds.
const FLUSH_MS: usize = 1500;

/// How it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The call's name, for the server's log.
    pub uid: String,
    /// `en`; empty = the server finds out.
    pub language: String,
    /// The model's name; empty = the server's own.
    pub model: String,
}

/// One recognition.
#[derive(Debug)]
pub struct Whisper {
    setup: Setup,
    ready: bool,
    /// Start of the last complete segment that was told.
    told: f64,
    partial: String,
}

impl Whisper {
    /// A recognition that is not connected yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, ready: false, told: -1.0, partial: String::new() }
    }

    fn settings(&self) -> String {
        let Setup { uid, language, model } = &self.setup;
        let language = (!language.is_empty()).then_some(language);
        let mut settings =
            json!({"uid": uid, "language": language, "task": "transcribe", "use_vad": true});
        if !model.is_empty() {
            settings["model"] = model.as_str().into();
        }
        settings.to_string()
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(whole) else {
            return out.push(Action::Log(format!("not a JSON object: {}", excerpt(whole))));
        };
        if let Some(Value::Array(segments)) = object.get("segments") {
            return segments.iter().for_each(|segment| self.segment(segment, whole, out));
        }
        match (text(&object, "status"), text(&object, "message")) {
            (Some("ERROR"), _) => {
                let why = text(&object, "message").unwrap_or("the server refuses");
                out.push(Action::Speech(Speech::Error(excerpt(why))));
                out.push(Action::Close(1000));
            }
            (_, Some("SERVER_READY")) => {
                self.ready = true;
                out.push(Action::Event("connect", None));
            }
            (_, Some("DISCONNECT")) => out.push(Action::Close(1000)),
            // Languages that were found out, places in the queue.
            _ => {}
        }
    }

    fn segment(&mut self, segment: &Value, whole: &str, out: &mut Actions) {
        let Value::Object(segment) = segment else { return };
        let (Some(said), Some(start)) = (text(segment, "text"), seconds(segment, "start")) else {
            return;
        };
        let said = said.trim();
        if said.is_empty() || start <= self.told {
            return;
        }
        let words = Words { text: said.to_owned(), whole: whole.to_owned(), ..Words::default() };
        if segment.get("completed").and_then(Value::as_bool) == Some(true) {
            self.told = start;
            self.partial.clear();
            out.push(Action::Speech(Speech::Final(words)));
        } else if said != self.partial {
            said.clone_into(&mut self.partial);
            out.push(Action::Speech(Speech::Partial(words)));
        }
    }
}

/// Seconds, written as a number or as a text.
fn seconds(segment: &Map<String, Value>, key: &str) -> Option<f64> {
    let value = segment.get(key)?;
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    seconds.filter(|seconds| seconds.is_finite())
}

/// Samples as 32-bit floating point, the lower octet first.
fn floats(samples: impl Iterator<Item = i16>) -> Vec<u8> {
    samples.flat_map(|sample| (f32::from(sample) / 32_768.0).to_le_bytes()).collect()
}

impl Dialect for Whisper {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: RATE, frame_ms: 100, marks: 0, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                (self.ready, self.told) = (false, -1.0);
                self.partial.clear();
                out.push(Action::Text(self.settings()));
            }
            Input::Audio(samples) if self.ready => {
                out.push(Action::AudioBinary(floats(samples.iter().copied())));
            }
            Input::Audio(_) => {}
            Input::Text(text) => self.message(text, out),
            Input::Tune("flush", _) if self.ready => {
                let silence = std::iter::repeat_n(0, RATE as usize * FLUSH_MS / 1000);
                out.push(Action::AudioBinary(floats(silence)));
            }
            Input::NoMoreAudio => out.push(Action::Binary(END.to_vec())),
            Input::Stop(_) => {
                out.push(Action::Binary(END.to_vec()));
                out.push(Action::Close(1000));
            }
            other => say_end_or_loss(other, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::kit::{fed, texts};

    #[test]
    fn audio_begins_when_the_server_is_ready_as_floating_point() {
        let setup = Setup { uid: "u".into(), language: "en".into(), model: String::new() };
        let mut whisper = Whisper::new(setup);
        let opened = fed(&mut whisper, Input::Opened);
        let settings: Value = serde_json::from_str(texts(&opened)[0]).unwrap();
        let asked = json!({"uid": "u", "language": "en", "task": "transcribe", "use_vad": true});
        assert_eq!(settings, asked);
        assert!(fed(&mut whisper, Input::Audio(&[16_384])).is_empty());
        let ready =
            fed(&mut whisper, Input::Text(r#"{"uid":"u","message":"SERVER_READY","backend":"x"}"#));
        assert_eq!(ready, [Action::Event("connect", None)]);
        let audio = fed(&mut whisper, Input::Audio(&[16_384]));
        assert_eq!(audio, [Action::AudioBinary(0.5f32.to_le_bytes().to_vec())]);
        assert_eq!(
            fed(&mut whisper, Input::NoMoreAudio),
            [Action::Binary(b"END_OF_AUDIO".to_vec())]
        );
    }

    #[test]
    fn segments_grow_and_each_is_final_once() {
        let mut whisper = Whisper::new(Setup::default());
        let mut heard = |segments: Value| -> Vec<(bool, String)> {
            let message = json!({"uid": "u", "segments": segments}).to_string();
            let speech = |action: Action| match action {
                Action::Speech(Speech::Final(words)) => Some((true, words.text)),
                Action::Speech(Speech::Partial(words)) => Some((false, words.text)),
                _ => None,
            };
            fed(&mut whisper, Input::Text(&message)).into_iter().filter_map(speech).collect()
        };
        let segment = |start: &str, text: &str, completed| json!({"start": start, "end": "9", "text": text, "completed": completed});
        assert_eq!(
            heard(json!([segment("0.000", " hello", false)])),
            [(false, "hello".to_owned())]
        );
        assert_eq!(heard(json!([segment("0.000", " hello", false)])), []);
        let both = json!([segment("0.000", " hello there", true), segment("1.5", "how", false)]);
        assert_eq!(heard(both.clone()), [(true, "hello there".into()), (false, "how".into())]);
        assert_eq!(heard(both), []);
        assert_eq!(
            heard(json!([segment("x", "a", true), 7, {"text": 1}, segment("nan", "a", true)])),
            []
        );
    }

    #[test]
    fn a_server_that_refuses_ends_it() {
        let mut whisper = Whisper::new(Setup::default());
        let refused = fed(&mut whisper, Input::Text(r#"{"status":"ERROR","message":"full"}"#));
        assert_eq!(refused, [Action::Speech(Speech::Error("full".into())), Action::Close(1000)]);
    }
}
