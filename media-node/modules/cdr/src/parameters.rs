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
        KEEP_DAYS,
        ACTIVE,
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
        KEEP_DAYS,
        ACTIVE,
    ],
}];

/// `json_cdr.conf`.
pub(super) const JSON: &[Parameters] =
    &[Parameters { file: "json_cdr.conf", scope: "", list: JSON_LIST }];

/// `odbc_cdr.conf`.
pub(super) const ODBC: &[Parameters] = &[Parameters {
    file: "odbc_cdr.conf",
    scope: "",
    list: &[
        param(
            "odbc-dsn",
            Value::Secret,
            "",
            "Database: `pgsql://…`, `sqlite://…`, or `DSN:USER:PASSWORD` of `odbc.ini`",
        ),
        param("dbname", Value::Text, "odbc_cdr", "SQLite database where `odbc-dsn` is not set"),
        param("log-leg", Value::Word(&["a-leg", "b-leg", "both"]), "both", "Legs that have rows"),
        param(
            "write-csv",
            Value::Word(&["always", "never", "on-db-fail"]),
            "never",
            "Rows are filed: all, or those that the database refuses",
        ),
        param("csv-path", Value::Path, "`odbc-cdr` in `log_dir`", "Folder of filed rows"),
        param(
            "csv-path-on-fail",
            Value::Path,
            "`odbc-cdr-failed` in `log_dir`",
            "Folder of rows that the database refuses",
        ),
        param("debug-sql", Value::Bool, "false", "Each row's statement is logged at DEBUG"),
        param("write-sql", Value::Text, "", "Nothing")
            .no_effect("it is in FreeSWITCH's sample, and its module does not read it"),
        param("sql-path-on-fail", Value::Text, "", "Nothing")
            .no_effect("it is in FreeSWITCH's sample, and its module does not read it"),
    ],
}];

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
        CA,
    ],
}];

/// `format_cdr.conf`.
pub(super) const FORMAT: &[Parameters] =
    &[Parameters { file: "format_cdr.conf", scope: "profile", list: FORMAT_LIST }];

/// `xml_cdr.conf`.
pub(super) const XML: &[Parameters] =
    &[Parameters { file: "xml_cdr.conf", scope: "", list: XML_LIST }];

const LEGS: Parameter =
    param("legs", Value::Word(&["a", "b", "ab", "ba"]), "a", "Legs that are written");
const TEMPLATE: Parameter =
    param("default-template", Value::Text, "default", "Template of calls without an account code");
const KEEP_DAYS: Parameter = param(
    "keep-days",
    Value::Number(1, 36_500),
    "",
    "Rows of calls that began longer ago are removed; without it none is",
);
const ACTIVE: Parameter = param(
    "active-calls",
    Value::Bool,
    "false",
    "The calls there are now stand in the table `active_calls`",
);
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

/// What all that post documents have in common, around those of one of them.
macro_rules! posting {
    ($encode:expr; $($own:expr),* $(,)?) => {
        &[
            $($own,)*
            URL, CRED, SCHEME, LOG_DIR, ERR_DIR, BOTH, B_LEG, PREFIX, $encode, RETRIES, DELAY, TIMEOUT, AUTHORITY, NAME,
            CA, CERT, KEY, VERSION, DISABLE_100,
        ]
    };
}

const XML_LIST: &[Parameter] = posting![ENCODE; ERRORS];

const JSON_LIST: &[Parameter] = posting![
    ENCODE;
    ERRORS,
    param("encode-values", Value::Bool, "true", "Values of variables are URL-encoded"),
];

const FORMAT_ENCODE: Parameter = param(
    "encode",
    Value::BoolOr(&["base64", "textxml", "appljson"]),
    "false",
    "How a record stands in the request",
);

const FORMAT_LIST: &[Parameter] = posting![
    FORMAT_ENCODE;
    param("format", Value::Word(&["json", "xml"]), "xml", "What a document is"),
    param("log-file", Value::Text, "", "What its file is called, with variables"),
    param("rotate", Value::Bool, "false", "SIGHUP begins a new folder, named after the time"),
    param("encode-values", Value::Bool, "false", "Values of variables are URL-encoded in JSON"),
];
