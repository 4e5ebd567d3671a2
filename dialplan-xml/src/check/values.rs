//! Values of the wrong kind.

use std::net::IpAddr;
use std::path::Path;

use super::Subject;
use super::params::all;
use crate::Diagnostic;
use crate::catalogue::nearest;
use crate::config::SofiaConf;
use crate::declare::{LONGEST, Value};
use crate::text::{is_false, is_number, is_true, leading_integer};

/// Parameters of the reference that are not declared: file, scope, names, what their values may be.
const RULES: &[(&str, &str, &[&str], Value)] = &[
    ("switch.conf", "", &["max-sessions", "sessions-per-second"], Value::Number(1, 4_294_967_295)),
    ("switch.conf", "", &["rtp-start-port", "rtp-end-port"], Value::Port),
    ("switch.conf", "", &["loglevel"], Value::Level),
    ("switch.conf", "", &["max-db-handles"], Value::Number(5, 5000)),
    ("switch.conf", "", &["db-handle-timeout"], Value::Number(1, 5000)),
    (
        "switch.conf",
        "",
        &["min-dtmf-duration", "default-dtmf-duration", "max-dtmf-duration"],
        Value::Clamped(400, 192_000),
    ),
    (
        "switch.conf",
        "",
        &[
            "auto-create-schemas",
            "auto-clear-sql",
            "dialplan-timestamps",
            "multiple-registrations",
            "api-expansion",
            "verbose-channel-events",
            "rtp-port-usage-robustness",
        ],
        Value::Bool,
    ),
    ("event_socket.conf", "", &["listen-port"], Value::Port),
    ("event_socket.conf", "", &["nat-map", "stop-on-bind-error"], Value::Bool),
    ("console.conf", "", &["loglevel"], Value::Level),
    ("console.conf", "", &["colorize"], Value::Bool),
    ("event_socket.conf", "", &["listen-ip"], Value::Address),
    ("console.conf", "", &["uuid"], Value::Bool),
    ("logfile.conf", "", &["rotate-on-hup", "uuid"], Value::Bool),
    ("logfile.conf", "", &["rollover", "maximum-rotate"], Value::Number(0, 4_294_967_295)),
    (
        "conference.conf",
        "",
        &["max-members", "pin-retries", "energy-level"],
        Value::Number(0, 4_294_967_295),
    ),
    ("sofia.conf", "profile", &["sip-port"], Value::SipPort),
    ("sofia.conf", "profile", &["tls-sip-port"], Value::Port),
    ("sofia.conf", "profile", &["sip-ip", "rtp-ip"], Value::Address),
    ("sofia.conf", "profile", &["ext-sip-ip", "ext-rtp-ip"], Value::Public),
    ("sofia.conf", "profile", &["dtmf-type"], Value::Word(&["rfc2833", "info", "none"])),
    (
        "sofia.conf",
        "profile",
        &["inbound-codec-negotiation"],
        Value::Word(&["generous", "greedy", "scrooge"]),
    ),
    ("sofia.conf", "profile", &["caller-id-type"], Value::Word(&["rpid", "pid", "none"])),
    ("sofia.conf", "profile", &["enable-3pcc"], Value::BoolOr(&["proxy"])),
    ("sofia.conf", "profile", &["manage-presence"], Value::BoolOr(&["passive", "pnp"])),
    ("sofia.conf", "profile", &["multiple-registrations"], Value::BoolOr(&["contact", "call-id"])),
    (
        "sofia.conf",
        "profile",
        &[
            "3pcc-reinvite-bridged-on-ack",
            "NDLB-allow-bad-iananame",
            "NDLB-allow-crypto-in-avp",
            "NDLB-allow-nondup-sdp",
            "NDLB-broken-auth-hash",
            "NDLB-expires-in-register-response",
            "NDLB-received-in-nat-reg-contact",
            "NDLB-sendrecv-in-session",
            "accept-blind-auth",
            "accept-blind-reg",
            "aggressive-nat-detection",
            "all-reg-options-ping",
            "allow-update",
            "auth-all-packets",
            "auth-calls",
            "auth-calls-acl-only",
            "auth-require-user",
            "blind-auth-reply-403",
            "channel-xml-fetch-on-nightmare-transfer",
            "cid-in-1xx",
            "confirm-blind-transfer",
            "disable-auth-messages",
            "disable-auth-subscriptions",
            "disable-hold",
            "disable-naptr",
            "disable-register",
            "disable-rtp-auto-adjust",
            "disable-srv",
            "disable-srv503",
            "disable-transcoding",
            "disable-transfer",
            "enable-100rel",
            "enable-chat",
            "enable-compact-headers",
            "enable-rfc-5626",
            "enable-soa",
            "enable-timer",
            "extended-info-parsing",
            "fire-message-events",
            "fire-transfer-events",
            "forward-unsolicited-mwi-notify",
            "full-id-in-dialplan",
            "ignore-183nosdp",
            "in-dialog-chat",
            "inbound-late-negotiation",
            "inbound-reg-force-matching-username",
            "inbound-reg-in-new-thread",
            "inbound-use-callid-as-uuid",
            "liberal-dtmf",
            "log-auth-failures",
            "make-every-transfer-a-nightmare",
            "manage-shared-appearance",
            "manual-redirect",
            "mwi-use-reg-callid",
            "outbound-use-uuid-as-callid",
            "parse-all-invite-headers",
            "parse-invite-tel-params",
            "pass-callee-id",
            "pass-rfc2833",
            "presence-disable-early",
            "presence-probe-on-register",
            "proxy-hold",
            "proxy-info",
            "proxy-message",
            "proxy-refer-replaces",
            "require-secure-rtp",
            "reuse-connections",
            "rfc-7989",
            "rtp-autofix-timing",
            "rtp-notimer-during-bridge",
            "rtp-rewrite-timestamps",
            "send-display-update",
            "send-message-query-on-register",
            "sip-capture",
            "sip-messages-respond-200-ok",
            "sip-options-respond-503-on-busy",
            "sip-subscribe-respond-200-ok",
            "suppress-cng",
            "t38-passthru",
            "tcp-always-nat",
            "tcp-unreg-on-socket-close",
            "tls",
            "tls-always-nat",
            "tls-only",
            "tls-verify-date",
            "track-calls",
            "unregister-on-options-fail",
            "use-port-for-acl-check",
            "watchdog-enabled",
            "auth-subscriptions",
            "auth-messages",
            "inbound-bypass-media",
            "inbound-proxy-media",
        ],
        Value::Bool,
    ),
    (
        "sofia.conf",
        "profile",
        &[
            "bind-attempt-interval",
            "bind-attempts",
            "cng-pt",
            "dtmf-duration",
            "ext-sip-port",
            "force-publish-expires",
            "force-subscription-expires",
            "max-calls",
            "max-proceeding",
            "max-recv-requests-per-second",
            "max-reg-threads",
            "max-registrations-per-extension",
            "minimum-session-expires",
            "nonce-ttl",
            "ping-mean-interval",
            "ping-thread-frequency",
            "registration-thread-frequency",
            "rtp-digit-delay",
            "rtp-hold-timeout-sec",
            "rtp-timeout-sec",
            "session-timeout",
            "sip-expires-late-margin",
            "sip-expires-max-deviation",
            "sip-force-expires",
            "sip-force-expires-max",
            "sip-force-expires-min",
            "sip-subscription-max-deviation",
            "sip-user-ping-max",
            "sip-user-ping-min",
            "tcp-keepalive",
            "tcp-ping2pong",
            "tcp-pingpong",
            "timer-T1",
            "timer-T1X64",
            "timer-T2",
            "timer-T4",
            "tls-orq-connect-timeout",
            "tls-timeout",
            "tls-verify-depth",
            "watchdog-event-timeout",
            "watchdog-step-timeout",
        ],
        Value::Number(0, 86_400_000),
    ),
    ("sofia.conf", "profile", &["rfc2833-pt"], Value::Number(0, 127)),
    (
        "sofia.conf",
        "gateway",
        &[
            "register",
            "caller-id-in-from",
            "extension-in-contact",
            "distinct-to",
            "contact-in-ping",
        ],
        Value::Bool,
    ),
    (
        "sofia.conf",
        "gateway",
        &["register-transport"],
        Value::Word(&["udp", "tcp", "tls", "ws", "wss"]),
    ),
    (
        "sofia.conf",
        "profile",
        &["tls-version"],
        Value::Words(&["sslv2", "sslv3", "sslv23", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"]),
    ),
    (
        "sofia.conf",
        "profile",
        &["tls-verify-policy"],
        Value::Words(&["none", "all", "in", "out", "subjects_in", "subjects_out", "subjects_all"]),
    ),
    (
        "conference.conf",
        "",
        &["rate"],
        Value::Word(&["8000", "12000", "16000", "24000", "32000", "44100", "48000", "auto"]),
    ),
    (
        "conference.conf",
        "",
        &["interval"],
        Value::Word(&["10", "20", "30", "40", "50", "60", "80", "100", "120", "auto"]),
    ),
    ("conference.conf", "", &["comfort-noise"], Value::BoolOrNumber),
    (
        "voicemail.conf",
        "",
        &[
            "max-failed-logins",
            "min-record-len",
            "max-record-len",
            "max-retries",
            "terminate-on-silence",
            "record-silence-threshold",
            "record-silence-hits",
            "record-sample-rate",
            "digit-timeout",
            "max-login-attempts",
        ],
        Value::Number(0, 86_400_000),
    ),
    ("sofia.conf", "gateway", &["ping-min", "ping-max"], Value::Number(0, 86_400_000)),
    (
        "sofia.conf",
        "gateway",
        &["expire-seconds", "retry-seconds", "ping"],
        Value::Number(0, 86_400_000),
    ),
    ("xml_curl.conf", "", &["timeout", "response-max-bytes"], Value::Number(0, 4_294_967_295)),
];

pub(super) fn check(subject: &mut Subject<'_>) {
    for (file, scope, param) in all(subject.tree) {
        let (Some(name), Some(value)) = (param.attr("name"), param.attr("value")) else { continue };
        let Some(wants) = wanted(subject, file, scope, name) else { continue };
        let place = Some(param.attr_place("value"));
        if value.trim().is_empty() {
            if wants.is_address() {
                let message = format!("{name} has no value, and an address is needed");
                let found = Diagnostic::error("value-type", message, place);
                subject.say(found.with_hint("a $${variable} that is not set expands to nothing"));
            }
            continue;
        }
        if let Some(expected) = wants.refuse(value) {
            let message = format!("\"{value}\" is not a value for {name}: {expected} is wanted");
            let mut found = Diagnostic::error("value-type", message, place);
            if let Some(near) = wants.near(value) {
                found = found.with_hint(format!("did you mean \"{near}\"?"));
            } else if expected.starts_with("a number")
                && value.starts_with(|c: char| c.is_ascii_digit())
            {
                found = found.with_hint("a number without a unit");
            }
            subject.say(found.with_focus(value, 0));
        } else if let Some(end) = wants.clamps(value) {
            let message = format!("{name} is brought to {end}: {value} is out of range");
            subject.say(Diagnostic::warning("value-clamped", message, place).with_focus(value, 0));
        } else if matches!(wants, Value::Address)
            && let Ok(ip) = value.trim_matches(['[', ']']).parse::<IpAddr>()
            && !(subject.own_address)(ip)
        {
            let message = format!("{name}: {ip} is not an address of this machine");
            let found = Diagnostic::warning("address-foreign", message, place);
            subject.say(found.with_focus(value, 0).with_hint(
                "nothing can listen on it here; $${local_ip_v4} is this machine's, and behind NAT the public \
                 one goes into ext-sip-ip and ext-rtp-ip",
            ));
        }
    }
    tls(subject);
}

/// Profiles that speak TLS and have no certificate yet.
fn tls(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    for profile in &sofia.profiles {
        let Some(settings) = &profile.settings else { continue };
        let Some(switch) = settings.param("tls").filter(|p| is_true(&p.value)) else { continue };
        let own = settings.param("tls-cert-dir").filter(|p| !p.value.is_empty());
        let base = subject.globals.get("certs_dir").unwrap_or_default();
        let dir = own.map_or(base, |p| &p.value);
        if dir.is_empty() || dir.contains("${") {
            continue;
        }
        let folder = Path::new(dir);
        let there = ["agent.pem", "tls.pem"].iter().any(|f| (subject.file_exists)(&folder.join(f)));
        if there {
            continue;
        }
        let place = own.map_or_else(|| switch.place.clone(), |p| p.place.clone());
        let message =
            format!("profile \"{}\" has TLS and there is no certificate in {dir}", profile.name);
        let found = Diagnostic::warning("tls-no-certificate", message, Some(place));
        subject.say(found.with_hint(
            "certificate and key go into agent.pem there; until then a self-signed one is made, which phones \
             refuse unless told otherwise",
        ));
    }
}

/// What the value of a parameter may be: as declared, or else as the reference has it.
fn wanted(subject: &Subject<'_>, file: &str, scope: &str, name: &str) -> Option<Value> {
    let rule = || {
        RULES.iter().find(|(f, s, names, _)| {
            *f == file && *s == scope && names.iter().any(|n| n.eq_ignore_ascii_case(name))
        })
    };
    let declared = subject.catalogue.declared(file, scope, name).map(|found| found.value);
    declared.or_else(|| rule().map(|(.., wants)| *wants))
}

impl Value {
    fn is_address(self) -> bool {
        matches!(self, Self::Address | Self::Public)
    }

    /// What a number out of range becomes.
    fn clamps(self, value: &str) -> Option<i64> {
        let Self::Clamped(low, high) = self else { return None };
        let number = leading_integer(value);
        let inside = number.clamp(low, high);
        (inside != number).then_some(inside)
    }

    /// The word that was probably meant.
    fn near(self, value: &str) -> Option<String> {
        let words: Vec<&str> = match self {
            Self::Bool | Self::BoolOrNumber => vec!["true", "false", "yes"],
            Self::Word(words) | Self::Words(words) => words.to_vec(),
            Self::BoolOr(words) => [&["true", "false", "yes"], words].concat(),
            Self::Address | Self::SipPort => vec!["auto"],
            Self::Public => vec!["auto-nat", "auto"],
            Self::Level => {
                vec!["console", "alert", "crit", "err", "warning", "notice", "info", "debug"]
            }
            _ => return None,
        };
        nearest(value, words)
    }

    /// What is wanted, when the value is something else. References are not judged.
    fn refuse(self, value: &str) -> Option<String> {
        let is_bool = || is_true(value) || is_false(value);
        let among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        // An empty value is a variable that is not set here, or none at all: nothing can be said.
        if value.contains("${") || value.is_empty() {
            return None;
        }
        match self {
            Self::Words(words) => {
                let mut all = value.split([',', '|']).map(str::trim);
                (!all.all(among_one(words))).then(|| either(words))
            }
            Self::BoolOrNumber => {
                (!is_bool() && !is_number(value)).then(|| "true, false or a number".to_owned())
            }
            Self::Clamped(..) => (!is_number(value)).then(|| "a number".to_owned()),
            Self::Public => (!is_public(value))
                .then(|| "an address, auto, auto-nat, stun:SERVER or host:NAME".to_owned()),
            Self::Bool => (!is_bool()).then(|| "true or false".to_owned()),
            Self::Word(words) => (!among(words)).then(|| either(words)),
            Self::BoolOr(words) => {
                (!is_bool() && !among(words)).then(|| either(&[&["true", "false"], words].concat()))
            }
            Self::Address => {
                let bare = value.trim_matches(['[', ']']);
                let fits = value == "auto"
                    || bare.parse::<IpAddr>().is_ok()
                    || value.starts_with("interface:");
                (!fits).then(|| "an address of this machine".to_owned())
            }
            Self::SipPort if value == "auto" => None,
            Self::Number(low, high) => {
                let fits = is_number(value)
                    && value.parse::<i64>().is_ok_and(|n| (low..=high).contains(&n));
                (!fits).then(|| format!("a number from {low} to {high}"))
            }
            Self::Port | Self::SipPort => {
                let fits = value.parse::<u16>().is_ok_and(|p| p > 0);
                (!fits).then(|| "a port from 1 to 65535".to_owned())
            }
            Self::Seconds | Self::Millis => Self::Number(0, LONGEST).refuse(value),
            Self::Text
            | Self::Codecs
            | Self::Causes
            | Self::AccessList
            | Self::Path
            | Self::Secret => None,
            Self::Level => crate::config::log_level(value).is_none().then(|| {
                "console, alert, crit, err, warning, notice, info, debug or 0 to 7".to_owned()
            }),
        }
    }
}

fn among_one(words: &'static [&'static str]) -> impl FnMut(&str) -> bool {
    move |word| words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// What `ext-sip-ip` and `ext-rtp-ip` understand.
fn is_public(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let looked_up = ["host:", "stun:", "autonat:"].iter().any(|p| lower.starts_with(p));
    // The reference takes any other word for an address.
    matches!(&*lower, "auto" | "auto-nat")
        || looked_up
        || value.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// `a, b or c`.
fn either(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
