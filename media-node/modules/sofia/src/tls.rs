//! Certificates of a profile: the administrator's `agent.pem`, or a self-signed one made once.

use std::path::{Path, PathBuf};

use sip::stack::{Tls, TlsOptions, VerifyPolicy};

use super::settings::Settings;
use crate::switch::Switch;

/// Certificate and key for a profile.
///
/// `tls-cert-dir` (else the certificate folder) holds `agent.pem` or `tls.pem`, certificate and key in one file. When
/// there is neither, a self-signed `tls.pem` is made, as the reference does.
///
/// # Errors
/// A text that names the file and says what is wrong with it.
pub(super) fn certificate(switch: &Switch, settings: &Settings) -> Result<Tls, String> {
    let own = settings.params.last("tls-cert-dir").filter(|dir| !dir.is_empty());
    let dir = own.map_or_else(|| switch.dirs.certs_dir.clone(), PathBuf::from);
    let candidates = [dir.join("agent.pem"), dir.join("tls.pem")];
    let file = match candidates.iter().find(|file| file.exists()) {
        Some(file) => file.clone(),
        None => make(&dir)?,
    };
    let said = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let pem = std::fs::read(&file).map_err(|error| said(&error))?;
    let verify = policy(settings);
    let checks = verify.callers || verify.servers;
    let authorities = if checks { authorities(&dir)? } else { Vec::new() };
    let versions = settings.params.last("tls-version").unwrap_or_default().to_owned();
    let options = TlsOptions { pem, authorities, verify, versions };
    Tls::new(&options).map_err(|error| said(&error))
}

/// Whose certificates are checked: `tls-verify-policy` and its kin.
fn policy(settings: &Settings) -> VerifyPolicy {
    let get = |name: &str| settings.params.last(name).map(str::trim).filter(|v| !v.is_empty());
    let (mut policy, unknown) = VerifyPolicy::parse(get("tls-verify-policy").unwrap_or("none"));
    for word in unknown {
        tracing::error!(
            "tls-verify-policy: {word} is none of none, in, out, all, subjects_in, subjects_out, subjects_all"
        );
    }
    policy.dates = get("tls-verify-date").is_none_or(crate::text::is_true);
    if let Some(depth) = get("tls-verify-depth").and_then(|text| text.parse().ok()) {
        policy.depth = depth;
    }
    let subjects = get("tls-verify-in-subjects").unwrap_or_default();
    policy.subjects = subjects
        .split('|')
        .map(|name| name.trim().trim_start_matches("sip:").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    policy
}

/// The authorities believed: `cafile.pem` beside the certificate.
fn authorities(dir: &Path) -> Result<Vec<u8>, String> {
    let file = dir.join("cafile.pem");
    std::fs::read(&file)
        .map_err(|error| format!("tls-verify-policy needs {}: {error}", file.display()))
}

/// Makes a self-signed certificate that only its owner may read.
fn make(dir: &Path) -> Result<PathBuf, String> {
    let file = dir.join("tls.pem");
    let said = |problem: &dyn std::fmt::Display| {
        format!("{}: cannot make a certificate: {problem}", file.display())
    };
    let made = rcgen::generate_simple_self_signed(vec!["FreeSWITCH".to_owned()])
        .map_err(|error| said(&error))?;
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::create_dir_all(dir).map_err(|error| said(&error))?;
    write_private(&file, pem.as_bytes()).map_err(|error| said(&error))?;
    tracing::info!(fs_level = "NOTICE", "Made a self-signed certificate: {}", file.display());
    Ok(file)
}

fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut out =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(bytes)
}
