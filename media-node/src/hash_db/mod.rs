//! Keys and values that calls and commands keep: mod_hash in memory, mod_db in a database.

pub mod apps;
pub mod commands;

use crate::contract::{Module, Plain, Provides};

/// The modules.
pub const MODULES: &[&dyn Module] = &[
    &Plain::new("mod_db", Provides { names: &[("limit", "db")], ..Provides::NOTHING }),
    &Plain::new(
        "mod_hash",
        Provides {
            applications: &[apps::APPS],
            commands: &[commands::APIS],
            names: &[("limit", "hash")],
            ..Provides::NOTHING
        },
    ),
];
