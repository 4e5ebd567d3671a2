//! Opus (RFC 6716, RTP payload RFC 7587), by the crate `rusty-opus`: no C, nothing allocated per packet.
//!
//! The RTP clock is 48 kHz whatever is sampled. Packets of any bandwidth and both channel counts are decoded, to
//! mono. What the peer wants to be sent is in its `fmtp` ([`Fmtp`]).

mod quiet;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusty_opus::{Application, Bandwidth, OpusDecoder, OpusEncoder, SignalType};

use self::quiet::{Quiet, Verdict};
use super::{Codec, Coder, Coding, Decoder, Encoder};

pub(super) const CLOCK: u32 = 48_000;
/// Octets of the largest packet sent or kept: one frame of the largest size (RFC 6716 §3.2.1) with its header.
pub(super) const LARGEST: usize = 1276;
/// Samples of the longest packet, 120 ms at 48 kHz.
const LONGEST: usize = 5760;
/// Bits per second where the peer names no limit: the reference's default for a mono call.
const BIT_RATE: u32 = 30_000;
/// The bounds of RFC 7587 §6.1.
const LEAST_BITS: u32 = 6000;
const MOST_BITS: u32 = 510_000;
/// Effort per packet, of 10: beyond it voice costs half as much again and sounds the same.
const COMPLEXITY: i32 = 5;
/// Effort while the worker is short of time.
const LEAST_COMPLEXITY: i32 = 0;
/// Effort from which the encoder's own analysis runs, and with it its judgement of silence.
const ANALYSED: i32 = 7;
/// Octets of a packet that says nothing but that there is nothing to say.
const NOTHING: usize = 2;
/// Loss assumed where the peer asks for forward error correction, percent.
const ASSUMED_LOSS: i32 = 10;

/// Opus sampled at one of its rates.
pub(super) const fn at(rate: u32) -> Codec {
    Codec {
        name: "opus",
        module: "mod_opus",
        rate,
        clock: CLOCK,
        channels: 2,
        static_pt: None,
        bit_rate: 0,
        coding: Coding::Opus,
    }
}

/// What a peer asks for in `a=fmtp` (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fmtp {
    /// `useinbandfec`.
    pub fec: bool,
    /// `usedtx`.
    pub dtx: bool,
    /// `cbr`.
    pub cbr: bool,
    /// `maxaveragebitrate`, bits per second.
    pub bit_rate: Option<u32>,
    /// `maxplaybackrate`, Hz.
    pub playback_rate: Option<u32>,
    /// How it is coded as far as the peer leaves that to us.
    pub own: Own,
}

/// What is ours to choose. It is written in the same text as the peer's wishes, under names no peer is let write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    /// Bits per second aimed at; 30000 when not said.
    pub bit_rate: Option<u32>,
    /// Effort, 0 to 10.
    pub complexity: Option<u8>,
    /// Loss that forward error correction is made for, percent.
    pub loss: Option<u8>,
}

impl Fmtp {
    /// Reads what a peer wrote; what it does not know is skipped, and what is ours to choose is not read.
    pub fn of_peer(text: &str) -> Self {
        Self { own: Own::default(), ..Self::parse(text) }
    }

