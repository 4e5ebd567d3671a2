//! The console's own commands: `alias`, `complete`, `console_complete`, `console loglevel`, `help`.

use std::collections::BTreeSet;

use esl_server::Level;

use super::{Api, ApiCall, usage};
use crate::api;
use crate::switch::Switch;
use esl_server::console::{Alias, Completion};
use switch_log as log;

/// The family.
pub const APIS: &[Api] = &[
    api!("alias", "mod_commands", ALIAS, "Alias", alias),
    api!("complete", "mod_commands", COMPLETE, "Complete", complete),
    api!("console", "mod_console", CONSOLE, "Control the console", console),
    api!("console_complete", "mod_commands", "<line>", "Console complete", console_complete),
    api!("help", "mod_commands", "", "Show help for all the api commands", help),
];

const ALIAS: &str = "[add|stickyadd] <alias> <command> | del [<alias>|*]";
const COMPLETE: &str = "add <word>|del [<word>|*]";
const CONSOLE: &str = "loglevel <level number>|colorize <true|false>";
/// More matches would not help anybody.
const MAX_MATCHES: usize = 1000;

fn alias(call: &ApiCall) -> String {
    let words = call.words(3);
    let console = &call.switch.stores.console;
    match (words.first().map(String::as_str), words.get(1), words.get(2)) {
        (Some(verb @ ("add" | "stickyadd")), Some(name), Some(command)) => {
            // Somebody at this machine would run it.
            if let Some(refused) = crate::foreign::refuse("alias") {
                return refused;
            }
            let added = Alias {
                sticky: verb == "stickyadd",
                alias: name.clone(),
                command: command.clone(),
            };
            console.add_alias(added);
            "+OK\n".into()
        }
        (Some("del"), Some(name), _) => {
            console.remove_alias(name);
            "+OK\n".into()
        }
        _ => usage(ALIAS),
    }
}

fn complete(call: &ApiCall) -> String {
    let (verb, text) = call.args.trim().split_once(' ').unwrap_or((call.args.trim(), ""));
    let console = &call.switch.stores.console;
    match verb {
        "add" | "stickyadd" if !text.is_empty() => {
            let words = text.split_whitespace().map(str::to_owned).collect();
            console.add_completion(Completion { sticky: verb == "stickyadd", words });
            "+OK\n".into()
        }
        "del" if !text.is_empty() => {
            console.remove_completions(text);
            "+OK\n".into()
        }
        _ => usage(COMPLETE),
    }
}

fn console(call: &ApiCall) -> String {
    let words = call.words(2);
    match words.first().map(String::as_str) {
        Some("loglevel") => loglevel(words.get(1).map(String::as_str)),
        Some("colorize") => "+OK console color is unchanged\n".into(),
        _ => usage(CONSOLE),
    }
}

fn loglevel(word: Option<&str>) -> String {
    let Some(control) = log::control() else { return "-ERR no console\n".into() };
    match word {
        None => {}
        Some("off" | "disable") => control.set_console_level(None),
        Some(word) => match Level::parse(word).or_else(|| Level::from_number(word.parse().ok()?)) {
            Some(level) => control.set_console_level(Some(level)),
            None => return "-ERR syntax error, console log level not set!\n".into(),
        },
    }
    let name =
        control.console_level().map_or_else(|| "DISABLE".to_owned(), |level| level.to_string());
    format!("+OK console log level set to {name}\n")
}

fn help(call: &ApiCall) -> String {
    let wanted = call.args.trim();
    let mut out = String::from("\nValid Commands:\n\n");
    let mut found = false;
    for api in call.switch.apis.all() {
        if !wanted.is_empty() && api.name != wanted {
            continue;
        }
        found = true;
        out.push_str(&format!("{},{},{},{}\n", api.name, api.syntax, api.description, api.module));
    }
    if found { out } else { "-ERR No such command\n".into() }
}

/// The reply that tells `fs_cli` what a half-typed line may become.
fn console_complete(call: &ApiCall) -> String {
    let line = call.args.as_str();
    let (line, cursor) = match line.strip_prefix("c=").and_then(|rest| rest.split_once(';')) {
        Some((cursor, line)) => (line, cursor.parse().unwrap_or(line.len())),
        None => (line, line.len()),
    };
    let line = line.get(..cursor.min(line.len())).unwrap_or(line).trim_start();
    let mut words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let typed =
        if line.ends_with(' ') || line.is_empty() { "" } else { words.pop().unwrap_or_default() };
    rendered(typed, &matches(&call.switch, &words, typed))
}

