//! The open protocol of jambonz for speech recognisers, with servers of one's own: `start` as a text,
//! samples as binary messages, `transcription` and `error` back.

use serde_json::{Value, json};

use super::{excerpt, number, say_end_or_loss, text};
use crate::audio::Coding;
use crate::speech::{Speech, Words};
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "jambonz_transcribe";

/// How it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// Samples per second.
    pub rate: u32,
    /// `en-US`.
    pub language: String,
    /// Words that may still change are wanted.
    pub interim: bool,
    /// `options` of the `start`, as they were given.
    pub options: Value,
    /// Channels of the audio.
    pub channels: u32,
}

/// One recognition.
#[derive(Debug)]
pub struct Transcriber {
    setup: Setup,
}

impl Transcriber {
    /// A recognition that is not connected yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup }
    }

    fn start(&self) -> String {
        let Setup { rate, language, interim, options, channels } = &self.setup;
        let mut start = json!({
            "type": "start",
            "language": language,
            "format": "raw",
            "encoding": "LINEAR16",
            "interimResults": interim,
            "sampleRateHz": rate,
            "options": if options.is_object() { options.clone() } else { json!({}) },
        });
        if *channels > 1 {
            start["channels"] = (*channels).into();
        }
        start.to_string()
    }

    fn message(&self, whole: &str, out: &mut Actions) {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(whole) else {
            return out.push(Action::Log(format!("not a JSON object: {}", excerpt(whole))));
        };
        match text(&object, "type") {
            Some("transcription") => {
                let first = object.get("alternatives").and_then(|list| list.get(0));
                let said = first.and_then(|first| first.get("transcript")?.as_str());
                let confidence = first.and_then(|first| first.get("confidence")?.as_f64());
                let words = Words {
                    text: said.unwrap_or_default().trim().to_owned(),
                    confidence,
                    // They count from one.
                    channel: number(&object, "channel").and_then(|n| n.checked_sub(1)),
                    language: text(&object, "language").map(str::to_owned),
                    whole: whole.to_owned(),
                    timed: Vec::new(),
                };
                let last = object.get("is_final").and_then(Value::as_bool) == Some(true);
                let speech = if last { Speech::Final } else { Speech::Partial };
                out.push(Action::Speech(speech(words)));
            }
            Some("error") => {
                let why = text(&object, "error").or_else(|| text(&object, "message"));
                let why = why.unwrap_or("the server reports an error");
                out.push(Action::Speech(Speech::Error(excerpt(why))));
            }
            _ => out.push(Action::Log(format!("unknown message {}", excerpt(whole)))),
        }
    }
}

impl Dialect for Transcriber {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.setup.rate, frame_ms: 20, marks: 0, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                out.push(Action::Text(self.start()));
                out.push(Action::Event("connect", None));
            }
            Input::Audio(samples) => out.push(Action::AudioBinary(Coding::Linear.write(samples))),
            Input::Text(text) => self.message(text, out),
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::NoMoreAudio => out.push(Action::Text(r#"{"type":"stop"}"#.to_owned())),
            Input::Stop(_) => {
                out.push(Action::Text(r#"{"type":"stop"}"#.to_owned()));
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
    fn the_start_says_what_comes_and_transcriptions_are_understood() {
        let setup = Setup {
            rate: 8000,
            language: "en-US".into(),
            interim: true,
            options: json!({"hints": ["yes"]}),
            channels: 1,
        };
        let mut server = Transcriber::new(setup);
        let start: Value =
            serde_json::from_str(texts(&fed(&mut server, Input::Opened))[0]).unwrap();
        assert_eq!(
            start,
            json!({"type": "start", "language": "en-US", "format": "raw",
            "encoding": "LINEAR16", "interimResults": true, "sampleRateHz": 8000,
            "options": {"hints": ["yes"]}})
        );
        let said = r#"{"type":"transcription","is_final":true,"channel":2,"alternatives":[{"transcript":"hi ","confidence":0.5}]}"#;
        let told = fed(&mut server, Input::Text(said));
        let [Action::Speech(Speech::Final(words))] = &told[..] else { panic!("{told:?}") };
        assert_eq!((words.text.as_str(), words.channel), ("hi", Some(1)));
        let error = fed(&mut server, Input::Text(r#"{"type":"error","error":"no model"}"#));
        assert_eq!(error, [Action::Speech(Speech::Error("no model".into()))]);
        for odd in ["", "7", "{}", r#"{"type":"transcription","alternatives":7}"#] {
            let _bounded = fed(&mut server, Input::Text(odd));
        }
    }
}
