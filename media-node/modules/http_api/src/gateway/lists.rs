//! Lists: calls now and before, registrations, gateways, conferences, and figures for a dashboard.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::call::Channel;

use super::Gateway;
use super::given::Id;
use super::problem::Problem;
use super::tenant::Tenant;

/// Entries on a page, unless the request says otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);

/// Which part of a list. A filter there is not is refused: it would look as if everything fitted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    offset: u32,
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
    pub(super) fn of(&self, all: Vec<Value>) -> Json<Value> {
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
        let (limit, offset) = self.bounds();
        let items: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
        self.shown(total, items)
    }

    /// How many entries, and how many before them are left out.
    pub(super) fn bounds(&self) -> (usize, usize) {
        let limit = self.limit.map_or(PAGE.0, |limit| limit as usize);
        (limit, self.offset as usize)
    }

    /// A page that was made elsewhere.
    pub(super) fn shown(&self, total: usize, items: Vec<Value>) -> Json<Value> {
        let (limit, offset) = self.bounds();
        Json(json!({ "total": total, "offset": offset, "limit": limit, "items": items }))
    }

    /// What a filter asks for.
    pub(super) fn filter(&self, name: &str) -> Option<&str> {
        match name {
            "from" => self.from.as_deref(),
            "to" => self.to.as_deref(),
            "direction" => self.direction.as_deref(),
            "state" => self.state.as_deref(),
            "cause" => self.cause.as_deref(),
            "user" => self.user.as_deref(),
            _ => None,
        }
    }
}

pub(super) type Asked = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

pub(super) fn page(asked: Asked) -> Result<Page, Problem> {
    let page = asked
        .map(|Query(page)| page)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()))?;
    if page.limit.is_some_and(|limit| !(1..=PAGE.1).contains(&(limit as usize))) {
        return Err(Problem::unusable("limit", &format!("1 to {}", PAGE.1)));
    }
    Ok(page)
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
        "domain": Tenant::domain_of(channel),
        "channel": channel.name(),
        "created": seconds(channel.created()),
        "answered": seconds(times.answered),
    })
}

/// A leg with the quality of its audio, as far as it is known.
fn with_quality(channel: &Channel) -> Value {
    let mut shown = shown(channel);
    let Some(leg) = channel.media().filter(|_| channel.has_media()) else { return shown };
    let quality = leg.stats().quality(leg.codec(), None);
    let two = |value: f64| (value * 100.0).round() / 100.0;
    shown["quality"] = json!({
        "mos": quality.inbound.map(|way| two(way.mos)),
        "loss_percent": quality.inbound.map(|way| two(way.loss_percent)),
        "jitter_ms": quality.inbound.map(|way| two(way.jitter_ms)),
        "out_mos": quality.outbound.map(|way| two(way.mos)),
        "out_loss_percent": quality.outbound.map(|way| two(way.loss_percent)),
        "round_trip_ms": quality.round_trip_ms.map(two),
    });
    shown
}

/// `GET /api/calls/{uuid}/media`: the figures of its audio, and in words what was agreed on and why there is no sound.
pub(super) async fn media(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
) -> Result<Json<Value>, Problem> {
    super::given::name("uuid", &uuid).map_err(|_| Problem::no_such_call())?;
    let channel = gateway.switch.channel(&uuid).filter(|channel| tenant.owns(channel));
    let channel = channel.ok_or_else(Problem::no_such_call)?;
    let uuid = channel.uuid().to_string();
    let told = gateway.switch.run_api("explain", &format!("media {uuid}"), None).await;
    let figures = gateway.switch.run_api("uuid_media_stats", &uuid, None).await;
    let figures = figures.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let figures = figures.unwrap_or_default();
    Ok(Json(json!({
        "uuid": uuid,
        "quality": figures["quality"],
        "explanation": told.unwrap_or_default(),
    })))
}

