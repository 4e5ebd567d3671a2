//! The generated pages of `docs/`: tables made of what the core and the modules declare.
//!
//! A test compares them with the files; `UPDATE_DOCS=1 cargo test -p media-node --lib` writes the files anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dialplan_xml::catalogue::{Kind, reference_names, reference_params};
use dialplan_xml::declare::Parameters;

use switch_core::contract::Linked;

use crate::declarations::declared;

/// The pages, each with its file in `docs/`. The last is a part of its file, between two marks.
pub const PAGES: [(&str, &str); 6] = [
    ("parameters", "parameters.md"),
    ("applications", "applications.md"),
    ("commands", "commands.md"),
    ("variables", "variables.md"),
    ("events", "events.md"),
    ("no-effect", "COMPATIBILITY.md"),
];

/// Lines around a generated part of a page that is written by hand.
pub const MARKS: (&str, &str) = ("<!-- generated: no-effect -->\n", "<!-- end of generated -->\n");

/// The text of a page; `None` when there is none of that name.
#[must_use]
pub fn page(name: &str, modules: &Linked) -> Option<String> {
    Some(match name {
        "parameters" => parameters(modules),
        "applications" => applications(modules),
        "commands" => commands(modules),
        "variables" => variables(modules),
        "events" => events(modules),
        "no-effect" => without_effect(modules),
        _ => return None,
    })
}

fn head(title: &str, page: &str, text: &str) -> String {
    format!("# {title}\n\n{text}\n\nGenerated: `ferroswitch reference {page}` prints this page.\n")
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

/// A default: names of other parameters and variables are marked already.
fn default(text: &str) -> String {
    if text.is_empty() || text.contains(['`', ' ', '\'']) { cell(text) } else { code(text) }
}

fn effect(doc: &str, why: Option<&str>) -> String {
    match why {
        None => cell(doc),
        Some(why) => format!("{}. **No effect**: {}", cell(doc), cell(why)),
    }
}

/// `name, name, …` in lines of a bearable length.
fn listed(names: &[&str]) -> String {
    let mut out = String::new();
    let mut width = 0;
    for (number, name) in names.iter().enumerate() {
        let comma = if number + 1 < names.len() { "," } else { "" };
        let word = format!("`{name}`{comma}");
        if width > 0 && width + word.len() > 118 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        width += word.len();
        out.push_str(&word);
    }
    out
}

fn parameters(modules: &Linked) -> String {
    let mut out = head(
        "Parameters",
        "parameters",
        "What is honoured of the configuration files, by file and kind of element. What FreeSWITCH knows besides is accepted\n\
         without effect, and listed below each table; `ferroswitch check -v` names it in a configuration of yours.",
    );
    let mut tables: Vec<(&str, &Parameters)> = declared(modules)
        .flat_map(|(module, provides)| provides.parameters.iter().map(move |t| (module, t)))
        .collect();
    tables.sort_by_key(|(_, table)| (table.file, table.scope));
    for (module, table) in tables {
        let scope =
            if table.scope.is_empty() { String::new() } else { format!(", {}", table.scope) };
        let _ = write!(
            out,
            "\n## {}{scope}\n\nRead by {module}.\n\n| parameter | value | default | what it changes |\n\
             | --- | --- | --- | --- |\n",
            table.file
        );
        for parameter in table.list {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                parameter.name,
                cell(&parameter.value.to_string()),
                default(parameter.default),
                effect(parameter.doc, parameter.effect.why_none())
            );
        }
        let known = |name: &&str| table.list.iter().any(|p| p.name.eq_ignore_ascii_case(name));
        let rest: Vec<_> =
            reference_params(table.file, table.scope).filter(|name| !known(name)).collect();
        if !rest.is_empty() {
            let _ = write!(out, "\nAccepted without effect: {}\n", listed(&rest));
        }
    }
    out
}

/// Applications or commands by module: name, syntax, description, and why one has no effect.
type Entries = BTreeMap<&'static str, BTreeMap<&'static str, (&'static str, String)>>;

fn by_module(out: &mut String, entries: &Entries, kind: Kind) {
    for (module, list) in entries {
        let _ = write!(
            out,
            "\n## {module}\n\n| name | argument | what it does |\n| --- | --- | --- |\n"
        );
        for (name, (syntax, text)) in list {
            let _ = writeln!(out, "| `{name}` | {} | {text} |", code(syntax));
        }
    }
    let here = |name: &str| {
        entries.values().any(|list| list.keys().any(|own| own.eq_ignore_ascii_case(name)))
    };
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, module) in reference_names(kind).filter(|(name, _)| !here(name)) {
        missing.entry(module).or_default().push(name);
    }
    out.push_str(
        "\n## Not here\n\nFreeSWITCH's others, by module:\n\n| module | names |\n| --- | --- |\n",
    );
    for (module, names) in missing {
        let _ = writeln!(out, "| {module} | {} |", listed(&names).replace('\n', " "));
    }
}

