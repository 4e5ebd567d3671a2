//! A leg's record and the journal entry that carries it.

use serde::{Deserialize, Serialize};

/// What is known of a leg when it has ended. Times are microseconds since the epoch, 0 where something did not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// UUID of the running switch.
    pub core_uuid: String,
    pub switchname: String,
    /// UUID of the leg.
    pub uuid: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// No other leg made this one.
    pub a_leg: bool,
    /// Internal flags, `0=1;40=1`.
    pub flags: String,
    /// Capabilities, `1=1;2=1`.
    pub caps: String,
    /// Channel variables in order, not encoded.
    pub variables: Vec<(String, String)>,
    /// Every application the leg ran: name, argument, time.
    pub applications: Vec<(String, String, i64)>,
    /// Times the leg was put on hold.
    pub holds: Vec<Hold>,
    /// One entry per caller profile, newest first.
    pub callflow: Vec<Flow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Began.
    pub on: i64,
    /// Ended.
    pub off: i64,
    /// UUID of the leg it was bridged to.
    pub bridged_to: String,
}

/// What happened under one caller profile: a transfer begins the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Identifier of the profile.
    pub id: String,
    /// Identifier of the profile this one was copied from.
    pub clone_of: Option<String>,
    /// From 1.
    pub index: String,
    /// The dialplan's answer, if it was asked.
    pub extension: Option<FlowExtension>,
    /// Who called whom.
    pub profile: Party,
    /// Legs this one dialled.
    pub origination: Vec<Party>,
    /// The leg that made this one.
    pub originator: Vec<Party>,
    /// The leg this one was bridged to, having dialled it.
    pub originatee: Vec<Party>,
    /// Created, profile created, progress, early media, answered, bridged, last hold, hold time, hung up, resurrected,
    /// transferred.
    pub times: [i64; 11],
}

/// Names of [`Flow::times`], in order.
pub const TIMES: [&str; 11] = [
    "created_time",
    "profile_created_time",
    "progress_time",
    "progress_media_time",
    "answered_time",
    "bridged_time",
    "last_hold_time",
    "hold_accum_time",
    "hangup_time",
    "resurrect_time",
    "transfer_time",
];

/// What a dialplan answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowExtension {
    /// Extension name.
    pub name: String,
    /// Number looked up.
    pub number: String,
    /// Application and argument.
    pub applications: Vec<(String, String)>,
    /// Index of the application that would have run next; `None` when all ran.
    pub next: Option<usize>,
}

/// A caller profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the caller profile's fields, as documents spell them")]
pub struct Party {
    pub username: String,
    pub dialplan: String,
    pub caller_id_name: String,
    pub caller_id_number: String,
    pub callee_id_name: String,
    pub callee_id_number: String,
    pub ani: String,
    pub aniii: String,
    pub network_addr: String,
    pub rdnis: String,
    pub destination_number: String,
    pub uuid: String,
    pub source: String,
    pub transfer_source: String,
    pub context: String,
    pub chan_name: String,
    /// Printed as an empty `device_id` element: the profile of a dialled leg has one.
    pub device: bool,
}

impl CallRecord {
    /// A variable's value.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Audio statistics: name within the direction's object and value, as set by the media leg at hangup.
    #[must_use]
    pub fn audio(&self, prefix: &str) -> Vec<(&str, &str)> {
        self.variables
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
            .collect()
    }
}

/// What the journal holds for one leg: the record and who is to get it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Names of the sinks that were loaded and wanted the record.
    pub sinks: Vec<String>,
    pub record: CallRecord,
    /// Lines expanded while the channel was still there: sink, file or table, text.
    pub lines: Vec<Line>,
}

/// A line for a sink that writes what a template says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sink: String,
    /// File path, or table.
    pub target: String,
    /// One value for a file; one per column for a table.
    pub values: Vec<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> CallRecord {
        let text = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
        };
        CallRecord {
            core_uuid: "core".into(),
            switchname: "pbx".into(),
            uuid: "leg".into(),
            direction: "inbound".into(),
            a_leg: true,
            flags: "0=1;40=1".into(),
            caps: "1=1".into(),
            variables: text(&[
                ("direction", "inbound"),
                ("odd_value", "a b&c <d> \"e\" 50%"),
                ("rtp_audio_in_raw_bytes", "3268"),
                ("rtp_audio_in_jitter_max_variance", "648.00"),
                ("rtp_audio_in_mos", "4.50"),
                ("rtp_audio_out_raw_bytes", "3440"),
                ("rtp_audio_rtcp_packet_count", "7"),
            ]),
            applications: vec![("set".into(), "x=\"a\" <b>".into(), 25)],
            holds: Vec::new(),
            callflow: vec![Flow {
                id: "profile".into(),
                index: "1".into(),
                extension: Some(FlowExtension {
                    name: "one".into(),
                    number: "1".into(),
                    applications: text(&[("answer", ""), ("hangup", "")]),
                    next: Some(1),
                }),
                profile: Party { dialplan: "XML".into(), uuid: "leg".into(), ..Party::default() },
                originatee: vec![Party { uuid: "other".into(), ..Party::default() }],
                times: [10, 10, 0, 0, 30, 0, 0, 0, 50, 0, 0],
                ..Flow::default()
            }],
        }
    }

    #[test]
    fn an_entry_comes_back_from_its_journal_form() {
        let entry = Entry {
            sinks: vec!["mod_json_cdr".into()],
            record: sample(),
            lines: vec![Line { sink: "a".into(), target: "b".into(), values: vec!["c".into()] }],
        };
        let bytes = serde_json::to_vec(&entry).unwrap();
        assert_eq!(serde_json::from_slice::<Entry>(&bytes).unwrap(), entry);
    }
}
