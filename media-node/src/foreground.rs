//! The console of a switch that runs in the foreground: commands typed on its own terminal, or written to it by
//! another program.
//!
//! The line editor is `fs_cli`'s. Log lines are printed above the line being typed; answers go the same
//! way. From a pipe or a file lines are read as they are, and answers go to standard output between the log's lines; the
//! end of the input ends the console, not the switch. There is no console where the terminal belongs
//! to another process group (`ferroswitch &`), which reading from it would stop, or standard input is anything else
//! (`/dev/null`, a supervisor's socket).

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use clap::Parser;
use esl_server::fs_cli::{
    Completion, Input, Keyboard, Options, Printer, Settings, Typed, read_keyboard,
};
use nix::sys::signal::{Signal, raise};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{getpgrp, tcgetpgrp};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use switch_core::switch::{Stop, Switch};
use switch_log::LogControl;

/// Where typed lines are kept, in the home directory.
const HISTORY_FILE: &str = ".ferroswitch_history";
/// How a coloured log line ends.
const LATE_RESET: &str = "\n\x1b[0m";
const HINT: &str = "Type ... or shutdown to end the switch.\n";
const HELP: &str = "\
Every line is an API command: try status, show channels, sofia status, help.
  console loglevel <level>  what is shown here: console alert crit err warning notice info debug
  ... or shutdown           ends the switch (also /quit, /exit, /bye, and Ctrl-C)
F1 to F12 type the commands that fs_cli's function keys type; Tab completes.
";

/// The console of this process.
pub struct Foreground {
    serving: JoinHandle<()>,
    log: LogControl,
    source: Source,
}

/// Where commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A terminal that this process is in front of.
    Terminal,
    /// A pipe or a file.
    Lines,
}

impl Source {
    fn of_this_process() -> Option<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        if input.is_terminal() {
            let in_front = || tcgetpgrp(input.as_fd()).is_ok_and(|front| front == getpgrp());
            return (output.is_terminal() && in_front()).then_some(Self::Terminal);
        }
        let kind = SFlag::from_bits_truncate(fstat(input.as_fd()).ok()?.st_mode) & SFlag::S_IFMT;
        (kind == SFlag::S_IFIFO || kind == SFlag::S_IFREG).then_some(Self::Lines)
    }
}

impl Foreground {
    /// Opens the console, if this process has a terminal of its own, or a pipe or a file for its input.
    #[must_use]
    pub fn open(switch: &Arc<Switch>, log: &LogControl) -> Option<Self> {
        let source = Source::of_this_process()?;
        let arguments: &[&str] = match source {
            Source::Terminal => &["fs_cli"],
            Source::Lines => &["fs_cli", "--batchmode"],
        };
        let options = Options::try_parse_from(arguments).ok()?;
        let settings = Settings::new(options, None, std::env::var_os("NO_COLOR").is_none()).ok()?;
        let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(HISTORY_FILE));
        let mut keyboard = read_keyboard(&settings, history);
        let print: Printer = std::mem::replace(&mut keyboard.print, Box::new(|_| {}));
        let print = Arc::new(Mutex::new(print));
        if source == Source::Terminal {
            log.show_on(Box::new(Screen { print: Arc::clone(&print), line: Vec::new() }));
        }
        // What was logged before stands above the first prompt.
        log.flush();
        let console = Console { switch: Arc::clone(switch), print, source, ends: 0 };
        Some(Self { serving: tokio::spawn(console.serve(keyboard)), log: log.clone(), source })
    }

    /// Gives the terminal back; what is logged from now on is printed plainly.
    pub async fn close(self) {
        self.log.flush();
        if self.source == Source::Terminal {
            self.log.show_on(Box::new(io::stdout()));
        }
        self.serving.abort();
        // The keyboard is dropped, and the terminal as it was, when the task has ended.
        let _cancelled = self.serving.await;
        if self.source == Source::Terminal {
            let _ = io::stdout().write_all(b"\n");
        }
    }
}

