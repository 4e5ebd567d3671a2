//! The crate `earshot`: a network of 40 kB that is part of the program, at 16 kHz.

use media::resample::{Converter, to_i16};

/// Samples per second it hears, and of a frame.
const RATE: u32 = 16_000;
const FRAME: usize = 256;
/// Score from which a frame is a voice: where precision and recall are best together (docs/BENCHMARKS.md).
const VOICE: f32 = 0.7;

pub(super) struct Network {
    detector: Box<earshot::Detector>,
    /// From the rate named; none at 16 kHz.
    converter: (u32, Option<Converter>),
    waiting: Vec<i16>,
    voice: bool,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("voice", &self.voice).finish_non_exhaustive()
    }
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            detector: earshot::Detector::default_boxed(),
            converter: (RATE, None),
            waiting: Vec::with_capacity(2 * FRAME),
            voice: false,
        }
    }

    /// Hears a piece; is there a voice in the last whole frame?
    pub(super) fn hears_voice(&mut self, piece: &[i16], rate: u32) -> bool {
        if rate != self.converter.0 {
            self.converter = (rate, Converter::new(rate, RATE).filter(|_| rate != RATE));
            self.detector.reset();
        }
        let waiting = &mut self.waiting;
        match &mut self.converter.1 {
            Some(converter) => converter
                .push(piece, |out| waiting.extend(out.iter().map(|sample| to_i16(*sample)))),
            None => waiting.extend_from_slice(piece),
        }
        let mut at = 0;
        while let Some(frame) = self.waiting.get(at..at + FRAME) {
            self.voice = self.detector.predict_i16(frame) >= VOICE;
            at += FRAME;
        }
        self.waiting.drain(..at);
        self.voice
    }
}

#[cfg(test)]
mod tests {
    use crate::vad::{Detector, Settings, Voice};

    #[test]
    fn noise_that_is_loud_from_one_moment_to_the_next_is_no_voice() {
        let mut random = 1_u32;
        let mut noise = |level: i32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((random >> 16) as i32 % level - level / 2) as i16
        };
        let samples: Vec<i16> =
            (0..48_000).map(|n| noise(if n < 8000 { 8 } else { 6000 })).collect();
        let begins = |neural: bool| {
            let mut told = 0;
            let mut detector = Detector::new(Settings { neural, ..Settings::default() });
            detector.hear(samples.iter().copied(), 8000, |voice| {
                told += usize::from(voice == Voice::Begins);
            });
            told
        };
        assert_eq!((begins(false), begins(true)), (1, 0));
    }
}
