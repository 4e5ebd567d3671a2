//! The call's audio on its way to a program: both sides or one, at the stream's rate, in frames.

use media::resample::{Converter, to_i16};

/// Which audio a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// What the far end says.
    Mono,
    /// What it says and hears, added up.
    Mixed,
    /// Both in turn, what it says first.
    Stereo,
    /// What it hears alone: the second of two streams to a recogniser of one voice.
    Heard,
}

impl Mix {
    /// By its name, exactly.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "mono" => Some(Self::Mono),
            "mixed" => Some(Self::Mixed),
            "stereo" => Some(Self::Stereo),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mono => "mono",
            Self::Mixed => "mixed",
            Self::Stereo => "stereo",
            Self::Heard => "heard",
        }
    }

    /// Samples of a frame that belong together.
    #[must_use]
    pub fn channels(self) -> usize {
        if self == Self::Stereo { 2 } else { 1 }
    }
}

/// Brings a leg's audio into frames.
#[derive(Debug)]
pub struct Capture {
    mix: Mix,
    rate: u32,
    frame: usize,
    /// One per channel of the result; none where the rates are the same.
    converters: Vec<Converter>,
    from: u32,
    ready: Vec<i16>,
    scratch: [Vec<i16>; 2],
}

impl Capture {
    /// Frames of `frame_ms` at `rate`.
    #[must_use]
    pub fn new(mix: Mix, rate: u32, frame_ms: u32) -> Self {
        let frame = (rate as usize * frame_ms as usize / 1000).max(1) * mix.channels();
        Self {
            mix,
            rate,
            frame,
            converters: Vec::new(),
            from: 0,
            ready: Vec::new(),
            scratch: Default::default(),
        }
    }

    /// Samples of a frame, all channels.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame
    }

    /// Whether this is what the far end hears, alone.
    #[must_use]
    pub fn is_of_heard(&self) -> bool {
        self.mix == Mix::Heard
    }

    /// Takes audio of a leg at `from`: both sides in turn with `both`, else what it says.
    pub fn push(&mut self, samples: &[i16], both: bool, from: u32) {
        if from != self.from {
            self.from = from;
            let make = |_| Converter::new(from, self.rate);
            let needed = if from == self.rate { 0 } else { self.mix.channels() };
            self.converters = (0..needed).filter_map(make).collect();
        }
        let [said, heard] = &mut self.scratch;
        said.clear();
        heard.clear();
        match (both, self.mix) {
            (false, Mix::Stereo) => {
                said.extend_from_slice(samples);
                heard.resize(samples.len(), 0);
            }
            (false, _) => said.extend_from_slice(samples),
            (true, mix) => {
                for pair in samples.chunks_exact(2) {
                    match mix {
                        Mix::Mono => said.push(pair[0]),
                        Mix::Heard => said.push(pair[1]),
                        Mix::Mixed => said.push(pair[0].saturating_add(pair[1])),
                        Mix::Stereo => {
                            said.push(pair[0]);
                            heard.push(pair[1]);
                        }
                    }
                }
            }
        }
        for (converter, side) in self.converters.iter_mut().zip([&mut *said, &mut *heard]) {
            let mut out = Vec::with_capacity(side.len() * 6);
            converter.push(side, |piece| out.extend(piece.iter().map(|sample| to_i16(*sample))));
            *side = out;
        }
        if self.mix == Mix::Stereo {
            self.ready.extend(said.iter().zip(heard).flat_map(|(a, b)| [*a, *b]));
        } else {
            self.ready.append(said);
        }
    }

    /// Hands out whole frames.
    pub fn frames(&mut self, mut each: impl FnMut(&[i16])) {
        let whole = self.ready.len() / self.frame * self.frame;
        for frame in self.ready[..whole].chunks_exact(self.frame) {
            each(frame);
        }
        self.ready.drain(..whole);
    }

    /// Forgets what has not become a frame.
    pub fn forget(&mut self) {
        self.ready.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mix: Mix, rate: u32, samples: &[i16], both: bool, from: u32) -> Vec<Vec<i16>> {
        let mut capture = Capture::new(mix, rate, 20);
        let mut out = Vec::new();
        for piece in samples.chunks(334) {
            capture.push(piece, both, from);
            capture.frames(|frame| out.push(frame.to_vec()));
        }
        out
    }

    #[test]
    fn each_mix_has_its_samples() {
        let pairs: Vec<i16> = (0..320).flat_map(|n| [n, -1000]).collect();
        let first = |mix| frames(mix, 8000, &pairs, true, 8000).swap_remove(1);
        assert_eq!(first(Mix::Mono)[..2], [160, 161]);
        assert_eq!(first(Mix::Mixed)[..2], [-840, -839]);
        assert_eq!(first(Mix::Stereo)[..4], [160, -1000, 161, -1000]);
        assert_eq!(first(Mix::Stereo).len(), 320);
        assert_eq!(frames(Mix::Mono, 8000, &pairs[..160], false, 8000)[0], pairs[..160]);
        assert_eq!(frames(Mix::Stereo, 8000, &[5; 160], false, 8000)[0][..2], [5, 0]);
    }

    #[test]
    fn another_rate_has_as_many_frames() {
        for rate in [16_000, 24_000, 48_000] {
            let out = frames(Mix::Mono, rate, &[500; 8000], false, 8000);
            assert!((48..=50).contains(&out.len()), "{rate}: {}", out.len());
            assert_eq!(out[0].len(), rate as usize / 50);
            assert!((490..510).contains(&out[20][7]));
        }
        let both: Vec<i16> = [100, -300].repeat(16_000);
        let out = frames(Mix::Stereo, 8000, &both, true, 16_000);
        assert!((95..110).contains(&out[20][0]) && (-310..-290).contains(&out[20][1]));
    }
}
