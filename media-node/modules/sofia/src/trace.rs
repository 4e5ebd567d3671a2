//! `siptrace`: every message of a profile, in the log. `capture`: a copy of each for a capture server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use sip::stack::{Direction, Path, Trace};

use super::capture::Capture;
use crate::clock;

/// The switch of one profile's trace.
#[derive(Debug, Default)]
pub struct SipTrace {
    on: AtomicBool,
    capture: ArcSwapOption<Capture>,
}

impl SipTrace {
    /// Turns the trace on or off.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Sends copies to a capture server from now on, or no more.
    pub fn copy_to(&self, capture: Option<Arc<Capture>>) {
        self.capture.store(capture);
    }
}

impl Trace for SipTrace {
    fn enabled(&self) -> bool {
        self.on.load(Ordering::Relaxed) || self.capture.load().is_some()
    }

    fn message(&self, direction: Direction, path: &Path, bytes: &[u8]) {
        if let Some(capture) = &*self.capture.load() {
            capture.copy(direction, path, bytes);
        }
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
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
