//! What happens to calls, in a few messages of versioned JSON: for systems that do not want to learn events.
//!
//! `docs/call-messages.schema.json` describes them. Fields are added within a version, never renamed or removed.

use esl_server::event::{Event, EventName};
use serde_json::{Map, Value, json};

/// Version of the messages.
pub const VERSION: u32 = 1;

/// Events that become messages.
pub const EVENTS: [EventName; 10] = [
    EventName::ChannelCreate,
    EventName::ChannelProgress,
    EventName::ChannelProgressMedia,
    EventName::ChannelAnswer,
    EventName::ChannelBridge,
    EventName::ChannelUnbridge,
    EventName::ChannelHangupComplete,
    EventName::Dtmf,
    EventName::RecordStart,
    EventName::RecordStop,
];

/// Subclasses of CUSTOM events that become messages.
pub const SUBCLASSES: [&str; 2] = [QUALITY_EVENT, TRANSCRIPT];

/// mod_media_quality's event: a leg's audio is in another state.
const QUALITY_EVENT: &str = "ferroswitch::media_quality";
/// Words of a call that were recognised.
const TRANSCRIPT: &str = "switch::transcript";

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `CALL_INIT` and its kin.
    pub kind: &'static str,
    /// `inbound`, `outbound`, or empty.
    pub direction: String,
    /// The same however often the message is delivered.
    pub id: String,
    /// Microseconds since the epoch.
    pub time: i64,
    /// The document.
    pub document: Value,
}

/// The messages an event comes to: none, one, or two (an end with the quality of its audio).
#[must_use]
pub fn of(event: &Event) -> Vec<Message> {
    let mut into = Vec::new();
    if let Some((kind, fields)) = told(event) {
        into.push(message(event, kind, fields));
    }
    if event.name() == EventName::ChannelHangupComplete
        && let Some(fields) = quality(event)
    {
        into.push(message(event, "QUALITY", fields));
    }
    into
}

/// An event's own name in the world: the switch's run, and the number of the event.
#[must_use]
pub fn identifier(event: &Event) -> String {
    format!("{}-{}", event.get("Core-UUID").unwrap_or_default(), event.sequence())
}

fn message(event: &Event, kind: &'static str, fields: Map<String, Value>) -> Message {
    let text = |name: &str| event.get(name).map(|text| text.into_owned()).unwrap_or_default();
    let direction = text("Call-Direction");
    let micros = text("Event-Date-Timestamp").parse::<i64>().unwrap_or(0);
    let id = format!("{}-{}", identifier(event), kind);
    let mut document = Map::new();
    document.insert("version".into(), json!(VERSION));
    document.insert("type".into(), json!(kind));
    document.insert("id".into(), json!(id));
    document.insert("time".into(), json!(micros as f64 / 1e6));
    document.insert("switch".into(), json!(text("FreeSWITCH-Switchname")));
    document.insert("call_id".into(), json!(text("Unique-ID")));
    document.insert("direction".into(), json!(direction));
    document.insert("from".into(), json!(text("Caller-Caller-ID-Number")));
    document.insert("to".into(), json!(text("Caller-Destination-Number")));
    for (name, header) in [("other_call_id", "Other-Leg-Unique-ID"), ("context", "Caller-Context")]
    {
        if let Some(value) = event.get(header).filter(|value| !value.is_empty()) {
            document.insert(name.into(), json!(value));
        }
    }
    document.extend(fields);
    Message { kind, direction, id, time: micros, document: Value::Object(document) }
}

