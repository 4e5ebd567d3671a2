//! Leaving the terminal.
//!
//! `-nc` starts the same binary again, detached into a session of its own, and waits until that one
//! says it is ready. Nothing is forked after threads exist, a failure to start is still seen on the
//! terminal and in the exit status, and a service manager that waits for the parent (systemd's
//! `Type=forking`) finds the pid file written and the ports bound.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::{env, process};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use switch_log::LogControl;

/// Set for the process in the background.
const MARK: &str = "FERROSWITCH_DETACHED";
/// What it writes when it is ready.
const READY: &str = "ready";

/// Whether this process is the one in the background.
pub fn is_detached() -> bool {
    env::var_os(MARK).is_some()
}

/// Starts the switch in the background and waits for it; the result is this process's exit status.
///
/// # Errors
/// The binary cannot be started again.
pub fn launch() -> io::Result<ExitCode> {
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let ready = child.stdout.take().is_some_and(|out| {
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).is_ok() && line.trim_end() == READY
    });
    if ready {
        eprintln!("{} Backgrounding.", child.id());
        return Ok(ExitCode::SUCCESS);
    }
    // It ended before it was ready, and said why on the terminal.
    let status = child.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// In the background process: leaves the terminal's session. Standard output stays connected to the
/// waiting parent until [`Ready::announce`].
pub(super) fn leave_session() {
    // It fails only for a group leader, which a freshly started child is not.
    let _ = setsid();
}

/// Tells the waiting parent process that the switch is ready.
#[derive(Debug)]
#[must_use = "a parent, or a service manager, waits for the announcement"]
pub struct Ready {
    detached: bool,
    log: LogControl,
}

impl Ready {
    pub(super) fn new(log: LogControl) -> Self {
        Self { detached: is_detached(), log }
    }

    /// Says that the ports answer. In the background this also lets go of the terminal.
    pub fn announce(self) {
        notify_systemd();
        if !self.detached {
            return;
        }
        self.log.detach();
        self.log.flush();
        let mut out = io::stdout();
        let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = dup2_stdin(&null);
            let _ = dup2_stdout(&null);
            let _ = dup2_stderr(&null);
        }
    }
}

/// `Type=notify`: one datagram to the socket systemd names.
fn notify_systemd() {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    let message = format!("READY=1\nMAINPID={}\n", process::id());
    let _ = match path.to_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.send_to_addr(message.as_bytes(), &address))
        }
        None => socket.send_to(message.as_bytes(), path),
    };
}
