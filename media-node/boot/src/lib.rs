//! From `exec` to a running switch, and back: command line, directories, logging, limits, signals.
//!
//! What it is not: it knows neither calls nor configuration. [`main`] prepares a [`Context`] and hands
//! it to the switch's own `run`; nothing here does anything slow (no DNS, no network), because the
//! switch has to answer within a tenth of a second.

#![deny(unsafe_code)]

pub mod arguments;
pub mod cli;
pub mod daemon;
pub mod dirs;
pub mod limits;
pub mod pidfile;
pub mod secret;
pub mod signals;
pub mod sounds;

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, io, panic};

pub use base::dirs::Dirs;
use base::{machine, version};
use esl_server::log::LogHub;
use switch_log as log;
pub use switch_log::{LogControl, LogSettings};

pub use self::arguments::Offline;
pub use self::cli::{Invocation, Options};
pub use self::daemon::Ready;
pub use self::limits::{Identity, IdentityError};
pub use self::signals::{Request, Signals};

/// How long the end waits for blocking tasks.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);
/// How long `-stop` waits beyond the drain time of the switch it stops.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Everything the switch is given to start with.
#[derive(Debug)]
pub struct Context {
    /// Where everything is.
    pub dirs: Dirs,
    /// The command line.
    pub options: Options,
    /// Global variables that exist before any file is read, in order.
    pub globals: Vec<(String, String)>,
    /// Where `log` subscribers read.
    pub log_hub: Arc<LogHub>,
    /// Levels, files and rotation of the log.
    pub log: LogControl,
    /// Requests from outside to end or to rotate.
    pub signals: Signals,
    /// To be taken once the ports are bound: drops root's privileges if `-u` or `-g` says so.
    pub identity: Identity,
    /// To be announced once the Event Socket answers.
    pub ready: Ready,
}

/// Why the switch cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    message: String,
    exit: u8,
}

impl Fatal {
    /// Ends with status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 1 }
    }

    /// A configuration that cannot be used at all: the reference's words and its status 255.
    pub fn config(error: impl std::fmt::Display) -> Self {
        Self { message: format!("Cannot Initialize [{error}]"), exit: cli::EXIT_REFUSED }
    }
}

/// The whole program: reads the command line and does what it says, with `run` as the switch and `offline` for what
/// needs none.
pub fn main<F, R>(run: F, offline: fn(&Offline, &cli::DirOptions) -> ExitCode) -> ExitCode
where
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), Fatal>>,
{
    let env_options = env::var(cli::OPTIONS_ENV).ok();
    let invocation = match Options::parse(env::args_os(), env_options.as_deref()) {
        Ok(invocation) => invocation,
        Err(usage) if usage.to_stdout => {
            print(&format!("{}\n", usage.message));
            return ExitCode::from(usage.exit);
        }
        Err(usage) => return complain(&usage, usage.exit),
    };
    match invocation {
        Invocation::Run(options) => start(*options, run),
        Invocation::Stop(options) => stop(&options),
        Invocation::Sounds(args, options) => sounds::command(&args, &options.dirs),
        Invocation::Check(args, options) => offline(&Offline::Check(args), &options.dirs),
        Invocation::Audit(args, options) => offline(&Offline::Audit(args), &options.dirs),
        Invocation::Explain(args, options) => {
            offline(&Offline::Explain(args.into()), &options.dirs)
        }
        Invocation::Dialplan(command, options) => {
            offline(&Offline::Dialplan(command), &options.dirs)
        }
        Invocation::Records(command, options) => offline(&Offline::Records(command), &options.dirs),
        Invocation::Reference(page) => {
            offline(&Offline::Reference(page), &cli::DirOptions::default())
        }
        Invocation::StreamTest(args) => {
            offline(&Offline::StreamTest(args), &cli::DirOptions::default())
        }
        Invocation::Cli(args) => become_fs_cli(&args),
        Invocation::Version => {
            print(&version::text());
            ExitCode::SUCCESS
        }
    }
}

fn start<F, R>(options: Options, run: F) -> ExitCode
where
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), Fatal>>,
{
    if options.detach() && !daemon::is_detached() {
        return daemon::launch()
            .unwrap_or_else(|error| complain(&format!("Cannot go to the background: {error}"), 1));
    }
    match run_here(options, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => complain(&fatal, fatal.exit),
    }
}

