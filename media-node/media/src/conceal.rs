//! Packet loss concealment for decoded audio: the newest pitch cycle is repeated, fading out, until
//! the next packet comes, which is then faded in. The idea of ITU-T G.711 Appendix I, without the
//! delay it adds.
//!
//! Only where audio is decoded anyway. A relayed stream keeps its gaps: its receiver conceals
//! them, with more knowledge of the codec than we have.

/// Milliseconds of the past that are kept: the longest cycle twice over, with room.
const HISTORY_MS: usize = 40;
/// Shortest and longest pitch cycle looked for, in microseconds (400 Hz and 66 Hz).
const CYCLE_US: (usize, usize) = (2500, 15_000);
/// Length of the pieces compared to find the cycle, in milliseconds.
const COMPARED_MS: usize = 12;
/// Milliseconds repeated at full level, and after which nothing is left.
const FADE_MS: (usize, usize) = (10, 60);
/// Milliseconds over which the packet after a gap is faded in.
const JOIN_MS: usize = 5;

/// The concealer of one stream.
#[derive(Debug)]
pub struct Concealer {
    rate: u32,
    /// The newest samples heard, oldest first.
    history: Box<[i16]>,
    /// What is repeated: one pitch cycle whose end leads back to its beginning.
    cycle: Box<[i16]>,
    len: usize,
    at: usize,
    /// The step at the seam between the last sample heard and the first one made up.
    seam: i32,
    /// Samples made up since the last packet; 0 = none is missing.
    lost: usize,
}

impl Concealer {
    /// A concealer for audio at `rate` samples per second.
    pub fn new(rate: u32) -> Self {
        let per_ms = per_ms(rate);
        Self {
            rate,
            history: vec![0; per_ms * HISTORY_MS].into(),
            cycle: vec![0; per_ms * CYCLE_US.1 / 1000].into(),
            len: 1,
            at: 0,
            seam: 0,
            lost: 0,
        }
    }

    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes a frame that arrived. After a gap its beginning is blended with what was made up.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if self.lost > 0 {
            let join = (per_ms(self.rate) * JOIN_MS).min(pcm.len()).max(1);
            for (n, sample) in pcm.iter_mut().take(join).enumerate() {
                let (made_up, n) = (i32::from(self.next()), n as i32);
                let join = join as i32;
                *sample = ((made_up * (join - n) + i32::from(*sample) * n) / join) as i16;
            }
            self.lost = 0;
        }
        self.remember(pcm);
    }

    /// Makes up a frame that did not arrive.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.lost == 0 {
            self.find_cycle();
        }
        for sample in out.iter_mut() {
            *sample = self.next();
        }
        self.remember(out);
    }

    fn next(&mut self) -> i16 {
        let full = per_ms(self.rate) * FADE_MS.0;
        let none = per_ms(self.rate) * FADE_MS.1;
        let level = none.saturating_sub(self.lost.max(full)) as i32;
        let mut sample = i32::from(self.cycle[self.at]);
        // The seam is smoothed over the first half cycle.
        let half = self.len / 2;
        if self.lost < half {
            sample += self.seam * (half - self.lost) as i32 / half as i32;
        }
        self.at = (self.at + 1) % self.len;
        self.lost = self.lost.saturating_add(1);
        (sample * level / (none - full) as i32).clamp(-0x8000, 0x7fff) as i16
    }

    fn remember(&mut self, pcm: &[i16]) {
        let keep = self.history.len();
        let new = &pcm[pcm.len().saturating_sub(keep)..];
        self.history.copy_within(new.len().., 0);
        self.history[keep - new.len()..].copy_from_slice(new);
    }

    /// Chooses what to repeat, from the history as it stands before the gap.
    fn find_cycle(&mut self) {
        let len = self.pitch();
        let end = self.history.len();
        let newest = &self.history[end - len..];
        let before = &self.history[end - 2 * len..end - len];
        // Towards its end the cycle becomes the one before it, which led to its beginning.
        let blend = (len / 4).max(1);
        for (n, sample) in self.cycle[..len].iter_mut().enumerate() {
            let share = (n + blend).saturating_sub(len - 1).min(blend) as i32;
            let (new, old) = (i32::from(newest[n]), i32::from(before[n]));
            *sample = (new + (old - new) * share / blend as i32) as i16;
        }
        self.seam = i32::from(self.history[end - 1]) - i32::from(self.history[end - len - 1]);
        (self.len, self.at) = (len, 0);
    }

    /// Length of the pitch cycle: where the newest audio is most like what came before it. Looked
    /// for in steps first, then sample by sample around the best.
    fn pitch(&self) -> usize {
        let per_ms = per_ms(self.rate);
        let (shortest, longest) = (per_ms * CYCLE_US.0 / 1000, per_ms * CYCLE_US.1 / 1000);
        let step = (per_ms / 4).max(1);
        let better = |best: (usize, f32), lag: usize| {
            let likeness = self.likeness(lag, step);
            if likeness > best.1 { (lag, likeness) } else { best }
        };
        // Where nothing is like anything, as in noise, the longest cycle sounds least like a tone.
        let unlike = (longest, 0.3);
        let rough = (shortest..=longest).step_by(step).fold(unlike, better);
        if rough.1 <= unlike.1 {
            return longest;
        }
        let around = rough.0.saturating_sub(step).max(shortest)..=(rough.0 + step).min(longest);
        around.fold(rough, better).0
    }

    /// Correlation of the newest piece with the one `lag` samples earlier, at most 1.
    fn likeness(&self, lag: usize, step: usize) -> f32 {
        let end = self.history.len();
        let from = end - per_ms(self.rate) * COMPARED_MS;
        let (mut both, mut new, mut old) = (0.0f32, 1.0f32, 1.0f32);
        for n in (from..end).step_by(step) {
            let (a, b) = (f32::from(self.history[n]), f32::from(self.history[n - lag]));
            both += a * b;
            new += a * a;
            old += b * b;
        }
        both / (new * old).sqrt()
    }
}

