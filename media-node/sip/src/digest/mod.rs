//! Digest access authentication, client and server side (RFC 3261 §22, RFC 2617, RFC 8760).
//!
//! `qop` `auth` and `auth-int`, the form without qop of RFC 2069, and the `-sess` algorithms are understood. Secrets are never
//! printed.

mod authorizer;
mod challenge;
mod compute;
mod credentials;
mod nonces;

pub use authorizer::{AuthRequest, Authorizer, PasswordAuthorizer};
pub use challenge::Challenge;
pub use compute::{Algorithm, Qop, Secret, Subject, ha1};
pub use credentials::Credentials;
pub use nonces::{NonceState, Nonces};

use crate::message::scan::{commas, trim, unquote};

/// The `name=value` pairs after the scheme `Digest`; `None` for another scheme.
fn digest_fields(value: &str) -> Option<impl Iterator<Item = (&str, String)>> {
    let value = trim(value);
    let (scheme, rest) = value.split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("Digest").then(|| {
        commas(rest).filter_map(|field| {
            let (name, value) = field.split_once('=')?;
            Some((trim(name), unquote(value)))
        })
    })
}
