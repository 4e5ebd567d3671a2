//! Music on hold: a short, quiet tune of our own, computed rather than recorded, so that a default
//! installation has something to play without anyone's copyright. It loops without a gap.

use std::f64::consts::TAU;

/// Folder beside the voices' one.
pub(super) const DIR: &str = "music";
/// File, without `.wav`.
pub(super) const NAME: &str = "quiet_morning";

const BEATS_PER_MINUTE: f64 = 76.0;
const BEATS_PER_BAR: usize = 4;
/// Loudest sample: well below speech, which is what the caller waits for.
const PEAK: f64 = 9000.0;
/// Seconds until a note has faded to a third, and until it is forgotten.
const FADE: f64 = 0.7;
const LONGEST: f64 = 4.0;

/// A bar: its chord, as MIDI note numbers from the bass up, and the melody, a note a beat (0 = none).
type Bar = ([u8; 4], [u8; 4]);

/// C, Am, F, G; Em, Am, Dm, G; and again with another melody.
const BARS: [Bar; 16] = [
    ([48, 60, 64, 67], [76, 0, 79, 0]),
    ([45, 60, 64, 69], [76, 0, 72, 0]),
    ([41, 57, 60, 65], [69, 0, 72, 74]),
    ([43, 59, 62, 67], [74, 0, 0, 0]),
    ([40, 59, 64, 67], [71, 0, 74, 0]),
    ([45, 60, 64, 69], [72, 0, 76, 0]),
    ([38, 57, 62, 65], [77, 76, 74, 72]),
    ([43, 59, 62, 67], [71, 0, 0, 0]),
    ([48, 60, 64, 67], [79, 0, 76, 0]),
    ([45, 60, 64, 69], [81, 0, 79, 76]),
    ([41, 57, 60, 65], [77, 0, 72, 0]),
    ([43, 59, 62, 67], [74, 76, 74, 0]),
    ([40, 59, 64, 67], [79, 0, 74, 0]),
    ([45, 60, 64, 69], [76, 0, 72, 69]),
    ([38, 57, 62, 65], [72, 0, 74, 77]),
    ([43, 55, 59, 62], [74, 0, 0, 0]),
];
/// Which note of the chord each half beat plays.
const PICKING: [usize; 8] = [0, 1, 2, 3, 2, 1, 2, 1];

/// The tune at `rate` samples per second.
pub(super) fn tune(rate: u32) -> Vec<i16> {
    let beat = 60.0 / BEATS_PER_MINUTE * f64::from(rate);
    let mut sum = vec![0.0; (beat * (BARS.len() * BEATS_PER_BAR) as f64) as usize];
    for (bar, (chord, melody)) in BARS.iter().enumerate() {
        let at = |half_beats: usize| {
            (beat * (bar * BEATS_PER_BAR) as f64 + beat * half_beats as f64 / 2.0) as usize
        };
        for (half, string) in PICKING.iter().enumerate() {
            pluck(&mut sum, rate, at(half), chord[*string], 0.5);
        }
        for (beat, note) in melody.iter().enumerate().filter(|(_, note)| **note > 0) {
            pluck(&mut sum, rate, at(beat * 2), *note, 1.0);
        }
    }
    let loudest = sum.iter().fold(1.0_f64, |most, sample| most.max(sample.abs()));
    sum.iter().map(|sample| (sample / loudest * PEAK) as i16).collect()
}

/// Adds a plucked note; what sounds past the end sounds on at the beginning.
fn pluck(sum: &mut [f64], rate: u32, at: usize, note: u8, level: f64) {
    let rate = f64::from(rate);
    let hertz = 440.0 * 2.0_f64.powf((f64::from(note) - 69.0) / 12.0);
    let len = sum.len();
    for n in 0..(rate * LONGEST) as usize {
        let seconds = n as f64 / rate;
        let attack = (seconds * 150.0).min(1.0);
        // Overtones are weaker and die sooner, as on a string.
        let sound: f64 = (1..=3)
            .map(|k| {
                let k = f64::from(k);
                (TAU * hertz * k * seconds).sin() / (k * k) * (-seconds * k / FADE).exp()
            })
            .sum();
        if let Some(place) = sum.get_mut((at + n) % len) {
            *place += sound * attack * level;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tune_is_quiet_never_silent_and_has_no_seam() {
        let tune = tune(8000);
        let seconds = tune.len() / 8000;
        assert!((40..70).contains(&seconds), "{seconds} s");
        let loudest = tune.iter().map(|s| s.unsigned_abs()).max();
        assert!(loudest.is_some_and(|peak| (8900..=9000).contains(&peak)), "{loudest:?}");
        for (n, half_second) in tune.chunks_exact(4000).enumerate() {
            assert!(half_second.iter().any(|s| s.unsigned_abs() > 500), "silent at {n}");
        }
        let step = |a: i16, b: i16| (i32::from(a) - i32::from(b)).abs();
        let largest = tune.windows(2).map(|w| step(w[0], w[1])).max();
        assert!(Some(step(tune[0], tune[tune.len() - 1])) <= largest);
    }
}
