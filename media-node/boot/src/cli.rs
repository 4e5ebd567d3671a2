//! The command line: FreeSWITCH's single-dash flags, translated and parsed.
//!
//! Init scripts, container entrypoints and habits pass `-nc -nf -conf DIR -log DIR ...`. Long options
//! behind one dash are not what `clap` reads, so a first pass rewrites them to `--nc --conf DIR`, sets
//! aside the flags that mean nothing here, and leaves the rest to `clap`, which also writes `--help`.
//! Nothing after a subcommand's name is touched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use dialplan_xml::PreprocessorCommand;

use super::arguments::{
    AuditArgs, CheckArgs, DialplanCommand, ExplainArgs, RecordsCommand, StreamTestArgs,
};
use super::sounds::SoundsArgs;

/// Exit status of a command line that is wrong in the way the reference also refuses with 255.
pub const EXIT_REFUSED: u8 = 255;

/// Environment variable whose words are appended to the command line, as the reference does.
pub const OPTIONS_ENV: &str = "FREESWITCH_OPTS";

/// What the command line asks for.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// Run the switch.
    Run(Box<Options>),
    /// `-stop`: end the switch whose pid file is found with these options.
    Stop(Box<Options>),
    /// `-version`.
    Version,
    /// `sounds ...`: generate prompts.
    Sounds(SoundsArgs, Box<Options>),
    /// `check ...`: all problems of the configuration.
    Check(CheckArgs, Box<Options>),
    /// `audit ...`: what strangers can reach and do.
    Audit(AuditArgs, Box<Options>),
    /// `explain ...`: why a call goes where it goes.
    Explain(ExplainArgs, Box<Options>),
    /// `dialplan ...`: fixture files.
    Dialplan(DialplanCommand, Box<Options>),
    /// `reference PAGE`: a generated page of `docs/`.
    Reference(String),
    /// Try a program's server.
    StreamTest(StreamTestArgs),
    /// `records ...`: stored call records.
    Records(RecordsCommand, Box<Options>),
    /// `cli ...`: the arguments of `fs_cli`, untouched.
    Cli(Vec<OsString>),
}

/// A command line that cannot be used: what to print and how to exit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct UsageError {
    /// Ready to print, without a trailing newline.
    pub message: String,
    /// Exit status.
    pub exit: u8,
    /// `--help` and the like: print on standard output.
    pub to_stdout: bool,
}

/// Everything the switch may be told on its command line.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Run in the background; returns once the switch is ready (or says why it is not)
    #[arg(long = "nc", help_heading = "Running")]
    pub background: bool,
    /// The same as -nc: wait until the switch is ready
    #[arg(long = "ncwait", help_heading = "Running")]
    pub background_wait: bool,
    /// Log to the console (the default in the foreground)
    #[arg(long = "c", help_heading = "Running")]
    pub console: bool,
    /// Never fork: stay in the foreground even with -nc
    #[arg(long = "nf", help_heading = "Running")]
    pub no_fork: bool,
    /// On SIGTERM, wait up to this long for calls to end before hanging them up
    #[arg(long, value_name = "SECONDS", help_heading = "Running")]
    drain: Option<u64>,
    /// On SIGTERM, wait for all calls to end, however long that takes
    #[arg(long = "elegant-term", help_heading = "Running")]
    pub elegant_term: bool,
    /// Change to this user once the ports are bound
    #[arg(short = 'u', long = "user", value_name = "USER", help_heading = "Running")]
    pub user: Option<String>,
    /// Change to this group once the ports are bound
    #[arg(short = 'g', long = "group", value_name = "GROUP", help_heading = "Running")]
    pub group: Option<String>,
    /// Allow core dumps
    #[arg(long = "core", help_heading = "Running")]
    pub core_dumps: bool,
    /// Let the configuration run commands: exec, exec-set, or both with a comma between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = preprocess_command,
          help_heading = "Running")]
    allow_preprocess: Vec<PreprocessorCommand>,
    /// Keep registrations, channels and calls in memory only
    #[arg(long = "nosql", help_heading = "Running")]
    pub no_sql: bool,

    /// Log level of the console, whatever console.conf says: console alert crit err warning notice
    /// info debug, or 0-7
    #[arg(long = "loglevel", value_name = "LEVEL", help_heading = "Logging")]
    pub log_level: Option<String>,
    /// Write console lines as JSON objects, one per line
    #[arg(long = "log-json", help_heading = "Logging")]
    pub log_json: bool,

    /// Directories given on the command line.
    #[command(flatten)]
    pub dirs: DirOptions,

    /// Flags that were accepted and have no meaning here, as they were written.
    #[arg(skip)]
    pub ignored: Vec<String>,
    /// `-np` or `-lp`: the media threads are not put before others.
    #[arg(skip)]
    pub normal_priority: bool,
}

