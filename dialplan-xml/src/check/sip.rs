//! SIP profiles, gateways, the Event Socket: names, ports, passwords, access lists.

use std::collections::HashMap;

use super::Subject;
use crate::acl::{AclSet, LocalNet};
use crate::config::{AclConf, EventSocketConf, GatewayConf, Params, SofiaConf, SwitchConf};
use crate::text::is_true;
use crate::{Diagnostic, Place};

pub(super) fn check(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    profiles(subject, &sofia);
    let gateways: Vec<_> = sofia.profiles.iter().flat_map(|p| &p.gateways).collect();
    self::gateways(subject, &gateways);
    ports(subject, &sofia);
    lists(subject, &sofia);
    event_socket(subject);
}

fn profiles(subject: &mut Subject<'_>, sofia: &SofiaConf) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for profile in &sofia.profiles {
        if profile.settings.is_none() {
            let message =
                format!("profile \"{}\" has no <settings> and does not start", profile.name);
            let place = Some(profile.place.clone());
            subject.say(Diagnostic::error("profile-no-settings", message, place));
        }
        if let Some(first) = seen.insert(&profile.name, &profile.place) {
            let message = format!("another profile is called \"{}\"", profile.name);
            let found =
                Diagnostic::error("profile-duplicate", message, Some(profile.place.clone()));
            subject.say(found.with_related(first.clone(), "the other one"));
        }
    }
}

fn gateways(subject: &mut Subject<'_>, gateways: &[&GatewayConf]) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for gateway in gateways {
        let name = &gateway.name;
        let place = Some(gateway.place.clone());
        let has = |param: &str| gateway.params.get(param).is_some_and(|v| !v.is_empty());
        if !has("realm") && !has("proxy") {
            let message =
                format!("gateway \"{name}\" has neither realm nor proxy: its own name is called");
            let found = Diagnostic::warning("gateway-no-realm", message, place.clone());
            subject.say(found.with_hint("add <param name=\"proxy\" value=\"host:port\"/>"));
        }
        let registers = gateway.params.bool("register").unwrap_or(true);
        if registers && !has("username") {
            let message = format!("gateway \"{name}\" registers and has no username");
            let found = Diagnostic::error("gateway-no-username", message, place.clone());
            subject.say(found.with_hint("set register to false if the provider knows the address"));
        }
        if registers && !has("password") {
            let message = format!("gateway \"{name}\" registers and has no password");
            subject.say(Diagnostic::error("gateway-no-password", message, place.clone()));
        }
        weak_password(subject, gateway);
        if let Some(first) = seen.insert(name, &gateway.place) {
            let message = format!("another gateway is called \"{name}\"");
            let found = Diagnostic::error("gateway-duplicate", message, place);
            subject.say(found.with_related(first.clone(), "the other one"));
        }
    }
}

/// A password a provider should not have given.
fn weak_password(subject: &mut Subject<'_>, gateway: &GatewayConf) {
    let Some(password) = gateway.params.param("password").filter(|p| !p.value.is_empty()) else {
        return;
    };
    let registers = gateway.params.bool("register").unwrap_or(true);
    let username = gateway.params.get("username").unwrap_or_default();
    if let Some(weakness) = super::directory::weak(&password.value, username).filter(|_| registers)
    {
        let message = format!("the password of gateway \"{}\" is {weakness}", gateway.name);
        let place = Some(password.place.clone());
        subject.say(Diagnostic::warning("password-weak", message, place));
    }
}

/// An address and port that is listened on.
struct Listener {
    what: String,
    ip: String,
    port: u16,
    place: Option<Place>,
}

fn ports(subject: &mut Subject<'_>, sofia: &SofiaConf) {
    let mut listeners = Vec::new();
    for profile in &sofia.profiles {
        let Some(settings) = &profile.settings else { continue };
        let ip = settings.get("sip-ip").unwrap_or("auto").to_owned();
        let mut add = |param: &str, kind: &str, default: u16| {
            let found = settings.param(param);
            // `auto` is a free port.
            let port = found.map_or(Ok(default), |p| p.value.parse());
            let place = found.map_or_else(|| profile.place.clone(), |p| p.place.clone());
            if let Ok(port) = port {
                let what = format!("{kind} of profile \"{}\"", profile.name);
                listeners.push(Listener { what, ip: ip.clone(), port, place: Some(place) });
            }
        };
        add("sip-port", "SIP", 5060);
        if settings.get("tls").is_some_and(is_true) {
            add("tls-sip-port", "SIP over TLS", 5061);
        }
    }
    if subject.tree.configuration("event_socket.conf").is_some() {
        let esl = EventSocketConf::read(subject.tree.configuration("event_socket.conf"));
        let place = esl.params.param("listen-port").map(|p| p.place.clone());
        let what = "the Event Socket".to_owned();
        listeners.push(Listener { what, ip: esl.listen_ip, port: esl.listen_port, place });
    }
    for (at, one) in listeners.iter().enumerate() {
        let before = listeners.get(..at).unwrap_or_default();
        let Some(other) =
            before.iter().find(|o| o.port == one.port && same_address(&o.ip, &one.ip))
        else {
            continue;
        };
        let message = format!("{} and {} both want port {}", one.what, other.what, one.port);
        let mut found = Diagnostic::error("port-clash", message, one.place.clone());
        if let Some(place) = &other.place {
            found = found.with_related(place.clone(), "the other one");
        }
        subject.say(found);
    }
    media_range(subject, &listeners);
}

