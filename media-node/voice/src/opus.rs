//! Opus frames for programs that speak it: made of samples where the call has another codec, and turned into samples for
//! the queue, which keeps each frame beside them, so that it may leave as it came.

use media::codec::{Codec, Decoder, Encoder};

/// Samples per second of the frames.
pub const RATE: u32 = 48_000;
/// Octets of the longest frame.
pub const LONGEST: usize = 1276;
/// Samples of the longest frame, 120 ms.
const MOST: usize = 5760;

/// Milliseconds of a frame; 0 for what is none.
#[must_use]
pub fn ms(frame: &[u8]) -> u32 {
    let samples = Codec::by_pref("opus", RATE).map_or(0, |codec| codec.samples_in(frame));
    samples as u32 / (RATE / 1000)
}

/// Both ways of a stream in Opus.
#[derive(Debug)]
pub struct Opus {
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    /// Samples per second frames are turned into.
    rate: u32,
}

impl Opus {
    /// Coders, which decode to that rate, or to 48 kHz where Opus does not know it. `None` without the codec.
    #[must_use]
    pub fn new(rate: u32) -> Option<Self> {
        let known = matches!(rate, 8000 | 12_000 | 16_000 | 24_000 | 48_000);
        let rate = if known { rate } else { RATE };
        let encoder = Codec::by_pref("opus", RATE)?.coder(None).encoder?;
        let decoder = Codec::by_pref("opus", rate)?.coder(None).decoder?;
        Some(Self { encoder, decoder, rate })
    }

    /// Samples per second frames are turned into.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// A frame of 20 ms at 48 kHz; `None` where the encoder has nothing to send.
    pub fn encode(&mut self, samples: &[i16]) -> Option<Vec<u8>> {
        let mut out = vec![0; LONGEST];
        let length = self.encoder.encode(samples, &mut out);
        out.truncate(length);
        (length > 0).then_some(out)
    }

    /// The samples of a frame; none of what is no frame.
    pub fn decode(&mut self, frame: &[u8]) -> Vec<i16> {
        let mut out = vec![0; MOST];
        let length = if frame.len() > LONGEST { 0 } else { self.decoder.decode(frame, &mut out) };
        out.truncate(length);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_there_and_back_and_what_is_none_is_nothing() {
        for rate in [8000, 16_000, 48_000] {
            let mut opus = Opus::new(rate).unwrap();
            let tone: Vec<i16> = (0..48_000)
                .map(|n| {
                    ((f64::from(n) / 48_000.0 * 440.0 * std::f64::consts::TAU).sin() * 9000.0)
                        as i16
                })
                .collect();
            let mut heard = Vec::new();
            for frame in tone.chunks(960) {
                let frame = opus.encode(frame).unwrap();
                assert_eq!(ms(&frame), 20);
                assert!(frame.len() < 200);
                heard.extend(opus.decode(&frame));
            }
            assert_eq!(heard.len(), rate as usize);
            let crossings = heard.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
            assert!((840..900).contains(&crossings), "{rate}: {crossings}");
            assert!(opus.decode(&[]).is_empty() && opus.decode(&[7; 3000]).is_empty());
        }
        assert_eq!(Opus::new(11_025).unwrap().rate(), RATE);
    }
}
