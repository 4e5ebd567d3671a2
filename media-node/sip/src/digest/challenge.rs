//! `WWW-Authenticate` and `Proxy-Authenticate`.

use std::fmt;

use super::compute::Algorithm;
use super::digest_fields;
use crate::message::scan::quote;
use crate::message::{Name, Response};

/// A digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Protection space.
    pub realm: String,
    /// Server's nonce.
    pub nonce: String,
    /// To be returned unchanged.
    pub opaque: Option<String>,
    /// Hash to use.
    pub algorithm: Algorithm,
    /// `qop` was offered and contains `auth`.
    pub qop_auth: bool,
    /// The credentials were right, only the nonce was old.
    pub stale: bool,
    /// Came as `Proxy-Authenticate`, so the answer is `Proxy-Authorization`.
    pub proxy: bool,
}

impl Challenge {
    /// Reads one header value; `None` when it is not a digest challenge that can be answered
    /// (unknown algorithm, `auth-int` only, no realm or nonce).
    pub fn parse(value: &str, proxy: bool) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop_auth, mut stale) = (Algorithm::Md5, false, false);
        for (name, value) in digest_fields(value)? {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "nonce" => nonce = Some(value),
                "opaque" => opaque = Some(value),
                "algorithm" => algorithm = Algorithm::parse(&value)?,
                "stale" => stale = value.eq_ignore_ascii_case("true"),
                "qop" => {
                    qop_auth = value.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth"));
                    if !qop_auth {
                        return None;
                    }
                }
                _ => {}
            }
        }
        Some(Self { realm: realm?, nonce: nonce?, opaque, algorithm, qop_auth, stale, proxy })
    }

    /// All answerable challenges of a 401 or 407, in order.
    pub fn all_of(response: &Response) -> Vec<Self> {
        let of =
            |name, proxy| response.headers.all(name).filter_map(move |v| Self::parse(v, proxy));
        of(Name::WwwAuthenticate, false).chain(of(Name::ProxyAuthenticate, true)).collect()
    }

    /// The header this goes into.
    pub fn header_name(&self) -> Name {
        if self.proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate }
    }
}

/// The header value, in the reference's order.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={},", quote(&self.realm), quote(&self.nonce))?;
        if let Some(opaque) = &self.opaque {
            write!(f, " opaque={},", quote(opaque))?;
        }
        if self.stale {
            f.write_str(" stale=true,")?;
        }
        write!(f, " algorithm={}", self.algorithm.as_str())?;
        if self.qop_auth {
            f.write_str(", qop=\"auth\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_recorded_and_read_back() {
        let text = "Digest realm=\"golden.test\", nonce=\"07ad5963\", algorithm=MD5, qop=\"auth\"";
        let challenge = Challenge::parse(text, false).unwrap();
        assert_eq!(challenge.to_string(), text);
        let stale = Challenge { stale: true, ..challenge };
        assert!(stale.to_string().contains("nonce=\"07ad5963\", stale=true, algorithm=MD5"));
    }

    #[test]
    fn what_cannot_be_answered_is_not_a_challenge() {
        for bad in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=ROT13",
        ] {
            assert!(Challenge::parse(bad, false).is_none(), "{bad}");
        }
    }
}
