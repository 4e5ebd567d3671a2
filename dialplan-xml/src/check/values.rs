//! Values of the wrong kind.

use std::net::IpAddr;

use super::Subject;
use super::params::all;
use crate::Diagnostic;
use crate::text::{is_false, is_number, is_true};

#[derive(Clone, Copy)]
enum Wants {
    Bool,
    Number(i64, i64),
    Port,
    /// A port, or `auto`.
    SipPort,
    /// An address of this machine, or `auto`.
    Address,
    Level,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Yes, no, or one of these words.
    BoolOr(&'static [&'static str]),
}

/// Parameters whose values have one meaning only. `file`, scope, names, what they want.
const RULES: &[(&str, &str, &[&str], Wants)] = &[
    ("switch.conf", "", &["max-sessions", "sessions-per-second"], Wants::Number(1, 4_294_967_295)),
    ("switch.conf", "", &["rtp-start-port", "rtp-end-port"], Wants::Port),
    ("switch.conf", "", &["loglevel"], Wants::Level),
    ("switch.conf", "", &["max-db-handles"], Wants::Number(5, 5000)),
    ("switch.conf", "", &["db-handle-timeout"], Wants::Number(1, 5000)),
    (
        "switch.conf",
        "",
        &["min-dtmf-duration", "default-dtmf-duration", "max-dtmf-duration"],
        Wants::Number(400, 192_000),
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
        Wants::Bool,
    ),
    ("event_socket.conf", "", &["listen-port"], Wants::Port),
    ("event_socket.conf", "", &["nat-map", "stop-on-bind-error"], Wants::Bool),
    ("console.conf", "", &["loglevel"], Wants::Level),
    ("console.conf", "", &["colorize"], Wants::Bool),
    ("event_socket.conf", "", &["listen-ip"], Wants::Address),
    ("console.conf", "", &["uuid"], Wants::Bool),
    ("logfile.conf", "", &["rotate-on-hup", "uuid"], Wants::Bool),
    ("logfile.conf", "", &["rollover", "maximum-rotate"], Wants::Number(0, 4_294_967_295)),
    (
        "conference.conf",
        "",
        &["max-members", "pin-retries", "energy-level"],
        Wants::Number(0, 4_294_967_295),
    ),
    ("sofia.conf", "profile", &["sip-port"], Wants::SipPort),
    ("sofia.conf", "profile", &["tls-sip-port"], Wants::Port),
    ("sofia.conf", "profile", &["sip-ip", "rtp-ip"], Wants::Address),
    ("sofia.conf", "profile", &["dtmf-type"], Wants::Word(&["rfc2833", "info", "none"])),
    (
        "sofia.conf",
        "profile",
        &["inbound-codec-negotiation"],
        Wants::Word(&["generous", "greedy", "scrooge"]),
    ),
    ("sofia.conf", "profile", &["caller-id-type"], Wants::Word(&["rpid", "pid", "none"])),
    ("sofia.conf", "profile", &["enable-3pcc"], Wants::BoolOr(&["proxy"])),
    ("sofia.conf", "profile", &["manage-presence"], Wants::BoolOr(&["passive", "pnp"])),
    ("sofia.conf", "profile", &["multiple-registrations"], Wants::BoolOr(&["contact", "call-id"])),
    (
        "sofia.conf",
        "profile",
        &[
            "auth-calls",
            "accept-blind-reg",
            "accept-blind-auth",
            "tls",
            "inbound-late-negotiation",
            "disable-transcoding",
            "inbound-reg-force-matching-username",
            "auth-all-packets",
            "log-auth-failures",
            "disable-register",
            "disable-transfer",
            "enable-100rel",
            "tls-only",
            "liberal-dtmf",
            "pass-callee-id",
            "auth-calls-acl-only",
            "watchdog-enabled",
            "forward-unsolicited-mwi-notify",
        ],
        Wants::Bool,
    ),
    (
        "sofia.conf",
        "profile",
        &["nonce-ttl", "rtp-timeout-sec", "rtp-hold-timeout-sec", "dtmf-duration"],
        Wants::Number(0, 86_400_000),
    ),
    ("sofia.conf", "profile", &["rfc2833-pt"], Wants::Number(0, 127)),
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
        Wants::Bool,
    ),
    ("sofia.conf", "gateway", &["register-transport"], Wants::Word(&["udp", "tcp", "tls"])),
    ("sofia.conf", "gateway", &["ping-min", "ping-max"], Wants::Number(0, 86_400_000)),
    (
        "sofia.conf",
        "gateway",
        &["expire-seconds", "retry-seconds", "ping"],
        Wants::Number(0, 86_400_000),
    ),
    ("xml_curl.conf", "", &["timeout", "response-max-bytes"], Wants::Number(0, 4_294_967_295)),
];

pub(super) fn check(subject: &mut Subject<'_>) {
    for (file, scope, param) in all(subject.tree) {
        let (Some(name), Some(value)) = (param.attr("name"), param.attr("value")) else { continue };
        let rule = RULES.iter().find(|(f, s, names, _)| {
            *f == file && *s == scope && names.iter().any(|n| n.eq_ignore_ascii_case(name))
        });
        let Some((.., wants)) = rule else { continue };
        if let Some(expected) = wants.refuse(value) {
            let message = format!("\"{value}\" is not a value for {name}: {expected} is wanted");
            let place = Some(param.attr_place("value"));
            subject.say(Diagnostic::error("value-type", message, place));
        }
    }
}

impl Wants {
    /// What is wanted, when the value is something else. References are not judged.
    fn refuse(self, value: &str) -> Option<String> {
        let is_bool = || is_true(value) || is_false(value);
        let among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        // An empty value is a variable that is not set here, or none at all: nothing can be said.
        if value.contains("${") || value.is_empty() {
            return None;
        }
        match self {
            Self::Bool => (!is_bool()).then(|| "true or false".to_owned()),
            Self::Word(words) => (!among(words)).then(|| either(words)),
            Self::BoolOr(words) => {
                (!is_bool() && !among(words)).then(|| either(&[&["true", "false"], words].concat()))
            }
            Self::Address => {
                let fits = value == "auto" || value.parse::<IpAddr>().is_ok();
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
            Self::Level => crate::config::log_level(value).is_none().then(|| {
                "console, alert, crit, err, warning, notice, info, debug or 0 to 7".to_owned()
            }),
        }
    }
}

/// `a, b or c`.
fn either(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
