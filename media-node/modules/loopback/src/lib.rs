//! Endpoints that lead back into the switch, or nowhere (mod_loopback): `loopback/`, `null/`.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod declared;
pub mod endpoint;
pub mod null;

use std::sync::Arc;

use crate::app::{App, Flags};
use crate::contract::{EndpointKind, Plain, Provides};

/// Is that something only a far end beyond the switch could be told? Neither endpoint has one: it is refused, not
/// forgotten.
fn needs_a_network(what: &call::Indication) -> bool {
    use call::Indication::{Deflect, Info, Offer, PhoneEvent, Redirect, Renegotiate, Request};
    matches!(
        what,
        Deflect(_)
            | Info { .. }
            | PhoneEvent(_)
            | Redirect(_)
            | Offer(_)
            | Renegotiate(_)
            | Request(_)
    )
}

/// The applications.
const APPS: &[App] =
    &[app!("unloop", "mod_loopback", Flags::NONE, "", "Tell loopback to unfold", unloop)
        .no_effect("it does nothing in FreeSWITCH either: a pair leaves by `loopback_bowout`")];

async fn unloop(session: &mut call::Session, _argument: &str) -> call::AppResult {
    session.check()
}

pub const MODULE: Plain = Plain::new(
    "mod_loopback",
    Provides {
        applications: &[APPS],
        endpoints: &[
            EndpointKind {
                name: "loopback",
                make: |switch| Arc::new(endpoint::LoopbackEndpoint::new(Arc::clone(switch))),
            },
            EndpointKind {
                name: "null",
                make: |switch| Arc::new(null::NullEndpoint::new(Arc::clone(switch))),
            },
        ],
        variables: &[declared::VARIABLES],
        idle: &[(
            "null/ legs: hold, display, renegotiation",
            "they have no far end that could show it",
        )],
        ..Provides::NOTHING
    },
);
