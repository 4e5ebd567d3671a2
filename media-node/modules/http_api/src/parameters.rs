//! The parameters of `http_api.conf`.

use switch_core::contract::declare::{Parameters, Value, param};

const COUNT: Value = Value::Number(1, 1_000_000_000);

/// All of them.
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
        param(
            "request-timeout",
            Value::Number(1, 86_400),
            "15 to 30",
            "Seconds a request may take to come",
        ),
    ],
}];
