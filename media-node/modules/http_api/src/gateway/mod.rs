//! The voice gateway: calls, registrations, gateways and conferences as REST resources, events as they happen.
//!
//! Served only where `http_api.conf` names a key to check tokens with, or API keys; there is no default. Each request is
//! judged by [`access`] before its handler sees it; [`calls`] makes and steers calls through the commands everybody uses;
//! [`history`] keeps what has ended; [`stream`] sends events. `openapi.json` describes all of it.

mod access;
mod actions;
mod calls;
mod command;
mod extensions;
mod given;
mod history;
mod ivr;
mod jwks;
mod lists;
mod outcome;
mod problem;
mod provision;
mod rate;
mod recorded;
mod recording;
mod resources;
mod room_tokens;
mod rooms;
mod settings;
mod stream;
mod tenant;
mod things;
mod token;
mod tts;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use provisioning::{Route, Trunk, User};
use ring::rand::SecureRandom as _;
use switch_core::switch::Switch;

use crate::metrics::Metrics;
pub(crate) use history::History;
pub(crate) use provision::Provision;
pub(crate) use settings::Settings;

/// What handlers share.
type Gateway = Arc<Shared>;

struct Shared {
    switch: Arc<Switch>,
    settings: Settings,
    metrics: Arc<Metrics>,
    history: Arc<History>,
    provision: Arc<Provision>,
    recorded: recorded::Recorded,
    recordings: recording::Recordings,
    /// What tokens for rooms are signed with: this process made it.
    room_secret: [u8; 32],
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
        provision: switch.module::<Provision>(),
        recorded: recorded::Recorded::default(),
        recordings: recording::Recordings::watch(switch),
        room_secret: {
            let mut secret = [0; 32];
            // A guest's token is looked up, not believed for its signature.
            let _filled = ring::rand::SystemRandom::new().fill(&mut secret);
            secret
        },
        outcomes: outcome::Outcomes::default(),
        access,
    });
    let guarded = Router::new()
        .route("/call", post(calls::start))
        .route("/call/setup", post(calls::start))
        .route("/call/outbound", post(calls::click_to_call))
        .route("/call/transfer", post(actions::transfer_named))
        .route("/call/end", post(actions::end_named))
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
        .route("/api/calls/{uuid}/recording", get(recording::serve))
        .route("/api/calls/{uuid}/say", post(actions::say))
        .route("/api/calls/{uuid}/dtmf", post(actions::dtmf))
        .route("/api/calls/{uuid}/media", get(lists::media))
        .route("/api/queues", get(lists::queues))
        .route("/api/command", post(command::run))
        .route("/api/health", get(resources::health))
        .route("/api/users", get(resources::users).post(things::create::<User>))
        .route(
            "/api/users/{id}",
            get(things::show::<User>)
                .put(things::replace::<User>)
                .patch(things::change::<User>)
                .delete(things::remove::<User>),
        )
        .route("/api/trunks", get(things::list::<Trunk>).post(things::create::<Trunk>))
        .route(
            "/api/trunks/{id}",
            get(things::show::<Trunk>)
                .put(things::replace::<Trunk>)
                .patch(things::change::<Trunk>)
                .delete(things::remove::<Trunk>),
        )
        .route("/api/routes", get(things::list::<Route>).post(things::create::<Route>))
        .route(
            "/api/routes/{id}",
            get(things::show::<Route>)
                .put(things::replace::<Route>)
                .patch(things::change::<Route>)
                .delete(things::remove::<Route>),
        )
        .route("/api/agents", get(resources::agents))
        .route("/api/registrations", get(lists::registrations))
        .route("/api/gateways", get(lists::gateways))
        .route("/api/conferences", get(lists::conferences))
        .route("/api/rooms/{room}/tokens", post(room_tokens::admit))
        .route("/api/rooms/{room}/tokens/{user}", delete(room_tokens::dismiss))
        .route("/api/ivr/menus", get(ivr::list))
        .route("/api/ivr/menus/{id}", get(ivr::show).put(ivr::save).delete(ivr::remove))
        .route("/api/dashboard/stats", get(lists::stats))
        .route("/api/livekit/rooms", get(rooms::list))
        .route("/api/livekit/token", post(rooms::token))
        .route("/tts", post(tts::make))
        .route("/tts/voices", get(tts::voices))
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
