//! `uuid_openai_audio_stream`: the switch as a client of a realtime model (OpenAI Realtime and what follows it).

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{clip, close_reason, linear, text};
use crate::audio::{Coding, decode, encode, wav};
use crate::{Action, Actions, Clip, Dialect, End, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_openai_audio_stream";
/// Samples per second of the model's speech.
const MODEL_RATE: u32 = 24_000;
/// Speech kept of one answer for its file; longer answers have several.
const MOST: usize = 16 * 1024 * 1024;

/// How a stream was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Samples per second towards the model.
    pub rate: u32,
    /// Milliseconds of a message.
    pub frame_ms: u32,
    /// The far end is not heard from the beginning.
    pub mute_user: bool,
    /// A file of each piece of speech is written.
    pub keeps_files: bool,
    /// Path of files, without `_<n>.tmp.wav`.
    pub files: PathBuf,
}

/// One stream.
#[derive(Debug)]
pub struct Model {
    setup: Setup,
    mute_model: bool,
    clips: u32,
}

impl Model {
    /// A stream that is not open yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, mute_model: false, clips: 0 }
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let parsed = serde_json::from_str::<Value>(whole);
        let Ok(Value::Object(mut object)) = parsed else {
            return out.push(Action::Event("json", Some(whole.to_owned())));
        };
        match text(&object, "type").unwrap_or_default() {
            "response.output_audio.delta" | "response.audio.delta" => {
                let speech = text(&object, "delta").filter(|d| d.len() <= MOST).and_then(clip);
                let Some(speech) = speech else {
                    return out.push(Action::Event("json", Some(whole.to_owned())));
                };
                object.shift_remove("delta");
                self.speech(&speech, object, out);
            }
            "response.output_audio.done" | "response.audio.done" => {}
            "input_audio_buffer.speech_started" => {
                out.push(Action::Clear);
                let body = r#"{"status":"started"}"#;
                out.push(Action::Event("openai_speech_start", Some(body.to_owned())));
            }
            "input_audio_buffer.speech_stopped" => {
                let body = r#"{"status":"stopped"}"#;
                out.push(Action::Event("openai_speech_stop", Some(body.to_owned())));
            }
            _ => out.push(Action::Event("json", Some(whole.to_owned()))),
        }
    }

    fn speech(&mut self, octets: &[u8], mut told: Map<String, Value>, out: &mut Actions) {
        let samples = linear(octets);
        if !self.setup.keeps_files {
            if !self.mute_model {
                out.push(Action::Play(MODEL_RATE, samples));
            }
            return out.push(Action::Event("play", Some(Value::Object(told).to_string())));
        }
        let mut name = self.setup.files.clone().into_os_string();
        name.push(format!("_{}.tmp.wav", self.clips));
        self.clips += 1;
        let path = PathBuf::from(name);
        told.insert("file".to_owned(), path.to_string_lossy().into());
        let clip = Clip { path, bytes: wav(MODEL_RATE, &samples), play: false };
        if !self.mute_model {
            out.push(Action::Play(MODEL_RATE, samples));
        }
        out.push(Action::Store(clip, "play", Value::Object(told).to_string()));
    }

    fn tune(&mut self, key: &str, value: &str, out: &mut Actions) {
        match key {
            "mute" | "unmute" => {
                let on = key == "mute";
                if matches!(value, "user" | "all" | "both") {
                    self.setup.mute_user = on;
                }
                if matches!(value, "openai" | "all" | "both") {
                    self.mute_model = on;
                    if on {
                        out.push(Action::Clear);
                    }
                }
            }
            "send_json" => {
                let text = decode(value).and_then(|octets| String::from_utf8(octets).ok());
                out.extend(text.map(Action::Text));
            }
            _ => {}
        }
    }
}

/// The status of the HTTP answer, where there was one.
fn status(end: &End) -> u16 {
    if let End::Handshake(status, _) = end { *status } else { 0 }
}