fn run_here<F, R>(options: Options, run: F) -> Result<(), Fatal>
where
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), Fatal>>,
{
    if daemon::is_detached() {
        daemon::leave_session();
    }
    let identity = Identity::find(options.user.as_deref(), options.group.as_deref())
        .map_err(|error| Fatal::new(error.to_string()))?;
    let mut dirs = dirs::resolve(&options.dirs)
        .map_err(|error| Fatal::new(format!("The working directory is gone: {error}")))?;
    if !dirs.root_path().exists() {
        return Err(no_configuration(&options, &dirs));
    }
    let notes = dirs::prepare(&mut dirs, &options.dirs, &dirs::user_state());
    let log_hub = LogHub::new();
    let log = log::start(Arc::clone(&log_hub), log_flags(&options)?)
        .map_err(|error| Fatal::new(format!("Cannot start logging: {error}")))?;
    let pid_file = pidfile::PidFile::take(&dirs.run_dir);
    if let Err(running @ pidfile::PidFileError::Running { .. }) = &pid_file {
        return Err(Fatal::new(running.to_string()));
    }
    say_beginnings(&options, &dirs, &notes);
    if let Err(error) = &pid_file {
        tracing::warn!("{error}; -stop will not find this switch");
    }
    limit_resources(&options);
    let globals = globals(&dirs);
    own_state(&dirs, &identity);
    log_panics();
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let signals = Signals::catch()
            .map_err(|error| Fatal::new(format!("Cannot catch signals: {error}")))?;
        let ready = Ready::new(log.clone());
        let (log_hub, log) = (Arc::clone(&log_hub), log.clone());
        run(Context { dirs, options, globals, log_hub, log, signals, identity, ready }).await
    });
    // A blocking task that is stuck on a dead disk or name server must not keep the process alive.
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    log.flush();
    drop(pid_file);
    if ended.is_ok() && RESTART.load(Ordering::Relaxed) {
        return Err(start_again());
    }
    ended
}

/// Asks that the program start again, in the same process, once the switch has ended in peace
/// (`fsctl shutdown restart`).
pub fn restart_after_end() {
    RESTART.store(true, Ordering::Relaxed);
}

static RESTART: AtomicBool = AtomicBool::new(false);

/// Becomes the program anew; returns only when that fails.
fn start_again() -> Fatal {
    let error = match env::current_exe() {
        Ok(program) => Command::new(program).args(env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Fatal::new(format!("Cannot start again: {error}"))
}

/// A bug in one call's task ends that call; here it is put on record, wherever standard error leads.
fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
        let what = info.payload_as_str().unwrap_or("no message");
        switch_log::log_crit!("A task died of a bug at {place}: {what}. Please report this line");
        before(info);
    }));
}

/// The reference's words for a root file that cannot be read, and what to do about it.
fn no_configuration(options: &Options, dirs: &Dirs) -> Fatal {
    let place = dirs.conf_dir.display();
    let file = &dirs.root_file;
    let named = options.dirs.conf.is_some() || options.dirs.base.is_some();
    let advice = if named {
        format!("there is no {file} in {place}")
    } else {
        format!(
            "there is no {file} in {place}, and none in /etc/ferroswitch, /etc/freeswitch or \
             /usr/local/freeswitch; say where with -conf DIR"
        )
    };
    Fatal::config(format!("Cannot Open log directory or XML Root!] [{advice}"))
}

fn log_flags(options: &Options) -> Result<log::Flags, Fatal> {
    let level = match options.log_level.as_deref() {
        None => None,
        Some(word) => Some(log::parse_level(word).ok_or_else(|| {
            Fatal::new(format!("-loglevel {word}: not a level; say debug, info, notice, ..."))
        })?),
    };
    Ok(log::Flags { leaving: daemon::is_detached(), json: options.log_json, level })
}