/// What kind of message it is, and the fields only that kind has.
fn told(event: &Event) -> Option<(&'static str, Map<String, Value>)> {
    let text = |name: &str| event.get(name).map(|text| text.into_owned());
    let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let kind = match event.name() {
        EventName::ChannelCreate => "CALL_INIT",
        EventName::ChannelProgress => {
            put("early_media", Some(json!(false)));
            "CALL_RINGING"
        }
        EventName::ChannelProgressMedia => {
            put("early_media", Some(json!(true)));
            "CALL_RINGING"
        }
        EventName::ChannelAnswer => "CALL_ANSWERED",
        EventName::ChannelBridge => {
            put("bridged_to", text("Bridge-B-Unique-ID").map(Value::from));
            "CALL_BRIDGED"
        }
        EventName::ChannelUnbridge => "CALL_UNBRIDGED",
        EventName::ChannelHangupComplete => {
            put("cause", text("Hangup-Cause").map(Value::from));
            put("cause_code", number("variable_hangup_cause_q850").map(Value::from));
            let answered = number("Caller-Channel-Answered-Time").is_some_and(|at| at > 0);
            put("answered", Some(json!(answered)));
            put("duration_ms", number("variable_mduration").map(Value::from));
            put("billed_ms", number("variable_billmsec").map(Value::from));
            "CALL_END"
        }
        EventName::Dtmf => {
            put("digit", text("DTMF-Digit").map(Value::from));
            // Samples at 8000 Hz.
            put("duration_ms", number("DTMF-Duration").map(|samples| json!(samples / 8)));
            put("source", text("DTMF-Source").map(|source| json!(source.to_lowercase())));
            "DTMF"
        }
        EventName::RecordStart | EventName::RecordStop => {
            let stopped = event.name() == EventName::RecordStop;
            put("state", Some(json!(if stopped { "stopped" } else { "started" })));
            put("file", text("Record-File-Path").map(Value::from));
            put("seconds", number("variable_record_seconds").filter(|_| stopped).map(Value::from));
            "RECORDING"
        }
        EventName::Custom if text("Event-Subclass").as_deref() == Some(QUALITY_EVENT) => {
            let decimal = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok());
            put("quality", text("Media-Quality").map(Value::from));
            put("quality_before", text("Media-Quality-Before").map(Value::from));
            put("reason", text("Media-Quality-Reason").map(Value::from));
            for (name, header) in QUALITY_HEADERS {
                put(name, decimal(header).map(Value::from));
            }
            "QUALITY"
        }
        EventName::Custom if event.subclass() == Some(TRANSCRIPT) => {
            put("text", text("Transcript-Text").map(Value::from));
            let caller = text("Transcript-Direction").map(|side| side == "read");
            put("speaker", caller.map(|far| json!(if far { "far" } else { "near" })));
            put("at_ms", number("Transcript-Milliseconds").map(Value::from));
            let sure = text("Transcript-Confidence").and_then(|text| text.parse::<f64>().ok());
            put("confidence", sure.map(Value::from));
            "TRANSCRIPT"
        }
        _ => return None,
    };
    Some((kind, fields))
}

/// Fields of QUALITY and the headers of the event about a change.
const QUALITY_HEADERS: [(&str, &str); 9] = [
    ("lost", "In-Lost"),
    ("loss_percent", "In-Loss-Percent"),
    ("jitter_ms", "In-Jitter-MS"),
    ("mos", "In-MOS"),
    ("out_lost", "Out-Lost"),
    ("out_loss_percent", "Out-Loss-Percent"),
    ("out_jitter_ms", "Out-Jitter-MS"),
    ("out_mos", "Out-MOS"),
    ("round_trip_ms", "Round-Trip-MS"),
];

/// Fields of QUALITY and the variables of a leg that ended, which mod_media_quality sets.
const QUALITY_VARIABLES: [(&str, &str); 6] = [
    ("loss_percent", "variable_media_quality_in_loss_percent"),
    ("out_lost", "variable_media_quality_out_lost"),
    ("out_loss_percent", "variable_media_quality_out_loss_percent"),
    ("out_jitter_ms", "variable_media_quality_out_jitter_ms"),
    ("out_mos", "variable_media_quality_out_mos"),
    ("round_trip_ms", "variable_media_quality_round_trip_ms"),
];