    /// Reads an `fmtp` value or what its `Display` made; what it does not know is skipped.
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for part in text.split([';', ' ']) {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim();
            let number = value.parse::<u32>().ok();
            match name.trim().to_ascii_lowercase().as_str() {
                "useinbandfec" => out.fec = value == "1",
                "usedtx" => out.dtx = value == "1",
                "cbr" => out.cbr = value == "1",
                "maxaveragebitrate" => out.bit_rate = number.filter(|n| *n <= 510_000),
                "maxplaybackrate" => out.playback_rate = number,
                "x-bitrate" => out.own.bit_rate = number,
                "x-complexity" => out.own.complexity = value.parse().ok(),
                "x-loss" => out.own.loss = value.parse().ok(),
                _ => {}
            }
        }
        out
    }

    /// The bandwidth for sound sampled at `rate`, as far as the peer wants it.
    fn bandwidth(playback_rate: Option<u32>, rate: u32) -> Bandwidth {
        match playback_rate.unwrap_or(rate).min(rate) {
            ..=8000 => Bandwidth::Narrowband,
            8001..=12_000 => Bandwidth::Mediumband,
            12_001..=16_000 => Bandwidth::Wideband,
            16_001..=24_000 => Bandwidth::Superwideband,
            _ => Bandwidth::Fullband,
        }
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |on: bool| u8::from(on);
        write!(
            f,
            "useinbandfec={}; usedtx={}; cbr={}",
            flag(self.fec),
            flag(self.dtx),
            flag(self.cbr)
        )?;
        for (name, value) in [
            ("maxaveragebitrate", self.bit_rate),
            ("maxplaybackrate", self.playback_rate),
            ("x-bitrate", self.own.bit_rate),
            ("x-complexity", self.own.complexity.map(u32::from)),
            ("x-loss", self.own.loss.map(u32::from)),
        ] {
            if let Some(value) = value {
                write!(f, "; {name}={value}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn coder(rate: u32, fmtp: Option<&str>) -> Coder {
    let fmtp = fmtp.map(Fmtp::parse).unwrap_or_default();
    Coder {
        encoder: Encoding::new(rate, fmtp).map(|e| Box::new(e) as Box<dyn Encoder>),
        decoder: Decoding::new(rate).map(|d| Box::new(d) as Box<dyn Decoder>),
    }
}

/// Samples a packet stands for, by its first octets (RFC 6716 §3.1, §3.2.5); 0 for what is no packet.
pub(super) fn samples_in(packet: &[u8], rate: u32) -> usize {
    let Some(&toc) = packet.first() else { return 0 };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(packet.get(1).copied().unwrap_or(0) & 0x3f),
    };
    let config = toc >> 3;
    // In units of 2.5 ms.
    let quarters: usize = match config {
        0..12 => [4, 8, 16, 24][usize::from(config & 3)],
        12..16 => [4, 8][usize::from(config & 1)],
        _ => [1, 2, 4, 8][usize::from(config & 3)],
    };
    let samples = frames * quarters * rate as usize / 400;
    if samples * 25 > rate as usize * 3 { 0 } else { samples }
}

struct Encoding {
    inner: Box<OpusEncoder>,
    /// Effort while there is time.
    complexity: i32,
    rate: u32,
    /// Highest rate the peer wants.
    playback_rate: Option<u32>,
    /// The rate of the sound before it was converted to ours.
    sampled_at: u32,
    /// Silence counted, where the peer wants little of it.
    quiet: Option<Quiet>,
    input: Box<[f32]>,
}

impl Encoding {
    fn new(rate: u32, fmtp: Fmtp) -> Option<Self> {
        let mut inner = Box::new(OpusEncoder::new(rate as i32, 1, Application::Voip).ok()?);
        let wanted = fmtp.own.bit_rate.unwrap_or(BIT_RATE);
        let most = fmtp.bit_rate.unwrap_or(MOST_BITS);
        inner.bitrate_bps = wanted.min(most).clamp(LEAST_BITS, MOST_BITS) as i32;
        let complexity = fmtp.own.complexity.map_or(COMPLEXITY, |effort| i32::from(effort.min(10)));
        inner.complexity = complexity;
        inner.use_inband_fec = fmtp.fec;
        let loss = fmtp.own.loss.map_or(ASSUMED_LOSS, |loss| i32::from(loss.min(100)));
        inner.packet_loss_perc = if fmtp.fec { loss } else { 0 };
        inner.use_dtx = fmtp.dtx && complexity >= ANALYSED;
        inner.use_cbr = fmtp.cbr;
        inner.max_bandwidth = Fmtp::bandwidth(fmtp.playback_rate, CLOCK);
        inner.signal_type = Some(SignalType::Voice);
        inner.lsb_depth = 16;
        let quiet = fmtp.dtx.then(Quiet::new);
        let playback_rate = fmtp.playback_rate;
        Some(Self {
            inner,
            complexity,
            rate,
            playback_rate,
            sampled_at: CLOCK,
            quiet,
            input: vec![0.0; LONGEST].into(),
        })
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opus({} bit/s)", self.inner.bitrate_bps)
    }
}

impl Encoder for Encoding {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let Some(input) = self.input.get_mut(..pcm.len()) else { return 0 };
        let ms = (pcm.len() as u64 * 1000 / u64::from(self.rate.max(1))) as u32;
        let analysed = self.inner.complexity >= ANALYSED;
        if let Some(quiet) = self.quiet.as_mut().filter(|_| !analysed)
            && quiet.hear(pcm, ms) == Verdict::Leave
        {
            return 0;
        }
        for (to, from) in input.iter_mut().zip(pcm) {
            *to = f32::from(*from) / 32_768.0;
        }
        let most = out.len().min(LARGEST);
        let octets = self.inner.encode(input, pcm.len(), &mut out[..most]).unwrap_or(0);
        // What the encoder leaves out, it tells by the least of packets: that one is not sent either.
        if octets <= NOTHING && self.quiet.is_some() { 0 } else { octets }
    }

    fn sampled_at(&mut self, rate: u32) {
        if rate != self.sampled_at {
            self.sampled_at = rate;
            self.inner.max_bandwidth = Fmtp::bandwidth(self.playback_rate, rate);
        }
    }

    fn is_pausing(&self) -> bool {
        self.quiet.as_ref().is_some_and(Quiet::lasts)
    }

    fn economise(&mut self, on: bool) {
        self.inner.complexity = if on { LEAST_COMPLEXITY } else { self.complexity };
        self.inner.use_dtx = self.quiet.is_some() && self.inner.complexity >= ANALYSED;
    }
}

struct Decoding {
    inner: Box<OpusDecoder>,
    rate: u32,
    output: Box<[f32]>,
}

impl Decoding {
    fn new(rate: u32) -> Option<Self> {
        let inner = Box::new(OpusDecoder::new(rate as i32, 1).ok()?);
        Some(Self { inner, rate, output: vec![0.0; LONGEST].into() })
    }

    /// Runs the decoder for `samples` and hands out what it made. A defect of it that a crafted packet finds
    /// costs that packet, not the calls of the whole worker.
    fn run(
        &mut self,
        samples: usize,
        out: &mut [i16],
        work: impl FnOnce(&mut OpusDecoder, usize, &mut [f32]) -> Result<usize, rusty_opus::Error>,
    ) -> usize {
        let Self { inner, output, .. } = self;
        let Some(output) = output.get_mut(..samples) else { return 0 };
        let made = catch_unwind(AssertUnwindSafe(|| work(inner, samples, output)));
        let n = made.ok().and_then(Result::ok).unwrap_or(0).min(samples).min(out.len());
        for (to, from) in out.iter_mut().zip(output.iter().take(n)) {
            *to = crate::resample::to_i16(*from * 32_768.0);
        }
        n
    }
}

impl fmt::Debug for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opus({} Hz)", self.rate)
    }
}

