//! `Authorization` and `Proxy-Authorization`.

use std::fmt;

use super::compute::{Algorithm, Inputs, Secret, ha1, response_of};
use super::{Challenge, digest_fields};
use crate::message::scan::quote;
use crate::message::{Headers, Name};

/// Digest credentials as sent by a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Digest user.
    pub username: String,
    /// Realm of the challenge.
    pub realm: String,
    /// Nonce of the challenge.
    pub nonce: String,
    /// `uri` that was hashed.
    pub uri: String,
    /// The proof, hexadecimal.
    pub response: String,
    /// Algorithm; MD5 when not said.
    pub algorithm: Algorithm,
    /// Returned from the challenge.
    pub opaque: Option<String>,
    /// `qop=auth` with `nc` (as written) and `cnonce`; `None` for the RFC 2069 form.
    pub auth: Option<(String, String)>,
}

impl Credentials {
    /// Reads one header value; `None` when incomplete, not digest, or `qop=auth-int`.
    pub fn parse(value: &str) -> Option<Self> {
        let (mut username, mut realm, mut nonce, mut uri, mut response) =
            (None, None, None, None, None);
        let (mut algorithm, mut opaque, mut qop) = (Algorithm::Md5, None, None);
        let (mut nc, mut cnonce) = (None, None);
        for (name, value) in digest_fields(value)? {
            match name.to_ascii_lowercase().as_str() {
                "username" => username = Some(value),
                "realm" => realm = Some(value),
                "nonce" => nonce = Some(value),
                "uri" => uri = Some(value),
                "response" => response = Some(value),
                "algorithm" => algorithm = Algorithm::parse(&value)?,
                "opaque" => opaque = Some(value),
                "qop" => qop = Some(value),
                "nc" => nc = Some(value),
                "cnonce" => cnonce = Some(value),
                _ => {}
            }
        }
        let auth = match qop {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((nc?, cnonce?)),
            Some(_) => return None,
        };
        Some(Self {
            username: username?,
            realm: realm?,
            nonce: nonce?,
            uri: uri?,
            response: response?,
            algorithm,
            opaque,
            auth,
        })
    }

    /// The first usable credentials of a request: `Proxy-Authorization` when `proxy`, else
    /// `Authorization`.
    pub fn of(headers: &Headers, proxy: bool) -> Option<Self> {
        let name = if proxy { Name::ProxyAuthorization } else { Name::Authorization };
        headers.all(name).find_map(Self::parse)
    }

    /// Answers a challenge. `nc` counts the requests sent with this nonce, from 1.
    pub fn answer(
        challenge: &Challenge,
        username: &str,
        secret: &Secret,
        method: &str,
        uri: &str,
        nc: u32,
        cnonce: &str,
    ) -> Self {
        let a1 = ha1(challenge.algorithm, username, &challenge.realm, secret);
        let auth = challenge.qop_auth.then(|| (format!("{nc:08x}"), cnonce.to_owned()));
        let inputs = Inputs {
            method,
            uri,
            nonce: &challenge.nonce,
            auth: auth.as_ref().map(|(nc, cnonce)| (nc.as_str(), cnonce.as_str())),
        };
        Self {
            response: response_of(challenge.algorithm, &a1, inputs),
            username: username.to_owned(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: uri.to_owned(),
            algorithm: challenge.algorithm,
            opaque: challenge.opaque.clone(),
            auth,
        }
    }

    /// True when the response proves knowledge of the secret. Takes the same time wherever the
    /// difference is.
    pub fn verify(&self, method: &str, secret: &Secret) -> bool {
        let a1 = ha1(self.algorithm, &self.username, &self.realm, secret);
        let inputs = Inputs {
            method,
            uri: &self.uri,
            nonce: &self.nonce,
            auth: self.auth.as_ref().map(|(nc, cnonce)| (nc.as_str(), cnonce.as_str())),
        };
        let expected = response_of(self.algorithm, &a1, inputs);
        let given = self.response.to_ascii_lowercase();
        expected.len() == given.len()
            && expected.bytes().zip(given.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }

    /// `nc` as a number.
    pub fn nonce_count(&self) -> Option<u32> {
        self.auth.as_ref().and_then(|(nc, _)| u32::from_str_radix(nc, 16).ok())
    }
}

/// The header value, in the reference's order.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, realm, nonce, uri, response, .. } = self;
        write!(
            f,
            "Digest username={}, realm={}, nonce={}",
            quote(username),
            quote(realm),
            quote(nonce)
        )?;
        if let Some((_, cnonce)) = &self.auth {
            write!(f, ", cnonce={}", quote(cnonce))?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        write!(
            f,
            ", algorithm={}, uri={}, response={}",
            self.algorithm.as_str(),
            quote(uri),
            quote(response)
        )?;
        if let Some((nc, _)) = &self.auth {
            write!(f, ", qop=auth, nc={nc}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}@{})", self.username, self.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(qop_auth: bool) -> Challenge {
        let text = "Digest realm=\"r\", nonce=\"n\", opaque=\"o\"";
        Challenge { qop_auth, ..Challenge::parse(text, false).unwrap() }
    }

    #[test]
    fn answers_verify_with_and_without_qop() {
        let secret = Secret::Password("pw".into());
        for qop in [true, false] {
            let sent =
                Credentials::answer(&challenge(qop), "u", &secret, "INVITE", "sip:h", 1, "c");
            let got = Credentials::parse(&sent.to_string()).unwrap();
            assert_eq!(got, sent);
            assert!(got.verify("INVITE", &secret));
            assert!(!got.verify("BYE", &secret));
            assert!(!got.verify("INVITE", &Secret::Password("pW".into())));
        }
    }

    #[test]
    fn written_in_the_recorded_order() {
        let secret = Secret::Password("pw".into());
        let text = Credentials::answer(&challenge(true), "u", &secret, "REGISTER", "sip:h", 2, "c")
            .to_string();
        let names: Vec<_> = text
            .trim_start_matches("Digest ")
            .split(", ")
            .filter_map(|f| f.split('=').next())
            .collect();
        let order = "username realm nonce cnonce opaque algorithm uri response qop nc";
        assert_eq!(names, order.split(' ').collect::<Vec<_>>());
        assert!(text.ends_with("qop=auth, nc=00000002"));
    }
}
