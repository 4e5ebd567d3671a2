//! The console's own commands: `alias`, `complete`, `console_complete`, `console loglevel`, `help`.

use std::collections::BTreeSet;

use esl_server::Level;

use super::{Api, ApiCall, usage};
use crate::api;
use crate::contract::NameList;
use crate::switch::Switch;
use esl_server::console::{Alias, Completion};
use switch_log as log;

/// The family.
pub const APIS: &[Api] = &[
    api!("alias", "mod_commands", ALIAS, "Alias", alias),
    api!("complete", "mod_commands", COMPLETE, "Complete", complete),
    api!("console", "mod_console", CONSOLE, "Control the console", console),
    api!("console_complete", "mod_commands", "<line>", "Console complete", console_complete),
    api!(
        "console_complete_xml",
        "mod_commands",
        "<line>",
        "Console complete",
        console_complete_xml
    ),
    api!("help", "mod_commands", "", "Show help for all the api commands", help),
];

const ALIAS: &str = "[add|stickyadd] <alias> <command> | del [<alias>|*]";
const COMPLETE: &str = "add <word>|del [<word>|*]";
const CONSOLE: &str = "loglevel <level number>|colorize <true|false>";
/// What may be typed after `console`.
pub const CONSOLE_LINES: &str = "console loglevel\nconsole loglevel console\nconsole loglevel alert\n\
console loglevel crit\nconsole loglevel err\nconsole loglevel warning\nconsole loglevel notice\n\
console loglevel info\nconsole loglevel debug\nconsole colorize";
/// More matches would not help anybody.
const MAX_MATCHES: usize = 1000;

