//! Asterisk's `chan_websocket`: audio in binary messages, control in texts, plain or as JSON.

use serde_json::{Map, Value, json};

use super::{excerpt, say_end_or_loss, text};
use crate::audio::{Coding, Halves};
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_chan_websocket";

/// Frames at which the program is told to wait and to go on, as STATUS says them.
const LEVELS: (u64, u64) = (900, 800);

/// How a stream was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Control messages are JSON.
    pub json: bool,
    /// How samples are written.
    pub coding: Coding,
    /// Samples per second.
    pub rate: u32,
    /// Names the connection.
    pub connection: String,
    /// The call's name and UUID.
    pub channel: String,
    /// The call's UUID.
    pub channel_id: String,
    /// Variables told to the program (JSON only).
    pub variables: Map<String, Value>,
}

/// One stream.
#[derive(Debug)]
pub struct ChanWebsocket {
    setup: Setup,
    halves: Halves,
    buffering: bool,
    paused: bool,
    full: bool,
    wants_drained: bool,
    /// Whether audio goes to and comes from the program.
    directions: (bool, bool),
}

/// Marks of the protocol's own in the queue of marks: the first character says which.
const MARK: char = 'm';
const BUFFERED: char = 'b';

impl ChanWebsocket {
    /// A stream that is not open yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            halves: Halves::default(),
            buffering: false,
            paused: false,
            full: false,
            wants_drained: false,
            directions: (true, true),
        }
    }

    fn format(&self) -> String {
        match (self.setup.coding, self.setup.rate) {
            (Coding::Ulaw, _) => "ulaw".to_owned(),
            (Coding::Alaw, _) => "alaw".to_owned(),
            (Coding::Opus, _) => "opus".to_owned(),
            (Coding::Linear, 8000) => "slin".to_owned(),
            (Coding::Linear, rate) => format!("slin{}", rate / 1000),
        }
    }

    fn frame_bytes(&self) -> u32 {
        let samples = self.setup.rate / 50;
        // Frames of Opus have each a length of their own, and a message to themselves.
        if self.setup.coding == Coding::Opus {
            return 0;
        }
        if self.setup.coding == Coding::Linear { samples * 2 } else { samples }
    }

    /// An event in the form agreed on. `plain` says which of the parts the plain form has.
    fn event(&self, name: &str, parts: &[(&str, Value, bool)], out: &mut Actions) {
        let text = if self.setup.json {
            let mut object = Map::from_iter([("event".to_owned(), json!(name))]);
            object.extend(parts.iter().map(|(key, value, _)| ((*key).to_owned(), value.clone())));
            Value::Object(object).to_string()
        } else {
            let mut line = name.to_owned();
            for (key, value, plain) in parts {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if *plain && key.is_empty() {
                    line = format!("{line} {value}");
                } else if *plain {
                    line = format!("{line} {key}:{value}");
                }
            }
            line
        };
        out.push(Action::Text(text));
    }

    fn about_channel(&self) -> (&'static str, Value, bool) {
        ("channel_id", json!(self.setup.channel_id), false)
    }

    /// An event about something the program named.
    fn correlated(&self, name: &str, id: &str, out: &mut Actions) {
        let key = if self.setup.json { "correlation_id" } else { "" };
        let id = (!id.is_empty()).then(|| (key, json!(id), true));
        let parts: Vec<_> = std::iter::once(self.about_channel()).chain(id).collect();
        self.event(name, &parts, out);
    }

    fn start(&self, out: &mut Actions) {
        let setup = &self.setup;
        let mut parts = vec![
            ("connection_id", json!(setup.connection), true),
            ("channel", json!(setup.channel), true),
            ("channel_id", json!(setup.channel_id), true),
            ("format", json!(self.format()), true),
            ("optimal_frame_size", json!(self.frame_bytes()), true),
            ("ptime", json!(20), true),
        ];
        parts.push(("channel_variables", Value::Object(setup.variables.clone()), false));
        self.event("MEDIA_START", &parts, out);
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let parsed = serde_json::from_str::<Value>(whole);
        let object = parsed.as_ref().ok().and_then(Value::as_object);
        let (command, argument) = match object {
            Some(object) => {
                let id = text(object, "correlation_id").or_else(|| text(object, "direction"));
                (text(object, "command").unwrap_or_default(), id.unwrap_or_default())
            }
            None => whole.trim().split_once(' ').unwrap_or((whole.trim(), "")),
        };
        self.command(command, argument.trim(), out);
    }

    fn command(&mut self, command: &str, argument: &str, out: &mut Actions) {
        let takes_media = self.directions.1;
        match command {
            "ANSWER" => out.push(Action::Answer),
            "HANGUP" => out.push(Action::HangUp),
            "START_MEDIA_BUFFERING" if takes_media => self.buffering = true,
            "STOP_MEDIA_BUFFERING" if takes_media => {
                self.buffering = false;
                out.push(Action::Mark(format!("{BUFFERED}{argument}")));
            }
            "MARK_MEDIA" if takes_media => out.push(Action::Mark(format!("{MARK}{argument}"))),
            "FLUSH_MEDIA" => {
                (self.buffering, self.paused) = (false, false);
                // As in the reference nothing is told of what is flushed.
                out.push(Action::ForgetMarks);
                out.push(Action::Clear);
                out.push(Action::Hold(false));
                if std::mem::take(&mut self.wants_drained) {
                    self.event("QUEUE_DRAINED", &[self.about_channel()], out);
                }
            }
            "PAUSE_MEDIA" | "CONTINUE_MEDIA" if takes_media => {
                self.paused = command == "PAUSE_MEDIA";
                out.push(Action::Hold(self.paused));
            }
            "GET_STATUS" | "REPORT_QUEUE_DRAINED" => {
                self.wants_drained |= command == "REPORT_QUEUE_DRAINED";
                out.push(Action::AskStatus);
            }
            "SET_MEDIA_DIRECTION" => match argument {
                "both" => self.directions = (true, true),
                "in" => self.directions = (true, false),
                "out" => self.directions = (false, true),
                other => out.push(Action::Log(format!("no direction: {}", excerpt(other)))),
            },
            other => out.push(Action::Log(format!("unknown command {}", excerpt(other)))),
        }
    }

    fn status(&mut self, queued_ms: u64, out: &mut Actions) {
        if self.wants_drained && queued_ms == 0 {
            self.wants_drained = false;
            return self.event("QUEUE_DRAINED", &[self.about_channel()], out);
        }
        if self.wants_drained {
            return;
        }
        let parts = [
            self.about_channel(),
            ("queue_length", json!(queued_ms / 20), true),
            ("xon_level", json!(LEVELS.1), true),
            ("xoff_level", json!(LEVELS.0), true),
            ("queue_full", json!(self.full), true),
            ("bulk_media", json!(self.buffering), true),
            ("media_paused", json!(self.paused), true),
        ];
        self.event("STATUS", &parts, out);
    }
}

