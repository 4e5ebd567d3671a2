//! Private keys from PEM text, encrypted ones too.

use pkcs8::der::zeroize::Zeroizing;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::TlsError;

/// The first private key of a text. An encrypted one (PKCS #8) is opened with the passphrase.
pub(super) fn read(pem: &[u8], passphrase: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = String::from_utf8_lossy(pem);
    // OpenSSL's form before PKCS #8 says so in a header of the PEM block, which readers of plain keys overlook.
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::OldEncryption);
    }
    if let Ok(key) = PrivateKeyDer::from_pem_slice(pem) {
        return Ok(key);
    }
    let block = encrypted_block(&text).ok_or(TlsError::NoKey)?;
    open(block, passphrase).map_err(TlsError::Locked)
}

/// The first block of an encrypted key, without what stands around it.
fn encrypted_block(text: &str) -> Option<&str> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let from = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let length = text.get(from..)?.find(END)? + END.len();
    text.get(from..from + length)
}

fn open(block: &str, passphrase: &str) -> Result<PrivateKeyDer<'static>, String> {
    let (_, document) =
        pkcs8::SecretDocument::from_pem(block).map_err(|error| error.to_string())?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    let plain = encrypted.decrypt(passphrase).map_err(|error| error.to_string())?;
    let bytes = Zeroizing::new(plain.as_bytes().to_vec());
    PrivateKeyDer::try_from(bytes.to_vec()).map_err(str::to_owned)
}
