//! The parameters of `hiredis.conf` and the channel variables it sets.

use switch_core::contract::declare::{Parameters, Value, Variable, param, sets};

const COUNT: Value = Value::Number(1, 10_000);

/// All of them. The file has sections, whose parameters are told apart by name only.
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "hiredis.conf",
    scope: "",
    list: &[
        param("hostname", Value::Text, "localhost", "Connection: the server"),
        param("port", Value::Port, "6379", "Connection: its port"),
        param("password", Value::Secret, "", "Connection: password of AUTH"),
        param(
            "timeout-ms",
            Value::Number(1, 60_000),
            "500",
            "Connection: how long a connection or an answer is waited for",
        ),
        param(
            "timeout_ms",
            Value::Number(1, 60_000),
            "500",
            "Connection: the same as `timeout-ms`",
        ),
        param("max-connections", COUNT, "3", "Connection: connections to the server"),
        param("max-pipelined-requests", COUNT, "20", "Commands on their way on a connection"),
        param(
            "ignore-connect-fail",
            Value::Bool,
            "false",
            "`limit` lets calls through while no server can be reached",
        ),
        param(
            "ignore-error",
            Value::Bool,
            "false",
            "`limit` lets calls through when a server refuses the command",
        ),
        param("delete-when-zero", Value::Bool, "false", "`limit` deletes counters that are zero"),
        param(
            "call-state",
            Value::Bool,
            "false",
            "Calls are kept as `session:` and `room:` keys and published (not in FreeSWITCH)",
        ),
        param(
            "key-prefix",
            Value::Text,
            "",
            "In front of the names of `call-state` and `tts-cache` (not in FreeSWITCH)",
        ),
        param(
            "call-channel",
            Value::Text,
            "call-events",
            "Where `call-state` publishes messages (not in FreeSWITCH)",
        ),
        param(
            "session-ttl",
            Value::Number(15, 86_400),
            "300",
            "Seconds after which keys of a switch that died are gone (not in FreeSWITCH)",
        ),
        param(
            "tts-cache",
            Value::Bool,
            "false",
            "Speech is shared as `tts_cache:` keys (not in FreeSWITCH)",
        ),
        param(
            "tts-cache-ttl",
            Value::Number(1, 31_536_000),
            "604800",
            "Seconds that shared speech is kept (not in FreeSWITCH)",
        ),
        param(
            "tts-cache-largest",
            Value::Number(1000, 67_108_864),
            "1048576",
            "Most bytes of shared speech (not in FreeSWITCH)",
        ),
        param(
            "tts-cache-timeout-ms",
            Value::Number(1, 5000),
            "200",
            "How long a call waits for shared speech before the engine works (not in FreeSWITCH)",
        ),
    ],
}];

/// All of them.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    sets("hiredis_raw_response", "What the server answered to `hiredis_raw` or to `limit hiredis`"),
    sets("hiredis_limit_exceeded", "true after a `limit hiredis` that was refused"),
];
