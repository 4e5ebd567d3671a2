//! A gateway: a carrier, how to reach it and who we are to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dialplan_xml::config::GatewayConf;
use parking_lot::Mutex;
use sip::digest::{AuthRequest, Authorizer, Challenge, PasswordAuthorizer, Secret};
use sip::gateway::{Registration, Timing};
use sip::message::Name;
use sip::uri::{NameAddr, SipUri, with_scheme};

use super::account_guard::{AccountHosts, GuardedAccount};
use super::profile::Profile;
use super::settings::Settings;
use crate::switch::Switch;
use crate::text;

/// One gateway.
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The profile it belongs to.
    pub profile: String,
    /// Its configuration.
    pub conf: GatewayConf,
    /// Account.
    pub username: String,
    /// Secret; never shown.
    pub password: String,
    /// Digest user name.
    pub auth_username: String,
    /// Realm.
    pub realm: String,
    /// Host (and port, parameters) calls go to.
    pub proxy: String,
    /// User part of From.
    pub from_user: String,
    /// Host part of From.
    pub from_domain: Option<String>,
    /// From carries the caller's number.
    pub caller_id_in_from: bool,
    /// Does it register?
    pub register: bool,
    /// Where calls from it go.
    pub extension: Option<String>,
    /// Context of calls from it.
    pub context: Option<String>,
    /// `udp`, `tcp`.
    pub transport: String,
    /// Prefix of dialled numbers.
    pub destination_prefix: String,
    /// Next hop of calls.
    pub outbound_proxy: Option<String>,
    /// Next hop of REGISTER and OPTIONS.
    pub register_proxy: Option<String>,
    /// Parameters of our Contact.
    pub contact_params: String,
    /// Host of our Contact, instead of the profile's address.
    pub contact_host: Option<String>,
    /// The extension stands in the Contact's user part.
    pub extension_in_contact: bool,
    /// To of REGISTER is the account at the proxy rather than From.
    pub distinct_to: bool,
    /// Intervals.
    pub timing: Timing,
    /// Call-ID of all its REGISTERs.
    pub call_id: String,
    /// Registration and reachability.
    pub registration: Mutex<Registration>,
    /// The present series of REGISTERs.
    pub series: Mutex<Series>,
    /// What pings found out.
    pub pings: Mutex<Pings>,
    /// Hosts its credentials are sent to.
    pub account_hosts: Arc<AccountHosts>,
    /// Address the registrar last answered from, or was last sent to.
    pub network: Mutex<Option<SocketAddr>>,
    /// Counters.
    pub counters: GatewayCounters,
}

/// REGISTERs that belong together: one tag, rising numbers, credentials kept.
#[derive(Debug, Default)]
pub struct Series {
    /// From tag and the last number used; `None` before the first REGISTER.
    pub started: Option<(String, u32)>,
    /// Credentials of this series.
    pub authorizer: Option<Arc<PasswordAuthorizer>>,
}

/// Pings as listings show them.
#[derive(Debug, Default)]
pub struct Pings {
    /// Round trip of the last one answered.
    pub time: Duration,
}

/// Calls through a gateway.
#[derive(Debug, Default)]
pub struct GatewayCounters {
    /// Calls in.
    pub calls_in: AtomicU64,
    /// Calls out.
    pub calls_out: AtomicU64,
    /// Calls in that failed.
    pub failed_in: AtomicU64,
    /// Calls out that failed.
    pub failed_out: AtomicU64,
}

