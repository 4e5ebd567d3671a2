//! `sofia status`: profiles, gateways, registrations, as text that scripts split at tabs.

use leg_media::DtmfType;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sip::registrar::Binding;
use sip::stack::Transport;
use sip::uri::with_scheme;

use super::super::Sofia;
use super::super::gateway::Gateway;
use super::super::profile::Profile;
use super::super::settings::External;
use super::LINE;
use crate::clock;

pub(super) fn run(sofia: &Sofia, words: &[&str]) -> String {
    match words {
        [] => overview(sofia),
        [what, name, rest @ ..] if what.eq_ignore_ascii_case("profile") => {
            one_profile(sofia, name, rest)
        }
        [what, name, ..] if what.eq_ignore_ascii_case("gateway") => match sofia.gateway(name) {
            Some((profile, gateway)) => one_gateway(&profile, &gateway),
            None => "Invalid Gateway!\n".into(),
        },
        [_] => gateways(sofia),
        _ => "Invalid Syntax!\n".into(),
    }
}

/// Name, aliases, sockets and gateways of every profile.
fn overview(sofia: &Sofia) -> String {
    let mut out = format!("{:>25}\t{}\t  {:>40}\t{}\n{LINE}\n", "Name", "   Type", "Data", "State");
    let (mut profiles, mut aliases) = (0, 0);
    for profile in sofia.profiles() {
        profiles += 1;
        let in_use = profile.counters.in_use.load(Ordering::Relaxed);
        row(&mut out, &profile.name, "profile", &profile.url(), &format!("RUNNING ({in_use})"));
        for (url, kind) in secondary_urls(&profile) {
            let state = format!("RUNNING ({in_use}) ({kind})");
            row(&mut out, &profile.name, "profile", &url, &state);
        }
        for gateway in profile.gateways.read().iter().rev() {
            let name = format!("{}::{}", profile.name, gateway.name);
            row(&mut out, &name, "gateway", &gateway.to_text(), &state_text(gateway));
        }
        for alias in profile.aliases.read().iter() {
            aliases += 1;
            row(&mut out, alias, "  alias", &profile.name, "ALIASED");
        }
    }
    let plural = |n: u32, one: &'static str, many: &'static str| if n == 1 { one } else { many };
    let _ = writeln!(
        out,
        "{LINE}\n{profiles} profile{} {aliases} alias{}",
        plural(profiles, "", "s"),
        plural(aliases, "", "es")
    );
    out
}

/// Where a profile listens beside UDP and TCP, as overviews show it.
pub(super) fn secondary_urls(profile: &Profile) -> Vec<(String, &'static str)> {
    let urls = [
        (profile.tls_url(), "TLS"),
        (profile.websocket_url(Transport::Ws), "WS"),
        (profile.websocket_url(Transport::Wss), "WSS"),
    ];
    urls.into_iter().filter_map(|(url, kind)| Some((url?, kind))).collect()
}

fn row(out: &mut String, name: &str, kind: &str, data: &str, state: &str) {
    let _ = writeln!(out, "{name:>25}\t{kind}\t  {data:>40}\t{state}");
}

/// State, and how long until the next try of a gateway that waits for one.
fn state_text(gateway: &Gateway) -> String {
    let retry = retry_of(gateway).map(|retry| format!(" (retry: {retry})"));
    format!("{}{}", gateway.registration.lock().state().name(), retry.unwrap_or_default())
}

/// When a gateway that waits tries again: `12s` or `NEVER`; `None` for one that does not wait.
pub(super) fn retry_of(gateway: &Gateway) -> Option<String> {
    use sip::gateway::State;
    let registration = gateway.registration.lock();
    if !matches!(registration.state(), State::Failed | State::FailWait | State::Trying) {
        return None;
    }
    let left = registration
        .deadline()
        .map(|at| at.saturating_duration_since(Instant::now()).as_secs())
        .filter(|seconds| *seconds > 0);
    Some(left.map_or_else(|| "NEVER".to_owned(), |seconds| format!("{seconds}s")))
}

