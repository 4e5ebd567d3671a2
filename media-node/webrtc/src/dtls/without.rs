//! A build without a DTLS engine: there is no certificate, and so no description asks for a handshake.

use super::{DtlsError, Fingerprint};

const MISSING: &str = "built without DTLS";

/// Our certificate: there is none, and no value of this type.
#[derive(Debug, Clone)]
pub struct Identity {
    never: std::convert::Infallible,
}

impl Identity {
    /// Always fails.
    ///
    /// # Errors
    /// There is no engine.
    pub fn generate() -> Result<(Self, String), DtlsError> {
        Err(DtlsError::Protocol(MISSING.to_owned()))
    }

    /// Always fails.
    ///
    /// # Errors
    /// There is no engine.
    pub fn from_pem(_: &str) -> Result<Self, DtlsError> {
        Err(DtlsError::Protocol(MISSING.to_owned()))
    }

    /// What descriptions announce.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        match self.never {}
    }
}