impl Gateway {
    /// Reads a gateway.
    ///
    /// # Errors
    /// A text that says what is missing.
    pub fn read(profile: &str, conf: &GatewayConf, settings: &Settings) -> Result<Self, String> {
        let get = |name: &str| {
            conf.params
                .get(name)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if conf.name.is_empty() || !conf.name.chars().all(legal) {
            return Err("a gateway's name has letters, digits, dots, dashes and underscores".into());
        }
        let register = get("register").is_none_or(|value| text::is_true(&value));
        let username = match get("username") {
            Some(username) => username,
            None if register => return Err("a gateway that registers needs a username".into()),
            None => "FreeSWITCH".into(),
        };
        let password = match get("password") {
            Some(password) => password,
            None if register => return Err("a gateway that registers needs a password".into()),
            None => String::new(),
        };
        let named_proxy = get("proxy").map(|proxy| without_scheme(&proxy).to_owned());
        let realm =
            get("realm").or_else(|| named_proxy.clone()).unwrap_or_else(|| conf.name.clone());
        let timing = timing(&get, register)?;
        let proxy = named_proxy.unwrap_or_else(|| realm.clone());
        let transport = transport(&get)?;
        let ways = [
            Some(proxy.clone()),
            get("register-proxy"),
            get("outbound-proxy"),
            settings.params.last("outbound-proxy").map(str::to_owned),
        ];
        let ways = ways.iter().flatten().map(String::as_str);
        let account_hosts = Arc::new(AccountHosts::new(get("gw-auth-acl"), ways, &transport));
        Ok(Self {
            name: conf.name.clone(),
            profile: profile.to_owned(),
            auth_username: get("auth-username").unwrap_or_else(|| username.clone()),
            proxy,
            account_hosts,
            from_user: get("from-user").unwrap_or_else(|| username.clone()),
            from_domain: get("from-domain"),
            caller_id_in_from: get("caller-id-in-from").is_some_and(|value| text::is_true(&value)),
            extension: get("extension"),
            context: get("context"),
            transport,
            destination_prefix: get("destination-prefix").unwrap_or_default(),
            outbound_proxy: get("outbound-proxy"),
            register_proxy: get("register-proxy"),
            contact_params: get("contact-params")
                .map(|p| format!("{};", p.trim_matches(';')))
                .unwrap_or_default(),
            contact_host: get("contact-host"),
            extension_in_contact: get("extension-in-contact")
                .is_some_and(|value| text::is_true(&value)),
            distinct_to: get("distinct-to").is_some_and(|value| text::is_true(&value)),
            call_id: crate::clock::new_uuid(),
            registration: Mutex::new(Registration::new(Instant::now(), timing)),
            series: Mutex::default(),
            pings: Mutex::default(),
            network: Mutex::default(),
            timing,
            counters: GatewayCounters::default(),
            conf: conf.clone(),
            username,
            password,
            realm,
            register,
        })
    }

    /// Answers the carrier's challenges.
    #[must_use]
    pub fn authorizer(&self, switch: &Arc<Switch>) -> Arc<dyn Authorizer> {
        self.guarded(switch, self.own_authorizer())
    }

    /// The account, whose credentials go to the hosts of [`AccountHosts`] only.
    pub(super) fn guarded(
        &self,
        switch: &Arc<Switch>,
        account: Arc<PasswordAuthorizer>,
    ) -> Arc<dyn Authorizer> {
        Arc::new(GuardedAccount {
            account,
            hosts: Arc::clone(&self.account_hosts),
            gateway: self.name.clone(),
            profile: self.profile.clone(),
            switch: Arc::downgrade(switch),
        })
    }

    pub(super) fn own_authorizer(&self) -> Arc<PasswordAuthorizer> {
        let secret = Secret::Password(self.password.clone());
        Arc::new(PasswordAuthorizer::new(self.auth_username.clone(), secret, String::new()))
    }

    /// Can calls go out through it now?
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.registration.lock().is_up()
    }

    /// Host of the account's addresses: `from-domain`, else the proxy.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.from_domain
            .as_deref()
            // Those take the caller's; without one it is the proxy's.
            .filter(|domain| !domain.starts_with("auto-aleg-"))
            .unwrap_or_else(|| self.proxy.split(';').next().unwrap_or_default())
    }

    /// `sip:PROXY;transport=T`: where REGISTER and OPTIONS are addressed.
    #[must_use]
    pub fn register_url(&self) -> String {
        let url = with_scheme(&self.proxy);
        if self.proxy.contains("transport=") {
            url.into_owned()
        } else {
            format!("{url};transport={}", self.transport)
        }
    }

    /// `<sip:FROMUSER@DOMAIN>`.
    #[must_use]
    pub fn from_text(&self) -> String {
        SipUri::new(&self.from_user, self.domain()).bracketed()
    }

    /// `sip:USER@PROXY`, as listings show the account.
    #[must_use]
    pub fn to_text(&self) -> String {
        SipUri::new(&self.username, &self.proxy).to_string()
    }

    /// `<sip:gw+NAME@IP:PORT;transport=T;gw=NAME>`.
    #[must_use]
    pub fn contact_text(&self, profile: &Profile) -> String {
        let settings = profile.settings.load();
        self.contact_at(profile, settings.ext_sip_ip.unwrap_or(settings.sip_ip))
    }

    /// The same as it stands in an INVITE: with the address that peer is to see.
    #[must_use]
    pub fn contact_for(&self, profile: &Profile, peer: Option<IpAddr>) -> String {
        self.contact_at(profile, profile.sip_ip_for(peer))
    }

    fn contact_at(&self, profile: &Profile, ip: IpAddr) -> String {
        let settings = profile.settings.load();
        let host = match self.contact_host.as_deref() {
            Some("sip-ip") => settings.sip_ip.to_string(),
            Some(host) => host.to_owned(),
            None => ip.to_string(),
        };
        let user = match &self.extension {
            Some(extension) if self.extension_in_contact => extension.clone(),
            _ => format!("gw+{}", self.name),
        };
        let Self { contact_params, transport, name, .. } = self;
        let by = sip::stack::Transport::parse(transport).unwrap_or(sip::stack::Transport::Udp);
        SipUri::new(&user, host)
            .port(profile.port_for(by))
            .params(&format!(";{contact_params}transport={transport};gw={name}"))
            .bracketed()
    }

    /// The extension calls from it go to, as listings show it.
    #[must_use]
    pub fn extension_shown(&self) -> &str {
        self.extension.as_deref().unwrap_or(&self.username)
    }
}

