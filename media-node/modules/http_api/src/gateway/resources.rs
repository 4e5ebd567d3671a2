//! What is configured: users, queues and their agents, menus. Read from the configuration and the modules in use.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use provisioning::User;
use serde_json::{Map, Value, json};

use super::Gateway;
use super::lists::{Asked, page};
use super::problem::Problem;
use super::tenant::Tenant;
use super::things::Thing;

type Answer = Result<Json<Value>, Problem>;

/// `GET /api/health`: the probes of the switch as one document.
pub(super) async fn health(State(gateway): State<Gateway>) -> Json<Value> {
    let reasons = crate::health::reasons(&gateway.switch);
    Json(json!({
        "status": if reasons.is_empty() { "ok" } else { "not ready" },
        "reasons": reasons,
        "version": base::version::OWN,
        "uptime_seconds": gateway.switch.started.elapsed().as_secs(),
    }))
}

/// `GET /api/users`: who is in the directory, those of the files first, without what proves it.
pub(super) async fn users(State(gateway): State<Gateway>, tenant: Tenant, asked: Asked) -> Answer {
    let page = page(asked)?;
    let config = gateway.switch.config.load_full();
    let directory = &config.directory;
    let registered: HashSet<String> = gateway
        .switch
        .stores
        .registrations
        .all()
        .into_iter()
        .map(|entry| format!("{}@{}", entry.user, entry.realm).to_ascii_lowercase())
        .collect();
    let mut all = Vec::new();
    for domain in directory.domains() {
        for user in directory.users(domain) {
            all.push(json!({
                "user": user.id.to_string(),
                "domain": user.domain.to_string(),
                "source": "files",
            }));
        }
    }
    let kept = <User as Thing>::kept(&gateway, &gateway.provision.now(), &tenant)?;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    // What the files have comes first, so that one of the database with the same name is not used.
    let hidden =
        |entry: &Value| directory.find_user(&text(entry, "user"), &text(entry, "domain")).is_some();
    all.extend(kept.into_iter().filter(|entry| !hidden(entry)));
    all.retain(|entry| tenant.owns_entry(entry));
    for entry in &mut all {
        let id = format!("{}@{}", text(entry, "user"), text(entry, "domain")).to_ascii_lowercase();
        entry["registered"] = json!(registered.contains(&id));
    }
    Ok(page.of(all))
}

/// `GET /api/agents`.
pub(super) async fn agents(State(gateway): State<Gateway>, tenant: Tenant, asked: Asked) -> Answer {
    Ok(page(asked)?.of(callcenter(&gateway, &tenant, "agent list").await))
}

/// A table of `callcenter_config`. Names there are `name@domain`.
async fn callcenter(gateway: &Gateway, tenant: &Tenant, what: &str) -> Vec<Value> {
    let reply = gateway.switch.run_api("callcenter_config", what, None).await.unwrap_or_default();
    let mut lines = reply.lines().take_while(|line| !line.starts_with(['+', '-']));
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('|').collect();
    let row = |line: &str| {
        let mut entry: Map<String, Value> = columns
            .iter()
            .zip(line.split('|'))
            .map(|(name, text)| ((*name).into(), json!(text)))
            .collect();
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let domain = name.split_once('@').map_or("", |(_, domain)| domain).to_owned();
        entry.insert("domain".into(), json!(domain));
        // How an agent is reached may hold a password of a gateway.
        entry.remove("contact");
        Value::Object(entry)
    };
    lines
        .filter(|line| !line.is_empty())
        .map(row)
        .filter(|entry| tenant.owns_entry(entry))
        .collect()
}