/// `GET /api/queues`: the call centre's queues with who waits; none where mod_callcenter is not loaded.
pub(super) async fn queues(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let table = async |what: &str| {
        let reply = gateway.switch.run_api("callcenter_config", what, None).await;
        rows(&reply.unwrap_or_default())
    };
    let queues = table("queue list").await;
    let (agents, tiers, members) =
        tokio::join!(table("agent list"), table("tier list"), table("member list"));
    let of = |rows: &[Value], queue: &Value| {
        rows.iter().filter(|row| row["queue"] == queue["name"]).cloned().collect::<Vec<_>>()
    };
    let shown = queues.iter().map(|queue| {
        let tiers = of(&tiers, queue);
        let agents: Vec<&Value> = agents
            .iter()
            .filter(|agent| tiers.iter().any(|tier| tier["agent"] == agent["name"]))
            .collect();
        let waiting = of(&members, queue).iter().filter(|m| m["state"] == "Waiting").count();
        let domain = queue["name"].as_str().and_then(|name| name.split_once('@'));
        json!({
            "name": queue["name"],
            "domain": domain.map_or("", |(_, domain)| domain),
            "strategy": queue["strategy"],
            "waiting": waiting,
            "agents": agents
                .iter()
                .map(|agent| json!({
                    "name": agent["name"], "status": agent["status"], "state": agent["state"],
                }))
                .collect::<Vec<_>>(),
            "answered": queue["calls_answered"],
            "abandoned": queue["calls_abandoned"],
        })
    });
    Ok(page.of(shown.filter(|queue| tenant.owns_entry(queue)).collect()))
}

/// Rows of a reply whose first line names the columns, `|` between them.
fn rows(reply: &str) -> Vec<Value> {
    let mut lines = reply.lines().filter(|line| line.contains('|'));
    let Some(names) = lines.next().map(|line| line.split('|').collect::<Vec<_>>()) else {
        return Vec::new();
    };
    let row = |line: &str| {
        let values = names.iter().zip(line.split('|'));
        values.map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    };
    lines.map(|line| Value::Object(row(line))).collect()
}

/// `GET /api/calls/active`.
pub(super) async fn active(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let mut legs = gateway.switch.channels();
    legs.retain(|channel| tenant.owns(channel));
    Ok(page.of(legs.iter().map(|channel| with_quality(channel)).collect()))
}

/// `GET /api/calls/history`: from the database of call records, where the settings name one, else from memory.
pub(super) async fn history(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    let page = page(asked)?;
    let mut shown = match super::recorded::history(&gateway, &tenant, &page).await? {
        Some(recorded) => recorded,
        None => {
            let mut ended = gateway.history.all();
            ended.retain(|entry| tenant.owns_entry(entry));
            page.of(ended)
        }
    };
    for entry in shown.0["items"].as_array_mut().into_iter().flatten() {
        entry["recorded"] =
            json!(entry["uuid"].as_str().is_some_and(|uuid| gateway.recordings.has(uuid)));
    }
    Ok(shown)
}

/// `GET /api/registrations`.
pub(super) async fn registrations(
    State(gateway): State<Gateway>,
    tenant: Tenant,
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
    Ok(page.of(all.filter(|entry| tenant.owns_entry(entry)).collect()))
}

/// `GET /api/gateways`.
pub(super) async fn gateways(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    tenant.everything()?;
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
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    tenant.everything()?;
    let page = page(asked)?;
    let reply = gateway.switch.run_api("conference", "json_list", None).await;
    let all = reply.and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok());
    Ok(page.of(all.unwrap_or_default()))
}

/// `GET /api/dashboard/stats`.
pub(super) async fn stats(
    State(gateway): State<Gateway>,
    tenant: Tenant,
) -> Result<Json<Value>, Problem> {
    tenant.everything()?;
    use std::sync::atomic::Ordering;
    let switch = &gateway.switch;
    let totals = gateway.metrics.totals();
    let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let legs = switch.channels();
    let answered = legs.iter().filter(|channel| channel.is_answered()).count();
    Ok(Json(json!({
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
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_a_command_becomes_rows_and_an_error_none() {
        let read = rows("name|strategy\nsupport@default|longest-idle-agent\n+OK\n");
        assert_eq!(read, [json!({"name": "support@default", "strategy": "longest-idle-agent"})]);
        assert!(rows("-ERR Invalid\n").is_empty() && rows("").is_empty());
    }
}
