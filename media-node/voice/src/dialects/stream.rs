//! `uuid_audio_stream`: the dialect of mod_audio_stream, with playback in the switch where `STREAM_PLAYBACK` asks for it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{RATES, clip, close_reason, linear, mark_text, number, raw_extension, text, wav};
use crate::audio::{Coding, Halves};
use crate::{Action, Actions, Clip, Dialect, End, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_audio_stream";

/// How a stream was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Samples per second towards the program.
    pub rate: u32,
    /// Milliseconds of a binary message.
    pub frame_ms: u32,
    /// First text; empty = none.
    pub metadata: String,
    /// The switch plays what comes; the rate of binary messages then.
    pub playback: Option<u32>,
    /// Path of files, without `_<n>.tmp.<ext>`.
    pub files: PathBuf,
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    setup: Setup,
    clips: u32,
    halves: Halves,
}

impl Stream {
    /// A stream that is not open yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, clips: 0, halves: Halves::default() }
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let parsed = serde_json::from_str::<Value>(whole).ok();
        let object = parsed.as_ref().and_then(Value::as_object);
        let kind = object.and_then(|object| text(object, "type"));
        if let (Some(object), Some("streamAudio")) = (object, kind) {
            let data = object.get("data").and_then(Value::as_object);
            match data.and_then(|data| self.clip(data, out)) {
                Some(()) => return,
                None => out.push(Action::Log("streamAudio that cannot be played".to_owned())),
            }
        } else if let (Some(object), Some(_)) = (object, self.setup.playback) {
            Self::steer(object, kind, out);
        }
        // Programs build their own control channel on this: whatever it is, it goes on as it came.
        out.push(Action::Event("json", Some(whole.to_owned())));
    }

    /// What a program in playback mode may say besides audio.
    fn steer(object: &Map<String, Value>, kind: Option<&str>, out: &mut Actions) {
        let data = object.get("data").and_then(Value::as_object);
        let control = object.get("control").and_then(Value::as_object);
        match kind {
            Some("clearAudio" | "killAudio") => out.push(Action::Clear),
            Some("mark") => {
                let name = data.and_then(|data| text(data, "name"));
                out.extend(name.map(|name| Action::Mark(name.to_owned())));
            }
            Some("pauseAudio") => out.push(Action::Hold(true)),
            Some("resumeAudio") => out.push(Action::Hold(false)),
            _ if control.and_then(|c| text(c, "command")) == Some("clear") => {
                out.push(Action::Clear);
            }
            _ => {}
        }
    }

    /// Takes a clip; `None` when it is none.
    fn clip(&mut self, data: &Map<String, Value>, out: &mut Actions) -> Option<()> {
        let kind = text(data, "audioDataType")?;
        let bytes = clip(text(data, "audioData")?)?;
        let rate = number(data, "sampleRate");
        let extension = match kind {
            "raw" => raw_extension(rate.filter(|rate| RATES.contains(rate))?),
            "wav" => "wav",
            "mp3" => "mp3",
            "ogg" => "ogg",
            "pcmu" => "pcmu",
            "pcma" => "pcma",
            _ => return None,
        };
        let mut told = data.clone();
        told.shift_remove("audioData");
        if self.setup.playback.is_some() {
            return self.play(kind, rate, bytes, told, out);
        }
        let path = self.next_file(extension);
        told.insert("file".to_owned(), path.to_string_lossy().into());
        let clip = Clip { path, bytes, play: false };
        out.push(Action::Store(clip, "play", Value::Object(told).to_string()));
        Some(())
    }

    fn play(
        &mut self,
        kind: &str,
        rate: Option<u32>,
        bytes: Vec<u8>,
        mut told: Map<String, Value>,
        out: &mut Actions,
    ) -> Option<()> {
        let g711 = rate.filter(|rate| RATES.contains(rate)).unwrap_or(8000);
        let audio = match kind {
            "raw" => Some((rate?, linear(&bytes))),
            "pcmu" => Some((g711, Coding::Ulaw.read(&bytes))),
            "pcma" => Some((g711, Coding::Alaw.read(&bytes))),
            "wav" => Some(wav(&bytes)?),
            _ => None,
        };
        told.insert("bytes".to_owned(), json!(bytes.len()));
        let body = Value::Object(told).to_string();
        match audio {
            Some((rate, samples)) => {
                out.push(Action::Play(rate, samples));
                out.push(Action::Event("play", Some(body)));
            }
            None => {
                let path = self.next_file(kind);
                out.push(Action::Store(Clip { path, bytes, play: true }, "play", body));
            }
        }
        Some(())
    }

    fn next_file(&mut self, extension: &str) -> PathBuf {
        let n = self.clips;
        self.clips += 1;
        let mut name = self.setup.files.clone().into_os_string();
        name.push(format!("_{n}.tmp.{extension}"));
        name.into()
    }
}