fn applications(modules: &Linked) -> String {
    let mut out = head(
        "Applications",
        "applications",
        "Applications of the dialplan, by the module they are loaded with.",
    );
    let mut entries = Entries::new();
    for app in modules.applications().flatten() {
        let text = effect(app.description, app.effect.why_none());
        entries.entry(app.module).or_default().insert(app.name, (app.syntax, text));
    }
    by_module(&mut out, &entries, Kind::Application);
    out
}

fn commands(modules: &Linked) -> String {
    let mut out = head(
        "API commands",
        "commands",
        "Commands of the Event Socket, the console and `${…}`, by the module they are loaded with.",
    );
    let mut entries = Entries::new();
    for api in modules.commands().flatten() {
        let text = effect(api.description, api.effect.why_none());
        entries.entry(api.module).or_default().insert(api.name, (api.syntax, text));
    }
    by_module(&mut out, &entries, Kind::Api);
    out
}

fn variables(modules: &Linked) -> String {
    let mut out = head(
        "Channel variables",
        "variables",
        "Variables the switch reads (a dialplan or a client sets them) and sets. A name that ends in `*` stands for all that\n\
         begin so.",
    );
    for (module, provides) in declared(modules).filter(|(_, p)| !p.variables.is_empty()) {
        let _ = write!(
            out,
            "\n## {module}\n\n| variable | | value | what it changes or tells |\n| --- | --- | --- | --- |\n"
        );
        let mut list: Vec<_> = provides.variables.iter().copied().flatten().collect();
        list.sort_by_key(|variable| variable.name.to_ascii_lowercase());
        for variable in list {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                variable.name,
                variable.access.as_str(),
                cell(&variable.value.to_string()),
                effect(variable.doc, variable.effect.why_none())
            );
        }
    }
    out
}

fn events(modules: &Linked) -> String {
    let mut out = head(
        "Events",
        "events",
        "Events the switch fires. Those of modules are `CUSTOM`, with this `Event-Subclass`. Every other name of FreeSWITCH can be\n\
         subscribed to and fired by clients.",
    );
    for (module, provides) in declared(modules).filter(|(_, p)| !p.events.is_empty()) {
        let _ = write!(out, "\n## {module}\n\n| event | when |\n| --- | --- |\n");
        for event in provides.events.iter().copied().flatten() {
            let _ = writeln!(out, "| `{}` | {} |", event.name, cell(event.doc));
        }
    }
    out
}

/// Everything that is accepted and does nothing, and why.
fn without_effect(modules: &Linked) -> String {
    let mut out = String::from("| what | why it does nothing |\n| --- | --- |\n");
    let mut row = |what: String, why: &str| {
        let _ = writeln!(out, "| {what} | {} |", cell(why));
    };
    for app in modules.applications().flatten() {
        if let Some(why) = app.effect.why_none() {
            row(format!("application `{}`", app.name), why);
        }
    }
    for api in modules.commands().flatten() {
        if let Some(why) = api.effect.why_none() {
            row(format!("command `{}`", api.name), why);
        }
    }
    for (_, provides) in declared(modules) {
        provides.idle.iter().for_each(|(what, why)| row(code(what), why));
        for table in provides.parameters {
            let from = [table.file, table.scope].join(" ");
            for parameter in table.list {
                if let Some(why) = parameter.effect.why_none() {
                    row(format!("parameter `{}` of {}", parameter.name, from.trim()), why);
                }
            }
        }
        for variable in provides.variables.iter().copied().flatten() {
            if let Some(why) = variable.effect.why_none() {
                row(format!("variable `{}`", variable.name), why);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::linked::linked;

    #[test]
    fn the_pages_of_docs_say_what_is_declared() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut wrong = Vec::new();
        for (name, file) in PAGES {
            let path = docs.join(file);
            let made = page(name, &linked()).expect("a page of this name");
            let written = fs::read_to_string(&path).unwrap_or_default();
            let wanted = if name == "no-effect" {
                let (before, rest) = written.split_once(MARKS.0).expect("the first mark");
                let (_, after) = rest.split_once(MARKS.1).expect("the second mark");
                format!("{before}{}{made}{}{after}", MARKS.0, MARKS.1)
            } else {
                made
            };
            if wanted == written {
                continue;
            }
            if std::env::var_os("UPDATE_DOCS").is_some() {
                fs::write(&path, wanted).expect("the page is written");
            } else {
                wrong.push(file);
            }
        }
        let how = "UPDATE_DOCS=1 cargo test -p media-node --lib reference";
        assert!(wrong.is_empty(), "docs/ says otherwise in {wrong:?}: {how}");
    }

    #[test]
    fn tables_hold_what_is_typed_into_them() {
        assert_eq!(cell("a|b <c>"), "a\\|b &lt;c>");
        assert_eq!(default("5060"), "`5060`");
        assert_eq!(default("`sip-ip`"), "`sip-ip`");
        let long: Vec<_> = std::iter::repeat_n("parameter-name", 20).collect();
        assert!(listed(&long).lines().all(|line| line.len() <= 120));
    }
}
