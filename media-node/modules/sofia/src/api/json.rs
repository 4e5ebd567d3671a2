//! `sofia jsonstatus`, and the same through the JSON API (`sofia.status`, `sofia.status.info`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Map, Value, json};
use sip::gateway::State;

use super::super::Sofia;
use super::super::gateway::Gateway;
use super::super::profile::Profile;
use super::status::profile_facts;

/// What is told of a profile, in this order.
const INFO: [&str; 18] = [
    "domain-name",
    "alias-of",
    "auto-nat",
    "db-name",
    "pres-hosts",
    "dialplan",
    "context",
    "challenge-realm",
    "rtp-ip",
    "ext-rtp-ip",
    "sip-ip",
    "ext-sip-ip",
    "url",
    "bind-url",
    "tls-url",
    "tls-bind-url",
    "hold-music",
    "outbound-proxy",
];

/// Profiles, their aliases and gateways; with `info` also how each profile is set up.
pub fn status(sofia: &Sofia, info: bool) -> Value {
    let mut profiles = Map::new();
    for profile in sofia.profiles() {
        let mut names = vec![profile.name.clone()];
        names.extend(profile.aliases.read().iter().cloned());
        for name in names {
            let mut entry = entry(&name, &profile);
            if info {
                entry.insert("info".into(), about(&name, &profile));
            }
            profiles.insert(name, Value::Object(entry));
        }
    }
    json!({ "profiles": profiles })
}

fn entry(name: &str, profile: &Profile) -> Map<String, Value> {
    let mut entry = Map::new();
    if name != profile.name {
        let status = json!({ "type": "alias", "data": profile.name, "state": "ALIASED" });
        entry.insert("status".into(), status);
        return entry;
    }
    let in_use = profile.counters.in_use.load(Ordering::Relaxed);
    let only_tls = profile.stack.listening().iter().all(|(t, _)| *t == sip::stack::Transport::Tls);
    let mut status = json!({ "type": "profile", "state": "RUNNING", "in-use": in_use });
    match profile.tls_url().filter(|_| only_tls) {
        Some(url) => {
            status["data"] = url.into();
            status["transport"] = "tls".into();
        }
        None => status["data"] = profile.url().into(),
    }
    entry.insert("status".into(), status);
    let gateways = profile.gateways.read();
    if !gateways.is_empty() {
        let listed: Map<_, _> =
            gateways.iter().rev().map(|g| (g.name.clone(), of_gateway(g))).collect();
        entry.insert("gateways".into(), listed.into());
    }
    entry
}

fn of_gateway(gateway: &Gateway) -> Value {
    let registration = gateway.registration.lock();
    let state = registration.state();
    let mut out = json!({ "type": "gateway", "data": gateway.to_text(), "state": state.name() });
    if matches!(state, State::Failed | State::Trying) {
        let left = registration
            .deadline()
            .map(|at| at.saturating_duration_since(Instant::now()).as_secs())
            .filter(|seconds| *seconds > 0);
        out["retry"] = left.map_or_else(|| "never".into(), Value::from);
    }
    out
}

fn about(name: &str, profile: &Arc<Profile>) -> Value {
    let facts = profile_facts(name, profile);
    let mut out = Map::new();
    for wanted in INFO {
        let mut values = facts.iter().filter(|(_, key, _)| *key == wanted).map(|(.., v)| v);
        if wanted == "rtp-ip" {
            out.insert(wanted.into(), values.cloned().collect::<Vec<_>>().into());
        } else if let Some(value) = values.next() {
            out.insert(wanted.into(), value.as_str().into());
        }
    }
    out.into()
}

/// JSON the way the reference prints it: tabs between key and value and at the start of lines, arrays in one line.
pub(super) fn print(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str("{\n}"),
        Value::Object(map) => {
            out.push_str("{\n");
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(&"\t".repeat(depth + 1));
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(":\t");
                write(value, depth + 1, out);
                out.push_str(if at + 1 < map.len() { ",\n" } else { "\n" });
            }
            out.push_str(&"\t".repeat(depth));
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(value, depth + 1, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_with_tabs() {
        let value = json!({ "profiles": { "internal": { "in-use": 2, "rtp-ip": ["a", "b"] } } });
        assert_eq!(
            print(&value),
            "{\n\t\"profiles\":\t{\n\t\t\"internal\":\t{\n\t\t\t\"in-use\":\t2,\n\t\t\t\"rtp-ip\":\t[\"a\", \"b\"]\n\t\t}\n\t}\n}"
        );
    }
}
