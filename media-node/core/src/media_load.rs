//! Overload of the media threads: new calls are refused before those that run suffer, and what was lost is said.

use std::sync::atomic::Ordering;

use media::engine::WorkerLoad;

use crate::switch::Switch;

/// Working time per mille of the least busy media thread from which new calls are refused, and below which they are
/// taken again. A thread at 93 % of a core was measured to lose most of what it is sent.
const FULL: (usize, usize) = (850, 750);
/// Looks in a row that must agree before calls are refused: one second may be a hiccup of the machine.
const LOOKS: u32 = 2;
/// Seconds between two lines of the log about the same thing.
const SAY_EVERY: u32 = 10;

/// Watches the media threads; looked at every second.
#[derive(Debug, Default)]
pub struct Watch {
    over: u32,
    full: bool,
    lost: usize,
    quiet: u32,
}

impl Watch {
    /// Whether calls are to be refused, by how busy the threads are.
    fn decide(&mut self, load: &[WorkerLoad]) -> bool {
        let busy = load.iter().map(|worker| worker.busy_permille).min().unwrap_or(0);
        self.over = if busy >= FULL.0 { self.over + 1 } else { 0 };
        self.full = self.over >= LOOKS || self.full && busy >= FULL.1;
        self.full
    }

    /// Packets and frames lost since the last time this was said; `None` while there is nothing to say.
    fn newly_lost(&mut self, load: &[WorkerLoad]) -> Option<usize> {
        self.quiet = self.quiet.saturating_sub(1);
        let lost: usize = load.iter().map(|w| w.dropped_packets + w.late_frames).sum();
        let new = lost.saturating_sub(self.lost);
        if new == 0 || self.quiet > 0 {
            return None;
        }
        (self.lost, self.quiet) = (lost, SAY_EVERY);
        Some(new)
    }

    /// Looks at the media threads.
    pub fn look(&mut self, switch: &Switch) {
        let load = switch.media.load();
        let was = self.full;
        let full = self.decide(&load);
        switch.counters.media_full.store(full, Ordering::Relaxed);
        if full && !was {
            tracing::error!(fs_level = "CRIT", "The media threads are busy: new calls are refused");
        } else if was && !full {
            tracing::warn!("The media threads have time again: new calls are taken");
        }
        if let Some(lost) = self.newly_lost(&load) {
            tracing::warn!(
                "The media threads are behind: {lost} packets were too old to be sent on"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(busy_permille: usize, dropped_packets: usize) -> WorkerLoad {
        WorkerLoad { legs: 1, busy_permille, late_frames: 0, dropped_packets }
    }

    #[test]
    fn calls_are_refused_while_every_thread_is_busy() {
        let mut watch = Watch::default();
        assert!(!watch.decide(&[load(990, 0)]), "one second is no overload");
        assert!(watch.decide(&[load(900, 0)]));
        assert!(watch.decide(&[load(800, 0)]), "not before there is room");
        assert!(!watch.decide(&[load(700, 0)]));
        assert!(!watch.decide(&[load(800, 0)]));
        for _ in 0..5 {
            assert!(!watch.decide(&[load(990, 0), load(100, 0)]), "another thread has time");
        }
    }

    #[test]
    fn what_was_lost_is_said_once_in_a_while() {
        let mut watch = Watch::default();
        assert_eq!(watch.newly_lost(&[load(0, 0)]), None);
        assert_eq!(watch.newly_lost(&[load(0, 5)]), Some(5));
        for n in 6..15 {
            assert_eq!(watch.newly_lost(&[load(0, n)]), None);
        }
        assert_eq!(watch.newly_lost(&[load(0, 20)]), Some(15));
    }
}
