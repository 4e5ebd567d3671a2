//! Samples as programs send and take them.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use media::codec::g711;

/// Padding may be missing: some encoders leave it out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// 16 bits, the lower octet first.
    Linear,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
    /// Frames of Opus, which are written and read one by one ([`crate::opus`]): no samples stand for them here.
    Opus,
}

impl Coding {
    /// Samples as octets.
    #[must_use]
    pub fn write(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Linear => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
            Self::Ulaw => samples.iter().map(|sample| g711::linear_to_ulaw(*sample)).collect(),
            Self::Alaw => samples.iter().map(|sample| g711::linear_to_alaw(*sample)).collect(),
            Self::Opus => Vec::new(),
        }
    }

    /// Octets as samples; half a sample at the end is left out.
    #[must_use]
    pub fn read(self, octets: &[u8]) -> Vec<i16> {
        match self {
            Self::Linear => {
                octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
            }
            Self::Ulaw => octets.iter().map(|octet| g711::ulaw_to_linear(*octet)).collect(),
            Self::Alaw => octets.iter().map(|octet| g711::alaw_to_linear(*octet)).collect(),
            Self::Opus => Vec::new(),
        }
    }
}

/// Octets that come in pieces, a sample of two possibly cut in half.
#[derive(Clone, Copy, Debug, Default)]
pub struct Halves(Option<u8>);

impl Halves {
    /// The samples that are whole now.
    pub fn read(&mut self, octets: &[u8]) -> Vec<i16> {
        let mut whole = Vec::with_capacity(octets.len() / 2 + 1);
        let mut rest = octets;
        if let (Some(low), Some((high, after))) = (self.0, octets.split_first()) {
            whole.push(i16::from_le_bytes([low, *high]));
            (self.0, rest) = (None, after);
        }
        whole.extend(Coding::Linear.read(rest));
        if rest.len() % 2 == 1 {
            self.0 = rest.last().copied();
        }
        whole
    }
}

/// Text of base64, line breaks and blanks left out.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        return LENIENT.decode(packed).ok();
    }
    LENIENT.decode(text).ok()
}

/// As base64.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// A text as JSON writes it, with quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A WAV file of one channel.
#[must_use]
pub fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let data = samples.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    out.extend(b"RIFF");
    out.extend((36 + data).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16_u32.to_le_bytes());
    for field in [1_u16, 1] {
        out.extend(field.to_le_bytes());
    }
    out.extend(rate.to_le_bytes());
    out.extend((rate * 2).to_le_bytes());
    for field in [2_u16, 16] {
        out.extend(field.to_le_bytes());
    }
    out.extend(b"data");
    out.extend(data.to_le_bytes());
    out.extend(Coding::Linear.write(samples));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_cut_in_half_is_joined() {
        let mut halves = Halves::default();
        let mut all = Vec::new();
        for piece in [&[1_u8, 0, 2][..], &[0], &[], &[3], &[0, 4, 0]] {
            all.extend(halves.read(piece));
        }
        assert_eq!(all, [1, 2, 3, 4]);
    }

    #[test]
    fn every_coding_reads_what_it_writes() {
        assert_eq!(Coding::Linear.read(&Coding::Linear.write(&[1, -2, 32_767])), [1, -2, 32_767]);
        assert_eq!(Coding::Ulaw.write(&[0]), [0xff]);
        assert_eq!(Coding::Alaw.read(&[0xd5]), [8]);
    }

    #[test]
    fn base64_is_read_with_and_without_padding_and_line_breaks() {
        for text in ["aGk=", "aGk", "aG\nk="] {
            assert_eq!(decode(text).as_deref(), Some(&b"hi"[..]), "{text}");
        }
        assert_eq!(decode("a*b"), None);
    }

    #[test]
    fn a_wav_file_is_one() {
        let (info, samples) = media::wav::decode(&wav(24_000, &[5, -6])).unwrap();
        assert_eq!((info.rate, samples), (24_000, vec![5, -6]));
    }
}
