//! Elements and attributes that are not read: misspelt, or in the wrong place.

use super::Subject;
use crate::catalogue::elements::{Element, Grammar};
use crate::catalogue::nearest;
use crate::text::{is_false, is_true};
use crate::{Diagnostic, Node};

pub(super) fn check(subject: &mut Subject<'_>) {
    for section in subject.tree.root().children_named("section") {
        let name = section.attr_or_empty("name").to_ascii_lowercase();
        if name == "configuration" {
            for conf in section.children_named("configuration") {
                let file = conf.attr_or_empty("name").to_ascii_lowercase();
                if super::params::is_read(subject.tree, &file) {
                    document(subject, conf, &file);
                }
            }
        } else {
            document(subject, section, &name);
        }
    }
}

fn document(subject: &mut Subject<'_>, root: Node<'_>, name: &str) {
    if let Some(grammar) = Grammar::of(name) {
        element(subject, grammar, root);
    } else {
        params(subject, root);
    }
}

/// Files the reference reads in ways not written down here: at least their parameters are known.
fn params(subject: &mut Subject<'_>, root: Node<'_>) {
    let shape = Element { attributes: vec!["name", "value"], children: Vec::new(), open: true };
    for node in root.descendants().filter(|n| n.name() == "param") {
        for (attribute, _) in node.attrs() {
            let near = nearest(attribute, shape.attributes.iter().copied());
            if near.is_some() && !shape.attributes.contains(&attribute) {
                unknown_attribute(subject, node, &shape, attribute);
            }
        }
    }
}

/// One element and what is below it, as far as it is read.
fn element(subject: &mut Subject<'_>, grammar: &Grammar, node: Node<'_>) {
    let Some(shape) = grammar.element(node.name()) else { return };
    let mut seen: Vec<&str> = Vec::new();
    for (attribute, _) in node.attrs() {
        if seen.contains(&attribute) {
            let message = format!("a second attribute {attribute} is not looked at");
            let place = Some(node.attr_name_place(attribute));
            subject.say(Diagnostic::warning("attribute-duplicate", message, place));
        } else if !shape.attributes.contains(&attribute) {
            unknown_attribute(subject, node, shape, attribute);
        }
        seen.push(attribute);
    }
    missing(subject, node);
    switches(subject, node);
    if shape.open {
        return;
    }
    for child in node.children() {
        if shape.children.contains(&child.name()) {
            element(subject, grammar, child);
        } else {
            unknown_element(subject, grammar, shape, node, child);
        }
    }
}

/// Notes for people and tools, which the switch does not read.
const NOTES: [&str; 6] = ["description", "comment", "enabled", "id", "note", "title"];

fn unknown_attribute(subject: &mut Subject<'_>, node: Node<'_>, shape: &Element, name: &str) {
    if NOTES.contains(&name) || name.contains(':') || name.contains(['"', '\'']) {
        return;
    }
    let message = format!("<{}> has no attribute \"{name}\": it is not looked at", node.name());
    let place = Some(node.attr_name_place(name));
    let lower = name.to_ascii_lowercase();
    let spelt = shape.attributes.iter().find(|known| **known == lower).map(|k| (*k).to_owned());
    let near = spelt.or_else(|| nearest(name, shape.attributes.iter().copied()));
    let found = match near {
        Some(near) => Diagnostic::error("attribute-unknown", message, place)
            .with_hint(format!("did you mean {near}?")),
        None => {
            let found = Diagnostic::warning("attribute-unknown", message, place);
            match &*shape.attributes {
                [] => found.with_hint("it has none"),
                known => found.with_hint(format!("it has {}", known.join(", "))),
            }
        }
    };
    subject.say(found);
}

