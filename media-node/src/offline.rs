//! `ferroswitch check`, `ferroswitch explain`, `ferroswitch dialplan test`: what can be said about a
//! configuration without running it.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use dialplan_xml::check::{CheckOptions, check};
use dialplan_xml::config::TimezonesConf;
use dialplan_xml::explain::explain;
use dialplan_xml::fixtures::{self, Coverage};
use dialplan_xml::simulate::{Caller, Setting};
use dialplan_xml::{Diagnostic, Globals, Host, LoadOptions, Loaded, Paint, load, report};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use base::machine;
use boot::arguments::{
    AuditArgs, CheckArgs, DialplanCommand, ExplainArgs, Offline, StreamTestArgs,
};
use boot::cli::DirOptions;
use boot::{complain, dirs, print, secret};

use mod_commands::offline_api::{OfflineApi, loaded_modules};
use switch_core::api::Registry;

/// Colours when standard output is a terminal, unless turned off.
fn paint() -> Paint {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    colours(io::stdout().is_terminal() && !dumb, set("NO_COLOR").is_some())
}

fn colours(terminal: bool, refused: bool) -> Paint {
    if terminal && !refused { Paint::On } else { Paint::Off }
}

/// Does what was asked for.
#[must_use]
pub fn run(what: &Offline, dirs: &DirOptions) -> ExitCode {
    match what {
        Offline::Check(args) => check_command(args, dirs),
        Offline::Audit(args) => audit_command(args, dirs),
        Offline::Explain(args) => explain_command(args, dirs),
        Offline::Dialplan(command) => dialplan_command(command, dirs),
        Offline::StreamTest(args) => stream_test(args),
        Offline::Records(command) => crate::stored::command(command, dirs),
        Offline::Reference(page) => match crate::reference::page(page, &crate::linked::linked()) {
            Some(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            None => complain(&format!("There is no page {page}"), 1),
        },
    }
}

/// Runs `ferroswitch stream-test`.
fn stream_test(args: &StreamTestArgs) -> ExitCode {
    let trial = mod_audio_streams::conformance::Trial {
        url: args.url.clone(),
        dialect: args.dialect.clone(),
        seconds: args.seconds,
        token: args.token.clone(),
        metadata: args.metadata.clone(),
        insecure: args.insecure,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, 1),
    };
    let report = runtime.block_on(mod_audio_streams::conformance::run(&trial));
    print(report.text());
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `ferroswitch check`.
fn check_command(args: &CheckArgs, dirs: &DirOptions) -> ExitCode {
    let loaded = match loaded(args.conf.as_ref(), dirs) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let catalogue = crate::declarations::catalogue(&crate::linked::linked());
    let no_mp3 = media::record::check_mp3().err().map(|why| why.to_string());
    let options = CheckOptions {
        catalogue: &catalogue,
        file_exists: &|path| path.exists(),
        own_address: &machine::owns,
        no_mp3: no_mp3.as_deref(),
    };
    let mut checked = check(loaded, &options);
    let library = checked.tree.as_ref().and_then(mod_spandsp::check);
    checked.diagnostics.extend(library);
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

/// Runs `ferroswitch audit`.
fn audit_command(args: &AuditArgs, dirs: &DirOptions) -> ExitCode {
    let loaded = match loaded(args.conf.as_ref(), dirs) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let catalogue = crate::declarations::catalogue(&crate::linked::linked());
    if args.interface_allowlist {
        return match dialplan_xml::check::interface_allowlist(&loaded, &catalogue) {
            Some(list) => {
                print(&list);
                ExitCode::SUCCESS
            }
            None => complain(&loaded.status, 1),
        };
    }
    let found = mod_commands::audit::of(loaded, &catalogue);
    if args.json {
        print(&format!("{:#}\n", found.to_json()));
    } else {
        print(&found.to_text_in(true, paint()));
    }
    ExitCode::from(found.exit_status(args.strict))
}

/// Runs `ferroswitch explain`.
fn explain_command(args: &ExplainArgs, dirs: &DirOptions) -> ExitCode {
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
fn dialplan_command(command: &DialplanCommand, dirs: &DirOptions) -> ExitCode {
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

/// The configuration as simulated calls find it, or the status to end with.
fn setting(conf: Option<&PathBuf>, dirs: &DirOptions) -> Result<Setting, ExitCode> {
    let loaded = loaded(conf, dirs)?;
    let Some(tree) = &loaded.tree else {
        let first = loaded.diagnostics.iter().find(|d| d.severity == dialplan_xml::Severity::Error);
        let why = first.map_or_else(|| loaded.status.clone(), Diagnostic::to_string);
        return Err(complain(&why, 1));
    };
    let local = switch_core::config::local_net(&loaded.globals);
    let mut setting = Setting::read(tree, loaded.globals, &local);
    let linked = crate::linked::linked();
    let offline = OfflineApi {
        registry: Registry::of(linked.commands()),
        directory: setting.directory.clone(),
        zones: TimezonesConf::read(tree.configuration("timezones.conf")),
        modules: loaded_modules(tree, &linked),
    };
    let answers =
        move |command: &str, args: &str, caller: &mut Caller| offline.answer(command, args, caller);
    let known = crate::declarations::catalogue(&linked);
    let modules = dialplan_xml::check::loaded_modules(tree);
    let refusal = move |application: &str| known.refusal(application, modules.as_ref());
    setting.world = setting.world.answering(Arc::new(answers)).refusing(Arc::new(refusal));
    Ok(setting)
}

/// Reads the configuration the switch would read, changing nothing on the way.
pub(crate) fn loaded(conf: Option<&PathBuf>, options: &DirOptions) -> Result<Loaded, ExitCode> {
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
    // Made when the switch first starts; here any value will do that is not guessable.
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
