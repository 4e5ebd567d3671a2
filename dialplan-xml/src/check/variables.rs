//! Channel variables that look misspelt: set and never read, or read and never set, and
//! nearly those of the reference.

use std::collections::BTreeSet;

use super::Subject;
use super::uses::Use;
use crate::catalogue::variables::{is_free, names, variable};
use crate::catalogue::{Kind, Support, nearest};
use crate::dialplan::PROFILE_FIELDS;
use crate::{Diagnostic, Node, Place};

/// Shortest name that is judged: short ones are near to anything.
const SHORTEST: usize = 7;

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    let set = set_by(subject, uses);
    let read = read_by(subject);
    let read_names: BTreeSet<String> = read.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
    let mut set_names: BTreeSet<String> = set.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
    set_names.extend(subject.globals.iter().map(|(name, _)| name.to_ascii_lowercase()));
    for (name, place) in &set {
        let declared = subject.catalogue.variable(name);
        if let Some(why) = declared.and_then(|variable| variable.effect.why_none()) {
            let message = format!("variable \"{name}\" is accepted and does nothing: {why}");
            let found = Diagnostic::info("no-effect", message, Some(place.clone()));
            subject.say(found.with_focus(*name, 0));
        }
        if declared.is_some() || known(name) || read_names.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        if let Some(near) = near(name) {
            let message = format!("nothing reads the variable \"{name}\"");
            let found = Diagnostic::warning("variable-unlikely", message, Some(place.clone()));
            subject.say(found.with_focus(*name, 0).with_hint(format!("did you mean {near}?")));
        }
    }
    for (name, place) in &read {
        if known(name) || set_names.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        // A command that was forgotten its arguments is one all the same.
        if subject.catalogue.support(Kind::Api, name) != Support::Unknown {
            continue;
        }
        if let Some(near) = near(name) {
            let message = format!("nothing sets the variable \"{name}\": it is empty");
            let found = Diagnostic::warning("variable-unlikely", message, Some(place.clone()));
            let found = found.with_focus(format!("${{{name}"), 2);
            subject.say(found.with_hint(format!("did you mean {near}?")));
        }
    }
}

fn known(name: &str) -> bool {
    name.len() < SHORTEST
        || variable(name).is_some()
        || is_free(name)
        || PROFILE_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name))
}

fn near(name: &str) -> Option<String> {
    // Numbers at the end count things of one kind.
    let counted = name.ends_with(|c: char| c.is_ascii_digit());
    nearest(name, names().chain(PROFILE_FIELDS)).filter(|_| !counted)
}

/// Names the configuration gives values to.
fn set_by<'t>(subject: &Subject<'t>, uses: &[Use<'t>]) -> Vec<(&'t str, Place)> {
    let mut set = Vec::new();
    for one in uses {
        let application = one.application.to_ascii_lowercase();
        match application.as_str() {
            "set" | "export" | "bridge_export" | "set_global" | "push" | "unshift" => {
                assigned(one.data, &one.place, &mut set);
            }
            "multiset" => {
                let (list, separator) = crate::text::chosen_delimiter(one.data, ' ');
                list.split(separator).for_each(|item| assigned(item, &one.place, &mut set));
            }
            "bridge" => {
                let inside = one.data.split(['{', '[', ',', '}', ']']);
                inside.for_each(|item| assigned(item, &one.place, &mut set));
            }
            "read" => named(one.data.split_whitespace().nth(3), &one.place, &mut set),
            "play_and_get_digits" => {
                named(one.data.split_whitespace().nth(7), &one.place, &mut set);
            }
            _ => {}
        }
    }
    for section in ["directory", "configuration"] {
        let nodes = subject.tree.section(section).into_iter().flat_map(Node::descendants);
        for node in nodes.filter(|n| n.name() == "variable") {
            named(node.attr("name"), &node.attr_place("name"), &mut set);
        }
    }
    set
}

fn assigned<'t>(item: &'t str, place: &Place, set: &mut Vec<(&'t str, Place)>) {
    let name = item.split_once('=').map(|(name, _)| name.trim().trim_start_matches("nolocal:"));
    named(name, place, set);
}

fn named<'t>(name: Option<&'t str>, place: &Place, set: &mut Vec<(&'t str, Place)>) {
    let plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    set.extend(name.filter(plain).map(|name| (name, place.clone())));
}

/// Names the configuration asks for, as `${name}`.
fn read_by<'t>(subject: &Subject<'t>) -> Vec<(&'t str, Place)> {
    let mut read = Vec::new();
    for node in subject.tree.root().descendants() {
        for (attribute, value) in node.attrs() {
            references(value, || node.attr_place(attribute), &mut read);
        }
        references(node.text(), || node.place(), &mut read);
    }
    read
}

fn references<'t>(text: &'t str, place: impl Fn() -> Place, read: &mut Vec<(&'t str, Place)>) {
    for (at, _) in text.match_indices("${") {
        let body = text.get(at + 2..).unwrap_or_default();
        let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
        // Parts (`:0:3`), array elements and defaults belong to a variable; arguments to a command.
        let variable = matches!(body.as_bytes().get(end), Some(b'}' | b':' | b'['));
        if end > 0 && variable {
            read.extend(body.get(..end).map(|name| (name, place())));
        }
    }
}
