//! Codec preference lists, `PCMU@8000h@20i,PCMA`.

use std::fmt;

/// One entry of a codec list: `NAME[~FMTP][@RATEh][@PTIMEi][@BITRATEb][@Nc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecPref {
    /// IANA name as written.
    pub name: String,
    /// Clock rate, Hz; the codec's own when `None`.
    pub rate: Option<u32>,
    /// Packet time, ms; 20 when `None`.
    pub ptime: Option<u32>,
    /// Bit rate, bit/s.
    pub bitrate: Option<u32>,
    /// Channels.
    pub channels: Option<u8>,
    /// What follows `~`: the `fmtp` to offer it with.
    pub fmtp: Option<String>,
}

impl CodecPref {
    /// A codec with nothing else said.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rate: None,
            ptime: None,
            bitrate: None,
            channels: None,
            fmtp: None,
        }
    }

    /// Reads one entry; parts that mean nothing are skipped, as the reference does. `None` when there
    /// is no name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('@');
        let name = parts.next().map(str::trim).filter(|n| !n.is_empty())?;
        let (name, fmtp) = match name.split_once('~') {
            Some((name, fmtp)) => (name, Some(fmtp.to_owned())),
            None => (name, None),
        };
        // `module.CODEC` names a codec of one module; the module is of no concern here.
        let name = name.rsplit('.').next().filter(|n| !n.is_empty())?;
        let mut out = Self { fmtp, ..Self::named(name) };
        for part in parts {
            let Some((last, letter)) = part.char_indices().last() else { continue };
            let number = part.get(..last).and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0);
            match (letter, number) {
                ('h' | 'k', Some(rate)) => out.rate = Some(rate),
                ('i', Some(ptime)) => out.ptime = Some(ptime),
                ('b', Some(bitrate)) => out.bitrate = Some(bitrate),
                ('c', Some(channels)) => out.channels = u8::try_from(channels).ok(),
                _ => {}
            }
        }
        Some(out)
    }

    /// RTP clock rate: the one given, else 8000 Hz. Opus has one clock whatever is sampled (RFC 7587 §4.1), G.722
    /// one that is not its sample rate (RFC 3551 §4.5.2).
    pub fn clock_rate(&self) -> u32 {
        match self.name.to_ascii_lowercase().as_str() {
            "opus" => 48_000,
            "g722" => 8000,
            "amr-wb" | "g7221" => self.rate.unwrap_or(16_000),
            _ => self.rate.unwrap_or(8000),
        }
    }

    /// Whether it is Opus, whose rtpmap names two channels whatever is sent.
    pub(crate) fn is_opus(&self) -> bool {
        self.name.eq_ignore_ascii_case("opus")
    }

    /// Packet time, ms.
    pub fn packet_time(&self) -> u32 {
        self.ptime.unwrap_or(20)
    }
}

impl fmt::Display for CodecPref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (number, letter) in [(self.rate, 'h'), (self.ptime, 'i'), (self.bitrate, 'b')] {
            if let Some(number) = number {
                write!(f, "@{number}{letter}")?;
            }
        }
        match self.channels {
            Some(channels) if channels > 1 => write!(f, "@{channels}c"),
            _ => Ok(()),
        }
    }
}

/// A codec as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecInfo {
    /// IANA name.
    pub name: String,
    /// Samples per second.
    pub rate: u32,
    /// Bits per second; 0 when it varies.
    pub bit_rate: u32,
    /// Milliseconds per packet.
    pub ptime: u32,
}

impl CodecInfo {
    /// Linear audio of the same rate and packet time.
    #[must_use]
    pub fn linear(&self) -> Self {
        Self {
            name: "L16".to_owned(),
            rate: self.rate,
            bit_rate: self.rate * 16,
            ptime: self.ptime,
        }
    }

    /// As an entry of a codec string.
    #[must_use]
    pub fn as_listed(&self) -> String {
        // Of codecs whose RTP clock is not their sample rate, lists name the clock; Opus has one at every rate.
        let clock = media::Codec::by_pref(&self.name, self.rate)
            .filter(|codec| codec.channels() == 1)
            .map_or(self.rate, |codec| codec.clock());
        format!("{}@{clock}h@{}i", self.name, self.ptime)
    }
}

/// Reads a comma list. A codec appears once per name, rate and packet time.
pub fn parse_codec_list(text: &str) -> Vec<CodecPref> {
    let mut out: Vec<CodecPref> = Vec::new();
    for pref in text.split([',', ':']).filter_map(CodecPref::parse) {
        if !out.contains(&pref) {
            out.push(pref);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_reference_reads_them() {
        let list = parse_codec_list("PCMU@8000h@20i, opus@48000h@20i@2c,PCMA,G729@nonsense,PCMA,");
        let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["PCMU@8000h@20i", "opus@48000h@20i@2c", "PCMA", "G729"]);
        assert_eq!(
            list.iter().map(CodecPref::clock_rate).collect::<Vec<_>>(),
            [8000, 48000, 8000, 8000]
        );
    }
}
