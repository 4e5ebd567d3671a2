//! `show`: lists of what there is and what goes on.

mod calls;
mod table;

use table::{Format, Table, count};

use super::{Api, ApiCall, status, usage};
use crate::api;
use crate::switch::Switch;
use esl_server::console::MAX_WORDS;
use switch_core::modules::{Interface, interfaces};

const SYNTAX: &str = "codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|\
calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|\
interface_types|tasks|limits|status";

/// The family.
pub const APIS: &[Api] = &[api!("show", "mod_commands", SYNTAX, "Show various reports", run)];

fn run(call: &ApiCall) -> String {
    let words = call.words(6);
    let word = |at: usize| words.get(at).map(String::as_str);
    let Some(what) = word(0) else { return usage(SYNTAX) };
    let what = what.to_ascii_lowercase();
    let countable = matches!(what.as_str(), "calls" | "channels" | "registrations");
    let counting = countable && word(1) == Some("count");
    let like = (what == "channels" && word(1) == Some("like")).then(|| word(2)).flatten();
    // `as` is looked for where the reference looks for it, and nowhere else.
    let at = if like.is_some() { 3 } else { 1 + usize::from(counting) };
    let format =
        if word(at) == Some("as") { word(at + 1).map(|name| (name, word(at + 2))) } else { None };
    let format = match format {
        Some((name, delimiter)) => match Format::parse(name, delimiter) {
            Some(format) => format,
            None => return format!("-ERR Cannot find format {name}\n"),
        },
        None => Format::Delimited(",".into()),
    };
    let switch = &call.switch;
    if counting {
        let rows = match what.as_str() {
            "calls" => calls::call_count(switch),
            "channels" => calls::channel_count(switch),
            _ => switch.stores.registrations.all().len(),
        };
        return count(rows, &format);
    }
    if what.starts_with("status") {
        return status::status_text(switch);
    }
    if what.starts_with("help") {
        // As in the reference: rows without names and total where they are not asked for in another form.
        let table = commands(switch);
        return match &format {
            Format::Delimited(delimiter) => table.rows_only(delimiter),
            _ => table.print(&format),
        };
    }
    let wanted = word(1).filter(|word| *word != "as");
    listing(switch, &what, wanted, like).map_or_else(|| usage(SYNTAX), |table| table.print(&format))
}

fn listing(switch: &Switch, what: &str, wanted: Option<&str>, like: Option<&str>) -> Option<Table> {
    if let Some(kind) = kind_of(what) {
        return Some(named(switch, |interface| interface.kind == kind));
    }
    Some(match what {
        "channels" => calls::channels(switch, like),
        "calls" => calls::calls(switch, false, false),
        "bridged_calls" => calls::calls(switch, true, false),
        "detailed_calls" => calls::calls(switch, false, true),
        "detailed_bridged_calls" => calls::calls(switch, true, true),
        "registrations" => registrations(switch),
        "interfaces" => named(switch, |_| true),
        "interface_types" => interface_types(switch),
        _ if what.starts_with("module") => modules(switch, wanted),
        "application" | "api" => described(switch, what, wanted),
        "tasks" => tasks(switch),
        "stuck" => told(switch, "watchdog.stuck", &STUCK)?,
        "event_clients" => told(switch, "event_socket.clients", &CLIENTS)?,
        "aliases" => aliases(switch),
        "complete" => completions(switch),
        "nat_map" => Table::new(&["port", "proto", "proto_num", "sticky"]),
        _ => return None,
    })
}

/// Kinds that are listed by name; a longer word that begins like one of them asks for it too, and finds nothing
/// unless all it has more is a plural.
const KINDS: &[&str] =
    &["codec", "dialplan", "file", "timer", "chat", "limit", "say", "management", "endpoint"];

/// The kind of interface a word asks for.
fn kind_of(what: &str) -> Option<&str> {
    let asked = KINDS.iter().any(|kind| what.starts_with(kind));
    asked.then(|| what.strip_suffix('s').unwrap_or(what))
}

/// Columns of legs that do not go on, as mod_watchdog sees them.
const STUCK: [&str; 6] = ["uuid", "name", "reason", "waits_for", "since", "seconds"];
/// Columns of Event Socket clients and how far each is behind.
const CLIENTS: [&str; 9] =
    ["client", "address", "user", "since", "waiting", "bytes", "lag_ms", "lost", "sent"];

