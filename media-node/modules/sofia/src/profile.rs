//! One SIP profile: its sockets, its settings, its counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dialplan_xml::config::ProfileConf;
use parking_lot::RwLock;
use sip::stack::Transport;
use sip::stack::{
    DnsOptions, DnsResolver, Identity, LEAST_INTERVAL, Limits, SessionTimers, Stack, StackConfig,
    Tuning, USUAL_LEAST,
};
use sip::uri::{Scheme, SipUri, Uri, with_scheme};

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
    pub settings: Arc<ArcSwap<Settings>>,
    /// The SIP stack.
    pub stack: Stack,
    /// Its gateways.
    pub gateways: RwLock<Vec<Arc<Gateway>>>,
    /// Who is registered.
    pub bindings: parking_lot::Mutex<sip::registrar::Bindings>,
    /// Told when `bindings` changed, for what keeps them on disk.
    pub registrations_changed: Arc<tokio::sync::Notify>,
    /// How many refusals are logged.
    pub refusal_log: super::refusal_log::RefusalLog,
    /// Nonces given out.
    pub nonces: parking_lot::Mutex<sip::digest::Nonces>,
    /// Who wants to be told of what.
    pub subscriptions: parking_lot::Mutex<super::presence::Subscriptions>,
    /// Shared lines.
    pub lines: parking_lot::Mutex<super::shared_lines::Lines>,
    /// What keep-alives found out, by contact.
    pub pings: parking_lot::Mutex<std::collections::HashMap<String, super::notify::Ping>>,
    /// The message trace.
    pub trace: Arc<super::trace::SipTrace>,
    /// Certificates it listens with.
    pub(super) certificates: super::tls::Certificates,
    /// Counters.
    pub counters: Counters,
    /// Since when, in microseconds since the epoch.
    pub started_us: i64,
    /// Name of the domain the profile was written with.
    pub domain: Option<String>,
    next_rtp_ip: AtomicUsize,
    stopped: std::sync::atomic::AtomicBool,
    paused: std::sync::atomic::AtomicBool,
    marked_for_removal: RwLock<Vec<String>>,
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
    /// Calls and registrations refused by access lists.
    pub refused_by_acl: AtomicU64,
}

impl Profile {
    /// Binds the profile's addresses; the receiver yields what comes in.
    ///
    /// # Errors
    /// A text that says what is wrong: a parameter, or an address in use.
    pub async fn start(
        switch: &Arc<Switch>,
        conf: &ProfileConf,
    ) -> Result<(Arc<Self>, sip::stack::Arrivals), String> {
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
        let on = |name: &str| settings.params.last(name).is_some_and(crate::text::is_true);
        let bindings = [
            (Transport::Ws, socket_binding(&settings, "ws-binding")),
            (Transport::Wss, socket_binding(&settings, "wss-binding")),
        ];
        let wants_wss = bindings.iter().any(|(t, at)| *t == Transport::Wss && at.is_some());
        let certificates =
            super::tls::Certificates::load(switch, &settings, (&conf.name, on("tls"), wants_wss));
        if certificates.tls().is_some() {
            let port = match settings.params.last("tls-sip-port").map(str::trim) {
                Some("auto") => 0,
                Some(port) => port.parse().unwrap_or(5061),
                None => 5061,
            };
            if on("tls-only") {
                listen.clear();
            }
            listen.push((Transport::Tls, SocketAddr::new(settings.sip_ip, port)));
        }
        for (transport, address) in bindings {
            let usable = transport == Transport::Ws || certificates.wss().is_some();
            listen.extend(address.filter(|_| usable).map(|address| (transport, address)));
        }
        leg_media::certificate::prepare(switch);
        let mut config = StackConfig::new(listen);
        config.tls = certificates.tls();
        config.wss = certificates.wss();
        config.identity = identity(&settings);
        let trace = Arc::new(super::trace::SipTrace::default());
        trace.set(settings.params.last("sip-trace").is_some_and(crate::text::is_true));
        config.trace = Some(Arc::clone(&trace) as Arc<dyn sip::stack::Trace>);
        config.limits.requests_per_second = requests_per_second(&settings);
        config.limits.proceeding = proceeding(&settings);
        set_timers(&mut config, &settings);
        config.session = session_timers(&settings);
        config.resolver = Some(Arc::new(resolver(&settings)));
        config.rport = settings.rport;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let external = External { switch: Arc::downgrade(switch), settings: Arc::clone(&settings) };
        config.advertise = Some(Arc::new(external) as Arc<dyn sip::stack::Advertise>);
        let standing = Arc::new(super::standing::Standing::new(switch, &settings));
        config.peers = Some(Arc::clone(&standing) as Arc<dyn sip::stack::Peers>);
        config.serve_when = Some(switch.serving.when());
        let (stack, incoming) = Stack::start(config).await.map_err(|error| error.to_string())?;
        let (saved, registered) = if switch.no_sql {
            (None, Vec::new())
        } else {
            super::saved::restore(&switch.dirs.db_dir, &conf.name).await
        };
        let mut bindings = sip::registrar::Bindings::new();
        // A WebSocket ended with the process that served it: its phone registers again when it is back.
        let reachable = |binding: &sip::registrar::Binding| {
            !Transport::parse(&binding.network_proto).is_some_and(Transport::is_websocket)
        };
        for binding in registered.into_iter().filter(reachable) {
            bindings.restore(binding);
        }
        let standby = on_in(&settings.load(), "profile-standby");
        let mut gateways = Vec::new();
        for gateway in &conf.gateways {
            match Gateway::read(&conf.name, gateway, &settings.load()) {
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
            settings,
            stack,
            gateways: RwLock::new(gateways),
            bindings: parking_lot::Mutex::new(bindings),
            registrations_changed: Arc::default(),
            refusal_log: super::refusal_log::RefusalLog::default(),
            nonces: parking_lot::Mutex::default(),
            subscriptions: parking_lot::Mutex::default(),
            lines: parking_lot::Mutex::default(),
            pings: parking_lot::Mutex::default(),
            trace,
            certificates,
            counters: Counters::default(),
            started_us: crate::clock::now_us(),
            domain: conf.domain.clone(),
            next_rtp_ip: AtomicUsize::new(0),
            stopped: std::sync::atomic::AtomicBool::new(false),
            paused: std::sync::atomic::AtomicBool::new(standby),
            marked_for_removal: RwLock::default(),
        });
        standing.set_profile(&profile);
        super::saved::keep(&profile, saved);
        super::gateway_task::start(&profile);
        super::external::start(&profile);
        Ok((profile, incoming))
    }

