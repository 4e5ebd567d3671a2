//! Reading WAV (RIFF WAVE) from memory, tolerant of what recorders cut short leave behind: sizes
//! that are zero or too large mean "to the end of the file".

use crate::codec::g711;

/// Channels a file may have.
const MAX_CHANNELS: u16 = 16;

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Unsigned 8-bit.
    U8,
    /// Signed 16-bit.
    I16,
    /// Signed 24-bit.
    I24,
    /// Signed 32-bit.
    I32,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// G.711 A-law.
    Alaw,
    /// G.711 mu-law.
    Ulaw,
}

impl Format {
    /// Octets per sample.
    pub fn octets(self) -> usize {
        match self {
            Self::U8 | Self::Alaw | Self::Ulaw => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The sample that `bytes`, as many as [`Format::octets`], stand for.
    pub(super) fn sample(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Self::U8, &[b]) => (i16::from(b) - 128) << 8,
            (Self::I16, &[a, b]) => i16::from_le_bytes([a, b]),
            (Self::I24, &[_, b, c]) => i16::from_le_bytes([b, c]),
            (Self::I32, &[_, _, c, d]) => i16::from_le_bytes([c, d]),
            (Self::F32, &[a, b, c, d]) => (f32::from_le_bytes([a, b, c, d]) * 32_767.0) as i16,
            (Self::F64, &[a, b, c, d, e, f, g, h]) => {
                (f64::from_le_bytes([a, b, c, d, e, f, g, h]) * 32_767.0) as i16
            }
            (Self::Alaw, &[b]) => g711::alaw_to_linear(b),
            (Self::Ulaw, &[b]) => g711::ulaw_to_linear(b),
            _ => 0,
        }
    }
}

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Sample format.
    pub format: Format,
    /// Channels.
    pub channels: u16,
    /// Samples per second and channel.
    pub rate: u32,
    /// Where the audio is.
    pub data: std::ops::Range<usize>,
}

/// Why a file is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not RIFF WAVE at all.
    #[error("not a WAV file")]
    NotWav,
    /// No `fmt ` chunk, or one cut short.
    #[error("WAV file without a format chunk")]
    NoFormat,
    /// No `data` chunk.
    #[error("WAV file without audio")]
    NoData,
    /// A compression this reader does not know.
    #[error("WAV format {tag:#06x} with {bits} bits is not supported")]
    Unsupported {
        /// Format tag.
        tag: u16,
        /// Bits per sample.
        bits: u16,
    },
    /// Zero or very many channels, or a rate out of reason.
    #[error("WAV file with {channels} channels at {rate} Hz")]
    Unreasonable {
        /// Channels it names.
        channels: u16,
        /// Rate it names.
        rate: u32,
    },
}

/// Reads the headers.
///
/// # Errors
/// When it is no WAV file or one we cannot play.
pub fn info(file: &[u8]) -> Result<Info, WavError> {
    let riff = file.first_chunk::<12>().ok_or(WavError::NotWav)?;
    if !matches!(&riff[..4], b"RIFF" | b"RF64") || &riff[8..] != b"WAVE" {
        return Err(WavError::NotWav);
    }
    let mut at = 12usize;
    let mut format = None;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) =
        file.get(at..).and_then(|r| r.first_chunk::<8>())
    {
        let start = at + 8;
        let left = file.len() - start;
        let named = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        match &[a, b, c, d] {
            b"fmt " => format = Some(parse_format(file.get(start..).unwrap_or_default())?),
            b"data" => {
                let (format, channels, rate) = format.ok_or(WavError::NoFormat)?;
                // A recorder that died leaves 0; one that could not know leaves the largest number.
                let len = if named == 0 || named > left { left } else { named };
                return Ok(Info { format, channels, rate, data: start..start + len });
            }
            _ => {}
        }
        // Chunks are padded to even length.
        let Some(next) = start.checked_add(named).and_then(|n| n.checked_add(named & 1)) else {
            break;
        };
        at = next;
    }
    Err(if format.is_some() { WavError::NoData } else { WavError::NoFormat })
}

