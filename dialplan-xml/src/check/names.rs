//! Unknown applications, API commands, modules, endpoints and dialplans.

use super::Subject;
use crate::catalogue::{Kind, Support, is_gone_module, module_of_application};
use crate::{Diagnostic, Node, Place, Severity};

pub(super) fn check(subject: &mut Subject<'_>) {
    let section = subject.tree.section("dialplan");
    let nodes: Vec<_> = section.into_iter().flat_map(Node::descendants).collect();
    for node in nodes {
        if matches!(node.name(), "action" | "anti-action") {
            action(subject, node);
        } else if matches!(node.name(), "condition" | "regex") {
            for attr in ["field", "expression"] {
                apis(subject, node.attr_or_empty(attr), &node.attr_place(attr));
            }
        }
    }
    elsewhere(subject);
    modules(subject);
    dialplans(subject);
}

fn action(subject: &mut Subject<'_>, node: Node<'_>) {
    let application = node.attr_or_empty("application");
    if !application.is_empty() {
        name(subject, Kind::Application, application, node.attr_place("application"));
    }
    let (data, place) = data(node);
    argument(subject, application, data, &place);
}

/// What an application's argument names.
fn argument(subject: &mut Subject<'_>, application: &str, data: &str, place: &Place) {
    apis(subject, data, place);
    if application.eq_ignore_ascii_case("bridge") {
        for endpoint in endpoints(data) {
            name(subject, Kind::Endpoint, endpoint, place.clone());
        }
        for leg in legs_to(data, "loopback") {
            if let Some(run) = leg.strip_prefix("app=") {
                let application = run.split([':', ' ']).next().unwrap_or_default();
                name(subject, Kind::Application, application, place.clone());
            }
        }
    }
    for (kind, inner) in later(application, data) {
        name(subject, kind, inner, place.clone());
    }
}

