//! What became of a binding's lookups.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one binding since it was loaded.
#[derive(Debug, Default)]
pub struct Stats {
    /// Lookups, whatever became of them.
    pub lookups: AtomicU64,
    /// Answered with a document.
    pub found: AtomicU64,
    /// Answered "not found".
    pub not_found: AtomicU64,
    /// Answered from the response cache.
    pub cached: AtomicU64,
    /// Answered with a status other than 200, or with nothing.
    pub refused: AtomicU64,
    /// Answered with something that is no XML.
    pub unreadable: AtomicU64,
    /// No answer in time.
    pub late: AtomicU64,
    /// No connection, or it broke.
    pub failed: AtomicU64,
    /// Not asked: the server is left alone after failures.
    pub skipped: AtomicU64,
    /// Not asked: too many lookups were waiting.
    pub overrun: AtomicU64,
    exchanges: AtomicU64,
    total_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Stats {
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long an exchange took, whatever came of it.
    pub fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(us, Ordering::Relaxed);
        self.longest_us.fetch_max(us, Ordering::Relaxed);
    }
}

/// One counter a line.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, counter) in [
            ("lookups", &self.lookups),
            ("found", &self.found),
            ("not-found", &self.not_found),
            ("cached", &self.cached),
            ("refused", &self.refused),
            ("unreadable", &self.unreadable),
            ("late", &self.late),
            ("failed", &self.failed),
            ("skipped", &self.skipped),
            ("overrun", &self.overrun),
        ] {
            writeln!(f, "  {name}: {}", get(counter))?;
        }
        let average = get(&self.total_us).checked_div(get(&self.exchanges)).unwrap_or(0);
        writeln!(f, "  average-ms: {}.{:03}", average / 1_000, average % 1_000)?;
        let longest = get(&self.longest_us);
        writeln!(f, "  longest-ms: {}.{:03}", longest / 1_000, longest % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_averaged_and_the_longest_is_kept() {
        let stats = Stats::default();
        assert!(stats.to_string().contains("average-ms: 0.000\n"));
        stats.took(Duration::from_micros(1_500));
        stats.took(Duration::from_micros(500));
        Stats::count(&stats.found);
        let text = stats.to_string();
        assert!(text.contains("average-ms: 1.000\n  longest-ms: 1.500\n"), "{text}");
        assert!(text.contains("  found: 1\n"), "{text}");
    }
}
