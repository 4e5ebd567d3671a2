//! Applications, API commands, modules, endpoints and dialplans nobody knows.

use super::Subject;
use crate::catalogue::{Kind, Support, is_gone_module, module_of_application};
use crate::{Diagnostic, Node, Place};

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
    modules(subject);
    dialplans(subject);
}

fn action(subject: &mut Subject<'_>, node: Node<'_>) {
    let application = node.attr_or_empty("application");
    if !application.is_empty() {
        name(subject, Kind::Application, application, node.attr_place("application"));
    }
    let (data, place) = data(node);
    apis(subject, data, &place);
    if application.eq_ignore_ascii_case("bridge") {
        for endpoint in endpoints(data) {
            name(subject, Kind::Endpoint, endpoint, place.clone());
        }
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

fn apis(subject: &mut Subject<'_>, text: &str, place: &Place) {
    for command in api_references(text) {
        name(subject, Kind::Api, command, place.clone());
    }
}

fn name(subject: &mut Subject<'_>, kind: Kind, name: &str, place: Place) {
    if name.contains('$') {
        return;
    }
    let what = kind.as_str();
    let (unknown, idle) = match kind {
        Kind::Application => ("application-unknown", "application-without-effect"),
        Kind::Api => ("api-unknown", "api-without-effect"),
        Kind::Module => ("module-unknown", "module-without-effect"),
        Kind::Endpoint => ("endpoint-unknown", "endpoint-without-effect"),
        Kind::Dialplan => ("dialplan-unknown", "dialplan-without-effect"),
    };
    match subject.catalogue.support(kind, name) {
        Support::Honoured => {}
        Support::Accepted => {
            let mut message = format!("{what} \"{name}\" is not available here");
            if kind == Kind::Application
                && let Some(module) = module_of_application(name)
            {
                message.push_str(&format!(" (it belongs to {module})"));
            }
            subject.say(Diagnostic::warning(idle, message, Some(place)));
        }
        Support::Unknown => {
            let message = format!("there is no {what} \"{name}\"");
            let mut found = Diagnostic::error(unknown, message, Some(place));
            if kind == Kind::Module && is_gone_module(name) {
                found.severity = crate::Severity::Warning;
                found = found.with_hint("the reference has not had it for years; remove the line");
            } else if let Some(near) = subject.catalogue.nearest(kind, name) {
                found = found.with_hint(format!("did you mean \"{near}\"?"));
            }
            subject.say(found);
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
    let legs = legs(dial_string);
    let leg = |text: &'_ str| -> Option<(usize, usize)> {
        let rest = skip_options(text);
        let end = rest.find('/')?;
        let name = rest.get(..end)?;
        let plain = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let start = text.len() - rest.len();
        plain.then_some((start, start + end))
    };
    legs.into_iter().filter_map(|l| leg(l).and_then(|(a, b)| l.get(a..b))).collect()
}

/// Splits at `,` and `|` outside brackets.
fn legs(text: &str) -> Vec<&str> {
    let mut legs = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, b) in text.bytes().enumerate() {
        match b {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            b',' | b'|' if depth == 0 => {
                legs.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    legs.extend(text.get(from..));
    legs
}

/// Leaves out `<…>`, `{…}` and `[…]` in front of a leg.
fn skip_options(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches([' ', ':', '_']);
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
