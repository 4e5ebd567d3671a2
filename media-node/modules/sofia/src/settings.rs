//! A profile's parameters, read once into what the call path asks for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::config::{Params, ProfileConf};
use leg_media::{DtmfType, MediaSettings};
use negotiation::Mode;
use sip::stack::{Rport, RportServer};

use crate::text;
use base::version::COMPATIBLE_FULL;

/// One entry of `apply-inbound-acl`: list, context when it passes, context when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundAcl {
    /// Access list or CIDR.
    pub list: String,
    /// Context of calls that pass.
    pub pass_context: Option<String>,
    /// Context of calls that fail.
    pub fail_context: Option<String>,
}

impl InboundAcl {
    fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, ':').map(str::to_owned);
        let list = parts.next().unwrap_or_default();
        let mut context = || parts.next().filter(|text| !text.is_empty());
        Self { list, pass_context: context(), fail_context: context() }
    }
}

/// What of `P-Asserted-Identity` becomes its variable (`p-asserted-id-parse`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertedForm {
    /// The user part.
    #[default]
    User,
    /// `user@host`.
    UserAndDomain,
    /// The address as sent.
    Verbatim,
}

impl AssertedForm {
    fn parse(text: &str) -> Self {
        match text {
            "user-domain" => Self::UserAndDomain,
            "verbatim" => Self::Verbatim,
            _ => Self::User,
        }
    }
}

/// A profile's settings.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch an administrator knows by name")]
pub struct Settings {
    /// All parameters, for what is asked for rarely.
    pub params: Params,
    /// Those of media.
    pub media: Arc<MediaSettings>,
    /// Address to bind.
    pub sip_ip: IpAddr,
    /// Port to bind; 0 lets the system choose.
    pub sip_port: u16,
    /// Addresses for media, used in turn.
    pub rtp_ips: Vec<IpAddr>,
    /// Address to show for media instead.
    pub ext_rtp_ip: Option<IpAddr>,
    /// Address to show for signalling instead.
    pub ext_sip_ip: Option<IpAddr>,
    /// Where [`Settings::ext_rtp_ip`] comes from.
    pub ext_rtp: External,
    /// Where [`Settings::ext_sip_ip`] comes from.
    pub ext_sip: External,
    /// Port to show for signalling with it; 0 for the one bound.
    pub ext_sip_port: u16,
    /// Answers to where requests come from.
    pub rport: Rport,
    /// Peers in this list see our own address.
    pub local_network_acl: String,
    /// Default context.
    pub context: String,
    /// Dialplans.
    pub dialplan: String,
    /// Digest (or a matching access list) for calls.
    pub auth_calls: bool,
    /// Calls that match no list are refused rather than challenged.
    pub auth_calls_acl_only: bool,
    /// Calls are let in without digest.
    pub accept_blind_auth: bool,
    /// Access lists for calls.
    pub inbound_acl: Vec<InboundAcl>,
    /// All access lists that name peers: those, and of trusted proxies and of who registers without a password.
    pub peer_lists: Vec<String>,
    /// Access lists of proxies whose word about a WebSocket client's address is believed.
    pub trusted_proxies: Vec<String>,
    /// Codecs of calls out.
    pub outbound_codecs: String,
    /// How codecs are chosen.
    pub negotiation: Mode,
    /// Codecs are chosen at the answer.
    pub late_negotiation: bool,
    /// Digits are taken from wherever they come.
    pub liberal_dtmf: bool,
    /// Accept calls without an offer.
    pub enable_3pcc: bool,
    /// `User-Agent` and `Server`; empty leaves the headers out.
    pub user_agent: String,
    /// User part of our Contacts.
    pub contact_user: String,
    /// Header that carries caller id out: `rpid`, `pid` or `none`.
    pub cid_type: String,
    /// Tell the caller who answered.
    pub pass_callee_id: bool,
    /// Identity headers in provisional responses too.
    pub cid_in_1xx: bool,
    /// Music for held parties.
    pub hold_music: Option<String>,
    /// What of `P-Asserted-Identity` its variable shows.
    pub asserted_form: AssertedForm,
    /// All headers of an INVITE become variables.
    pub parse_all_headers: bool,
    /// Phones are told when the party they talk to changes.
    pub send_display_update: bool,
    /// 183 without SDP is not ringing.
    pub ignore_183_nosdp: bool,
    /// 100 Trying when routing begins.
    pub auto_invite_100: bool,
    /// REFER is refused.
    pub disable_transfer: bool,
    /// Media of inbound calls goes past the switch.
    pub inbound_bypass_media: bool,
    /// `inbound-proxy-media`: media passes through unlooked at.
    pub inbound_proxy_media: bool,
    /// The Call-ID becomes the UUID.
    pub callid_as_uuid: bool,
    /// The UUID becomes the Call-ID.
    pub uuid_as_callid: bool,
}