fn gateways(sofia: &Sofia) -> String {
    let mut out = format!(
        "{:>25}\t{:>32}\t{}\t{:>9}\t{}\t{}\n{LINE}\n",
        "Profile::Gateway-Name", "Data    ", "State", "Ping Time", "IB Calls(F/T)", "OB Calls(F/T)"
    );
    let mut totals = [0u64; 4];
    let mut count = 0;
    for profile in sofia.profiles() {
        for gateway in profile.gateways.read().iter().rev() {
            count += 1;
            let calls = counters(gateway);
            for (total, calls) in totals.iter_mut().zip(calls) {
                *total += calls;
            }
            let [failed_in, all_in, failed_out, all_out] = calls;
            let state = state_text(gateway);
            let (state, retry) = state
                .split_once(' ')
                .map_or((state.as_str(), String::new()), |(s, r)| (s, format!(" {r}")));
            let _ = writeln!(
                out,
                "{:>25}\t{:>32}\t{state}\t{:6.2}\t{failed_in}/{all_in}\t{failed_out}/{all_out}{retry}",
                format!("{}::{}", profile.name, gateway.name),
                gateway.to_text(),
                ping_ms(gateway),
            );
        }
    }
    let [failed_in, all_in, failed_out, all_out] = totals;
    let plural = if count == 1 { "" } else { "s" };
    let _ = writeln!(
        out,
        "{LINE}\n{count} gateway{plural}: Inbound(Failed/Total): {failed_in}/{all_in},Outbound(Failed/Total):{failed_out}/{all_out}"
    );
    out
}

/// Failed and all calls in, failed and all calls out.
pub(super) fn counters(gateway: &Gateway) -> [u64; 4] {
    let c = &gateway.counters;
    [&c.failed_in, &c.calls_in, &c.failed_out, &c.calls_out].map(|n| n.load(Ordering::Relaxed))
}

pub(super) fn ping_ms(gateway: &Gateway) -> f64 {
    gateway.pings.lock().time.as_secs_f64() * 1000.0
}

/// What is listed about a gateway: key and value, in order.
pub(super) fn gateway_facts(
    profile: &Profile,
    gateway: &Gateway,
) -> Vec<(&'static str, &'static str, String)> {
    let [failed_in, all_in, failed_out, all_out] = counters(gateway);
    let registration = gateway.registration.lock();
    let timing = gateway.timing;
    let uptime = registration.up_since().map(|since| since.elapsed()).unwrap_or_default();
    let next_ping = registration.next_ping().map_or(0, |at| {
        clock::now_secs()
            + i64::try_from(at.saturating_duration_since(Instant::now()).as_secs()).unwrap_or(0)
    });
    let up = if registration.is_up() { "UP" } else { "DOWN" };
    let status = if timing.ping.is_some() { format!("{up} (ping)") } else { up.to_owned() };
    let password = if gateway.password.is_empty() { "no" } else { "yes" };
    let context =
        gateway.context.clone().unwrap_or_else(|| profile.settings.load().context.clone());
    let contact = gateway.contact_text(profile);
    vec![
        ("Name", "name", gateway.name.clone()),
        ("Profile", "profile", profile.name.clone()),
        ("Scheme", "scheme", "Digest".into()),
        ("Realm", "realm", gateway.realm.clone()),
        ("Username", "username", gateway.username.clone()),
        ("Password", "password", password.into()),
        ("From", "from", gateway.from_text()),
        ("Contact", "contact", contact),
        ("Exten", "exten", gateway.extension_shown().to_owned()),
        ("To", "to", gateway.to_text()),
        ("Proxy", "proxy", with_scheme(&gateway.proxy).into_owned()),
        ("Context", "context", context),
        ("Expires", "expires", timing.expires.to_string()),
        ("Freq", "freq", timing.expires.to_string()),
        ("Ping", "ping", next_ping.to_string()),
        ("PingFreq", "pingfreq", timing.ping.unwrap_or(0).to_string()),
        ("PingTime", "pingtime", format!("{:.2}", ping_ms(gateway))),
        (
            "PingState",
            "",
            format!("{}/{}/{}", timing.ping_min, registration.ping_count(), timing.ping_max),
        ),
        ("State", "state", registration.state().name().into()),
        ("Status", "status", status),
        ("Uptime", "uptime-usec", uptime.as_micros().to_string()),
        ("CallsIN", "calls-in", all_in.to_string()),
        ("CallsOUT", "calls-out", all_out.to_string()),
        ("FailedCallsIN", "failed-calls-in", failed_in.to_string()),
        ("FailedCallsOUT", "failed-calls-out", failed_out.to_string()),
    ]
}

