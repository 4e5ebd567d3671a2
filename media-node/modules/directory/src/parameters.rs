//! What is declared: parameters of `directory.conf`, and channel variables.

use dialplan_xml::declare::{Parameters, Value, Variable, param, reads};

const MOST: i64 = i32::MAX as i64;

/// All parameters.
#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters { file: "directory.conf", scope: "", list: &[
    param("debug", Value::Number(0, MOST), "0", "Nothing").no_effect("the log has its own levels"),
    param("odbc-dsn", Value::Text, "", "Nothing").no_effect("names are searched without a database"),
    param("dbname", Value::Text, "", "Nothing").no_effect("names are searched without a database"),
    param("next-key", Value::Text, "6", "The next name"),
    param("prev-key", Value::Text, "4", "The name before"),
    param("terminator-key", Value::Text, "#", "Ends the letters typed"),
    param("switch-order-key", Value::Text, "*", "Searches by first instead of last names, and back"),
    param("select-name-key", Value::Text, "1", "Calls the name just said"),
    param("new-search-key", Value::Text, "3", "Begins a new search"),
    param("search-order", Value::Word(&["last_name", "first_name", "first_and_last_name"]), "last_name", "What the letters are the beginning of"),
    param("digit-timeout", Value::Number(0, 30_000), "3000", "Milliseconds waited for a key"),
    param("min-search-digits", Value::Number(0, MOST), "3", "Letters to be typed at least"),
    param("max-menu-attempts", Value::Number(0, MOST), "3", "Searches a caller may make"),
    param("max-result", Value::Number(0, MOST), "5", "Names that may fit; more are too many, 0 is no bound"),
    param("use-number-alias", Value::Bool, "false", "A user's number alias is called instead of the id"),
] }];

/// All variables.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    reads("directory_search_order", Value::Word(&["last_name", "first_name", "first_and_last_name"]), "Instead of `search-order`"),
    reads("directory_group_selection", Value::Text, "Only users of this group are searched"),
    reads("directory_voicemail_profile", Value::Text, "Profile of voicemail in which recorded names are; the argument's where it is not set"),
    reads("directory_full_name", Value::Text, "Of a user: the name searched, instead of `effective_caller_id_name`"),
];
