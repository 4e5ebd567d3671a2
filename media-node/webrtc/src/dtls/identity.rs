//! The certificate we show.

use std::sync::Arc;

use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{DtlsError, Fingerprint, Hash};

/// Our certificate, its key, and how peers recognise it. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    certificate: Certificate,
    provider: Arc<dyn RTCCryptoProvider>,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.inner.fingerprint)
    }
}

impl Identity {
    /// A new self-signed ECDSA P-256 certificate and its PEM: key first, then the certificate.
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn generate() -> Result<(Self, String), DtlsError> {
        let provider = provider()?;
        let made = rcgen::generate_simple_self_signed(vec!["FreeSWITCH-dtls".to_owned()]);
        let made = made.map_err(|error| DtlsError::Protocol(error.to_string()))?;
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        let key = made.signing_key.serialize_der();
        Ok((Self::assemble(provider, vec![made.cert.der().to_vec()], &key)?, pem))
    }

    /// An identity from its parts: a certificate chain in DER, the first being ours, and its PKCS #8 key. RSA keys
    /// with SHA-256, ECDSA P-256 and Ed25519 are taken.
    ///
    /// # Errors
    /// The key is of another kind, or is not one at all.
    pub fn new(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, DtlsError> {
        Self::assemble(provider()?, chain, key)
    }

    fn assemble(
        provider: Arc<dyn RTCCryptoProvider>,
        chain: Vec<Vec<u8>>,
        key: &[u8],
    ) -> Result<Self, DtlsError> {
        use rtc_dtls::crypto_provider::SignatureScheme::{
            EcdsaP256Sha256, Ed25519, RsaPkcs1Sha256,
        };
        let first = chain.first().ok_or(DtlsError::NoCertificate)?;
        let fingerprint = Fingerprint::of(Hash::Sha256, first);
        let kinds = [EcdsaP256Sha256, RsaPkcs1Sha256, Ed25519];
        let mut tried = kinds.into_iter();
        let key = tried
            .find_map(|kind| provider.crypto().import_signing_key(kind, key).ok())
            .ok_or_else(|| DtlsError::Protocol("unknown kind of private key".to_owned()))?;
        let chain = chain.into_iter().map(Into::into).collect();
        let certificate = Certificate::from_signing_key(chain, key);
        Ok(Self { inner: Arc::new(Inner { certificate, provider, fingerprint }) })
    }

    /// An identity from PEM, as [`Identity::generate`] and the reference write it: a PKCS #8 key and certificates.
    ///
    /// # Errors
    /// There is no key or no certificate, or they cannot be used.
    pub fn from_pem(pem: &str) -> Result<Self, DtlsError> {
        let said = |error: rustls_pki_types::pem::Error| DtlsError::Protocol(error.to_string());
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(said)?;
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain = chain.map(|one| one.map(|der| der.to_vec())).collect::<Result<_, _>>();
        Self::new(chain.map_err(said)?, key.secret_pkcs8_der())
    }

    /// Its fingerprint by the usual hash function.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// What descriptions announce, by each hash function a peer may ask for; the usual one first.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512, Hash::Sha1];
        let Some(own) = self.inner.certificate.certificate.first() else { return Vec::new() };
        hashes.into_iter().map(|hash| Fingerprint::of(hash, own)).collect()
    }

    pub(super) fn certificate(&self) -> Certificate {
        self.inner.certificate.clone()
    }

    pub(super) fn provider(&self) -> Arc<dyn RTCCryptoProvider> {
        Arc::clone(&self.inner.provider)
    }
}

fn provider() -> Result<Arc<dyn RTCCryptoProvider>, DtlsError> {
    default_provider().map_err(|error| DtlsError::Protocol(error.to_string()))
}
