//! Digits as tones in the audio (ITU-T Q.23, Q.24): Goertzel filters over blocks of 12.75 ms.

use super::Digit;

const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
/// Quietest tone taken for a key, as mean square of the block (about -36 dBm0).
const MIN_POWER: f32 = 60_000.0;
/// Blocks a key must be seen in to count, and be missing from to count as released.
const BLOCKS: u32 = 2;

/// Finds digits in a mono stream.
#[derive(Debug)]
pub struct Detector {
    rate: u32,
    block: usize,
    coefficients: [f32; 8],
    state: [(f32, f32); 8],
    energy: f32,
    filled: usize,
    candidate: Option<char>,
    seen: u32,
    down: Option<char>,
    missed: u32,
    held_blocks: u32,
}

impl Detector {
    /// A detector for audio at `rate` samples per second.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(8000);
        let coefficient = |hz: f32| 2.0 * (std::f32::consts::TAU * hz / rate as f32).cos();
        let mut coefficients = [0.0; 8];
        for (c, hz) in coefficients.iter_mut().zip(ROWS.iter().chain(&COLUMNS)) {
            *c = coefficient(*hz);
        }
        Self {
            rate,
            block: (rate / 8000 * 102) as usize,
            coefficients,
            state: [(0.0, 0.0); 8],
            energy: 0.0,
            filled: 0,
            candidate: None,
            seen: 0,
            down: None,
            missed: 0,
            held_blocks: 0,
        }
    }

    /// Takes audio; tells each digit once, when it is released, with its duration in 8 kHz units.
    pub fn feed(&mut self, samples: &[i16], mut tell: impl FnMut(Digit, u32)) {
        for sample in samples {
            let x = f32::from(*sample);
            self.energy += x * x;
            for ((s1, s2), c) in self.state.iter_mut().zip(&self.coefficients) {
                let s0 = x + c * *s1 - *s2;
                *s2 = *s1;
                *s1 = s0;
            }
            self.filled += 1;
            if self.filled == self.block {
                let key = self.judge();
                self.step(key, &mut tell);
                self.state = [(0.0, 0.0); 8];
                self.energy = 0.0;
                self.filled = 0;
            }
        }
    }

    /// Whether a key is down.
    pub(crate) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Whether what was heard last may be the beginning of a key.
    pub(crate) fn suspects(&self) -> bool {
        let begun = self.filled * 2 >= self.block && self.judge().is_some();
        self.is_down() || self.candidate.is_some() || begun
    }

    fn judge(&self) -> Option<char> {
        let n = self.filled as f32;
        if self.energy / n < MIN_POWER {
            return None;
        }
        let mut power = [0.0f32; 8];
        for ((p, (s1, s2)), c) in power.iter_mut().zip(&self.state).zip(&self.coefficients) {
            *p = s1 * s1 + s2 * s2 - c * s1 * s2;
        }
        let (rows, columns) = power.split_at(4);
        let (row, row_power) = strongest(rows)?;
        let (column, column_power) = strongest(columns)?;
        // Twist: neither tone may be much stronger than the other; and the two together must make
        // up most of the block, or it is speech.
        let twisted = row_power > column_power * 8.0 || column_power > row_power * 8.0;
        let share = (row_power + column_power) / (self.energy * n / 2.0);
        let alone = |all: &[f32], best: f32| all.iter().filter(|p| **p * 6.0 > best).count() == 1;
        if twisted || share < 0.7 || !alone(rows, row_power) || !alone(columns, column_power) {
            return None;
        }
        Some(KEYS[row][column])
    }

    fn step(&mut self, key: Option<char>, tell: &mut impl FnMut(Digit, u32)) {
        if let Some(down) = self.down {
            if key == Some(down) {
                self.held_blocks += 1 + self.missed;
                self.missed = 0;
                return;
            }
            self.missed += 1;
            if self.missed < BLOCKS {
                return;
            }
            self.release(down, tell);
        }
        if key.is_some() && key == self.candidate {
            self.seen += 1;
        } else {
            self.candidate = key;
            self.seen = u32::from(key.is_some());
        }
        if self.seen >= BLOCKS {
            self.down = self.candidate.take();
            self.held_blocks = self.seen;
            self.seen = 0;
            self.missed = 0;
        }
    }

    fn release(&mut self, key: char, tell: &mut impl FnMut(Digit, u32)) {
        self.down = None;
        if let Some(digit) = Digit::new(key) {
            let samples = u64::from(self.held_blocks) * self.block as u64;
            tell(digit, (samples * 8000 / u64::from(self.rate)) as u32);
        }
    }
}

fn strongest(power: &[f32]) -> Option<(usize, f32)> {
    power.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rate: u32, digit: char, ms: u32, out: &mut Vec<i16>) {
        let (row, column) =
            (0..16).map(|i| (i / 4, i % 4)).find(|(r, c)| KEYS[*r][*c] == digit).unwrap();
        for n in 0..rate / 1000 * ms {
            let t = n as f32 / rate as f32 * std::f32::consts::TAU;
            let v = (t * ROWS[row]).sin() + (t * COLUMNS[column]).sin();
            out.push((v * 4000.0) as i16);
        }
        out.resize(out.len() + (rate / 1000 * 60) as usize, 0);
    }

    fn digits(rate: u32, audio: &[i16]) -> String {
        let mut found = String::new();
        let mut detector = Detector::new(rate);
        for piece in audio.chunks(160) {
            detector.feed(piece, |d, _| found.push(d.as_char()));
        }
        found
    }

    #[test]
    fn every_key_is_found_once_at_any_rate() {
        for rate in [8000, 16_000, 48_000] {
            let mut audio = Vec::new();
            for c in "123A456B789C*0#D11".chars() {
                key(rate, c, 80, &mut audio);
            }
            assert_eq!(digits(rate, &audio), "123A456B789C*0#D11");
        }
    }

    #[test]
    fn noise_and_single_tones_are_no_digits() {
        let mut random = 1u32;
        let noise: Vec<i16> = (0..80_000)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 18) as i16 - 8192
            })
            .collect();
        assert_eq!(digits(8000, &noise), "");
        let tone: Vec<i16> = (0..8000)
            .map(|n| ((n as f32 / 8000.0 * 941.0 * std::f32::consts::TAU).sin() * 8000.0) as i16)
            .collect();
        assert_eq!(digits(8000, &tone), "");
    }
}