fn one_gateway(profile: &Profile, gateway: &Gateway) -> String {
    let mut out = format!("{LINE}\n");
    for (key, _, value) in gateway_facts(profile, gateway) {
        let value = match key {
            "Uptime" => format!("{}s", value.parse::<u128>().unwrap_or(0) / 1_000_000),
            _ => value,
        };
        let _ = writeln!(out, "{key:<8}\t{value}");
    }
    let _ = writeln!(out, "{LINE}");
    out
}

fn one_profile(sofia: &Sofia, name: &str, rest: &[&str]) -> String {
    let Some(profile) = sofia.find(name) else { return "Invalid Profile!\n".into() };
    match rest {
        [] => profile_block(name, &profile),
        [what, rest @ ..] if what.eq_ignore_ascii_case("reg") => {
            registrations(&profile, |b| has_part(&b.contact, rest.first()))
        }
        // Without a user nothing is asked for, and nothing said.
        [what] if what.eq_ignore_ascii_case("user") => String::new(),
        [what, who, ..] if what.eq_ignore_ascii_case("user") => {
            registrations(&profile, |b| is_of(b, who))
        }
        // Whatever else is said, the profile is shown; `pres` adds who registered under its presence hosts.
        [what, hosts, ..] if what.eq_ignore_ascii_case("pres") => {
            let fits = under_presence_hosts(&profile, hosts);
            profile_block(name, &profile) + &registrations(&profile, |_| fits)
        }
        _ => profile_block(name, &profile),
    }
}

