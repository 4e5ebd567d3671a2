//! TLS for streams: certificates from PEM, server and client side, and whose certificates are believed.

mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use verify::VerifyPolicy;

/// Certificate and key, ready for use.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What TLS is set up with.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Certificate chain and private key in one PEM text, as `agent.pem` has them.
    pub pem: Vec<u8>,
    /// Certificates of authorities that are believed, as PEM text (`cafile.pem`).
    pub authorities: Vec<u8>,
    /// Whose certificates are checked.
    pub verify: VerifyPolicy,
    /// Versions spoken, as `tls-version` lists them (`tlsv1.2,tlsv1.3`); empty for all there are here.
    pub versions: String,
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TlsError {
    #[error("no certificate in the PEM text")]
    NoCertificate,
    #[error("no private key in the PEM text")]
    NoKey,
    #[error("certificates are to be verified, and there are none of authorities")]
    NoAuthority,
    #[error("none of the versions \"{0}\" is spoken here (tlsv1.2 and tlsv1.3 are)")]
    NoVersion(String),
    #[error("unusable certificate of an authority: {0}")]
    Authority(String),
    #[error("unusable certificate or key: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// Certificate and key from PEM text that holds both; nobody's certificate is verified.
    ///
    /// # Errors
    /// When one of the two is missing, or they do not fit together.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        Self::new(&TlsOptions { pem: pem.to_vec(), ..TlsOptions::default() })
    }

    /// As the options say.
    ///
    /// # Errors
    /// When certificate or key are missing or do not fit, or when certificates are to be verified and
    /// there is nothing to verify them by.
    pub fn new(options: &TlsOptions) -> Result<Self, TlsError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&options.pem).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(&options.pem).map_err(|_| TlsError::NoKey)?;
        let provider = Arc::new(ring::default_provider());
        let versions = versions(&options.versions)?;
        let roots = Arc::new(authorities(&options.authorities)?);
        let policy = &options.verify;
        if roots.is_empty() && (policy.checks_callers() || policy.checks_servers()) {
            return Err(TlsError::NoAuthority);
        }
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(verify::callers(policy, &roots, &provider)?)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(verify::servers(policy, roots, provider))
            .with_client_auth_cert(chain, key)?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.client))
    }

    /// Whom we mean to reach: the name that was dialled, else the address.
    pub(super) fn name_of(ip: IpAddr, name: Option<String>) -> ServerName<'static> {
        name.and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or(ServerName::IpAddress(ip.into()))
    }
}

/// The versions of a `tls-version` list. Older ones than 1.2 are not spoken here.
fn versions(list: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let mut chosen = Vec::new();
    for word in list.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => chosen.push(&version::TLS12),
            "tlsv1.3" => chosen.push(&version::TLS13),
            // Names of libraries' "all versions" mode.
            "tls" | "ssl" | "sslv23" => chosen.extend([&version::TLS12, &version::TLS13]),
            _ => {}
        }
    }
    if list.trim().is_empty() {
        return Ok(rustls::ALL_VERSIONS.to_vec());
    }
    if chosen.is_empty() {
        return Err(TlsError::NoVersion(list.to_owned()));
    }
    Ok(chosen)
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::Authority(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    Ok(roots)
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}