fn parse_format(chunk: &[u8]) -> Result<(Format, u16, u32), WavError> {
    let &[t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1] =
        chunk.first_chunk::<16>().ok_or(WavError::NoFormat)?;
    let mut tag = u16::from_le_bytes([t0, t1]);
    let bits = u16::from_le_bytes([b0, b1]);
    if tag == 0xfffe {
        // WAVE_FORMAT_EXTENSIBLE: the real tag begins the sub-format GUID.
        let &[s0, s1] = chunk.get(24..).and_then(|s| s.first_chunk()).ok_or(WavError::NoFormat)?;
        tag = u16::from_le_bytes([s0, s1]);
    }
    let format = match (tag, bits) {
        (1, 8) => Format::U8,
        (1, 16) => Format::I16,
        (1, 24) => Format::I24,
        (1, 32) => Format::I32,
        (3, 32) => Format::F32,
        (3, 64) => Format::F64,
        (6, _) => Format::Alaw,
        (7, _) => Format::Ulaw,
        _ => return Err(WavError::Unsupported { tag, bits }),
    };
    let channels = u16::from_le_bytes([c0, c1]);
    let rate = u32::from_le_bytes([r0, r1, r2, r3]);
    if channels == 0 || channels > MAX_CHANNELS || !(1000..=384_000).contains(&rate) {
        return Err(WavError::Unreasonable { channels, rate });
    }
    Ok((format, channels, rate))
}

/// Decodes the audio to mono linear; several channels are averaged.
///
/// # Errors
/// As [`info`].
pub fn decode(file: &[u8]) -> Result<(Info, Vec<i16>), WavError> {
    let info = info(file)?;
    let octets = info.format.octets();
    let channels = usize::from(info.channels);
    let audio = file.get(info.data.clone()).unwrap_or_default();
    let frames = audio.chunks_exact(octets * channels);
    let mut samples = Vec::with_capacity(frames.len());
    for frame in frames {
        let sum: i32 = frame.chunks_exact(octets).map(|s| i32::from(info.format.sample(s))).sum();
        samples.push((sum / i32::from(info.channels)) as i16);
    }
    Ok((info, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn file(tag: u16, bits: u16, channels: u16, rate: u32, data: &[u8]) -> Vec<u8> {
        let mut f = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt ".to_vec();
        f.extend_from_slice(&16u32.to_le_bytes());
        f.extend_from_slice(&tag.to_le_bytes());
        f.extend_from_slice(&channels.to_le_bytes());
        f.extend_from_slice(&rate.to_le_bytes());
        f.extend_from_slice(&[0; 6]);
        f.extend_from_slice(&bits.to_le_bytes());
        f.extend_from_slice(b"data");
        f.extend_from_slice(&(data.len() as u32).to_le_bytes());
        f.extend_from_slice(data);
        f
    }

    fn samples(tag: u16, bits: u16, channels: u16, data: &[u8]) -> Vec<i16> {
        decode(&file(tag, bits, channels, 8000, data)).unwrap().1
    }

    #[test]
    fn every_format_decodes_to_the_same_linear_values() {
        assert_eq!(samples(1, 8, 1, &[128, 192, 64]), [0, 0x4000, -0x4000]);
        assert_eq!(samples(1, 16, 1, &[0, 0x40, 0, 0xc0]), [0x4000, -0x4000]);
        assert_eq!(samples(1, 24, 1, &[9, 0, 0x40]), [0x4000]);
        assert_eq!(samples(1, 32, 1, &[9, 9, 0, 0x40]), [0x4000]);
        assert_eq!(samples(3, 32, 1, &0.5f32.to_le_bytes()), [16_383]);
        assert_eq!(samples(3, 64, 1, &(-2.0f64).to_le_bytes()), [-32_768]);
        assert_eq!(samples(6, 8, 1, &[0xd5]), [8]);
        assert_eq!(samples(7, 8, 1, &[0x80, 0xff]), [32_124, 0]);
    }

    #[test]
    fn channels_are_averaged() {
        assert_eq!(samples(1, 16, 2, &[100, 0, 200, 0, 7]), [150]);
    }

    #[test]
    fn a_recording_cut_short_plays_to_its_end() {
        let mut f = file(1, 16, 1, 8000, &[1, 0, 2, 0]);
        for size in [0u32, u32::MAX] {
            let at = f.len() - 8;
            f[at..at + 4].copy_from_slice(&size.to_le_bytes());
            assert_eq!(decode(&f).unwrap().1, [1, 2]);
        }
    }

    #[test]
    fn what_is_no_wav_is_told_apart() {
        assert_eq!(info(b"OggS............"), Err(WavError::NotWav));
        assert_eq!(info(&file(1, 16, 1, 8000, &[])[..40]), Err(WavError::NoFormat));
        assert_eq!(
            info(&file(0x55, 0, 1, 8000, &[])),
            Err(WavError::Unsupported { tag: 0x55, bits: 0 })
        );
        assert!(matches!(info(&file(1, 16, 0, 8000, &[])), Err(WavError::Unreasonable { .. })));
        assert!(matches!(info(&file(1, 16, 1, 0, &[])), Err(WavError::Unreasonable { .. })));
    }
}