/// What the core falls back to when a profile names no codecs.
pub const DEFAULT_CODECS: &str = "PCMU,PCMA";

impl Settings {
    /// Is presence looked after (`manage-presence`, `manage-shared-appearance`)? Then each call has a `presence_id`.
    #[must_use]
    pub fn manages_presence(&self) -> bool {
        let kinds = ["passive", "pnp"];
        let wanted = |name: &str| {
            self.params.last(name).is_some_and(|value| {
                text::is_true(value) || kinds.iter().any(|kind| value.eq_ignore_ascii_case(kind))
            })
        };
        wanted("manage-presence") || wanted("manage-shared-appearance")
    }

    /// Reads a profile. `local_ip` stands in for addresses left open.
    ///
    /// # Errors
    /// A text that names the parameter and the value that cannot be used.
    pub fn read(conf: &ProfileConf, local_ip: IpAddr) -> Result<Self, String> {
        let params = conf
            .settings
            .clone()
            .ok_or_else(|| format!("profile {} has no <settings>", conf.name))?;
        let get = |name: &str| params.last(name).map(str::trim).filter(|value| !value.is_empty());
        let on = |name: &str, default: bool| get(name).map_or(default, text::is_true);
        let seconds = |name: &str| {
            get(name)
                .and_then(|value| u64::try_from(text::int(value)).ok())
                .filter(|&n| n > 0)
                .map(Duration::from_secs)
        };
        let codecs = |name: &str| {
            get(name).or_else(|| get("codec-prefs")).unwrap_or(DEFAULT_CODECS).to_owned()
        };
        let sip_ip = address("sip-ip", get("sip-ip"), local_ip)?;
        let rtp_ips = params
            .all("rtp-ip")
            .map(|value| address("rtp-ip", Some(value.trim()), local_ip))
            .collect::<Result<Vec<_>, _>>()?;
        let ext_rtp = External::read("ext-rtp-ip", get("ext-rtp-ip"), local_ip);
        let ext_sip = External::read("ext-sip-ip", get("ext-sip-ip"), local_ip);
        let hold = seconds("rtp-hold-timeout-sec");
        let timeout = seconds("rtp-timeout-sec");
        let media = MediaSettings {
            inbound_codecs: codecs("inbound-codec-prefs"),
            te_pt: get("rfc2833-pt")
                .and_then(|value| value.parse().ok())
                .filter(|pt| (96..=127).contains(pt))
                .unwrap_or(101),
            dtmf_type: DtmfType::parse(get("dtmf-type").unwrap_or_default()),
            offers_events: true,
            suppress_cng: on("suppress-cng", false),
            username: get("username").unwrap_or("FreeSWITCH").to_owned(),
            rtp_timer_name: get("rtp-timer-name").unwrap_or("soft").to_owned(),
            rtp_timeout: timeout,
            rtp_hold_timeout: hold.or_else(|| timeout.map(|timeout| timeout * 10)),
            rtcp_interval: get("rtcp-audio-interval-msec")
                .and_then(|value| u64::try_from(text::int(value)).ok())
                .filter(|ms| (100..=500_000).contains(ms))
                .map(Duration::from_millis),
            rtp_auto_adjust: !on("disable-rtp-auto-adjust", false),
            digit_delay_ms: get("rtp-digit-delay")
                .and_then(|value| u32::try_from(text::int(value)).ok())
                .unwrap_or(40),
            candidate_acls: params
                .all("apply-candidate-acl")
                .map(|list| list.trim().to_owned())
                .filter(|list| !list.is_empty())
                .collect(),
            relay: get("turn-server")
                .filter(|uri| !uri.is_empty())
                .map(|uri| {
                    let value = |name: &str| get(name).unwrap_or_default();
                    let authorities = get("turn-ca-file").filter(|file| !file.is_empty());
                    let (user, password) = (value("turn-username"), value("turn-password"));
                    leg_media::turn_server(uri, user, password, authorities)
                })
                .transpose()
                .map_err(|why| format!("turn-server: {why}"))?,
        };
        Ok(Self {
            sip_ip,
            sip_port: match get("sip-port") {
                None => 5060,
                Some("auto") => 0,
                Some(port) => port.parse().map_err(|_| format!("sip-port is no port: {port}"))?,
            },
            rtp_ips: if rtp_ips.is_empty() { vec![sip_ip] } else { rtp_ips },
            ext_rtp_ip: ext_rtp.known(),
            ext_sip_ip: ext_sip.known(),
            ext_rtp,
            ext_sip,
            ext_sip_port: get("ext-sip-port").and_then(|port| port.parse().ok()).unwrap_or(0),
            rport: rport(get("NDLB-force-rport")),
            local_network_acl: get("local-network-acl").unwrap_or("localnet.auto").to_owned(),
            context: get("context").unwrap_or("default").to_owned(),
            dialplan: get("dialplan").unwrap_or("XML").to_owned(),
            auth_calls: on("auth-calls", false),
            auth_calls_acl_only: on("auth-calls-acl-only", false),
            accept_blind_auth: on("accept-blind-auth", false),
            inbound_acl: params
                .all("apply-inbound-acl")
                .map(str::trim)
                .filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
                .map(InboundAcl::parse)
                .collect(),
            peer_lists: ["apply-proxy-acl", "apply-register-acl"]
                .iter()
                .flat_map(|name| params.all(name).map(str::to_owned))
                .chain(
                    params.all("apply-inbound-acl").map(|text| InboundAcl::parse(text.trim()).list),
                )
                .filter(|list| !list.is_empty())
                .collect(),
            trusted_proxies: params
                .all("ws-trusted-proxies")
                .flat_map(|lists| lists.split(','))
                .map(|list| list.trim().to_owned())
                .filter(|list| !list.is_empty())
                .collect(),
            outbound_codecs: codecs("outbound-codec-prefs"),
            negotiation: Mode::parse(get("inbound-codec-negotiation").unwrap_or_default()),
            late_negotiation: on("inbound-late-negotiation", false),
            liberal_dtmf: on("liberal-dtmf", false),
            enable_3pcc: get("enable-3pcc")
                .is_some_and(|value| text::is_true(value) || value.eq_ignore_ascii_case("proxy")),
            user_agent: match get("user-agent-string") {
                None => format!("FreeSWITCH-mod_sofia/{COMPATIBLE_FULL}"),
                Some("_undef_") => String::new(),
                Some(name) => name.to_owned(),
            },
            contact_user: get("contact-user").unwrap_or("mod_sofia").to_owned(),
            cid_type: get("caller-id-type").unwrap_or("rpid").to_ascii_lowercase(),
            pass_callee_id: on("pass-callee-id", true),
            cid_in_1xx: on("cid-in-1xx", true),
            hold_music: get("hold-music").map(str::to_owned),
            parse_all_headers: on("parse-all-invite-headers", false),
            ignore_183_nosdp: on("ignore-183nosdp", false),
            auto_invite_100: on("auto-invite-100", true),
            disable_transfer: on("disable-transfer", false),
            inbound_bypass_media: on("inbound-bypass-media", false),
            inbound_proxy_media: on("inbound-proxy-media", false),
            send_display_update: on("send-display-update", true) && on("allow-update", true),
            asserted_form: AssertedForm::parse(get("p-asserted-id-parse").unwrap_or_default()),
            callid_as_uuid: on("inbound-use-callid-as-uuid", false),
            uuid_as_callid: on("outbound-use-uuid-as-callid", false),
            media: Arc::new(media),
            params,
        })
    }
}

