//! The parameters of a binding of `xml_curl.conf`.

use dialplan_xml::declare::{Parameter, Parameters, Value, param};

/// All of them.
pub(super) const PARAMETERS: &[Parameters] =
    &[Parameters { file: "xml_curl.conf", scope: "", list: BINDING }];

const COUNT: Value = Value::Number(0, u32::MAX as i64);

const BINDING: &[Parameter] = &[
    param(
        "gateway-url",
        Value::Text,
        "",
        "Where it asks; `bindings=` names the sections it answers for",
    ),
    param("gateway-credentials", Value::Secret, "", "`user:password` for the server"),
    param(
        "auth-scheme",
        Value::Text,
        "basic",
        "How it is given: basic, digest, any; `=` in front excludes others",
    ),
    param(
        "method",
        Value::Text,
        "post",
        "HTTP method; with any but POST the fields go into the URL",
    ),
    param("timeout", COUNT, "0", "Seconds for an answer; 0 sets no limit"),
    param("enable-post-var", Value::Text, "", "Only this field and others so named are sent"),
    param("use-dynamic-url", Value::Bool, "false", "`${…}` in the URL is expanded"),
    param("bind-local", Value::Text, "", "Address or interface requests go out from"),
    param(
        "enable-cacert-check",
        Value::Bool,
        "false",
        "The server's certificate must be signed by an authority",
    ),
    param(
        "enable-ssl-verifyhost",
        Value::Bool,
        "false",
        "The server's certificate must name the server",
    ),
    param("ssl-cacert-file", Value::Path, "system's", "Authorities that are believed, PEM"),
    param("ssl-cert-path", Value::Path, "", "Own certificate, PEM"),
    param("ssl-key-path", Value::Path, "", "Its key, PEM, not encrypted"),
    param("ssl-version", Value::Text, "", "Version of TLS"),
    param("response-max-bytes", COUNT, "1048576", "Longest answer that is read"),
    param(
        "max-concurrent-requests",
        COUNT,
        "200",
        "Requests under way at once (not in FreeSWITCH)",
    ),
    param(
        "max-waiting-requests",
        COUNT,
        "1000",
        "Lookups that wait for their turn (not in FreeSWITCH)",
    ),
    param(
        "failures-before-pause",
        COUNT,
        "5",
        "Failures in a row after which the server is left alone (not in FreeSWITCH)",
    ),
    param("pause-seconds", COUNT, "5", "For how long it is (not in FreeSWITCH)"),
    param("response-cache-seconds", COUNT, "0", "How long answers are kept (not in FreeSWITCH)"),
    param("cookie-file", Value::Path, "", "File of cookies").no_effect("no cookies are kept"),
    param("ssl-key-password", Value::Secret, "", "Password of the key")
        .no_effect("the key must not be encrypted"),
    param("disable-100-continue", Value::Bool, "true", "No `Expect: 100-continue`")
        .no_effect("requests never expect it"),
];