/// The number the reference gives a failure.
fn code(end: &End) -> u32 {
    match end {
        End::Broken(_) => 1,
        End::Ping => 5,
        End::Internal(_) | End::Connect(_) | End::Handshake(..) => 6,
        End::Tls(_) => 8,
        End::Timeout => 10,
        End::Protocol(_) => 11,
    }
}

impl Dialect for Stream {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.setup.rate, frame_ms: self.setup.frame_ms, marks: 30, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                if !self.setup.metadata.is_empty() {
                    out.push(Action::Text(self.setup.metadata.clone()));
                }
                let body = r#"{"status":"connected"}"#;
                out.push(Action::Event("connect", Some(body.to_owned())));
            }
            Input::Audio(samples) => out.push(Action::AudioBinary(Coding::Linear.write(samples))),
            Input::Text(whole) => self.message(whole, out),
            Input::Binary(octets) => {
                if let Some(rate) = self.setup.playback {
                    let samples = self.halves.read(octets);
                    if !samples.is_empty() {
                        out.push(Action::Play(rate, samples));
                    }
                }
            }
            Input::Heard(name) => out.push(Action::Text(mark_text(name, "playout"))),
            Input::Cleared(name) => out.push(Action::Text(mark_text(name, "cleared"))),
            Input::Drained { heard_ms } if self.setup.playback.is_some() => {
                out.push(Action::Text(
                    json!({"type": "playoutDone", "data": {"playedMs": heard_ms}}).to_string(),
                ));
            }
            Input::Cut { heard_ms, lost_ms } if self.setup.playback.is_some() => {
                let data = json!({"playedMs": heard_ms, "clearedMs": lost_ms});
                out.push(Action::Text(json!({"type": "playoutCleared", "data": data}).to_string()));
            }
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::Stop(text) => {
                out.extend(text.map(|text| Action::Text(text.to_owned())));
                out.push(Action::Close(1000));
            }
            Input::Closed(code, reason) => {
                let message = json!({"code": code, "reason": close_reason(code, reason)});
                let body = json!({"status": "disconnected", "message": message});
                out.push(Action::Event("disconnect", Some(body.to_string())));
            }
            Input::Failed(end) => {
                let message = json!({"code": code(end), "error": end.to_string()});
                let body = json!({"status": "error", "message": message});
                out.push(Action::Event("error", Some(body.to_string())));
            }
            Input::Overrun => out.push(Action::Log("audio lost: the program is too slow".into())),
            Input::Overflow => {
                out.push(Action::Log("the program's audio found no room".to_owned()));
            }
            Input::Drained { .. }
            | Input::Cut { .. }
            | Input::Full(_)
            | Input::Status(_)
            | Input::NoMoreAudio
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

    fn stream(playback: Option<u32>) -> Stream {
        Stream::new(Setup {
            rate: 8000,
            frame_ms: 20,
            metadata: "{caller:x}".into(),
            playback,
            files: "/tmp/8c1e".into(),
        })
    }

    #[test]
    fn the_metadata_goes_out_before_connect_is_told() {
        let opened = fed(&mut stream(None), Input::Opened);
        let connected = Some(r#"{"status":"connected"}"#.to_owned());
        assert_eq!(
            opened,
            [Action::Text("{caller:x}".into()), Action::Event("connect", connected)]
        );
    }

    #[test]
    fn anything_but_a_clip_goes_on_as_it_came() {
        let long = "x".repeat(100_000);
        for said in [
            "plain words",
            "",
            r#"{ "msg" : "execute-app" }"#,
            r#"{"type":"streamAudio"}"#,
            r#"{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":8000,"audioData":"*"}}"#,
            r#"{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":11025,"audioData":"AA=="}}"#,
            r#"{"type":"streamAudio","data":{"audioDataType":"opus","audioData":"AA=="}}"#,
            r#"{"type":"killAudio"}"#,
            &long,
        ] {
            for playback in [None, Some(8000)] {
                let actions = fed(&mut stream(playback), Input::Text(said));
                assert_eq!(events(&actions), [("json", Some(said))]);
            }
        }
    }

    #[test]
    fn a_clip_becomes_a_file_and_its_other_keys_pass_through() {
        let message = r#"{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":8000,"audioData":"AQI=","seq":5}}"#;
        let actions = fed(&mut stream(None), Input::Text(message));
        let [Action::Store(clip, "play", body)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((clip.bytes.as_slice(), clip.play), (&[1, 2][..], false));
        assert_eq!(
            body,
            r#"{"audioDataType":"raw","sampleRate":8000,"seq":5,"file":"/tmp/8c1e_0.tmp.r8"}"#
        );
        for kind in ["wav", "mp3", "ogg", "pcmu", "pcma"] {
            let message = format!(
                r#"{{"type":"streamAudio","data":{{"audioDataType":"{kind}","audioData":"AQI="}}}}"#
            );
            let actions = fed(&mut stream(None), Input::Text(&message));
            let [Action::Store(clip, ..)] = &actions[..] else { panic!("{actions:?}") };
            assert_eq!(clip.path.to_string_lossy(), format!("/tmp/8c1e_0.tmp.{kind}"));
        }
        assert_eq!(fed(&mut stream(None), Input::Binary(&[1, 2])), []);
    }

    #[test]
    fn in_playback_mode_clips_and_binaries_are_played_and_told_by_their_length() {
        let mut stream = stream(Some(16_000));
        let message = r#"{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":24000,"audioData":"AQACAA==","seq":5}}"#;
        let actions = fed(&mut stream, Input::Text(message));
        let body = r#"{"audioDataType":"raw","sampleRate":24000,"seq":5,"bytes":4}"#;
        assert_eq!(
            actions,
            [Action::Play(24_000, vec![1, 2]), Action::Event("play", Some(body.into()))]
        );
        assert_eq!(fed(&mut stream, Input::Binary(&[7, 0])), [Action::Play(16_000, vec![7])]);
        let g711 = r#"{"type":"streamAudio","data":{"audioDataType":"pcmu","audioData":"//8="}}"#;
        assert_eq!(fed(&mut stream, Input::Text(g711))[0], Action::Play(8000, vec![0, 0]));
        let mp3 = r#"{"type":"streamAudio","data":{"audioDataType":"mp3","audioData":"AAAA"}}"#;
        let actions = fed(&mut stream, Input::Text(mp3));
        assert!(matches!(&actions[..], [Action::Store(clip, "play", _)] if clip.play));
    }

    #[test]
    fn in_playback_mode_the_queue_can_be_cleared_and_marked() {
        let mut stream = stream(Some(8000));
        for clear in [
            r#"{"type":"clearAudio"}"#,
            r#"{"type":"killAudio"}"#,
            r#"{"control":{"command":"clear"}}"#,
        ] {
            let actions = fed(&mut stream, Input::Text(clear));
            assert_eq!(actions[0], Action::Clear);
            assert_eq!(events(&actions), [("json", Some(clear))]);
        }
        let mark = r#"{"type":"mark","data":{"name":"a"}}"#;
        assert_eq!(fed(&mut stream, Input::Text(mark))[0], Action::Mark("a".into()));
        let done = fed(&mut stream, Input::Drained { heard_ms: 40 });
        assert_eq!(texts(&done), [r#"{"type":"playoutDone","data":{"playedMs":40}}"#]);
    }

    #[test]
    fn each_end_has_its_event() {
        let mut stream = stream(None);
        let body = r#"{"status":"disconnected","message":{"code":1000,"reason":"Normal closure"}}"#;
        assert_eq!(
            events(&fed(&mut stream, Input::Closed(1000, ""))),
            [("disconnect", Some(body))]
        );
        let failed = fed(&mut stream, Input::Failed(&End::Connect("no".into())));
        let body = r#"{"status":"error","message":{"code":6,"error":"no"}}"#;
        assert_eq!(events(&failed), [("error", Some(body))]);
        assert_eq!(fed(&mut stream, Input::Stop(None)), [Action::Close(1000)]);
    }
}
