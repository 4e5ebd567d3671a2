//! G.711 by table: 256 entries each way in, one entry per 14-bit (mu-law) or 13-bit (A-law) value
//! out. The tables are built at compile time from the ITU-T definition.

use super::{Codec, Coding};

pub(super) const fn codec(name: &'static str, pt: u8, coding: Coding) -> Codec {
    Codec {
        name,
        module: "CORE_PCM_MODULE",
        rate: 8000,
        clock: 8000,
        channels: 1,
        static_pt: Some(pt),
        bit_rate: 64_000,
        coding,
    }
}

const ULAW_IN: [i16; 256] = ulaw_decode_table();
const ALAW_IN: [i16; 256] = alaw_decode_table();
static ULAW_OUT: [u8; 1 << 14] = ulaw_encode_table();
static ALAW_OUT: [u8; 1 << 13] = alaw_encode_table();

/// One mu-law octet as linear.
#[inline]
pub fn ulaw_to_linear(octet: u8) -> i16 {
    ULAW_IN[octet as usize]
}

/// One A-law octet as linear.
#[inline]
pub fn alaw_to_linear(octet: u8) -> i16 {
    ALAW_IN[octet as usize]
}

/// One linear sample as mu-law.
#[inline]
pub fn linear_to_ulaw(sample: i16) -> u8 {
    ULAW_OUT[(sample as u16 >> 2) as usize]
}

/// One linear sample as A-law.
#[inline]
pub fn linear_to_alaw(sample: i16) -> u8 {
    ALAW_OUT[(sample as u16 >> 3) as usize]
}

/// The octet mu-law silence is made of.
pub const ULAW_SILENCE: u8 = 0xff;
/// The octet A-law silence is made of.
pub const ALAW_SILENCE: u8 = 0xd5;

const fn ulaw_decode_table() -> [i16; 256] {
    let mut table = [0i16; 256];
    let mut i = 0;
    while i < 256 {
        let v = !(i as u8);
        let exponent = (v >> 4) & 7;
        let mantissa = (v & 15) as i32;
        let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
        table[i] = if v & 0x80 != 0 { -magnitude as i16 } else { magnitude as i16 };
        i += 1;
    }
    table
}

const fn alaw_decode_table() -> [i16; 256] {
    let mut table = [0i16; 256];
    let mut i = 0;
    while i < 256 {
        let v = (i as u8) ^ 0x55;
        let exponent = (v >> 4) & 7;
        let mantissa = (v & 15) as i32;
        let magnitude = if exponent == 0 {
            (mantissa << 4) + 8
        } else {
            ((mantissa << 4) + 0x108) << (exponent - 1)
        };
        table[i] = if v & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 };
        i += 1;
    }
    table
}

const fn ulaw_encode_table() -> [u8; 1 << 14] {
    let mut table = [0u8; 1 << 14];
    let mut i = 0;
    while i < 1 << 14 {
        table[i] = encode_ulaw(((i << 2) as u16) as i16);
        i += 1;
    }
    table
}

const fn alaw_encode_table() -> [u8; 1 << 13] {
    let mut table = [0u8; 1 << 13];
    let mut i = 0;
    while i < 1 << 13 {
        table[i] = encode_alaw(((i << 3) as u16) as i16);
        i += 1;
    }
    table
}

const fn encode_ulaw(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample < 0 { (0x80u8, -(sample as i32)) } else { (0, sample as i32) };
    let clipped = if magnitude > 32_635 { 32_635 } else { magnitude };
    let biased = clipped + 0x84;
    let exponent = (31 - (biased as u32).leading_zeros()) as i32 - 7;
    let mantissa = (biased >> (exponent + 3)) & 15;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

const fn encode_alaw(sample: i16) -> u8 {
    // Negative values are one's complement in A-law: -1 is the first negative step.
    let (sign, magnitude) =
        if sample < 0 { (0u8, !(sample as i32)) } else { (0x80, sample as i32) };
    let octet = if magnitude < 256 {
        (magnitude >> 4) as u8
    } else {
        let exponent = (31 - (magnitude as u32).leading_zeros()) as i32 - 7;
        let mantissa = (magnitude >> (exponent + 3)) & 15;
        ((exponent as u8) << 4) | mantissa as u8
    };
    (sign | octet) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_then_encoding_gives_the_octet_back() {
        for octet in 0..=255u8 {
            assert_eq!(linear_to_alaw(alaw_to_linear(octet)), octet, "A-law {octet:#x}");
            // mu-law has two zeros; both decode to 0, which encodes as the positive one.
            let expected = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(octet)), expected, "mu-law {octet:#x}");
        }
    }

    #[test]
    fn known_points_of_the_tables() {
        assert_eq!(ulaw_to_linear(0xff), 0);
        assert_eq!(ulaw_to_linear(0x80), 32_124);
        assert_eq!(ulaw_to_linear(0x00), -32_124);
        assert_eq!(alaw_to_linear(0xd5), 8);
        assert_eq!(alaw_to_linear(0xaa), 32_256);
        assert_eq!(alaw_to_linear(0x2a), -32_256);
        assert_eq!(linear_to_ulaw(0), ULAW_SILENCE);
        assert_eq!(linear_to_alaw(0), ALAW_SILENCE);
    }

    #[test]
    fn every_sample_comes_back_within_one_step() {
        for s in i16::MIN..=i16::MAX {
            let limit = (i32::from(s).abs() / 16).max(16)
                + 660 * i32::from(!(-32_000..=32_000).contains(&s));
            for back in [ulaw_to_linear(linear_to_ulaw(s)), alaw_to_linear(linear_to_alaw(s))] {
                assert!((i32::from(back) - i32::from(s)).abs() <= limit, "{s} -> {back}");
            }
        }
    }
}