/// Applications and API commands an argument keeps for later: hooks, keys, inline targets.
pub(crate) fn later<'d>(application: &str, data: &'d str) -> Vec<(Kind, &'d str)> {
    let word = |text: &'d str| text.split([' ', ':', ',', '(', '!']).next().unwrap_or_default();
    let found = match application.to_ascii_lowercase().as_str() {
        "set" | "export" => hook(data).map(|(kind, text)| (kind, word(text))),
        "bind_meta_app" => {
            data.splitn(4, ' ').nth(3).map(|text| (Kind::Application, word(text.trim())))
        }
        "bind_digit_action" => data.split(',').nth(2).and_then(|text| {
            let (verb, rest) = text.split_once(':')?;
            match verb.split('[').next()? {
                "exec" => Some((Kind::Application, word(rest))),
                "api" => Some((Kind::Api, word(rest))),
                _ => None,
            }
        }),
        _ => None,
    };
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    found.into_iter().filter(|(_, name)| plain(name)).collect()
}

/// `execute_on_answer=…` and its kin: what kind of thing it runs, and the text.
pub(super) fn hook(data: &str) -> Option<(Kind, &str)> {
    const APIS: [&str; 4] =
        ["api_hangup_hook", "api_reporting_hook", "api_after_bridge", "api_before_bridge"];
    let (variable, value) = data.split_once('=')?;
    let variable = variable.trim().trim_start_matches("nolocal:").to_ascii_lowercase();
    let value = value.trim_matches(['\'', ' ']);
    if variable.starts_with("execute_on_") {
        Some((Kind::Application, value))
    } else if variable.starts_with("api_on_") || APIS.contains(&&*variable) {
        Some((Kind::Api, value))
    } else {
        None
    }
}

/// The argument of an action and where it is written.
pub(super) fn data(node: Node<'_>) -> (&str, Place) {
    if node.text().is_empty() {
        (node.attr_or_empty("data"), node.attr_place("data"))
    } else {
        (node.text(), node.place())
    }
}

/// Commands in `${command(…)}`.
fn apis(subject: &mut Subject<'_>, text: &str, place: &Place) {
    for command in api_references(text) {
        name(subject, Kind::Api, command, place.clone());
    }
}

/// What menus run, and what is asked while phones are dialled.
fn elsewhere(subject: &mut Subject<'_>) {
    let menus = subject.tree.configuration("ivr.conf").and_then(|conf| conf.child("menus"));
    for entry in menus.into_iter().flat_map(Node::descendants).filter(|n| n.name() == "entry") {
        if !entry.attr_or_empty("action").eq_ignore_ascii_case("menu-exec-app") {
            continue;
        }
        let (param, place) = (entry.attr_or_empty("param"), entry.attr_place("param"));
        if param.is_empty() || param.starts_with(':') {
            continue;
        }
        let (application, data) = param.split_once([' ', ':']).unwrap_or((param, ""));
        name(subject, Kind::Application, application, place.clone());
        argument(subject, application, data, &place);
    }
    let directory = subject.tree.section("directory");
    let params = directory.into_iter().flat_map(Node::descendants).filter(|n| n.name() == "param");
    for param in params.filter(|p| p.attr_or_empty("name").ends_with("dial-string")) {
        let (value, place) = (param.attr_or_empty("value"), param.attr_place("value"));
        apis(subject, value, &place);
        for endpoint in endpoints(value) {
            name(subject, Kind::Endpoint, endpoint, place.clone());
        }
    }
}

fn name(subject: &mut Subject<'_>, kind: Kind, name: &str, place: Place) {
    if name.contains('$') {
        return;
    }
    let aimed = |found: Diagnostic| match kind {
        Kind::Api => found.with_focus(format!("${{{name}"), 2),
        _ => found.with_focus(name, 0),
    };
    let what = kind.as_str();
    let (unknown, idle) = match kind {
        Kind::Application => ("application-unknown", "application-without-effect"),
        Kind::Api => ("api-unknown", "api-without-effect"),
        Kind::Module => ("module-unknown", "module-without-effect"),
        Kind::Endpoint => ("endpoint-unknown", "endpoint-without-effect"),
        Kind::Dialplan => ("dialplan-unknown", "dialplan-without-effect"),
    };
    match subject.catalogue.support(kind, name) {
        Support::Honoured | Support::Accepted => {
            if let Some(why) = subject.catalogue.idle(kind, name) {
                let message = format!("{what} \"{name}\" is accepted and does nothing: {why}");
                subject.say(aimed(Diagnostic::info("no-effect", message, Some(place.clone()))));
            }
            let Some(module) = super::files::unloaded(subject, kind, name) else { return };
            let (code, end) = match kind {
                Kind::Application => ("application-not-loaded", ": the call ends here"),
                Kind::Api => ("api-not-loaded", ": it answers nothing"),
                _ => ("endpoint-not-loaded", ": the call fails"),
            };
            let message =
                format!("{what} \"{name}\" belongs to {module}, which is not loaded{end}");
            let found = Diagnostic::error(code, message, Some(place));
            let hint = format!("add <load module=\"{module}\"/> to modules.conf");
            subject.say(aimed(found).with_hint(hint));
        }
        Support::Unavailable => {
            let mut message = format!("{what} \"{name}\" is not available here");
            if kind == Kind::Application
                && let Some(module) = module_of_application(name)
            {
                message.push_str(&format!(" (it belongs to {module})"));
            }
            subject.say(aimed(Diagnostic::warning(idle, message, Some(place))));
        }
        Support::Unknown => {
            let message = format!("there is no {what} \"{name}\"");
            let mut found = Diagnostic::error(unknown, message, Some(place));
            if kind == Kind::Module && is_gone_module(name) {
                found.severity = Severity::Warning;
                found = found.with_hint("the reference has not had it for years; remove the line");
            } else if kind == Kind::Module && subject.catalogue.nearest(kind, name).is_none() {
                let message = format!("module \"{name}\" is not available here");
                found = Diagnostic::warning("module-without-effect", message, found.place);
                found = found.with_hint("neither this switch nor the reference has it");
            } else if kind == Kind::Application && name.bytes().all(|b| b.is_ascii_digit()) {
                found = found.with_hint(format!("a number is called with: transfer {name} …"));
            } else if let Some(near) = subject.catalogue.nearest(kind, name) {
                found = found.with_hint(format!("did you mean \"{near}\"?"));
            }
            subject.say(aimed(found));
        }
    }
}

fn modules(subject: &mut Subject<'_>) {
    for file in ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"] {
        let conf = crate::config::ModulesConf::read(subject.tree.configuration(file));
        for load in conf.modules {
            name(subject, Kind::Module, &load.module, load.place);
        }
    }
}

