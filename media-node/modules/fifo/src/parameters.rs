//! The parameters of `fifo.conf`.

use dialplan_xml::declare::{Parameters, Value, param};

const NO_TRANSACTIONS: &str = "changes are written in transactions of their own";

/// All of them.
#[rustfmt::skip]
pub(super) const PARAMETERS: &[Parameters] = &[Parameters { file: "fifo.conf", scope: "", list: &[
    param("outbound-strategy", Value::Word(&["ringall", "enterprise"]), "ringall", "How members are called, unless the fifo says otherwise"),
    param("dbname", Value::Text, "fifo", "Name or path of the SQLite file of members, bridges and callers"),
    param("odbc-dsn", Value::Secret, "", "Database instead: `pgsql://…` or `sqlite://…`"),
    param("allow-transcoding", Value::Bool, "false", "Members are offered other codecs than the caller's too"),
    param("delete-all-outbound-member-on-startup", Value::Bool, "false", "Members kept from an earlier run are forgotten"),
    param("disable-dtmf-moh-key", Value::Bool, "false", "0 does not put the caller on hold"),
    param("db-pre-trans-execute", Value::Text, "", "Statement before each transaction").no_effect(NO_TRANSACTIONS),
    param("db-post-trans-execute", Value::Text, "", "Statement after each transaction").no_effect(NO_TRANSACTIONS),
    param("db-inner-pre-trans-execute", Value::Text, "", "First statement of each transaction").no_effect(NO_TRANSACTIONS),
    param("db-inner-post-trans-execute", Value::Text, "", "Last statement of each transaction").no_effect(NO_TRANSACTIONS),
] }];
