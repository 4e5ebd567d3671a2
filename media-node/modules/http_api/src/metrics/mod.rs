//! `/metrics`: what is counted as calls end ([`calls`]), and what is read at each look ([`readings`]).
//!
//! Names and labels are documented in `docs/metrics.md`; a test compares them.

mod calls;
mod readings;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::RwLock;
use prometheus::{Encoder, TextEncoder};
use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::contract::CallObserver;
use switch_core::switch::Switch;

use crate::gateway::History;

pub(crate) use calls::Metrics;

/// What every name begins with.
const PREFIX: &str = "ferroswitch_";

/// The metrics, while the module is loaded.
#[derive(Default)]
pub(crate) struct Slot(RwLock<Option<Arc<Metrics>>>);

impl Slot {
    pub(crate) fn put(&self, metrics: Metrics) {
        *self.0.write() = Some(Arc::new(metrics));
    }

    pub(crate) fn clear(&self) {
        *self.0.write() = None;
    }

    pub(crate) fn now(&self) -> Option<Arc<Metrics>> {
        self.0.read().clone()
    }
}

/// Sees calls end.
pub(crate) struct Ends;

impl CallObserver for Ends {
    fn reported<'a>(&'a self, channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        if let Some(metrics) = channel.switch().module::<Slot>().now() {
            metrics.ended(channel);
            channel.switch().module::<History>().add(channel);
        }
        Box::pin(std::future::ready(()))
    }
}

/// The page, in the text format of Prometheus.
pub(crate) async fn page(State(switch): State<Arc<Switch>>) -> Response {
    let mut families = switch.module::<Slot>().now().map(|m| m.families()).unwrap_or_default();
    families.extend(readings::families(&switch));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&families, &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => {
            tracing::error!("/metrics: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
