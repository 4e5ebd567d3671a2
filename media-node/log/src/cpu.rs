//! The idle share of the machine's processors: it stands in every log line, in `status` and in
//! `HEARTBEAT`. Sampled once a second by the log writer, read by everybody from an atomic.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};

/// Hundredths of a percent; starts at 100 % until the first interval is over.
static IDLE: AtomicU32 = AtomicU32::new(10_000);

/// Idle CPU of the last second in percent, 0 to 100.
pub fn idle_cpu() -> f64 {
    f64::from(IDLE.load(Ordering::Relaxed)) / 100.0
}

pub(super) fn idle_hundredths() -> u32 {
    IDLE.load(Ordering::Relaxed)
}

/// Jiffies since boot, as `/proc/stat` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jiffies {
    idle: u64,
    total: u64,
}

/// Keeps the previous reading.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    last: Option<Jiffies>,
}

impl Sampler {
    /// Reads `/proc/stat` and publishes the idle share since the last call.
    pub(super) fn sample(&mut self) {
        // The first line is all that is needed, and it is short.
        let mut head = [0_u8; 256];
        let read = File::open("/proc/stat").and_then(|mut file| file.read(&mut head));
        let Ok(length) = read else { return };
        let Some(now) = head.get(..length).and_then(parse) else { return };
        if let Some(share) = self.last.and_then(|last| idle_share(last, now)) {
            IDLE.store(share, Ordering::Relaxed);
        }
        self.last = Some(now);
    }
}

/// The `cpu` line: user nice system idle iowait irq softirq steal; guest time is part of user.
fn parse(stat: &[u8]) -> Option<Jiffies> {
    let line = stat.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> =
        text.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = *fields.get(3)?;
    let total = fields.iter().fold(0_u64, |sum, field| sum.saturating_add(*field));
    Some(Jiffies { idle, total })
}

/// Hundredths of a percent; `None` when no jiffy has passed.
fn idle_share(last: Jiffies, now: Jiffies) -> Option<u32> {
    let total = now.total.checked_sub(last.total).filter(|total| *total > 0)?;
    let idle = now.idle.saturating_sub(last.idle).min(total);
    u32::try_from(idle.saturating_mul(10_000) / total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_summary_line() {
        let stat = b"cpu  10 20 30 400 50 6 7 8 90 0\ncpu0 1 2 3 4\n";
        let expected = Jiffies { idle: 400, total: 531 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse(b"intr 5"), None);
        assert_eq!(parse(b"cpu  1 2"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn share_is_taken_over_the_interval() {
        let at = |idle, total| Jiffies { idle, total };
        assert_eq!(idle_share(at(100, 200), at(175, 300)), Some(7_500));
        assert_eq!(idle_share(at(100, 200), at(100, 200)), None, "no time passed");
        assert_eq!(idle_share(at(100, 200), at(90, 300)), Some(0), "idle never runs backwards");
        assert_eq!(idle_share(at(100, 200), at(300, 300)), Some(10_000));
    }
}
