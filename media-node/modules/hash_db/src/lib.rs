//! Keys and values that calls and commands keep: mod_hash in memory, mod_db in a database.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod apps;
pub mod commands;
pub mod db;
mod declared;
pub mod hash;
pub mod limit_apps;
pub mod limit_commands;
pub mod limiting;
pub mod limits;

use crate::contract::{Module, Plain, Provides};

/// Keys, values and counts of a switch.
#[derive(Default)]
pub struct Stores {
    /// `db`, `group` and the `db` backend of `limit`.
    pub db: db::Db,
    pub hash: hash::Hash,
    /// The `hash` backend of `limit`.
    pub limits: limits::Limits,
    /// Limits that are being given back in the database.
    pub limit_releases: limiting::Releases,
}

const DB_LINES: &str = "db insert\ndb delete\ndb select\ndb exists\ndb count\ndb list\n\
group insert\ngroup delete\ngroup call";

const HASH_LINES: &str = "hash insert\nhash delete\nhash select\n\
hash_remote list\nhash_remote kill\nhash_remote rescan";

pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_db",
        Provides { names: &[("limit", "db")], completions: DB_LINES, ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_hash",
        Provides {
            applications: &[apps::APPS, limit_apps::APPS],
            commands: &[commands::APIS, limit_commands::APIS],
            observers: &[&limiting::Observer],
            names: &[("limit", "hash")],
            completions: HASH_LINES,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            ..Provides::NOTHING
        },
    ),
];
