//! The voice gateway: calls, registrations, gateways and conferences as REST resources, events as they happen.
//!
//! Served only where `http_api.conf` names a key to check tokens with, or API keys; there is no default. Each request is
//! judged by [`access`] before its handler sees it; [`calls`] makes and steers calls through the commands everybody uses;
//! [`history`] keeps what has ended; [`stream`] sends events. `openapi.json` describes all of it.

mod access;
mod actions;
mod calls;
mod given;
mod history;
mod jwks;
mod lists;
mod outcome;
mod problem;
mod rate;
mod settings;
mod stream;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use switch_core::switch::Switch;

use crate::metrics::Metrics;
pub(crate) use history::History;
pub(crate) use settings::Settings;

/// What handlers share.
type Gateway = Arc<Shared>;

struct Shared {
    switch: Arc<Switch>,
    settings: Settings,
    metrics: Arc<Metrics>,
    history: Arc<History>,
    outcomes: outcome::Outcomes,
    access: access::Access,
}

/// The gateway's routes. Paths under `/api` are the resources; those without are what voice bots' platforms ask for.
pub(crate) fn router(
    switch: &Arc<Switch>,
    settings: Settings,
    metrics: Arc<Metrics>,
    history: Arc<History>,
) -> Router {
    let access = access::Access::new(&settings);
    let gateway = Arc::new(Shared {
        switch: Arc::clone(switch),
        settings,
        metrics,
        history,
        outcomes: outcome::Outcomes::default(),
        access,
    });
    let guarded = Router::new()
        .route("/call", post(calls::start))
        .route("/call/outbound", post(calls::click_to_call))
        .route("/status/{uuid}", get(calls::status))
        .route("/call/status/{uuid}", get(calls::status))
        .route("/api/calls/active", get(lists::active))
        .route("/api/calls/history", get(lists::history))
        .route("/api/calls/{uuid}", get(calls::status))
        .route("/api/calls/{uuid}/hangup", post(actions::hangup))
        .route("/api/calls/{uuid}/transfer", post(actions::transfer))
        .route("/api/calls/{uuid}/hold", post(actions::hold))
        .route("/api/calls/{uuid}/play", post(actions::play))
        .route("/api/calls/{uuid}/record", post(actions::record))
        .route("/api/calls/{uuid}/dtmf", post(actions::dtmf))
        .route("/api/registrations", get(lists::registrations))
        .route("/api/gateways", get(lists::gateways))
        .route("/api/conferences", get(lists::conferences))
        .route("/api/dashboard/stats", get(lists::stats))
        .route("/api/events", get(stream::server_sent))
        .route("/api/events/ws", get(stream::websocket))
        .fallback(|| async { problem::Problem::no_such_path() })
        .method_not_allowed_fallback(|| async { problem::Problem::no_such_method() })
        .layer(middleware::from_fn_with_state(gateway.clone(), access::judge));
    Router::new()
        .route("/api/openapi.json", get(openapi))
        .merge(guarded)
        .layer(middleware::from_fn_with_state(gateway.clone(), access::cors))
        .with_state(gateway)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}
