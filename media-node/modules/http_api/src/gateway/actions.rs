//! What is done to a call. Each is answered when the switch has taken it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::call::{Cause, Channel};

use super::Gateway;
use super::given::{self, Body};
use super::problem::Problem;

type Answer = Result<Json<Value>, Problem>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hangup {
    #[serde(default)]
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    to: String,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    leg: Which,
}

/// Which side of a bridged call.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Which {
    /// The leg named.
    #[default]
    A,
    /// The other one.
    B,
    /// Both.
    Both,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    #[serde(default = "yes")]
    on: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Play {
    file: String,
    #[serde(default)]
    leg: Which,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    #[serde(default = "yes")]
    on: bool,
    #[serde(default)]
    file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dtmf {
    digits: String,
}

/// `POST /api/calls/{uuid}/hangup`.
pub(super) async fn hangup(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Hangup>,
) -> Answer {
    let channel = call(&gateway, &uuid)?;
    let cause = match &asked.cause {
        Some(name) => Cause::parse_strict(&given::name("cause", name)?)
            .ok_or_else(|| Problem::unusable("cause", "there is no such cause"))?,
        None => Cause::NORMAL_CLEARING,
    };
    channel.hangup(cause);
    Ok(Json(json!({ "uuid": uuid, "cause": cause.name() })))
}

/// `POST /api/calls/{uuid}/transfer`.
pub(super) async fn transfer(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Transfer>,
) -> Answer {
    call(&gateway, &uuid)?;
    let to = given::number("to", &asked.to)?;
    let context = match &asked.context {
        Some(context) => given::name("context", context)?,
        None => gateway.settings.context.clone(),
    };
    let leg = match asked.leg {
        Which::A => "",
        Which::B => "-bleg ",
        Which::Both => "-both ",
    };
    done(&gateway, "uuid_transfer", &format!("{uuid} {leg}{to} XML {context}")).await?;
    Ok(Json(json!({ "uuid": uuid, "to": to, "context": context })))
}

/// `POST /api/calls/{uuid}/hold`.
pub(super) async fn hold(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Hold>,
) -> Answer {
    call(&gateway, &uuid)?;
    let arguments = if asked.on { uuid.clone() } else { format!("off {uuid}") };
    done(&gateway, "uuid_hold", &arguments).await?;
    Ok(Json(json!({ "uuid": uuid, "held": asked.on })))
}

/// `POST /api/calls/{uuid}/play`: a file of the folder of sounds.
pub(super) async fn play(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Play>,
) -> Answer {
    call(&gateway, &uuid)?;
    let file = given::file("file", &asked.file)?;
    let path = gateway.switch.dirs.sounds_dir.join(&file);
    if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such file of sounds"));
    }
    let leg = match asked.leg {
        Which::A => "aleg",
        Which::B => "bleg",
        Which::Both => "both",
    };
    done(&gateway, "uuid_broadcast", &format!("{uuid} {} {leg}", path.display())).await?;
    Ok(Json(json!({ "uuid": uuid, "file": file })))
}

/// `POST /api/calls/{uuid}/record`: into the folder of recordings, under the call's UUID unless a name is given.
pub(super) async fn record(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Record>,
) -> Answer {
    call(&gateway, &uuid)?;
    let file = match &asked.file {
        Some(file) => given::file("file", file)?,
        None => format!("{uuid}.wav"),
    };
    let path = gateway.switch.dirs.recordings_dir.join(&file);
    let verb = if asked.on { "start" } else { "stop" };
    done(&gateway, "uuid_record", &format!("{uuid} {verb} {}", path.display())).await?;
    Ok(Json(json!({ "uuid": uuid, "recording": asked.on, "file": file })))
}

/// `POST /api/calls/{uuid}/dtmf`: keys, sent to the far end.
pub(super) async fn dtmf(
    State(gateway): State<Gateway>,
    Path(uuid): Path<String>,
    Body(asked): Body<Dtmf>,
) -> Answer {
    call(&gateway, &uuid)?;
    let digits = given::digits("digits", &asked.digits)?;
    done(&gateway, "uuid_send_dtmf", &format!("{uuid} {digits}")).await?;
    Ok(Json(json!({ "uuid": uuid, "digits": digits })))
}

/// A call that is still up. Its UUID may have been chosen by a caller: it names a call, or nothing.
fn call(gateway: &Gateway, uuid: &str) -> Result<Arc<Channel>, Problem> {
    given::name("uuid", uuid).map_err(|_| Problem::no_such_call())?;
    let channel = gateway.switch.channel(uuid).filter(|channel| channel.is_up());
    channel.ok_or_else(Problem::no_such_call)
}

/// Runs a command; what it refuses is a conflict with how the call stands.
async fn done(gateway: &Gateway, command: &str, arguments: &str) -> Result<(), Problem> {
    let reply = gateway.switch.run_api(command, arguments, None).await;
    match reply.as_deref().map(str::trim) {
        None => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "its module is not loaded")),
        Some(reply) if reply.starts_with("-ERR") || reply.starts_with("-USAGE") => {
            let why = reply.trim_start_matches("-ERR").trim();
            Err(Problem::new(StatusCode::CONFLICT, why))
        }
        Some(_) => Ok(()),
    }
}
