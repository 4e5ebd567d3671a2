//! `WWW-Authenticate` and `Proxy-Authenticate`.

use std::fmt;

use super::compute::{Algorithm, Qop};
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
    /// What the response is to protect: `auth` where it was offered, else `auth-int`; `None` without `qop`.
    pub qop: Option<Qop>,
    /// The credentials were right, only the nonce was old.
    pub stale: bool,
    /// Came as `Proxy-Authenticate`, so the answer is `Proxy-Authorization`.
    pub proxy: bool,
}

impl Challenge {
    /// Reads one header value; `None` when it is not a digest challenge that can be answered
    /// (unknown algorithm or `qop`, no realm or nonce).
    pub fn parse(value: &str, proxy: bool) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop, mut stale) = (Algorithm::Md5, None, false);
        for (name, value) in digest_fields(value)? {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "nonce" => nonce = Some(value),
                "opaque" => opaque = Some(value),
                "algorithm" => algorithm = Algorithm::parse(&value)?,
                "stale" => stale = value.eq_ignore_ascii_case("true"),
                "qop" => {
                    let offered: Vec<_> =
                        value.split(',').filter_map(|q| Qop::parse(q.trim())).collect();
                    let plain = offered.contains(&Qop::Auth).then_some(Qop::Auth);
                    qop = Some(plain.or_else(|| offered.first().copied())?);
                }
                _ => {}
            }
        }
        Some(Self { realm: realm?, nonce: nonce?, opaque, algorithm, qop, stale, proxy })
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
        match self.qop {
            Some(qop) => write!(f, ", qop=\"{}\"", qop.as_str()),
            None => Ok(()),
        }
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
    fn of_several_protections_the_plain_one_is_taken() {
        let qop = |list: &str| {
            let text =
                format!("Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess, qop=\"{list}\"");
            let read = Challenge::parse(&text, false).unwrap();
            assert_eq!(read.algorithm, Algorithm::Md5Sess);
            read.qop
        };
        assert_eq!(qop("auth-int, auth"), Some(Qop::Auth));
        assert_eq!(qop("auth-int"), Some(Qop::AuthInt));
        assert_eq!(qop("auth-conf, AUTH-INT"), Some(Qop::AuthInt));
    }

    #[test]
    fn what_cannot_be_answered_is_not_a_challenge() {
        for bad in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-conf\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=ROT13",
        ] {
            assert!(Challenge::parse(bad, false).is_none(), "{bad}");
        }
    }
}
