//! The parameters of `enum.conf`.

use dialplan_xml::declare::{Parameters, Value, param};

/// All of them.
pub(super) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "enum.conf",
    scope: "",
    list: &[
        param("default-root", Value::Text, "e164.org", "Domain numbers are looked up below"),
        param(
            "default-isn-root",
            Value::Text,
            "freenum.org",
            "Domain ISN numbers are looked up below",
        ),
        param("auto-reload", Value::Bool, "false", "`reloadxml` reads this file anew"),
        param(
            "nameserver",
            Value::Text,
            "system's",
            "Address of a name server, with `:port` if need be; up to ten",
        ),
        param("use-server", Value::Text, "system's", "The same as `nameserver`"),
        param("random-nameserver", Value::Bool, "false", "Name servers are asked in any order"),
        param("query-timeout", Value::Clamped(1, 30), "5", "Seconds for one try"),
        param("query-timeout-ms", Value::Clamped(1, 30_000), "5000", "Milliseconds for one try"),
        param("query-timeout-retry", Value::Clamped(1, 10), "3", "Tries for each server"),
    ],
}];
