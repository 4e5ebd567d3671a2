//! Texts become files, by whichever engine the switch has: the command `tts` does it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Gateway;
use super::given::Body;
use super::problem::Problem;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Speak {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// The call it is for: its codec says the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
}

/// `POST /tts`: the file that says the text.
pub(super) async fn make(
    State(gateway): State<Gateway>,
    Body(asked): Body<Speak>,
) -> Result<Json<Value>, Problem> {
    let names_voice = asked.voice.is_some();
    let asked = serde_json::to_string(&asked)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let answer = ask(&gateway, &asked).await?;
    let Some(why) = answer.get("error").and_then(Value::as_str) else { return Ok(Json(answer)) };
    Err(match why.split_once(": ") {
        Some((field @ ("text" | "rate" | "format" | "uuid"), why)) => Problem::unusable(field, why),
        _ if why.starts_with("there is no speech engine") => Problem::unusable("engine", why),
        // A program that refuses is given one thing it may not know.
        _ if names_voice && why.contains("exit status: ") => Problem::unusable("voice", why),
        _ => Problem::new(StatusCode::BAD_GATEWAY, why),
    })
}

/// `GET /tts/voices`: the engines and their voices.
pub(super) async fn voices(State(gateway): State<Gateway>) -> Result<Json<Value>, Problem> {
    Ok(Json(ask(&gateway, "voices").await?))
}

async fn ask(gateway: &Gateway, argument: &str) -> Result<Value, Problem> {
    let answer = gateway.switch.run_api("tts", argument, None).await;
    let answer = answer.and_then(|answer| serde_json::from_str(&answer).ok());
    answer.ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "mod_tts is not loaded"))
}