/// How the audio was, if there was any.
fn quality(event: &Event) -> Option<Map<String, Value>> {
    let number = |name: &str| event.get(name).and_then(|text| text.parse::<f64>().ok());
    let packets = number("variable_rtp_audio_in_packet_count").filter(|count| *count > 0.0)?;
    let lost = number("variable_rtp_audio_in_skip_packet_count").unwrap_or(0.0);
    let mut fields = Map::new();
    fields.insert("packets".into(), json!(packets));
    fields.insert("lost".into(), json!(lost));
    for (name, variable) in [
        ("mos", "variable_rtp_audio_in_mos"),
        ("jitter_ms", "variable_rtp_audio_in_jitter_max_variance"),
    ] {
        if let Some(value) = number(variable) {
            fields.insert(name.into(), json!(value));
        }
    }
    for (name, variable) in QUALITY_VARIABLES {
        if let Some(value) = number(variable) {
            fields.insert(name.into(), json!(value));
        }
    }
    if let Some(worst) = event.get("variable_media_quality") {
        fields.insert("quality".into(), json!(worst));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(name: EventName, headers: &[(&'static str, &str)]) -> Vec<Value> {
        let mut event = Event::new(name);
        event.push("Unique-ID", "leg").push("Call-Direction", "inbound");
        for (name, value) in headers {
            event.push(*name, *value);
        }
        of(&event).into_iter().map(|message| message.document).collect()
    }

    #[test]
    fn an_end_says_why_and_how_long() {
        let told = told_of(
            EventName::ChannelHangupComplete,
            &[
                ("Hangup-Cause", "NORMAL_CLEARING"),
                ("Caller-Channel-Answered-Time", "1700000000000000"),
                ("variable_billmsec", "1500"),
                ("variable_rtp_audio_in_packet_count", "100"),
                ("variable_rtp_audio_in_mos", "4.40"),
            ],
        );
        assert_eq!(told[0]["type"], "CALL_END");
        assert_eq!((&told[0]["answered"], &told[0]["billed_ms"]), (&json!(true), &json!(1500)));
        assert_eq!((&told[1]["type"], &told[1]["mos"]), (&json!("QUALITY"), &json!(4.4)));
    }

    #[test]
    fn an_event_that_says_nothing_about_a_call_is_no_message() {
        assert!(told_of(EventName::Heartbeat, &[]).is_empty());
        assert_eq!(told_of(EventName::Dtmf, &[("DTMF-Digit", "5")])[0]["digit"], "5");
    }

    #[test]
    fn a_change_of_quality_is_a_message_and_other_custom_events_are_none() {
        let mut event = Event::custom(SUBCLASSES[0]);
        event.push("Unique-ID", "leg").push("Media-Quality", "degraded");
        event.push("Media-Quality-Before", "good").push("Media-Quality-Reason", "loss inbound");
        event.push("In-Loss-Percent", "12.50");
        let told = of(&event).remove(0);
        assert_eq!((told.kind, &told.document["quality"]), ("QUALITY", &json!("degraded")));
        assert_eq!(told.document["loss_percent"], json!(12.5));
        assert!(told.document.get("out_mos").is_none());
        assert_fits_schema(&told.document);
        assert!(of(&Event::custom("sofia::register")).is_empty());
    }

    fn assert_fits_schema(message: &Value) {
        let schema: Value =
            serde_json::from_str(include_str!("../../../docs/call-messages.schema.json")).unwrap();
        let known = schema["properties"].as_object().unwrap();
        let message = message.as_object().unwrap();
        assert!(message.keys().all(|field| known.contains_key(field)), "{message:?}");
    }

    #[test]
    fn words_that_were_recognised_are_a_message_and_other_custom_events_are_none() {
        let made = |subclass: &str| {
            let mut event = Event::custom(subclass);
            event.push("Transcript-Text", "hello").push("Transcript-Direction", "write");
            of(&event)
        };
        let told = made(TRANSCRIPT);
        assert_eq!((told[0].kind, &told[0].document["speaker"]), ("TRANSCRIPT", &json!("near")));
        assert_eq!(told[0].document["text"], "hello");
        assert!(made("sofia::register").is_empty());
    }

    #[test]
    fn every_message_is_as_its_schema_says() {
        let schema: Value =
            serde_json::from_str(include_str!("../../../docs/call-messages.schema.json")).unwrap();
        let known = schema["properties"].as_object().unwrap();
        let required = schema["required"].as_array().unwrap();
        let kinds = schema["properties"]["type"]["enum"].as_array().unwrap();
        for name in EVENTS {
            for message in told_of(name, &[("variable_rtp_audio_in_packet_count", "1")]) {
                let message = message.as_object().unwrap();
                assert!(kinds.contains(&message["type"]), "{message:?}");
                assert!(required.iter().all(|field| message.contains_key(field.as_str().unwrap())));
                assert!(message.keys().all(|field| known.contains_key(field)), "{message:?}");
            }
        }
    }
}
