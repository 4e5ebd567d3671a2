//! Channel variables of the `socket` application.

use switch_core::contract::declare::{Value, Variable, reads};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("socket_resume", Value::Bool, "The dialplan goes on when the connection has ended"),
];
