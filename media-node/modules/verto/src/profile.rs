//! A profile: its listeners, its clients, and what its calls' media is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use leg_media::{MediaProfile, MediaSettings};
use parking_lot::RwLock;
use streams::tls::{CertificateFiles, Tls, TlsOptions};
use switch_core::switch::Switch;
use tokio::sync::watch;

use crate::client::Client;
use crate::settings::{CertificatePaths, External, ProfileSettings};

/// A profile.
pub(crate) struct Profile {
    pub(crate) settings: ProfileSettings,
    /// Which listeners work, in the order of the settings.
    pub(crate) listening: RwLock<Vec<bool>>,
    /// TLS, once a certificate could be read.
    pub(crate) tls: ArcSwapOption<Tls>,
    /// The newest first, as the reference lists them.
    pub(crate) clients: RwLock<Vec<Arc<Client>>>,
    /// Turns true when the profile ends.
    pub(crate) stopped: watch::Sender<bool>,
    next_rtp_ip: AtomicUsize,
    external: RwLock<Option<IpAddr>>,
}

impl Profile {
    /// Of these settings. Nothing is bound or read yet.
    pub(crate) fn new(settings: ProfileSettings) -> Self {
        let external = match settings.external {
            External::Fixed(ip) => Some(ip),
            _ => None,
        };
        Self {
            listening: RwLock::new(vec![false; settings.binds.len()]),
            settings,
            tls: ArcSwapOption::empty(),
            clients: RwLock::default(),
            stopped: watch::Sender::new(false),
            next_rtp_ip: AtomicUsize::new(0),
            external: RwLock::new(external),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Reads the certificate, if a listener needs one; connections that are open go on with what they have.
    pub(crate) async fn read_certificate(&self) -> Result<(), String> {
        if !self.settings.binds.iter().any(|bind| bind.secure) {
            return Ok(());
        }
        let paths = self.settings.certificate.clone();
        let made = tokio::task::spawn_blocking(move || make_if_missing(&paths)).await;
        made.map_err(|error| error.to_string())??;
        let pem = pem(&self.settings.certificate).await?;
        let options = TlsOptions { pem, ..TlsOptions::default() };
        let tls = tokio::task::spawn_blocking(move || Tls::new(&options)).await;
        let tls = tls.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.tls.store(Some(Arc::new(tls)));
        Ok(())
    }

    /// Asks for the external address where it is not written.
    pub(crate) async fn ask_for_external_address(&self) {
        let found = match &self.settings.external {
            External::None | External::Fixed(_) => return,
            External::Host(name) => tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map(|mut found| found.next().map(|address| address.ip()))
                .map_err(|error| error.to_string()),
            External::Stun(server) => {
                let local = (self.rtp_ip(0), 0).into();
                base::stun::public_address(server, local).await.map(|found| Some(found.ip()))
            }
        };
        match found {
            Ok(Some(ip)) => *self.external.write() = Some(ip),
            Ok(None) => tracing::error!("{}: ext-rtp-ip: no address", self.name()),
            Err(error) => tracing::error!("{}: ext-rtp-ip: {error}", self.name()),
        }
    }

    fn rtp_ip(&self, turn: usize) -> IpAddr {
        let ips = &self.settings.rtp_ips;
        let first = self.settings.binds.first().map(|bind| bind.address.ip());
        let fallback = first.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        ips.get(turn % ips.len().max(1)).copied().unwrap_or(fallback)
    }

    /// Ends its connections, and listens no more.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.listening.write().iter_mut().for_each(|listens| *listens = false);
        self.clients.read().iter().for_each(|client| client.let_go());
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let (_, mut profiles) = crate::settings::tests::read_text(
            "<profiles><profile name=\"p\"><param name=\"bind-local\" value=\"127.0.0.1:1\"/></profile></profiles>",
        )
        .expect("settings");
        Self::new(profiles.remove(0))
    }
}

/// Makes `wss.pem` at the first start, as the profiles of mod_sofia do.
fn make_if_missing(paths: &CertificatePaths) -> Result<(), String> {
    let usual = paths.cert.file_name().is_some_and(|name| name == "wss.pem");
    let dir = paths.cert.parent().filter(|_| usual && paths.cert == paths.key);
    match dir.filter(|_| !paths.cert.exists()) {
        Some(dir) => CertificateFiles::for_wss(dir).map(|_| ()).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// Certificate, those behind it, and key as one text.
async fn pem(paths: &CertificatePaths) -> Result<Vec<u8>, String> {
    let mut files = vec![&paths.cert];
    for file in [&paths.chain, &paths.key] {
        if !file.as_os_str().is_empty() && !files.contains(&file) {
            files.push(file);
        }
    }
    let mut pem = Vec::new();
    for file in files {
        let text = tokio::fs::read(file).await;
        pem.extend(text.map_err(|error| format!("{}: {error}", file.display()))?);
        pem.push(b'\n');
    }
    Ok(pem)
}

/// What a call's media asks: the profile, and the switch it may not hold itself.
pub(crate) struct LegProfile {
    pub(crate) switch: Arc<Switch>,
    pub(crate) profile: Arc<Profile>,
}

impl MediaProfile for LegProfile {
    fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    fn media_settings(&self) -> Arc<MediaSettings> {
        Arc::clone(&self.profile.settings.media)
    }

    fn rtp_ip_for(&self, peer: Option<IpAddr>) -> (IpAddr, IpAddr) {
        let bind = self.profile.rtp_ip(self.profile.next_rtp_ip.fetch_add(1, Ordering::Relaxed));
        let local = &self.profile.settings.local_network;
        let inside = |peer: IpAddr| {
            self.switch.acl_allows("loopback.auto", peer) || self.switch.acl_allows(local, peer)
        };
        match *self.profile.external.read() {
            Some(external) if !peer.is_some_and(inside) => (external, bind),
            _ => (bind, bind),
        }
    }
}
