//! Finding tones of known frequencies in audio: Goertzel filters over short blocks.

use std::f32::consts::TAU;

/// Block length in milliseconds, about: frequencies 80 Hz apart are told apart.
const BLOCK_SAMPLES_AT_8K: u32 = 102;
/// Blocks in a row that must hold the tones.
const BLOCKS: u32 = 2;
/// Quietest audio looked at, as mean square (about -42 dBm0).
const MIN_POWER: f32 = 15_000.0;
/// Share of the audio's energy that the tones must have together.
const MIN_SHARE: f32 = 0.6;
/// The weakest of the tones must not be weaker than the strongest by more than this (9 dB).
const MAX_TWIST: f32 = 8.0;

/// Looks for several frequencies that sound together.
#[derive(Debug)]
pub struct ToneDetector {
    block: usize,
    filters: Vec<Filter>,
    energy: f32,
    filled: usize,
    seen: u32,
}

#[derive(Debug)]
struct Filter {
    coefficient: f32,
    s1: f32,
    s2: f32,
}

impl Filter {
    fn power(&self) -> f32 {
        self.s1 * self.s1 + self.s2 * self.s2 - self.coefficient * self.s1 * self.s2
    }
}

impl ToneDetector {
    /// A detector for audio at `rate` samples per second; `None` when a frequency cannot be in it, or none is given.
    pub fn new(rate: u32, frequencies: &[f32]) -> Option<Self> {
        let possible = |hz: &f32| *hz > 0.0 && *hz < rate as f32 / 2.0;
        if frequencies.is_empty() || !frequencies.iter().all(possible) {
            return None;
        }
        let filter = |hz: &f32| Filter {
            coefficient: 2.0 * (TAU * hz / rate as f32).cos(),
            s1: 0.0,
            s2: 0.0,
        };
        Some(Self {
            block: (rate.max(8000) / 8000 * BLOCK_SAMPLES_AT_8K) as usize,
            filters: frequencies.iter().map(filter).collect(),
            energy: 0.0,
            filled: 0,
            seen: 0,
        })
    }

    /// Takes audio; true when the tones were heard in it, or still are.
    pub fn feed(&mut self, samples: &[i16]) -> bool {
        let mut heard = false;
        for sample in samples {
            let x = f32::from(*sample);
            self.energy += x * x;
            for filter in &mut self.filters {
                let s0 = x + filter.coefficient * filter.s1 - filter.s2;
                filter.s2 = filter.s1;
                filter.s1 = s0;
            }
            self.filled += 1;
            if self.filled == self.block {
                self.seen = if self.block_has_tones() { self.seen + 1 } else { 0 };
                heard |= self.seen >= BLOCKS;
                self.begin_block();
            }
        }
        heard
    }

    fn begin_block(&mut self) {
        (self.energy, self.filled) = (0.0, 0);
        for filter in &mut self.filters {
            (filter.s1, filter.s2) = (0.0, 0.0);
        }
    }

    fn block_has_tones(&self) -> bool {
        let n = self.block as f32;
        if self.energy / n < MIN_POWER {
            return false;
        }
        let powers = self.filters.iter().map(Filter::power);
        let (weakest, strongest, sum) = powers
            .fold((f32::MAX, 0.0f32, 0.0), |(low, high, sum), p| {
                (low.min(p), high.max(p), sum + p)
            });
        sum / (self.energy * n / 2.0) >= MIN_SHARE && weakest * MAX_TWIST >= strongest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tones(rate: u32, frequencies: &[f32]) -> Vec<i16> {
        (0..rate / 5)
            .map(|n| {
                let t = n as f32 / rate as f32 * TAU;
                frequencies.iter().map(|hz| (t * hz).sin() * 4000.0).sum::<f32>() as i16
            })
            .collect()
    }

    fn heard(rate: u32, wanted: &[f32], played: &[f32]) -> bool {
        ToneDetector::new(rate, wanted).unwrap().feed(&tones(rate, played))
    }

    #[test]
    fn tones_are_heard_at_any_rate_and_others_are_not() {
        for rate in [8000, 16_000, 48_000] {
            assert!(heard(rate, &[480.0, 620.0], &[480.0, 620.0]));
            assert!(heard(rate, &[1100.0], &[1100.0]));
            assert!(!heard(rate, &[1100.0], &[1400.0]));
            assert!(!heard(rate, &[480.0, 620.0], &[480.0]));
            assert!(!heard(rate, &[480.0], &[480.0, 900.0, 1400.0]));
        }
    }

    #[test]
    fn noise_and_silence_are_no_tones() {
        let mut random = 1u32;
        let noise: Vec<i16> = (0..80_000)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 18) as i16 - 8192
            })
            .collect();
        assert!(!ToneDetector::new(8000, &[1100.0]).unwrap().feed(&noise));
        assert!(!ToneDetector::new(8000, &[1100.0]).unwrap().feed(&[0; 8000]));
    }

    #[test]
    fn impossible_frequencies_are_refused() {
        assert!(ToneDetector::new(8000, &[]).is_none());
        assert!(ToneDetector::new(8000, &[4000.0]).is_none());
        assert!(ToneDetector::new(8000, &[-1.0]).is_none());
    }
}