fn media_range(subject: &mut Subject<'_>, listeners: &[Listener]) {
    let conf = subject.tree.configuration("switch.conf");
    let switch = SwitchConf::read(conf);
    let place = switch.settings.param("rtp-start-port").map(|p| p.place.clone());
    let (low, high) = (switch.rtp_start_port, switch.rtp_end_port);
    if low > high {
        let message = format!("the media ports run backwards, from {low} to {high}");
        subject.say(Diagnostic::error("port-range", message, place.clone()));
    }
    for one in listeners.iter().filter(|l| l.port >= low && l.port <= high) {
        let message =
            format!("port {} of {} is inside the media ports {low}-{high}", one.port, one.what);
        let mut found = Diagnostic::warning("port-clash", message, one.place.clone());
        if let Some(place) = &place {
            found = found.with_related(place.clone(), "the media ports");
        }
        subject.say(found);
    }
}

fn same_address(a: &str, b: &str) -> bool {
    // An empty address is a variable that is not set here: nothing can be said.
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let all = |ip: &str| matches!(ip, "0.0.0.0" | "::");
    let v6 = |ip: &str| ip.contains(':');
    a == b || (all(a) || all(b)) && (v6(a) == v6(b) || a == "::" || b == "::")
}

/// Access lists every switch has.
pub(super) const BUILT_IN_LISTS: [&str; 10] = [
    "rfc1918.auto",
    "rfc6598.auto",
    "wan.auto",
    "wan_v4.auto",
    "wan_v6.auto",
    "any_v4.auto",
    "any_v6.auto",
    "nat.auto",
    "loopback.auto",
    "localnet.auto",
];

/// Access lists that are used and do not exist.
fn lists(subject: &mut Subject<'_>, sofia: &SofiaConf) {
    let conf = AclConf::read(subject.tree.configuration("acl.conf"));
    let (set, found) = AclSet::build(&conf, &subject.directory, &LocalNet::default());
    subject.found.extend(found);
    let profiles = sofia.profiles.iter().filter_map(|p| p.settings.as_ref());
    let esl = EventSocketConf::read(subject.tree.configuration("event_socket.conf"));
    let all: Vec<&Params> = profiles.chain([&esl.params]).collect();
    for param in all.into_iter().flat_map(Params::iter) {
        let name = param.name.to_ascii_lowercase();
        if !(name.starts_with("apply-") && name.ends_with("-acl")
            || matches!(&*name, "local-network-acl" | "proxy-acl"))
        {
            continue;
        }
        let list = param.value.split(':').next().unwrap_or_default();
        if list.is_empty() || list.contains(['/', '$']) || set.contains(list) || list == "none" {
            continue;
        }
        let message = format!("there is no access list \"{list}\": nobody passes {name}");
        let mut found = Diagnostic::error("acl-unknown", message, Some(param.place.clone()));
        if let Some(near) = crate::catalogue::nearest(list, set.names()) {
            found = found.with_hint(format!("did you mean \"{near}\"?"));
        }
        subject.say(found);
    }
}

fn event_socket(subject: &mut Subject<'_>) {
    let Some(conf) = subject.tree.configuration("event_socket.conf") else { return };
    let esl = EventSocketConf::read(Some(conf));
    if esl.password != "ClueCon" {
        return;
    }
    let place = esl.params.param("password").map_or_else(|| conf.place(), |p| p.place.clone());
    let local = matches!(esl.listen_ip.as_str(), "127.0.0.1" | "::1" | "localhost");
    let message = "the Event Socket has the password everybody knows";
    let found = if local {
        Diagnostic::warning("password-default", message, Some(place))
    } else {
        let message = format!("{message} and listens on {}", esl.listen_ip);
        Diagnostic::error("password-default", message, Some(place))
    };
    subject.say(found.with_hint("whoever connects controls every call; set another password"));
}
