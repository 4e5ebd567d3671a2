//! Arguments of `ferroswitch check`, `explain`, `dialplan` and `records`: what can be said about a configuration without running
//! it is not this crate's to say.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One of them.
#[derive(Debug, Clone)]
pub enum Offline {
    /// `ferroswitch check`.
    Check(CheckArgs),
    /// `ferroswitch audit`.
    Audit(AuditArgs),
    /// `ferroswitch explain`.
    Explain(Box<ExplainArgs>),
    /// `ferroswitch dialplan …`.
    Dialplan(DialplanCommand),
    /// `ferroswitch reference PAGE`.
    Reference(String),
    /// `ferroswitch stream-test`.
    StreamTest(StreamTestArgs),
    /// `ferroswitch records …`.
    Records(RecordsCommand),
}

/// What `ferroswitch records` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum RecordsCommand {
    /// Write stored call records as CSV or as lines of JSON
    Export(ExportArgs),
    /// Remove old call records
    Purge(PurgeArgs),
}

/// Which database of call records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordsSource {
    /// That of cdr_sqlite.conf
    Sqlite,
    /// That of cdr_pg_csv.conf
    Postgresql,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordsFormat {
    /// Comma separated values (RFC 4180) with a line of names
    Csv,
    /// A JSON object per line
    Jsonl,
}

/// Arguments of `ferroswitch records export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The database is that of cdr_sqlite.conf or cdr_pg_csv.conf of the configuration; the switch may be running. Rows come in the
order in which calls began. Exit status: 0 when all was written, else 1.

Examples:
  ferroswitch records export > calls.csv
      everything in the table of records
  ferroswitch records export --from 2026-03-01 --to 2026-04-01 -o march.csv
      the calls that began in March
  ferroswitch records export --format jsonl --table call_logs | jq 'select(.status != \"completed\")'
      one object per call: those that were not answered
  ferroswitch records export --spreadsheet -o calls.csv
      for a spreadsheet: what a caller calls itself is never read as a formula")]
pub struct ExportArgs {
    /// How records are written
    #[arg(short, long, value_enum, default_value = "csv")]
    pub format: RecordsFormat,
    /// Table [default: that of the records; the other is call_logs]
    #[arg(short, long, value_name = "NAME")]
    pub table: Option<String>,
    /// Calls that began then or later: 2026-03-01, 2026-03-01T08:30, local time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<i64>,
    /// Calls that began before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<i64>,
    /// File to write; it must not be there yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Values that a spreadsheet would take for formulas get a ' in front (CSV only)
    #[arg(long)]
    pub spreadsheet: bool,
    /// Database, where the configuration names two [default: the first there is]
    #[arg(long, value_enum)]
    pub source: Option<RecordsSource>,
    /// Configuration directory or root file, if not the one the switch would use
    #[arg(long = "in", value_name = "DIR")]
    pub conf: Option<PathBuf>,
}

/// Arguments of `ferroswitch records purge`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Removes rows of calls that began before a time from the table of records and from call_logs, a few thousand at once, so that calls
that end meanwhile do not wait. Rows that do not say when their call began stay. The parameter `keep-days` of cdr_sqlite.conf and
cdr_pg_csv.conf does the same every hour. Export first what is to be kept. Exit status: 0 when it was done, else 1.

Examples:
  ferroswitch records purge --older-than 90 --dry-run
      how many rows are older than 90 days
  ferroswitch records purge --older-than 90
  ferroswitch records purge --before 2026-01-01 --source postgresql")]
#[command(group = clap::ArgGroup::new("age").required(true))]
pub struct PurgeArgs {
    /// Age in days
    #[arg(long, value_name = "DAYS", group = "age", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub older_than: Option<u32>,
    /// Calls that began before: 2026-03-01, 2026-03-01T08:30, local time
    #[arg(long, value_name = "TIME", group = "age", value_parser = moment)]
    pub before: Option<i64>,
    /// Only say how many there are
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Database, where the configuration names two [default: both]
    #[arg(long, value_enum)]
    pub source: Option<RecordsSource>,
    /// Configuration directory or root file, if not the one the switch would use
    #[arg(long = "in", value_name = "DIR")]
    pub conf: Option<PathBuf>,
}

/// A time of this machine's clock, as microseconds since the epoch.
fn moment(text: &str) -> Result<i64, String> {
    let civil = text.parse::<jiff::civil::DateTime>();
    let civil = civil.map_err(|_| "a date is wanted: 2026-03-01 or 2026-03-01T08:30".to_owned())?;
    let zoned = civil.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_microsecond())
}

/// Arguments of `ferroswitch stream-test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit status: 0 when everything required happened, 1 when not.

Examples:
  ferroswitch stream-test ws://127.0.0.1:8765/
      a call of five seconds in Twilio's dialect
  ferroswitch stream-test wss://bot.example/listen --dialect fork --seconds 20 --metadata '{\"a\":1}'
  ferroswitch stream-test tcp://127.0.0.1:9092")]
pub struct StreamTestArgs {
    /// Address of the program's server: ws://, wss:// or tcp://
    pub url: String,
    /// twilio, telnyx, plivo, exotel, vonage, fork, audio_stream, openai, chan_websocket, chan_websocket_json or audiosocket
    #[arg(long, default_value = "twilio")]
    pub dialect: String,
    /// Length of the call
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Bearer token
    #[arg(long)]
    pub token: Option<String>,
    /// Text or JSON for the program
    #[arg(long, default_value = "")]
    pub metadata: String,
    /// Certificates are not checked
    #[arg(long)]
    pub insecure: bool,
}