    /// The port calls come to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.stack.listening().first().map_or(0, |(_, address)| address.port())
    }

    /// The port of a transport; that of the first one when the profile does not listen on it.
    #[must_use]
    pub fn port_for(&self, transport: Transport) -> u16 {
        let found = self.stack.listening().iter().find(|(listening, _)| *listening == transport);
        found.map_or_else(|| self.port(), |(_, address)| address.port())
    }

    /// Does it listen on this transport?
    #[must_use]
    pub fn has(&self, transport: Transport) -> bool {
        self.stack.listening().iter().any(|(listening, _)| *listening == transport)
    }

    /// `sip:mod_sofia@ip:5061`; `None` without TLS.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        let settings = self.settings.load();
        let ip = settings.url_ip();
        let port = self.port_for(Transport::Tls);
        self.has(Transport::Tls)
            .then(|| SipUri::new(&settings.contact_user, ip).port(port).to_string())
    }

    /// `sip:mod_sofia@ip:5066;transport=ws`, `sips:…:7443;transport=wss`; `None` without such a listener.
    #[must_use]
    pub fn websocket_url(&self, transport: Transport) -> Option<String> {
        let (_, address) = self.stack.listening().iter().find(|(t, _)| *t == transport)?;
        let scheme = if transport == Transport::Wss { Scheme::Sips } else { Scheme::Sip };
        let user = &self.settings.load().contact_user;
        Some(SipUri::of(scheme, user, address).param("transport", transport.as_param()).to_string())
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

    fn is_outside(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| is_outside(&self.switch, &self.settings.load(), peer))
    }

    /// `sip:mod_sofia@ip:port`.
    #[must_use]
    pub fn url(&self) -> String {
        let settings = self.settings.load();
        let ip = settings.url_ip();
        SipUri::new(&settings.contact_user, ip).port(self.port()).to_string()
    }

    /// `outbound-proxy`: where requests go that name no other way.
    #[must_use]
    pub fn outbound_proxy(&self) -> Option<Uri> {
        let settings = self.settings.load();
        let proxy = settings.params.last("outbound-proxy").map(str::trim)?;
        Uri::parse(&with_scheme(proxy)).filter(|_| !proxy.is_empty())
    }

    /// Finds hosts as the profile's requests do.
    pub(crate) fn resolver(&self) -> DnsResolver {
        resolver(&self.settings.load())
    }

    /// `session-timeout`, seconds.
    #[must_use]
    pub fn session_expires(&self) -> u32 {
        let seconds = self.settings.load().params.int("session-timeout").unwrap_or(0);
        u32::try_from(seconds).unwrap_or(0)
    }

    /// Ends the profile's clock, gives up its registrations with others, then ends the stack. Its ports are free
    /// afterwards.
    pub async fn leave(self: &Arc<Self>) {
        self.stopped.store(true, Ordering::Relaxed);
        super::gateway_task::unregister_all(self).await;
        self.stack.stop();
        self.stack.stopped().await;
    }

    /// Takes no calls for the time being (`standby`)?
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Takes no calls from now on, or takes them again.
    pub fn pause(&self, on: bool) {
        self.paused.store(on, Ordering::Relaxed);
    }

    /// Is it one of the addresses this profile listens at?
    #[must_use]
    pub fn is_own_address(&self, address: SocketAddr) -> bool {
        self.stack.listening().iter().any(|(_, own)| *own == address)
    }

    /// Was the profile stopped?
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Marks a gateway for deletion: it unregisters first, and goes at a later tick. False if there is none.
    pub fn mark_gateway_for_removal(&self, name: &str) -> bool {
        let Some(gateway) = self.gateway(name) else { return false };
        gateway.registration.lock().unregister();
        self.marked_for_removal.write().push(name.to_owned());
        true
    }

    /// Removes gateways marked for deletion that have nothing left to say.
    pub fn bury_gateways(&self) {
        use sip::gateway::State;
        let marked_for_removal = std::mem::take(&mut *self.marked_for_removal.write());
        for name in marked_for_removal {
            let idle = self.gateway(&name).is_none_or(|g| {
                matches!(g.registration.lock().state(), State::Down | State::Noreg)
            });
            if !idle {
                self.marked_for_removal.write().push(name);
                continue;
            }
            self.gateways.write().retain(|gateway| gateway.name != name);
            let mut event = esl_server::event::Event::custom("sofia::gateway_delete");
            event.push("profile-name", self.name.as_str());
            event.push("Gateway", name.as_str());
            esl_server::fire!(self.switch.bus, event);
        }
    }

    /// Adds the gateways of a configuration that are not there yet. Gives the names of new ones.
    pub fn add_gateways(&self, conf: &ProfileConf) -> Vec<String> {
        let settings = self.settings.load();
        let mut added = Vec::new();
        for gateway in conf.gateways.iter().filter(|gateway| self.gateway(&gateway.name).is_none())
        {
            match Gateway::read(&self.name, gateway, &settings) {
                Ok(gateway) => {
                    added.push(gateway.name.clone());
                    self.gateways.write().push(Arc::new(gateway));
                }
                Err(problem) => {
                    tracing::error!("{}: gateway {}: {problem}", gateway.place, gateway.name)
                }
            }
        }
        for name in &added {
            let mut event = esl_server::event::Event::custom("sofia::gateway_add");
            event.push("Gateway", name.as_str());
            event.push("profile-name", self.name.as_str());
            esl_server::fire!(self.switch.bus, event);
        }
        added
    }

    /// Reads the settings anew from a configuration; addresses and ports stay as they are bound.
    ///
    /// # Errors
    /// A text that says which parameter is wrong; nothing has changed then.
    pub fn rescan(&self, conf: &ProfileConf) -> Result<(), String> {
        let old = self.settings.load();
        let mut settings = Settings::read(conf, old.sip_ip)?;
        settings.sip_ip = old.sip_ip;
        settings.sip_port = old.sip_port;
        // Addresses that others have to be asked for stay known until they answer differently.
        if settings.ext_sip == old.ext_sip {
            settings.ext_sip_ip = old.ext_sip_ip;
        }
        if settings.ext_rtp == old.ext_rtp {
            settings.ext_rtp_ip = old.ext_rtp_ip;
        }
        self.stack.retune(tuning(&settings));
        self.settings.store(Arc::new(settings));
        let mut aliases = self.aliases.write();
        for alias in &conf.aliases {
            if !aliases.contains(alias) {
                aliases.push(alias.clone());
            }
        }
        drop(aliases);
        self.add_gateways(conf);
        Ok(())
    }

    /// A gateway of this profile.
    #[must_use]
    pub fn gateway(&self, name: &str) -> Option<Arc<Gateway>> {
        self.gateways.read().iter().find(|gateway| gateway.name == name).cloned()
    }
}

