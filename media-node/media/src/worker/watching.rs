//! Waiting for speech or silence on a leg.

use crate::event::{LevelOutcome, LevelReport, LevelWatch};
use crate::record::tap::score;

/// A level watch in progress.
#[derive(Debug)]
pub(crate) struct Watching {
    watch: LevelWatch,
    loud: u32,
    quiet: u32,
    armed: bool,
    /// Score of the newest frame, and ticks it may still stand for a frame that is late.
    latest: (u32, u8),
}

impl Watching {
    pub(crate) fn new(watch: LevelWatch) -> Self {
        Self { watch, loud: 0, quiet: 0, armed: watch.loud_hits == 0, latest: (0, 0) }
    }

    pub(super) fn hear(&mut self, pcm: &[i16]) {
        self.latest = (score(pcm), 2);
    }

    pub(super) fn tick(&mut self) -> Option<LevelReport> {
        let heard = if self.latest.1 > 0 { self.latest.0 } else { 0 };
        self.latest.1 = self.latest.1.saturating_sub(1);
        if heard >= self.watch.threshold {
            self.loud += 1;
            self.quiet = 0;
            self.armed |= self.loud >= self.watch.loud_hits;
        } else {
            self.quiet += 1;
            if !self.armed {
                self.loud = 0;
            }
        }
        let outcome = if self.watch.quiet_hits == 0 {
            (self.armed && self.loud > 0).then_some(LevelOutcome::Loud)
        } else {
            (self.armed && self.quiet >= self.watch.quiet_hits).then_some(LevelOutcome::Quiet)
        };
        outcome.map(|outcome| LevelReport { loud_hits: self.loud, quiet_hits: self.quiet, outcome })
    }
}
