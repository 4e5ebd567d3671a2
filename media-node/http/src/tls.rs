//! HTTPS for lookups. As in the reference, neither the certificate nor its name is checked unless the settings say so.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

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
    let authority = if settings.check_authority {
        let roots = Arc::new(roots(settings.authorities)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        Some(verifier.build().map_err(|error| TlsError::File {
            file: settings.authorities.unwrap_or("the system's authorities").to_owned(),
            reason: error.to_string(),
        })?)
    } else {
        None
    };
    let verifier = Verifier {
        authority,
        check_name: settings.check_name,
        allow_expired: settings.allow_expired,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
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

/// Checks what the settings ask for; the handshake's signature is always checked.
#[derive(Debug)]
struct Verifier {
    authority: Option<Arc<WebPkiServerVerifier>>,
    check_name: bool,
    allow_expired: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authority) = &self.authority {
            let check =
                |now| authority.verify_server_cert(certificate, intermediates, name, ocsp, now);
            let checked = match check(now) {
                // As it was judged in its last second.
                Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                    not_after,
                    ..
                })) if self.allow_expired => check(not_after),
                checked => checked,
            };
            match checked {
                Err(error) if self.check_name || !is_about_name(&error) => return Err(error),
                _ => {}
            }
        } else if self.check_name {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_about_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
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
