//! What is declared: channel variables of `limit`.

use switch_core::contract::declare::{EventKind, Value, Variable, event, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("limit_ignore_transfer", Value::Bool, "A transfer does not give the call's places back"),
    sets("limit_backend", "Where its places are counted"),
    sets("limit_usage", "Places in use, with the call's own"),
    sets("limit_usage_*", "The same by realm and resource"),
    sets("limit_rate", "Calls in the interval"),
    sets("limit_rate_*", "The same by realm and resource"),
];

/// Subclasses of CUSTOM events.
#[rustfmt::skip]
pub(super) const EVENTS: &[EventKind] = &[
    event("limit::usage", "A counted place was taken or given back"),
];
