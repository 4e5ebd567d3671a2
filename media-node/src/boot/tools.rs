//! `ferroswitch check`, `ferroswitch explain`, `ferroswitch dialplan test`: what can be said about a
//! configuration without running it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use dialplan_xml::check::{CheckOptions, check};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::explain::explain;
use dialplan_xml::simulate::Caller;
use dialplan_xml::{Diagnostic, Globals, Host, LoadOptions, Loaded, fixtures, load, report};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cli::DirOptions;
use super::dirs::Dirs;
use super::{complain, machine, print, secret};

/// Arguments of `ferroswitch check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit status: 0 when all is well, 1 when there are errors (with --strict: or warnings).
Remarks are shown with --verbose.")]
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

Example:
  ferroswitch explain --context public --destination 1000 --set sip_from_host=example.org")]
pub struct ExplainArgs {
    /// Number dialled
    #[arg(short, long)]
    pub destination: String,
    /// Context the call arrives in
    #[arg(short, long, default_value = "default")]
    pub context: String,
    /// A channel variable the call has
    #[arg(short = 's', long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// A field of the caller profile, such as caller_id_number
    #[arg(short = 'f', long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    pub fields: Vec<(String, String)>,
    /// What an API command answers; otherwise nothing
    #[arg(long = "api", value_name = "COMMAND=REPLY", value_parser = pair)]
    pub replies: Vec<(String, String)>,
    /// When the call arrives, such as 2026-12-24T18:30:00+01:00; otherwise now
    #[arg(short, long, value_name = "TIME")]
    pub time: Option<Timestamp>,
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
  call 1001 in default
    set user_context=default
    time 2026-03-04T12:30:00Z
    extension Local_Extension
    runs bridge user/1001@example.test
    never voicemail
Other lines: field NAME=VALUE, global NAME=VALUE, api COMMAND=REPLY, reaches NUMBER in CONTEXT, no route.

Exit status: 0 when everything holds, else 1.")]
pub struct TestArgs {
    /// Fixture files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Configuration directory or root file, if not the one the switch would use
    #[arg(long = "in", value_name = "DIR")]
    pub conf: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
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
        print(&checked.to_text(args.verbose));
        if let Some(report) = &report {
            print(&format!("\n{}", report.to_text()));
        }
    }
    ExitCode::from(checked.exit_status(args.strict))
}

/// Runs `ferroswitch explain`.
pub fn explain_command(args: &ExplainArgs, dirs: &DirOptions) -> ExitCode {
    let (dialplan, globals) = match dialplan(args.conf.as_ref(), dirs) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let mut caller = Caller::new(&args.destination, &args.context);
    caller.globals = globals;
    caller.now = args.time.unwrap_or_else(Timestamp::now);
    caller.zone = TimeZone::system();
    for (name, value) in &args.variables {
        caller.set_variable(name, Some(value));
    }
    for (name, value) in &args.fields {
        caller.set_field(name, value);
    }
    caller.replies.extend(args.replies.iter().cloned());
    let explanation = explain(&dialplan, &mut caller);
    if args.json {
        print(&format!("{:#}\n", explanation.to_json()));
    } else {
        print(&explanation.to_text(args.verbose));
    }
    ExitCode::from(explanation.exit_status())
}

/// Runs `ferroswitch dialplan …`.
pub fn dialplan_command(command: &DialplanCommand, dirs: &DirOptions) -> ExitCode {
    let DialplanCommand::Test(args) = command;
    let (dialplan, globals) = match dialplan(args.conf.as_ref(), dirs) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let mut worst = 0;
    let mut results = Vec::new();
    for file in &args.files {
        let name = file.to_string_lossy();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return complain(&format!("{name}: {error}"), 1),
        };
        let outcome = fixtures::run(&dialplan, &text, &name, &globals);
        worst = worst.max(outcome.exit_status());
        if args.json {
            results.push(serde_json::json!({"file": name, "result": outcome.to_json()}));
        } else {
            print(&format!("{name}: {}", outcome.to_text()));
        }
    }
    if args.json {
        print(&format!("{:#}\n", serde_json::Value::from(results)));
    }
    ExitCode::from(worst)
}

/// The compiled dialplan and the global variables, or the status to end with.
fn dialplan(conf: Option<&PathBuf>, dirs: &DirOptions) -> Result<(Dialplan, Globals), ExitCode> {
    let loaded = loaded(conf, dirs)?;
    let Some(tree) = &loaded.tree else {
        let first = loaded.diagnostics.iter().find(|d| d.severity == dialplan_xml::Severity::Error);
        let why = first.map_or_else(|| loaded.status.clone(), Diagnostic::to_string);
        return Err(complain(&why, 1));
    };
    let (dialplan, _) = Dialplan::compile(tree);
    Ok((dialplan, loaded.globals))
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
    let dirs = Dirs::resolve(&options)
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
