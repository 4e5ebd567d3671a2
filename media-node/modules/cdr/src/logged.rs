//! The row of `call_logs` that a record comes to, whatever the database.

use records::CallRecord;

/// One call as dashboards list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    /// UUID of the leg.
    pub(crate) call_id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// `completed`, or the cause in lower case.
    pub(crate) status: String,
    /// Microseconds since the epoch.
    pub(crate) start_us: Option<i64>,
    pub(crate) end_us: Option<i64>,
    /// Answered seconds.
    pub(crate) seconds: i64,
    /// The first file that was recorded.
    pub(crate) recording: Option<String>,
}

impl Logged {
    pub(crate) fn of(record: &CallRecord) -> Self {
        let text = |name: &str| record.variable(name).unwrap_or_default().to_owned();
        let number = |name: &str| record.variable(name).and_then(|text| text.parse::<i64>().ok());
        let profile = record.callflow.first().map(|flow| &flow.profile);
        let answered = record.variable("answer_stamp").is_some();
        Self {
            call_id: record.uuid.clone(),
            from: profile.map(|profile| profile.caller_id_number.clone()).unwrap_or_default(),
            to: profile.map(|profile| profile.destination_number.clone()).unwrap_or_default(),
            status: if answered {
                "completed".to_owned()
            } else {
                text("hangup_cause").to_lowercase()
            },
            start_us: number("start_uepoch").filter(|at| *at > 0),
            end_us: number("end_uepoch").filter(|at| *at > 0),
            seconds: number("billsec").unwrap_or(0),
            recording: record
                .applications
                .iter()
                .find(|(name, ..)| matches!(name.as_str(), "record_session" | "record"))
                .map(|(_, file, _)| file.clone()),
        }
    }
}
