//! Calls that are made, and how they stand.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use switch_core::clock;

use super::Gateway;
use super::given::{self, Body, Id};
use super::lists::shown;
use super::outcome::{Claim, Outcome, Request};
use super::problem::Problem;
use super::tenant::Tenant;

/// Seconds a leg may ring, unless the request says otherwise, and at most.
const RING: (u32, u32) = (60, 300);
/// Longest idempotency key, bytes.
const LONGEST_KEY: usize = 255;

/// A call to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    to: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    context: Option<String>,
    /// Where the dialplan goes on once the call is answered; else `call-application` runs.
    #[serde(default)]
    extension: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

/// Two parties to connect: `from` first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickToCall {
    from: String,
    to: String,
    #[serde(default)]
    caller_id: Option<String>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

/// What `originate` is asked for.
struct Leg {
    uuid: String,
    caller: Option<String>,
    dial: String,
    then: String,
    seconds: u32,
    tenant: Tenant,
}

/// `POST /call`: calls `to`. Answered with 202 as soon as the call is on its way.
pub(super) async fn start(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    headers: HeaderMap,
    Body(request): Body<Value>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let start: Start = read(&request)?;
    let to = given::number("to", &start.to)?;
    let context = context(&gateway, &tenant, start.context.as_deref())?;
    let then = match &start.extension {
        Some(extension) => {
            format!("&transfer({} XML {context})", given::number("extension", extension)?)
        }
        None => format!("&{}", application(&gateway.settings.application)),
    };
    let leg = Leg {
        uuid: uuid(start.uuid.as_deref())?,
        caller: start.from.as_deref().map(|from| given::number("from", from)).transpose()?,
        dial: dial(&gateway, &tenant, &to, &context),
        then,
        seconds: start.timeout_seconds.unwrap_or(RING.0).clamp(1, RING.1),
        tenant,
    };
    begin(gateway, &headers, &request, leg)
}

/// `POST /call/outbound`: calls `from`, and connects it with `to` once it is answered.
pub(super) async fn click_to_call(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    headers: HeaderMap,
    Body(request): Body<Value>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let asked: ClickToCall = read(&request)?;
    let (from, to) = (given::number("from", &asked.from)?, given::number("to", &asked.to)?);
    let context = context(&gateway, &tenant, asked.context.as_deref())?;
    let caller = asked.caller_id.as_deref().map(|id| given::number("caller_id", id)).transpose()?;
    // The first leg sees whom it is about to be connected with, the second who calls.
    let shown = caller.clone().unwrap_or_else(|| from.clone());
    let leg = Leg {
        uuid: uuid(asked.uuid.as_deref())?,
        caller: Some(to.clone()),
        dial: dial(&gateway, &tenant, &from, &context),
        then: format!(
            "&bridge([origination_caller_id_number={shown},origination_caller_id_name={shown}]{})",
            dial(&gateway, &tenant, &to, &context)
        ),
        seconds: asked.timeout_seconds.unwrap_or(RING.0).clamp(1, RING.1),
        tenant,
    };
    begin(gateway, &headers, &request, leg)
}