/// Answers challenges with whichever gateway of a profile they concern: its name, its realm, or the host called.
#[derive(Clone)]
pub struct ByRealm {
    gateways: Vec<Arc<Gateway>>,
    switch: Weak<Switch>,
}

impl ByRealm {
    /// The accounts of a profile; `None` when it has none.
    #[must_use]
    pub fn of(profile: &Profile) -> Option<Self> {
        let gateways = profile.gateways.read();
        let with_account = gateways.iter().filter(|gateway| !gateway.password.is_empty());
        let found: Vec<_> = with_account.cloned().collect();
        let switch = Arc::downgrade(&profile.switch);
        (!found.is_empty()).then_some(Self { gateways: found, switch })
    }
}

impl std::fmt::Debug for ByRealm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.gateways.iter().map(|gateway| &gateway.name)).finish()
    }
}

impl Authorizer for ByRealm {
    fn answer(&self, challenges: &[Challenge], request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let called = NameAddr::parse(request.to).map(|to| to.uri.host().to_owned());
        let concerns = |gateway: &Gateway, realm: &str| {
            gateway.name == realm
                || gateway.realm == realm
                || called.as_deref().is_some_and(|host| gateway.domain() == host)
        };
        let gateways = &self.gateways;
        let chosen = challenges
            .iter()
            .find_map(|challenge| gateways.iter().find(|g| concerns(g, &challenge.realm)));
        let (Some(gateway), Some(switch)) = (chosen, self.switch.upgrade()) else {
            return Vec::new();
        };
        gateway.authorizer(&switch).answer(challenges, request)
    }
}

/// An address without the `sip:` that some write before it: it becomes the host of other addresses.
fn without_scheme(text: &str) -> &str {
    match text.split_at_checked(4) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip:") => rest,
        _ => text,
    }
}

fn transport(get: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    match get("register-transport").unwrap_or_else(|| "udp".into()) {
        known if matches!(known.as_str(), "udp" | "tcp" | "tls") => Ok(known),
        other => Err(format!("ERROR: unsupported transport: {other}")),
    }
}

/// Intervals; each has a least value below which the default serves.
fn timing(get: &impl Fn(&str) -> Option<String>, register: bool) -> Result<Timing, String> {
    let seconds = |name: &str, default: u32| {
        let value = get(name).and_then(|v| u32::try_from(text::int(&v)).ok());
        value.filter(|s| *s >= 5).unwrap_or(default)
    };
    let ping = match get("ping").map(|v| u32::try_from(text::int(&v)).unwrap_or(0)) {
        None => None,
        Some(ping) if ping >= 5 => Some(ping),
        Some(_) => {
            tracing::error!("ERROR: invalid ping!");
            None
        }
    };
    let count = |name: &str| {
        let value = get(name).and_then(|v| i32::try_from(text::int(&v)).ok()).unwrap_or(0);
        if ping.is_some() { value.max(1) } else { value.max(0) }
    };
    let retry = seconds("retry_seconds", seconds("retry-seconds", 30));
    Ok(Timing {
        register,
        expires: seconds("expire-seconds", 3600),
        retry,
        retry_timeout: get("908-retry-seconds").and_then(|v| u32::try_from(text::int(&v)).ok()),
        timeout: seconds("timeout-seconds", 60),
        ping,
        ping_min: count("ping-min"),
        ping_max: count("ping-max"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_whether_sip_stands_before_it_or_not() {
        for written in ["192.0.2.1:5080;transport=tcp", "sip:192.0.2.1:5080;transport=tcp"] {
            assert_eq!(without_scheme(written), "192.0.2.1:5080;transport=tcp");
        }
        assert_eq!(without_scheme("SIP:carrier.test"), "carrier.test");
        for other in ["sip", "sip.carrier.test", "sips:carrier.test", "ä:"] {
            assert_eq!(without_scheme(other), other);
        }
    }
}
