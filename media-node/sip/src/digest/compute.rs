//! The arithmetic: A1, A2 and the response.

use std::fmt;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A digest algorithm (RFC 8760). The `-sess` variants are not offered by the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)]
pub enum Algorithm {
    #[default]
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Recognises a token in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// Lower-case hexadecimal hash of the parts joined by colons.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => hex(&joined::<Md5>(parts)),
            Self::Sha256 => hex(&joined::<Sha256>(parts)),
            Self::Sha512_256 => hex(&joined::<Sha512_256>(parts)),
        }
    }
}

fn joined<D: sha2::Digest>(parts: &[&str]) -> Vec<u8> {
    let mut hash = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
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

/// Hash of `user:realm:password`.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, secret: &Secret) -> String {
    match secret {
        Secret::Password(password) => algorithm.hash(&[username, realm, password]),
        Secret::Ha1(hash) => hash.to_ascii_lowercase(),
    }
}

/// What enters a response besides the secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    /// `nc` as eight hexadecimal digits and `cnonce`, with `qop=auth`; `None` as in RFC 2069.
    pub(super) auth: Option<(&'a str, &'a str)>,
}

pub(super) fn response_of(algorithm: Algorithm, ha1: &str, inputs: Inputs<'_>) -> String {
    let ha2 = algorithm.hash(&[inputs.method, inputs.uri]);
    match inputs.auth {
        Some((nc, cnonce)) => algorithm.hash(&[ha1, inputs.nonce, nc, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, inputs.nonce, &ha2]),
    }
}

/// The digest response for `qop=auth` (`auth` = nc and cnonce) or for no qop.
pub fn compute_response(
    algorithm: Algorithm,
    ha1: &str,
    method: &str,
    uri: &str,
    nonce: &str,
    auth: Option<(&str, &str)>,
) -> String {
    response_of(algorithm, ha1, Inputs { method, uri, nonce, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let secret = Secret::Password("Circle Of Life".into());
        let a1 = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", &secret);
        let auth = Some(("00000001", "0a4f113b"));
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = compute_response(Algorithm::Md5, &a1, "GET", "/dir/index.html", nonce, auth);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
        assert_eq!(ha1(Algorithm::Md5, "x", "y", &Secret::Ha1(a1.to_uppercase())), a1);
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn sha_256_follows_its_rfc() {
        let secret = Secret::Password("Circle of Life".into());
        let a1 = ha1(Algorithm::Sha256, "Mufasa", "http-auth@example.org", &secret);
        let auth = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"));
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let response =
            compute_response(Algorithm::Sha256, &a1, "GET", "/dir/index.html", nonce, auth);
        assert_eq!(response, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::Password("hush".into())), "Secret(..)");
    }
}
