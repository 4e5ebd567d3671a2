//! Session counters and limits.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

/// Session counters and limits, as `status` and HEARTBEAT show them.
#[derive(Debug, Default)]
pub struct Counters {
    /// `max-sessions`.
    pub max_sessions: AtomicU32,
    /// `sessions-per-second`.
    pub sps_limit: AtomicU32,
    /// Sessions since start; the last `session_id` given out.
    pub total: AtomicU64,
    /// Most sessions at once.
    pub peak: AtomicU32,
    /// Most sessions at once within the last five minutes.
    pub peak_five_minutes: AtomicU32,
    /// Sessions of the running second.
    pub this_second: AtomicU32,
    /// Sessions of the last second.
    pub last_second: AtomicU32,
    /// Most sessions in a second.
    pub sps_peak: AtomicU32,
    /// Most sessions in a second within the last five minutes.
    pub sps_peak_five_minutes: AtomicU32,
    /// New inbound calls are refused (`fsctl pause inbound`).
    pub paused_inbound: AtomicBool,
    /// New outbound calls are refused.
    pub paused_outbound: AtomicBool,
    /// No new calls are taken: the switch is about to end.
    pub draining: AtomicBool,
    /// What happens when the last call ends: nothing (0), the end (1), the end and a new start (2).
    pub ending: AtomicU8,
    /// The media threads have no time for further calls.
    pub media_full: AtomicBool,
    /// Calls refused for that.
    pub media_refused: AtomicU64,
}

/// Sessions and rates of the last five minutes, one entry a second.
#[derive(Debug, Default)]
pub struct Peaks(std::collections::VecDeque<(u32, u32)>);

const FIVE_MINUTES: usize = 300;

impl Peaks {
    /// A second has passed.
    pub fn push(&mut self, sessions: u32, rate: u32) {
        if self.0.len() == FIVE_MINUTES {
            self.0.pop_front();
        }
        self.0.push_back((sessions, rate));
    }

    /// Most sessions at once.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.0.iter().map(|entry| entry.0).max().unwrap_or(0)
    }

    /// Most sessions in a second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.0.iter().map(|entry| entry.1).max().unwrap_or(0)
    }
}
