//! The engines: programs that write a WAV file, or the same to their standard output.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use media::wav::Incoming;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use switch_core::BoxFuture;
use switch_core::switch::Switch;
use switch_core::xml;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stream::SpeechStream;

/// How long a program may take that gives nothing before all is done.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an engine that speaks piece by piece may be silent, where its configuration does not say.
pub(crate) const STALL_TIMEOUT: Duration = TIMEOUT;
/// Voices of flite, and the names of them that it knows itself.
const VOICES: [(&str, &str); 5] =
    [("awb", "awb"), ("kal", "kal16"), ("rms", "rms"), ("slt", "slt"), ("kal16", "kal16")];

/// What is to be said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Utterance<'a> {
    pub(crate) voice: &'a str,
    pub(crate) text: &'a str,
    /// Samples per second wanted; a file of another rate is converted when it is played.
    pub(crate) rate: u32,
}

/// What makes speech.
pub(crate) trait Engine: Send + Sync {
    /// Everything the speech depends on, for its file's name.
    fn identity(&self) -> String;

    /// Whether it gives its speech piece by piece ([`Engine::speak`]); else it writes files ([`Engine::make`]).
    fn speaks(&self) -> bool {
        false
    }

    /// Whether it works elsewhere, not on this machine.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// How long it may be silent before it is given up.
    fn stall_timeout(&self) -> Duration {
        STALL_TIMEOUT
    }

    /// Begins to speak.
    fn speak<'a>(
        &'a self,
        _order: &'a Utterance<'a>,
    ) -> BoxFuture<'a, Result<SpeechStream, String>> {
        Box::pin(std::future::ready(Err("this engine writes files".to_owned())))
    }

    /// Writes the file.
    fn make<'a>(
        &'a self,
        _order: &'a Utterance<'a>,
        _file: &'a Path,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Err("this engine writes no files".to_owned())))
    }

    /// The name of the file: the same words by the same voice have the same.
    fn key(&self, utterance: &Utterance<'_>) -> String {
        let mut hash = Sha256::new();
        for part in
            [&*self.identity(), utterance.voice, &utterance.rate.to_string(), utterance.text]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// mod_flite: the program `flite`.
pub(crate) struct Flite;

impl Engine for Flite {
    fn identity(&self) -> String {
        "flite".to_owned()
    }

    fn make<'a>(
        &'a self,
        utterance: &'a Utterance<'a>,
        file: &'a Path,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let voice = VOICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(utterance.voice));
            let Some((_, voice)) = voice else {
                return Err("Valid voice names are awb, rms, slt or kal.".to_owned());
            };
            let mut command = Command::new("flite");
            command.arg("-voice").arg(voice).arg("-t").arg(utterance.text).arg("-o").arg(file);
            run(command).await
        })
    }
}

/// mod_tts_commandline: a line for the shell.
#[derive(Debug)]
pub(crate) struct CommandLine {
    command: String,
    /// Samples per second where its standard output is bare samples, not a WAV file.
    raw: Option<u32>,
    stall_timeout: Duration,
}

#[derive(Default)]
struct InForce(Mutex<Option<Arc<CommandLine>>>);

impl CommandLine {
    /// The engine with that line.
    pub(crate) fn new(command: &str) -> Self {
        Self { command: command.to_owned(), raw: None, stall_timeout: STALL_TIMEOUT }
    }

    /// The same, whose standard output is samples at that rate.
    pub(crate) fn with_raw(self, raw: Option<u32>) -> Self {
        Self { raw, ..self }
    }

    /// The same, which may be silent for so long.
    pub(crate) fn with_timeout(self, stall_timeout: Duration) -> Self {
        Self { stall_timeout, ..self }
    }

