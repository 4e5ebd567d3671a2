//! Codecs by table: name, clock, static payload type, and sample conversion.

pub mod g711;

/// How a codec's payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// G.711 mu-law, one octet per sample.
    Ulaw,
    /// G.711 A-law, one octet per sample.
    Alaw,
    /// Linear, two octets per sample, most significant first (RFC 3551 L16).
    Linear,
}

/// One codec at one clock rate, mono.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    name: &'static str,
    rate: u32,
    static_pt: Option<u8>,
    coding: Coding,
}

/// Every codec the engine speaks, in no order of preference.
static CODECS: [Codec; 7] = [
    Codec::PCMU,
    Codec::PCMA,
    Codec::L16_8K,
    Codec { name: "L16", rate: 16_000, static_pt: None, coding: Coding::Linear },
    Codec { name: "L16", rate: 24_000, static_pt: None, coding: Coding::Linear },
    Codec { name: "L16", rate: 32_000, static_pt: None, coding: Coding::Linear },
    Codec { name: "L16", rate: 48_000, static_pt: None, coding: Coding::Linear },
];

impl Codec {
    /// G.711 mu-law.
    pub const PCMU: Self =
        Self { name: "PCMU", rate: 8000, static_pt: Some(0), coding: Coding::Ulaw };
    /// G.711 A-law.
    pub const PCMA: Self =
        Self { name: "PCMA", rate: 8000, static_pt: Some(8), coding: Coding::Alaw };
    /// Linear at 8 kHz.
    pub const L16_8K: Self =
        Self { name: "L16", rate: 8000, static_pt: None, coding: Coding::Linear };

    /// Every codec the engine speaks.
    pub fn all() -> &'static [Self] {
        &CODECS
    }

    /// The codec with this rtpmap name (case ignored) and clock rate.
    pub fn by_name(name: &str, rate: u32) -> Option<Self> {
        CODECS.iter().copied().find(|c| c.name.eq_ignore_ascii_case(name) && c.rate == rate)
    }

    /// The codec RFC 3551 gives this static payload type.
    pub fn by_static_pt(pt: u8) -> Option<Self> {
        CODECS.iter().copied().find(|c| c.static_pt == Some(pt))
    }

    /// Name as in rtpmap.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Samples per second; also the RTP clock of these codecs.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Static payload type, if it has one.
    pub fn static_pt(&self) -> Option<u8> {
        self.static_pt
    }

    /// Bits per second on the wire, without headers.
    pub fn bit_rate(&self) -> u32 {
        self.rate * 8 * self.octets_per_sample() as u32
    }

    /// How payloads are coded.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Samples in `ptime` milliseconds.
    pub fn frame_samples(&self, ptime: u32) -> usize {
        (self.rate / 1000 * ptime) as usize
    }

    /// Octets one sample takes on the wire.
    pub fn octets_per_sample(&self) -> usize {
        match self.coding {
            Coding::Ulaw | Coding::Alaw => 1,
            Coding::Linear => 2,
        }
    }

    /// Decodes `payload` into `out`; returns the samples written. What does not fit is left out.
    pub fn decode(&self, payload: &[u8], out: &mut [i16]) -> usize {
        match self.coding {
            Coding::Ulaw => convert(payload, out, g711::ulaw_to_linear),
            Coding::Alaw => convert(payload, out, g711::alaw_to_linear),
            Coding::Linear => {
                let pairs = payload.chunks_exact(2);
                let n = pairs.len().min(out.len());
                for (o, pair) in out.iter_mut().zip(pairs) {
                    *o = i16::from_be_bytes([pair[0], pair[1]]);
                }
                n
            }
        }
    }

    /// Encodes `samples` into `out`; returns the octets written. What does not fit is left out.
    pub fn encode(&self, samples: &[i16], out: &mut [u8]) -> usize {
        match self.coding {
            Coding::Ulaw => convert(samples, out, g711::linear_to_ulaw),
            Coding::Alaw => convert(samples, out, g711::linear_to_alaw),
            Coding::Linear => {
                let n = (out.len() / 2).min(samples.len());
                for (pair, s) in out.chunks_exact_mut(2).zip(samples) {
                    pair.copy_from_slice(&s.to_be_bytes());
                }
                n * 2
            }
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
