//! What the module reads and sets.

use dialplan_xml::declare::{Parameters, Value, param};

/// Parameters of JavaScript itself.
pub(crate) const OWN: [&str; 2] = ["script-caching", "cache-expires-sec"];

const COMPILES: &str =
    "a script is read and compiled at each run; all of its start takes less than 2 ms";

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[
    Parameters { file: "v8.conf", scope: "", list: &[
        param("script-caching", Value::Word(&["enabled", "disabled"]), "disabled", "Compiled scripts are kept").no_effect(COMPILES),
        param("cache-expires-sec", Value::Seconds, "0", "How long they are").no_effect(COMPILES),
    ] },
    Parameters { file: "v8.conf", scope: "", list: scripting::settings::LIST },
];
