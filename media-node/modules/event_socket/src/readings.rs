//! The Event Socket as numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::reading::Reading;
use esl_server::clients::ClientState;
use esl_server::server::Counts;

use crate::switch::Switch;

/// What the metrics page shows of it.
pub(super) fn take(switch: &Arc<Switch>) -> Vec<Reading> {
    let counts = switch.module::<Counts>();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let refused = |why, counter| {
        let help = "Event Socket connections refused.";
        Reading::counter("event_socket_refused_total", help, read(counter)).of("reason", why)
    };
    let readers = switch.bus.readers();
    let most = |of: fn(&esl_server::bus::Reader) -> usize| {
        readers.iter().map(of).max().unwrap_or(0) as f64
    };
    let mut taken = vec![
        Reading::gauge(
            "event_socket_clients",
            "Event Socket connections, logged in or not.",
            read(&counts.clients) as f64,
        ),
        Reading::counter(
            "event_socket_connections_total",
            "Event Socket connections accepted.",
            read(&counts.accepted),
        ),
        refused("acl", &counts.refused_by_acl),
        refused("full", &counts.refused_full),
        Reading::gauge("event_readers", "Readers of events.", readers.len() as f64),
        Reading::gauge(
            "event_queue_events_max",
            "Events that wait for the reader furthest behind.",
            most(|reader| reader.waiting),
        ),
        Reading::gauge(
            "event_queue_bytes_max",
            "Bytes of events that wait for the reader with most of them.",
            most(|reader| reader.bytes),
        ),
        Reading::counter(
            "events_lost_total",
            "Events that did not fit into the queue of a reader.",
            switch.bus.lost(),
        ),
        Reading::counter("events_total", "Events made or skipped.", switch.bus.last_sequence()),
    ];
    taken.extend(counts.present.states().iter().flat_map(client));
    taken
}

/// How far one client is behind. Its label is its number, of which there are never more than clients at once.
fn client(state: &ClientState) -> [Reading; 4] {
    [
        Reading::gauge(
            "event_client_queue_events",
            "Events that wait for an Event Socket client, by its number in show event_clients.",
            state.waiting as f64,
        ),
        Reading::gauge(
            "event_client_queue_bytes",
            "Bytes of events that wait for the client.",
            state.bytes as f64,
        ),
        Reading::gauge(
            "event_client_lag_seconds",
            "Age of the oldest event that waits for the client.",
            state.lag.as_secs_f64(),
        ),
        Reading::gauge(
            "event_client_lost_events",
            "Events that did not fit into the queue of the client since it connected.",
            state.lost as f64,
        ),
    ]
    .map(|reading| reading.of("client", state.number.to_string()))
}

/// The rows of `show event_clients`.
pub(super) fn rows(switch: &Switch) -> serde_json::Value {
    let states = switch.module::<Counts>().present.states();
    let row = |state: &ClientState| {
        serde_json::json!({
            "client": state.number.to_string(),
            "address": state.peer.to_string(),
            "user": state.account.clone().unwrap_or_default(),
            "since": state.since.to_string(),
            "waiting": state.waiting.to_string(),
            "bytes": state.bytes.to_string(),
            "lag_ms": state.lag.as_millis().to_string(),
            "lost": state.lost.to_string(),
            "sent": state.sent.to_string(),
        })
    };
    states.iter().map(row).collect()
}
