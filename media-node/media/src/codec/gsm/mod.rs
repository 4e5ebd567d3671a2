//! GSM 06.10 full rate (RFC 3551 §4.5.8), by the crate `oxideav-gsm`, which reproduces the test sequences of ETSI.

use oxideav_gsm::{DecoderState, EncoderState, FRAME_SAMPLES, GSM_BYTE_FRAME_LEN, UnpackedFrame};

use super::{Codec, Coder, Coding, Decoder, Encoder};

pub(super) const CODEC: Codec = Codec {
    name: "GSM",
    module: "mod_spandsp",
    rate: 8000,
    clock: 8000,
    channels: 1,
    static_pt: Some(3),
    bit_rate: 13_200,
    coding: Coding::Gsm,
};

pub(super) fn coder() -> Coder {
    Coder {
        encoder: Some(Box::new(Encoding(EncoderState::new()))),
        decoder: Some(Box::new(Decoding(DecoderState::new()))),
    }
}

pub(super) fn samples_in(payload: &[u8]) -> usize {
    payload.len() / GSM_BYTE_FRAME_LEN * FRAME_SAMPLES
}

pub(super) fn payload(samples: usize) -> usize {
    samples.div_ceil(FRAME_SAMPLES) * GSM_BYTE_FRAME_LEN
}

#[derive(Debug)]
struct Encoding(EncoderState);

impl Encoder for Encoding {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let mut at = 0;
        let (frames, []) = pcm.as_chunks::<FRAME_SAMPLES>() else { return 0 };
        for frame in frames {
            let Some(room) = out.get_mut(at..at + GSM_BYTE_FRAME_LEN) else { break };
            room.copy_from_slice(&self.0.encode_frame(frame).to_gsm_byte_frame());
            at += GSM_BYTE_FRAME_LEN;
        }
        at
    }
}

#[derive(Debug)]
struct Decoding(DecoderState);

impl Decoder for Decoding {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let mut at = 0;
        for frame in payload.chunks_exact(GSM_BYTE_FRAME_LEN) {
            let (Ok(frame), Some(room)) =
                (UnpackedFrame::from_gsm_byte_frame(frame), out.get_mut(at..at + FRAME_SAMPLES))
            else {
                break;
            };
            room.copy_from_slice(&self.0.decode_frame(&frame));
            at += FRAME_SAMPLES;
        }
        at
    }
}
