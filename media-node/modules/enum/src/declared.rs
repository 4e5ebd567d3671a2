//! Channel variables of ENUM lookups.

use dialplan_xml::declare::{Value, Variable, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("enum_nameserver", Value::Text, "Name servers, instead of those of `enum.conf`"),
    sets("enum_auto_route", "Dial string of everything found"),
    sets("enum_route_*", "Dial string of each thing found"),
    sets("enum_route_count", "How many there are"),
];