    /// Takes `tts_commandline.conf` into use.
    pub(crate) async fn configure(switch: &Arc<Switch>) {
        let read = |node: Option<dialplan_xml::Node<'_>>| {
            let settings = dialplan_xml::config::settings(node);
            let found = settings.iter().find(|param| &*param.name == "command");
            found.map(|param| param.value.to_string()).unwrap_or_default()
        };
        let read = xml::read_configuration(switch, "tts_commandline.conf", None, read).await;
        let Ok(command) = read else { return };
        if command.is_empty() {
            tracing::error!("No command set, please edit tts_commandline.conf");
        }
        *switch.module::<InForce>().0.lock() = Some(Arc::new(Self::new(&command)));
    }

    /// The engine in force.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        let state = switch.module::<InForce>();
        let mut set = state.0.lock();
        Arc::clone(set.get_or_insert_with(|| Arc::new(Self::new(""))))
    }

    /// The line for one text, each value quoted as one word.
    fn line(&self, utterance: &Utterance<'_>, file: &Path) -> String {
        let rate = utterance.rate.to_string();
        let values = [
            ("${text}", quoted(utterance.text)),
            ("${voice}", quoted(utterance.voice)),
            ("${rate}", rate),
            ("${file}", quoted(&file.to_string_lossy())),
        ];
        // In one pass: what a text holds is no name of another value.
        let (mut out, mut rest) = (String::new(), self.command.as_str());
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let found = values.iter().find(|(name, _)| rest.starts_with(name));
            let (name, value) = found.map_or(("${", "${"), |(name, value)| (*name, value.as_str()));
            out.push_str(value);
            rest = &rest[name.len()..];
        }
        out + rest
    }
}

impl Engine for CommandLine {
    fn identity(&self) -> String {
        format!("tts_commandline {}", self.command)
    }

    fn speaks(&self) -> bool {
        !self.command.is_empty() && !self.command.contains("${file}")
    }

    fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    fn speak<'a>(
        &'a self,
        utterance: &'a Utterance<'a>,
    ) -> BoxFuture<'a, Result<SpeechStream, String>> {
        Box::pin(async move {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(self.line(utterance, Path::new("")));
            SpeechStream::program(command, None, self.raw.map_or_else(Incoming::wav, Incoming::raw))
        })
    }

    fn make<'a>(
        &'a self,
        utterance: &'a Utterance<'a>,
        file: &'a Path,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if self.command.is_empty() {
                return Err("No command set, please edit tts_commandline.conf".to_owned());
            }
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(self.line(utterance, file));
            run(command).await
        })
    }
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| *c != '\0').collect();
    format!("'{}'", plain.replace('\'', "'\\''"))
}

/// Runs a program to its end; its stderr is the reason when it fails.
async fn run(mut command: Command) -> Result<(), String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let running = command.output();
    match timeout(TIMEOUT, running).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(200).collect();
            Err(format!("{name}: {}: {said}", output.status))
        }
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Err(_) => Err(format!("{name} took more than {} s", TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(command: &str) -> CommandLine {
        CommandLine::new(command)
    }

    #[test]
    fn values_are_words_of_the_shell_whatever_they_hold() {
        let utterance = Utterance { voice: "en us", text: "it's ${voice} $(id)", rate: 8000 };
        let line = engine("say ${text} -v ${voice} -r ${rate} -o ${file} ${other}")
            .line(&utterance, Path::new("/tmp/a b.wav"));
        assert_eq!(
            line,
            r"say 'it'\''s ${voice} $(id)' -v 'en us' -r 8000 -o '/tmp/a b.wav' ${other}"
        );
    }

    #[test]
    fn the_same_words_have_the_same_file_and_others_another() {
        let utterance = |voice, text, rate| Utterance { voice, text, rate };
        let key = |command: &str, utterance: Utterance<'_>| engine(command).key(&utterance);
        let one = key("x", utterance("v", "hello", 8000));
        assert_eq!(one, key("x", utterance("v", "hello", 8000)));
        for other in [
            key("y", utterance("v", "hello", 8000)),
            key("x", utterance("w", "hello", 8000)),
            key("x", utterance("v", "hello", 16_000)),
            key("x", utterance("vh", "ello", 8000)),
        ] {
            assert_ne!(one, other);
        }
    }

    #[tokio::test]
    async fn a_program_that_fails_or_is_not_there_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        let utterance = Utterance { voice: "v", text: "hello", rate: 8000 };
        engine("printf %s ${text} > ${file}").make(&utterance, &file).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"hello");
        let failed =
            engine("echo no such voice >&2; exit 3").make(&utterance, &file).await.unwrap_err();
        assert!(failed.contains("no such voice"), "{failed}");
        assert!(engine("").make(&utterance, &file).await.is_err());
        let voice = Utterance { voice: "nobody", ..utterance };
        assert!(Flite.make(&voice, &file).await.unwrap_err().starts_with("Valid voice names"));
    }
}
