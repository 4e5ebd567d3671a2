//! `siptrace`: every message of a profile, in the log.

use std::sync::atomic::{AtomicBool, Ordering};

use sip::stack::{Direction, Path, Trace};

use crate::clock;

/// The switch of one profile's trace.
#[derive(Debug, Default)]
pub struct SipTrace {
    on: AtomicBool,
}

impl SipTrace {
    /// Turns the trace on or off.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }
}

impl Trace for SipTrace {
    fn enabled(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn message(&self, direction: Direction, path: &Path, bytes: &[u8]) {
        let way = match direction {
            Direction::Received => "recv",
            Direction::Sent => "send",
        };
        let preposition = if direction == Direction::Received { "from" } else { "to" };
        let stamp = clock::local_stamp(clock::now_us());
        let text = String::from_utf8_lossy(bytes);
        tracing::info!(
            fs_level = "CONSOLE",
            "{way} {} bytes {preposition} {}/[{}]:{} at {stamp}:\n{}\n{text}",
            bytes.len(),
            path.transport.as_param(),
            path.remote.ip(),
            path.remote.port(),
            "-".repeat(72),
        );
    }
}
