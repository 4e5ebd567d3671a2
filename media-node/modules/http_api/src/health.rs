//! Probes: whether the process answers at all, and whether calls should be sent to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use switch_core::switch::Switch;

/// `/health/live`: 200 as long as tasks run. A process that does not answer is to be started again.
pub(crate) async fn live(State(switch): State<Arc<Switch>>) -> Json<Value> {
    let uptime = switch.started.elapsed().as_secs();
    Json(json!({ "status": "alive", "uptime_seconds": uptime }))
}

/// `/health/ready`: 200 while new calls are taken, else 503 with the reasons.
pub(crate) async fn ready(State(switch): State<Arc<Switch>>) -> (StatusCode, Json<Value>) {
    let reasons = reasons(&switch);
    if reasons.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        let body = json!({ "status": "not ready", "reasons": reasons });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}

/// Why new calls are not taken.
pub(crate) fn reasons(switch: &Switch) -> Vec<&'static str> {
    let counters = &switch.counters;
    let most = counters.max_sessions.load(Ordering::Relaxed) as usize;
    [
        ("starting", !*switch.serving.when().borrow()),
        ("shutting down", counters.draining.load(Ordering::Relaxed)),
        ("paused", counters.paused_inbound.load(Ordering::Relaxed)),
        ("media threads are busy", counters.media_full.load(Ordering::Relaxed)),
        ("session limit reached", switch.channel_count() >= most),
    ]
    .into_iter()
    .filter_map(|(reason, holds)| holds.then_some(reason))
    .collect()
}
