//! Programs of the machine: `system`, `bg_system`, `spawn`, `spawn_stream`.
//!
//! They run with the switch's rights, for clients that may send commands from this machine; `SECURITY.md` says how to take
//! that away, and `allow-host-commands` gives it to clients on others.

use base::{foreign, system as shell};

use super::{Api, ApiCall, usage};
use crate::api;

const SYNTAX: &str = "<command>";

/// The family.
pub const APIS: &[Api] = &[
    api!("bg_spawn", "mod_commands", SYNTAX, "Execute a spawn command in the background", bg_spawn).shell(),
    api!(
        "bg_system",
        "mod_commands",
        SYNTAX,
        "Execute a system command in the background",
        bg_system
    ).shell(),
    api!(
        "spawn",
        "mod_commands",
        SYNTAX,
        "Execute a spawn command without capturing its output",
        spawn
    ).shell(),
    api!("spawn_stream", "mod_commands", SYNTAX, "Execute a spawn command and capture its output", async spawn_stream).shell(),
    api!("system", "mod_commands", SYNTAX, "Execute a system command", async system).shell(),
];

async fn system(call: ApiCall) -> String {
    captured("system", call).await
}

async fn spawn_stream(call: ApiCall) -> String {
    captured("spawn_stream", call).await
}

fn bg_spawn(call: &ApiCall) -> String {
    detached("bg_spawn", call)
}

fn bg_system(call: &ApiCall) -> String {
    detached("bg_system", call)
}

fn spawn(call: &ApiCall) -> String {
    detached("spawn", call)
}

async fn captured(name: &str, call: ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(SYNTAX);
    }
    if let Some(refused) = foreign::refuse(name) {
        return refused;
    }
    match shell::run(&call.args).await {
        Ok(output) => output,
        Err(error) => {
            tracing::error!("system: {}: {error}", call.args);
            String::new()
        }
    }
}

fn detached(name: &str, call: &ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(SYNTAX);
    }
    if let Some(refused) = foreign::refuse(name) {
        return refused;
    }
    let command = call.args.clone();
    foreign::spawn(async move {
        if let Err(error) = shell::run(&command).await {
            tracing::error!("system: {command}: {error}");
        }
    });
    "+OK\n".into()
}
