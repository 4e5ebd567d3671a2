//! Elements that are there twice, and of which only the first counts.

use std::collections::HashMap;

use super::Subject;
use crate::catalogue::nearest;
use crate::{Diagnostic, Node, Place};

pub(super) fn check(subject: &mut Subject<'_>) {
    let root = subject.tree.root();
    let sections: Vec<_> = root.children_named("section").collect();
    twice(subject, &sections, "section-duplicate", "section");
    const SECTIONS: [&str; 8] = [
        "configuration",
        "dialplan",
        "directory",
        "languages",
        "phrases",
        "chatplan",
        "channels",
        "result",
    ];
    for section in &sections {
        let name = section.attr_or_empty("name");
        if SECTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        let message = format!("no section \"{name}\" is ever asked for");
        let place = Some(section.attr_place("name"));
        let found = Diagnostic::warning("section-unknown", message, place);
        subject.say(match nearest(name, SECTIONS) {
            Some(near) => found.with_hint(format!("did you mean \"{near}\"?")),
            None => found,
        });
    }
    for (section, tag, code) in [
        ("configuration", "configuration", "configuration-duplicate"),
        ("dialplan", "context", "context-duplicate"),
        ("directory", "domain", "domain-duplicate"),
    ] {
        let section = subject.tree.section(section);
        let nodes: Vec<_> = section.into_iter().flat_map(|s| s.children_named(tag)).collect();
        twice(subject, &nodes, code, tag);
    }
}

fn twice(subject: &mut Subject<'_>, nodes: &[Node<'_>], code: &'static str, what: &str) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    for node in nodes {
        let Some(name) = node.attr("name") else { continue };
        match seen.get(&name.to_ascii_lowercase()) {
            Some(first) => {
                let message = format!("a second {what} \"{name}\" is never looked at");
                let found = Diagnostic::warning(code, message, Some(node.place()));
                subject.say(found.with_related(first.clone(), "the one that counts"));
            }
            None => {
                seen.insert(name.to_ascii_lowercase(), node.place());
            }
        }
    }
}