/// Whether a text has what is looked for in it, in any case of letters.
pub(super) fn has_part(text: &str, part: Option<&&str>) -> bool {
    part.is_none_or(|part| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
}

/// Whether a profile's `presence-hosts` name these.
pub(super) fn under_presence_hosts(profile: &Profile, hosts: &str) -> bool {
    let settings = profile.settings.load();
    has_part(settings.params.last("presence-hosts").unwrap_or_default(), Some(&hosts))
}

/// `user@domain`, `user@` in any domain, or `domain` alone.
pub(super) fn is_of(binding: &Binding, who: &str) -> bool {
    match who.split_once('@') {
        Some((user, "")) => binding.user == user,
        Some(("", host)) => binding.host.eq_ignore_ascii_case(host),
        Some((user, host)) => binding.user == user && binding.host.eq_ignore_ascii_case(host),
        None => binding.host.eq_ignore_ascii_case(who),
    }
}

/// What is listed about a profile: text key, XML name and value, in order.
pub(super) fn profile_facts(
    shown: &str,
    profile: &Arc<Profile>,
) -> Vec<(&'static str, &'static str, String)> {
    let settings = profile.settings.load();
    let text = |name: &str, default: &str| {
        settings.params.last(name).filter(|v| !v.is_empty()).unwrap_or(default).to_owned()
    };
    let on = |name: &str| settings.params.last(name).is_some_and(crate::text::is_true).to_string();
    let number =
        |name: &str, default: i64| settings.params.int(name).unwrap_or(default).to_string();
    let mut facts = vec![
        ("Name", "name", shown.to_owned()),
        ("Domain Name", "domain-name", profile.domain.clone().unwrap_or_else(|| "N/A".into())),
    ];
    if !shown.eq_ignore_ascii_case(&profile.name) {
        facts.push(("Alias Of", "alias-of", profile.name.clone()));
    }
    facts.extend([
        ("Auto-NAT", "auto-nat", matches!(settings.ext_sip, External::AutoNat(_)).to_string()),
        ("DBName", "db-name", text("dbname", &format!("sofia_reg_{}", profile.name))),
        ("Pres Hosts", "pres-hosts", text("presence-hosts", "")),
        ("Dialplan", "dialplan", settings.dialplan.clone()),
        ("Context", "context", settings.context.clone()),
        ("Challenge Realm", "challenge-realm", text("challenge-realm", "auto_to")),
    ]);
    facts.extend(settings.rtp_ips.iter().map(|ip| ("RTP-IP", "rtp-ip", ip.to_string())));
    facts.extend(settings.ext_rtp_ip.map(|ip| ("Ext-RTP-IP", "ext-rtp-ip", ip.to_string())));
    facts.push(("SIP-IP", "sip-ip", settings.sip_ip.to_string()));
    facts.extend(settings.ext_sip_ip.map(|ip| ("Ext-SIP-IP", "ext-sip-ip", ip.to_string())));
    let listening = profile.stack.listening().iter();
    let plain = listening.filter(|(t, _)| matches!(t, Transport::Udp | Transport::Tcp));
    let transports = plain.map(|(t, _)| t.as_param()).collect::<Vec<_>>().join(",");
    let maddr = match settings.url_ip() == settings.sip_ip {
        true => String::new(),
        false => format!(";maddr={}", settings.sip_ip),
    };
    let dtmf = match settings.media.dtmf_type {
        DtmfType::Rfc2833 => "rfc2833",
        DtmfType::Info => "info",
        DtmfType::None => "none",
    };
    let music = settings.hold_music.clone().or_else(|| profile.switch.global("hold_music"));
    facts.extend([
        ("URL", "url", profile.url()),
        ("BIND-URL", "bind-url", format!("{}{maddr};transport={transports}", profile.url())),
    ]);
    if let Some(url) = profile.tls_url() {
        let secure = url.replacen("sip:", "sips:", 1);
        facts.push(("TLS-URL", "tls-url", url));
        facts.push((
            "TLS-BIND-URL",
            "tls-bind-url",
            format!("{secure}{maddr};{}", tls_bind_params(&settings)),
        ));
    }
    let sockets = [
        ("WS-BIND-URL", "ws-bind-url", Transport::Ws),
        ("WSS-BIND-URL", "wss-bind-url", Transport::Wss),
    ];
    for (key, name, transport) in sockets {
        facts.extend(profile.websocket_url(transport).map(|url| (key, name, url)));
    }
    facts.extend([
        ("HOLD-MUSIC", "hold-music", music.unwrap_or_else(|| "N/A".into())),
        ("OUTBOUND-PROXY", "outbound-proxy", text("outbound-proxy", "N/A")),
        ("CODECS IN", "inbound-codecs", settings.media.inbound_codecs.clone()),
        ("CODECS OUT", "outbound-codecs", settings.outbound_codecs.clone()),
        ("TEL-EVENT", "tel-event", settings.media.te_pt.to_string()),
        ("DTMF-MODE", "dtmf-mode", dtmf.to_owned()),
        ("CNG", "cng", if settings.media.suppress_cng { "0" } else { "13" }.to_owned()),
        ("SESSION-TO", "session-to", number("session-timeout", 0)),
        ("MAX-DIALOG", "max-dialog", number("max-proceeding", 0)),
        ("MAX-RECV-RPS", "max-recv-rps", number("max-recv-requests-per-second", 1000)),
        ("NOMEDIA", "nomedia", on("inbound-bypass-media")),
        ("LATE-NEG", "late-neg", settings.late_negotiation.to_string()),
        ("PROXY-MEDIA", "proxy-media", on("inbound-proxy-media")),
        ("AGGRESSIVENAT", "aggressive-nat", on("aggressive-nat-detection")),
    ]);
    if let Some(filter) = settings.params.last("user-agent-filter").filter(|f| !f.is_empty()) {
        facts.push(("USER-AGENT-FILTER", "user-agent-filter", filter.to_owned()));
    }
    if let Some(most) = settings.params.int("max-registrations-per-extension").filter(|n| *n > 0) {
        facts.push(("MAX-REG-PEREXT", "max-registrations-per-extension", most.to_string()));
    }
    facts
}

/// `tls-bind-params`; the transport is always part of them.
fn tls_bind_params(settings: &super::super::settings::Settings) -> String {
    let params = settings.params.last("tls-bind-params").unwrap_or_default().trim_matches(';');
    match params {
        "" => "transport=tls".to_owned(),
        params if params.to_ascii_lowercase().contains("transport=tls") => params.to_owned(),
        params => format!("{params};transport=tls"),
    }
}

fn profile_block(shown: &str, profile: &Arc<Profile>) -> String {
    let mut out = format!("{LINE}\n");
    for (key, _, value) in profile_facts(shown, profile) {
        // The reference pads this one less.
        let width = if key == "WS-BIND-URL" { 16 } else { 17 };
        let _ = writeln!(out, "{key:<width$}\t{value}");
    }
    let c = &profile.counters;
    let counted = [
        ("CALLS-IN", c.calls_in.load(Ordering::Relaxed)),
        ("FAILED-CALLS-IN", c.failed_in.load(Ordering::Relaxed)),
        ("CALLS-OUT", c.calls_out.load(Ordering::Relaxed)),
        ("FAILED-CALLS-OUT", c.failed_out.load(Ordering::Relaxed)),
        ("REGISTRATIONS", profile.bindings.lock().len() as u64),
    ];
    for (key, value) in counted {
        let _ = writeln!(out, "{key:<17}\t{value}");
    }
    out
}

fn registrations(profile: &Profile, fits: impl Fn(&Binding) -> bool) -> String {
    let mut out = format!("\nRegistrations:\n{LINE}\n");
    let host = profile.switch.global("hostname").unwrap_or_default();
    let mut count = 0;
    let bindings = profile.bindings.lock();
    for binding in bindings.all().into_iter().filter(|b| fits(b)) {
        count += 1;
        let rows = [
            ("Call-ID:", binding.call_id.clone()),
            ("User:", format!("{}@{}", binding.user, binding.host)),
            ("Contact:", binding.contact.clone()),
            ("Agent:", binding.user_agent.clone()),
            ("Status:", status_text(binding, "EXP", "EXPSECS")),
            ("Ping-Status:", reachability(profile, binding).into()),
            ("Ping-Time:", format!("{:.2}", ping_ms_of(profile, binding))),
            ("Host:", host.clone()),
            ("IP:", binding.network_ip.clone()),
            ("Port:", binding.network_port.to_string()),
            ("Auth-User:", binding.auth_user.clone()),
            ("Auth-Realm:", binding.auth_realm.clone()),
            ("MWI-Account:", binding.mwi_account.clone()),
        ];
        for (key, value) in rows {
            // The reference pads every name but this one.
            let width = if key == "Ping-Time:" { 0 } else { 12 };
            let _ = writeln!(out, "{key:<width$}\t{value}");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "Total items returned: {count}\n{LINE}");
    out
}

/// What keep-alives say of a contact.
pub(super) fn reachability(profile: &Profile, binding: &Binding) -> &'static str {
    let pings = profile.pings.lock();
    match pings.get(&binding.contact).is_none_or(|ping| ping.reachable) {
        true => "Reachable",
        false => "Unreachable",
    }
}

/// Round trip of a contact's last keep-alive, ms.
pub(super) fn ping_ms_of(profile: &Profile, binding: &Binding) -> f64 {
    let pings = profile.pings.lock();
    pings.get(&binding.contact).map_or(0.0, |ping| ping.time.as_secs_f64() * 1000.0)
}

/// `Registered(UDP)(unknown) EXP(2024-05-01 12:00:00) EXPSECS(118)`.
pub(super) fn status_text(binding: &Binding, until: &str, seconds: &str) -> String {
    let left = binding.expires - clock::now_secs();
    let when = clock::local_stamp(binding.expires.saturating_mul(1_000_000));
    format!("{}(unknown) {until}({when}) {seconds}({left})", binding.status)
}
