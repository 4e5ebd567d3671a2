//! The parameters of `event_socket.conf`.

use switch_core::contract::declare::{Parameters, Value, param};

/// All of them.
pub(super) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "event_socket.conf",
    scope: "",
    list: &[
        param("listen-ip", Value::Address, "127.0.0.1", "Address it listens on"),
        param("listen-port", Value::Port, "8021", "Port it listens on"),
        param("password", Value::Secret, "ClueCon", "Password of clients"),
        param(
            "apply-inbound-acl",
            Value::AccessList,
            "loopback.auto",
            "List clients must pass; of several, all",
        ),
        param(
            "stop-on-bind-error",
            Value::Bool,
            "false",
            "A busy port is given up instead of tried again",
        ),
        param(
            "allow-host-commands",
            Value::Bool,
            "false",
            "Clients on other machines may run `system` and its kin (not in FreeSWITCH)",
        ),
        param("nat-map", Value::Bool, "false", "The port is mapped at the router")
            .no_effect("no router is asked for anything"),
        param("debug", Value::Number(0, 10), "0", "More log lines")
            .no_effect("the log level of the switch says what is logged"),
    ],
}];