/// `timer-T1` and its kin, milliseconds.
fn set_timers(config: &mut StackConfig, settings: &Settings) {
    let ms = |name: &str| {
        let value = settings.params.int(name).and_then(|ms| u64::try_from(ms).ok());
        value.filter(|ms| *ms > 0).map(std::time::Duration::from_millis)
    };
    let timers = &mut config.timers;
    timers.t1 = ms("timer-T1").unwrap_or(timers.t1);
    timers.t2 = ms("timer-T2").unwrap_or(timers.t2);
    timers.t4 = ms("timer-T4").unwrap_or(timers.t4);
    timers.t1x64 = ms("timer-T1X64").unwrap_or(timers.t1x64);
}

/// `ws-binding`, `wss-binding`: `ip:port`, or `:port` for the profile's own address.
fn socket_binding(settings: &Settings, name: &str) -> Option<SocketAddr> {
    let text = settings.params.last(name).map(str::trim).filter(|text| !text.is_empty())?;
    let parsed = text.rsplit_once(':').and_then(|(ip, port)| {
        let ip = match ip.trim_start_matches('[').trim_end_matches(']') {
            "" | "auto" => settings.sip_ip,
            ip => ip.parse().ok()?,
        };
        Some(SocketAddr::new(ip, port.parse().ok()?))
    });
    if parsed.is_none() {
        tracing::error!("{name}: {text} is no address and port: not listened on");
    }
    parsed
}

