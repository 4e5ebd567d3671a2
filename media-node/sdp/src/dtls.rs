//! DTLS in descriptions: `a=fingerprint` (RFC 8122) and `a=setup` (RFC 4145, RFC 5763).

use std::fmt;

use crate::{MediaLine, SessionDescription};

/// Longest digest read, octets: that of SHA-512.
const MAX_DIGEST: usize = 64;

/// The digest of a certificate, with the name of its hash function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// `sha-256` and the like, in lower case.
    pub hash: String,
    /// The digest.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// Reads the value of an `a=fingerprint` line.
    pub fn parse(value: &str) -> Option<Self> {
        let (hash, digest) = value.trim().split_once(char::is_whitespace)?;
        let octets: Option<Vec<u8>> = digest
            .trim()
            .split(':')
            .take(MAX_DIGEST + 1)
            .map(|pair| {
                let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
                u8::from_str_radix(pair, 16).ok().filter(|_| hex)
            })
            .collect();
        let digest = octets.filter(|octets| (1..=MAX_DIGEST).contains(&octets.len()))?;
        Some(Self { hash: hash.to_ascii_lowercase(), digest })
    }

    /// The fingerprints that hold for a section: its own, or the session's when it has none. There may be several, of
    /// different hash functions (RFC 8122 §5).
    pub fn all_of(description: &SessionDescription, media: &MediaLine) -> Vec<Self> {
        let read = |attributes: &[crate::Attribute]| -> Vec<Self> {
            let lines = attributes.iter().filter(|a| a.name.eq_ignore_ascii_case("fingerprint"));
            lines.filter_map(|a| Self::parse(a.value.as_deref()?)).collect()
        };
        let own = read(&media.attributes);
        if own.is_empty() { read(&description.attributes) } else { own }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash)?;
        for (at, octet) in self.digest.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02X}")?;
        }
        Ok(())
    }
}

/// Which side opens the DTLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The describing side sends the ClientHello.
    Active,
    /// The describing side waits for it.
    Passive,
    /// The other side may choose; in offers only.
    ActPass,
    /// No connection for now.
    HoldConn,
}

impl Setup {
    /// Reads the attribute's value.
    pub fn parse(value: &str) -> Option<Self> {
        let is = |text: &str| value.trim().eq_ignore_ascii_case(text);
        [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn]
            .into_iter()
            .find(|setup| is(setup.as_str()))
    }

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    /// What a section says, or the session for it.
    pub fn of(description: &SessionDescription, media: &MediaLine) -> Option<Self> {
        let value = media.attribute("setup").or_else(|| description.attribute("setup"));
        Self::parse(value?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_and_printed() {
        let read = Fingerprint::parse("SHA-256 0a:1B:ff").unwrap();
        assert_eq!((&*read.hash, &*read.digest), ("sha-256", &[0x0a, 0x1b, 0xff][..]));
        assert_eq!(read.to_string(), "sha-256 0A:1B:FF");
        let long = format!("sha-1 {}", ["00"; 65].join(":"));
        for bad in ["", "sha-256", "sha-256 ", "sha-256 0", "sha-256 0g", "sha-256 +1:00", &long] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_section_s_own_lines_come_before_the_session_s() {
        let text = "v=0\r\na=fingerprint:sha-1 01\r\na=setup:actpass\r\nm=audio 1 RTP/SAVPF 0\r\n\
                    a=fingerprint:sha-256 02\r\na=fingerprint:sha-1 03\r\nm=video 1 RTP/SAVPF 0\r\na=setup:active\r\n";
        let read = SessionDescription::parse(text).unwrap();
        let digests = |media: &MediaLine| -> Vec<u8> {
            Fingerprint::all_of(&read, media).into_iter().flat_map(|f| f.digest).collect()
        };
        assert_eq!(digests(&read.media[0]), [2, 3]);
        assert_eq!(digests(&read.media[1]), [1]);
        assert_eq!(Setup::of(&read, &read.media[0]), Some(Setup::ActPass));
        assert_eq!(Setup::of(&read, &read.media[1]), Some(Setup::Active));
    }
}
