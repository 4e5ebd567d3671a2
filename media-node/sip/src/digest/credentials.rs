//! `Authorization` and `Proxy-Authorization`.

use std::fmt;

use super::compute::{Algorithm, Inputs, Qop, Secret, Subject, ha1, response_of};
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
    /// The client's own nonce; always there with `qop` and with a `-sess` algorithm.
    pub cnonce: Option<String>,
    /// `qop` and `nc` (as written); `None` for the RFC 2069 form.
    pub counted: Option<(Qop, String)>,
}

impl Credentials {
    /// Reads one header value; `None` when incomplete, not digest, or of an unknown algorithm or `qop`.
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
        let counted = match qop {
            None => None,
            Some(qop) => Some((Qop::parse(&qop)?, nc?)),
        };
        if cnonce.is_none() && (counted.is_some() || algorithm.is_session()) {
            return None;
        }
        Some(Self {
            username: username?,
            realm: realm?,
            nonce: nonce?,
            uri: uri?,
            response: response?,
            algorithm,
            opaque,
            cnonce,
            counted,
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
        subject: &Subject<'_>,
        nc: u32,
        cnonce: &str,
    ) -> Self {
        let a1 = ha1(challenge.algorithm, username, &challenge.realm, secret);
        let counted = challenge.qop.map(|qop| (qop, format!("{nc:08x}")));
        let needed = counted.is_some() || challenge.algorithm.is_session();
        let inputs = Inputs {
            nonce: &challenge.nonce,
            cnonce,
            counted: counted.as_ref().map(|(qop, nc)| (*qop, nc.as_str())),
        };
        Self {
            response: response_of(challenge.algorithm, &a1, subject, inputs),
            username: username.to_owned(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: subject.uri.to_owned(),
            algorithm: challenge.algorithm,
            opaque: challenge.opaque.clone(),
            cnonce: needed.then(|| cnonce.to_owned()),
            counted,
        }
    }

    /// True when the response proves knowledge of the secret, for a request of that method and (where it is protected) with
    /// that body. Takes the same time wherever the difference is.
    pub fn verify(&self, method: &str, body: &[u8], secret: &Secret) -> bool {
        let a1 = ha1(self.algorithm, &self.username, &self.realm, secret);
        let subject = Subject { method, uri: &self.uri, body };
        let inputs = Inputs {
            nonce: &self.nonce,
            cnonce: self.cnonce.as_deref().unwrap_or_default(),
            counted: self.counted.as_ref().map(|(qop, nc)| (*qop, nc.as_str())),
        };
        let expected = response_of(self.algorithm, &a1, &subject, inputs);
        let given = self.response.to_ascii_lowercase();
        expected.len() == given.len()
            && expected.bytes().zip(given.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }

    /// `nc` as a number.
    pub fn nonce_count(&self) -> Option<u32> {
        self.counted.as_ref().and_then(|(_, nc)| u32::from_str_radix(nc, 16).ok())
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
        if let Some(cnonce) = &self.cnonce {
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
        if let Some((qop, nc)) = &self.counted {
            write!(f, ", qop={}, nc={nc}", qop.as_str())?;
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

    const INVITE: Subject<'_> = Subject { method: "INVITE", uri: "sip:h", body: b"v=0" };

    fn challenge(more: &str) -> Challenge {
        Challenge::parse(&format!("Digest realm=\"r\", nonce=\"n\", opaque=\"o\"{more}"), false)
            .unwrap()
    }

    #[test]
    fn answers_verify_in_every_form() {
        let secret = Secret::Password("pw".into());
        for form in [
            "",
            ", qop=\"auth\"",
            ", qop=\"auth-int\"",
            ", algorithm=MD5-sess",
            ", algorithm=SHA-256-sess, qop=\"auth\"",
            ", algorithm=SHA-512-256-sess, qop=\"auth-int\"",
        ] {
            let sent = Credentials::answer(&challenge(form), "u", &secret, &INVITE, 1, "c");
            let got = Credentials::parse(&sent.to_string()).unwrap();
            assert_eq!(got, sent, "{form}");
            assert!(got.verify("INVITE", b"v=0", &secret), "{form}");
            assert!(!got.verify("BYE", b"v=0", &secret), "{form}");
            assert!(!got.verify("INVITE", b"v=0", &Secret::Password("pW".into())), "{form}");
            let protects = form.contains("auth-int");
            assert_eq!(got.verify("INVITE", b"v=1", &secret), !protects, "{form}");
        }
    }

    /// A directory keeps the same hash for `MD5` and `MD5-sess`.
    #[test]
    fn a_kept_hash_serves_sessions_too() {
        let kept = Secret::Ha1(ha1(Algorithm::Md5, "u", "r", &Secret::Password("pw".into())));
        let asked = challenge(", algorithm=MD5-sess, qop=\"auth\"");
        let secret = Secret::Password("pw".into());
        let sent = Credentials::answer(&asked, "u", &secret, &INVITE, 1, "c");
        assert!(sent.verify("INVITE", b"", &kept));
    }

    #[test]
    fn written_in_the_recorded_order() {
        let secret = Secret::Password("pw".into());
        let subject = Subject { method: "REGISTER", uri: "sip:h", body: b"" };
        let asked = challenge(", qop=\"auth\"");
        let text = Credentials::answer(&asked, "u", &secret, &subject, 2, "c").to_string();
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
