//! Certificate fingerprints as descriptions carry them (`a=fingerprint`, RFC 8122).

use std::fmt;
use std::str::FromStr;

use ring::digest;

/// Hash functions a fingerprint may be made with. MD5 and MD2 prove nothing and are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// `sha-1`
    Sha1,
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// The fingerprint of a certificate: `sha-256 AB:CD:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        Self { hash, digest: digest::digest(hash.algorithm(), certificate).as_ref().to_vec() }
    }

    /// Whether it is the certificate's.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        Self::of(self.hash, certificate) == *self
    }

    /// The hash function it was made with.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hash.name())?;
        for (n, octet) in self.digest.iter().enumerate() {
            write!(f, "{}{octet:02X}", if n == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// Not a fingerprint we can check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: {0:?}")]
pub struct BadFingerprint(String);

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let bad = || BadFingerprint(text.chars().take(160).collect());
        let (name, digits) = text.trim().split_once(' ').ok_or_else(bad)?;
        let known = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
        let mut known = known.into_iter();
        let hash = known.find(|hash| hash.name().eq_ignore_ascii_case(name)).ok_or_else(bad)?;
        let octets = digits.trim().split(':').map(|pair| match pair.len() {
            // `from_str_radix` alone would take a sign.
            2 if pair.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u8::from_str_radix(pair, 16).map_err(|_| bad())
            }
            _ => Err(bad()),
        });
        // A digest of another length would never match: better said where it is read.
        let digest = octets.take(65).collect::<Result<Vec<u8>, _>>()?;
        if digest.len() != hash.algorithm().output_len() {
            return Err(bad());
        }
        Ok(Self { hash, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_matches_its_certificate_only() {
        let ours = Fingerprint::of(Hash::Sha256, b"certificate");
        let text = ours.to_string();
        assert!(text.starts_with("sha-256 ") && text.len() == 8 + 32 * 3 - 1, "{text}");
        assert_eq!(text.parse(), Ok(ours.clone()));
        assert_eq!(text.to_lowercase().replace("sha", "SHA").parse(), Ok(ours.clone()));
        assert!(ours.matches(b"certificate") && !ours.matches(b"another"));
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let digits = "AB:".repeat(32);
        let digits = digits.trim_end_matches(':');
        assert!(format!("sha-256 {digits}").parse::<Fingerprint>().is_ok());
        for bad in [
            "",
            "sha-256",
            "sha-256 ",
            "sha-256 AB",
            &format!("md5 {digits}"),
            &format!("sha-512 {digits}"),
            &format!("sha-256 {digits}:AB"),
            &format!("sha-256 {}", digits.replace(':', "")),
            &format!("sha-256 {}", digits.replacen('A', "+", 1)),
        ] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
