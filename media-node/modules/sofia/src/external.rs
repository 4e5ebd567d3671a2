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
        let mut told = String::new();
        loop {
            turn.tick().await;
            let Some(profile) = profile.upgrade() else { return };
            if profile.is_stopped() {
                return;
            }
            crate::tasks::step("External address", look(&profile, &mut told)).await;
        }
    });
}

/// `told` is the trouble last reported: the same is not reported every minute.
async fn look(profile: &Profile, told: &mut String) {
    let settings = profile.settings.load_full();
    let rtp_ip = settings.rtp_ips.first().copied().unwrap_or(settings.sip_ip);
    let sip = ask(&settings.ext_sip, settings.sip_ip).await;
    // Mostly the two are written the same; one question is enough then.
    let rtp = if settings.ext_rtp == settings.ext_sip && rtp_ip == settings.sip_ip {
        sip.clone()
    } else {
        ask(&settings.ext_rtp, rtp_ip).await
    };
    let trouble = [&sip, &rtp].into_iter().find_map(|asked| asked.as_ref().err());
    let trouble = trouble.cloned().unwrap_or_default();
    if !trouble.is_empty() && trouble != *told {
        tracing::error!("Profile {}: no external address: {trouble}", profile.name);
    }
    *told = trouble;
    let (sip, rtp) = (sip.ok().flatten(), rtp.ok().flatten());
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

/// `None` when no server has to be asked.
async fn ask(external: &External, own: IpAddr) -> Result<Option<IpAddr>, String> {
    match external {
        External::None | External::Fixed(_) | External::AutoNat(_) => Ok(None),
        External::Host(host) => {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found = found.map_err(|error| format!("{host}: {error}"))?;
            let ips: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            let fits = ips.iter().find(|ip| ip.is_ipv4() == own.is_ipv4()).copied();
            fits.map(Some).ok_or_else(|| format!("{host} has no address of our family"))
        }
        External::Stun(server) => {
            let found = stun::public_address(server, SocketAddr::new(own, 0)).await;
            let found = found.map_err(|problem| format!("STUN server {server}: {problem}"))?;
            Ok(Some(found.ip()))
        }
    }
}
