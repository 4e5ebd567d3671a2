//! Command lines run by the machine's shell.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// A program that runs longer is ended.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Output beyond this is not kept.
const MAX_OUTPUT: u64 = 1 << 20;

fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).kill_on_drop(true);
    shell
}

/// Runs a command line and returns what it wrote, at most `MAX_OUTPUT` bytes of it. Nothing runs on behalf of an Event
/// Socket client that must not reach this machine.
pub async fn run(command: &str) -> std::io::Result<String> {
    if let Some(client) = crate::foreign::barred() {
        let why = format!("refused to the event socket client {client}");
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, why));
    }
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

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn output_is_returned() {
        assert_eq!(super::run("printf 'a b'").await.unwrap_or_default(), "a b");
        assert_eq!(super::run("exit 3").await.unwrap_or_default(), "");
    }
}
