//! Sending digits as tones in the audio (ITU-T Q.23), for peers that take no events.

use std::collections::VecDeque;
use std::f32::consts::TAU;

use super::{DigitStep, MAX_STEPS};
use crate::tone::key_frequencies;

/// Peak of each of the two tones: -7 dBm0, where a sine of full scale is 3.14 dBm0.
const AMPLITUDE: f32 = 10_200.0;
/// Shortest pause between two keys in milliseconds (Q.24).
const SHORTEST_GAP_MS: u32 = 40;

/// Plays a queue of digits as tones, frame by frame.
#[derive(Debug)]
pub struct ToneKeys {
    queue: VecDeque<DigitStep>,
    /// Samples of the key's tones still to come, then of the pause after it.
    sound: u32,
    pause: u32,
    phases: [f32; 2],
    frequencies: [f32; 2],
}

impl Default for ToneKeys {
    fn default() -> Self {
        Self {
            queue: VecDeque::with_capacity(MAX_STEPS),
            sound: 0,
            pause: 0,
            phases: [0.0; 2],
            frequencies: [0.0; 2],
        }
    }
}

impl ToneKeys {
    /// Adds a step; those beyond [`MAX_STEPS`] waiting are dropped.
    pub fn push(&mut self, step: DigitStep) {
        if self.queue.len() < MAX_STEPS {
            self.queue.push_back(step);
        }
    }

    /// Forgets what has not begun.
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Whether there is something to play.
    pub fn busy(&self) -> bool {
        self.sound > 0 || self.pause > 0 || !self.queue.is_empty()
    }

    /// Fills a frame at `rate` samples per second, with at least `gap_ms` between keys.
    pub fn fill(&mut self, out: &mut [i16], rate: u32, gap_ms: u32) {
        for sample in out {
            if self.sound == 0 && self.pause == 0 {
                self.begin_next(rate, gap_ms);
            }
            *sample = self.next(rate);
        }
    }

    fn begin_next(&mut self, rate: u32, gap_ms: u32) {
        match self.queue.pop_front() {
            None => {}
            Some(DigitStep::Pause { ms }) => self.pause = rate / 1000 * ms,
            Some(DigitStep::Press { digit, duration }) => {
                // A hook flash has no tones: time passes, nothing is heard.
                self.frequencies = key_frequencies(digit.as_char()).unwrap_or_default();
                self.phases = [0.0; 2];
                self.sound = (u64::from(duration) * u64::from(rate) / 8000) as u32;
                self.pause = rate / 1000 * gap_ms.max(SHORTEST_GAP_MS);
            }
        }
    }

    fn next(&mut self, rate: u32) -> i16 {
        if self.sound == 0 {
            self.pause = self.pause.saturating_sub(1);
            return 0;
        }
        self.sound -= 1;
        let mut sum = 0.0;
        for (phase, hz) in self.phases.iter_mut().zip(self.frequencies) {
            sum += phase.sin() * AMPLITUDE;
            *phase = (*phase + TAU * hz / rate as f32) % TAU;
        }
        sum as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::inband::Detector;
    use crate::dtmf::parse_digits;

    fn heard(digits: &str, rate: u32) -> Vec<(char, u32)> {
        let mut keys = ToneKeys::default();
        parse_digits(digits, 800).into_iter().for_each(|step| keys.push(step));
        let (mut detector, mut found) = (Detector::new(rate), Vec::new());
        let mut frame = vec![0; rate as usize / 50];
        // A frame more than needed: the detector tells a key when it is released.
        let mut more = 2;
        while more > 0 {
            more -= i32::from(!keys.busy());
            keys.fill(&mut frame, rate, 40);
            detector.feed(&frame, |digit, duration| found.push((digit.as_char(), duration)));
        }
        found
    }

    #[test]
    fn what_is_played_is_heard_as_the_same_keys() {
        for rate in [8000, 16_000] {
            let found = heard("1234567890*#ABCDw11", rate);
            let keys: String = found.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, "1234567890*#ABCD11", "at {rate}");
            assert!(found.iter().all(|(_, d)| (500..=1000).contains(d)), "{found:?}");
        }
    }

    #[test]
    fn waiting_keys_can_be_taken_back() {
        let mut keys = ToneKeys::default();
        parse_digits("12", 400).into_iter().for_each(|step| keys.push(step));
        keys.fill(&mut [0; 80], 8000, 40);
        keys.flush();
        assert!(keys.busy(), "the first one sounds on");
        keys.fill(&mut [0; 400 + 320 - 80], 8000, 40);
        assert!(!keys.busy());
    }
}
