//! The certificate shown in DTLS handshakes: `dtls-srtp.pem` in the certificate folder, key and certificate in one file
//! as the reference keeps it; made at the first start.

use std::path::Path;
use std::sync::OnceLock;

use webrtc::dtls::Identity;

use crate::switch::Switch;

/// Name of the file.
const FILE: &str = "dtls-srtp.pem";

/// The certificate of this process; every profile shows the same.
#[derive(Default)]
pub(crate) struct Certificate {
    identity: OnceLock<Option<Identity>>,
}

/// Reads or makes the certificate, if that was not done. Called when a profile starts.
pub fn prepare(switch: &Switch) {
    let slot = switch.module::<Certificate>();
    slot.identity.get_or_init(|| match read_or_make(&switch.dirs.certs_dir) {
        Ok(identity) => Some(identity),
        Err(problem) => {
            tracing::error!("No DTLS: {problem}");
            None
        }
    });
}

/// The certificate; `None` where there is none, or DTLS is not built in.
#[must_use]
pub fn identity(switch: &Switch) -> Option<Identity> {
    switch.module::<Certificate>().identity.get().cloned().flatten()
}

/// Digests of the certificate, the preferred hash function first; empty where there is none: lines that need it are
/// declined then.
#[must_use]
pub fn fingerprints(switch: &Switch) -> Vec<sdp::Fingerprint> {
    let own = identity(switch).map(|identity| identity.fingerprints()).unwrap_or_default();
    own.iter().filter_map(|digest| sdp::Fingerprint::parse(&digest.to_string())).collect()
}

fn read_or_make(dir: &Path) -> Result<Identity, String> {
    let file = dir.join(FILE);
    let said = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    if file.exists() {
        let pem = std::fs::read_to_string(&file).map_err(|error| said(&error))?;
        return Identity::from_pem(&pem).map_err(|error| said(&error));
    }
    let (identity, pem) = Identity::generate().map_err(|error| said(&error))?;
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| streams::tls::write_private(&file, pem.as_bytes()));
    match written {
        Ok(()) => tracing::info!(fs_level = "NOTICE", "Made a certificate: {}", file.display()),
        // It serves all the same, until the next start.
        Err(error) => tracing::warn!("{}", said(&error)),
    }
    Ok(identity)
}
