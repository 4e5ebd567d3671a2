//! One SIP profile: its sockets, its settings, its counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dialplan_xml::config::ProfileConf;
use parking_lot::RwLock;
use sip::stack::Transport;
use sip::stack::{Identity, Stack, StackConfig};

use super::gateway::Gateway;
use super::settings::Settings;
use crate::switch::Switch;

/// A running profile.
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The switch.
    pub switch: Arc<Switch>,
    /// Other names.
    pub aliases: RwLock<Vec<String>>,
    /// Settings that serve now.
    pub settings: ArcSwap<Settings>,
    /// The SIP stack.
    pub stack: Stack,
    /// Its gateways.
    pub gateways: RwLock<Vec<Arc<Gateway>>>,
    /// Who is registered.
    pub bindings: parking_lot::Mutex<sip::registrar::Bindings>,
    /// Nonces given out.
    pub nonces: parking_lot::Mutex<sip::digest::Nonces>,
    /// Counters.
    pub counters: Counters,
    /// Since when, in microseconds since the epoch.
    pub started_us: i64,
    next_rtp_ip: AtomicUsize,
}

/// What `sofia status profile` counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls in.
    pub calls_in: AtomicU64,
    /// Calls in that failed.
    pub failed_in: AtomicU64,
    /// Calls out.
    pub calls_out: AtomicU64,
    /// Calls out that failed.
    pub failed_out: AtomicU64,
    /// Calls now.
    pub in_use: AtomicU64,
}

impl Profile {
    /// Binds the profile's addresses; the receiver yields what comes in.
    ///
    /// # Errors
    /// A text that says what is wrong: a parameter, or an address in use.
    pub async fn start(
        switch: &Arc<Switch>,
        conf: &ProfileConf,
    ) -> Result<(Arc<Self>, tokio::sync::mpsc::Receiver<sip::stack::Incoming>), String> {
        let local_ip = switch
            .global("local_ip_v4")
            .and_then(|text| text.parse().ok())
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let settings = Settings::read(conf, local_ip)?;
        let address = SocketAddr::new(settings.sip_ip, settings.sip_port);
        let mut listen = vec![(Transport::Udp, address), (Transport::Tcp, address)];
        if settings
            .params
            .last("bind-params")
            .is_some_and(|params| params.contains("transport=udp"))
        {
            listen.pop();
        }
        let mut config = StackConfig::new(listen);
        config.identity = identity(&settings);
        if let Some(rate) = settings.params.int("max-recv-requests-per-second") {
            config.limits.requests_per_second = u32::try_from(rate).unwrap_or(0);
        }
        let (stack, incoming) = Stack::start(config).await.map_err(|error| error.to_string())?;
        let mut gateways = Vec::new();
        for gateway in &conf.gateways {
            match Gateway::read(&conf.name, gateway, &settings) {
                Ok(gateway) => gateways.push(Arc::new(gateway)),
                Err(problem) => {
                    tracing::error!("{}: gateway {}: {problem}", gateway.place, gateway.name)
                }
            }
        }
        let profile = Arc::new(Self {
            name: conf.name.clone(),
            switch: Arc::clone(switch),
            aliases: RwLock::new(conf.aliases.clone()),
            settings: ArcSwap::from_pointee(settings),
            stack,
            gateways: RwLock::new(gateways),
            bindings: parking_lot::Mutex::default(),
            nonces: parking_lot::Mutex::default(),
            counters: Counters::default(),
            started_us: crate::clock::now_us(),
            next_rtp_ip: AtomicUsize::new(0),
        });
        Ok((profile, incoming))
    }

    /// The port calls come to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.stack.listening().first().map_or(0, |(_, address)| address.port())
    }

    /// Our signalling address as this peer should see it.
    #[must_use]
    pub fn sip_ip_for(&self, peer: Option<IpAddr>) -> IpAddr {
        let settings = self.settings.load();
        match settings.ext_sip_ip {
            Some(external) if self.is_outside(peer) => external,
            _ => settings.sip_ip,
        }
    }

    /// Our media address as this peer should see it, and the one to bind.
    #[must_use]
    pub fn rtp_ip_for(&self, peer: Option<IpAddr>) -> (IpAddr, IpAddr) {
        let settings = self.settings.load();
        let turn = self.next_rtp_ip.fetch_add(1, Ordering::Relaxed);
        let bind = settings
            .rtp_ips
            .get(turn % settings.rtp_ips.len().max(1))
            .copied()
            .unwrap_or(settings.sip_ip);
        match settings.ext_rtp_ip {
            Some(external) if self.is_outside(peer) => (external, bind),
            _ => (bind, bind),
        }
    }

    /// External addresses are for peers that are neither this machine nor in the local network's list.
    fn is_outside(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return true };
        let settings = self.settings.load();
        !self.switch.acl_allows("loopback.auto", peer)
            && (settings.local_network_acl.eq_ignore_ascii_case("none")
                || !self.switch.acl_allows(&settings.local_network_acl, peer))
    }

    /// `sip:mod_sofia@ip:port`.
    #[must_use]
    pub fn url(&self) -> String {
        let settings = self.settings.load();
        let ip = settings.ext_sip_ip.unwrap_or(settings.sip_ip);
        format!("sip:{}@{}:{}", settings.contact_user, host_text(ip), self.port())
    }

    /// A gateway of this profile.
    #[must_use]
    pub fn gateway(&self, name: &str) -> Option<Arc<Gateway>> {
        self.gateways.read().iter().find(|gateway| gateway.name == name).cloned()
    }
}

/// What the stack says of itself (spec: capabilities advertised).
fn identity(settings: &Settings) -> Identity {
    let on = |name: &str, default: bool| settings.params.last(name).map_or(default, crate::text::is_true);
    let presence = settings
        .params
        .last("manage-presence")
        .is_none_or(|value| crate::text::is_true(value) || matches!(value, "passive" | "pnp"));
    let mut allow = vec!["INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO"];
    let wanted = [
        ("UPDATE", on("allow-update", true)),
        ("REGISTER", !on("disable-register", false)),
        ("REFER", !settings.disable_transfer),
        ("PRACK", on("enable-100rel", false)),
        ("NOTIFY", true),
        ("PUBLISH, SUBSCRIBE", presence),
    ];
    allow.extend(wanted.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name));
    let options = [("100rel", on("enable-100rel", false)), ("timer", on("enable-timer", true))];
    let mut supported: Vec<&str> = options.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
    supported.extend(["path", "replaces"]);
    let events = if presence {
        "talk, hold, conference, presence, as-feature-event, dialog, line-seize, call-info, sla, \
         include-session-description, presence.winfo, message-summary, refer"
    } else {
        "talk, hold, conference, refer"
    };
    Identity {
        user_agent: settings.user_agent.clone(),
        allow: allow.join(", "),
        supported: supported.join(", "),
        allow_events: events.to_owned(),
        accept: "application/sdp".to_owned(),
    }
}

/// An address as it stands in a URI: IPv6 in brackets.
#[must_use]
pub fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
