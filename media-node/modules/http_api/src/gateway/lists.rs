//! Lists: calls now and before, registrations, gateways, conferences, and figures for a dashboard.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::call::Channel;

use super::Gateway;
use super::problem::Problem;

/// Entries on a page, unless the request says otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
    /// Filters: each must fit.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

impl Page {
    /// The page of what fits, with the number of all that do.
    fn of(&self, all: Vec<Value>) -> Json<Value> {
        let filters = [
            ("from", &self.from),
            ("to", &self.to),
            ("direction", &self.direction),
            ("state", &self.state),
            ("cause", &self.cause),
            ("user", &self.user),
        ];
        let fits = |entry: &Value| {
            let own = |field: &str| entry[field].as_str().unwrap_or_default();
            filters.iter().all(|(field, wanted)| {
                wanted.as_deref().is_none_or(|wanted| own(field).eq_ignore_ascii_case(wanted))
            })
        };
        let all: Vec<Value> = all.into_iter().filter(fits).collect();
        let total = all.len();
        let limit = self.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
        let items: Vec<Value> = all.into_iter().skip(self.offset).take(limit).collect();
        Json(json!({ "total": total, "offset": self.offset, "limit": limit, "items": items }))
    }
}

type Asked = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

fn page(asked: Asked) -> Result<Page, Problem> {
    asked
        .map(|Query(page)| page)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()))
}

/// A leg as lists show it.
pub(super) fn shown(channel: &Channel) -> Value {
    let profile = channel.profile();
    let times = &profile.times;
    let seconds = |us: i64| (us > 0).then_some(us as f64 / 1e6);
    let state = if !channel.is_up() {
        "ending"
    } else if channel.is_answered() {
        "answered"
    } else if times.progress > 0 || times.progress_media > 0 {
        "ringing"
    } else {
        "dialling"
    };
    json!({
        "uuid": channel.uuid().as_ref(),
        "other_uuid": channel.partner().map(|partner| partner.uuid().to_string()),
        "direction": channel.direction().name(),
        "state": state,
        "from": profile.caller_id_number,
        "from_name": profile.caller_id_name,
        "to": profile.destination_number,
        "context": profile.context,
        "channel": channel.name(),
        "created": seconds(channel.created()),
        "answered": seconds(times.answered),
    })
}

/// `GET /api/calls/active`.
pub(super) async fn active(
    State(gateway): State<Gateway>,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let legs = gateway.switch.channels();
    Ok(page.of(legs.iter().map(|channel| shown(channel)).collect()))
}

/// `GET /api/calls/history`.
pub(super) async fn history(
    State(gateway): State<Gateway>,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    Ok(page(asked)?.of(gateway.history.all()))
}

/// `GET /api/registrations`.
pub(super) async fn registrations(
    State(gateway): State<Gateway>,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let all = gateway.switch.stores.registrations.all().into_iter().map(|entry| {
        json!({
            "user": entry.user,
            "domain": entry.realm,
            "contact": entry.url,
            "expires": entry.expires,
            "network_ip": entry.network_ip,
            "network_port": entry.network_port,
            "transport": entry.network_proto,
        })
    });
    Ok(page.of(all.collect()))
}

/// `GET /api/gateways`.
pub(super) async fn gateways(
    State(gateway): State<Gateway>,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let method = gateway.switch.linked().json("sofia.status");
    let status = method
        .and_then(|method| (method.answer)(&gateway.switch, &serde_json::Map::new()).ok())
        .unwrap_or_default();
    let mut all = Vec::new();
    for (profile, entry) in status["profiles"].as_object().into_iter().flatten() {
        for (name, listed) in entry["gateways"].as_object().into_iter().flatten() {
            all.push(json!({
                "name": name,
                "profile": profile,
                "address": listed["data"],
                "state": listed["state"],
            }));
        }
    }
    Ok(page.of(all))
}

/// `GET /api/conferences`.
pub(super) async fn conferences(
    State(gateway): State<Gateway>,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let reply = gateway.switch.run_api("conference", "json_list", None).await;
    let all = reply.and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok());
    Ok(page.of(all.unwrap_or_default()))
}

/// `GET /api/dashboard/stats`.
pub(super) async fn stats(State(gateway): State<Gateway>) -> Json<Value> {
    use std::sync::atomic::Ordering;
    let switch = &gateway.switch;
    let totals = gateway.metrics.totals();
    let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let legs = switch.channels();
    let answered = legs.iter().filter(|channel| channel.is_answered()).count();
    Json(json!({
        "uptime_seconds": switch.started.elapsed().as_secs(),
        "ready": crate::health::reasons(switch).is_empty(),
        "active_legs": legs.len(),
        "answered_legs": answered,
        "legs_per_second": switch.counters.last_second.load(Ordering::Relaxed),
        "legs_total": switch.counters.total.load(Ordering::Relaxed),
        "ended": totals.ended,
        "answered": totals.answered,
        "answer_rate": ratio(totals.answered, totals.ended),
        "average_duration_seconds": ratio(totals.seconds, totals.answered),
        "registrations": switch.stores.registrations.all().len(),
    }))
}
