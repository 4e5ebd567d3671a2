//! The command line, and what becomes of it together with a profile.

use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use super::profile::Profile;
use super::style::Color;
use crate::client::Credentials;

/// Console for a running switch.
///
/// Connects to the Event Socket, prints the log as it happens and sends what you type as API
/// commands. With -x it runs one command, prints its output and exits.
#[derive(Clone, Debug, Parser)]
#[command(name = "fs_cli", disable_help_flag = true, disable_version_flag = true, after_help = EXAMPLES)]
// As with getopt, the last of several wins: scripts put their defaults in front of what they are given.
#[command(args_override_self = true)]
pub struct Options {
    /// Show this help.
    #[arg(short = 'h', long, short_alias = '?', action = ArgAction::SetTrue)]
    pub help: bool,

    /// Host to connect to [default: 127.0.0.1].
    #[arg(short = 'H', long)]
    pub host: Option<String>,

    /// Port to connect to, 1 to 65535 [default: 8021].
    #[arg(short = 'P', long, allow_hyphen_values = true)]
    pub port: Option<String>,

    /// Log in as this directory user, user@domain, instead of with the server's password.
    #[arg(short, long, value_name = "USER@DOMAIN")]
    pub user: Option<String>,

    /// Password [default: ClueCon].
    #[arg(short, long)]
    pub password: Option<String>,

    /// Run one command, print its output and exit.
    #[arg(short = 'x', long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub execute: Option<String>,

    /// Print the log up to this level: console, alert, crit, err, warning, notice, info, debug.
    #[arg(short, long, value_name = "LEVEL")]
    pub loglevel: Option<String>,

    /// Do not print the log.
    #[arg(short, long)]
    pub quiet: bool,

    /// Put the UUID of the call in front of log lines.
    #[arg(short = 'U', long)]
    pub log_uuid: bool,

    /// Put the first 8 characters of the UUID in front of log lines.
    #[arg(short = 'S', long)]
    pub log_uuid_short: bool,

    /// Print only log lines of this call (and those of none).
    #[arg(short, long, value_name = "UUID")]
    pub set_log_uuid: Option<String>,

    /// Keep trying for two minutes when the server does not answer.
    #[arg(short, long)]
    pub retry: bool,

    /// Connect again when the connection is lost.
    #[arg(short = 'R', long)]
    pub reconnect: bool,

    /// How talkative fs_cli itself is on stderr, 0 to 7.
    #[arg(short, long, value_name = "0-7", allow_hyphen_values = true)]
    pub debug: Option<String>,

    /// With -x: give up when the answer takes longer (milliseconds).
    #[arg(short, long, value_name = "MS")]
    pub timeout: Option<u64>,

    /// Give up when connecting takes longer (milliseconds, 0: never).
    #[arg(short = 'T', long, value_name = "MS")]
    pub connect_timeout: Option<u64>,

    /// No colours and no line editing; for pipes and scripts.
    #[arg(short, long)]
    pub batchmode: bool,

    /// Ctrl-C ends fs_cli instead of printing a hint.
    #[arg(short, long)]
    pub interrupt: bool,

    /// No colours.
    #[arg(short, long)]
    pub no_color: bool,

    /// Do not read or write ~/.fs_cli_history.
    #[arg(short = 'Q', long)]
    pub no_history_file: bool,

