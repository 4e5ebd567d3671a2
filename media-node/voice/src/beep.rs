//! The beep of an answering machine: one steady tone, pure and long enough that no voice holds it.
//!
//! Windows of 40 ms are looked at every 20 ms. A tone is where one frequency holds nearly all of a window's power; a beep is
//! where it does so for long enough without moving.

use std::f64::consts::TAU;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beep {
    /// Hertz.
    pub frequency: f64,
    /// Variance of the frequency over the beep, Hz².
    pub frequency_variance: f64,
    /// Of full scale, 0 to 1.
    pub amplitude: f64,
    /// Variance of that.
    pub amplitude_variance: f64,
}

/// Frequencies that are looked for: above tones of lines (425 to 480 Hz), below whistles.
const LOWEST: f64 = 500.0;
const HIGHEST: f64 = 2700.0;
/// Between those that are tried.
const STEP: f64 = 12.5;
/// Share of a window's power that is one tone's.
const PURE: f64 = 0.80;
/// Quietest beep, of full scale.
const QUIETEST: f64 = 0.01;
/// Hertz and share of its level that a beep may move from window to window.
const MOVES: f64 = 15.0;
const SWELLS: f64 = 0.35;
/// Windows in a row that are a beep: 180 ms.
const LONG_ENOUGH: usize = 8;

/// Listens for a beep.
#[derive(Debug, Default)]
pub struct Listener {
    rate: u32,
    heard: Vec<f64>,
    /// Cosines of the frequencies that are tried, twice.
    bank: Vec<f64>,
    run: Vec<(f64, f64)>,
    told: bool,
}

impl Listener {
    /// Hears samples at `rate`; a beep once it is long enough, and once for each.
    pub fn hear(&mut self, samples: &[i16], rate: u32) -> Option<Beep> {
        if rate != self.rate {
            let count = ((HIGHEST - LOWEST) / STEP) as usize + 1;
            let cosine =
                |n| 2.0 * (TAU * (LOWEST + STEP * n as f64) / f64::from(rate.max(1))).cos();
            *self = Self { rate, bank: (0..count).map(cosine).collect(), ..Self::default() };
        }
        self.heard.extend(samples.iter().map(|sample| f64::from(*sample) / 32_768.0));
        let (window, hop) = (rate as usize / 25, rate as usize / 50);
        let mut found = None;
        while hop > 0 && self.heard.len() >= window {
            let tone = self.tone(window);
            self.heard.drain(..hop);
            found = found.or(self.follow(tone));
        }
        found
    }

    /// The tone of the window, if it is one: frequency and amplitude.
    fn tone(&self, window: usize) -> Option<(f64, f64)> {
        let samples = &self.heard[..window];
        let power: f64 = samples.iter().map(|s| s * s).sum::<f64>() / window as f64;
        if power < QUIETEST * QUIETEST / 2.0 {
            return None;
        }
        let powers: Vec<f64> = self.bank.iter().map(|c| goertzel(samples, *c)).collect();
        let at = (0..powers.len()).max_by(|a, b| powers[*a].total_cmp(&powers[*b]))?;
        // A sine's share is 1; between two of the tried frequencies it is a little less.
        let share = 2.0 * powers[at] / (window as f64 * window as f64 * power);
        if share < PURE || at == 0 || at + 1 == powers.len() {
            return None;
        }
        let (left, peak, right) = (powers[at - 1].sqrt(), powers[at].sqrt(), powers[at + 1].sqrt());
        let bend = left - 2.0 * peak + right;
        let between = if bend.abs() > f64::EPSILON { 0.5 * (left - right) / bend } else { 0.0 };
        let frequency = LOWEST + STEP * (at as f64 + between.clamp(-0.5, 0.5));
        Some((frequency, (2.0 * power).sqrt()))
    }

    fn follow(&mut self, tone: Option<(f64, f64)>) -> Option<Beep> {
        let Some((frequency, amplitude)) = tone else {
            self.run.clear();
            self.told = false;
            return None;
        };
        let steady = self.run.last().is_none_or(|(f, a)| {
            (f - frequency).abs() <= MOVES && (a - amplitude).abs() <= a * SWELLS
        });
        if !steady {
            self.run.clear();
            self.told = false;
        }
        self.run.push((frequency, amplitude));
        if self.told || self.run.len() < LONG_ENOUGH {
            return None;
        }
        self.told = true;
        let (frequency, frequency_variance) = spread(self.run.iter().map(|(f, _)| *f));
        let (amplitude, amplitude_variance) = spread(self.run.iter().map(|(_, a)| *a));
        self.run.truncate(1);
        Some(Beep { frequency, frequency_variance, amplitude, amplitude_variance })
    }
}

/// Power at a frequency, given twice its cosine.
fn goertzel(samples: &[f64], twice: f64) -> f64 {
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let now = sample + twice * one - two;
        (two, one) = (one, now);
    }
    one * one + two * two - twice * one * two
}

/// Mean and variance.
fn spread(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beeps(rate: u32, make: impl Fn(f64) -> f64, seconds: f64) -> Vec<Beep> {
        let mut listener = Listener::default();
        let samples: Vec<i16> = (0..(seconds * f64::from(rate)) as usize)
            .map(|n| (make(n as f64 / f64::from(rate)) * 32_767.0) as i16)
            .collect();
        samples.chunks(rate as usize / 50).filter_map(|piece| listener.hear(piece, rate)).collect()
    }

    /// Noise that is the same each time.
    fn noise(t: f64) -> f64 {
        ((t * 91_234.567).sin() * 43_758.545_3).fract() * 2.0 - 1.0
    }

    #[test]
    fn a_beep_is_found_once_at_its_frequency_in_noise_too() {
        for (rate, hz) in [(8000, 1000.0), (8000, 1633.0), (16_000, 850.0), (48_000, 2100.0)] {
            let found = beeps(rate, |t| 0.3 * (TAU * hz * t).sin() + 0.03 * noise(t), 0.6);
            assert_eq!(found.len(), 1, "{hz}");
            assert!((found[0].frequency - hz).abs() < 5.0, "{hz}: {found:?}");
            assert!((found[0].amplitude - 0.3).abs() < 0.02);
        }
    }

    #[test]
    fn short_tones_pairs_sweeps_noise_and_silence_are_none() {
        assert!(
            beeps(8000, |t| if t < 0.12 { 0.3 * (TAU * 1000.0 * t).sin() } else { 0.0 }, 1.0)
                .is_empty()
        );
        assert!(
            beeps(8000, |t| 0.2 * ((TAU * 770.0 * t).sin() + (TAU * 1336.0 * t).sin()), 1.0)
                .is_empty()
        );
        assert!(beeps(8000, |t| 0.3 * (TAU * (600.0 + 900.0 * t) * t).sin(), 1.0).is_empty());
        assert!(beeps(8000, |t| 0.3 * noise(t), 2.0).is_empty());
        assert!(beeps(8000, |_| 0.0, 2.0).is_empty());
        assert!(
            beeps(8000, |t| 0.3 * (TAU * 425.0 * t).sin(), 1.0).is_empty(),
            "a line's own tone"
        );
    }
}