impl Dialect for Model {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.setup.rate, frame_ms: self.setup.frame_ms, marks: 30, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                let body = r#"{"status":"connected"}"#;
                out.push(Action::Event("connect", Some(body.to_owned())));
            }
            Input::Audio(samples) if !self.setup.mute_user => {
                let audio = encode(&Coding::Linear.write(samples));
                out.push(Action::AudioText(format!(
                    r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#
                )));
            }
            Input::Text(whole) => self.message(whole, out),
            Input::Tune(key, value) => self.tune(key, value, out),
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
                let message = json!({
                    "retries": 0, "error": end.to_string(), "wait_time": 0, "http_status": status(end)
                });
                let body = json!({"status": "error", "message": message});
                out.push(Action::Event("error", Some(body.to_string())));
            }
            Input::Overrun => out.push(Action::Log("audio lost: the model is too slow".into())),
            Input::Overflow => out.push(Action::Log("the model's speech found no room".into())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{events, fed, texts};
    use super::*;

    fn model(keeps_files: bool) -> Model {
        Model::new(Setup {
            rate: 24_000,
            frame_ms: 20,
            mute_user: false,
            keeps_files,
            files: "/tmp/8c1e".into(),
        })
    }

    #[test]
    fn the_far_end_s_audio_goes_out_as_appends_and_muting_stops_them() {
        let mut model = model(false);
        let append = fed(&mut model, Input::Audio(&[1, 2]));
        let text = r#"{"type":"input_audio_buffer.append","audio":"AQACAA=="}"#;
        assert_eq!(append, [Action::AudioText(text.into())]);
        fed(&mut model, Input::Tune("mute", "user"));
        assert_eq!(fed(&mut model, Input::Audio(&[1])), []);
        fed(&mut model, Input::Tune("unmute", "both"));
        assert_eq!(fed(&mut model, Input::Audio(&[1])).len(), 1);
        let sent = fed(&mut model, Input::Tune("send_json", "eyJ0eXBlIjoieCJ9"));
        assert_eq!(texts(&sent), [r#"{"type":"x"}"#]);
    }

    #[test]
    fn deltas_are_played_and_told_without_their_audio() {
        for kind in ["response.output_audio.delta", "response.audio.delta"] {
            let message = format!(r#"{{"type":"{kind}","item_id":"i","delta":"AQA="}}"#);
            let actions = fed(&mut model(false), Input::Text(&message));
            let body = format!(r#"{{"type":"{kind}","item_id":"i"}}"#);
            assert_eq!(actions, [Action::Play(24_000, vec![1]), Action::Event("play", Some(body))]);
            let actions = fed(&mut model(true), Input::Text(&message));
            let body = format!(r#"{{"type":"{kind}","item_id":"i","file":"/tmp/8c1e_0.tmp.wav"}}"#);
            assert_eq!(events(&actions), [("play", Some(body.as_str()))]);
            assert_eq!(actions[0], Action::Play(24_000, vec![1]));
        }
    }

    #[test]
    fn speech_of_the_far_end_empties_the_playout() {
        let mut model = model(false);
        let started = r#"{"type":"input_audio_buffer.speech_started"}"#;
        let actions = fed(&mut model, Input::Text(started));
        assert_eq!(actions[0], Action::Clear);
        assert_eq!(events(&actions), [("openai_speech_start", Some(r#"{"status":"started"}"#))]);
        let stopped = r#"{"type":"input_audio_buffer.speech_stopped"}"#;
        assert_eq!(events(&fed(&mut model, Input::Text(stopped)))[0].0, "openai_speech_stop");
        let other = r#"{ "type" : "session.created" }"#;
        assert_eq!(events(&fed(&mut model, Input::Text(other))), [("json", Some(other))]);
        assert_eq!(fed(&mut model, Input::Text(r#"{"type":"response.output_audio.done"}"#)), []);
        fed(&mut model, Input::Tune("mute", "openai"));
        let delta = r#"{"type":"response.audio.delta","delta":"AQA="}"#;
        assert_eq!(fed(&mut model, Input::Text(delta)).len(), 1, "told, not played");
    }

    #[test]
    fn a_refusal_is_told_in_the_older_shape() {
        let end = End::Handshake(401, "the server answered 401".into());
        let told = fed(&mut model(false), Input::Failed(&end));
        let body = r#"{"status":"error","message":{"retries":0,"error":"the server answered 401","wait_time":0,"http_status":401}}"#;
        assert_eq!(events(&told), [("error", Some(body))]);
    }
}
