//! Endpoints of mod_dptools: `user/`, `group/`, `error/`, `pickup/`.

pub mod error;
pub mod pickup;
mod resolve;

use std::sync::Arc;

use crate::contract::EndpointKind;

pub use resolve::Resolver;

/// Endpoints of mod_dptools.
pub const DPTOOLS: &[EndpointKind] = &[
    EndpointKind { name: "error", make: |_| Arc::new(error::ErrorEndpoint) },
    EndpointKind {
        name: "pickup",
        make: |switch| Arc::new(pickup::PickupEndpoint::new(Arc::clone(switch))),
    },
];
