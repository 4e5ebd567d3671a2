//! Rooms in the way platforms of voice bots know them from LiveKit: a conference is a room, and a token lets one
//! participant into one room.
//!
//! A token belongs to one of [`crate::guests`]: it is that user's password.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jsonwebtoken::{EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::clock;

use super::Gateway;
use super::given::{self, Body};
use super::lists::{Asked, page};
use super::problem::Problem;
use super::tenant::Tenant;
use crate::guests::{self, Guest, Guests};

/// Seconds a token holds, unless a request says otherwise, and at most.
const TTL: (u64, u64) = (6 * 3600, 24 * 3600);

/// `GET /api/livekit/rooms`.
pub(super) async fn list(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    tenant.everything()?;
    let page = page(asked)?;
    let reply = gateway.switch.run_api("conference", "json_list", None).await;
    let all = reply.and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok());
    let room = |conference: &Value| {
        let members = conference["members"].as_array().map_or(0, Vec::len);
        let age = conference["run_time"].as_i64().unwrap_or(0);
        json!({
            "name": conference["conference_name"],
            "sid": conference["conference_uuid"],
            "num_participants": members,
            "creation_time": clock::now_us() / 1_000_000 - age,
        })
    };
    Ok(page.of(all.unwrap_or_default().iter().map(room).collect()))
}

/// Who wants to enter which room.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(alias = "room_name")]
    room: String,
    #[serde(alias = "participant_identity")]
    identity: String,
    #[serde(default, alias = "participant_name")]
    name: Option<String>,
    #[serde(default)]
    can_publish: Option<bool>,
    #[serde(default)]
    ttl_seconds: Option<u64>,
}

/// `POST /api/livekit/token`.
pub(super) async fn token(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    tenant.everything()?;
    let room = given::name("room", &wanted.room)?;
    let identity = given::number("identity", &wanted.identity)?;
    let name = match wanted.name.as_deref() {
        Some(name) => given::text("name", name)?,
        None => identity.clone(),
    };
    let ttl = wanted.ttl_seconds.unwrap_or(TTL.0);
    if !(1..=TTL.1).contains(&ttl) {
        return Err(Problem::unusable("ttl_seconds", &format!("1 to {}", TTL.1)));
    }
    let domain = super::things::default_domain(&gateway, &tenant)?;
    let now = clock::now_us() / 1_000_000;
    let expires = now + i64::try_from(ttl).unwrap_or(0);
    let user = guests::new_user();
    let speaks = wanted.can_publish.unwrap_or(true);
    let claims = json!({
        "iss": "ferroswitch",
        "sub": identity,
        "name": name,
        "nbf": now,
        "exp": expires,
        "jti": user,
        "video": { "room": room, "roomJoin": true, "canPublish": speaks, "canSubscribe": true },
    });
    let key = EncodingKey::from_secret(&gateway.room_secret);
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|error| {
        tracing::error!("http: a token cannot be made: {error}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "a token cannot be made")
    })?;
    let guest = Guest {
        domain: Some(domain.clone()),
        room: room.clone(),
        profile: "default".to_owned(),
        name,
        moderator: false,
        speaks,
    };
    let guests = gateway.switch.module::<Guests>();
    guests.admit(&user, &token, guest, Duration::from_secs(ttl)).map_err(Problem::from)?;
    Ok((
        StatusCode::CREATED,
        Json(json!({
            "token": token,
            "room": room,
            "identity": identity,
            "user": format!("{user}@{domain}"),
            "number": room,
            "expires_at": expires,
        })),
    ))
}
