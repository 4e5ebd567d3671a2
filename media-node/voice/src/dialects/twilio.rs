//! Twilio Media Streams, with the switch in Twilio's place; and by other names Telnyx, Plivo, Exotel and Vonage.

use serde_json::{Map, Value, json};

use super::{excerpt, number, say_end_or_loss, text};
use crate::audio::{Coding, Halves, decode, encode};
use crate::capture::Mix;
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_media_streams";

/// Whose messages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flavour {
    /// Twilio: µ-law at 8 kHz.
    #[default]
    Twilio,
    /// Telnyx: the same in snake case.
    Telnyx,
    /// Plivo: `playAudio`, `checkpoint`, `clearAudio`.
    Plivo,
    /// Exotel: linear samples at 8 kHz.
    Exotel,
    /// Vonage: linear samples in binary messages.
    Vonage,
}

impl Flavour {
    /// By its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let known = [
            ("twilio", Self::Twilio),
            ("telnyx", Self::Telnyx),
            ("plivo", Self::Plivo),
            ("exotel", Self::Exotel),
            ("vonage", Self::Vonage),
        ];
        known.into_iter().find(|(own, _)| *own == name).map(|(_, flavour)| flavour)
    }

    fn stream_key(self) -> &'static str {
        match self {
            Self::Twilio => "streamSid",
            Self::Telnyx => "stream_id",
            Self::Exotel => "stream_sid",
            Self::Plivo | Self::Vonage => "streamId",
        }
    }

    fn sequence_key(self) -> &'static str {
        match self {
            Self::Telnyx | Self::Exotel => "sequence_number",
            _ => "sequenceNumber",
        }
    }

    /// Plivo and Exotel count with numbers, the others with texts.
    fn counts(self, n: u64) -> Value {
        match self {
            Self::Plivo | Self::Exotel => json!(n),
            _ => json!(n.to_string()),
        }
    }
}

/// How a stream was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Whose messages.
    pub flavour: Flavour,
    /// How the samples are written.
    pub coding: Coding,
    /// Samples per second.
    pub rate: u32,
    /// Stereo = both tracks, mono = the inbound one.
    pub mix: Mix,
    /// The call's UUID.
    pub call: String,
    /// Names the stream; made of the call and the stream's own name.
    pub stream: String,
    /// Account, as the program expects one.
    pub account: String,
    /// Numbers called from and to.
    pub from: String,
    /// Number called.
    pub to: String,
    /// `customParameters`: the metadata object.
    pub parameters: Map<String, Value>,
}

/// One stream.
#[derive(Debug)]
pub struct MediaStream {
    setup: Setup,
    sequence: u64,
    chunks: [u64; 2],
    /// Milliseconds since the start.
    clock_ms: u64,
    halves: Halves,
    /// Plivo: a `clearAudio` has not been confirmed yet. Programs wait for the confirmation also when nothing was queued.
    clearing: bool,
}

const TRACKS: [&str; 2] = ["inbound", "outbound"];

