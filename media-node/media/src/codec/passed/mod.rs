//! Codecs that are passed from one leg to another as they are, because they are not ours to decode: what is known
//! of them is how much time a payload stands for.

use super::{Codec, Coding};

/// How a payload's length tells its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// 10 octets per 10 ms; a rest of two octets is a comfort noise frame (RFC 3551 §4.5.6).
    G729,
    /// 24, 20 or 4 octets per 30 ms, as the first two bits of each frame say (RFC 3551 §4.5.3).
    G723,
    /// One frame of 20 ms, whatever its mode.
    Frame20(u16),
}

impl Framing {
    pub(super) fn samples_in(self, payload: &[u8]) -> usize {
        match self {
            Self::G729 => payload.len().div_ceil(10) * 80,
            Self::G723 => {
                let mut at = 0;
                let mut frames = 0;
                while let Some(first) = payload.get(at) {
                    at += [24, 20, 4, 1][usize::from(first & 3)];
                    frames += 1;
                }
                frames * 240
            }
            Self::Frame20(samples) => usize::from(samples),
        }
    }
}

pub(super) const G729: Codec = codec("G729", "mod_g729", 8000, Some(18), 8000, Framing::G729);
pub(super) const G723: Codec = codec("G723", "mod_g723_1", 8000, Some(4), 6300, Framing::G723);
pub(super) const AMR: Codec = codec("AMR", "mod_amr", 8000, None, 12_200, Framing::Frame20(160));
pub(super) const AMR_WB: Codec =
    codec("AMR-WB", "mod_amrwb", 16_000, None, 23_850, Framing::Frame20(320));
pub(super) const G7221: Codec =
    codec("G7221", "mod_siren", 16_000, None, 32_000, Framing::Frame20(320));

const fn codec(
    name: &'static str,
    module: &'static str,
    rate: u32,
    static_pt: Option<u8>,
    bit_rate: u32,
    framing: Framing,
) -> Codec {
    let coding = Coding::Passed(framing);
    Codec { name, module, rate, clock: rate, channels: 1, static_pt, bit_rate, coding }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_payload_is_its_time() {
        assert_eq!(G729.samples_in(&[0; 20]), 160);
        assert_eq!(G729.samples_in(&[0; 12]), 160, "speech and a comfort noise frame");
        assert_eq!(G723.samples_in(&[0; 48]), 480);
        assert_eq!(G723.samples_in(&[2, 0, 0, 0]), 240);
    }
}
