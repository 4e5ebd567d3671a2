//! Codecs: what each is called, its clocks and payload types, and how it turns samples into packets and back.
//!
//! A codec is one folder, which lists its [`Codec`]s and makes their coders. G.711 and linear audio have no state
//! and are converted by table or not at all ([`Codec::encode`], [`Codec::decode`]); the others have an [`Encoder`]
//! and a [`Decoder`] per leg ([`Codec::coder`]). Codecs that are passed through have neither.

pub mod g711;
mod g722;
mod gsm;
mod l16;
mod opus;
mod passed;

use std::fmt;

pub use opus::{Fmtp as OpusFmtp, Own as OpusOwn};

/// How a codec's payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// G.711 mu-law, one octet per sample.
    Ulaw,
    /// G.711 A-law, one octet per sample.
    Alaw,
    /// Linear, two octets per sample, most significant first (RFC 3551 L16).
    Linear,
    /// G.722 at 64 kbit/s, one octet per two samples.
    G722,
    /// GSM 06.10 full rate, 33 octets per 20 ms.
    Gsm,
    /// Opus (RFC 6716).
    Opus,
    /// Not decoded here, only passed from one leg to another.
    Passed(passed::Framing),
}

/// Turns samples into payloads; has a state.
pub trait Encoder: Send + fmt::Debug {
    /// Encodes one packet interval; returns the octets written, 0 for silence that is not sent and for a length the
    /// codec does not know.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize;

    /// Whether the packet just encoded is one of those that are sent now and then while silence is left out.
    fn is_pausing(&self) -> bool {
        false
    }

    /// Says what rate the sound was sampled at before it was converted: nothing above half of it is there to be encoded.
    fn sampled_at(&mut self, _rate: u32) {}

    /// Spends less on each packet where the codec can (`true`), or as much as usual.
    fn economise(&mut self, _on: bool) {}
}

/// Turns payloads into samples; has a state.
pub trait Decoder: Send + fmt::Debug {
    /// Decodes one payload; returns the samples written, 0 for what cannot be read.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize;

    /// Makes up a lost packet of `out.len()` samples; `next` is the payload after it, if it is there already.
    /// False where the codec has no concealment of its own.
    fn conceal(&mut self, _out: &mut [i16], _next: Option<&[u8]>) -> bool {
        false
    }
}

/// The coders of one leg; `None` in both for a codec without state.
#[derive(Debug, Default)]
pub struct Coder {
    /// What is sent.
    pub encoder: Option<Box<dyn Encoder>>,
    /// What is received.
    pub decoder: Option<Box<dyn Decoder>>,
}

/// One codec at one sample rate, mono.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    name: &'static str,
    module: &'static str,
    rate: u32,
    clock: u32,
    /// Channels of the rtpmap.
    channels: u8,
    static_pt: Option<u8>,
    bit_rate: u32,
    coding: Coding,
}

/// Every codec the engine speaks or passes on. Of several with one name and clock the first is the usual one.
static CODECS: [Codec; 21] = [
    Codec::PCMU,
    Codec::PCMA,
    Codec::L16_8K,
    l16::at(16_000),
    l16::at(24_000),
    l16::at(32_000),
    l16::at(48_000),
    l16::at(12_000),
    l16::at(44_100),
    Codec::G722,
    Codec::GSM,
    Codec::OPUS,
    opus::at(16_000),
    opus::at(8000),
    opus::at(24_000),
    opus::at(12_000),
    passed::G729,
    passed::G723,
    passed::AMR,
    passed::AMR_WB,
    passed::G7221,
];

impl Codec {
    /// G.711 mu-law.
    pub const PCMU: Self = g711::codec("PCMU", 0, Coding::Ulaw);
    /// G.711 A-law.
    pub const PCMA: Self = g711::codec("PCMA", 8, Coding::Alaw);
    /// Linear at 8 kHz.
    pub const L16_8K: Self = l16::at(8000);
    /// G.722: samples at 16 kHz under an RTP clock of 8 kHz (RFC 3551 §4.5.2).
    pub const G722: Self = g722::CODEC;
    /// GSM 06.10.
    pub const GSM: Self = gsm::CODEC;
    /// Opus at 48 kHz.
    pub const OPUS: Self = opus::at(opus::CLOCK);

