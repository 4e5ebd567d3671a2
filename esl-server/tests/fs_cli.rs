//! The console as scripts use it: output and exit codes.
#![cfg(feature = "fs_cli")]

mod support;

use std::process::{Output, Stdio};
use std::sync::Arc;

use esl_server::{Event, EventName, Switch, fire};
use support::{FakeSwitch, PASSWORD, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdout, Command};

fn fs_cli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fs_cli"));
    // No profile and no history of the user who runs the tests.
    command.args(args).env("HOME", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(args: &[&str]) -> Output {
    fs_cli(args).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn one_command_prints_its_output_and_a_newline() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let port = addr.port().to_string();
    let connection = ["-P", &port, "-p", PASSWORD];
    for (command, printed) in [
        ("echo hello", "hello\n"),
        ("nosuch a b", "-ERR nosuch a b Command not found!\n\n"),
        ("echo a;;echo b", "ab\n"),
    ] {
        let output = run(&[&connection[..], &["-x", command]].concat()).await;
        assert_eq!((text(&output.stdout), output.status.code()), (printed, Some(0)), "{command}");
        assert!(output.stderr.is_empty());
    }
    let user = ["-P", &port, "-u", "anna@golden.test", "--password=anna-esl", "--execute=version"];
    let output = run(&user).await;
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("Error:  permission denied!\n", Some(0))
    );
}

#[tokio::test]
async fn failures_have_their_own_exit_codes() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let port = addr.port().to_string();
    let output = run(&["-P", &port, "-p", PASSWORD, "-t", "50", "-x", "stuck"]).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("Request timed out.\n", Some(254)));
    let output = run(&["-P", &port, "-p", "wrong", "-x", "status"]).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("", Some(255)));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("[ERROR] fs_cli")
            && error.ends_with(" main() Error Connecting [Authentication Error]\n"),
        "{error}"
    );
    assert_eq!(run(&["-P", "0"]).await.status.code(), Some(1));
    assert_eq!(run(&["-d", "9"]).await.status.code(), Some(1));
    for (help, status) in [("-h", 0), ("-?", 0), ("--help", 0), ("--no-such-option", 1)] {
        let output = run(&[help]).await;
        assert_eq!(output.status.code(), Some(status), "{help}");
        assert!(text(&output.stdout).contains("fs_cli -x 'show channels'"), "{help}");
    }
}

#[tokio::test]
async fn a_piped_console_runs_lines_and_prints_events() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let port = addr.port().to_string();
    let mut child = fs_cli(&["-b", "-P", &port, "-p", PASSWORD, "-l", "warning"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdin.write_all(b"echo first\n/event plain GENERAL\n/nonsense\n").await.unwrap();
    let seen = read_until(&mut stdout, "Unknown command [nonsense]\n").await;
    assert!(
        seen.contains("+OK log level warning [4]\nfirst\n+OK event listener enabled plain\n"),
        "{seen}"
    );
    let mut event = Event::new(EventName::General);
    event.push("X-Text", "a b");
    fire!(Arc::clone(switch.bus()), event);
    let seen = read_until(&mut stdout, "X-Text: a b\n\n").await;
    assert!(seen.starts_with("RECV EVENT\nEvent-Name: GENERAL\n"), "{seen}");
    stdin.write_all(b"/exit\n").await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

/// Reads until a text has come.
async fn read_until(stdout: &mut ChildStdout, wanted: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains(wanted) {
        let read = tokio::time::timeout(support::PATIENCE, stdout.read(&mut buffer)).await;
        let n = read.unwrap_or_else(|_| panic!("only this came: {seen}")).unwrap();
        assert!(n > 0, "{seen}");
        seen.push_str(text(&buffer[..n]));
    }
    seen
}