/// Directories given on the command line; what is absent comes from the layout (see `dirs`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[allow(missing_docs, reason = "each field is the option of the same name")]
pub struct DirOptions {
    /// Parent of every directory that is not given by itself
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub base: Option<PathBuf>,
    /// Configuration: where freeswitch.xml is
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub conf: Option<PathBuf>,
    /// Name of the root configuration file
    #[arg(long, value_name = "FILE", help_heading = "Directories")]
    pub cfgname: Option<String>,
    /// Log files
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub log: Option<PathBuf>,
    /// Databases
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub db: Option<PathBuf>,
    /// Pid file (default with -log: the log directory)
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub run: Option<PathBuf>,
    /// Prompts and music
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub sounds: Option<PathBuf>,
    /// Recordings
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub recordings: Option<PathBuf>,
    /// Voicemail and other stored files
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub storage: Option<PathBuf>,
    /// Files fetched over HTTP
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub cache: Option<PathBuf>,
    /// Certificates and keys
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub certs: Option<PathBuf>,
    /// Scripts
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub scripts: Option<PathBuf>,
    /// Temporary files
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub temp: Option<PathBuf>,
    /// Value of $${mod_dir}; modules are compiled in
    #[arg(long = "mod", value_name = "DIR", help_heading = "Directories")]
    pub modules: Option<PathBuf>,
    /// Value of $${htdocs_dir}
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub htdocs: Option<PathBuf>,
    /// Value of $${grammar_dir}
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub grammar: Option<PathBuf>,
}

impl Options {
    /// Reads a whole command line, program name first, and the value of `FREESWITCH_OPTS`.
    ///
    /// # Errors
    /// A message to print and the exit status: 255 for a directory flag without its directory (as the
    /// reference), 1 for anything unknown, 0 for `--help`.
    pub fn parse(
        argv: impl IntoIterator<Item = OsString>,
        env_options: Option<&str>,
    ) -> Result<Invocation, UsageError> {
        let translated = translate(argv, env_options)?;
        let command = CommandLine::command().after_help(AFTER_HELP);
        let parsed = command
            .try_get_matches_from(translated.argv)
            .and_then(|matches| CommandLine::from_arg_matches(&matches))
            .map_err(usage_error)?;
        let mut options = parsed.options;
        options.ignored = translated.ignored;
        options.normal_priority = translated.normal_priority;
        let options = Box::new(options);
        Ok(match parsed.command {
            Some(Verb::Sounds(args)) => Invocation::Sounds(args, options),
            Some(Verb::Check(args)) => Invocation::Check(args, options),
            Some(Verb::Audit(args)) => Invocation::Audit(args, options),
            Some(Verb::Explain(args)) => Invocation::Explain(args, options),
            Some(Verb::Dialplan { command }) => Invocation::Dialplan(command, options),
            Some(Verb::Reference { page }) => Invocation::Reference(page),
            Some(Verb::StreamTest(args)) => Invocation::StreamTest(args),
            Some(Verb::Records { command }) => Invocation::Records(command, options),
            Some(Verb::Cli { args }) => Invocation::Cli(args),
            None if parsed.version => Invocation::Version,
            None if parsed.stop => Invocation::Stop(options),
            None => Invocation::Run(options),
        })
    }