    /// Every codec the engine speaks or passes on.
    pub fn all() -> &'static [Self] {
        &CODECS
    }

    /// The codec with this rtpmap name (case ignored) and RTP clock rate.
    pub fn by_name(name: &str, clock: u32) -> Option<Self> {
        CODECS.iter().copied().find(|c| c.name.eq_ignore_ascii_case(name) && c.clock == clock)
    }

    /// The codec of a codec string's entry: `rate` is its RTP clock or, where the two differ, its sample rate
    /// (`OPUS@16000h`, `G722@16000h`).
    pub fn by_pref(name: &str, rate: u32) -> Option<Self> {
        let named = |c: &&Self| c.name.eq_ignore_ascii_case(name);
        let exact = CODECS.iter().filter(named).find(|c| c.rate == rate);
        exact.copied().or_else(|| Self::by_name(name, rate))
    }

    /// The codec RFC 3551 gives this static payload type.
    pub fn by_static_pt(pt: u8) -> Option<Self> {
        CODECS.iter().copied().find(|c| c.static_pt == Some(pt))
    }

    /// Name as in rtpmap.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The reference's module that brings it.
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// RTP timestamp units per second.
    pub fn clock(&self) -> u32 {
        self.clock
    }

    /// Channels the rtpmap names: 2 for Opus (RFC 7587 §4.1), whose packets say themselves what they hold.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Static payload type, if it has one.
    pub fn static_pt(&self) -> Option<u8> {
        self.static_pt
    }

    /// Bits per second on the wire, without headers; 0 where that varies.
    pub fn bit_rate(&self) -> u32 {
        self.bit_rate
    }

    /// How payloads are coded.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether packets can only be passed on: nothing can be played, recorded or mixed.
    pub fn is_passed_only(&self) -> bool {
        matches!(self.coding, Coding::Passed(_))
    }

    /// Whether a packet depends on those before it.
    pub fn has_state(&self) -> bool {
        matches!(self.coding, Coding::G722 | Coding::Gsm | Coding::Opus)
    }

    /// The packet time nearest to `ptime` milliseconds that the codec can have, 10 to 120; 60 where longer packets
    /// would not fit a datagram.
    pub fn packet_time(&self, ptime: u32) -> u32 {
        let ptime = ptime.clamp(10, if self.rate <= 16_000 { 120 } else { 60 });
        match self.coding {
            Coding::Gsm => ptime.div_ceil(20) * 20,
            Coding::Opus if !matches!(ptime, 10 | 20 | 40 | 60) => 20,
            _ => ptime,
        }
    }

    /// Samples in `ptime` milliseconds.
    pub fn frame_samples(&self, ptime: u32) -> usize {
        (u64::from(self.rate) * u64::from(ptime) / 1000) as usize
    }

    /// RTP timestamp units in that many samples.
    pub fn ticks(&self, samples: usize) -> usize {
        if self.rate == self.clock {
            return samples;
        }
        (samples as u64 * u64::from(self.clock) / u64::from(self.rate)) as usize
    }

    /// Samples in that many RTP timestamp units.
    pub fn samples(&self, ticks: usize) -> usize {
        (ticks as u64 * u64::from(self.rate) / u64::from(self.clock.max(1))) as usize
    }

    /// Samples a payload stands for.
    pub fn samples_in(&self, payload: &[u8]) -> usize {
        match self.coding {
            Coding::Ulaw | Coding::Alaw => payload.len(),
            Coding::Linear => payload.len() / 2,
            Coding::G722 => payload.len() * 2,
            Coding::Gsm => gsm::samples_in(payload),
            Coding::Opus => opus::samples_in(payload, self.rate),
            Coding::Passed(framing) => framing.samples_in(payload),
        }
    }

    /// Octets of the largest payload of `ptime` milliseconds.
    pub fn largest_payload(&self, ptime: u32) -> usize {
        let samples = self.frame_samples(ptime);
        match self.coding {
            Coding::Ulaw | Coding::Alaw => samples,
            Coding::Linear => samples * 2,
            Coding::G722 => samples / 2,
            Coding::Gsm => gsm::payload(samples),
            Coding::Opus => opus::LARGEST,
            Coding::Passed(_) => 512,
        }
    }

    /// Coders for a leg. `fmtp` is what the peer said of the format: how it wants to be sent to.
    pub fn coder(&self, fmtp: Option<&str>) -> Coder {
        match self.coding {
            Coding::G722 => g722::coder(),
            Coding::Gsm => gsm::coder(),
            Coding::Opus => opus::coder(self.rate, fmtp),
            Coding::Ulaw | Coding::Alaw | Coding::Linear | Coding::Passed(_) => Coder::default(),
        }
    }

    /// Decodes `payload` of a codec without state into `out`; returns the samples written. What does not fit is
    /// left out.
    #[inline]
    pub fn decode(&self, payload: &[u8], out: &mut [i16]) -> usize {
        match self.coding {
            Coding::Ulaw => convert(payload, out, g711::ulaw_to_linear),
            Coding::Alaw => convert(payload, out, g711::alaw_to_linear),
            Coding::Linear => l16::decode(payload, out),
            Coding::G722 | Coding::Gsm | Coding::Opus | Coding::Passed(_) => 0,
        }
    }

    /// Encodes `samples` in a codec without state into `out`; returns the octets written. What does not fit is
    /// left out.
    #[inline]
    pub fn encode(&self, samples: &[i16], out: &mut [u8]) -> usize {
        match self.coding {
            Coding::Ulaw => convert(samples, out, g711::linear_to_ulaw),
            Coding::Alaw => convert(samples, out, g711::linear_to_alaw),
            Coding::Linear => l16::encode(samples, out),
            Coding::G722 | Coding::Gsm | Coding::Opus | Coding::Passed(_) => 0,
        }
    }
}

