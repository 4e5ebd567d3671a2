//! Overload of the media threads: new calls are to be refused before those that run suffer.
//!
//! Two signs, each of the least loaded thread, since that one gets the next call. The thread's own processor time says that it has
//! little left to give; the share of time in which packets waited too long says that it does not get what it needs, whatever the
//! reason. Working time by the wall clock is no sign: other programs stretch it while every packet still leaves on time.

use crate::engine::WorkerLoad;

/// Processor time per mille from which new calls are refused, and below which they are taken again. A thread at 93 % of a core was
/// measured to lose most of what it is sent.
const BUSY: (usize, usize) = (850, 750);
/// Share of time per mille in which packets had waited for [`LATE_US`], from which new calls are refused, and below which they are
/// taken again.
const LATE: (usize, usize) = (100, 20);
/// What waited so long is late: jitter buffers of 60 ms conceal less, and what waited longer is dropped.
pub(crate) const LATE_US: u64 = 60_000;
/// Looks in a row that must agree before calls are refused: one second may be a hiccup of the machine.
const LOOKS: u32 = 2;
/// Looks between two reports of lost packets.
const REPORT_EVERY: u32 = 10;

/// What has changed between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// New calls are refused from now on.
    Full,
    /// New calls are taken again.
    Free,
}

/// Watches the media threads; shown their load every second.
#[derive(Debug, Default)]
pub struct OverloadWatch {
    over: u32,
    full: bool,
    lost: usize,
    quiet: u32,
}

impl OverloadWatch {
    /// Are new calls to be refused?
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Looks at the threads: what has changed, and packets and frames lost since that was last reported, at most every ten looks.
    pub fn look(&mut self, load: &[WorkerLoad]) -> (Option<Change>, Option<usize>) {
        let was = self.full;
        self.decide(load);
        let change = match (was, self.full) {
            (false, true) => Some(Change::Full),
            (true, false) => Some(Change::Free),
            _ => None,
        };
        (change, self.newly_lost(load))
    }

    fn decide(&mut self, load: &[WorkerLoad]) {
        let least = |of: fn(&WorkerLoad) -> usize| load.iter().map(of).min().unwrap_or(0);
        let (busy, late) = (least(|w| w.busy_permille), least(|w| w.late_permille));
        let over = busy >= BUSY.0 || late >= LATE.0;
        self.over = if over { self.over.saturating_add(1) } else { 0 };
        self.full = self.over >= LOOKS || self.full && (busy >= BUSY.1 || late >= LATE.1);
    }

    fn newly_lost(&mut self, load: &[WorkerLoad]) -> Option<usize> {
        self.quiet = self.quiet.saturating_sub(1);
        let lost: usize = load.iter().map(|w| w.dropped_packets + w.late_frames).sum();
        let new = lost.saturating_sub(self.lost);
        if new == 0 || self.quiet > 0 {
            return None;
        }
        (self.lost, self.quiet) = (lost, REPORT_EVERY);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(busy_permille: usize, late_permille: usize) -> WorkerLoad {
        WorkerLoad { legs: 1, busy_permille, late_permille, ..WorkerLoad::default() }
    }

    /// Whether calls are refused after each of these looks.
    fn refused(looks: &[&[WorkerLoad]]) -> Vec<bool> {
        let mut watch = OverloadWatch::default();
        looks.iter().map(|look| (watch.look(look), watch.is_full()).1).collect()
    }

    #[test]
    fn calls_are_refused_while_every_thread_is_busy() {
        // One second is no overload; not taken again before there is room.
        let busy = [990, 900, 800, 700, 800].map(|busy| [load(busy, 0)]);
        let looks: Vec<&[WorkerLoad]> = busy.iter().map(|one| &one[..]).collect();
        assert_eq!(refused(&looks), [false, true, true, false, false]);
        let other_has_time = [load(990, 0), load(100, 0)];
        assert_eq!(refused(&[&other_has_time[..]; 5]), [false; 5]);
    }

    #[test]
    fn calls_are_refused_while_packets_are_late_however_little_time_the_threads_get() {
        let late = [300, 300, 30, 5, 30].map(|late| [load(200, late)]);
        let looks: Vec<&[WorkerLoad]> = late.iter().map(|one| &one[..]).collect();
        assert_eq!(refused(&looks), [false, true, true, false, false]);
        assert_eq!(
            refused(&[&[load(200, 900), load(200, 0)][..]; 5]),
            [false; 5],
            "the other is on time"
        );
    }

    #[test]
    fn a_change_is_told_once() {
        let mut watch = OverloadWatch::default();
        let changes: Vec<_> =
            [900, 900, 900, 100, 100].map(|busy| watch.look(&[load(busy, 0)]).0).into();
        assert_eq!(changes, [None, Some(Change::Full), None, Some(Change::Free), None]);
    }

    #[test]
    fn what_was_lost_is_told_once_in_ten_looks() {
        let mut watch = OverloadWatch::default();
        let mut lost =
            |n| watch.look(&[WorkerLoad { dropped_packets: n, ..WorkerLoad::default() }]).1;
        assert_eq!(lost(0), None);
        assert_eq!(lost(5), Some(5));
        for n in 6..15 {
            assert_eq!(lost(n), None);
        }
        assert_eq!(lost(20), Some(15));
    }
}