    /// Whether to leave the terminal: `-nc` or `-ncwait`, unless `-nf` or `-c` says otherwise.
    pub fn detach(&self) -> bool {
        (self.background || self.background_wait) && !self.no_fork && !self.console
    }

    /// Preprocessor commands that may be run.
    pub fn allow_preprocess(&self) -> BTreeSet<PreprocessorCommand> {
        self.allow_preprocess.iter().copied().collect()
    }

    /// How long a graceful end may wait for running calls; `None` hangs them up at once.
    pub fn drain(&self) -> Option<Duration> {
        if self.elegant_term {
            return Some(Duration::MAX);
        }
        self.drain.map(Duration::from_secs)
    }
}

fn preprocess_command(name: &str) -> Result<PreprocessorCommand, String> {
    PreprocessorCommand::parse(name).ok_or_else(|| "exec or exec-set is wanted".to_owned())
}

#[derive(Debug, Parser)]
#[command(
    name = "ferroswitch",
    about = "A telephone switch that takes FreeSWITCH's place",
    long_about = "A telephone switch that takes FreeSWITCH's place: the same configuration files, the same \
                  Event Socket, the same commands.\n\n\
                  Without arguments it runs in the foreground with the configuration it finds: \
                  /etc/ferroswitch, /etc/freeswitch, /usr/local/freeswitch, or ./conf. Every option is \
                  accepted with one dash as well as two: -conf DIR, --conf DIR.",
    disable_version_flag = true
)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// Stop the running switch (found by its pid file) and wait until it has ended
    #[arg(long, help_heading = "Other")]
    stop: bool,
    /// Print the version
    #[arg(short = 'V', long, help_heading = "Other")]
    version: bool,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Name every problem of the configuration, with file, line and column
    Check(CheckArgs),
    /// Name what strangers can reach and do, with place and remedy
    Audit(AuditArgs),
    /// Show why a call goes where it goes
    Explain(ExplainArgs),
    /// Test the dialplan
    Dialplan {
        /// What to do
        #[command(subcommand)]
        command: DialplanCommand,
    },
    /// Generate the standard English prompts with a speech synthesiser
    Sounds(SoundsArgs),
    /// Try the server of a program that is to hear calls and speak to them
    StreamTest(StreamTestArgs),
    /// Export stored call records, or remove old ones
    Records {
        /// What to do
        #[command(subcommand)]
        command: RecordsCommand,
    },
    /// Print a generated page of the documentation
    #[command(hide = true)]
    Reference {
        /// parameters, applications, commands, variables, events or no-effect
        page: String,
    },
    /// The command line client (the same as fs_cli)
    #[command(disable_help_flag = true)]
    Cli {
        /// Arguments of fs_cli
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

const AFTER_HELP: &str = "\
Accepted for FreeSWITCH's sake, without effect:
  -nonat -nonatmap -nocal -nort -vg -waste -heavy-timer -reincarnate -reincarnate-reexec
  -no-auto-stack -syslog
Media threads run before other programs where the system allows it (-rp, -hp, the default) or as
any other (-np, -lp).
The words of the environment variable FREESWITCH_OPTS are appended to the command line.

First steps:
  ferroswitch                     run with the configuration found, log on the terminal
  fs_cli -x status                ask the running switch how it is
  ferroswitch check               name every problem of the configuration
  ferroswitch explain -d 1000     show what a call to 1000 does, and why
  ferroswitch sounds              make the prompts (needs espeak-ng)
  ferroswitch -nc; ferroswitch -stop
                                  run in the background; stop it";

/// Long options without a value, as they follow the dash.
const FLAGS: &[&str] = &[
    "nc",
    "ncwait",
    "c",
    "nf",
    "nosql",
    "core",
    "elegant-term",
    "stop",
    "version",
    "help",
    "log-json",
];

/// Long options that take the next word.
const VALUED: &[&str] = &[
    "base",
    "conf",
    "cfgname",
    "log",
    "db",
    "run",
    "mod",
    "htdocs",
    "scripts",
    "temp",
    "grammar",
    "certs",
    "recordings",
    "storage",
    "cache",
    "sounds",
    "user",
    "group",
    "u",
    "g",
    "drain",
    "loglevel",
    "allow-preprocess",
];

/// Accepted, without effect.
const MEANINGLESS: &[&str] = &[
    "nonat",
    "nonatmap",
    "nocal",
    "nort",
    "vg",
    "waste",
    "heavy-timer",
    "reincarnate",
    "reincarnate-reexec",
    "no-auto-stack",
    "syslog",
];

struct Translated {
    argv: Vec<OsString>,
    ignored: Vec<String>,
    normal_priority: bool,
}

fn translate(
    argv: impl IntoIterator<Item = OsString>,
    env_options: Option<&str>,
) -> Result<Translated, UsageError> {
    let mut words = argv.into_iter();
    let mut out = Translated {
        argv: vec![words.next().unwrap_or_else(|| "ferroswitch".into())],
        ignored: Vec::new(),
        normal_priority: false,
    };
    let env_words = env_options.unwrap_or_default().split_ascii_whitespace();
    // A subcommand swallows what follows it, so the environment's words must come before.
    let own: Vec<OsString> = words.collect();
    let command = CommandLine::command();
    let is_verb = |word: &str| word == "help" || command.find_subcommand(word).is_some();
    let verb_at = own
        .iter()
        .position(|word| word.to_str().is_some_and(is_verb))
        .filter(|&at| !takes_value(at.checked_sub(1).and_then(|before| own.get(before))));
    let (before, verb) = own.split_at(verb_at.unwrap_or(own.len()));
    let mut words = before.iter().cloned().chain(env_words.map(OsString::from)).peekable();
    while let Some(word) = words.next() {
        match word.to_str().and_then(long_name) {
            Some(name) if MEANINGLESS.contains(&name) => out.ignored.push(format!("-{name}")),
            // The last one counts.
            Some("np" | "lp") => out.normal_priority = true,
            Some("rp" | "hp") => out.normal_priority = false,
            Some("?" | "h") => out.argv.push("--help".into()),
            Some(name) if FLAGS.contains(&name) => out.argv.push(format!("--{name}").into()),
            Some(name) if VALUED.contains(&name) => {
                let value = words
                    .next_if(|next| !next.to_string_lossy().starts_with('-'))
                    .ok_or_else(|| missing_value(name))?;
                let dashes = if name.len() == 1 { "-" } else { "--" };
                out.argv.push(format!("{dashes}{name}").into());
                out.argv.push(value);
            }
            // Not a bundle of one-letter flags: to clap it is an unknown long one, named whole.
            Some(name) if name.len() > 1 && !word_has_two_dashes(&word) => {
                out.argv.push(format!("--{name}").into());
            }
            _ => out.argv.push(word),
        }
    }
    out.argv.extend(verb.iter().cloned());
    Ok(out)
}

/// `-conf` and `--conf` alike; `--conf=DIR` is left to clap.
fn long_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    (!name.is_empty()).then_some(name)
}

fn word_has_two_dashes(word: &OsString) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

fn takes_value(word: Option<&OsString>) -> bool {
    word.and_then(|w| w.to_str()).and_then(long_name).is_some_and(|name| VALUED.contains(&name))
}

fn missing_value(name: &str) -> UsageError {
    UsageError {
        message: format!("When using -{name} you must say what: ferroswitch -{name} VALUE"),
        exit: EXIT_REFUSED,
        to_stdout: false,
    }
}

fn usage_error(error: clap::Error) -> UsageError {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    UsageError {
        message: error.render().to_string().trim_end().to_owned(),
        exit: u8::from(!help),
        to_stdout: help,
    }
}

#[cfg(test)]
mod tests;