impl Dialect for ChanWebsocket {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            rate: self.setup.rate,
            frame_ms: 20,
            marks: 1000,
            opus: self.setup.coding == Coding::Opus,
        }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                out.push(Action::Event("connect", None));
                self.start(out);
            }
            Input::Audio(samples) if self.directions.0 => {
                out.push(Action::AudioBinary(self.setup.coding.write(samples)));
            }
            Input::Frame(frame, _) if self.directions.0 => {
                out.push(Action::AudioBinary(frame.to_vec()));
            }
            Input::Text(whole) => self.message(whole, out),
            Input::Binary(frame) if self.directions.1 && self.setup.coding == Coding::Opus => {
                out.push(Action::PlayFrame(frame.to_vec()));
            }
            Input::Binary(octets) if self.directions.1 => {
                let samples = match self.setup.coding {
                    Coding::Linear => self.halves.read(octets),
                    coding => coding.read(octets),
                };
                if !samples.is_empty() {
                    out.push(Action::Play(self.setup.rate, samples));
                }
            }
            Input::Heard(mark) => {
                let mut mark = mark.chars();
                match mark.next() {
                    Some(BUFFERED) => {
                        self.correlated("MEDIA_BUFFERING_COMPLETED", mark.as_str(), out);
                    }
                    _ => self.correlated("MEDIA_MARK_PROCESSED", mark.as_str(), out),
                }
            }
            Input::Drained { .. } if std::mem::take(&mut self.wants_drained) => {
                self.event("QUEUE_DRAINED", &[self.about_channel()], out);
            }
            Input::Full(full) => {
                self.full = full;
                let name = if full { "MEDIA_XOFF" } else { "MEDIA_XON" };
                self.event(name, &[self.about_channel()], out);
            }
            Input::Status(queued_ms) => self.status(queued_ms, out),
            Input::Digit(digit, _) => {
                let parts = [self.about_channel(), ("digit", json!(digit.to_string()), true)];
                self.event("DTMF_END", &parts, out);
            }
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::Stop(text) => {
                out.extend(text.map(|text| Action::Text(text.to_owned())));
                out.push(Action::Close(1000));
            }
            other => say_end_or_loss(other, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{fed, texts};
    use super::*;

    fn stream(json: bool, coding: Coding, rate: u32) -> ChanWebsocket {
        ChanWebsocket::new(Setup {
            json,
            coding,
            rate,
            connection: "c-1".into(),
            channel: "sofia/x".into(),
            channel_id: "u-1".into(),
            variables: Map::from_iter([("a".to_owned(), json!("b"))]),
        })
    }

    fn told(stream: &mut ChanWebsocket, input: Input<'_>) -> Vec<String> {
        texts(&fed(stream, input)).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn the_plain_form_is_one_line_each() {
        let mut plain = stream(false, Coding::Ulaw, 8000);
        assert_eq!(
            told(&mut plain, Input::Opened),
            ["MEDIA_START connection_id:c-1 channel:sofia/x channel_id:u-1 format:ulaw \
              optimal_frame_size:160 ptime:20"]
        );
        assert_eq!(told(&mut plain, Input::Digit('7', 80)), ["DTMF_END digit:7"]);
        assert_eq!(told(&mut plain, Input::Full(true)), ["MEDIA_XOFF"]);
        assert_eq!(told(&mut plain, Input::Full(false)), ["MEDIA_XON"]);
        let mark = fed(&mut plain, Input::Text("MARK_MEDIA id-1"));
        assert_eq!(mark, [Action::Mark("mid-1".into())]);
        assert_eq!(told(&mut plain, Input::Heard("mid-1")), ["MEDIA_MARK_PROCESSED id-1"]);
        assert_eq!(told(&mut plain, Input::Heard("b")), ["MEDIA_BUFFERING_COMPLETED"]);
        fed(&mut plain, Input::Text("START_MEDIA_BUFFERING"));
        assert_eq!(
            told(&mut plain, Input::Status(860)),
            [
                "STATUS queue_length:43 xon_level:800 xoff_level:900 queue_full:false bulk_media:true \
              media_paused:false"
            ]
        );
    }

    #[test]
    fn frames_of_opus_are_messages_as_they_are() {
        let mut opus = stream(false, Coding::Opus, 48_000);
        assert!(opus.wanted().opus);
        let start = told(&mut opus, Input::Opened);
        assert!(start[0].ends_with("format:opus optimal_frame_size:0 ptime:20"), "{start:?}");
        assert_eq!(
            fed(&mut opus, Input::Frame(&[1, 2, 3], 20)),
            [Action::AudioBinary(vec![1, 2, 3])]
        );
        assert_eq!(fed(&mut opus, Input::Binary(&[4, 5])), [Action::PlayFrame(vec![4, 5])]);
        fed(&mut opus, Input::Text("SET_MEDIA_DIRECTION in"));
        assert_eq!(fed(&mut opus, Input::Binary(&[4, 5])), []);
    }

    #[test]
    fn the_json_form_says_more() {
        let mut stream = stream(true, Coding::Linear, 16_000);
        let opened: Value = serde_json::from_str(&told(&mut stream, Input::Opened)[0]).unwrap();
        assert_eq!(
            opened,
            json!({
                "event": "MEDIA_START", "connection_id": "c-1", "channel": "sofia/x",
                "channel_id": "u-1", "format": "slin16", "optimal_frame_size": 640, "ptime": 20,
                "channel_variables": {"a": "b"},
            })
        );
        let mark = r#"{ "command": "MARK_MEDIA", "correlation_id": "x" }"#;
        assert_eq!(fed(&mut stream, Input::Text(mark)), [Action::Mark("mx".into())]);
        assert_eq!(
            told(&mut stream, Input::Heard("mx")),
            [r#"{"event":"MEDIA_MARK_PROCESSED","channel_id":"u-1","correlation_id":"x"}"#]
        );
        assert_eq!(
            told(&mut stream, Input::Full(true)),
            [r#"{"event":"MEDIA_XOFF","channel_id":"u-1"}"#]
        );
    }

    #[test]
    fn media_flows_the_ways_the_program_wants() {
        let mut plain = stream(false, Coding::Linear, 8000);
        assert_eq!(fed(&mut plain, Input::Binary(&[1, 0])), [Action::Play(8000, vec![1])]);
        fed(&mut plain, Input::Text("SET_MEDIA_DIRECTION in"));
        assert_eq!(fed(&mut plain, Input::Binary(&[1, 0])), []);
        assert_eq!(fed(&mut plain, Input::Audio(&[1])), [Action::AudioBinary(vec![1, 0])]);
        assert!(matches!(fed(&mut plain, Input::Text("MARK_MEDIA"))[..], [Action::Log(_)]));
        fed(&mut plain, Input::Text("SET_MEDIA_DIRECTION out"));
        assert_eq!(fed(&mut plain, Input::Audio(&[1])), []);
        assert_eq!(fed(&mut plain, Input::Text("PAUSE_MEDIA")), [Action::Hold(true)]);
        assert_eq!(fed(&mut plain, Input::Text("ANSWER")), [Action::Answer]);
        assert_eq!(fed(&mut plain, Input::Text("HANGUP")), [Action::HangUp]);
        assert!(
            matches!(fed(&mut plain, Input::Text("hangup"))[..], [Action::Log(_)]),
            "case matters"
        );
    }

    #[test]
    fn a_drained_queue_is_told_once_when_it_was_asked_for() {
        let mut plain = stream(false, Coding::Ulaw, 8000);
        assert_eq!(told(&mut plain, Input::Drained { heard_ms: 1 }), [""; 0]);
        assert_eq!(fed(&mut plain, Input::Text("REPORT_QUEUE_DRAINED")), [Action::AskStatus]);
        assert_eq!(told(&mut plain, Input::Status(200)), [""; 0]);
        assert_eq!(told(&mut plain, Input::Drained { heard_ms: 1 }), ["QUEUE_DRAINED"]);
        assert_eq!(told(&mut plain, Input::Drained { heard_ms: 1 }), [""; 0]);
        fed(&mut plain, Input::Text("REPORT_QUEUE_DRAINED"));
        let flushed = fed(&mut plain, Input::Text("FLUSH_MEDIA"));
        assert_eq!(flushed[..3], [Action::ForgetMarks, Action::Clear, Action::Hold(false)]);
        assert_eq!(texts(&flushed), ["QUEUE_DRAINED"]);
    }
}