impl Settings {
    /// The address of the profile's URLs: the external one, unless that is for some peers only.
    #[must_use]
    pub fn url_ip(&self) -> IpAddr {
        match self.ext_sip {
            External::AutoNat(_) => self.sip_ip,
            _ => self.ext_sip_ip.unwrap_or(self.sip_ip),
        }
    }
}

fn address(name: &str, value: Option<&str>, local_ip: IpAddr) -> Result<IpAddr, String> {
    let text = match value {
        None | Some("" | "auto") => return Ok(local_ip),
        Some("0.0.0.0") => {
            tracing::warn!("{name}: 0.0.0.0 is no address to show to peers: {local_ip} is used");
            return Ok(local_ip);
        }
        Some(text) => text,
    };
    if let Some(interface) = text.strip_prefix("interface:") {
        let (family, interface) = interface.split_once('/').unwrap_or(("auto", interface));
        return base::machine::address_of(family, interface)
            .ok_or_else(|| format!("{name}: interface {interface} has no address"));
    }
    text.trim_matches(['[', ']']).parse().map_err(|_| format!("{name} is no address: {text}"))
}

/// `NDLB-force-rport`: who is answered where his datagrams come from, and whether we ask for that.
fn rport(value: Option<&str>) -> Rport {
    let default = Rport::default();
    match value.map(str::to_ascii_lowercase).as_deref() {
        Some("safe") => Rport { server: RportServer::KnownPhones, client: true },
        Some("disabled") => Rport { server: RportServer::Never, client: false },
        Some("client-only") => Rport { client: true, ..default },
        Some("server-only") => Rport { server: RportServer::Asked, client: false },
        Some(word) if text::is_true(word) => Rport { server: RportServer::Always, client: true },
        _ => default,
    }
}

