//! Certificates on disk, under the names the reference looks for, made when there are none and read anew when they change.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;

/// A certificate file that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {reason}", file.display())]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl FileError {
    fn new(file: &Path, reason: impl ToString) -> Self {
        Self { file: file.to_owned(), reason: reason.to_string() }
    }
}

/// The files one listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Certificate chain and key in one file, or the chain alone.
    chain: PathBuf,
    /// The key, when it is a file of its own.
    key: Option<PathBuf>,
}

impl CertificateFiles {
    /// For TLS: `agent.pem`, else `tls.pem`, which is made when there is neither.
    ///
    /// # Errors
    /// When none could be made.
    pub fn for_tls(dir: &Path) -> Result<Self, FileError> {
        let agent = dir.join("agent.pem");
        let chain = if agent.exists() { agent } else { made_if_missing(dir.join("tls.pem"))? };
        Ok(Self { chain, key: None })
    }

    /// For WebSocket: `wss.crt` and `wss.key` together, else `wss.pem`, which is made when there is none.
    ///
    /// # Errors
    /// When none could be made.
    pub fn for_wss(dir: &Path) -> Result<Self, FileError> {
        let (certificate, key) = (dir.join("wss.crt"), dir.join("wss.key"));
        if certificate.exists() && key.exists() {
            return Ok(Self { chain: certificate, key: Some(key) });
        }
        Ok(Self { chain: made_if_missing(dir.join("wss.pem"))?, key: None })
    }

    /// The file that is named when something is wrong.
    #[must_use]
    pub fn main(&self) -> &Path {
        &self.chain
    }

    /// Certificate chain and key as one PEM text.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        let mut pem = Vec::new();
        for file in self.all() {
            pem.extend(std::fs::read(file).map_err(|error| FileError::new(file, error))?);
            pem.push(b'\n');
        }
        Ok(pem)
    }

    /// Changes when a file was written or replaced; for comparison only.
    #[must_use]
    pub fn stamp(&self) -> Vec<Option<(SystemTime, u64)>> {
        let of = |file: &Path| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.all().map(of).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.chain.as_path()).chain(self.key.as_deref())
    }
}

fn made_if_missing(file: PathBuf) -> Result<PathBuf, FileError> {
    if !file.exists() {
        let said = |error: &dyn std::fmt::Display| {
            FileError::new(&file, format!("cannot make a certificate: {error}"))
        };
        let pem = self_signed().map_err(|error| said(&error))?;
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).map_err(|error| said(&error))?;
        }
        write_private(&file, pem.as_bytes()).map_err(|error| said(&error))?;
        tracing::info!(fs_level = "NOTICE", "Made a self-signed certificate: {}", file.display());
    }
    Ok(file)
}

/// A new self-signed certificate and its key as PEM text, under the name the reference gives its own.
///
/// # Errors
/// When the system has no random numbers.
pub fn self_signed() -> Result<String, rcgen::Error> {
    let made = rcgen::generate_simple_self_signed(vec!["FreeSWITCH".to_owned()])?;
    Ok(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Writes a file that only its owner may read. One that is there already stays as it is: two profiles that start
/// together may both find it missing.
///
/// # Errors
/// When the file cannot be made or written.
pub fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(mut out) => out.write_all(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Tls, TlsOptions};
    use super::*;

    #[test]
    fn what_is_missing_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = CertificateFiles::for_wss(dir.path()).unwrap();
        let pem = made.read().unwrap();
        assert!(Tls::from_pem(&pem).is_ok());
        assert_eq!(CertificateFiles::for_wss(dir.path()).unwrap().read().unwrap(), pem);
        let stamp = made.stamp();
        std::fs::write(made.main(), [&pem[..], b"\n"].concat()).unwrap();
        assert_ne!(made.stamp(), stamp);
    }

    #[test]
    fn a_pair_of_files_comes_before_one_that_would_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let pem = self_signed().unwrap();
        let (certificate, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap());
        std::fs::write(dir.path().join("wss.crt"), certificate).unwrap();
        std::fs::write(dir.path().join("wss.key"), key).unwrap();
        let files = CertificateFiles::for_wss(dir.path()).unwrap();
        assert!(Tls::from_pem(&files.read().unwrap()).is_ok());
        assert!(!dir.path().join("wss.pem").exists());
    }

    #[test]
    fn an_encrypted_key_is_opened_with_its_passphrase() {
        use pkcs8::pkcs5::pbes2::Parameters;
        let pem = self_signed().unwrap();
        let (certificate, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap());
        let (_, document) = pkcs8::SecretDocument::from_pem(key).unwrap();
        let info = pkcs8::PrivateKeyInfo::try_from(document.as_bytes()).unwrap();
        let how = Parameters::pbkdf2_sha256_aes256cbc(1000, b"saltsalt", &[7; 16]).unwrap();
        let locked = info.encrypt_with_params(how, "open sesame").unwrap();
        let locked = locked.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap();
        let pem = format!("{certificate}{}", locked.as_str()).into_bytes();
        let tls = |passphrase: &str| {
            Tls::new(&TlsOptions {
                pem: pem.clone(),
                passphrase: passphrase.into(),
                ..TlsOptions::default()
            })
        };
        assert!(tls("open sesame").is_ok());
        assert!(tls("wrong").is_err());
    }
}
