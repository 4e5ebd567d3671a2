//! HTTPS for lookups. As in the reference, neither the certificate nor its name is checked unless the settings say so.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, RootCertStore};
use streams::tls::{VerifyPolicy, server_verifier};

pub use rustls::ClientConfig;

/// The settings of a binding that concern TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsSettings<'a> {
    /// `enable-cacert-check`: the certificate must lead to a known authority.
    pub check_authority: bool,
    /// `enable-ssl-verifyhost`: it must be for the host asked.
    pub check_name: bool,
    /// `ssl-cacert-file`: authorities; the system's when absent.
    pub authorities: Option<&'a str>,
    /// `ssl-cert-path`: our own certificate, PEM.
    pub certificate: Option<&'a str>,
    /// `ssl-key-path`: its key, PEM; may be in the same file.
    pub key: Option<&'a str>,
    /// `ssl-version`.
    pub version: Option<&'a str>,
    /// A certificate that was good until it expired is good still.
    pub allow_expired: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be used.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// The pieces do not fit together.
    #[error(transparent)]
    Setup(#[from] Error),
}

/// Makes the client's side of TLS.
///
/// # Errors
/// [`TlsError`] when a file cannot be read or a certificate and its key do not fit.
pub fn client(settings: TlsSettings<'_>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match settings.version {
        Some(version) if version.to_ascii_uppercase().ends_with("V1.3") => {
            &[&rustls::version::TLS13]
        }
        _ => rustls::ALL_VERSIONS,
    };
    let roots = match settings.check_authority {
        true => roots(settings.authorities)?,
        false => RootCertStore::empty(),
    };
    let policy = VerifyPolicy {
        servers: settings.check_authority,
        server_names: settings.check_name,
        dates: !settings.allow_expired,
        depth: usize::MAX,
        ..VerifyPolicy::default()
    };
    let verifier = server_verifier(&policy, Arc::new(roots), Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(certificate) = settings.certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let key = settings.key.unwrap_or(certificate);
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| broken(key, &error))?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn broken(file: &str, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { file: file.to_owned(), reason: reason.to_string() }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(Path::new(file))
        .and_then(Iterator::collect)
        .map_err(|error| broken(file, &error))
}

fn roots(file: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = match file {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let settings = TlsSettings {
            check_authority: true,
            authorities: Some("/nowhere/ca.pem"),
            ..TlsSettings::default()
        };
        let error = client(settings).expect_err("no such file").to_string();
        assert!(error.starts_with("/nowhere/ca.pem: "), "{error}");
    }

    #[test]
    fn without_settings_nothing_is_needed() {
        assert!(client(TlsSettings::default()).is_ok());
    }
}
