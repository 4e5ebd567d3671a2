//! Engines that hand speech over as they make it: the standard output of a program, the body of a service's answer.

use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use http_client::Body;
use media::wav::Incoming;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// Octets of a program's stderr that are kept.
const STDERR_KEPT: u64 = 4096;
/// Octets read at once.
const PIECE: usize = 8192;

/// Speech on its way.
pub(crate) struct SpeechStream {
    source: Source,
    /// What reads its octets.
    pub(crate) reader: Incoming,
}

enum Source {
    Program(Box<Program>),
    Service(Box<Body>),
}

impl SpeechStream {
    /// A program's standard output. `text` goes to its standard input.
    pub(crate) fn program(
        command: Command,
        text: Option<String>,
        reader: Incoming,
    ) -> Result<Self, String> {
        Ok(Self { source: Source::Program(Box::new(Program::start(command, text)?)), reader })
    }

    /// A service's answer.
    pub(crate) fn service(body: Body, reader: Incoming) -> Self {
        Self { source: Source::Service(Box::new(body)), reader }
    }

    /// The next octets; `None` at the end. A program that fails is an error then.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match &mut self.source {
            Source::Program(program) => program.next().await,
            Source::Service(body) => body.next().await.map_err(|error| error.to_string()),
        }
    }
}

/// A running program. Dropping it ends it, with all it has started.
struct Program {
    name: String,
    child: Child,
    out: ChildStdout,
    stderr: JoinHandle<String>,
}

impl Program {
    fn start(mut command: Command, text: Option<String>) -> Result<Self, String> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let failed = |error: std::io::Error| format!("{name}: {error}");
        command.stdin(if text.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (Some(out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(format!("{name}: no pipes"));
        };
        if let (Some(text), Some(mut to)) = (text, child.stdin.take()) {
            tokio::spawn(async move {
                let _it_may_have_ended = to.write_all(text.as_bytes()).await;
            });
        }
        let stderr = tokio::spawn(async move {
            let mut said = Vec::new();
            let _as_far_as_it_goes = (&mut err).take(STDERR_KEPT).read_to_end(&mut said).await;
            // One that says much more is not held up by it.
            let _not_kept = tokio::io::copy(&mut err, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Self { name, child, out, stderr })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let mut piece = BytesMut::with_capacity(PIECE);
        let name = &self.name;
        let failed = |error: std::io::Error| format!("{name}: {error}");
        if self.out.read_buf(&mut piece).await.map_err(failed)? > 0 {
            return Ok(Some(piece.freeze()));
        }
        let status = self.child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(None);
        }
        let said = (&mut self.stderr).await.unwrap_or_default();
        let last: String =
            said.trim().lines().last().unwrap_or_default().chars().take(200).collect();
        Err(format!("{name}: {status}: {last}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that left its group may hold the pipe open.
        self.stderr.abort();
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            let _it_may_have_ended = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, text: Option<&str>) -> SpeechStream {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        SpeechStream::program(command, text.map(str::to_owned), Incoming::raw(8000)).unwrap()
    }

    async fn all(mut stream: SpeechStream) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn what_a_program_writes_comes_and_what_it_complains_of_is_told() {
        assert_eq!(all(shell("cat", Some("hello"))).await.unwrap(), b"hello");
        let failed = all(shell("printf xy; echo no such voice >&2; exit 3", None)).await;
        assert!(failed.unwrap_err().contains("no such voice"));
        let loud = all(shell("head -c 300000 /dev/zero >&2; printf ok", None)).await;
        assert_eq!(loud.unwrap(), b"ok", "stderr holds nothing up");
    }

    #[tokio::test]
    async fn a_program_that_is_not_wanted_ends_with_all_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let mut stream = shell(
            &format!("sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 60' & wait", mark.display()),
            None,
        );
        let pid = loop {
            if let Ok(text) = std::fs::read_to_string(&mark) {
                break text.trim().to_owned();
            }
            let _nothing_comes =
                tokio::time::timeout(std::time::Duration::from_millis(10), stream.next()).await;
        };
        drop(stream);
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        for _ in 0..1000 {
            if gone() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("process {pid} goes on");
    }
}
