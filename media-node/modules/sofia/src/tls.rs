//! Certificates of a profile: the administrator's files, or self-signed ones made once; read anew when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sip::stack::{Tls, TlsOptions, VerifyPolicy};
use streams::tls::CertificateFiles;

use super::profile::Profile;
use super::settings::Settings;
use crate::clock;
use crate::switch::Switch;

/// How often files are looked at, in ticks of the profile's clock.
pub(super) const LOOK: u64 = 5;
/// A certificate that ends within this is warned of.
const SOON: i64 = 30 * DAY;
const DAY: i64 = 24 * 60 * 60;

/// The certificates a profile listens with.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    entries: Vec<Entry>,
    /// When the next warning of an end that is near is due, seconds since the epoch.
    warn_at: Mutex<i64>,
}

#[derive(Debug)]
struct Entry {
    /// What it is for: `TLS` or `WSS`.
    purpose: &'static str,
    tls: Tls,
    files: CertificateFiles,
    authorities: PathBuf,
    /// What the files looked like when they were read last.
    seen: Mutex<Seen>,
}

type Seen = (Vec<Option<(std::time::SystemTime, u64)>>, Option<std::time::SystemTime>);

impl Certificates {
    /// For TLS and for secure WebSocket, as far as the profile wants them. `tls-cert-dir`, else the certificate folder,
    /// holds `agent.pem` or `tls.pem`, and `wss.pem` or the pair `wss.crt` and `wss.key`.
    pub(super) fn load(
        switch: &Switch,
        settings: &Settings,
        (name, tls, wss): (&str, bool, bool),
    ) -> Self {
        let own = settings.params.last("tls-cert-dir").filter(|dir| !dir.is_empty());
        let dir = own.map_or_else(|| switch.dirs.certs_dir.clone(), PathBuf::from);
        let mut entries = Vec::new();
        for (wanted, purpose) in [(tls, "TLS"), (wss, "WSS")] {
            if !wanted {
                continue;
            }
            match Entry::load(&dir, purpose, settings) {
                Ok(entry) => entries.push(entry),
                // Calls over other transports must not suffer from a bad certificate.
                Err(problem) => tracing::error!("profile {name}: no {purpose}: {problem}"),
            }
        }
        Self { entries, warn_at: Mutex::default() }
    }

    fn of(&self, purpose: &str) -> Option<Tls> {
        self.entries.iter().find(|entry| entry.purpose == purpose).map(|entry| entry.tls.clone())
    }

    /// That of TLS.
    pub(super) fn tls(&self) -> Option<Tls> {
        self.of("TLS")
    }

    /// That of secure WebSocket.
    pub(super) fn wss(&self) -> Option<Tls> {
        self.of("WSS")
    }

    /// What each is for, and when it ends, seconds since the epoch.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&'static str, i64)> {
        self.entries.iter().map(|entry| (entry.purpose, entry.tls.not_after()))
    }

    /// Reads all files anew; open connections go on with what they have.
    ///
    /// # Errors
    /// What is wrong with which file; the certificate that served before serves on.
    pub(super) fn reload(&self, settings: &Settings) -> Result<(), String> {
        let problems: Vec<String> =
            self.entries.iter().filter_map(|entry| entry.reload(settings).err()).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

impl Entry {
    fn load(dir: &Path, purpose: &'static str, settings: &Settings) -> Result<Self, String> {
        let files = match purpose {
            "TLS" => CertificateFiles::for_tls(dir),
            _ => CertificateFiles::for_wss(dir),
        };
        let files = files.map_err(|error| error.to_string())?;
        let authorities = dir.join("cafile.pem");
        let seen = Mutex::new(seen(&files, &authorities));
        let said =
            |problem: &dyn std::fmt::Display| format!("{}: {problem}", files.main().display());
        let options = options(&files, &authorities, purpose, settings)?;
        let tls = Tls::new(&options).map_err(|error| said(&error))?;
        Ok(Self { purpose, tls, files, authorities, seen })
    }

    fn reload(&self, settings: &Settings) -> Result<(), String> {
        *self.seen.lock() = seen(&self.files, &self.authorities);
        let options = options(&self.files, &self.authorities, self.purpose, settings)?;
        self.tls
            .replace(&options)
            .map_err(|error| format!("{}: {error}", self.files.main().display()))
    }

    fn has_changed(&self) -> bool {
        *self.seen.lock() != seen(&self.files, &self.authorities)
    }
}

fn seen(files: &CertificateFiles, authorities: &Path) -> Seen {
    let modified = std::fs::metadata(authorities).and_then(|metadata| metadata.modified());
    (files.stamp(), modified.ok())
}

fn options(
    files: &CertificateFiles,
    authorities: &Path,
    purpose: &str,
    settings: &Settings,
) -> Result<TlsOptions, String> {
    let text = |name: &str| settings.params.last(name).unwrap_or_default().to_owned();
    let pem = files.read().map_err(|error| error.to_string())?;
    // Browsers have no certificates to show; the policy is about SIP over TLS.
    let verify = if purpose == "TLS" { policy(settings) } else { VerifyPolicy::default() };
    let read = match std::fs::read(authorities) {
        Ok(pem) => pem,
        Err(error) if verify.callers || verify.servers => {
            return Err(format!("tls-verify-policy needs {}: {error}", authorities.display()));
        }
        // Needed for sips: addresses only, which then reach nothing.
        Err(_) => Vec::new(),
    };
    Ok(TlsOptions {
        pem,
        authorities: read,
        verify,
        versions: text("tls-version"),
        ciphers: text("tls-ciphers"),
        passphrase: text("tls-passphrase"),
    })
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

impl Profile {
    /// Reads the certificates anew. A file that cannot be used changes nothing, and is named in the log.
    pub fn reload_certificates(&self) {
        match self.certificates.reload(&self.settings.load()) {
            Ok(()) if self.certificates.entries.is_empty() => {}
            Ok(()) => tracing::info!("TLS certificates of sofia profile {} read anew", self.name),
            Err(problem) => {
                tracing::error!(
                    "profile {}: the certificate stays as it was: {problem}",
                    self.name
                );
            }
        }
        self.look_at_expiry();
    }

    /// Takes certificates in whose files changed.
    pub(super) async fn look_at_certificates(self: &Arc<Self>) {
        if self.certificates.entries.is_empty() {
            return;
        }
        let profile = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            if profile.certificates.entries.iter().any(Entry::has_changed) {
                profile.reload_certificates();
            } else {
                profile.look_at_expiry();
            }
        });
        if tokio::time::timeout(Duration::from_secs(10), looked).await.is_err() {
            tracing::error!("profile {}: certificate files cannot be read in time", self.name);
        }
    }

    /// Warns once a day of certificates that end soon.
    fn look_at_expiry(&self) {
        let now = clock::now_secs();
        let mut warn_at = self.certificates.warn_at.lock();
        let due = now >= *warn_at;
        for entry in &self.certificates.entries {
            let ends = entry.tls.not_after();
            let file = entry.files.main().display();
            if !due || ends - now > SOON {
                continue;
            }
            *warn_at = now + DAY;
            match (ends - now) / DAY {
                _ if ends <= now => tracing::error!("{file}: the certificate has expired"),
                days => tracing::warn!("{file}: the certificate expires in {days} days"),
            }
        }
    }
}