fn per_ms(rate: u32) -> usize {
    (rate as usize / 1000).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    /// A voice-like sound: a fundamental with overtones.
    fn voice(rate: u32, samples: usize) -> Vec<i16> {
        let tau = std::f32::consts::TAU;
        let wave = |n: usize| {
            let t = n as f32 / rate as f32 * 130.0 * tau;
            (t.sin() + 0.5 * (2.0 * t + 0.3).sin() + 0.25 * (5.0 * t + 1.0).sin()) * 6000.0
        };
        (0..samples).map(|n| wave(n) as i16).collect()
    }

    /// The stream with the frames `lost` of it concealed.
    fn conceal(rate: u32, original: &[i16], lost: impl Fn(usize) -> bool) -> Vec<i16> {
        let frame = rate as usize / 50;
        let mut concealer = Concealer::new(rate);
        let mut out = Vec::new();
        for (n, piece) in original.chunks(frame).enumerate() {
            let mut piece = piece.to_vec();
            if lost(n) {
                concealer.conceal(&mut piece)
            } else {
                concealer.heard(&mut piece)
            }
            out.extend(piece);
        }
        out
    }

    fn energy(pcm: &[i16]) -> f64 {
        pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64
    }

    fn error(a: &[i16], b: &[i16]) -> f64 {
        let d = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        d.sum::<f64>() / a.len() as f64
    }

    #[test]
    fn a_lost_frame_of_a_voice_is_nearly_what_it_was() {
        for rate in [8000, 16_000, 48_000] {
            let original = voice(rate, rate as usize / 2);
            let frame = rate as usize / 50;
            let out = conceal(rate, &original, |n| n == 10);
            let gap = 10 * frame..11 * frame;
            let (error, whole) =
                (error(&out[gap.clone()], &original[gap.clone()]), energy(&original));
            assert!(error < whole / 5.0, "at {rate}: error {error:.0} of {whole:.0}");
            // No click anywhere: no step larger than the voice's own.
            let step = |pcm: &[i16]| {
                pcm.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max()
            };
            let (ours, voices) = (step(&out).unwrap(), step(&original).unwrap());
            assert!(ours <= voices * 3 / 2, "at {rate}: a step of {ours}, the voice has {voices}");
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_and_the_voice_comes_back() {
        let original = voice(8000, 50 * FRAME);
        let out = conceal(8000, &original, |n| (10..20).contains(&n));
        assert!(energy(&out[10 * FRAME..11 * FRAME]) > energy(&original) / 3.0);
        assert!(energy(&out[12 * FRAME..13 * FRAME]) < energy(&original) / 5.0);
        assert!(out[13 * FRAME..20 * FRAME].iter().all(|s| *s == 0), "60 ms are enough");
        let whole_again = 20 * FRAME + JOIN_MS * 8;
        assert_eq!(out[whole_again..], original[whole_again..]);
    }

    #[test]
    fn what_arrives_whole_is_left_alone_and_silence_stays_silent() {
        let original = voice(8000, 20 * FRAME);
        assert_eq!(conceal(8000, &original, |_| false), original);
        assert!(conceal(8000, &[0; 20 * FRAME], |n| n % 3 == 1).iter().all(|s| *s == 0));
    }

    #[test]
    fn a_gap_right_at_the_start_and_odd_frames_do_no_harm() {
        let mut concealer = Concealer::new(8000);
        concealer.conceal(&mut [0; 160]);
        concealer.heard(&mut [i16::MIN; 1]);
        concealer.heard(&mut []);
        concealer.conceal(&mut [0; 4096]);
        concealer.heard(&mut [i16::MAX; 4096]);
        concealer.conceal(&mut [0; 7]);
    }
}
