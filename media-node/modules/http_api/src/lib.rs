//! HTTP for the systems around the switch (mod_http_api): `/metrics`, `/health/live`, `/health/ready`, and the voice gateway.
//!
//! One listener, set up by `http_api.conf`; loopback only until the file says otherwise. [`metrics`] keeps what is counted
//! per call and asks the other modules for their numbers at each look; [`health`] is for probes; [`gateway`] makes, steers
//! and lists calls.

#![deny(unsafe_code)]

mod gateway;
mod guests;
mod health;
mod metrics;
mod parameters;
mod portal;
mod settings;
mod xml_rpc;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http_server::{Bound, Server};
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;

use gateway::{History, Provision};
use metrics::{Ends, Metrics};
use settings::Settings;

pub use xml_rpc::XmlRpc;

/// The modules of this folder.
pub const MODULES: &[&dyn Module] = &[&HttpApi, &XmlRpc];

const NAME: &str = "mod_http_api";

/// mod_http_api.
pub struct HttpApi;

/// Bound, with what it is going to serve.
struct Ready {
    bound: Bound,
    gateway: Option<gateway::Settings>,
    portal: Option<Arc<portal::Portal>>,
}

/// Its state for a switch.
#[derive(Default)]
struct Listening {
    /// Bound, and not yet answering.
    bound: Mutex<Option<Ready>>,
    server: Mutex<Option<Server>>,
}

impl Module for HttpApi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn provides(&self) -> Provides {
        Provides {
            observers: &[&Ends],
            parameters: parameters::PARAMETERS,
            readings: &[readings],
            xml_sources: &[guests::Source::of, |switch| switch.module::<Provision>()],
            ..Provides::NOTHING
        }
    }

    /// Only with a configuration file of its own: no port is opened unasked.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("http_api.conf").is_some()
    }

    /// Binds the port, as long as the process may.
    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let said = |error: &dyn std::fmt::Display| {
                tracing::error!("http_api.conf: {error}");
                NotLoaded
            };
            let conf = switch.config.load_full();
            let settings =
                Settings::read(conf.document("http_api.conf")).map_err(|error| said(&error))?;
            let gateway = gateway::Settings::read(conf.document("http_api.conf"))
                .map_err(|error| said(&error))?;
            let server = settings.server(switch).map_err(|error| said(&error))?;
            let portal =
                portal::Portal::read(settings.portal()).await.map_err(|error| said(&error))?;
            let bound = Bound::bind(server).await.map_err(|error| said(&error))?;
            let metrics = Metrics::new().map_err(|error| said(&error))?;
            switch.module::<metrics::Slot>().put(metrics);
            if let Some(gateway) = &gateway {
                switch.module::<Provision>().open(switch, gateway).await;
            }
            *switch.module::<Listening>().bound.lock() = Some(Ready { bound, gateway, portal });
            Ok(())
        })
    }

    /// Answers once the switch serves: not before the process has given up being root.
    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let state = switch.module::<Listening>();
        let Some(Ready { bound, gateway, portal }) = state.bound.lock().take() else {
            return Box::pin(std::future::ready(()));
        };
        let switch = Arc::clone(switch);
        tokio::spawn(async move {
            let mut serving = switch.serving.when();
            if serving.wait_for(|serving| *serving).await.is_err() {
                return;
            }
            if gateway.is_some() {
                switch.module::<Provision>().watch(&switch);
            }
            if let Ok(address) = bound.local_addr() {
                switch_core::log_notice!("HTTP listens on {address}");
            }
            let server = bound.serve(router(&switch, gateway, portal));
            *state.server.lock() = Some(server);
        });
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let state = switch.module::<Listening>();
            drop(state.bound.lock().take());
            let server = state.server.lock().take();
            if let Some(server) = server {
                server.shutdown().await;
            }
            switch.module::<Provision>().close().await;
            switch.module::<metrics::Slot>().clear();
        })
    }
}

fn router(
    switch: &Arc<Switch>,
    gateway: Option<gateway::Settings>,
    portal: Option<Arc<portal::Portal>>,
) -> Router {
    let pages = portal.map(portal::router).unwrap_or_default();
    let open = pages.merge(open_router(switch));
    let metrics = switch.module::<metrics::Slot>().now();
    match (gateway, metrics) {
        (Some(settings), Some(metrics)) => {
            let history = switch.module::<History>();
            open.merge(gateway::router(switch, settings, metrics, history))
        }
        _ => open,
    }
}

fn open_router(switch: &Arc<Switch>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::page))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(Arc::clone(switch))
}

fn readings(switch: &Arc<Switch>) -> Vec<base::reading::Reading> {
    use base::reading::Reading;
    let state = switch.module::<Listening>();
    let server = state.server.lock();
    let Some(server) = &*server else { return Vec::new() };
    let (acl, full) = server.refused();
    let refused = |why, count| {
        Reading::counter("http_refused_total", "HTTP connections refused.", count).of("reason", why)
    };
    let open = server.connections() as f64;
    vec![
        Reading::gauge("http_connections", "HTTP connections now.", open),
        refused("acl", acl),
        refused("full", full),
    ]
}
