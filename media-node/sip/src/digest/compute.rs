//! The arithmetic: A1, A2 and the response.

use std::fmt;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A digest algorithm (RFC 7616, RFC 8760). With a `-sess` variant the secret's hash enters hashed once more, with the
/// nonces of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)]
pub enum Algorithm {
    #[default]
    Md5,
    Md5Sess,
    Sha256,
    Sha256Sess,
    Sha512_256,
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// Recognises a token in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// Is it a `-sess` variant? Its answers need a `cnonce`.
    pub fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// True for `MD5` and `MD5-sess`, whose secrets may be kept as an `a1-hash`.
    pub fn is_md5(self) -> bool {
        matches!(self, Self::Md5 | Self::Md5Sess)
    }

    /// Lower-case hexadecimal hash of the parts joined by colons.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => hex(&joined::<Md5>(parts)),
            Self::Sha256 | Self::Sha256Sess => hex(&joined::<Sha256>(parts)),
            Self::Sha512_256 | Self::Sha512_256Sess => hex(&joined::<Sha512_256>(parts)),
        }
    }

    fn hash_texts(self, parts: &[&str]) -> String {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.hash(&parts)
    }
}

/// What a response protects (`qop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: method and URI.
    Auth,
    /// `auth-int`: the body, too.
    AuthInt,
}

impl Qop {
    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    /// Recognises a token in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|q| q.as_str().eq_ignore_ascii_case(text))
    }
}

fn joined<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|nibble| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0'))
        .collect()
}

/// What proves a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password itself.
    Password(String),
    /// The hash of `user:realm:password` (directory param `a1-hash`), hexadecimal.
    Ha1(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Hash of `user:realm:password`, as it may be kept in a directory.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, secret: &Secret) -> String {
    match secret {
        Secret::Password(password) => algorithm.hash_texts(&[username, realm, password]),
        Secret::Ha1(hash) => hash.to_ascii_lowercase(),
    }
}

/// What a request is authorised for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Method.
    pub method: &'a str,
    /// The digest's `uri`.
    pub uri: &'a str,
    /// The body, which `auth-int` protects.
    pub body: &'a [u8],
}

/// What enters a response besides the secret and its subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub(super) nonce: &'a str,
    /// Needed by `qop` and by a `-sess` algorithm.
    pub(super) cnonce: &'a str,
    /// `qop` with `nc` as eight hexadecimal digits; `None` as in RFC 2069.
    pub(super) counted: Option<(Qop, &'a str)>,
}

pub(super) fn response_of(
    algorithm: Algorithm,
    ha1: &str,
    subject: &Subject<'_>,
    inputs: Inputs<'_>,
) -> String {
    let Inputs { nonce, cnonce, counted } = inputs;
    let of_session = algorithm.is_session().then(|| algorithm.hash_texts(&[ha1, nonce, cnonce]));
    let ha1 = of_session.as_deref().unwrap_or(ha1);
    let ha2 = match counted {
        Some((Qop::AuthInt, _)) => {
            let body = algorithm.hash(&[subject.body]);
            algorithm.hash_texts(&[subject.method, subject.uri, &body])
        }
        _ => algorithm.hash_texts(&[subject.method, subject.uri]),
    };
    match counted {
        Some((qop, nc)) => algorithm.hash_texts(&[ha1, nonce, nc, cnonce, qop.as_str(), &ha2]),
        None => algorithm.hash_texts(&[ha1, nonce, &ha2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(algorithm: Algorithm, ha1: &str, nonce: &str, cnonce: &str, qop: Qop) -> String {
        let subject = Subject { method: "GET", uri: "/dir/index.html", body: b"" };
        let inputs = Inputs { nonce, cnonce, counted: Some((qop, "00000001")) };
        response_of(algorithm, ha1, &subject, inputs)
    }

    /// RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let secret = Secret::Password("Circle Of Life".into());
        let a1 = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", &secret);
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = respond(Algorithm::Md5, &a1, nonce, "0a4f113b", Qop::Auth);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
        assert_eq!(ha1(Algorithm::Md5, "x", "y", &Secret::Ha1(a1.to_uppercase())), a1);
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn sha_256_follows_its_rfc() {
        let secret = Secret::Password("Circle of Life".into());
        let a1 = ha1(Algorithm::Sha256, "Mufasa", "http-auth@example.org", &secret);
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let response = respond(Algorithm::Sha256, &a1, nonce, cnonce, Qop::Auth);
        assert_eq!(response, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    /// Figures of Python's `hashlib`, by the formulas of RFC 7616 §3.4.
    #[test]
    fn sessions_and_protected_bodies_follow_their_formulas() {
        let secret = Secret::Password("pw".into());
        let subject = Subject { method: "INVITE", uri: "sip:h", body: b"v=0\r\n" };
        for (algorithm, qop, expected) in [
            (Algorithm::Md5Sess, Qop::Auth, "a5af984ac8c96c597a9e07054c48d1b9"),
            (Algorithm::Md5, Qop::AuthInt, "7752332aaca34e7835f49619034c36b4"),
            (
                Algorithm::Sha256Sess,
                Qop::AuthInt,
                "8e6df184d071de1541d334884626197c3f4d6a213415bb900b7254bfdecf1997",
            ),
        ] {
            let a1 = ha1(algorithm, "u", "r", &secret);
            let inputs = Inputs { nonce: "n", cnonce: "c", counted: Some((qop, "00000001")) };
            assert_eq!(response_of(algorithm, &a1, &subject, inputs), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::Password("hush".into())), "Secret(..)");
    }
}
