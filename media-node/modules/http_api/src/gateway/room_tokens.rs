//! Tokens for rooms.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::given::{self, Body, Id};
use super::problem::Problem;
use super::tenant::Tenant;
use crate::guests::{self, Guest, Guests};

type Answer = Result<Json<Value>, Problem>;

/// How long a token serves when nothing is said, and at most, seconds.
const USUAL: u64 = 3600;
const LONGEST: u64 = 86_400;
/// Longest name of a guest, bytes.
const LONGEST_NAME: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    moderator: bool,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    seconds: Option<u64>,
}

/// `POST /api/rooms/{room}/tokens`.
pub(super) async fn admit(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(room): Id,
    Body(wish): Body<Wish>,
) -> Answer {
    tenant.everything()?;
    let room = given::name("room", &room)?;
    let profile = given::name("profile", wish.profile.as_deref().unwrap_or("default"))?;
    let name = shown(wish.name.as_deref().unwrap_or("Guest"))?;
    let seconds = wish.seconds.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Problem::unusable("seconds", &format!("1 to {LONGEST}")));
    }
    let guest = Guest {
        domain: None,
        room: room.clone(),
        profile,
        name,
        moderator: wish.moderator,
        speaks: true,
    };
    let (user, password) = (guests::new_user(), guests::secret());
    let guests = gateway.switch.module::<Guests>();
    guests.admit(&user, &password, guest, Duration::from_secs(seconds)).map_err(Problem::from)?;
    let path = format!("/rooms/{room}#{user}.{password}");
    Ok(Json(json!({
        "room": room, "user": user, "password": password, "seconds": seconds, "path": path,
    })))
}

/// `DELETE /api/rooms/{room}/tokens/{user}`: a call that is up goes on.
pub(super) async fn dismiss(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id((room, user)): Id<(String, String)>,
) -> Answer {
    tenant.everything()?;
    if gateway.switch.module::<Guests>().dismiss(&room, &user) {
        return Ok(Json(json!({ "room": room, "user": user })));
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "no such token"))
}

/// A name as phones show it: letters of any script, digits, blanks and a few marks.
fn shown(name: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    let name = name.trim();
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        let why = format!("1 to {LONGEST_NAME} bytes of letters, digits, blanks and . - _");
        return Err(Problem::unusable("name", &why));
    }
    Ok(name.to_owned())
}
