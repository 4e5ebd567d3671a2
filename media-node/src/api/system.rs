//! Programs of the machine: `system`, `bg_system`, `spawn`, `spawn_stream`.
//!
//! They run with the switch's rights, for whoever may send commands; `SECURITY.md` says how to take that away.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

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

/// A program that runs longer is ended.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Output beyond this is not kept.
const MAX_OUTPUT: u64 = 1 << 20;

fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).kill_on_drop(true);
    shell
}

/// Runs a command line and returns what it wrote, at most `MAX_OUTPUT` bytes of it.
pub async fn run(command: &str) -> std::io::Result<String> {
    let mut child = shell(command).stdout(Stdio::piped()).spawn()?;
    let mut output = Vec::new();
    let finish = async {
        if let Some(stdout) = child.stdout.take() {
            let mut limited = stdout.take(MAX_OUTPUT);
            limited.read_to_end(&mut output).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(TIMEOUT, finish).await {
        Ok(status) => {
            let _code = status?;
        }
        Err(_) => tracing::warn!("system: {command}: ended after {} s", TIMEOUT.as_secs()),
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

async fn captured(call: ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage(SYNTAX);
    }
    match run(&call.args).await {
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
        if let Err(error) = run(&command).await {
            tracing::error!("system: {command}: {error}");
        }
    });
    "+OK\n".into()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn output_is_returned() {
        assert_eq!(super::run("printf 'a b'").await.unwrap_or_default(), "a b");
        assert_eq!(super::run("exit 3").await.unwrap_or_default(), "");
    }
}
