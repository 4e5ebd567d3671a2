//! L16 (RFC 3551 §4.5.11): linear samples, most significant octet first.

use super::{Codec, Coding};

/// Linear audio at a rate, mono.
pub(super) const fn at(rate: u32) -> Codec {
    let static_pt = if rate == 44_100 { Some(11) } else { None };
    Codec {
        name: "L16",
        module: "CORE_PCM_MODULE",
        rate,
        clock: rate,
        channels: 1,
        static_pt,
        bit_rate: rate * 16,
        coding: Coding::Linear,
    }
}

pub(super) fn decode(payload: &[u8], out: &mut [i16]) -> usize {
    let pairs = payload.chunks_exact(2);
    let n = pairs.len().min(out.len());
    for (o, pair) in out.iter_mut().zip(pairs) {
        *o = i16::from_be_bytes([pair[0], pair[1]]);
    }
    n
}

pub(super) fn encode(samples: &[i16], out: &mut [u8]) -> usize {
    let n = (out.len() / 2).min(samples.len());
    for (pair, s) in out.chunks_exact_mut(2).zip(samples) {
        pair.copy_from_slice(&s.to_be_bytes());
    }
    n * 2
}
