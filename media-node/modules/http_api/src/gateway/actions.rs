//! What is done to a call. Each is answered when the switch has taken it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::call::{Cause, Channel};

use super::Gateway;
use super::given::{self, Body, Id};
use super::problem::Problem;
use super::tenant::Tenant;

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
pub(super) struct Say {
    text: String,
    #[serde(default)]
    engine: Option<String>,
    #[serde(default)]
    voice: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dtmf {
    digits: String,
}

/// `POST /api/calls/{uuid}/hangup`.
pub(super) async fn hangup(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Hangup>,
) -> Answer {
    let channel = call(&gateway, &tenant, &uuid)?;
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
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Transfer>,
) -> Answer {
    call(&gateway, &tenant, &uuid)?;
    let to = given::number("to", &asked.to)?;
    let context = super::calls::context(&gateway, &tenant, asked.context.as_deref())?;
    let leg = match asked.leg {
        Which::A => "",
        Which::B => "-bleg ",
        Which::Both => "-both ",
    };
    done(&gateway, "uuid_transfer", &format!("{uuid} {leg}{to} XML {context}")).await?;
    Ok(Json(json!({ "uuid": uuid, "to": to, "context": context })))
}

/// A transfer whose call is named in the body, as platforms of voice bots ask for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedTransfer {
    #[serde(alias = "call_id")]
    uuid: String,
    to: String,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    leg: Which,
}

/// The same for its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedEnd {
    #[serde(alias = "call_id")]
    uuid: String,
    #[serde(default)]
    cause: Option<String>,
}

/// `POST /call/transfer`.
pub(super) async fn transfer_named(
    gateway: State<Gateway>,
    tenant: Tenant,
    Body(named): Body<NamedTransfer>,
) -> Answer {
    let NamedTransfer { uuid, to, context, leg } = named;
    transfer(gateway, tenant, Id(uuid), Body(Transfer { to, context, leg })).await
}

/// `POST /call/end`.
pub(super) async fn end_named(
    gateway: State<Gateway>,
    tenant: Tenant,
    Body(NamedEnd { uuid, cause }): Body<NamedEnd>,
) -> Answer {
    hangup(gateway, tenant, Id(uuid), Body(Hangup { cause })).await
}

/// `POST /api/calls/{uuid}/hold`.
pub(super) async fn hold(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Hold>,
) -> Answer {
    call(&gateway, &tenant, &uuid)?;
    let arguments = if asked.on { uuid.clone() } else { format!("off {uuid}") };
    done(&gateway, "uuid_hold", &arguments).await?;
    Ok(Json(json!({ "uuid": uuid, "held": asked.on })))
}

/// `POST /api/calls/{uuid}/play`: a file of the folder of sounds.
pub(super) async fn play(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Play>,
) -> Answer {
    call(&gateway, &tenant, &uuid)?;
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

/// `POST /api/calls/{uuid}/say`: a text, by an engine of `speak`.
pub(super) async fn say(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Say>,
) -> Answer {
    let channel = call(&gateway, &tenant, &uuid)?;
    let text = given::text("text", &asked.text)?;
    let engine = given::name("engine", asked.engine.as_deref().unwrap_or("flite"))?;
    let voice = given::name("voice", asked.voice.as_deref().unwrap_or("kal"))?;
    if gateway.switch.app("speak").is_none() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "its module is not loaded"));
    }
    let argument = format!("{engine}|{voice}|{text}");
    let message = esl_server::CallMessage::execute("speak", &argument);
    channel
        .post(message)
        .map_err(|_| Problem::new(StatusCode::CONFLICT, "the call has too much to do"))?;
    Ok(Json(json!({ "uuid": uuid, "text": text })))
}

/// `POST /api/calls/{uuid}/record`: into the folder of recordings, under the call's UUID unless a name is given.
pub(super) async fn record(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Record>,
) -> Answer {
    call(&gateway, &tenant, &uuid)?;
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
    tenant: Tenant,
    Id(uuid): Id,
    Body(asked): Body<Dtmf>,
) -> Answer {
    call(&gateway, &tenant, &uuid)?;
    let digits = given::digits("digits", &asked.digits)?;
    done(&gateway, "uuid_send_dtmf", &format!("{uuid} {digits}")).await?;
    Ok(Json(json!({ "uuid": uuid, "digits": digits })))
}

/// A call that is still up. Its UUID may have been chosen by a caller: it names a call, or nothing.
fn call(gateway: &Gateway, tenant: &Tenant, uuid: &str) -> Result<Arc<Channel>, Problem> {
    given::name("uuid", uuid).map_err(|_| Problem::no_such_call())?;
    let channel = gateway.switch.channel(uuid).filter(|leg| leg.is_up() && tenant.owns(leg));
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