impl MediaStream {
    /// A stream that is not open yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let halves = Halves::default();
        Self { setup, sequence: 0, chunks: [0; 2], clock_ms: 0, halves, clearing: false }
    }

    fn next(&mut self) -> Value {
        self.sequence += 1;
        self.setup.flavour.counts(self.sequence)
    }

    /// A message with what all of them have, and one part of its own.
    fn message(&mut self, event: &str, part: Option<(&str, Value)>) -> String {
        let flavour = self.setup.flavour;
        let mut object = Map::new();
        object.insert("event".to_owned(), event.into());
        object.insert(flavour.sequence_key().to_owned(), self.next());
        object.insert(flavour.stream_key().to_owned(), self.setup.stream.clone().into());
        if let Some((name, value)) = part {
            object.insert(name.to_owned(), value);
        }
        Value::Object(object).to_string()
    }

    fn open(&mut self, out: &mut Actions) {
        let setup = self.setup.clone();
        let rate = setup.rate;
        let connected = match setup.flavour {
            Flavour::Twilio => {
                Some(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
            }
            Flavour::Telnyx => Some(json!({"event": "connected", "version": "1.0.0"})),
            Flavour::Exotel => Some(json!({"event": "connected"})),
            Flavour::Plivo => None,
            Flavour::Vonage => {
                let mut opened = json!({
                    "event": "websocket:connected",
                    "content-type": match setup.coding {
                        Coding::Opus => format!("audio/opus;rate={rate}"),
                        _ => format!("audio/l16;rate={rate}"),
                    },
                });
                if let Some(object) = opened.as_object_mut() {
                    object.extend(setup.parameters.clone());
                }
                return out.push(Action::Text(opened.to_string()));
            }
        };
        out.extend(connected.map(|connected| Action::Text(connected.to_string())));
        let tracks = if setup.mix == Mix::Stereo { &TRACKS[..] } else { &TRACKS[..1] };
        let encoding = match (setup.flavour, setup.coding) {
            (Flavour::Telnyx, Coding::Ulaw) => "PCMU",
            (Flavour::Telnyx, Coding::Alaw) => "PCMA",
            (Flavour::Telnyx, Coding::Linear) => "L16",
            (Flavour::Telnyx, Coding::Opus) => "OPUS",
            (Flavour::Exotel, Coding::Linear) => "raw/slin",
            (_, Coding::Ulaw) => "audio/x-mulaw",
            (_, Coding::Alaw) => "audio/x-alaw",
            (_, Coding::Linear) => "audio/x-l16",
            (_, Coding::Opus) => "audio/opus",
        };
        let start = match setup.flavour {
            Flavour::Telnyx => json!({
                "user_id": setup.account,
                "call_control_id": setup.call,
                "call_session_id": setup.call,
                "from": setup.from,
                "to": setup.to,
                "client_state": Value::Null,
                "custom_parameters": setup.parameters,
                "media_format": {"encoding": encoding, "sample_rate": rate, "channels": 1},
            }),
            Flavour::Exotel => json!({
                "stream_sid": setup.stream,
                "call_sid": setup.call,
                "account_sid": setup.account,
                "from": setup.from,
                "to": setup.to,
                "custom_parameters": setup.parameters,
                "media_format": {"encoding": encoding, "sample_rate": rate.to_string(), "bit_rate": "128kbps"},
            }),
            Flavour::Plivo => json!({
                "callId": setup.call,
                "streamId": setup.stream,
                "accountId": setup.account,
                "tracks": tracks,
                "mediaFormat": {"encoding": encoding, "sampleRate": rate},
                "extra_headers": Value::Object(setup.parameters).to_string(),
            }),
            Flavour::Twilio | Flavour::Vonage => json!({
                "accountSid": setup.account,
                "streamSid": setup.stream,
                "callSid": setup.call,
                "tracks": tracks,
                "mediaFormat": {"encoding": encoding, "sampleRate": rate, "channels": 1},
                "customParameters": setup.parameters,
            }),
        };
        let start = self.message("start", Some(("start", start)));
        out.push(Action::Text(start));
    }

    fn media(&mut self, samples: &[i16], out: &mut Actions) {
        let channels = self.setup.mix.channels();
        let at = self.clock_ms;
        self.clock_ms +=
            (samples.len() / channels) as u64 * 1000 / u64::from(self.setup.rate.max(1));
        if self.setup.flavour == Flavour::Vonage {
            return out.push(Action::AudioBinary(self.setup.coding.write(samples)));
        }
        for track in 0..channels {
            let own: Vec<i16> = samples.iter().skip(track).step_by(channels).copied().collect();
            let octets = self.setup.coding.write(&own);
            self.payload(track, &octets, at, out);
        }
    }

    fn frame(&mut self, frame: &[u8], ms: u32, out: &mut Actions) {
        let at = self.clock_ms;
        self.clock_ms += u64::from(ms);
        if self.setup.flavour == Flavour::Vonage {
            return out.push(Action::AudioBinary(frame.to_vec()));
        }
        self.payload(0, frame, at, out);
    }

    fn payload(&mut self, track: usize, octets: &[u8], at: u64, out: &mut Actions) {
        let (Some(name), Some(chunk)) = (TRACKS.get(track), self.chunks.get_mut(track)) else {
            return;
        };
        *chunk += 1;
        let media = json!({
            "track": name,
            "chunk": self.setup.flavour.counts(*chunk),
            "timestamp": at.to_string(),
            "payload": encode(octets),
        });
        let message = self.message("media", Some(("media", media)));
        out.push(Action::AudioText(message));
    }

    fn handle_message(&mut self, whole: &str, out: &mut Actions) {
        let parsed = serde_json::from_str::<Value>(whole);
        let Ok(Value::Object(object)) = parsed else {
            return out.push(Action::Log(format!("not a JSON object: {}", excerpt(whole))));
        };
        let event = text(&object, "event").or_else(|| text(&object, "action")).unwrap_or_default();
        let part = |name: &str| object.get(name).and_then(Value::as_object);
        match event {
            "media" | "playAudio" => {
                let media = part("media");
                let octets = media.and_then(|m| text(m, "payload")).and_then(decode);
                let Some(octets) = octets else {
                    return out.push(Action::Log("media without a payload".to_owned()));
                };
                let kind = media.and_then(|m| text(m, "contentType"));
                if self.setup.coding == Coding::Opus && kind.is_none_or(|kind| kind == "audio/opus")
                {
                    return out.push(Action::PlayFrame(octets));
                }
                let coding = match kind {
                    Some("audio/x-mulaw" | "audio/mulaw") => Coding::Ulaw,
                    Some("audio/x-alaw") => Coding::Alaw,
                    Some("audio/x-l16" | "raw") => Coding::Linear,
                    _ => self.setup.coding,
                };
                let said = media.and_then(|m| number(m, "sampleRate"));
                let rate = said.filter(|_| kind.is_some()).unwrap_or(self.setup.rate);
                out.push(Action::Play(rate, coding.read(&octets)));
            }
            "mark" | "checkpoint" => {
                let name = part("mark").and_then(|mark| text(mark, "name"));
                let name = name.or_else(|| text(&object, "name")).unwrap_or_default();
                out.push(Action::Mark(name.to_owned()));
            }
            "clearAudio" if self.setup.flavour == Flavour::Plivo => {
                self.clearing = true;
                // A cut is told only where audio waited; the status comes after it in any case.
                out.extend([Action::Clear, Action::AskStatus]);
            }
            "clear" | "clearAudio" => out.push(Action::Clear),
            "notify" if self.setup.flavour == Flavour::Vonage => {
                let payload = object.get("payload").cloned().unwrap_or_default();
                out.push(Action::Mark(payload.to_string()));
            }
            // What Twilio's own API does by a request besides the stream.
            "stop" | "hangup" => out.push(Action::HangUp),
            _ => out.push(Action::Event("json", Some(whole.to_owned()))),
        }
    }

    /// A mark was reached, or thrown away with its audio.
    fn mark(&mut self, name: &str, heard: bool, out: &mut Actions) {
        let text = match self.setup.flavour {
            Flavour::Plivo if heard => {
                let stream = self.setup.stream.clone();
                json!({"event": "playedStream", "streamId": stream, "name": name}).to_string()
            }
            Flavour::Plivo => return,
            Flavour::Vonage => {
                let payload: Value = serde_json::from_str(name).unwrap_or_default();
                json!({"event": "websocket:notify", "payload": payload}).to_string()
            }
            _ => self.message("mark", Some(("mark", json!({"name": name})))),
        };
        out.push(Action::Text(text));
    }

    fn cleared(&mut self, out: &mut Actions) {
        self.clearing = false;
        let told = json!({"event": "clearedAudio", "streamId": self.setup.stream});
        out.push(Action::Text(told.to_string()));
    }

    fn stop(&mut self, out: &mut Actions) {
        let (account, call) = (self.setup.account.clone(), self.setup.call.clone());
        let stop = match self.setup.flavour {
            Flavour::Vonage => return,
            Flavour::Telnyx => json!({"user_id": account, "call_control_id": call}),
            Flavour::Exotel => {
                json!({"call_sid": call, "account_sid": account, "reason": "callended"})
            }
            _ => json!({"accountSid": account, "callSid": call}),
        };
        let message = self.message("stop", Some(("stop", stop)));
        out.push(Action::Text(message));
    }
}

