//! What is declared: parameters of `httapi.conf`, and channel variables.

use dialplan_xml::declare::{Parameters, Value, Variable, param, reads};

const SECONDS: Value = Value::Number(0, 86_400_000);

/// All parameters.
#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[
    Parameters { file: "httapi.conf", scope: "", list: &[
        param("debug", Value::Bool, "false", "Answers are written to the log"),
        param("file-not-found-expires", SECONDS, "300", "Nothing").no_effect("mod_http_cache keeps files from the web"),
        param("file-cache-ttl", SECONDS, "300", "Nothing").no_effect("mod_http_cache keeps files from the web"),
        param("abs-file-cache-ttl", SECONDS, "0", "Nothing").no_effect("mod_http_cache keeps files from the web"),
    ] },
    Parameters { file: "httapi.conf", scope: "profile", list: &[
        param("gateway-url", Value::Text, "", "Where requests go unless the call says otherwise; a profile must have it"),
        param("gateway-credentials", Value::Secret, "", "User and password, `user:password`"),
        param("auth-scheme", Value::Word(&["basic", "digest", "any", "=basic", "=digest", "NTLM", "GSS-NEGOTIATE"]), "basic", "How they are shown; `=` in front excludes basic. NTLM and GSS-NEGOTIATE are taken for basic"),
        param("method", Value::Text, "GET", "The verb; `post` sends the form in the body, others in the address"),
        param("user-agent", Value::Text, "mod_httapi/1.0", "What servers see the switch as"),
        param("timeout", SECONDS, "60", "Seconds a request may take, the connection included"),
        param("connect-timeout", SECONDS, "", "Part of `timeout`").no_effect("timeout holds for all of it"),
        param("enable-cacert-check", Value::Bool, "false", "Certificates must lead to a known authority"),
        param("enable-ssl-verifyhost", Value::Bool, "false", "They must be for the host"),
        param("ssl-cacert-file", Value::Path, "the system's", "Authorities, PEM"),
        param("ssl-cert-path", Value::Path, "", "The switch's own certificate, PEM"),
        param("ssl-key-path", Value::Path, "", "Its key, PEM"),
        param("ssl-key-password", Value::Secret, "", "Password of the key").no_effect("keys must not be encrypted"),
        param("ssl-version", Value::Text, "TLS 1.2 and 1.3", "The only version"),
        param("cookie-file", Value::Path, "", "Cookies are kept and sent, `HTTAPI_SESSION_ID` among them; in memory, the file is not written"),
        param("enable-post-var", Value::Text, "", "A field that is sent; each names one more, without any all are"),
        param("disable-100-continue", Value::Bool, "true", "No `Expect: 100-continue`").no_effect("it is never sent"),
        param("bind-local", Value::Text, "", "Address requests go out from"),
    ] },
    Parameters { file: "httapi.conf", scope: "conference", list: &[
        param("default-profile", Value::Text, "default", "Profile of rooms that `<conference>` opens"),
    ] },
    Parameters { file: "httapi.conf", scope: "dial", list: &[
        param("context", Value::Text, "", "Nothing").no_effect("`<dial>` transfers in the call's own context, as in FreeSWITCH"),
        param("dialplan", Value::Text, "", "Nothing").no_effect("`<dial>` transfers in the call's own dialplan, as in FreeSWITCH"),
    ] },
];

/// All variables.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    reads("httapi_profile", Value::Text, "Profile of the application `httapi` where its argument names none"),
    reads("HTTAPI_SESSION_ID", Value::Text, "What servers know the call by, instead of its id"),
];
