//! What is being played to a leg, how loud, and how late.

use crate::leg::PlayId;
use crate::source::PlayPlan;

/// A play in progress.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(crate) id: PlayId,
    pub(crate) plan: Box<PlayPlan>,
    /// What the leg says meanwhile is not for its peer.
    pub(crate) alone: bool,
    pub(crate) paused: bool,
    pub(crate) volume: Level,
    /// How much faster or slower than it was recorded: quarters, -2 to 2.
    pub(crate) speed: i8,
    pub(crate) samples: u64,
    /// Position of a plan of another rate between two of its samples, 16.16.
    fraction: u32,
    last: i16,
}

impl Playing {
    pub(crate) fn new(id: PlayId, plan: Box<PlayPlan>) -> Self {
        let volume = Level::default();
        Self {
            id,
            plan,
            alone: false,
            paused: false,
            volume,
            speed: 0,
            samples: 0,
            fraction: 0,
            last: 0,
        }
    }

    /// Fills a frame; false when it was the last one (what the plan had not is silence).
    pub(super) fn fill(&mut self, out: &mut [i16], rate: u32) -> bool {
        if self.paused {
            out.fill(0);
            return true;
        }
        let n = if self.plan.rate() == rate && self.speed == 0 {
            self.plan.fill(out)
        } else {
            self.fill_stretched(out, rate)
        };
        self.samples += n as u64;
        out[n..].fill(0);
        self.volume.apply(&mut out[..n]);
        n == out.len() && !self.plan.is_finished()
    }

    /// A plan opened for another rate than the leg now has (the codec changed under it): nearest
    /// samples will do until the next play. The same plays at another speed, as the reference does: samples are left out
    /// or said again.
    fn fill_stretched(&mut self, out: &mut [i16], rate: u32) -> usize {
        let step = (u64::from(self.plan.rate()) << 16) / u64::from(rate.max(1));
        // Of four quarters as many less (or more) are heard as the speed says.
        let quarters = 4 - i64::from(self.speed.clamp(-2, 2));
        let step = step * 4 / quarters.unsigned_abs();
        for (n, sample) in out.iter_mut().enumerate() {
            let mut at = u64::from(self.fraction) + step;
            while at >= 1 << 16 {
                let mut one = [0];
                if self.plan.fill(&mut one) == 0 {
                    return n;
                }
                self.last = one[0];
                at -= 1 << 16;
            }
            self.fraction = at as u32;
            *sample = self.last;
        }
        out.len()
    }
}

/// A level in percent with a mute switch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) percent: u32,
    pub(crate) muted: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self { percent: 100, muted: false }
    }
}

impl Level {
    pub(super) fn is_unity(self) -> bool {
        self.percent == 100 && !self.muted
    }

    pub(super) fn apply(self, pcm: &mut [i16]) {
        if self.muted {
            pcm.fill(0);
        } else if self.percent != 100 {
            let factor = i64::from(self.percent);
            for sample in pcm {
                let scaled = i64::from(*sample) * factor / 100;
                *sample = scaled.clamp(-0x8000, 0x7fff) as i16;
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct DelayLine {
    line: Box<[i16]>,
    at: usize,
}

impl DelayLine {
    pub(crate) fn new(samples: usize) -> Self {
        Self { line: vec![0; samples].into_boxed_slice(), at: 0 }
    }

    pub(super) fn pass(&mut self, pcm: &mut [i16]) {
        let len = self.line.len();
        if len == 0 {
            return;
        }
        for sample in pcm {
            std::mem::swap(sample, &mut self.line[self.at]);
            self.at = (self.at + 1) % len;
        }
    }
}