/// Where an external address comes from (`ext-sip-ip`, `ext-rtp-ip`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum External {
    /// There is none; also for `auto-nat` where no router tells one.
    #[default]
    None,
    /// Always this one.
    Fixed(IpAddr),
    /// This one, shown to peers outside only and in no profile URL.
    AutoNat(IpAddr),
    /// That of a name, looked up again and again.
    Host(String),
    /// The one that a server sees us at, asked again and again.
    Stun(String),
}

impl External {
    fn read(name: &str, value: Option<&str>, local_ip: IpAddr) -> Self {
        let Some(value) = value else { return Self::None };
        let lower = value.to_ascii_lowercase();
        let after = |prefix: &str| lower.starts_with(prefix).then(|| value.get(prefix.len()..));
        if lower == "auto-nat" {
            return Self::None;
        }
        if lower == "auto" || value == "0.0.0.0" {
            return Self::Fixed(local_ip);
        }
        if let Some(host) = after("host:").flatten() {
            return Self::Host(host.to_owned());
        }
        if let Some(server) = after("stun:").flatten() {
            return Self::Stun(server.to_owned());
        }
        let natted = after("autonat:").flatten();
        match natted.unwrap_or(value).trim_matches(['[', ']']).parse() {
            Ok(ip) if natted.is_some() => Self::AutoNat(ip),
            Ok(ip) => Self::Fixed(ip),
            Err(_) => {
                tracing::error!("{name}: no address: {value}");
                Self::None
            }
        }
    }

    /// The address as far as it is known without asking anybody.
    fn known(&self) -> Option<IpAddr> {
        match self {
            Self::Fixed(ip) | Self::AutoNat(ip) => Some(*ip),
            Self::None | Self::Host(_) | Self::Stun(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_addresses_come_in_many_forms() {
        let own: IpAddr = "10.0.0.5".parse().unwrap();
        let read = |text: &str| External::read("ext-sip-ip", Some(text), own);
        let public: IpAddr = "203.0.113.9".parse().unwrap();
        assert_eq!(read("203.0.113.9"), External::Fixed(public));
        assert_eq!(read("autonat:203.0.113.9"), External::AutoNat(public));
        assert_eq!(read("auto-nat"), External::None);
        assert_eq!(read("auto"), External::Fixed(own));
        assert_eq!(read("host:pbx.example.com"), External::Host("pbx.example.com".into()));
        assert_eq!(
            read("STUN:stun.example.com:3479"),
            External::Stun("stun.example.com:3479".into())
        );
        assert_eq!(read("nonsense"), External::None);
        assert_eq!(External::read("ext-sip-ip", None, own), External::None);
    }

    #[test]
    fn who_gets_rport_unasked_is_said_in_words() {
        let read = |text: &str| rport(Some(text));
        assert_eq!((read("true").server, read("true").client), (RportServer::Always, true));
        assert_eq!((read("safe").server, read("safe").client), (RportServer::KnownPhones, true));
        let only = read("server-only");
        assert_eq!((only.server, only.client), (RportServer::Asked, false));
        let never = read("disabled");
        assert_eq!((never.server, never.client), (RportServer::Never, false));
        assert_eq!((rport(None).server, rport(None).client), (RportServer::Asked, true));
    }
}
