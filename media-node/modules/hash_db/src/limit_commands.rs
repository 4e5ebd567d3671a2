//! `limit_*` and `uuid_limit*`: counts of what calls hold.

use super::Stores;
use crate::api::{Api, ApiCall};
use crate::limiting::{Backend, release, take};
use crate::limits::{Resource, allowance};
use crate::switch::Switch;
use crate::{api, text};

/// The family.
pub const APIS: &[Api] = &[
    api!(
        "limit_hash_usage",
        "mod_hash",
        "<realm> <id> [rate]",
        "DEPRECATED: gets the usage count of a limited resource",
        hash_usage
    ),
    api!(
        "limit_interval_reset",
        "mod_commands",
        RESET_INTERVAL,
        "Reset the interval counter for a limited resource",
        interval_reset
    ),
    api!("limit_reset", "mod_commands", "<backend>", "Reset the counters of a limit backend", async reset),
    api!("limit_status", "mod_commands", "<backend>", "Get the status of a limit backend", status),
    api!("limit_usage", "mod_commands", USAGE, "Get the usage count of a limited resource", async limit_usage),
    api!("uuid_limit", "mod_commands", UUID_LIMIT, "Increase limit resource", async uuid_limit),
    api!(
        "uuid_limit_release",
        "mod_commands",
        UUID_RELEASE,
        "Release limit resource",
        uuid_release
    ),
];

const USAGE: &str = "<backend> <realm> <id> [rate]";
const RESET_INTERVAL: &str = "<backend> <realm> <resource>";
const UUID_LIMIT: &str =
    "<uuid> <backend> <realm> <resource> [<max>[/interval]] [number [dialplan [context]]]";
const UUID_RELEASE: &str = "<uuid> <backend> [realm] [resource]";
const NO_BACKEND: &str = "-ERR No such limit backend\n";

fn usage(command: &str, syntax: &str) -> String {
    format!("USAGE: {command} {syntax}\n")
}

async fn used(switch: &Switch, backend: &Backend, resource: &Resource) -> (i64, u32) {
    match backend {
        Backend::Other(other) => (other.usage(&resource.0, &resource.1).await, 0),
        Backend::Hash => {
            let usage = switch.module::<Stores>().limits.usage(resource);
            (i64::from(usage.total), usage.rate)
        }
        Backend::Db => {
            let hostname = switch.global("hostname").unwrap_or_default();
            let stores = switch.module::<Stores>();
            let count = async {
                stores
                    .db
                    .open(&switch.dirs.db_dir, &hostname)
                    .await?
                    .limit_usage(&resource.0, &resource.1)
                    .await
            };
            (i64::from(count.await.unwrap_or(0)), 0)
        }
    }
}

async fn limit_usage(call: ApiCall) -> String {
    let words = call.words(4);
    let (Some(backend), Some(realm), Some(id)) = (words.first(), words.get(1), words.get(2)) else {
        return usage("limit_usage", USAGE);
    };
    let Some(backend) = Backend::find(&call.switch, backend) else { return NO_BACKEND.into() };
    let (total, rate) = used(&call.switch, &backend, &(realm.clone(), id.clone())).await;
    if words.len() > 3 { format!("{total}/{rate}") } else { total.to_string() }
}

fn hash_usage(call: &ApiCall) -> String {
    let words = call.words(3);
    let (Some(realm), Some(id)) = (words.first(), words.get(1)) else {
        return usage("limit_hash_usage", "<realm> <id> [rate]");
    };
    let found = call.switch.module::<Stores>().limits.usage(&(realm.clone(), id.clone()));
    if words.len() > 2 {
        format!("{}/{}", found.total, found.rate)
    } else {
        found.total.to_string()
    }
}

fn status(call: &ApiCall) -> String {
    match Backend::find(&call.switch, call.args.trim()) {
        Some(Backend::Hash) => "-ERR not supported yet (locking problems).".into(),
        Some(Backend::Db) => "-ERR not supported".into(),
        Some(Backend::Other(other)) => other.status(),
        None if call.args.trim().is_empty() => usage("limit_status", "<backend>"),
        None => NO_BACKEND.into(),
    }
}

async fn reset(call: ApiCall) -> String {
    match Backend::find(&call.switch, call.args.trim()) {
        Some(Backend::Hash) => "-ERR".into(),
        Some(Backend::Db) => {
            let hostname = call.switch.global("hostname").unwrap_or_default();
            let stores = call.switch.module::<Stores>();
            let done = async {
                stores.db.open(&call.switch.dirs.db_dir, &hostname).await?.limit_reset().await
            };
            if done.await.is_ok() { "+OK".into() } else { "-ERR".into() }
        }
        Some(Backend::Other(other)) => {
            tracing::error!("{}", other.cannot_reset());
            "-ERR".into()
        }
        None if call.args.trim().is_empty() => usage("limit_reset", "<backend>"),
        None => NO_BACKEND.into(),
    }
}

fn interval_reset(call: &ApiCall) -> String {
    let words = call.words(3);
    let [backend, realm, id] = words.as_slice() else {
        return usage("limit_interval_reset", RESET_INTERVAL);
    };
    match Backend::find(&call.switch, backend) {
        None => return NO_BACKEND.into(),
        // The reply is the same whatever the backend did (reference behaviour).
        Some(Backend::Other(other)) => tracing::error!("{}", other.cannot_reset()),
        Some(Backend::Hash | Backend::Db) => {
            let stores = call.switch.module::<Stores>();
            stores.limits.reset_interval(&(realm.clone(), id.clone()));
        }
    }
    "+OK".into()
}

async fn uuid_limit(call: ApiCall) -> String {
    let words = call.words(8);
    let [uuid, backend, realm, id, rest @ ..] = words.as_slice() else {
        return usage("uuid_limit", UUID_LIMIT);
    };
    let Some(channel) = call.switch.channel(uuid) else {
        return format!("-ERR Cannot find session with uuid {uuid}\n");
    };
    let Some(backend) = Backend::find(&call.switch, backend) else { return NO_BACKEND.into() };
    let allowed = allowance(rest.first().map(String::as_str).unwrap_or_default());
    if !take(&call.switch, &channel, &backend, &(realm.clone(), id.clone()), allowed).await {
        let target = rest.get(1).map_or("limit_exceeded", String::as_str);
        let (dialplan, context) =
            (rest.get(2).map(String::as_str), rest.get(3).map(String::as_str));
        crate::limiting::exceeded(&channel, target, dialplan, context);
    }
    "+OK".into()
}

fn uuid_release(call: &ApiCall) -> String {
    let words = text::words(&call.args, 4);
    let (Some(uuid), Some(backend)) = (words.first(), words.get(1)) else {
        return usage("uuid_limit_release", UUID_RELEASE);
    };
    if call.switch.channel(uuid).is_none() {
        return format!("-ERR Cannot find session with uuid {uuid}\n");
    }
    let Some(backend) = Backend::find(&call.switch, backend) else { return NO_BACKEND.into() };
    let only = words.get(2).zip(words.get(3)).map(|(realm, id)| (realm.clone(), id.clone()));
    release(&call.switch, &backend, uuid, only.as_ref());
    "+OK".into()
}