impl Dialect for MediaStream {
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
                self.open(out);
            }
            Input::Audio(samples) => self.media(samples, out),
            Input::Frame(frame, ms) => self.frame(frame, ms, out),
            Input::Text(whole) => self.handle_message(whole, out),
            Input::Binary(octets) if self.setup.flavour == Flavour::Vonage => {
                if self.setup.coding == Coding::Opus {
                    return out.push(Action::PlayFrame(octets.to_vec()));
                }
                let samples = self.halves.read(octets);
                if !samples.is_empty() {
                    out.push(Action::Play(self.setup.rate, samples));
                }
            }
            Input::Heard(name) => self.mark(name, true, out),
            Input::Cleared(name) => self.mark(name, false, out),
            Input::Cut { .. } if self.setup.flavour == Flavour::Plivo => self.cleared(out),
            Input::Status(_) if self.clearing => self.cleared(out),
            Input::Digit(digit, duration) => {
                let digit = digit.to_string();
                let text = match self.setup.flavour {
                    Flavour::Vonage => {
                        json!({"event": "websocket:dtmf", "digit": digit, "duration": duration})
                            .to_string()
                    }
                    Flavour::Twilio => {
                        let dtmf = json!({"track": "inbound_track", "digit": digit});
                        self.message("dtmf", Some(("dtmf", dtmf)))
                    }
                    _ => {
                        let dtmf = json!({"track": "inbound", "digit": digit, "duration": duration.to_string()});
                        self.message("dtmf", Some(("dtmf", dtmf)))
                    }
                };
                out.push(Action::Text(text));
            }
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::Stop(text) => {
                out.extend(text.map(|text| Action::Text(text.to_owned())));
                self.stop(out);
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

    fn stream(flavour: Flavour, coding: Coding, mix: Mix) -> MediaStream {
        MediaStream::new(Setup {
            flavour,
            coding,
            rate: 8000,
            mix,
            call: "CA1".into(),
            stream: "MZ1".into(),
            account: "AC1".into(),
            from: "1000".into(),
            to: "2000".into(),
            parameters: Map::from_iter([("first".to_owned(), json!("Jane"))]),
        })
    }

    fn json_of(actions: &[Action]) -> Vec<Value> {
        texts(actions).into_iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    #[test]
    fn twilio_s_messages_are_in_order_and_counted() {
        let mut twilio = stream(Flavour::Twilio, Coding::Ulaw, Mix::Stereo);
        let opened = json_of(&fed(&mut twilio, Input::Opened));
        assert_eq!(
            opened[0],
            json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        );
        assert_eq!(
            opened[1],
            json!({
                "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
                "start": {
                    "accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1",
                    "tracks": ["inbound", "outbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": {"first": "Jane"},
                },
            })
        );
        fed(&mut twilio, Input::Audio(&[0; 320]));
        let media = json_of(&fed(&mut twilio, Input::Audio(&[0; 320])));
        let payload = encode(&[0xff; 160]);
        for (n, track) in ["inbound", "outbound"].into_iter().enumerate() {
            assert_eq!(
                media[n],
                json!({
                    "event": "media", "sequenceNumber": (4 + n).to_string(), "streamSid": "MZ1",
                    "media": {"track": track, "chunk": "2", "timestamp": "20", "payload": payload},
                })
            );
        }
        let digit = json_of(&fed(&mut twilio, Input::Digit('5', 100)));
        assert_eq!(digit[0]["dtmf"], json!({"track": "inbound_track", "digit": "5"}));
        let stop = fed(&mut twilio, Input::Stop(None));
        assert_eq!(json_of(&stop)[0]["stop"], json!({"accountSid": "AC1", "callSid": "CA1"}));
        assert_eq!(stop[1], Action::Close(1000));
    }

    #[test]
    fn a_program_s_media_marks_and_clears_are_obeyed_and_marks_given_back() {
        let mut twilio = stream(Flavour::Twilio, Coding::Ulaw, Mix::Mono);
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#;
        assert_eq!(fed(&mut twilio, Input::Text(media)), [Action::Play(8000, vec![0, 0])]);
        let mark = r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"m"}}"#;
        assert_eq!(fed(&mut twilio, Input::Text(mark)), [Action::Mark("m".into())]);
        assert_eq!(fed(&mut twilio, Input::Text(r#"{"event":"clear"}"#)), [Action::Clear]);
        for told in [Input::Heard("m"), Input::Cleared("m")] {
            assert_eq!(json_of(&fed(&mut twilio, told))[0]["mark"], json!({"name": "m"}));
        }
        let odd = fed(&mut twilio, Input::Text(r#"{"event":"media","media":{"payload":"*"}}"#));
        assert!(matches!(odd[..], [Action::Log(_)]));
    }

    #[test]
    fn the_others_differ_in_names_only() {
        let mut telnyx = stream(Flavour::Telnyx, Coding::Ulaw, Mix::Mono);
        let opened = json_of(&fed(&mut telnyx, Input::Opened));
        assert_eq!(
            (&opened[1]["stream_id"], &opened[1]["sequence_number"]),
            (&json!("MZ1"), &json!("1"))
        );
        assert_eq!(opened[1]["start"]["media_format"]["encoding"], "PCMU");
        let mut plivo = stream(Flavour::Plivo, Coding::Ulaw, Mix::Mono);
        assert_eq!(json_of(&fed(&mut plivo, Input::Opened))[0]["start"]["callId"], "CA1");
        let play = r#"{"event":"playAudio","media":{"contentType":"audio/x-l16","sampleRate":16000,"payload":"AQA="}}"#;
        assert_eq!(fed(&mut plivo, Input::Text(play)), [Action::Play(16_000, vec![1])]);
        let checkpoint = r#"{"event":"checkpoint","streamId":"MZ1","name":"c"}"#;
        assert_eq!(fed(&mut plivo, Input::Text(checkpoint)), [Action::Mark("c".into())]);
        assert_eq!(json_of(&fed(&mut plivo, Input::Heard("c")))[0]["event"], "playedStream");
        let mut exotel = stream(Flavour::Exotel, Coding::Linear, Mix::Mono);
        fed(&mut exotel, Input::Opened);
        let media = json_of(&fed(&mut exotel, Input::Audio(&[1, 2])));
        assert_eq!(media[0]["media"]["payload"], "AQACAA==");
        let mut vonage = stream(Flavour::Vonage, Coding::Linear, Mix::Mono);
        let opened = json_of(&fed(&mut vonage, Input::Opened));
        assert_eq!(opened[0]["content-type"], "audio/l16;rate=8000");
        assert_eq!(fed(&mut vonage, Input::Audio(&[1])), [Action::AudioBinary(vec![1, 0])]);
        assert_eq!(fed(&mut vonage, Input::Binary(&[1, 0])), [Action::Play(8000, vec![1])]);
    }

    #[test]
    fn plivo_s_clear_audio_is_confirmed_once_whether_or_not_audio_waited() {
        let mut plivo = stream(Flavour::Plivo, Coding::Ulaw, Mix::Mono);
        let clear = Input::Text(r#"{"event":"clearAudio"}"#);
        let confirmed = [json!({"event": "clearedAudio", "streamId": "MZ1"})];
        for waited in [false, true] {
            assert_eq!(fed(&mut plivo, clear), [Action::Clear, Action::AskStatus]);
            let cut = Input::Cut { heard_ms: 820, lost_ms: 4180 };
            let mut told = if waited { json_of(&fed(&mut plivo, cut)) } else { Vec::new() };
            told.extend(json_of(&fed(&mut plivo, Input::Status(0))));
            assert_eq!(told, confirmed, "waited: {waited}");
        }
        // The switch's own barge-in is told too.
        let cut = Input::Cut { heard_ms: 1, lost_ms: 1 };
        assert_eq!(json_of(&fed(&mut plivo, cut)), confirmed);
        assert_eq!(fed(&mut plivo, Input::Status(0)), []);
    }
}