/// Arguments of `ferroswitch check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit status: 0 when all is well, 1 when there are errors (with --strict: or warnings).

Examples:
  ferroswitch check                    the configuration the switch would use
  ferroswitch check /etc/freeswitch    another one, before it is taken into use
  ferroswitch check -v                 remarks too: what is accepted without effect
  ferroswitch check --report           what is honoured, accepted without effect, unknown
  ferroswitch check --strict --json    for a script: warnings fail too, the result is JSON")]
pub struct CheckArgs {
    /// Configuration directory or root file, if not the one the switch would use
    pub conf: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the compatibility report: what is honoured, accepted without effect, unknown
    #[arg(long)]
    pub report: bool,
    /// Warnings fail too
    #[arg(long)]
    pub strict: bool,
    /// Print remarks too
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `ferroswitch audit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit status: 0 when nothing is wrong, 1 when there are errors (with --strict: or warnings).

Examples:
  ferroswitch audit                          what strangers can reach and do
  ferroswitch audit --strict --json          for a script
  ferroswitch audit --interface-allowlist    a list for switch.conf, of what the configuration uses
On a running switch: fs_cli -x audit")]
pub struct AuditArgs {
    /// Configuration directory or root file, if not the one the switch would use
    pub conf: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Warnings fail too
    #[arg(long)]
    pub strict: bool,
    /// Print `interface-allowlist` with what the configuration uses, instead
    #[arg(long)]
    pub interface_allowlist: bool,
}

/// Arguments of `ferroswitch explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit status: 0 when the call finds an extension, 1 when it does not.

Examples:
  ferroswitch explain -d 5551212 -c public
      where a call from outside goes
  ferroswitch explain -d 9196 --user 1000
      what phone 1000 gets: its context, its variables
  ferroswitch explain -d 1000 --set toll_allow=domestic --time 2026-12-24T18:30:00+01:00
      with a channel variable, on Christmas Eve
  ferroswitch explain -d 5000 --user 1000 --types 1 --types 1001
      through a menu: what is keyed in each time it asks
  ferroswitch explain -d 777 -c public -v
      every condition of every extension
On a running switch, for a call that is up: fs_cli -x \"explain UUID\"")]
pub struct ExplainArgs {
    /// Number dialled
    #[arg(short, long)]
    pub destination: String,
    /// Context the call arrives in [default: the user's, else default]
    #[arg(short, long)]
    pub context: Option<String>,
    /// Who calls: a user of the directory, with its variables, caller id and context
    #[arg(short, long, value_name = "NAME[@DOMAIN]")]
    pub user: Option<String>,
    /// Caller id number
    #[arg(long, value_name = "NUMBER")]
    pub caller: Option<String>,
    /// Caller id name
    #[arg(long, value_name = "NAME")]
    pub caller_name: Option<String>,
    /// A channel variable the call has
    #[arg(short = 's', long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// A field of the caller profile, such as network_addr
    #[arg(short = 'f', long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    pub fields: Vec<(String, String)>,
    /// A global variable
    #[arg(long = "global", value_name = "NAME=VALUE", value_parser = pair)]
    pub globals: Vec<(String, String)>,
    /// What the caller keys in; once for each time digits are asked for
    #[arg(long = "types", value_name = "DIGITS")]
    pub typed: Vec<String>,
    /// What an API command answers, if only a running switch could know
    #[arg(long = "api", value_name = "COMMAND=REPLY", value_parser = pair)]
    pub replies: Vec<(String, String)>,
    /// When the call arrives, such as 2026-12-24T18:30:00+01:00; otherwise now
    #[arg(short, long, value_name = "TIME")]
    pub time: Option<Timestamp>,
    /// The server's time zone, such as Europe/Oslo; otherwise this machine's
    #[arg(long, value_name = "NAME", value_parser = zone)]
    pub zone: Option<TimeZone>,
    /// Configuration directory or root file, if not the one the switch would use
    #[arg(long = "in", value_name = "DIR")]
    pub conf: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Show every step of extensions that did not match
    #[arg(short, long)]
    pub verbose: bool,
}

/// What `ferroswitch dialplan` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum DialplanCommand {
    /// Run fixture files: calls and what is expected of them
    Test(TestArgs),
}

/// Arguments of `ferroswitch dialplan test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A fixture file:
  # Phones reach each other
  call 1001 in default
    user 1000
    extension Local_Extension
    runs bridge user/1001@example.test
    never voicemail

  # Nothing is open at night
  call 5551212 in public
    time 2026-03-04T22:30:00Z
    no route

Lines about the call:  user NAME[@DOMAIN]   set, field, global NAME=VALUE   time TIME   zone NAME
                       types DIGITS (once for each time it is asked)   api COMMAND=REPLY
Lines about the end:   extension NAME   runs APPLICATION [ARGUMENT]   never APPLICATION
                       reaches NUMBER in CONTEXT   has NAME=VALUE   no route

Exit status: 0 when everything holds, else 1.

Examples:
  ferroswitch dialplan test conf/dialplan/calls.test
  ferroswitch dialplan test --in /etc/freeswitch --coverage 80 tests/*.test")]
pub struct TestArgs {
    /// Fixture files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Configuration directory or root file, if not the one the switch would use
    #[arg(long = "in", value_name = "DIR")]
    pub conf: Option<PathBuf>,
    /// Fail when less than this share of all extensions is tried
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub coverage: Option<u8>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|error| error.to_string())
}