fn convert<A: Copy, B>(from: &[A], to: &mut [B], f: impl Fn(A) -> B) -> usize {
    let n = from.len().min(to.len());
    for (t, s) in to.iter_mut().zip(from) {
        *t = f(*s);
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, ms: u32) -> Vec<i16> {
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        (0..rate * ms / 1000).map(|i| ((f64::from(i) * step).sin() * 8000.0) as i16).collect()
    }

    /// The share of the power of `pcm` that lies at `hz`.
    fn purity(pcm: &[i16], rate: u32, hz: f64) -> f64 {
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        let (mut re, mut im, mut all) = (0.0, 0.0, 1.0);
        for (n, s) in pcm.iter().enumerate() {
            let (s, phase) = (f64::from(*s), n as f64 * step);
            re += s * phase.cos();
            im += s * phase.sin();
            all += s * s;
        }
        2.0 * (re * re + im * im) / (all * pcm.len() as f64)
    }

    #[test]
    fn a_tone_survives_every_codec_at_its_level() {
        for codec in Codec::all().iter().filter(|c| !c.is_passed_only()) {
            for ptime in [10, 20, 30, 40, 60] {
                let ptime = codec.packet_time(ptime);
                let mut coder = codec.coder(None);
                let (mut payload, mut out) = (vec![0; 8192], vec![0; 8192]);
                let mut heard = Vec::new();
                for frame in
                    sine(codec.rate(), 440.0, 1200).chunks_exact(codec.frame_samples(ptime))
                {
                    let n = match &mut coder.encoder {
                        Some(encoder) => encoder.encode(frame, &mut payload),
                        None => codec.encode(frame, &mut payload),
                    };
                    assert!(n > 0 && n <= codec.largest_payload(ptime), "{codec:?} {ptime}: {n}");
                    assert_eq!(codec.samples_in(&payload[..n]), frame.len(), "{codec:?} {ptime}");
                    let n = match &mut coder.decoder {
                        Some(decoder) => decoder.decode(&payload[..n], &mut out),
                        None => codec.decode(&payload[..n], &mut out),
                    };
                    assert_eq!(n, frame.len(), "{codec:?} {ptime}");
                    heard.extend_from_slice(&out[..n]);
                }
                let heard = &heard[heard.len() / 3..];
                let purity = purity(heard, codec.rate(), 440.0);
                assert!(purity > 0.95, "{codec:?} {ptime} ms: {purity}");
                let level =
                    heard.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / heard.len() as f64;
                assert!((4500.0..6500.0).contains(&level.sqrt()), "{codec:?}: {}", level.sqrt());
            }
        }
    }

    #[test]
    fn whatever_arrives_is_decoded_or_left() {
        let mut random = 7u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as u8
        };
        for codec in Codec::all().iter().filter(|c| !c.is_passed_only()) {
            let mut coder = codec.coder(None);
            let mut out = vec![0; 5760];
            for n in 0..400usize {
                let payload: Vec<u8> = (0..n % 130).map(|_| next()).collect();
                let _ = codec.samples_in(&payload);
                if let Some(decoder) = &mut coder.decoder {
                    assert!(decoder.decode(&payload, &mut out) <= out.len());
                    decoder.conceal(&mut out[..codec.frame_samples(20)], Some(&payload));
                } else {
                    assert!(codec.decode(&payload, &mut out) <= out.len());
                }
            }
        }
    }

    #[test]
    fn names_clocks_and_static_types_find_their_codec() {
        assert_eq!(Codec::by_name("g722", 8000), Some(Codec::G722));
        assert_eq!((Codec::G722.rate(), Codec::G722.clock()), (16_000, 8000));
        assert_eq!(Codec::by_name("opus", 48_000), Some(Codec::OPUS));
        assert_eq!(
            Codec::by_pref("opus", 16_000).map(|c| (c.rate(), c.clock())),
            Some((16_000, 48_000))
        );
        assert_eq!(Codec::by_pref("G722", 16_000), Some(Codec::G722));
        assert_eq!(Codec::by_static_pt(3), Some(Codec::GSM));
        assert_eq!(Codec::by_name("opus", 16_000), None);
        assert_eq!(Codec::by_name("iLBC", 8000), None);
    }
}