/// Rows that a method of the `json` command gives; nothing where its module is not loaded.
fn told(switch: &Switch, method: &str, columns: &[&'static str]) -> Option<Table> {
    let answer = switch.provided(|provides| provides.json).find(|kind| kind.name == method)?;
    let rows = (answer.answer)(switch, &serde_json::Map::new()).ok()?;
    let mut table = Table::new(columns);
    for row in rows.as_array().into_iter().flatten() {
        let text = |name: &&str| match &row[*name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.rows.push(columns.iter().map(text).collect());
    }
    Some(table)
}

fn sorted(switch: &Switch, wanted: impl Fn(&Interface) -> bool) -> Vec<Interface> {
    let mut found = interfaces(switch);
    found.retain(wanted);
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

fn named(switch: &Switch, wanted: impl Fn(&Interface) -> bool) -> Table {
    let mut table = Table::new(&["type", "name", "ikey"]);
    for interface in sorted(switch, wanted) {
        table.rows.push(vec![interface.kind.into(), interface.name, interface.module.into()]);
    }
    table
}

fn modules(switch: &Switch, wanted: Option<&str>) -> Table {
    let mut table = Table::new(&["type", "name", "ikey", "filename"]);
    for interface in sorted(switch, |interface| wanted.is_none_or(|key| interface.module == key)) {
        let filename = interface.filename(switch);
        table.rows.push(vec![
            interface.kind.into(),
            interface.name,
            interface.module.into(),
            filename,
        ]);
    }
    table
}

fn described(switch: &Switch, kind: &str, wanted: Option<&str>) -> Table {
    let mut table = Table::new(&["name", "description", "syntax", "ikey"]);
    let meant = |interface: &Interface| {
        interface.kind == kind
            && !interface.description.is_empty()
            && wanted.is_none_or(|name| interface.name.eq_ignore_ascii_case(name))
    };
    for interface in sorted(switch, meant) {
        let row = vec![
            interface.name,
            interface.description.into(),
            interface.syntax.into(),
            interface.module.into(),
        ];
        table.rows.push(row);
    }
    table
}

fn commands(switch: &Switch) -> Table {
    let mut table = Table::new(&["name", "syntax", "description", "ikey"]);
    for interface in sorted(switch, |interface| interface.kind == "api") {
        let (syntax, description) = (interface.syntax.into(), interface.description.into());
        table.rows.push(vec![interface.name, syntax, description, interface.module.into()]);
    }
    table
}

fn interface_types(switch: &Switch) -> Table {
    let mut table = Table::new(&["type", "total"]);
    let mut totals = std::collections::BTreeMap::<&str, usize>::new();
    for interface in interfaces(switch) {
        *totals.entry(interface.kind).or_default() += 1;
    }
    table.rows =
        totals.into_iter().map(|(kind, total)| vec![kind.to_owned(), total.to_string()]).collect();
    table
}

fn hostname(switch: &Switch) -> String {
    switch.global("hostname").unwrap_or_default()
}

fn registrations(switch: &Switch) -> Table {
    let mut table = Table::new(&[
        "reg_user",
        "realm",
        "token",
        "url",
        "expires",
        "network_ip",
        "network_port",
        "network_proto",
        "hostname",
        "metadata",
    ]);
    for one in switch.stores.registrations.all() {
        table.rows.push(vec![
            one.user,
            one.realm,
            one.token,
            one.url,
            one.expires.to_string(),
            one.network_ip,
            one.network_port.to_string(),
            one.network_proto,
            hostname(switch),
            one.metadata,
        ]);
    }
    table
}

fn tasks(switch: &Switch) -> Table {
    let mut table = Table::new(&[
        "task_id",
        "task_desc",
        "task_group",
        "task_runtime",
        "task_sql_manager",
        "hostname",
    ]);
    for task in switch.scheduler.tasks() {
        table.rows.push(vec![
            task.id.to_string(),
            task.job.description,
            task.job.group,
            task.runtime.to_string(),
            "0".into(),
            hostname(switch),
        ]);
    }
    table
}

fn aliases(switch: &Switch) -> Table {
    let mut table = Table::new(&["sticky", "alias", "command", "hostname"]);
    for known in switch.stores.console.aliases() {
        table.rows.push(vec![
            u8::from(known.sticky).to_string(),
            known.alias,
            known.command,
            hostname(switch),
        ]);
    }
    table
}

fn completions(switch: &Switch) -> Table {
    let mut table = Table::new(&[
        "sticky", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "hostname",
    ]);
    for known in switch.stores.console.completions() {
        let mut row = vec![u8::from(known.sticky).to_string()];
        row.extend(known.words);
        row.resize(MAX_WORDS + 1, String::new());
        row.push(hostname(switch));
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn kinds_are_asked_for_in_the_plural_too() {
        assert_eq!(kind_of("codecs"), Some("codec"));
        assert_eq!(kind_of("limit"), Some("limit"));
        assert_eq!(kind_of("limits"), Some("limit"));
        assert_eq!(kind_of("filex"), Some("filex"));
        assert_eq!(kind_of("calls"), None);
        assert_eq!(kind_of("interfaces"), None);
    }
}
