//! The parameters of `amqp.conf`.

use switch_core::contract::declare::{Parameter, Parameters, Value, param};

/// All of them. The file has sections, whose parameters are told apart by name only.
pub(super) const PARAMETERS: &[Parameters] =
    &[Parameters { file: "amqp.conf", scope: "", list: LIST }];

const COUNT: Value = Value::Number(1, 1 << 40);

const LIST: &[Parameter] = &[
    param("hostname", Value::Text, "localhost", "Connection: the broker"),
    param("port", Value::Port, "5672, 5671 with TLS", "Connection: its port"),
    param("virtualhost", Value::Text, "/", "Connection: virtual host"),
    param("username", Value::Text, "guest", "Connection: user"),
    param("password", Value::Secret, "guest", "Connection: password"),
    param("heartbeat", Value::Number(0, 65_535), "0", "Connection: seconds between heartbeats"),
    param("ssl_on", Value::Bool, "false", "Connection: TLS"),
    param(
        "ssl_cacert_file",
        Value::Path,
        "system's",
        "Connection: authorities that are believed, PEM (not in FreeSWITCH)",
    ),
    param("ssl_verify_peer", Value::Bool, "true", "Connection: the certificate is checked")
        .no_effect("certificates are always checked; ssl_cacert_file names their authority"),
    param("exchange-name", Value::Text, "TAP.Events, TAP.Commands, TAP.Logging", "Exchange"),
    param("exchange-type", Value::Text, "topic", "Its kind"),
    param("exchange-durable", Value::Bool, "true", "It survives a restart of the broker"),
    param(
        "reconnect_interval_ms",
        COUNT,
        "1000",
        "First pause between tries to connect; they double",
    ),
    param(
        "circuit_breaker_ms",
        COUNT,
        "10000",
        "How long messages are dropped once there is no room",
    ),
    param("send_queue_size", COUNT, "5000", "Events or lines that may wait in memory"),
    param(
        "spool-max-bytes",
        COUNT,
        "268435456",
        "Bytes of messages that may wait on disk for the broker (not in FreeSWITCH)",
    ),
    param("delivery-mode", Value::Number(0, 2), "", "2: messages survive a restart of the broker"),
    param("delivery-timestamp", Value::Bool, "true", "Messages say when they were made"),
    param("content-type", Value::Text, "text/json", "Content type of messages"),
    param("format_fields", Value::Text, "", "Headers the routing key is made of"),
    param(
        "enable_fallback_format_fields",
        Value::Number(0, 1),
        "0",
        "A bar in `format_fields` separates alternatives",
    ),
    param("event_filter", Value::Text, "ALL", "Events that are published"),
    param("queue-name", Value::Text, "", "Commands: queue they come from"),
    param("binding_key", Value::Text, "commandBindingKey", "Commands: key it is bound with"),
    param("queue-passive", Value::Bool, "false", "Commands: the queue must be there"),
    param("queue-durable", Value::Bool, "false", "Commands: the queue survives a restart"),
    param("queue-exclusive", Value::Bool, "false", "Commands: the queue is for this switch only"),
    param(
        "queue-auto-delete",
        Value::Bool,
        "true",
        "Commands: the queue goes with its last reader",
    ),
    param("log-levels", Value::Text, "", "Logging: levels that are published"),
];