fn unknown_element(
    subject: &mut Subject<'_>,
    grammar: &Grammar,
    shape: &Element,
    parent: Node<'_>,
    child: Node<'_>,
) {
    let name = child.name();
    // What the preprocessor left standing is switched off on purpose.
    if name.to_ascii_uppercase().contains("PRE-PROCESS") || name == "include" {
        return;
    }
    let place = Some(child.place());
    let lower = name.to_ascii_lowercase();
    let spelt = shape.children.iter().find(|known| **known == lower).map(|k| (*k).to_owned());
    let near = spelt.or_else(|| nearest(name, shape.children.iter().copied()));
    let message = format!("<{name}> in <{}> is not looked at", parent.name());
    let focus = |found: Diagnostic| found.with_focus(format!("<{name}"), 1);
    if let Some(near) = near {
        let found = Diagnostic::error("element-unknown", message, place);
        return subject.say(focus(found).with_hint(format!("did you mean <{near}>?")));
    }
    let homes: Vec<String> = grammar.parents(name).map(|parent| format!("<{parent}>")).collect();
    if homes.is_empty() {
        let found = Diagnostic::warning("element-unknown", message, place);
        let known: Vec<String> = shape.children.iter().map(|name| format!("<{name}>")).collect();
        let hint = match &*known {
            [] => format!("<{}> holds no elements", parent.name()),
            known => format!("<{}> holds {}", parent.name(), known.join(", ")),
        };
        subject.say(focus(found).with_hint(hint));
    } else if !matches!(name, "action" | "anti-action") || parent.name() != "extension" {
        // An action outside a condition has a diagnostic of its own.
        let found = Diagnostic::error("element-misplaced", message, place);
        subject.say(focus(found).with_hint(format!("it belongs in {}", homes.join(" or "))));
    }
}

/// Attributes without which an element does nothing.
const NEEDED: [(&str, &[&str]); 13] = [
    ("param", &["name", "value"]),
    ("variable", &["name", "value"]),
    ("context", &["name"]),
    ("load", &["module"]),
    ("user", &["id"]),
    ("domain", &["name"]),
    ("gateway", &["name"]),
    ("profile", &["name"]),
    ("menu", &["name"]),
    ("entry", &["action", "digits"]),
    ("macro", &["name"]),
    ("list", &["name"]),
    ("configuration", &["name"]),
];

fn missing(subject: &mut Subject<'_>, node: Node<'_>) {
    let Some((_, needed)) = NEEDED.iter().find(|(name, _)| *name == node.name()) else { return };
    for attribute in needed.iter().filter(|a| node.attr(a).is_none()) {
        // A misspelt one has been mentioned.
        let misspelt = |name: &str| nearest(name, [*attribute]).is_some();
        if node.attrs().any(|(name, _)| misspelt(name)) {
            continue;
        }
        // The reference takes the text of a variable for its value in places.
        if *attribute == "value" && !node.text().trim().is_empty() {
            continue;
        }
        let message = format!("<{}> has no {attribute}= and does nothing", node.name());
        let message = if *attribute == "value" {
            format!("<{}> has no value=: it is empty", node.name())
        } else {
            message
        };
        subject.say(Diagnostic::warning("attribute-missing", message, Some(node.place())));
    }
}

/// Attributes that mean yes or no.
const SWITCHES: [(&str, &str); 10] = [
    ("extension", "continue"),
    ("extension", "require-nested"),
    ("condition", "require-nested"),
    ("action", "inline"),
    ("anti-action", "inline"),
    ("load", "critical"),
    ("load", "global"),
    ("domain", "alias"),
    ("domain", "parse"),
    ("input", "break_on_match"),
];

fn switches(subject: &mut Subject<'_>, node: Node<'_>) {
    for (_, attribute) in SWITCHES.iter().filter(|(name, _)| *name == node.name()) {
        let Some(value) = node.attr(attribute) else { continue };
        if is_true(value) || is_false(value) || value.is_empty() || value.contains('$') {
            continue;
        }
        let message = format!("{attribute}=\"{value}\" is neither yes nor no and counts as false");
        let place = Some(node.attr_place(attribute));
        let found = Diagnostic::error("value-type", message, place).with_focus(value, 0);
        subject.say(found.with_hint(match nearest(value, ["true", "false", "yes"]) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "true or false".to_owned(),
        }));
    }
    let verdict = match node.name() {
        "list" => "default",
        "node" => "type",
        _ => return,
    };
    // Lists of other files have other kinds of nodes.
    let lists = std::iter::successors(node.parent(), |n| n.parent());
    if !lists.into_iter().any(|n| n.name() == "network-lists") {
        return;
    }
    let Some(value) = node.attr(verdict).filter(|v| !v.contains('$')) else { return };
    if !["allow", "deny"].contains(&value) && !is_true(value) && !is_false(value) {
        let message = format!("{verdict}=\"{value}\" is not allow and counts as deny");
        let place = Some(node.attr_place(verdict));
        let found = Diagnostic::error("value-type", message, place).with_focus(value, 0);
        subject.say(match nearest(value, ["allow", "deny"]) {
            Some(near) => found.with_hint(format!("did you mean \"{near}\"?")),
            None => found.with_hint("allow or deny"),
        });
    }
}