/// `GET /status/{uuid}`.
pub(super) async fn status(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
) -> Result<Json<Value>, Problem> {
    if let Some(channel) = gateway.switch.channel(&uuid).filter(|leg| tenant.owns(leg)) {
        return Ok(Json(shown(&channel)));
    }
    if let Some(ended) = gateway.history.find(&uuid).filter(|leg| tenant.owns_entry(leg)) {
        return Ok(Json(ended));
    }
    match gateway.outcomes.of(&tenant, &uuid) {
        Some(Outcome::Dialling) => Ok(Json(json!({ "uuid": uuid, "state": "dialling" }))),
        Some(Outcome::Failed(cause)) => {
            Ok(Json(json!({ "uuid": uuid, "state": "failed", "cause": cause })))
        }
        Some(Outcome::Answered) => Ok(Json(json!({ "uuid": uuid, "state": "ended" }))),
        None => {
            // A call of long ago, or of before the last start.
            let found = super::recorded::find(&gateway, &tenant, &uuid).await?;
            found.map(Json).ok_or_else(Problem::no_such_call)
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(request: &Value) -> Result<T, Problem> {
    serde_json::from_value(request.clone())
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

/// The context of a call. A tenant has one: that of the settings, with its domain in it.
pub(super) fn context(
    gateway: &Gateway,
    tenant: &Tenant,
    asked: Option<&str>,
) -> Result<String, Problem> {
    let domain = tenant.0.as_deref().unwrap_or_default();
    let own = gateway.settings.context.replace("{domain}", domain);
    match asked {
        Some(asked) if tenant.0.is_some() && asked != own => {
            Err(Problem::new(StatusCode::FORBIDDEN, "context: it is not the domain's"))
        }
        Some(context) => given::name("context", context),
        None => Ok(own),
    }
}

fn uuid(asked: Option<&str>) -> Result<String, Problem> {
    let Some(asked) = asked else { return Ok(clock::new_uuid()) };
    given::name("uuid", asked)
}

/// The administrator's dial string for a number that was checked.
fn dial(gateway: &Gateway, tenant: &Tenant, to: &str, context: &str) -> String {
    let domain = tenant.0.as_deref().unwrap_or_default();
    let filled = gateway.settings.dial_string.replace("{context}", context);
    filled.replace("{domain}", domain).replace("{to}", to)
}

/// `park` or `socket 127.0.0.1:8084 async full` as `originate` has it.
fn application(text: &str) -> String {
    match text.split_once(' ') {
        Some((name, argument)) => format!("{name}({argument})"),
        None => format!("{text}()"),
    }
}

/// Notes the request and starts to call; or repeats what it was answered before.
fn begin(
    gateway: Gateway,
    headers: &HeaderMap,
    request: &Value,
    leg: Leg,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let answer = json!({
        "uuid": leg.uuid,
        "state": "dialling",
        "status_url": format!("/status/{}", leg.uuid),
    });
    let key = headers.get("idempotency-key").map(|key| {
        let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
        key.ok_or_else(|| Problem::unusable("Idempotency-Key", "1 to 255 characters"))
    });
    let request =
        Request { tenant: &leg.tenant, key: key.transpose()?, asked: request, uuid: &leg.uuid };
    let is_up = gateway.switch.channel(&leg.uuid).is_some();
    match gateway.outcomes.claim(&request, &answer, is_up) {
        Claim::New => {}
        Claim::Same(answer) => return Ok((StatusCode::ACCEPTED, Json(answer))),
        Claim::Other => {
            return Err(Problem::unusable("Idempotency-Key", "it was used for another request"));
        }
        Claim::Taken => {
            return Err(Problem::new(StatusCode::CONFLICT, "there is a call with this uuid"));
        }
    }
    // Legs belong to the trace the request names.
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let given = given.and_then(base::trace::Context::parse).filter(|_| base::trace::enabled());
    base::foreign::spawn(base::trace::scope(given, originate(gateway, leg)));
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

async fn originate(gateway: Gateway, leg: Leg) {
    let Leg { uuid, caller, dial, then, seconds, tenant } = leg;
    let mut variables =
        vec![format!("origination_uuid={uuid}"), format!("originate_timeout={seconds}")];
    if let Some(domain) = &tenant.0 {
        variables.push(format!("domain_name={domain}"));
    }
    if let Some(caller) = caller {
        variables.push(format!("origination_caller_id_number={caller}"));
        variables.push(format!("origination_caller_id_name={caller}"));
    }
    let arguments = format!("{{{}}}{dial} '{then}'", variables.join(","));
    let reply = gateway.switch.run_api("originate", &arguments, None).await.unwrap_or_default();
    let reply = reply.trim();
    let outcome = if reply.starts_with("+OK") {
        Outcome::Answered
    } else {
        Outcome::Failed(reply.trim_start_matches("-ERR").trim().to_owned())
    };
    gateway.outcomes.set(&tenant, &uuid, outcome);
}
