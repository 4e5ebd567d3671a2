//! Logging: `tracing` events become lines in FreeSWITCH's format, on the console, in log files, and on
//! the hub that `log` subscribers and `fs_cli` read.
//!
//! Code logs with `tracing`'s macros, or with [`log_notice!`](crate::log_notice) and its sisters for
//! the levels `tracing` lacks. `ERROR` is `ERR`, `WARN` is `WARNING`, `INFO` and `DEBUG` are
//! themselves, `TRACE` is never written. A line about a call carries `uuid = %...`.

pub mod calls;
mod console;
mod cpu;
mod file;
mod level;
mod line;
mod macros;
mod settings;
mod subscriber;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dialplan_xml::Tree;
use esl_server::log::{Level, LogHub};
use jiff::tz::TimeZone;

pub use self::cpu::idle_cpu;
pub use self::file::{DEFAULT_ROLLOVER, FileProfile};
pub use self::level::{LevelMask, Mappings, level_or_debug, log_line, parse_level};
pub use self::settings::{CONSOLE, ConsoleSettings, LOGFILE, LogSettings};
use self::subscriber::Lines;
use self::writer::{Order, Queue};

/// How long [`LogControl::flush`] waits for the writer.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// The handle on logging. Cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    queue: Arc<Queue>,
    core_level: Arc<AtomicU8>,
    console_level: Arc<AtomicU8>,
    /// They outrank the files.
    flags: Flags,
}

/// What the command line says about logging.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// On its way to the background: warnings go to standard error until the switch is ready, and
    /// nothing goes to standard output.
    pub leaving: bool,
    /// Console lines as JSON.
    pub json: bool,
    /// The console's level, whatever `console.conf` says.
    pub level: Option<Level>,
}

/// Starts logging for the whole process: lines go to the console at once and to files when
/// [`LogControl::apply`] brings the configuration.
///
/// # Errors
/// No thread, or the process already has a `tracing` subscriber.
pub fn start(hub: Arc<LogHub>, flags: Flags) -> io::Result<LogControl> {
    let level = if flags.leaving { Some(Level::Warning) } else { flags.level };
    let early = LogSettings::early(level, flags.json);
    let queue = Queue::new();
    let console = early.console.as_ref().and_then(|console| console.level);
    let control = LogControl {
        queue: Arc::clone(&queue),
        core_level: Arc::new(AtomicU8::new(Level::Debug as u8)),
        console_level: Arc::new(AtomicU8::new(number(console))),
        flags,
    };
    let zone = TimeZone::system();
    let core_level = Arc::clone(&control.core_level);
    tracing::subscriber::set_global_default(Lines {
        queue: Arc::clone(&queue),
        hub,
        core_level,
        zone: zone.clone(),
    })
    .map_err(io::Error::other)?;
    writer::start(queue, zone, early, flags.leaving)?;
    Ok(CONTROL.get_or_init(|| control).clone())
}

static CONTROL: OnceLock<LogControl> = OnceLock::new();

/// The process's log control, for commands that have no other way to it (`console loglevel`, `fsctl
/// loglevel`, `fsctl send_sighup`); `None` before [`start`], as in unit tests.
pub fn control() -> Option<&'static LogControl> {
    CONTROL.get()
}

impl LogControl {
    /// Takes `console.conf` and `logfile.conf` of a tree into use, naming what is wrong in them. Files
    /// are written only when `mod_logfile` is loaded; the console prints in any case, as in the
    /// reference. Returns where the files are.
    pub fn configure(&self, tree: &Tree, mod_logfile: bool, log_dir: &Path) -> Vec<PathBuf> {
        let console = tree.configuration("console.conf");
        let logfile = tree.configuration("logfile.conf");
        let (mut settings, complaints) = LogSettings::read(console, logfile, log_dir);
        for complaint in complaints {
            tracing::warn!("{complaint}");
        }
        if !mod_logfile {
            settings.files.clear();
        }
        if let Some(console) = &mut settings.console {
            console.json |= self.flags.json;
            console.level = match self.flags {
                Flags { leaving: true, .. } => Some(Level::Warning),
                Flags { level: Some(level), .. } => Some(level),
                _ => console.level,
            };
        }
        let files = settings.files.iter().map(|file| file.path.clone()).collect();
        self.apply(settings);
        files
    }

    /// Takes settings into use. Lines logged before it are written to its files too.
    pub fn apply(&self, settings: LogSettings) {
        let level = settings.console.as_ref().and_then(|console| console.level);
        self.console_level.store(number(level), Ordering::Relaxed);
        self.queue.order(Order::Apply(settings));
    }

    /// The console's level (`console loglevel`); `None` when it prints nothing.
    pub fn console_level(&self) -> Option<Level> {
        Level::from_number(self.console_level.load(Ordering::Relaxed))
    }

    /// Changes the console's level.
    pub fn set_console_level(&self, level: Option<Level>) {
        self.console_level.store(number(level), Ordering::Relaxed);
        self.queue.order(Order::ConsoleLevel(level));
    }

    /// The level above which nothing is logged anywhere (`fsctl loglevel`, `loglevel` of
    /// `switch.conf`).
    pub fn core_level(&self) -> Level {
        Level::from_number(self.core_level.load(Ordering::Relaxed)).unwrap_or(Level::Debug)
    }

    /// Changes the level above which nothing is logged anywhere.
    pub fn set_core_level(&self, level: Level) {
        self.core_level.store(level as u8, Ordering::Relaxed);
    }

    /// SIGHUP, `fsctl send_sighup`: rotates or reopens the files.
    pub fn hangup(&self) {
        self.queue.order(Order::Hangup);
    }

    /// Stops printing on the console, for a process that leaves its terminal.
    pub fn detach(&self) {
        self.queue.order(Order::Detach);
    }

    /// Prints the console's lines there instead: above a line that is being typed.
    pub fn show_on(&self, screen: Box<dyn io::Write + Send>) {
        self.queue.order(Order::Screen(screen));
    }

    /// Waits (blocking, two seconds at most) until everything logged so far is written. For the end
    /// of the process.
    pub fn flush(&self) {
        let (done, written) = mpsc::channel();
        self.queue.order(Order::Flush(done));
        // A writer stuck on a dead terminal must not keep the process alive.
        let _ = written.recv_timeout(FLUSH_PATIENCE);
    }

    /// Lines lost since the start because the writer could not keep up.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").field("core_level", &self.core_level()).finish_non_exhaustive()
    }
}

/// No level is a number no level has.
fn number(level: Option<Level>) -> u8 {
    level.map_or(u8::MAX, |level| level as u8)
}

#[cfg(test)]
fn test_line(level: Level, uuid: &str, text: &str) -> esl_server::log::LogLine {
    esl_server::log::LogLine {
        level,
        text_channel: esl_server::log::TextChannel::Log,
        file: "test.rs".to_owned(),
        func: "tests".to_owned(),
        line: 7,
        user_data: uuid.to_owned(),
        text: format!("{text}\n"),
    }
}
