//! Fax over IP (T.38 annex D): the attributes of an `m=image … udptl t38` section.

use crate::{Attribute, MediaLine};

/// What a side can do in a fax session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct T38Options {
    /// `T38FaxVersion`.
    pub version: u16,
    /// `T38MaxBitRate`, bit/s.
    pub max_bit_rate: u32,
    /// `T38FaxFillBitRemoval`.
    pub fill_bit_removal: bool,
    /// `T38FaxTranscodingMMR`.
    pub transcoding_mmr: bool,
    /// `T38FaxTranscodingJBIG`.
    pub transcoding_jbig: bool,
    /// `T38FaxRateManagement`: `transferredTCF` or `localTCF`.
    pub rate_management: String,
    /// `T38FaxMaxBuffer`, octets; 0 = not said.
    pub max_buffer: u32,
    /// `T38FaxMaxDatagram`, octets; 0 = not said.
    pub max_datagram: u32,
    /// `T38FaxUdpEC`: error correction.
    pub error_correction: String,
}

impl Default for T38Options {
    /// What the reference supposes of a side that does not say.
    fn default() -> Self {
        Self {
            version: 0,
            max_bit_rate: 14_400,
            fill_bit_removal: false,
            transcoding_mmr: false,
            transcoding_jbig: false,
            rate_management: "transferredTCF".into(),
            max_buffer: 500,
            max_datagram: 500,
            error_correction: "t38UDPRedundancy".into(),
        }
    }
}

impl T38Options {
    /// Whether this is a fax section that is in use.
    pub fn is_fax(media: &MediaLine) -> bool {
        media.kind == "image" && media.port != 0 && media.proto.eq_ignore_ascii_case("udptl")
    }

    /// What a section says; a flag without value is on (T.38 D.2.3.1), one with a number is what the number says.
    pub fn of(media: &MediaLine) -> Self {
        let text = |name: &str| media.attribute(name).map(str::trim).filter(|t| !t.is_empty());
        let number = |name: &str| text(name).and_then(|t| t.parse::<u32>().ok());
        let flag =
            |name: &str| media.attribute(name).is_some_and(|t| t.trim().parse::<u32>() != Ok(0));
        let usual = Self::default();
        Self {
            version: number("T38FaxVersion").and_then(|n| n.try_into().ok()).unwrap_or_default(),
            max_bit_rate: number("T38MaxBitRate").unwrap_or(usual.max_bit_rate),
            fill_bit_removal: flag("T38FaxFillBitRemoval"),
            transcoding_mmr: flag("T38FaxTranscodingMMR"),
            transcoding_jbig: flag("T38FaxTranscodingJBIG"),
            rate_management: text("T38FaxRateManagement")
                .map_or(usual.rate_management, str::to_owned),
            max_buffer: number("T38FaxMaxBuffer").unwrap_or(usual.max_buffer),
            max_datagram: number("T38FaxMaxDatagram").unwrap_or(usual.max_datagram),
            error_correction: text("T38FaxUdpEC").map_or(usual.error_correction, str::to_owned),
        }
    }

    /// Whether a section writes flags with numbers, as many devices do though T.38 has them without.
    pub fn writes_numbers(media: &MediaLine) -> bool {
        ["T38FaxFillBitRemoval", "T38FaxTranscodingMMR", "T38FaxTranscodingJBIG"]
            .iter()
            .any(|name| media.attribute(name).is_some_and(|value| !value.is_empty()))
    }

    /// A section of our own at `port`. With `numbers` flags are written as `name:0` and `name:1`, otherwise those that
    /// are off are left out.
    pub fn section(&self, port: u16, numbers: bool) -> MediaLine {
        let mut media = MediaLine::new("image", port, "udptl", vec!["t38".into()]);
        let lines = &mut media.attributes;
        lines.push(Attribute::new("T38FaxVersion", self.version.to_string()));
        lines.push(Attribute::new("T38MaxBitRate", self.max_bit_rate.to_string()));
        for (name, on) in [
            ("T38FaxFillBitRemoval", self.fill_bit_removal),
            ("T38FaxTranscodingMMR", self.transcoding_mmr),
            ("T38FaxTranscodingJBIG", self.transcoding_jbig),
        ] {
            match (numbers, on) {
                (true, on) => lines.push(Attribute::new(name, u8::from(on).to_string())),
                (false, true) => lines.push(Attribute::flag(name)),
                (false, false) => {}
            }
        }
        lines.push(Attribute::new("T38FaxRateManagement", &*self.rate_management));
        for (name, size) in
            [("T38FaxMaxBuffer", self.max_buffer), ("T38FaxMaxDatagram", self.max_datagram)]
        {
            if size > 0 {
                lines.push(Attribute::new(name, size.to_string()));
            }
        }
        lines.push(Attribute::new("T38FaxUdpEC", &*self.error_correction));
        media
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionDescription;

    const RECORDED: &str = "m=image 15120 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
        a=T38FaxFillBitRemoval:0\r\na=T38FaxTranscodingMMR:0\r\na=T38FaxTranscodingJBIG:0\r\n\
        a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:2000\r\na=T38FaxMaxDatagram:400\r\n\
        a=T38FaxUdpEC:t38UDPRedundancy\r\n";

    #[test]
    fn a_recorded_section_is_written_again_with_and_without_numbers() {
        let read = SessionDescription::parse(&format!("v=0\r\n{RECORDED}")).unwrap();
        let media = &read.media[0];
        assert!(T38Options::is_fax(media) && T38Options::writes_numbers(media));
        let options = T38Options::of(media);
        assert_eq!(options.section(15_120, true).to_string(), RECORDED);
        let plain = options.section(15_120, false);
        assert!(!plain.to_string().contains("FillBit"));
        assert_eq!(T38Options::of(&plain), options);
    }

    #[test]
    fn flags_are_on_without_a_number() {
        let text =
            "v=0\r\nm=image 1 UDPTL t38\r\na=T38FaxFillBitRemoval\r\na=T38FaxTranscodingMMR:1\r\n";
        let read = SessionDescription::parse(text).unwrap();
        let options = T38Options::of(&read.media[0]);
        assert!(options.fill_bit_removal && options.transcoding_mmr && !options.transcoding_jbig);
        assert_eq!(options.max_buffer, 500);
    }
}