/// Words that may follow `before` and start with `typed`.
fn matches(switch: &Switch, before: &[&str], typed: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut offer = |word: &str| {
        if word.starts_with(typed) && found.len() < MAX_MATCHES {
            found.insert(word.to_owned());
        }
    };
    if before.is_empty() {
        switch.apis.all().iter().for_each(|api| offer(api.name));
        switch.stores.console.aliases().iter().for_each(|alias| offer(&alias.alias));
        return found;
    }
    if before[0].starts_with("uuid_") && before.len() == 1 {
        switch.channels().iter().for_each(|channel| offer(channel.uuid()));
    }
    for line in KNOWN {
        let mut words = line.split(' ');
        if before.iter().all(|word| words.next() == Some(*word)) {
            words.next().into_iter().flat_map(|word| word.split('|')).for_each(&mut offer);
        }
    }
    for completion in switch.stores.console.completions() {
        let fits = before.iter().zip(&completion.words).all(|(word, known)| word == known);
        if let Some(word) = completion.words.get(before.len()).filter(|_| fits) {
            offer(word);
        }
    }
    found
}

/// What follows the commands with a fixed grammar; alternatives with `|`.
const KNOWN: &[&str] = &[
    "show aliases|api|application|bridged_calls|calls|channels|chat|codec|complete|detailed_bridged_calls|detailed_calls|dialplan|endpoint|file|interface_types|interfaces|limits|management|modules|nat_map|registrations|say|status|tasks|timer",
    "show channels as|count|like",
    "show calls as|count",
    "fsctl api_expansion|debug_level|default_dtmf_duration|hupall|last_sps|loglevel|max_dtmf_duration|max_sessions|min_dtmf_duration|min_idle_cpu|pause|pause_check|ready_check|reclaim_mem|recover|resume|send_sighup|shutdown|shutdown_check|sps|sps_peak_reset|sync_clock|verbose_events",
    "fsctl pause inbound|outbound",
    "fsctl resume inbound|outbound",
    "fsctl shutdown asap|cancel|elegant|now|restart",
    "fsctl loglevel alert|console|crit|debug|err|info|notice|warning",
    "console loglevel alert|console|crit|debug|err|info|notice|warning",
    "sofia global|help|loglevel|profile|status|xmlstatus",
    "sofia status gateway|profile",
    "sofia global siptrace",
    "alias add|del|stickyadd",
    "complete add|del",
    "version short",
];

/// Matches in columns of 20, four to a line, then what the client is to write.
fn rendered(typed: &str, found: &BTreeSet<String>) -> String {
    let mut out = String::from("\n\n");
    for (at, word) in found.iter().enumerate() {
        out.push_str(&format!("[{word:>20}]\t"));
        if at % 4 == 3 {
            out.push('\n');
        }
    }
    out.push_str("\n\n");
    let Some(first) = found.first() else { return out };
    if found.len() == 1 {
        out.push_str(&format!("write={}:{first} ", typed.len()));
        return out;
    }
    let common = found.iter().fold(first.as_str(), |common, word| {
        let same = common
            .chars()
            .zip(word.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum();
        &common[..same]
    });
    if !common.is_empty() {
        out.push_str(&format!("write={}:{common}", typed.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn one_match_is_written_out_with_a_space() {
        assert_eq!(
            rendered("stat", &set(&["status"])),
            "\n\n[              status]\t\n\nwrite=4:status "
        );
    }

    #[test]
    fn several_matches_give_their_common_start() {
        let text = rendered(
            "str",
            &set(&["strftime", "strepoch", "strftime_tz", "strmicroepoch", "strz"]),
        );
        assert!(text.ends_with("]\t\n\nwrite=3:str"), "{text:?}");
        assert_eq!(text.matches('\n').count(), 5);
    }

    #[test]
    fn no_match_writes_nothing() {
        assert_eq!(rendered("zzz", &set(&[])), "\n\n\n\n");
    }
}