impl Decoder for Decoding {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let samples = samples_in(payload, self.rate);
        if samples == 0 || samples > out.len() {
            return 0;
        }
        self.run(samples, out, |inner, samples, output| inner.decode(payload, samples, output))
    }

    fn conceal(&mut self, out: &mut [i16], next: Option<&[u8]>) -> bool {
        let samples = out.len();
        let same_length = |next: &&[u8]| samples_in(next, self.rate) == samples;
        let made = match next.filter(same_length) {
            Some(next) => self.run(samples, out, |inner, samples, output| {
                inner.decode_fec(next, samples, output)
            }),
            None => {
                self.run(samples, out, |inner, samples, output| inner.decode(&[], samples, output))
            }
        };
        made == samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_wishes_are_read() {
        let fmtp = Fmtp::parse(
            "useinbandfec=1; usedtx=1;maxaveragebitrate=20000 ; maxplaybackrate=16000;x",
        );
        assert_eq!(
            fmtp,
            Fmtp {
                fec: true,
                dtx: true,
                cbr: false,
                bit_rate: Some(20_000),
                playback_rate: Some(16_000),
                own: Own::default(),
            }
        );
        assert_eq!(Fmtp::bandwidth(fmtp.playback_rate, 48_000), Bandwidth::Wideband);
        assert_eq!(Fmtp::bandwidth(fmtp.playback_rate, 8000), Bandwidth::Narrowband);
        assert_eq!(Fmtp::bandwidth(None, 48_000), Bandwidth::Fullband);
        let own = Own { bit_rate: Some(64_000), complexity: Some(9), loss: Some(20) };
        let ours = Fmtp { own, ..fmtp };
        assert_eq!(Fmtp::parse(&ours.to_string()), ours);
        assert_eq!(Fmtp::of_peer(&ours.to_string()), fmtp, "a peer chooses nothing that is ours");
    }

    #[test]
    fn the_bit_rate_is_ours_up_to_the_peers_limit() {
        let rate = |text: &str| Encoding::new(48_000, Fmtp::parse(text)).unwrap().inner.bitrate_bps;
        assert_eq!(rate(""), 30_000);
        assert_eq!(rate("maxaveragebitrate=64000"), 30_000);
        assert_eq!(rate("maxaveragebitrate=64000;x-bitrate=80000"), 64_000);
        assert_eq!(rate("maxaveragebitrate=1;x-bitrate=80000"), 6000);
    }

    #[test]
    fn effort_steps_down_while_time_is_short_and_back() {
        for (wanted, usual) in [("", 5), ("x-complexity=9; usedtx=1", 9)] {
            let mut coder = Encoding::new(48_000, Fmtp::parse(wanted)).unwrap();
            assert_eq!((coder.inner.complexity, coder.inner.use_dtx), (usual, usual >= ANALYSED));
            coder.economise(true);
            assert_eq!((coder.inner.complexity, coder.inner.use_dtx), (0, false));
            let (pcm, mut out) = (vec![900; 960], vec![0; LARGEST]);
            assert!(coder.encode(&pcm, &mut out) > NOTHING, "what is said is sent all the same");
            coder.economise(false);
            assert_eq!((coder.inner.complexity, coder.inner.use_dtx), (usual, usual >= ANALYSED));
        }
    }

    #[test]
    fn the_first_octets_tell_the_time() {
        assert_eq!(samples_in(&[0x78], 48_000), 960, "hybrid, one frame of 20 ms");
        assert_eq!(samples_in(&[0x08], 16_000), 320, "narrow band, 20 ms");
        assert_eq!(samples_in(&[0x0b, 3], 48_000), 2880, "three frames");
        assert_eq!(samples_in(&[0x0b, 63], 48_000), 0, "longer than a packet may be");
        assert_eq!(samples_in(&[], 48_000), 0);
    }

    #[test]
    fn a_lost_packet_is_recovered_from_the_next_one() {
        let mut coder = coder(48_000, Some("useinbandfec=1"));
        let (encoder, decoder) = (coder.encoder.as_mut().unwrap(), coder.decoder.as_mut().unwrap());
        let tau = std::f64::consts::TAU;
        let wave = |n: usize| {
            let t = n as f64 / 48_000.0;
            ((t * 130.0 * tau).sin() + 0.5 * (t * 260.0 * tau).sin()) * 6000.0
        };
        let packets: Vec<Vec<u8>> = (0..50)
            .map(|frame| {
                let pcm: Vec<i16> = (0..960).map(|n| wave(frame * 960 + n) as i16).collect();
                let mut out = vec![0; LARGEST];
                let n = encoder.encode(&pcm, &mut out);
                out.truncate(n);
                out
            })
            .collect();
        let mut out = vec![0; 960];
        for packet in &packets[..30] {
            decoder.decode(packet, &mut out);
        }
        assert!(decoder.conceal(&mut out, Some(&packets[31])));
        let level = out.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 960.0;
        assert!(level.sqrt() > 2000.0, "level {}", level.sqrt());
        assert!(decoder.conceal(&mut out, None));
        assert_eq!(decoder.decode(&packets[33], &mut out), 960);
    }
}
