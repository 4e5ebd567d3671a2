//! Tones as samples.

use std::f64::consts::{SQRT_2, TAU};

use super::{Element, Loops, MAX_FREQUENCIES, Tones};

/// Level at which a sine reaches full scale, in dBm0 (G.711 overload point, peak).
#[allow(clippy::approx_constant, reason = "3.14 dBm0 is the level, not the circle")]
const FULL_SCALE_DBM0: f32 = 3.14 + 3.02;

/// Produces the samples of a description, one frame after the other, without allocating.
#[derive(Debug)]
pub struct Generator {
    tones: Tones,
    rate: u32,
    element: usize,
    time_of_element: u32,
    loop_number: u32,
    at: u64,
    level: f32,
    phases: [f64; MAX_FREQUENCIES],
    ended: bool,
}

impl Generator {
    /// A generator at the start of `tones`, at `rate` samples per second.
    pub fn new(tones: Tones, rate: u32) -> Self {
        let ended =
            tones.elements.iter().all(|e| samples(e.on_ms, rate) + samples(e.off_ms, rate) == 0);
        let level = tones.elements.first().map_or(0.0, |e| e.level);
        Self {
            tones,
            rate,
            element: 0,
            time_of_element: 0,
            loop_number: 0,
            at: 0,
            level,
            phases: [0.0; MAX_FREQUENCIES],
            ended,
        }
    }

    /// Samples in all, if it ends.
    pub fn len_samples(&self) -> Option<u64> {
        let Loops::Times(loops) = self.tones.loops else { return None };
        let once: u64 =
            self.tones.elements.iter().map(|e| self.total(e) * u64::from(e.times)).sum();
        Some(once.saturating_mul(u64::from(loops)))
    }

    /// Whether the last sample has been written.
    pub fn is_finished(&self) -> bool {
        let Some(element) = self.tones.elements.get(self.element) else { return true };
        let last = self.element + 1 == self.tones.elements.len()
            && self.time_of_element + 1 >= element.times
            && matches!(self.tones.loops, Loops::Times(times) if self.loop_number + 1 >= times);
        self.ended || (last && self.at >= self.total(element))
    }

    /// Back to the start.
    pub fn rewind(&mut self) {
        let tones = std::mem::replace(
            &mut self.tones,
            Tones { elements: Vec::new(), loops: Loops::Times(1) },
        );
        *self = Self::new(tones, self.rate);
    }

    /// Writes samples to `out`; fewer than asked for means the end.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let mut written = 0;
        while written < out.len() && !self.ended {
            let Some(element) = self.tones.elements.get(self.element) else { break };
            let (on, total) = (samples(element.on_ms, self.rate), self.total(element));
            if self.at >= total {
                self.next_element();
                continue;
            }
            let stretch = if self.at < on { on - self.at } else { total - self.at };
            let take = (out.len() - written).min(usize::try_from(stretch).unwrap_or(usize::MAX));
            let piece = &mut out[written..written + take];
            if self.at < on {
                self.sound(piece)
            } else {
                piece.fill(0)
            }
            self.at += take as u64;
            written += take;
        }
        written
    }

    fn total(&self, element: &Element) -> u64 {
        samples(element.on_ms, self.rate) + samples(element.off_ms, self.rate)
    }

    fn sound(&mut self, out: &mut [i16]) {
        let Some(element) = self.tones.elements.get(self.element) else { return };
        let fade = element.fade.map(|f| (samples(f.every_ms, self.rate).max(1), f.step));
        let mut gain = amplitude(self.level);
        for (sample, at) in out.iter_mut().zip(self.at..) {
            if let Some((every, step)) = fade
                && at > 0
                && at % every == 0
            {
                self.level = (self.level + step).clamp(-63.0, 0.0);
                gain = amplitude(self.level);
            }
            let mut sum = 0.0;
            for (phase, hz) in self.phases.iter_mut().zip(&element.frequencies) {
                sum += phase.sin();
                *phase = (*phase + TAU * f64::from(*hz) / f64::from(self.rate)) % TAU;
            }
            // `as` saturates: loud chords clip instead of wrapping.
            *sample = (sum * gain) as i16;
        }
    }

    fn next_element(&mut self) {
        self.at = 0;
        self.phases = [0.0; MAX_FREQUENCIES];
        let times = self.tones.elements.get(self.element).map_or(1, |e| e.times);
        self.time_of_element += 1;
        if self.time_of_element >= times {
            self.time_of_element = 0;
            self.element += 1;
        }
        if self.element >= self.tones.elements.len() {
            self.element = 0;
            self.loop_number = self.loop_number.saturating_add(1);
            self.ended = match self.tones.loops {
                Loops::Times(times) => self.loop_number >= times,
                Loops::Endless => false,
            };
        }
        self.level = self.tones.elements.get(self.element).map_or(0.0, |e| e.level);
    }
}

fn samples(ms: f64, rate: u32) -> u64 {
    (ms * f64::from(rate) / 1000.0) as u64
}

/// Peak of one frequency at `dbm0`.
fn amplitude(dbm0: f32) -> f64 {
    let ratio = 10f64.powf(f64::from(dbm0 - FULL_SCALE_DBM0) / 20.0);
    ratio * 32_767.0 * SQRT_2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, rate: u32, most: usize) -> Vec<i16> {
        let mut generator = Generator::new(Tones::parse(text).unwrap(), rate);
        let mut out = Vec::new();
        let mut frame = [0; 160];
        while out.len() < most {
            let n = generator.fill(&mut frame);
            out.extend_from_slice(&frame[..n]);
            if n < frame.len() {
                break;
            }
        }
        out
    }

    fn power_at(samples: &[i16], hz: f64, rate: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, s) in samples.iter().enumerate() {
            let t = TAU * hz * n as f64 / rate;
            re += f64::from(*s) * t.cos();
            im += f64::from(*s) * t.sin();
        }
        (re.hypot(im) / samples.len() as f64) * 2.0
    }

    #[test]
    fn a_ring_is_its_two_tones_then_silence() {
        let out = render("%(100,200,440,480)", 8000, usize::MAX);
        assert_eq!(out.len(), 2400);
        let (on, off) = out.split_at(800);
        for hz in [440.0, 480.0] {
            let level = power_at(on, hz, 8000.0);
            assert!((level - 10_190.0).abs() < 700.0, "{hz}: {level}");
        }
        assert!(off.iter().all(|s| *s == 0));
    }

    #[test]
    fn loops_repeat_the_whole_and_end() {
        assert_eq!(render("L=3;%(10,10,400)", 8000, usize::MAX).len(), 3 * 160);
        assert_eq!(render("l=2;%(10,10,400)", 16_000, usize::MAX).len(), 2 * 320);
        assert!(render("L=-1;%(10,10,400)", 8000, 100_000).len() >= 100_000);
    }

    #[test]
    fn an_empty_or_zero_length_tone_ends_at_once() {
        assert!(render("", 8000, 1000).is_empty());
        assert!(render("L=-1;%(0,0,400)", 8000, 1000).is_empty());
    }

    #[test]
    fn fading_out_gets_quieter() {
        let out = render(">=10;+=3;%(100,0,400)", 8000, usize::MAX);
        let peak = |s: &[i16]| s.iter().map(|s| s.unsigned_abs()).max();
        assert!(peak(&out[..80]) > peak(&out[720..]).map(|p| p * 10));
    }
}
