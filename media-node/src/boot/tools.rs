//! `ferroswitch check`, `ferroswitch explain`, `ferroswitch dialplan test`: what can be said about a
//! configuration without running it.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use dialplan_xml::check::{CheckOptions, check};
use dialplan_xml::config::TimezonesConf;
use dialplan_xml::explain::explain;
use dialplan_xml::fixtures::{self, Coverage};
use dialplan_xml::simulate::{Caller, Setting};
use dialplan_xml::{Diagnostic, Globals, Host, LoadOptions, Loaded, Paint, load, report};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cli::DirOptions;
use super::{complain, dirs, machine, print, secret};
use crate::api::Registry;
use crate::paper::{Paper, loaded_modules};

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

/// Colours when standard output is a terminal and nobody said no.
fn paint() -> Paint {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    colours(io::stdout().is_terminal() && !dumb, set("NO_COLOR").is_some())
}

fn colours(terminal: bool, refused: bool) -> Paint {
    if terminal && !refused { Paint::On } else { Paint::Off }
}

/// Runs `ferroswitch check`.
pub fn check_command(args: &CheckArgs, dirs: &DirOptions) -> ExitCode {
    let loaded = match loaded(args.conf.as_ref(), dirs) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let catalogue = crate::catalogue::catalogue();
    let options = CheckOptions { catalogue: &catalogue, file_exists: &|path| path.exists() };
    let checked = check(loaded, &options);
    let report =
        checked.tree.as_ref().filter(|_| args.report).map(|t| report::report(t, &catalogue));
    if args.json {
        let mut out = checked.to_json();
        if let (Some(report), Some(object)) = (&report, out.as_object_mut()) {
            object.insert("report".to_owned(), report.to_json());
        }
        print(&format!("{out:#}\n"));
    } else {
        print(&checked.to_text_in(args.verbose, paint()));
        if let Some(report) = &report {
            print(&format!("\n{}", report.to_text()));
        }
    }
    ExitCode::from(checked.exit_status(args.strict))
}

/// Runs `ferroswitch explain`.
pub fn explain_command(args: &ExplainArgs, dirs: &DirOptions) -> ExitCode {
    let setting = match setting(args.conf.as_ref(), dirs) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let mut caller = match caller(&setting, args) {
        Ok(caller) => caller,
        Err(problem) => return complain(&problem, 1),
    };
    let explanation = explain(&setting.dialplan, &mut caller);
    if args.json {
        print(&format!("{:#}\n", explanation.to_json()));
    } else {
        print(&explanation.to_coloured(args.verbose, paint()));
    }
    ExitCode::from(explanation.exit_status())
}

/// The call the arguments describe. What is said of it wins over what its user brings.
fn caller(setting: &Setting, args: &ExplainArgs) -> Result<Caller, String> {
    let mut caller = setting.caller(&args.destination, "default");
    if let Some(name) = &args.user {
        let user = setting.user(name).ok_or_else(|| format!("There is no user {name}"))?;
        caller.come_from(&user);
    }
    let named = [
        ("context", &args.context),
        ("caller_id_number", &args.caller),
        ("caller_id_name", &args.caller_name),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            caller.set_field(name, value);
        }
    }
    caller.now = args.time.unwrap_or_else(Timestamp::now);
    caller.zone = args.zone.clone().unwrap_or_else(TimeZone::system);
    for (name, value) in &args.globals {
        caller.globals.set(name, value);
    }
    for (name, value) in &args.variables {
        caller.set_variable(name, Some(value));
    }
    for (name, value) in &args.fields {
        caller.set_field(name, value);
    }
    caller.replies.extend(args.replies.iter().cloned());
    caller.typed.extend(args.typed.iter().cloned());
    Ok(caller)
}

/// Runs `ferroswitch dialplan …`.
pub fn dialplan_command(command: &DialplanCommand, dirs: &DirOptions) -> ExitCode {
    let DialplanCommand::Test(args) = command;
    let setting = match setting(args.conf.as_ref(), dirs) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let mut worst = 0;
    let mut results = Vec::new();
    let mut coverage = Coverage::of(&setting.dialplan);
    for file in &args.files {
        let name = file.to_string_lossy();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return complain(&format!("{name}: {error}"), 1),
        };
        let outcome = fixtures::run(&setting, &text, &name);
        worst = worst.max(outcome.exit_status());
        if args.json {
            results.push(serde_json::json!({"file": name, "result": outcome.to_json()}));
        } else {
            print(&format!("{name}\n{}", outcome.to_text(paint())));
        }
        coverage.merge(outcome.coverage);
    }
    let short = args.coverage.filter(|wanted| coverage.percent() < usize::from(*wanted));
    if args.json {
        let all = serde_json::json!({"files": results, "coverage": coverage.to_json()});
        print(&format!("{all:#}\n"));
    } else {
        print(&coverage.to_text());
    }
    if let Some(wanted) = short {
        return complain(&format!("{wanted}% of the extensions are to be tried"), 1);
    }
    ExitCode::from(worst)
}

/// The configuration as calls on paper find it, or the status to end with.
fn setting(conf: Option<&PathBuf>, dirs: &DirOptions) -> Result<Setting, ExitCode> {
    let loaded = loaded(conf, dirs)?;
    let Some(tree) = &loaded.tree else {
        let first = loaded.diagnostics.iter().find(|d| d.severity == dialplan_xml::Severity::Error);
        let why = first.map_or_else(|| loaded.status.clone(), Diagnostic::to_string);
        return Err(complain(&why, 1));
    };
    let local = crate::config::local_net(&loaded.globals);
    let mut setting = Setting::read(tree, loaded.globals, &local);
    let paper = Paper {
        registry: Registry::standard(),
        directory: setting.directory.clone(),
        zones: TimezonesConf::read(tree.configuration("timezones.conf")),
        modules: loaded_modules(tree),
    };
    let answers =
        move |command: &str, args: &str, caller: &mut Caller| paper.answer(command, args, caller);
    setting.world = setting.world.answering(Arc::new(answers));
    Ok(setting)
}

/// Reads the configuration the switch would read, changing nothing on the way.
fn loaded(conf: Option<&PathBuf>, options: &DirOptions) -> Result<Loaded, ExitCode> {
    let mut options = options.clone();
    if let Some(path) = conf {
        let (folder, name) = match (path.is_dir(), path.file_name()) {
            (false, Some(name)) => (path.parent().map(PathBuf::from), Some(name)),
            _ => (Some(path.clone()), None),
        };
        options.conf = folder.map(|f| if f.as_os_str().is_empty() { ".".into() } else { f });
        if let Some(name) = name {
            options.cfgname = Some(name.to_string_lossy().into_owned());
        }
    }
    let dirs = dirs::resolve(&options)
        .map_err(|error| complain(&format!("The working directory is gone: {error}"), 1))?;
    let mut globals: Globals = machine::globals().into_iter().chain(dirs.globals()).collect();
    // Made when the switch first starts; here any value will do that nobody would guess.
    globals.set(secret::PASSWORD_VARIABLE, "made-at-first-start");
    // Nothing is asked over the network: the machine's own address stands in for its public one.
    let own = globals.get("local_ip_v4").unwrap_or_default().to_owned();
    let stun = move |_: &str| Some(own.clone());
    let options = LoadOptions { stun: Some(Arc::new(stun)), ..LoadOptions::default() };
    Ok(load(&dirs.root_path(), globals, &options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colours_and_only_if_nobody_minds() {
        assert_eq!(colours(true, false), Paint::On);
        assert_eq!(colours(true, true), Paint::Off);
        assert_eq!(colours(false, false), Paint::Off);
    }
}
