//! Whose certificates are believed (`tls-verify-policy` and its kin).
//!
//! Like the reference by default, nobody's: phones and PBXs mostly have self-signed ones. The stream is secret, and
//! the peer proves itself by digest. Even then a peer must hold the key of the certificate it shows.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::TlsError;

/// Intermediate certificates between a peer's and an authority's, when nothing else is said.
const DEPTH: usize = 2;

/// Which certificates are checked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPolicy {
    /// Those who connect to us must show one that an authority vouches for.
    pub callers: bool,
    /// It must also bear one of [`VerifyPolicy::subjects`].
    pub caller_subjects: bool,
    /// Those we connect to likewise.
    pub servers: bool,
    /// It must also bear the name we dialled.
    pub server_names: bool,
    /// Certificates must be valid now.
    pub dates: bool,
    /// Intermediate certificates at most.
    pub depth: usize,
    /// Names accepted from those who connect to us.
    pub subjects: Vec<String>,
}

impl Default for VerifyPolicy {
    fn default() -> Self {
        Self {
            callers: false,
            caller_subjects: false,
            servers: false,
            server_names: false,
            dates: true,
            depth: DEPTH,
            subjects: Vec::new(),
        }
    }
}

impl VerifyPolicy {
    /// Reads the words of `tls-verify-policy`, joined by `|`. Gives those it does not know.
    pub fn parse(words: &str) -> (Self, Vec<String>) {
        let mut policy = Self::default();
        let mut unknown = Vec::new();
        for word in words.split('|').map(str::trim).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "none" => {}
                "in" => policy.callers = true,
                "out" => policy.servers = true,
                "all" => (policy.callers, policy.servers) = (true, true),
                "subjects_in" => (policy.callers, policy.caller_subjects) = (true, true),
                "subjects_out" => (policy.servers, policy.server_names) = (true, true),
                "subjects_all" => {
                    (policy.callers, policy.caller_subjects) = (true, true);
                    (policy.servers, policy.server_names) = (true, true);
                }
                _ => unknown.push(word.to_owned()),
            }
        }
        (policy, unknown)
    }

    pub(super) fn checks_callers(&self) -> bool {
        self.callers || self.caller_subjects
    }

    pub(super) fn checks_servers(&self) -> bool {
        self.servers || self.server_names
    }

    /// The intermediates that may be used to reach an authority.
    fn within_depth<'a, 'b>(&self, chain: &'a [CertificateDer<'b>]) -> &'a [CertificateDer<'b>] {
        chain.get(..self.depth).unwrap_or(chain)
    }

    /// Runs a check; where dates do not matter, at a time that suits every certificate it complains of.
    fn check(
        &self,
        now: UnixTime,
        chain: usize,
        check: impl Fn(UnixTime) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut result = check(now);
        if self.dates {
            return result;
        }
        // Each certificate of the chain may move the time once.
        for _ in 0..=chain {
            let suits = match &result {
                Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                    not_after,
                    ..
                })) => *not_after,
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) => UnixTime::since_unix_epoch(Duration::from_secs(not_before.as_secs())),
                _ => return result,
            };
            result = check(suits);
        }
        result
    }
}

/// The check of those who connect to us.
pub(super) fn callers(
    policy: &VerifyPolicy,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if !policy.checks_callers() {
        return Ok(Arc::new(NoClientAuth));
    }
    let by_authority =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Authority(error.to_string()))?;
    Ok(Arc::new(Callers { policy: policy.clone(), by_authority }))
}

#[derive(Debug)]
struct Callers {
    policy: VerifyPolicy,
    by_authority: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = self.policy.within_depth(intermediates);
        self.policy.check(now, chain.len(), |now| {
            self.by_authority.verify_client_cert(end_entity, chain, now).map(drop)
        })?;
        if self.policy.caller_subjects {
            let shown = ParsedCertificate::try_from(end_entity)?;
            let bears = |name: &String| {
                ServerName::try_from(name.as_str())
                    .is_ok_and(|name| verify_server_name(&shown, &name).is_ok())
            };
            if !self.policy.subjects.iter().any(bears) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// The check of servers we connect to: of what the policy names, and always that the peer holds its certificate's key.
pub fn servers(
    policy: &VerifyPolicy,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Servers { policy: policy.clone(), roots, provider })
}

#[derive(Debug)]
struct Servers {
    policy: VerifyPolicy,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.policy.checks_servers() {
            let shown = ParsedCertificate::try_from(end_entity)?;
            if self.policy.servers {
                let chain = self.policy.within_depth(intermediates);
                let algorithms = self.provider.signature_verification_algorithms.all;
                self.policy.check(now, chain.len(), |now| {
                    verify_server_cert_signed_by_trust_anchor(
                        &shown,
                        &self.roots,
                        chain,
                        now,
                        algorithms,
                    )
                })?;
            }
            if self.policy.server_names {
                verify_server_name(&shown, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
