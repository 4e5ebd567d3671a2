//! Programs of the machine: `system`, `bg_system`, `spawn`, `spawn_stream`.
//!
//! They run with the switch's rights, for whoever may send commands; `SECURITY.md` says how to take that away.

use base::system;

use super::{Api, ApiCall, usage};
use crate::api;

const SYNTAX: &str = "<command>";

/// The family.
pub const APIS: &[Api] = &[
    api!("bg_spawn", "mod_commands", SYNTAX, "Execute a spawn command in the background", detached),
    api!(
        "bg_system",
        "mod_commands",
        SYNTAX,
        "Execute a system command in the background",
        detached
    ),
    api!(
        "spawn",
        "mod_commands",
        SYNTAX,
        "Execute a spawn command without capturing its output",
        detached
    ),
    api!("spawn_stream", "mod_commands", SYNTAX, "Execute a spawn command and capture its output", async captured),
    api!("system", "mod_commands", SYNTAX, "Execute a system command", async captured),
];

async fn captured(call: ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(SYNTAX);
    }
    match system::run(&call.args).await {
        Ok(output) => output,
        Err(error) => {
            tracing::error!("system: {}: {error}", call.args);
            String::new()
        }
    }
}

fn detached(call: &ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(SYNTAX);
    }
    let command = call.args.clone();
    tokio::spawn(async move {
        if let Err(error) = system::run(&command).await {
            tracing::error!("system: {command}: {error}");
        }
    });
    "+OK\n".into()
}
