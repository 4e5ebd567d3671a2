//! The parameters of the files of call records.

use dialplan_xml::declare::{Parameter, Parameters, Value, param};

/// `cdr_csv.conf`.
pub(super) const CSV: &[Parameters] = &[Parameters {
    file: "cdr_csv.conf",
    scope: "",
    list: &[
        LEGS,
        param("log-base", Value::Path, "`log_dir`", "Folder in which `cdr-csv` lies"),
        TEMPLATE,
        param("master-file-only", Value::Bool, "false", "No file for each account code"),
        param("rotate-on-hup", Value::Bool, "false", "SIGHUP begins new files"),
    ],
}];

/// `cdr_sqlite.conf`.
pub(super) const SQLITE: &[Parameters] = &[Parameters {
    file: "cdr_sqlite.conf",
    scope: "",
    list: &[
        LEGS,
        param("db-name", Value::Text, "`cdr-csv`", "Database the rows go to"),
        param("db-table", Value::Text, "cdr", "Table they go to"),
        TEMPLATE,
    ],
}];

/// `cdr_pg_csv.conf`.
pub(super) const PG: &[Parameters] = &[Parameters {
    file: "cdr_pg_csv.conf",
    scope: "",
    list: &[
        param("db-info", Value::Secret, "dbname=cdr", "Connection string of libpq, or an address"),
        param("db-table", Value::Text, "cdr", "Table the rows go to"),
        LEGS,
        param("spool-dir", Value::Path, "`cdr-pg-csv` in `log_dir`", "Folder of refused rows"),
        param("spool-format", Value::Word(&["csv", "sql"]), "csv", "How refused rows are filed"),
        param("rotate-on-hup", Value::Bool, "false", "SIGHUP moves the file of refused rows aside"),
        param("debug", Value::Bool, "false", "Each call's data are logged when it has ended"),
    ],
}];

/// `json_cdr.conf`.
pub(super) const JSON: &[Parameters] =
    &[Parameters { file: "json_cdr.conf", scope: "", list: JSON_LIST }];

/// `webhook.conf`.
pub(super) const WEBHOOK: &[Parameters] = &[Parameters {
    file: "webhook.conf",
    scope: "",
    list: &[
        param("url", Value::Text, "", "Where records are posted"),
        param(
            "secret",
            Value::Secret,
            "",
            "What they are signed with: `whsec_` and base64, or text",
        ),
        param("legs", Value::Word(&["a", "b", "ab", "ba"]), "ab", "Legs that are posted"),
        param("timeout", COUNT, "10", "Seconds a request may take"),
        param("ssl-cacert-file", Value::Path, "system's", "Authorities that are believed, PEM"),
    ],
}];

/// `xml_cdr.conf`.
pub(super) const XML: &[Parameters] = &[Parameters { file: "xml_cdr.conf", scope: "", list: POST }];

const LEGS: Parameter =
    param("legs", Value::Word(&["a", "b", "ab", "ba"]), "a", "Legs that are written");
const TEMPLATE: Parameter =
    param("default-template", Value::Text, "default", "Template of calls without an account code");
const COUNT: Value = Value::Number(0, 86_400_000);

const URL: Parameter =
    param("url", Value::Text, "", "Where records are posted; several are tried in turn");
const CRED: Parameter = param("cred", Value::Secret, "", "`user:password` for the server");
const SCHEME: Parameter = param(
    "auth-scheme",
    Value::Text,
    "basic",
    "How it is given: basic, digest, any; `=` in front excludes others",
);
const LOG_DIR: Parameter = param("log-dir", Value::Path, "", "Folder records are filed in");
const ERR_DIR: Parameter =
    param("err-log-dir", Value::Path, "`log-dir`", "Folder of records that could not be posted");
const BOTH: Parameter =
    param("log-http-and-disk", Value::Bool, "false", "Records are filed even if they were posted");
const ERRORS: Parameter =
    param("log-errors-to-disk", Value::Bool, "true", "What could not be posted is filed");
const B_LEG: Parameter = param("log-b-leg", Value::Bool, "true", "B-legs have records");
const PREFIX: Parameter =
    param("prefix-a-leg", Value::Bool, "false", "Names of A-legs' records begin with `a_`");
const ENCODE: Parameter = param(
    "encode",
    Value::BoolOr(&["base64", "textxml"]),
    "true (XML), false (JSON)",
    "How a record stands in the request",
);
const RETRIES: Parameter = param("retries", COUNT, "0", "Tries after the first; at most 100");
const DELAY: Parameter = param("delay", COUNT, "5", "Seconds between tries");
const TIMEOUT: Parameter = param("timeout", COUNT, "30", "Seconds a request may take");
const AUTHORITY: Parameter = param(
    "enable-cacert-check",
    Value::Bool,
    "false",
    "The server's certificate must be signed by an authority",
);
const NAME: Parameter = param(
    "enable-ssl-verifyhost",
    Value::Bool,
    "false",
    "The server's certificate must name the server",
);
const CA: Parameter =
    param("ssl-cacert-file", Value::Path, "system's", "Authorities that are believed, PEM");
const CERT: Parameter = param("ssl-cert-path", Value::Path, "", "Own certificate, PEM");
const KEY: Parameter = param("ssl-key-path", Value::Path, "", "Its key, PEM, not encrypted");
const VERSION: Parameter = param("ssl-version", Value::Text, "", "Version of TLS");
const DISABLE_100: Parameter =
    param("disable-100-continue", Value::Bool, "true", "No `Expect: 100-continue`")
        .no_effect("requests never expect it");

const POST: &[Parameter] = &[
    URL,
    CRED,
    SCHEME,
    LOG_DIR,
    ERR_DIR,
    BOTH,
    ERRORS,
    B_LEG,
    PREFIX,
    ENCODE,
    RETRIES,
    DELAY,
    TIMEOUT,
    AUTHORITY,
    NAME,
    CA,
    CERT,
    KEY,
    VERSION,
    DISABLE_100,
];

const JSON_LIST: &[Parameter] = &[
    URL,
    CRED,
    SCHEME,
    LOG_DIR,
    ERR_DIR,
    BOTH,
    ERRORS,
    B_LEG,
    PREFIX,
    ENCODE,
    RETRIES,
    DELAY,
    TIMEOUT,
    AUTHORITY,
    NAME,
    CA,
    CERT,
    KEY,
    VERSION,
    DISABLE_100,
    param("encode-values", Value::Bool, "true", "Values of variables are URL-encoded"),
];
