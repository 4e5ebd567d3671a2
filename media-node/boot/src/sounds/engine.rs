//! The synthesiser: a process that is given text and answers with a WAV file.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::audio::{Audio, read_wav};

/// How to run espeak-ng.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) program: PathBuf,
    pub(super) voice: String,
    pub(super) words_per_minute: u32,
}

/// Why a prompt could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// The program is not there.
    #[error("{program} is not installed. On Debian and Ubuntu: apt-get install espeak-ng")]
    Missing {
        /// What was looked for.
        program: String,
    },
    /// The program failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// What was run.
        program: String,
        /// Its exit status and what it said.
        said: String,
    },
    /// It answered with something else.
    #[error("{program} answered with something that is no WAV file")]
    NotAudio {
        /// What was run.
        program: String,
    },
    /// The prompt cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Engine {
    /// Speaks a text. The text goes through standard input, so that nothing in it is an option.
    pub(super) fn speak(&self, text: &str) -> Result<Audio, EngineError> {
        let program = self.program.display().to_string();
        let failed = |said: String| EngineError::Failed { program: program.clone(), said };
        let mut child = Command::new(&self.program)
            .args(["--stdin", "--stdout", "-z", "-v", &self.voice])
            .args(["-s", &self.words_per_minute.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => EngineError::Missing { program: program.clone() },
                _ => failed(error.to_string()),
            })?;
        if let Some(mut input) = child.stdin.take() {
            // A prompt is far shorter than a pipe; a program that died is reported below.
            let _ = input.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}, {}", output.status, said.trim())));
        }
        read_wav(&output.stdout).ok_or(EngineError::NotAudio { program })
    }
}
