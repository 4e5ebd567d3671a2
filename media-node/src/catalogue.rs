//! What this switch honours, for `ferroswitch check` and the compatibility report.
//!
//! Applications, commands and modules come from their registries. Parameters are read in many places;
//! those that have an effect are listed here, and tests make sure that each is read where its file
//! is, and that whatever a SIP profile reads is listed.

use dialplan_xml::catalogue::{Catalogue, Kind};

use switch_core::contract::Linked;

/// Everything this switch honours.
#[must_use]
pub fn catalogue(modules: &Linked) -> Catalogue {
    let mut known = Catalogue::new();
    let apps = modules.applications().flatten();
    known.honour_owned(Kind::Application, apps.map(|app| (app.name, app.module)));
    let apis = modules.commands().flatten();
    known.honour_owned(Kind::Api, apis.map(|api| (api.name, api.module)));
    known.honour(Kind::Module, modules.names());
    for module in modules.iter() {
        let provides = module.provides();
        let owned = provides.endpoints.iter().map(|kind| (kind.name, module.name()));
        known.honour_owned(Kind::Endpoint, owned);
        known.honour(Kind::Dialplan, provides.dialplans.iter().map(|kind| kind.name));
        let resolved = provides.resolver.map_or(&[][..], |resolver| resolver.names());
        let owned = resolved.iter().map(|name| (*name, module.name()));
        known.honour_owned(Kind::Endpoint, owned);
    }
    known.honour(Kind::Dialplan, ["XML", "inline"]);
    for (file, scope, names) in PARAMS {
        known.honour_params(file, scope, *names);
    }
    known.complete();
    known
}