fn alias(call: &ApiCall) -> String {
    let words = call.words(3);
    let console = &call.switch.stores.console;
    match (words.first().map(String::as_str), words.get(1), words.get(2)) {
        (Some(verb @ ("add" | "stickyadd")), Some(name), Some(command)) => {
            // It would run on this machine.
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
            // `_any_` is a place that takes any word.
            let word = |word| if word == "_any_" { "" } else { word }.to_owned();
            let words = text.split_whitespace().map(word).collect();
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

/// A half-typed line: the words before the cursor, and the start of the one at the cursor.
struct HalfTyped<'l> {
    before: Vec<&'l str>,
    typed: &'l str,
}

impl<'l> HalfTyped<'l> {
    /// Reads `LINE` or `c=CURSOR;LINE`.
    fn parse(args: &'l str) -> Self {
        let (line, cursor) = match args.strip_prefix("c=").and_then(|rest| rest.split_once(';')) {
            Some((cursor, line)) => (line, cursor.parse().unwrap_or(line.len())),
            None => (args, args.len()),
        };
        let line = line.get(..cursor.min(line.len())).unwrap_or(line).trim_start();
        let line = line.split(['\r', '\n']).next().unwrap_or_default();
        let mut before: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let within = !line.ends_with(' ') && !line.is_empty();
        let typed = if within { before.pop().unwrap_or_default() } else { "" };
        Self { before, typed }
    }
}

/// The reply that tells `fs_cli` what a half-typed line may become.
fn console_complete(call: &ApiCall) -> String {
    let line = HalfTyped::parse(&call.args);
    rendered(line.typed, &matches(&call.switch, &line))
}

/// The same as XML.
fn console_complete_xml(call: &ApiCall) -> String {
    let line = HalfTyped::parse(&call.args);
    rendered_xml(line.typed, &matches(&call.switch, &line))
}

/// Words the line may go on with, in the order the reference lists them: at each place lists come before words, and
/// what several lists have in common comes as often.
fn matches(switch: &Switch, line: &HalfTyped) -> Vec<String> {
    let HalfTyped { before, typed } = line;
    let console = &switch.stores.console;
    let mut found = Vec::new();
    if before.is_empty() {
        let begins = |word: &str| {
            word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
        };
        let apis = switch.apis.all();
        found.extend(apis.iter().map(|api| api.name.to_owned()).filter(|word| begins(word)));
        let taught = console.places(&[], false, 0).into_iter();
        found.extend(taught.filter(|w| begins(w) && !apis.iter().any(|api| api.name == w)));
        let aliases = console.aliases().into_iter().map(|alias| alias.alias);
        found.extend(aliases.filter(|word| begins(word)));
    } else {
        let mut words = before.clone();
        words.extend((!typed.is_empty()).then_some(*typed));
        for place in console.places(&words, !typed.is_empty(), before.len()) {
            found.extend(meanings(switch, &place, line));
        }
    }
    found.truncate(MAX_MATCHES);
    found
}

/// The words a place of a line stands for.
fn meanings(switch: &Switch, place: &str, line: &HalfTyped) -> Vec<String> {
    let begins = |word: &String| !word.is_empty() && word.starts_with(line.typed);
    if let Some(choice) = place.strip_prefix("::[") {
        return choice.split(':').map(str::to_owned).filter(begins).collect();
    }
    if !place.starts_with("::") {
        return vec![place.to_owned()];
    }
    let list = switch.provided(|provides| provides.name_lists).find(|list| list.name == place);
    let names = list.map(|list| (list.names)(switch, &line.before)).unwrap_or_default();
    names.into_iter().filter(begins).collect()
}

/// The lists of names that the core knows.
pub const NAME_LISTS: &[NameList] = &[
    NameList {
        name: "::console::list_uuid",
        names: |switch, _| {
            let channels = switch.channels();
            let uuids: BTreeSet<_> = channels.iter().map(|c| c.uuid().to_string()).collect();
            uuids.into_iter().collect()
        },
    },
    NameList {
        name: "::console::list_loaded_modules",
        names: |switch, _| {
            switch.loaded_modules().iter().map(|module| module.name().to_owned()).collect()
        },
    },
    NameList {
        name: "::console::list_available_modules",
        names: |switch, _| switch.linked().names().into_iter().map(str::to_owned).collect(),
    },
    NameList { name: "::console::list_interfaces", names: |_, _| devices() },
];

/// Network devices of this machine that are up.
fn devices() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let is_up = |entry: &std::fs::DirEntry| {
        let flags = std::fs::read_to_string(entry.path().join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16);
        flags.is_ok_and(|flags| flags & 1 != 0)
    };
    let mut names: Vec<_> =
        entries.filter(is_up).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Matches in columns of 20, four to a line, then what the client is to write.
fn rendered(typed: &str, found: &[String]) -> String {
    let mut out = String::from("\n\n");
    for (at, word) in found.iter().enumerate() {
        out.push_str(&format!("[{word:>20}]\t"));
        if at % 4 == 3 {
            out.push('\n');
        }
    }
    out.push_str("\n\n");
    match found {
        [] => {}
        [one] => out.push_str(&format!("write={}:{one} ", typed.len())),
        _ => match common(found) {
            "" => {}
            common => out.push_str(&format!("write={}:{common}", typed.len())),
        },
    }
    out
}

/// The same as an XML document.
fn rendered_xml(typed: &str, found: &[String]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = String::from("<?xml version=\"1.0\"?>\n<complete>\n");
    for word in found {
        out.push_str(&format!("  <match>{}</match>\n", escaped(word)));
    }
    let (length, write) = (typed.len(), escaped(common(found)));
    out.push_str(&format!("  <write length=\"{length}\">{write}</write>\n</complete>\n"));
    out
}

/// What all of these begin with.
fn common(found: &[String]) -> &str {
    let Some(first) = found.first() else { return "" };
    found.iter().fold(first.as_str(), |common, word| {
        let same = common
            .chars()
            .zip(word.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum();
        &common[..same]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> Vec<String> {
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

    #[test]
    fn the_cursor_divides_what_is_typed_from_what_is_not() {
        let line = HalfTyped::parse("c=9;sofia sta xx");
        assert_eq!((line.before, line.typed), (vec!["sofia"], "sta"));
        let line = HalfTyped::parse(" sofia  status ");
        assert_eq!((line.before, line.typed), (vec!["sofia", "status"], ""));
    }

    #[test]
    fn xml_has_a_match_each_and_what_is_to_be_written() {
        assert_eq!(
            rendered_xml("st", &set(&["status", "start"])),
            "<?xml version=\"1.0\"?>\n<complete>\n  <match>status</match>\n  <match>start</match>\n  \
             <write length=\"2\">sta</write>\n</complete>\n"
        );
        assert!(rendered_xml("zz", &[]).contains("<write length=\"2\"></write>"));
    }

    #[test]
    fn completions_are_for_commands_there_are_and_lists_that_are_known() {
        for line in crate::module::MODULES.iter().flat_map(|m| m.provides().completions.lines()) {
            let word = line.split(' ').next().unwrap_or_default();
            let families = crate::module::MODULES.iter().flat_map(|m| m.provides().commands);
            let known = families.copied().flatten().any(|api| api.name == word);
            // These are in other crates.
            let elsewhere = [
                "uuid_buglist",
                "uuid_displace",
                "uuid_limit",
                "uuid_limit_release",
                "uuid_record",
            ];
            assert!(known || word == "..." || elsewhere.contains(&word), "{line}");
            for list in
                line.split(' ').filter(|word| word.starts_with("::") && !word.starts_with("::["))
            {
                assert!(NAME_LISTS.iter().any(|known| known.name == list), "{line}");
            }
        }
    }
}
