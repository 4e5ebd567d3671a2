//! The parameters of `http_api.conf` and `xml_rpc.conf`.

use switch_core::contract::declare::{Parameters, Value, param};

const COUNT: Value = Value::Number(1, 1_000_000_000);

/// `http_api.conf`.
pub(super) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "http_api.conf",
    scope: "",
    list: &[
        param("listen-ip", Value::Address, "127.0.0.1", "Address it listens on"),
        param("listen-port", Value::Port, "8088", "Port it listens on"),
        param(
            "apply-inbound-acl",
            Value::AccessList,
            "loopback.auto",
            "List clients must pass; of several, all",
        ),
        param("tls-cert", Value::Path, "", "Certificate, PEM; with it and its key, HTTPS only"),
        param("tls-key", Value::Path, "", "Its key, PEM, not encrypted"),
        param("max-connections", COUNT, "256", "Connections at once"),
        param("max-connections-per-address", COUNT, "64", "Connections of one address at once"),
        param("max-body-bytes", COUNT, "65536", "Longest body of a request"),
        param("jwt-secret", Value::Secret, "", "Secret for tokens (HS256), at least 32 bytes"),
        param("jwt-public-key", Value::Path, "", "RSA key tokens are checked with (RS256), PEM"),
        param("jwks-url", Value::Text, "", "Where the issuer's public keys are (RS256)"),
        param("jwt-issuer", Value::Text, "", "`iss` tokens must have"),
        param("jwt-audience", Value::Text, "", "`aud` tokens must have"),
        param("cors-origin", Value::Text, "", "Origin whose pages may ask; repeatable, `*` is all"),
        param("rate-limit", COUNT, "50", "Requests of one client per second"),
        param("dial-string", Value::Text, "loopback/{to}/{context}", "How numbers are called"),
        param("default-context", Value::Text, "default", "Context of calls and transfers"),
        param("call-application", Value::Text, "park", "What an answered call runs"),
        param(
            "resources-dsn",
            Value::Secret,
            "gateway",
            "Database of users, trunks and routes: a file's name, `sqlite://…` or `pgsql://…`",
        ),
        param(
            "extensions-dsn",
            Value::Secret,
            "",
            "Database with a table of users that another program keeps, as a source of the directory",
        ),
        param(
            "extensions-query",
            Value::Text,
            "select * from extensions where extension = $1",
            "Query that finds a user; `$1` is the user, `$2` the domain",
        ),
        param(
            "history-dsn",
            Value::Secret,
            "",
            "Database of call records that the history is read from, instead of memory",
        ),
        param("history-table", Value::Text, "cdr", "Table of call records in it"),
        param("tenant-users", Value::Number(0, 100_000), "10000", "Users one tenant may keep"),
        param("tenant-routes", Value::Number(0, 10_000), "1000", "Routes one tenant may keep"),
        param("portal-dir", Value::Path, "", "Folder of the pages served at `/portal`"),
        param("portal-websocket", Value::Text, "", "WebSocket URL that phones in pages use"),
        param("portal-domain", Value::Text, "", "Domain of the users of the pages"),
        param(
            "request-timeout",
            Value::Number(1, 86_400),
            "15 to 30",
            "Seconds a request may take to come",
        ),
    ],
}];

/// `xml_rpc.conf`.
pub(super) const XML_RPC: &[Parameters] = &[Parameters {
    file: "xml_rpc.conf",
    scope: "",
    list: &[
        param(
            "listen-ip",
            Value::Address,
            "127.0.0.1",
            "Address it listens on (not in FreeSWITCH)",
        ),
        param("http-port", Value::Port, "8080", "Port it listens on"),
        param("auth-realm", Value::Text, "freeswitch", "Realm clients are told"),
        param("auth-user", Value::Text, "", "User who may run every command"),
        param("auth-pass", Value::Secret, "", "Password of that user"),
        param("default-domain", Value::Text, "", "Domain of directory users who name none"),
        param("virtual-host", Value::Bool, "true", "The Host header is the domain")
            .no_effect("users name their domain, or have default-domain"),
        param("enable-websocket", Value::Bool, "false", "Events by WebSocket")
            .no_effect("the voice gateway has them: /api/events/ws"),
        param("commands-to-log", Value::Text, "", "Commands that are logged")
            .no_effect("API events tell of every command"),
    ],
}];