    /// Section of ~/.fs_cli_conf (or /etc/fs_cli.conf) to take settings from.
    pub profile: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  fs_cli                               open a console on this machine's switch
  fs_cli -x 'show channels'            print the calls in progress and exit
  fs_cli -H pbx.example.com -p secret  open a console on another machine
  fs_cli -l err                        open a console that logs only errors
  fs_cli -x 'reloadxml' || echo failed use it in a script (see exit status)

In the console, type any API command ('help' lists them) or:
  /help  /exit  /log <level>  /nolog  /event <...>  /noevents  /filter <...>  /uuid <uuid>
  F1 help, F2 status, F3 show channels, F6 reloadxml, Tab completes.

A profile file looks like this:
  [default]
  host     => 127.0.0.1
  password => ClueCon
  key_F2   => sofia status

Exit status: 0 answered, 1 bad option or interrupted, 254 no answer in time, 255 cannot connect.";

/// What fs_cli runs with: options over profile over defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the profile in use.
    pub profile: String,
    /// Host of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// How to log in.
    pub credentials: Credentials,
    /// Run this and exit.
    pub execute: Option<String>,
    /// Level of the first `log`; may be empty.
    pub loglevel: String,
    /// No `log` at all.
    pub quiet: bool,
    /// How many characters of a call's UUID to print before its log lines.
    pub uuid_prefix: Option<usize>,
    /// Only log lines of this call.
    pub uuid_filter: Option<String>,
    /// Keep trying to connect.
    pub retry: bool,
    /// Connect again after a loss.
    pub reconnect: bool,
    /// Verbosity on stderr.
    pub debug: u8,
    /// Limit of an `-x` answer.
    pub timeout: Option<Duration>,
    /// Limit of each step of connecting.
    pub connect_timeout: Option<Duration>,
    /// No editing, no colours.
    pub batch: bool,
    /// Ctrl-C exits.
    pub interrupt: bool,
    /// Whether to use colours.
    pub color: bool,
    /// Whether to keep a history file.
    pub history: bool,
    /// Prompt template.
    pub prompt: Option<String>,
    /// Colour of the prompt.
    pub prompt_color: Option<Color>,
    /// Colour of command output.
    pub output_color: Option<Color>,
    /// Colour of what is typed.
    pub input_color: Option<Color>,
    /// What F1 to F12 type.
    pub keys: [String; 12],
    /// What they type every second time, where that differs.
    pub toggled_keys: [Option<String>; 12],
}

/// What F1 to F12 type unless the profile says otherwise.
const KEYS: [&str; 12] = [
    "help",
    "status",
    "show channels",
    "show calls",
    "sofia status",
    "reloadxml",
    "/log console",
    "/log debug",
    "sofia status profile internal",
    "fsctl pause",
    "fsctl resume",
    "version",
];

/// Characters shown with `--log-uuid-short`.
const SHORT_UUID: usize = 8;
/// Characters of a whole UUID.
const LONG_UUID: usize = 36;

/// An option whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// Not 1 to 65535.
    #[error("Invalid port '{0}': must be 1 to 65535")]
    Port(String),
    /// Not 0 to 7.
    #[error("Invalid debug level '{0}': must be 0 to 7")]
    Debug(String),
}

impl Options {
    /// The help text.
    pub fn usage() -> String {
        Self::command().render_long_help().to_string()
    }
}