/// Dialplan names in profiles and transfers.
fn dialplans(subject: &mut Subject<'_>) {
    let sofia = crate::config::SofiaConf::read(subject.tree.configuration("sofia.conf"));
    for profile in sofia.profiles {
        for param in profile.settings.iter().flat_map(|s| s.param("dialplan")) {
            for word in param.value.split(',') {
                let word = word.split(':').next().unwrap_or_default().trim();
                if !word.is_empty() {
                    name(subject, Kind::Dialplan, word, param.place.clone());
                }
            }
        }
    }
}

/// Names of the API commands a text calls: `${name(…)}` and `${name …}`.
pub fn api_references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("${") {
        let body = text.get(at + 2..).unwrap_or_default();
        let end = body.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-' && c != '.');
        let Some(end) = end.filter(|&e| e > 0) else { continue };
        if matches!(body.as_bytes().get(end), Some(b'(' | b' ')) {
            names.extend(body.get(..end));
        }
    }
    names
}

/// Names of the endpoints a dial string uses, as far as they are written out.
pub fn endpoints(dial_string: &str) -> Vec<&str> {
    legs(dial_string).into_iter().filter_map(|leg| Some(endpoint(leg)?.0)).collect()
}

/// What follows `endpoint/` in the legs of a dial string that go there.
pub(crate) fn legs_to<'t>(dial_string: &'t str, wanted: &str) -> Vec<&'t str> {
    let all = legs(dial_string).into_iter().filter_map(endpoint);
    all.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, rest)| rest).collect()
}

/// The legs of a dial string without their options.
pub(super) fn addresses(dial_string: &str) -> Vec<&str> {
    legs(dial_string).into_iter().map(skip_options).collect()
}

/// A leg's endpoint and the rest of it.
fn endpoint(leg: &str) -> Option<(&str, &str)> {
    let (name, rest) = skip_options(leg).split_once('/')?;
    let plain = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    plain.then_some((name, rest))
}

/// Splits at `,`, `|` and `:_:` outside brackets.
fn legs(text: &str) -> Vec<&str> {
    let mut legs = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, b) in text.bytes().enumerate() {
        let length = match b {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                continue;
            }
            b'}' | b']' | b')' | b'>' => {
                depth = depth.saturating_sub(1);
                continue;
            }
            b',' | b'|' => 1,
            b':' if text.get(at..).is_some_and(|rest| rest.starts_with(":_:")) => 3,
            _ => continue,
        };
        if depth == 0 && at >= from {
            legs.extend(text.get(from..at));
            from = at + length;
        }
    }
    legs.extend(text.get(from..));
    legs
}

/// Leaves out `<…>`, `{…}` and `[…]` in front of a leg.
fn skip_options(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(' ');
        let close = match text.as_bytes().first() {
            Some(b'{') => '}',
            Some(b'[') => ']',
            Some(b'<') => '>',
            _ => return text,
        };
        let mut depth = 0_usize;
        let open = text.chars().next().unwrap_or(close);
        let end = text.char_indices().find_map(|(at, c)| {
            depth = if c == open { depth + 1 } else { depth - usize::from(c == close) };
            (depth == 0).then_some(at)
        });
        let Some(end) = end else { return "" };
        text = text.get(end + 1..).unwrap_or_default();
    }
}
