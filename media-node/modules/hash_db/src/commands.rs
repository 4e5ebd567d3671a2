//! Keys and values: `hash`, `db`, `group`.

use base::far;

use super::Stores;
use crate::api::{Api, ApiCall, usage};
use crate::db::Open;
use crate::hash::HashError;
use crate::switch::Switch;
use crate::{api, clock};

/// The family.
pub const APIS: &[Api] = &[
    api!("db", "mod_db", "[insert|delete|select|exists|count|list]/<realm>/<key>/<value>", "db get/set", async db),
    api!("db_cache", "mod_commands", DB_CACHE, "Manage db cache", db_cache),
    api!("group", "mod_db", "[insert|delete|call]:<group name>:<url>", "group [insert|delete|call]", async group),
    api!("hash", "mod_hash", HASH, "hash get/set", hash),
    api!(
        "hash_dump",
        "mod_hash",
        HASH_DUMP,
        "dump hash/limit_hash data (used for synchronization)",
        hash_dump
    ),
    api!("hash_remote", "mod_hash", HASH_REMOTE, "hash remote", hash_remote),
];

const DB_CACHE: &str = "status";
const HASH: &str = "hash insert|insert_ifempty|select|delete|delete_ifmatch/realm/key[/value]";
const HASH_DUMP: &str = "all|limit|db [<realm>]";
const HASH_REMOTE: &str = "list|kill [name]|rescan";
const ERROR: &str = "!err!";

fn hash(call: &ApiCall) -> String {
    match hash_command(&call.switch, &call.marked) {
        None => format!("-ERR Usage: {HASH}\n"),
        Some(Err(error)) => format!("-ERR {error}\n"),
        Some(Ok(value)) => value,
    }
}

/// Does what `hash` is told; `None` if that is nothing it knows. What a far end said is one part of it, and stays marked
/// ([`base::far`]) in a value.
pub fn hash_command(switch: &Switch, text: &str) -> Option<Result<String, HashError>> {
    let mut parts = text.trim().splitn(4, '/');
    let (verb, realm, key) = (parts.next()?, parts.next()?, parts.next()?);
    let (realm, key) = (&*far::plain(realm), &*far::plain(key));
    let value = parts.next();
    let stores = switch.module::<Stores>();
    let hash = &stores.hash;
    let done = match (verb.to_ascii_lowercase().as_str(), value) {
        ("insert", Some(value)) => hash.insert(realm, key, value, false),
        ("insert_ifempty", Some(value)) => hash.insert(realm, key, value, true),
        ("delete", _) => hash.delete(realm, key, None),
        ("delete_ifmatch", Some(value)) => hash.delete(realm, key, Some(value)),
        ("select", _) => return Some(Ok(hash.get(realm, key).unwrap_or_default())),
        _ => return None,
    };
    Some(done.map(|()| "+OK\n".to_owned()))
}

fn hash_dump(call: &ApiCall) -> String {
    let words = call.words(2);
    let what = words.first().map(String::as_str).unwrap_or_default();
    if !matches!(what, "all" | "limit" | "db") {
        return usage(HASH_DUMP);
    }
    let mut out = String::new();
    if what != "db" {
        for ((realm, id), usage) in call.switch.module::<Stores>().limits.all(clock::now_secs()) {
            out.push_str(&format!(
                "L/{realm}_{id}/{}/{}/{}/{}\n",
                usage.total, usage.rate, usage.interval, usage.last_check
            ));
        }
    }
    if what != "limit" {
        for (realm, key, value) in
            call.switch.module::<Stores>().hash.all(words.get(1).map(String::as_str))
        {
            out.push_str(&format!("D/{realm}_{key}/{}\n", far::plain(&value)));
        }
    }
    out
}

fn hash_remote(call: &ApiCall) -> String {
    match call.args.trim().split(' ').next().unwrap_or_default() {
        "list" => "Remote connections:\nName\t\t\tState\n+OK\n".into(),
        "rescan" => "+OK\n".into(),
        "kill" => "-ERR No such remote\n".into(),
        _ => usage(HASH_REMOTE),
    }
}

fn db_cache(call: &ApiCall) -> String {
    if call.args.trim().eq_ignore_ascii_case("status") {
        return format!(
            "{} database(s) open\n",
            u8::from(call.switch.module::<Stores>().db.is_open())
        );
    }
    usage(DB_CACHE)
}

async fn db(call: ApiCall) -> String {
    db_command(&call.switch, &call.marked).await
}

/// Does what `db` is told and returns its reply.
pub async fn db_command(switch: &Switch, text: &str) -> String {
    let hostname = switch.global("hostname").unwrap_or_default();
    let stores = switch.module::<Stores>();
    let done = async {
        let open = stores.db.open(&switch.dirs.db_dir, &hostname).await?;
        db_verb(&open, text.trim()).await
    };
    done.await.unwrap_or_else(|error| {
        tracing::error!("db: {error}");
        ERROR.into()
    })
}

async fn db_verb(open: &Open<'_>, text: &str) -> Result<String, sqlx::Error> {
    let mut parts = text.splitn(4, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let (verb, realm, key, value) = (next().unwrap_or_default(), next(), next(), next());
    Ok(match (verb.to_ascii_lowercase().as_str(), realm, key, value) {
        ("insert", Some(realm), Some(key), value) => {
            open.insert(realm, key, value.unwrap_or_default()).await?;
            "+OK".into()
        }
        ("delete", Some(realm), key, _) => {
            open.delete(realm, key).await?;
            "+OK".into()
        }
        ("select", Some(realm), Some(key), _) => open.select(realm, key).await?.unwrap_or_default(),
        ("exists", Some(realm), Some(key), _) => {
            open.select(realm, key).await?.is_some().to_string()
        }
        ("count", realm, _, _) => open.count(realm.map(far::plain).as_deref()).await?.to_string(),
        ("list", realm, _, _) => open.list(realm).await?.join(","),
        _ => ERROR.into(),
    })
}

async fn group(call: ApiCall) -> String {
    group_command(&call.switch, &call.marked).await
}

/// Does what `group` is told and returns its reply.
pub async fn group_command(switch: &Switch, text: &str) -> String {
    let hostname = switch.global("hostname").unwrap_or_default();
    let stores = switch.module::<Stores>();
    let done = async {
        let open = stores.db.open(&switch.dirs.db_dir, &hostname).await?;
        group_verb(&open, text.trim()).await
    };
    done.await.unwrap_or_else(|error| {
        tracing::error!("group: {error}");
        ERROR.into()
    })
}

async fn group_verb(open: &Open<'_>, text: &str) -> Result<String, sqlx::Error> {
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let (verb, group, rest) = (next().unwrap_or_default(), next(), next());
    Ok(match (verb.to_ascii_lowercase().as_str(), group, rest) {
        ("insert", Some(group), Some(url)) => {
            open.group_insert(group, url).await?;
            "+OK".into()
        }
        ("delete", Some(group), Some(url)) => {
            open.group_delete(group, url).await?;
            "+OK".into()
        }
        ("call", Some(group), how) => {
            let separator =
                if how.is_some_and(|how| far::plain(how) == "order") { "|" } else { "," };
            open.group(group).await?.join(separator)
        }
        _ => ERROR.into(),
    })
}