fn on_in(settings: &Settings, name: &str) -> bool {
    settings.params.last(name).is_some_and(crate::text::is_true)
}

fn requests_per_second(settings: &Settings) -> u32 {
    match settings.params.int("max-recv-requests-per-second") {
        Some(rate) => u32::try_from(rate).unwrap_or(0),
        None => Limits::default().requests_per_second,
    }
}

/// What a rescan changes in the running stack.
fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        identity: identity(settings),
        session: session_timers(settings),
        requests_per_second: requests_per_second(settings),
        proceeding: proceeding(settings),
        rport: settings.rport,
    }
}

/// `max-proceeding`; 0 sets no limit.
fn proceeding(settings: &Settings) -> usize {
    let most = settings.params.int("max-proceeding").unwrap_or(0);
    usize::try_from(most).unwrap_or(0)
}

fn resolver(settings: &Settings) -> DnsResolver {
    let on = |name: &str| settings.params.last(name).is_some_and(crate::text::is_true);
    DnsResolver::new(DnsOptions { naptr: !on("disable-naptr"), srv: !on("disable-srv") })
}

/// `session-timeout` and its kin (RFC 4028).
fn session_timers(settings: &Settings) -> SessionTimers {
    let seconds =
        |name: &str| settings.params.int(name).and_then(|s| u32::try_from(s).ok()).unwrap_or(0);
    let on = |name: &str| settings.params.last(name).map(crate::text::is_true);
    let min = seconds("minimum-session-expires");
    SessionTimers {
        supported: on("enable-timer").unwrap_or(true),
        expires: seconds("session-timeout"),
        min: min.max(LEAST_INTERVAL),
        asked_min: if min > 0 { min.max(LEAST_INTERVAL) } else { USUAL_LEAST },
        by_update: on("update-refresher").unwrap_or(false),
    }
}

/// The external address, for peers outside.
struct External {
    switch: std::sync::Weak<Switch>,
    settings: Arc<ArcSwap<Settings>>,
}

impl sip::stack::Advertise for External {
    fn address_for(&self, peer: IpAddr, _transport: Transport) -> Option<SocketAddr> {
        let settings = self.settings.load();
        let external = settings.ext_sip_ip?;
        let outside = is_outside(&*self.switch.upgrade()?, &settings, peer);
        // Port 0 keeps the bound one.
        outside.then(|| SocketAddr::new(external, settings.ext_sip_port))
    }
}

/// External addresses are for peers that are neither this machine nor in the local network's list.
fn is_outside(switch: &Switch, settings: &Settings, peer: IpAddr) -> bool {
    let list = &settings.local_network_acl;
    !switch.acl_allows("loopback.auto", peer)
        && (list.eq_ignore_ascii_case("none") || !switch.acl_allows(list, peer))
}

/// What the stack says of itself (spec: capabilities advertised).
fn identity(settings: &Settings) -> Identity {
    let on = |name: &str, default: bool| {
        settings.params.last(name).map_or(default, crate::text::is_true)
    };
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
    let mut supported: Vec<&str> =
        options.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
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
impl leg_media::MediaProfile for Profile {
    fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    fn media_settings(&self) -> Arc<leg_media::MediaSettings> {
        Arc::clone(&self.settings.load().media)
    }

    fn rtp_ip_for(&self, peer: Option<IpAddr>) -> (IpAddr, IpAddr) {
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
}
