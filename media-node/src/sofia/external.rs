//! External addresses that others must be asked for: names (`host:`) and STUN servers (`stun:`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::profile::Profile;
use super::settings::External;
use crate::stun;

/// Between two questions. A router's address changes rarely, and calls on the way break then anyway.
const AGAIN: Duration = Duration::from_secs(60);

/// Asks now and again as long as the profile runs. The profile does not wait for it: until there is an answer, its own
/// addresses are shown.
pub(super) fn start(profile: &Arc<Profile>) {
    let profile = Arc::downgrade(profile);
    tokio::spawn(async move {
        let mut turn = tokio::time::interval(AGAIN);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let Some(profile) = profile.upgrade() else { return };
            if profile.is_stopped() {
                return;
            }
            look(&profile).await;
        }
    });
}

async fn look(profile: &Profile) {
    let settings = profile.settings.load_full();
    let rtp_ip = settings.rtp_ips.first().copied().unwrap_or(settings.sip_ip);
    let sip = ask("ext-sip-ip", &settings.ext_sip, settings.sip_ip).await;
    // Mostly the two are written the same; one question is enough then.
    let rtp = if settings.ext_rtp == settings.ext_sip && rtp_ip == settings.sip_ip {
        sip
    } else {
        ask("ext-rtp-ip", &settings.ext_rtp, rtp_ip).await
    };
    let news = |found: Option<IpAddr>, old: Option<IpAddr>| found.filter(|ip| Some(*ip) != old);
    let (sip, rtp) = (news(sip, settings.ext_sip_ip), news(rtp, settings.ext_rtp_ip));
    if sip.is_none() && rtp.is_none() {
        return;
    }
    profile.settings.rcu(|settings| {
        let mut settings = (**settings).clone();
        settings.ext_sip_ip = sip.or(settings.ext_sip_ip);
        settings.ext_rtp_ip = rtp.or(settings.ext_rtp_ip);
        settings
    });
    for (name, ip) in [("ext-sip-ip", sip), ("ext-rtp-ip", rtp)] {
        if let Some(ip) = ip {
            tracing::info!(fs_level = "NOTICE", "Profile {}: {name} is {ip}", profile.name);
        }
    }
}

/// `None` when nobody has to be asked, or nobody answers.
async fn ask(name: &str, external: &External, own: IpAddr) -> Option<IpAddr> {
    match external {
        External::None | External::Fixed(_) | External::AutoNat(_) => None,
        External::Host(host) => match tokio::net::lookup_host((host.as_str(), 0)).await {
            Ok(found) => {
                let ips: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                ips.iter().find(|ip| ip.is_ipv4() == own.is_ipv4()).copied()
            }
            Err(error) => {
                tracing::error!("{name}: no address of {host}: {error}");
                None
            }
        },
        External::Stun(server) => {
            match stun::public_address(server, SocketAddr::new(own, 0)).await {
                Ok(found) => Some(found.ip()),
                Err(problem) => {
                    tracing::error!("{name}: STUN server {server} did not help: {problem}");
                    None
                }
            }
        }
    }
}
