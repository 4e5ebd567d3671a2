//! G.722 at 64 kbit/s, by the crate `audio-codec`: 16 kHz audio whose RTP clock says 8 kHz, an error of RFC 1890
//! kept ever since (RFC 3551 §4.5.2).

use std::fmt;

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

use super::{Codec, Coder, Coding, Decoder, Encoder};

pub(super) const CODEC: Codec = Codec {
    name: "G722",
    module: "mod_spandsp",
    rate: 16_000,
    clock: 8000,
    channels: 1,
    static_pt: Some(9),
    bit_rate: 64_000,
    coding: Coding::G722,
};

pub(super) fn coder() -> Coder {
    Coder {
        encoder: Some(Box::new(Encoding(G722Encoder::new()))),
        decoder: Some(Box::new(Decoding(G722Decoder::new()))),
    }
}

struct Encoding(G722Encoder);

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("G722")
    }
}

impl Encoder for Encoding {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        self.0.encode_into(pcm, out).unwrap_or(0)
    }
}

struct Decoding(G722Decoder);

impl fmt::Debug for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("G722")
    }
}

impl Decoder for Decoding {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let most = payload.len().min(out.len() / 2);
        self.0.decode_into(&payload[..most], out).unwrap_or(0)
    }
}
