//! `uuid_audio_fork`: the dialect of drachtio and jambonz.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{clip, excerpt, mark_text, number, raw_extension, text};
use crate::audio::{Coding, Halves};
use crate::{Action, Actions, Clip, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_audio_fork";
/// What is offered unless the environment says otherwise.
pub const SUBPROTOCOL: &str = "audio.drachtio.org";

/// How a stream was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Samples per second towards the program.
    pub rate: u32,
    /// First text to it; empty = none.
    pub metadata: String,
    /// The program may answer with audio.
    pub bidirectional: bool,
    /// It answers with binary messages at that rate; 0 = with files.
    pub back: u32,
    /// Path of files, without `_<n>.tmp.<ext>`.
    pub files: PathBuf,
}

/// One stream.
#[derive(Debug)]
pub struct Fork {
    setup: Setup,
    clips: u32,
    halves: Halves,
    overrun: bool,
    open: bool,
    /// That answers are not taken was said.
    refused: bool,
}

impl Fork {
    /// A stream that is not open yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let halves = Halves::default();
        Self { setup, clips: 0, halves, overrun: false, open: false, refused: false }
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let parsed = serde_json::from_str::<Value>(whole);
        let Ok(Value::Object(mut object)) = parsed else {
            return out.push(Action::Log(format!("not a JSON object: {}", excerpt(whole))));
        };
        let kind = text(&object, "type").unwrap_or_default().to_owned();
        let data = object.remove("data");
        let body = || data.as_ref().map(Value::to_string);
        match kind.as_str() {
            "playAudio" => self.play_audio(data, out),
            "killAudio" => {
                out.push(Action::Event("kill_audio", None));
                out.push(Action::Break);
                out.push(Action::Clear);
            }
            "mark" => {
                let name = data.as_ref().and_then(Value::as_object).and_then(|d| text(d, "name"));
                match name {
                    Some(name) => out.push(Action::Mark(name.to_owned())),
                    None => out.push(Action::Log("mark without a name".to_owned())),
                }
            }
            "clearMarks" => out.push(Action::ForgetMarks),
            "transcription" => out.push(Action::Event("transcription", body())),
            "transfer" => out.push(Action::Event("transfer", body())),
            "disconnect" => out.push(Action::Event("disconnect", body())),
            "error" => out.push(Action::Event("error", body())),
            "json" => out.push(Action::Event("json", Some(whole.to_owned()))),
            other => out.push(Action::Log(format!("unknown message type {}", excerpt(other)))),
        }
    }

    fn play_audio(&mut self, data: Option<Value>, out: &mut Actions) {
        if !self.setup.bidirectional || self.setup.back > 0 {
            return out.push(Action::Log("playAudio is not supported on this stream".to_owned()));
        }
        let Some(Value::Object(mut data)) = data else {
            return out.push(Action::Log("playAudio without data".to_owned()));
        };
        let content = data.shift_remove("audioContent");
        let extension = match text(&data, "audioContentType") {
            Some("raw") => Some(raw_extension(number(&data, "sampleRate").unwrap_or_default())),
            Some("wave" | "wav") => Some("wav"),
            _ => None,
        };
        let bytes = content.as_ref().and_then(Value::as_str).and_then(clip);
        let (Some(extension), Some(bytes)) = (extension, bytes) else {
            out.push(Action::Log("playAudio: unsupported type or broken base64".to_owned()));
            return out.push(Action::Event("play_audio", Some(Value::Object(data).to_string())));
        };
        let path = self.next_file(extension);
        data.insert("file".to_owned(), path.to_string_lossy().into());
        let clip = Clip { path, bytes, play: false };
        out.push(Action::Store(clip, "play_audio", Value::Object(data).to_string()));
    }

    fn next_file(&mut self, extension: &str) -> PathBuf {
        let n = self.clips;
        self.clips += 1;
        let mut name = self.setup.files.clone().into_os_string();
        name.push(format!("_{n}.tmp.{extension}"));
        name.into()
    }

    fn audio_back(&mut self, octets: &[u8], out: &mut Actions) {
        if !self.setup.bidirectional || self.setup.back == 0 {
            if !octets.is_empty() && !std::mem::replace(&mut self.refused, true) {
                out.push(Action::Log("binary message on a stream without answers".to_owned()));
            }
            return;
        }
        let samples = self.halves.read(octets);
        if !samples.is_empty() {
            out.push(Action::Play(self.setup.back, samples));
        }
    }
}

