//! TLS for streams: certificates from PEM, server and client side, and whose certificates are believed.

mod ciphers;
mod files;
mod key;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use files::{CertificateFiles, FileError, self_signed, write_private};
pub use verify::{VerifyPolicy, servers as server_verifier};

/// Certificate and key, ready for use. Clones share them, and what [`Tls::replace`] puts in their place serves the
/// connections that begin afterwards.
#[derive(Clone)]
pub struct Tls {
    serving: Arc<ArcSwap<Serving>>,
}

struct Serving {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// For peers that must be vouched for whatever the policy says (`sips:`).
    strict_client: Arc<ClientConfig>,
    not_after: i64,
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
    /// Cipher suites of TLS 1.2, as OpenSSL's lists name them (`tls-ciphers`); empty for all there are here.
    pub ciphers: String,
    /// Opens an encrypted private key (`tls-passphrase`).
    pub passphrase: String,
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TlsError {
    #[error("no certificate in the PEM text")]
    NoCertificate,
    #[error("no private key in the PEM text")]
    NoKey,
    #[error("the private key is encrypted and the passphrase does not open it: {0}")]
    Locked(String),
    #[error(
        "the private key is encrypted in OpenSSL's old form, which is not read here; convert it with: openssl pkcs8 -topk8"
    )]
    OldEncryption,
    #[error("no cipher suite of \"{0}\" is spoken here")]
    NoCipher(String),
    #[error("unreadable certificate: {0}")]
    Unreadable(String),
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
        let serving = Serving::new(options)?;
        Ok(Self { serving: Arc::new(ArcSwap::from_pointee(serving)) })
    }

    /// Serves with other options from the next connection on; those that are open stay as they are.
    ///
    /// # Errors
    /// As [`Tls::new`]; nothing has changed then.
    pub fn replace(&self, options: &TlsOptions) -> Result<(), TlsError> {
        self.serving.store(Arc::new(Serving::new(options)?));
        Ok(())
    }

    /// When the certificate ends, seconds since the epoch.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.serving.load().not_after
    }

    /// For connections that come in.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.serving.load().server))
    }

    /// For connections of ours. With `strict`, an authority must vouch for the peer's certificate and it must bear the
    /// name that is meant, whatever the policy says.
    #[must_use]
    pub fn connector(&self, strict: bool) -> TlsConnector {
        let serving = self.serving.load();
        let config = if strict { &serving.strict_client } else { &serving.client };
        TlsConnector::from(Arc::clone(config))
    }

    /// Whom we mean to reach: the name that was dialled, else the address.
    #[must_use]
    pub fn name_of(ip: IpAddr, name: Option<String>) -> ServerName<'static> {
        name.and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or(ServerName::IpAddress(ip.into()))
    }
}

impl Serving {
    fn new(options: &TlsOptions) -> Result<Self, TlsError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&options.pem).filter_map(Result::ok).collect();
        let first = chain.first().ok_or(TlsError::NoCertificate)?;
        let not_after = not_after(first)?;
        let key = key::read(&options.pem, &options.passphrase)?;
        let mut provider = ring::default_provider();
        if !options.ciphers.trim().is_empty() {
            provider.cipher_suites = ciphers::chosen(&options.ciphers, &provider.cipher_suites)
                .ok_or_else(|| TlsError::NoCipher(options.ciphers.clone()))?;
        }
        let provider = Arc::new(provider);
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
        let client = |policy: &VerifyPolicy| {
            let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&versions)?
                .dangerous()
                .with_custom_certificate_verifier(verify::servers(
                    policy,
                    Arc::clone(&roots),
                    Arc::clone(&provider),
                ))
                .with_client_auth_cert(chain.clone(), key.clone_key())?;
            Ok::<_, TlsError>(Arc::new(config))
        };
        let strict = VerifyPolicy { servers: true, server_names: true, ..policy.clone() };
        Ok(Self {
            server: Arc::new(server),
            client: client(policy)?,
            strict_client: client(&strict)?,
            not_after,
        })
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Result<i64, TlsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| TlsError::Unreadable(error.to_string()))?;
    Ok(parsed.validity().not_after.timestamp())
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
