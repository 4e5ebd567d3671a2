//! Security descriptions (RFC 4568): the `a=crypto` line.

use std::fmt;

use crate::MediaLine;

/// Longest master key identifier read, octets.
const MAX_MKI: usize = 16;

/// One `a=crypto` line. Its key is shown by [`CryptoLine::value`] only, never by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoLine {
    /// The number answers refer to it by.
    pub tag: u32,
    /// Crypto suite, as written.
    pub suite: String,
    /// Master key and salt in base64, as written.
    pub key: String,
    /// Master key identifier in each packet, if there is one.
    pub mki: Option<Vec<u8>>,
    /// What follows the key: lifetime, identifier, session parameters.
    pub rest: String,
}

impl fmt::Debug for CryptoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CryptoLine({} {})", self.tag, self.suite)
    }
}

impl CryptoLine {
    /// A line of our own; with `mki` its packets carry the identifier 1, as the reference's do.
    pub fn new(tag: u32, suite: &str, key: String, mki: bool) -> Self {
        let rest = if mki { "|2^31|1:1" } else { "" };
        Self { tag, suite: suite.to_owned(), key, mki: mki.then(|| vec![1]), rest: rest.to_owned() }
    }

    /// Reads a line's value. Lifetimes and session parameters are accepted and not heeded.
    pub fn parse(value: &str) -> Option<Self> {
        let (tag, rest) = value.trim().split_once(char::is_whitespace)?;
        let (suite, rest) = rest.trim_start().split_once(char::is_whitespace)?;
        let keys = rest.trim_start().strip_prefix("inline:")?;
        let end = keys.find(|c: char| c == '|' || c == ';' || c.is_whitespace());
        let (key, rest) = keys.split_at(end.unwrap_or(keys.len()));
        let parameters = rest.split([';', ' ', '\t']).next().unwrap_or_default();
        let mki = parameters.split('|').find_map(|part| part.split_once(':'));
        Some(Self {
            tag: tag.parse().ok()?,
            suite: suite.to_owned(),
            key: key.to_owned(),
            mki: match mki {
                Some((value, len)) => Some(identifier(value, len)?),
                None => None,
            },
            rest: rest.to_owned(),
        })
    }

    /// The line's value.
    pub fn value(&self) -> String {
        format!("{} {} inline:{}{}", self.tag, self.suite, self.key, self.rest)
    }

    /// Whether both name the same suite.
    pub fn is_of(&self, other: &Self) -> bool {
        self.suite.eq_ignore_ascii_case(&other.suite)
    }
}

/// A master key identifier of `len` octets.
fn identifier(value: &str, len: &str) -> Option<Vec<u8>> {
    let len: usize = len.trim().parse().ok().filter(|len| (1..=MAX_MKI).contains(len))?;
    let value = value.trim().parse::<u128>().ok()?.to_be_bytes();
    value.get(value.len() - len..).map(<[u8]>::to_vec)
}

/// The `a=crypto` lines of a section that can be read, in order.
pub fn crypto_lines(media: &MediaLine) -> Vec<CryptoLine> {
    let crypto = media.attributes.iter().filter(|a| a.name.eq_ignore_ascii_case("crypto"));
    crypto.filter_map(|a| CryptoLine::parse(a.value.as_deref()?)).collect()
}
