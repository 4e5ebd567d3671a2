//! When events of a stream are gathered, so that they leave in one write.

use std::time::Duration;

use tokio::time::Instant;

/// Events told sooner after each other than this are a stream.
const NEAR: Duration = Duration::from_millis(5);
/// So many writes of a stream go out at once; a call that is set up has fewer.
const STREAM: u32 = 32;
/// Later ones wait this long for more. Replies do not wait, and take along what is there.
const GATHER: Duration = Duration::from_millis(1);

/// How fast events come.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    /// Writes of events in a row, each [`NEAR`] the one before.
    run: u32,
}

impl Pace {
    /// Events were written.
    pub(crate) fn wrote(&mut self, now: Instant) {
        let near = self.last.is_some_and(|last| now.duration_since(last) < NEAR);
        self.run = if near { self.run.saturating_add(1) } else { 0 };
        self.last = Some(now);
    }

    /// Until when further events are gathered; `None`: they go out as they come.
    pub(crate) fn gathers_until(&self) -> Option<Instant> {
        self.last.filter(|_| self.run >= STREAM).map(|last| last + GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_s_events_go_out_as_they_come_and_those_of_a_stream_together() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for n in 0..=STREAM {
            assert_eq!(pace.gathers_until(), None, "write {n}");
            pace.wrote(start + Duration::from_micros(200) * n);
        }
        let last = start + Duration::from_micros(200) * STREAM;
        assert_eq!(pace.gathers_until(), Some(last + GATHER));
        pace.wrote(last + NEAR);
        assert_eq!(pace.gathers_until(), None, "after a pause");
    }
}