/// The log's way to the terminal: whole lines, above the one being typed.
struct Screen {
    print: Arc<Mutex<Printer>>,
    line: Vec<u8>,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            let mut text = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            // The colour ends after the line's end, where the editor would begin one more line.
            if let Some(line) = text.strip_suffix(LATE_RESET) {
                text = format!("{line}\x1b[0m\n");
            }
            (self.print.lock())(text);
        }
        Ok(())
    }
}

struct Console {
    switch: Arc<Switch>,
    print: Arc<Mutex<Printer>>,
    source: Source,
    /// How often in a row the keyboard has ended: a terminal that is gone ends for good.
    ends: u32,
}

impl Console {
    async fn serve(mut self, mut keyboard: Keyboard) {
        self.ask(&keyboard);
        // Lines that were piped after `shutdown` are not run in a switch that ends.
        let switch = Arc::clone(&self.switch);
        let mut end = pin!(switch.stopped());
        while let Some(input) = tokio::select! {
            biased;
            _ = &mut end => None,
            input = keyboard.inputs.recv() => input,
        } {
            match input {
                Input::Line(line) => {
                    self.ends = 0;
                    if !self.handle(&line).await {
                        return;
                    }
                }
                // As where the terminal itself turns the key into a signal.
                Input::Interrupt => drop(raise(Signal::SIGINT)),
                Input::End if self.ends == 0 && self.source == Source::Terminal => {
                    self.ends += 1;
                    self.say(HINT);
                }
                Input::End => return,
                Input::Complete(question, answer) => {
                    let text = self.run(&question).await.unwrap_or_default();
                    let listing = Completion::parse(&text).listing;
                    // The editor waits for the answer, and prints nothing before it has it.
                    let _ = answer.try_send(text);
                    if !listing.is_empty() {
                        self.say(&listing);
                    }
                    continue;
                }
            }
            self.ask(&keyboard);
        }
    }

    /// Whether the console goes on.
    async fn handle(&self, line: &str) -> bool {
        match Typed::parse(line) {
            Typed::Empty => {}
            Typed::Exit => {
                self.switch.stop(Stop::Now);
                return false;
            }
            Typed::Help => self.say(HELP),
            Typed::Api(line) | Typed::ConsoleLevel { line, .. } => self.commands(&line).await,
            Typed::Raw(command) if command.starts_with("log ") => {
                let level = command.trim_start_matches("log ").trim();
                self.commands(&format!("console loglevel {level}")).await;
            }
            Typed::Raw(_)
            | Typed::UuidFilter(_)
            | Typed::LogFilter(_)
            | Typed::Debug(_)
            | Typed::Unknown(_) => self.say(&format!("Unknown Command: {line}\n")),
        }
        true
    }

    /// Commands separated by `;;`, aliases filled in.
    async fn commands(&self, line: &str) {
        for line in line.split(";;").map(str::trim).filter(|line| !line.is_empty()) {
            let expanded = self.switch.stores.console.expand(line);
            match self.run(expanded.as_deref().unwrap_or(line)).await {
                Some(output) => self.say(&output),
                None => {
                    let word = line.split(' ').next().unwrap_or_default();
                    self.say(&format!("Unknown Command: {word}\n"));
                }
            }
        }
    }

    async fn run(&self, line: &str) -> Option<String> {
        let (command, args) = line.split_once(' ').unwrap_or((line, ""));
        self.switch.run_api_at(command, args.trim_start(), None, true).await
    }

    fn say(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        (self.print.lock())(format!("{text}{end}"));
    }

    fn ask(&self, keyboard: &Keyboard) {
        let prompt = format!("freeswitch@{}> ", self.switch.name());
        // Fails only when the keyboard has ended, which is told separately.
        let _ = keyboard.prompts.send((prompt, String::new()));
    }
}
