//! How many refusals of strangers are logged: a flood must not fill the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines per second and profile.
const LINES: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Counts one profile's lines.
#[derive(Debug, Default)]
pub struct RefusalLog {
    state: Mutex<RefusalWindow>,
}

#[derive(Debug, Default)]
struct RefusalWindow {
    second: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl RefusalLog {
    /// Is a line to be written? Says how many were left out before it.
    pub fn admits(&self, profile: &str) -> bool {
        let (admitted, left_out) = self.state.lock().admit(Instant::now());
        if left_out > 0 {
            tracing::warn!("Profile {profile}: {left_out} refusals were not logged");
        }
        admitted
    }
}

impl RefusalWindow {
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let mut left_out = 0;
        if self.second.is_none_or(|start| now.saturating_duration_since(start) >= SECOND) {
            (self.second, self.lines) = (Some(now), 0);
            left_out = std::mem::take(&mut self.left_out);
        }
        let admitted = self.lines < LINES;
        if admitted {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        (admitted, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_rather_than_written() {
        let mut state = RefusalWindow::default();
        let start = Instant::now();
        let written = (0..5_000).filter(|_| state.admit(start).0).count();
        assert_eq!(written, 100);
        assert_eq!(state.admit(start + SECOND), (true, 4_900));
        assert_eq!(state.admit(start + SECOND), (true, 0));
    }
}