fn say_beginnings(options: &Options, dirs: &Dirs, notes: &[String]) {
    switch_log::log_notice!(
        "Ferroswitch {} ({}) starting with {}",
        version::OWN,
        version::COMPATIBLE_SHORT,
        dirs.root_path().display()
    );
    for note in notes {
        tracing::warn!("{note}");
    }
    if !options.ignored.is_empty() {
        tracing::debug!("Options without effect here: {}", options.ignored.join(" "));
    }
}

fn limit_resources(options: &Options) {
    match limits::raise_open_files() {
        Ok(limit) => {
            if let Some(warning) = limits::open_files_warning(limit) {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => tracing::warn!("The limit on open files is unknown: {error}"),
    }
    if options.core_dumps
        && let Err(error) = limits::core_dumps(true)
    {
        tracing::warn!("Core dumps are not fully allowed: {error}");
    }
}

/// The machine, the directories, and the password this installation made for itself.
fn globals(dirs: &Dirs) -> Vec<(String, String)> {
    let known = machine::globals().into_iter().chain(dirs.globals());
    let mut globals: Vec<(String, String)> =
        known.map(|(name, value)| (name.to_owned(), value)).collect();
    match secret::installation_password(&dirs.db_dir) {
        Ok(made) => {
            if made.fresh {
                switch_log::log_notice!(
                    "Made a password for $${{generated_password}}; it is in {}",
                    made.path.display()
                );
            }
            globals.push((secret::PASSWORD_VARIABLE.to_owned(), made.password));
        }
        Err(error) => tracing::error!(
            "No password can be kept in {}: {error}; users with $${{generated_password}} cannot \
             register",
            dirs.db_dir.display()
        ),
    }
    globals
}

/// Gives the state directories to the user the switch will run as.
fn own_state(dirs: &Dirs, identity: &Identity) {
    let Some((uid, gid)) = identity.owner() else { return };
    let state = [&dirs.log_dir, &dirs.run_dir, &dirs.db_dir, &dirs.recordings_dir];
    let more = [&dirs.storage_dir, &dirs.cache_dir];
    let password = dirs.db_dir.join(secret::PASSWORD_FILE);
    for path in state.into_iter().chain(more).chain([&password]) {
        if let Err(error) = give(path, uid, gid) {
            tracing::warn!("{}: cannot be given to the user of -u: {error}", path.display());
        }
    }
}

/// A link is followed only if root made it: one made by the user of an earlier run may lead to files that are not his.
fn give(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown, lchown};
    let entry = std::fs::symlink_metadata(path)?;
    if entry.is_symlink() && entry.uid() != 0 {
        return Err(io::Error::other("a link that root has not made"));
    }
    if entry.is_symlink() { chown(path, uid, gid) } else { lchown(path, uid, gid) }
}

fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    base::memory::bound_arenas();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("switch")
        .build()
        .map_err(|error| Fatal::new(format!("Cannot start the runtime: {error}")))
}

/// `ferroswitch cli`: the `fs_cli` beside this binary, or the one on the path.
fn become_fs_cli(args: &[OsString]) -> ExitCode {
    let beside = env::current_exe().ok().map(|exe| exe.with_file_name("fs_cli"));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| "fs_cli".into());
    let error = Command::new(&program).args(args).exec();
    complain(&format!("{}: {error}", program.display()), cli::EXIT_REFUSED)
}

fn stop(options: &Options) -> ExitCode {
    let dirs = match dirs::resolve(&options.dirs) {
        Ok(dirs) => dirs,
        Err(error) => return complain(&error, cli::EXIT_REFUSED),
    };
    // The switch falls back to the user's own directory when it may not write the first.
    let fallback = dirs::user_state().join("run");
    let has_pid_file = |dir: &Path| dir.join(pidfile::PID_FILE).exists();
    let run_dir = if has_pid_file(&dirs.run_dir) || !has_pid_file(&fallback) {
        dirs.run_dir
    } else {
        fallback
    };
    let patience = options.drain().unwrap_or_default().saturating_add(STOP_PATIENCE);
    match pidfile::stop(&run_dir, patience, |pid| eprintln!("Killing: {pid}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, cli::EXIT_REFUSED),
    }
}

/// Prints to standard output; a reader that went away is not an error.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints a line to standard error; the status to end with.
pub fn complain(error: &dyn std::fmt::Display, exit: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(exit)
}
