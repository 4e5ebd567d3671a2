//! Endpoints that need no network: `user/`, `group/`, `loopback/`, `null/`, `error/`.

pub mod error;
pub mod loopback;
pub mod null;
pub mod pickup;
mod resolve;

pub use resolve::{group_in_order, resolve};

use std::sync::Arc;

use crate::switch::Switch;

/// Makes the built-in endpoints known.
pub fn register(switch: &Arc<Switch>) {
    switch.add_endpoint(Arc::new(error::ErrorEndpoint));
    switch.add_endpoint(Arc::new(null::NullEndpoint::new(Arc::clone(switch))));
    switch.add_endpoint(Arc::new(pickup::PickupEndpoint::new(Arc::clone(switch))));
    switch.add_endpoint(Arc::new(loopback::LoopbackEndpoint::new(Arc::clone(switch))));
}