impl Settings {
    /// Puts options, profile and environment together. `color` is what the environment allows.
    ///
    /// # Errors
    /// A port or debug level out of range.
    pub fn new(
        options: Options,
        profile: Option<&Profile>,
        color: bool,
    ) -> Result<Self, BadOption> {
        let key = |name: &str| profile.and_then(|p| p.get(name)).map(str::to_owned);
        let flag = |name: &str| key(name).is_some_and(|value| crate::switch::is_true(&value));
        let pick = |option: Option<String>, name: &str, default: &str| {
            option.or_else(|| key(name)).unwrap_or_else(|| default.to_owned())
        };
        let port = match options.port {
            Some(text) => text.parse().ok().filter(|&p| p > 0).ok_or(BadOption::Port(text))?,
            None => {
                key("port").and_then(|text| text.parse().ok()).filter(|&p| p > 0).unwrap_or(8021)
            }
        };
        let debug = match options.debug {
            Some(text) => text.parse().ok().filter(|&n| n < 8).ok_or(BadOption::Debug(text))?,
            None => key("debug").and_then(|text| text.parse().ok()).filter(|&n| n < 8).unwrap_or(0),
        };
        let uuid_prefix = if options.log_uuid_short || flag("log-uuid-short") {
            Some(SHORT_UUID)
        } else {
            let wanted = options.log_uuid || flag("log-uuid");
            let length = key("log-uuid-length").and_then(|n| n.parse().ok()).filter(|&n| n > 0);
            wanted.then(|| length.unwrap_or(LONG_UUID))
        };
        let millis = |option: Option<u64>, name: &str| {
            option
                .or_else(|| key(name)?.parse().ok())
                .filter(|&ms| ms > 0)
                .map(Duration::from_millis)
        };
        let batch = options.batchmode || flag("batchmode");
        Ok(Self {
            profile: profile.map_or_else(super::console::local_host, |p| p.name.clone()),
            host: pick(options.host, "host", "127.0.0.1"),
            port,
            credentials: Credentials {
                user: options.user.or_else(|| key("user")).filter(|user| !user.is_empty()),
                password: pick(options.password, "password", "ClueCon"),
            },
            execute: options.execute,
            quiet: (options.quiet || flag("quiet")) && options.loglevel.is_none(),
            loglevel: pick(options.loglevel, "loglevel", ""),
            uuid_prefix,
            uuid_filter: options.set_log_uuid,
            retry: options.retry,
            reconnect: options.reconnect,
            debug,
            timeout: millis(options.timeout, "timeout"),
            connect_timeout: millis(options.connect_timeout, "connect-timeout"),
            color: color && !options.no_color && !batch,
            batch,
            interrupt: options.interrupt,
            history: !(options.no_history_file || flag("no-history-file")),
            prompt: key("prompt-string").filter(|text| !text.is_empty()),
            prompt_color: key("prompt-color").and_then(|name| Color::parse(&name)),
            output_color: key("output-text-color").and_then(|name| Color::parse(&name)),
            input_color: key("input-text-color").and_then(|name| Color::parse(&name)),
            keys: std::array::from_fn(|n| {
                key(&format!("key_f{}", n + 1)).unwrap_or_else(|| KEYS[n].to_owned())
            }),
            toggled_keys: std::array::from_fn(|n| key(&format!("key_toggle_f{}", n + 1))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_cli::profile;

    fn settings(args: &[&str], file: &str) -> Result<Settings, BadOption> {
        let options = Options::try_parse_from(std::iter::once(&"fs_cli").chain(args)).unwrap();
        let profile = profile::choose(profile::parse(file), options.profile.as_deref());
        Settings::new(options, profile.as_ref(), true)
    }

    #[test]
    fn options_override_the_profile_and_the_profile_the_defaults() {
        let file =
            "[a]\nhost = 1.2.3.4\nport = 99\nloglevel = err\nquiet = true\n[b]\nhost = 5.6.7.8";
        let s = settings(&["-P", "5", "b"], file).unwrap();
        assert_eq!(
            (s.host.as_str(), s.port, s.credentials.password.as_str()),
            ("5.6.7.8", 5, "ClueCon")
        );
        let s = settings(&["a"], file).unwrap();
        assert!(s.quiet);
        let s = settings(&["-l", "debug", "a"], file).unwrap();
        assert!(!s.quiet, "a level asked for cancels the profile's quiet");
        assert_eq!((s.loglevel.as_str(), s.port), ("debug", 99));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(settings(&["-P", "0"], "").unwrap_err(), BadOption::Port("0".into()));
        assert_eq!(settings(&["-P", "70000"], "").unwrap_err(), BadOption::Port("70000".into()));
        assert_eq!(settings(&["-d", "8"], "").unwrap_err(), BadOption::Debug("8".into()));
    }

    #[test]
    fn keys_come_from_the_profile_or_are_the_usual_ones() {
        let s = settings(&[], "[default]\nkey_F2 = uptime\nkey_toggle_F2 = status").unwrap();
        assert_eq!((s.toggled_keys[1].as_deref(), &s.toggled_keys[0]), (Some("status"), &None));
        assert_eq!(
            (s.keys[0].as_str(), s.keys[1].as_str(), s.keys[11].as_str()),
            ("help", "uptime", "version")
        );
    }

    #[test]
    fn timeouts_hold_for_every_section_whichever_names_them() {
        let file = "[a]\nhost = 1.2.3.4\n[b]\ntimeout = 500\nconnect-timeout = 700";
        let s = settings(&["a"], file).unwrap();
        assert_eq!(s.timeout, Some(Duration::from_millis(500)));
        assert_eq!(s.connect_timeout, Some(Duration::from_millis(700)));
        assert_eq!(
            settings(&["-t", "9", "a"], file).unwrap().timeout,
            Some(Duration::from_millis(9))
        );
    }

    #[test]
    fn the_short_uuid_wins_over_the_long() {
        assert_eq!(settings(&["-U", "-S"], "").unwrap().uuid_prefix, Some(8));
        assert_eq!(settings(&["-U"], "").unwrap().uuid_prefix, Some(36));
        assert_eq!(settings(&[], "").unwrap().uuid_prefix, None);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }
}