/// File, kind of element, parameters.
const PARAMS: &[(&str, &str, &[&str])] = &[
    (
        "switch.conf",
        "",
        &[
            "api-expansion",
            "default-dtmf-duration",
            "event-heartbeat-interval",
            "loglevel",
            "max-dtmf-duration",
            "max-sessions",
            "min-dtmf-duration",
            "min-idle-cpu",
            "rtp-end-port",
            "rtp-start-port",
            "sessions-per-second",
            "switchname",
            "verbose-channel-events",
        ],
    ),
    (
        "event_socket.conf",
        "",
        &[
            "allow-host-commands",
            "apply-inbound-acl",
            "listen-ip",
            "listen-port",
            "password",
            "stop-on-bind-error",
        ],
    ),
    ("console.conf", "", &["colorize", "log-format", "loglevel", "uuid"]),
    ("logfile.conf", "", &["logfile", "maximum-rotate", "rollover", "rotate-on-hup", "uuid"]),
    (
        "xml_curl.conf",
        "",
        &[
            "auth-scheme",
            "bind-local",
            "enable-cacert-check",
            "enable-post-var",
            "enable-ssl-verifyhost",
            "failures-before-pause",
            "gateway-credentials",
            "gateway-url",
            "max-concurrent-requests",
            "max-waiting-requests",
            "method",
            "pause-seconds",
            "response-cache-seconds",
            "response-max-bytes",
            "ssl-cacert-file",
            "ssl-cert-path",
            "ssl-key-path",
            "ssl-version",
            "timeout",
            "use-dynamic-url",
        ],
    ),
    (
        "cdr_csv.conf",
        "",
        &["default-template", "legs", "log-base", "master-file-only", "rotate-on-hup"],
    ),
    ("cdr_sqlite.conf", "", &["db-name", "db-table", "default-template", "legs"]),
    (
        "json_cdr.conf",
        "",
        &[
            "auth-scheme",
            "cred",
            "delay",
            "enable-cacert-check",
            "enable-ssl-verifyhost",
            "encode",
            "encode-values",
            "err-log-dir",
            "log-b-leg",
            "log-dir",
            "log-errors-to-disk",
            "log-http-and-disk",
            "prefix-a-leg",
            "retries",
            "ssl-cacert-file",
            "ssl-cert-path",
            "ssl-key-path",
            "ssl-version",
            "timeout",
            "url",
        ],
    ),
    (
        "xml_cdr.conf",
        "",
        &[
            "auth-scheme",
            "cred",
            "delay",
            "enable-cacert-check",
            "enable-ssl-verifyhost",
            "encode",
            "err-log-dir",
            "log-b-leg",
            "log-dir",
            "log-errors-to-disk",
            "log-http-and-disk",
            "prefix-a-leg",
            "retries",
            "ssl-cacert-file",
            "ssl-cert-path",
            "ssl-key-path",
            "ssl-version",
            "timeout",
            "url",
        ],
    ),
    ("local_stream.conf", "", &["shuffle"]),
    (
        "enum.conf",
        "",
        &[
            "auto-reload",
            "default-isn-root",
            "default-root",
            "nameserver",
            "query-timeout",
            "query-timeout-ms",
            "query-timeout-retry",
            "random-nameserver",
            "use-server",
        ],
    ),
    (
        "conference.conf",
        "",
        &[
            "alone-sound",
            "auto-record",
            "bad-pin-sound",
            "caller-controls",
            "caller-id-name",
            "caller-id-number",
            "domain",
            "energy-level",
            "enter-sound",
            "exit-sound",
            "interval",
            "locked-sound",
            "max-members",
            "max-members-sound",
            "member-flags",
            "moderator-pin",
            "pin",
            "pin-retries",
            "pin-sound",
            "rate",
        ],
    ),
    (
        "sofia.conf",
        "profile",
        &[
            "accept-blind-auth",
            "accept-blind-reg",
            "aggressive-nat-detection",
            "all-reg-options-ping",
            "allow-update",
            "apply-inbound-acl",
            "apply-nat-acl",
            "apply-proxy-acl",
            "apply-register-acl",
            "auth-calls",
            "auth-calls-acl-only",
            "auth-messages",
            "auth-require-user",
            "auth-subscriptions",
            "auto-invite-100",
            "bind-attempt-interval",
            "bind-attempts",
            "bind-params",
            "caller-id-type",
            "challenge-realm",
            "cid-in-1xx",
            "codec-prefs",
            "contact-user",
            "context",
            "dialplan",
            "disable-auth-messages",
            "disable-naptr",
            "disable-register",
            "disable-rtp-auto-adjust",
            "disable-srv",
            "disable-transfer",
            "dtmf-type",
            "enable-100rel",
            "enable-3pcc",
            "enable-timer",
            "ext-rtp-ip",
            "ext-sip-ip",
            "ext-sip-port",
            "force-register-db-domain",
            "force-register-domain",
            "force-subscription-domain",
            "force-subscription-expires",
            "ignore-183nosdp",
            "inbound-bypass-media",
            "inbound-codec-negotiation",
            "inbound-codec-prefs",
            "inbound-late-negotiation",
            "inbound-reg-force-matching-username",
            "inbound-use-callid-as-uuid",
            "liberal-dtmf",
            "local-network-acl",
            "log-auth-failures",
            "manage-presence",
            "manage-shared-appearance",
            "p-asserted-id-parse",
            "manual-redirect",
            "max-recv-requests-per-second",
            "max-registrations-per-extension",
            "minimum-session-expires",
            "multiple-registrations",
            "nat-options-ping",
            "NDLB-force-rport",
            "nonce-ttl",
            "outbound-codec-prefs",
            "outbound-proxy",
            "outbound-use-uuid-as-callid",
            "parse-all-invite-headers",
            "pass-callee-id",
            "ping-mean-interval",
            "presence-hosts",
            "profile-standby",
            "rfc2833-pt",
            "rfc8760-auth-algorithms",
            "rtcp-audio-interval-msec",
            "rtp-digit-delay",
            "rtp-hold-timeout-sec",
            "rtp-ip",
            "rtp-timeout-sec",
            "send-display-update",
            "session-timeout",
            "sip-capture",
            "sip-expires-late-margin",
            "sip-expires-max-deviation",
            "sip-force-expires",
            "sip-force-expires-max",
            "sip-force-expires-min",
            "sip-ip",
            "sip-messages-respond-200-ok",
            "sip-options-respond-503-on-busy",
            "sip-port",
            "sip-subscribe-respond-200-ok",
            "sip-trace",
            "sip-user-ping-max",
            "sip-user-ping-min",
            "suppress-cng",
            "tcp-always-nat",
            "tcp-unreg-on-socket-close",
            "timer-T1",
            "timer-T1X64",
            "timer-T2",
            "timer-T4",
            "tls",
            "tls-always-nat",
            "tls-cert-dir",
            "tls-only",
            "tls-sip-port",
            "tls-verify-date",
            "tls-verify-depth",
            "tls-verify-in-subjects",
            "tls-verify-policy",
            "tls-version",
            "unregister-on-options-fail",
            "update-refresher",
            "user-agent-filter",
            "user-agent-string",
            "username",
        ],
    ),
    ("sofia.conf", "global", &["capture-server"]),
    (
        "sofia.conf",
        "gateway",
        &[
            "908-retry-seconds",
            "auth-username",
            "caller-id-in-from",
            "contact-host",
            "contact-in-ping",
            "contact-params",
            "context",
            "destination-prefix",
            "distinct-to",
            "expire-seconds",
            "extension",
            "extension-in-contact",
            "from-domain",
            "from-user",
            "gw-auth-acl",
            "outbound-proxy",
            "password",
            "ping",
            "ping-max",
            "ping-min",
            "ping-user-agent",
            "proxy",
            "realm",
            "register",
            "register-proxy",
            "register-transport",
            "retry-seconds",
            "retry_seconds",
            "timeout-seconds",
            "username",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use dialplan_xml::catalogue::Support;

    use super::*;

    /// Where a file's parameters are read, and what there only lists them.
    const READERS: &[(&str, &[&str], &[&str])] = &[
        ("switch.conf", &["../dialplan-xml/src/config/switch.rs", "core/src/store"], &[]),
        ("event_socket.conf", &["../dialplan-xml/src/config/event_socket.rs"], &[]),
        ("console.conf", &["log/src"], &[]),
        ("logfile.conf", &["log/src"], &[]),
        ("xml_curl.conf", &["../dialplan-xml/src/config/xml_curl.rs", "modules/xml_curl/src"], &[]),
        ("conference.conf", &["modules/conference/src"], &[]),
        ("local_stream.conf", &["core/src/app/play.rs"], &[]),
        ("enum.conf", &["modules/enum/src"], &[]),
        ("cdr_csv.conf", &["modules/cdr/src"], &[]),
        ("cdr_sqlite.conf", &["modules/cdr/src"], &[]),
        ("json_cdr.conf", &["modules/cdr/src"], &[]),
        ("xml_cdr.conf", &["modules/cdr/src"], &[]),
        ("sofia.conf", &["modules/sofia/src"], &["status.rs", "xml.rs"]),
    ];

    fn sources(path: &Path, listing: &[&str], out: &mut String) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                sources(&entry.unwrap().path(), listing, out);
            }
        } else if name.ends_with(".rs") && !listing.contains(&name) {
            let text = fs::read_to_string(path).unwrap();
            out.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }

    fn readers(file: &str) -> String {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text = String::new();
        let (_, places, listing) = READERS.iter().find(|(known, ..)| *known == file).unwrap();
        places.iter().for_each(|place| sources(&here.join(place), listing, &mut text));
        text
    }

    #[test]
    fn every_listed_parameter_is_read_where_its_file_is() {
        for (file, _, names) in PARAMS {
            let text = readers(file);
            for name in *names {
                assert!(text.contains(&format!("\"{name}\"")), "nobody reads {name} of {file}");
            }
        }
    }

    /// Parameters that are read here although they change nothing.
    const WITHOUT_EFFECT: &[&str] = &["hold-music", "rtp-timer-name"];

    #[test]
    fn every_parameter_a_profile_reads_is_listed() {
        let text = readers("sofia.conf");
        let listed: BTreeSet<_> = PARAMS
            .iter()
            .filter(|(file, ..)| *file == "sofia.conf")
            .flat_map(|(_, _, names)| names.iter().copied())
            .chain(WITHOUT_EFFECT.iter().copied())
            .collect();
        let known = Catalogue::new();
        let asked = ["get(\"", "on(\"", "last(\"", "int(\"", "all(\"", "seconds(\"", "codecs(\""];
        for call in asked {
            for (at, _) in text.match_indices(call) {
                let name = text[at + call.len()..].split('"').next().unwrap_or_default();
                let reference = ["profile", "gateway"]
                    .iter()
                    .any(|scope| known.param("sofia.conf", scope, name) == Some(Support::Honoured));
                assert!(!reference || listed.contains(name), "{name} is read and not listed");
            }
        }
    }

    #[test]
    fn no_parameter_is_listed_twice() {
        let mut seen = BTreeSet::new();
        for (file, scope, names) in PARAMS {
            for name in *names {
                assert!(seen.insert((file, scope, name)), "{name} of {file} is there twice");
            }
        }
    }

    #[test]
    fn names_are_judged_by_what_this_switch_does() {
        let known = catalogue(&crate::linked::linked());
        assert_eq!(known.support(Kind::Application, "answer"), Support::Honoured);
        assert_eq!(known.support(Kind::Application, "skinny-drop"), Support::Accepted);
        assert_eq!(known.support(Kind::Application, "answr"), Support::Unknown);
        assert_eq!(known.param("switch.conf", "", "loglevel"), Some(Support::Honoured));
        assert_eq!(known.param("switch.conf", "", "tipping-point"), Some(Support::Accepted));
        assert_eq!(known.param("switch.conf", "", "loglevle"), Some(Support::Unknown));
        assert_eq!(known.param("sofia.conf", "profile", "hold-music"), Some(Support::Accepted));
        assert_eq!(known.param("xml_curl.conf", "", "cookie-file"), Some(Support::Accepted));
    }
}
