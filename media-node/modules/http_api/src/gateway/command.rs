//! Commands of the switch, as at its console.

use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::given::Body;
use super::problem::Problem;
use super::tenant::Tenant;

/// Longest command taken.
const LONGEST: usize = 4096;
/// Octets of a reply that are sent.
const MOST: usize = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    command: String,
}

/// `POST /api/command`: the reply, when the command has ended. What reaches this machine's programs is refused whatever the
/// client's address is: a web server in front makes all of them local.
pub(super) async fn run(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Body(asked): Body<Command>,
) -> Result<Json<Value>, Problem> {
    tenant.everything()?;
    let line = asked.command.trim();
    if line.is_empty() || line.len() > LONGEST || line.contains(['\r', '\n', '\0']) {
        return Err(Problem::unusable("command", "one line is expected"));
    }
    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let run = gateway.switch.run_api(name, arguments.trim(), None);
    let client = base::foreign::who().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let reply = base::foreign::scope(move || Some(client), Box::pin(run)).await;
    let mut reply =
        reply.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such command"))?;
    let mut cut = MOST;
    while !reply.is_char_boundary(cut.min(reply.len())) {
        cut -= 1;
    }
    reply.truncate(cut);
    Ok(Json(json!({ "command": line, "output": reply })))
}