impl Dialect for Fork {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.setup.rate, frame_ms: 20, marks: 30, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                self.open = true;
                out.push(Action::Event("connect", None));
                if !self.setup.metadata.is_empty() {
                    out.push(Action::Text(self.setup.metadata.clone()));
                }
            }
            Input::Audio(samples) => out.push(Action::AudioBinary(Coding::Linear.write(samples))),
            Input::Text(whole) => self.message(whole, out),
            Input::Binary(octets) => self.audio_back(octets, out),
            Input::Heard(name) => out.push(Action::Text(mark_text(name, "playout"))),
            Input::Cleared(name) => out.push(Action::Text(mark_text(name, "cleared"))),
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::NoMoreAudio => out.push(Action::Binary(Vec::new())),
            Input::Stop(text) => {
                out.extend(text.map(|text| Action::Text(text.to_owned())));
                out.push(Action::Close(1000));
            }
            Input::Closed(..) => out.push(Action::Event("disconnect", None)),
            Input::Failed(_) if self.open => out.push(Action::Event("disconnect", None)),
            Input::Failed(end) => {
                let reason = Map::from_iter([("reason".to_owned(), json!(end.to_string()))]);
                out.push(Action::Event("connect_failed", Some(Value::Object(reason).to_string())));
            }
            Input::Overrun if !self.overrun => {
                self.overrun = true;
                out.push(Action::Event("buffer_overrun", None));
            }
            Input::Overflow => {
                out.push(Action::Log("the program's audio found no room".to_owned()));
                out.push(Action::Event("playout_overflow", None));
            }
            Input::Overrun
            | Input::Drained { .. }
            | Input::Cut { .. }
            | Input::Full(_)
            | Input::Status(_)
            | Input::Digit(..)
            | Input::Voice { .. }
            | Input::TurnEnd { .. }
            | Input::Frame(..)
            | Input::Tune(..) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{events, fed, texts};
    use super::*;
    use crate::End;

    fn stream(bidirectional: bool, back: u32) -> Fork {
        Fork::new(Setup {
            rate: 8000,
            metadata: r#"{"a":1}"#.into(),
            bidirectional,
            back,
            files: "/tmp/8c1e".into(),
        })
    }

    #[test]
    fn connect_is_told_before_the_metadata_goes_out() {
        let opened = fed(&mut stream(true, 0), Input::Opened);
        assert_eq!(opened, [Action::Event("connect", None), Action::Text(r#"{"a":1}"#.into())]);
        let audio = fed(&mut stream(true, 0), Input::Audio(&[1, -2]));
        assert_eq!(audio, [Action::AudioBinary(vec![1, 0, 0xfe, 0xff])]);
    }

    #[test]
    fn a_clip_becomes_a_file_and_its_event_has_the_file_instead() {
        let message = r#"{"type":"playAudio","data":{"audioContentType":"raw","sampleRate":16000,"audioContent":"AQIDBA==","textContent":"hi","id":7}}"#;
        let mut fork = stream(true, 0);
        let actions = fed(&mut fork, Input::Text(message));
        let [Action::Store(clip, "play_audio", body)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((clip.bytes.as_slice(), clip.play), (&[1, 2, 3, 4][..], false));
        assert_eq!(clip.path.to_str(), Some("/tmp/8c1e_0.tmp.r16"));
        assert_eq!(
            body,
            r#"{"audioContentType":"raw","sampleRate":16000,"textContent":"hi","id":7,"file":"/tmp/8c1e_0.tmp.r16"}"#
        );
        for (kind, rate, extension) in [
            (r#""raw""#, "8000", "r8"),
            (r#""raw""#, "48000", "r48"),
            (r#""raw""#, "11025", "r16"),
            (r#""wave""#, "0", "wav"),
            (r#""wav""#, "0", "wav"),
        ] {
            let message = format!(
                r#"{{"type":"playAudio","data":{{"audioContentType":{kind},"sampleRate":{rate},"audioContent":"AA=="}}}}"#
            );
            let actions = fed(&mut fork, Input::Text(&message));
            let [Action::Store(clip, ..)] = &actions[..] else { panic!("{actions:?}") };
            assert!(clip.path.to_string_lossy().ends_with(&format!(".tmp.{extension}")));
        }
    }

    #[test]
    fn an_unsupported_clip_is_told_without_a_file() {
        let message = r#"{"type":"playAudio","data":{"audioContentType":"opus","audioContent":"AA==","id":1}}"#;
        let actions = fed(&mut stream(true, 0), Input::Text(message));
        let told = events(&actions);
        assert_eq!(told, [("play_audio", Some(r#"{"audioContentType":"opus","id":1}"#))]);
        for mut fork in [stream(false, 0), stream(true, 8000)] {
            let actions = fed(&mut fork, Input::Text(message));
            assert!(matches!(&actions[..], [Action::Log(_)]), "{actions:?}");
        }
    }

    #[test]
    fn streamed_answers_are_taken_in_pieces_of_any_size() {
        let mut fork = stream(true, 24_000);
        assert_eq!(fed(&mut fork, Input::Binary(&[1, 0, 2])), [Action::Play(24_000, vec![1])]);
        assert_eq!(fed(&mut fork, Input::Binary(&[0])), [Action::Play(24_000, vec![2])]);
        assert_eq!(fed(&mut fork, Input::Binary(&[])), []);
        assert!(matches!(fed(&mut stream(true, 0), Input::Binary(&[1, 0]))[..], [Action::Log(_)]));
    }

    #[test]
    fn marks_are_told_in_the_reference_s_words() {
        let mut fork = stream(true, 8000);
        let mark = r#"{"type":"mark","data":{"name":"N\"1"}}"#;
        assert_eq!(fed(&mut fork, Input::Text(mark)), [Action::Mark("N\"1".into())]);
        let told = fed(&mut fork, Input::Heard("N"));
        assert_eq!(texts(&told), [r#"{"type": "mark", "data": {"name":"N", "event": "playout"}}"#]);
        let told = fed(&mut fork, Input::Cleared("N"));
        assert_eq!(texts(&told), [r#"{"type": "mark", "data": {"name":"N", "event": "cleared"}}"#]);
        let kill = fed(&mut fork, Input::Text(r#"{"type":"killAudio"}"#));
        assert_eq!(kill, [Action::Event("kill_audio", None), Action::Break, Action::Clear]);
        assert_eq!(fed(&mut fork, Input::Text(r#"{"type":"clearMarks"}"#)), [Action::ForgetMarks]);
    }

    #[test]
    fn messages_become_events_with_their_data_or_whole() {
        let mut fork = stream(true, 0);
        for kind in ["transcription", "transfer", "disconnect", "error"] {
            let message = format!(r#"{{"type":"{kind}", "data": {{"x": [1, "ü"]}}}}"#);
            let actions = fed(&mut fork, Input::Text(&message));
            assert_eq!(events(&actions), [(kind, Some(r#"{"x":[1,"ü"]}"#))]);
            let bare = format!(r#"{{"type":"{kind}"}}"#);
            assert_eq!(events(&fed(&mut fork, Input::Text(&bare))), [(kind, None)]);
        }
        let whole = r#"{"type":"json", "data": {"x": 1}}"#;
        assert_eq!(events(&fed(&mut fork, Input::Text(whole))), [("json", Some(whole))]);
        for ignored in ["", "x", "[]", "{}", r#"{"type":"other"}"#, r#"{"type":7}"#] {
            assert!(
                matches!(fed(&mut fork, Input::Text(ignored))[..], [Action::Log(_)]),
                "{ignored}"
            );
        }
    }

    #[test]
    fn each_end_has_its_event_and_a_local_stop_none() {
        let mut fork = stream(true, 0);
        let stop = fed(&mut fork, Input::Stop(Some("bye")));
        assert_eq!(stop, [Action::Text("bye".into()), Action::Close(1000)]);
        assert_eq!(events(&fed(&mut fork, Input::Closed(1000, ""))), [("disconnect", None)]);
        let failed = fed(&mut fork, Input::Failed(&End::Connect("Connection \"refused\"".into())));
        let body = r#"{"reason":"Connection \"refused\""}"#;
        assert_eq!(events(&failed), [("connect_failed", Some(body))]);
        assert_eq!(fed(&mut fork, Input::NoMoreAudio), [Action::Binary(vec![])]);
        assert_eq!(events(&fed(&mut fork, Input::Overrun)), [("buffer_overrun", None)]);
        assert_eq!(fed(&mut fork, Input::Overrun), [], "once per stream");
    }
}
