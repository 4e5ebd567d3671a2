//! `sofia xmlstatus`: the same facts as XML.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use sip::registrar::Binding;

use base::xml::in_xml;

use super::super::Sofia;
use super::super::gateway::Gateway;
use super::super::profile::Profile;
use super::status::{
    gateway_facts, has_part, is_of, ping_ms_of, profile_facts, reachability, retry_of,
    secondary_urls, status_text, under_presence_hosts,
};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n";

pub(super) fn run(sofia: &Sofia, words: &[&str]) -> String {
    match words {
        [] => overview(sofia),
        [what, name, ..] if what.eq_ignore_ascii_case("gateway") => match sofia.gateway(name) {
            Some((profile, gateway)) => {
                let mut out = HEAD.to_owned();
                one_gateway(&mut out, &profile, &gateway);
                out
            }
            None => "Invalid Gateway!\n".into(),
        },
        // Any one word, as in the reference.
        [_] => {
            let mut out = format!("{HEAD}<gateways>\n");
            for profile in sofia.profiles() {
                for gateway in profile.gateways.read().iter() {
                    one_gateway(&mut out, &profile, gateway);
                }
            }
            out + "</gateways>\n"
        }
        [what, name, rest @ ..] if what.eq_ignore_ascii_case("profile") => {
            one_profile(sofia, name, rest)
        }
        _ => "Invalid Syntax!\n".into(),
    }
}

fn overview(sofia: &Sofia) -> String {
    let mut out = format!("{HEAD}<profiles>\n");
    let item = |out: &mut String, kind: &str, name: &str, data: &str, state: &str| {
        let _ = write!(
            out,
            "<{kind}>\n<name>{}</name>\n<type>{kind}</type>\n<data>{}</data>\n<state>{state}</state>\n</{kind}>\n",
            in_xml(name),
            in_xml(data)
        );
    };
    for profile in sofia.profiles() {
        let in_use = profile.counters.in_use.load(Ordering::Relaxed);
        let running = format!("RUNNING ({in_use})");
        item(&mut out, "profile", &profile.name, &profile.url(), &running);
        for (url, kind) in secondary_urls(&profile) {
            item(&mut out, "profile", &profile.name, &url, &format!("{running} ({kind})"));
        }
        for gateway in profile.gateways.read().iter() {
            let state = gateway.registration.lock().state().name();
            item(&mut out, "gateway", &gateway.name, &gateway.to_text(), state);
            // Outside the element, where the reference has it.
            if let Some(retry) = retry_of(gateway) {
                let _ = write!(out, " (retry: {retry})");
            }
            out.push('\n');
        }
        for alias in profile.aliases.read().iter() {
            item(&mut out, "alias", alias, &profile.name, "ALIASED");
        }
    }
    out + "</profiles>\n"
}

fn one_gateway(out: &mut String, profile: &Profile, gateway: &Gateway) {
    out.push_str("  <gateway>\n");
    let mut put = |name: &str, value: &str| {
        let _infallible = writeln!(out, "    <{name}>{}</{name}>", in_xml(value));
    };
    let facts = gateway_facts(profile, gateway);
    let timing = gateway.timing;
    let count = gateway.registration.lock().ping_count();
    for (_, name, value) in &facts {
        match *name {
            "" => {}
            "pingtime" => {
                put("pingmin", &timing.ping_min.to_string());
                put("pingcount", &count.to_string());
                put("pingmax", &timing.ping_max.to_string());
                put("pingtime", value);
                put("pinging", "0");
            }
            "status" => put("status", value.split(' ').next().unwrap_or_default()),
            // In XML, calls that failed follow the others.
            name => put(name, value),
        }
    }
    if let Some(retry) = retry_of(gateway) {
        put("retry", &retry);
    }
    out.push_str("  </gateway>\n");
}

fn one_profile(sofia: &Sofia, name: &str, rest: &[&str]) -> String {
    let Some(profile) = sofia.find(name) else { return "Invalid Profile!\n".into() };
    match rest {
        [what, rest @ ..] if what.eq_ignore_ascii_case("reg") => {
            format!(
                "{HEAD}<profile>\n{}</profile>\n",
                registrations(&profile, |b| has_part(&b.contact, rest.first()))
            )
        }
        [what, who, ..] if what.eq_ignore_ascii_case("user") => {
            format!("{HEAD}<profile>\n{}</profile>\n", registrations(&profile, |b| is_of(b, who)))
        }
        [what] if what.eq_ignore_ascii_case("user") => {
            format!("{HEAD}<profile>\n</profile>\n")
        }
        // Whatever else is said, the profile is shown; `pres` adds who registered under its presence hosts.
        rest => {
            let mut out = format!("{HEAD}<profile>\n  <profile-info>\n");
            let mut put = |name: &str, value: &str| {
                let _infallible = writeln!(out, "    <{name}>{}</{name}>", in_xml(value));
            };
            for (_, name, value) in profile_facts(name, &profile) {
                put(name, &value);
            }
            let c = &profile.counters;
            put("calls-in", &c.calls_in.load(Ordering::Relaxed).to_string());
            put("calls-out", &c.calls_out.load(Ordering::Relaxed).to_string());
            put("failed-calls-in", &c.failed_in.load(Ordering::Relaxed).to_string());
            put("failed-calls-out", &c.failed_out.load(Ordering::Relaxed).to_string());
            put("registrations", &profile.bindings.lock().len().to_string());
            out.push_str("  </profile-info>\n");
            if let [what, hosts, ..] = rest
                && what.eq_ignore_ascii_case("pres")
            {
                let fits = under_presence_hosts(&profile, hosts);
                out.push_str(&registrations(&profile, |_| fits));
            }
            out + "</profile>\n"
        }
    }
}

fn registrations(profile: &Profile, fits: impl Fn(&Binding) -> bool) -> String {
    let mut out = String::from("  <registrations>\n");
    let host = profile.switch.global("hostname").unwrap_or_default();
    let bindings = profile.bindings.lock();
    for binding in bindings.all().into_iter().filter(|b| fits(b)) {
        let rows = [
            ("call-id", binding.call_id.clone()),
            ("user", format!("{}@{}", binding.user, binding.host)),
            ("contact", binding.contact.clone()),
            ("agent", binding.user_agent.clone()),
            ("status", status_text(binding, "exp", "expsecs")),
            ("ping-status", reachability(profile, binding).into()),
            ("ping-time", format!("{:.2}", ping_ms_of(profile, binding))),
            ("host", host.clone()),
            ("network-ip", binding.network_ip.clone()),
            ("network-port", binding.network_port.to_string()),
            ("sip-auth-user", esl_server::event::url_encode_whole(&binding.auth_user)),
            ("sip-auth-realm", binding.auth_realm.clone()),
            ("mwi-account", binding.mwi_account.clone()),
        ];
        out.push_str("    <registration>\n");
        for (name, value) in rows {
            let _ = writeln!(out, "        <{name}>{}</{name}>", in_xml(&value));
        }
        out.push_str("    </registration>\n");
    }
    out + "  </registrations>\n"
}
