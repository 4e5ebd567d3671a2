//! What a reload changes, in an administrator's words, and what it takes to bring it into force.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Node, Tree};

/// One thing that is new, gone or different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it is: `extension default/echo`, `user 1000@example.test` …
    pub what: String,
    /// What has to be done for it to take effect, if the reload alone does not.
    pub needs: Option<String>,
}

/// What happened to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        };
        write!(f, "{word}: {}", self.what)?;
        match &self.needs {
            Some(needs) => write!(f, " (takes effect with: {needs})"),
            None => Ok(()),
        }
    }
}

/// What is different between two documents, by kind of thing and name.
pub fn changes(old: &Tree, new: &Tree) -> Vec<Change> {
    let (before, after) = (things(old), things(new));
    let mut changes = Vec::new();
    for (name, (text, needs)) in &before {
        let kind = match after.get(name) {
            None => ChangeKind::Removed,
            Some((now, _)) if now != text => ChangeKind::Changed,
            Some(_) => continue,
        };
        changes.push(change(kind, name, needs.as_ref()));
    }
    for (name, (_, needs)) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        changes.push(change(ChangeKind::Added, name, needs.as_ref()));
    }
    changes
}

fn change(kind: ChangeKind, (what, name): &(&str, String), needs: Option<&String>) -> Change {
    Change { kind, what: format!("{what} {name}"), needs: needs.cloned() }
}

/// Kind and name to content and what it needs.
type Things = BTreeMap<(&'static str, String), (String, Option<String>)>;

fn things(tree: &Tree) -> Things {
    let mut all = Things::new();
    let section = |name: &str, tag: &'static str| {
        tree.section(name).into_iter().flat_map(move |s| s.children_named(tag))
    };
    for context in section("dialplan", "context") {
        let name = context.attr_or_empty("name");
        for (number, extension) in (1..).zip(context.children_named("extension")) {
            let own = extension.attr("name").map_or_else(|| format!("#{number}"), str::to_owned);
            add(&mut all, "extension", format!("{name}/{own}"), content(extension), None);
        }
    }
    for domain in section("directory", "domain") {
        let name = domain.attr_or_empty("name");
        for user in domain.descendants().filter(|n| n.name() == "user") {
            let own = format!("{}@{name}", user.attr_or_empty("id"));
            add(&mut all, "user", own, content(user), None);
        }
        for tag in ["params", "variables"] {
            if let Some(list) = domain.child(tag) {
                add(&mut all, "domain", format!("{name} {tag}"), content(list), None);
            }
        }
    }
    for conf in section("configuration", "configuration") {
        let name = conf.attr_or_empty("name");
        if name == "sofia.conf" {
            profiles(&mut all, conf);
        } else {
            add(&mut all, "configuration", name.to_owned(), content(conf), needs(name));
        }
    }
    all
}

fn profiles(all: &mut Things, conf: Node<'_>) {
    let list = conf.child("profiles");
    for profile in list.into_iter().flat_map(|l| l.children_named("profile")) {
        let name = profile.attr_or_empty("name");
        let gateways = profile.child("gateways");
        for gateway in gateways.into_iter().flat_map(|g| g.children_named("gateway")) {
            let own = format!("{name}/{}", gateway.attr_or_empty("name"));
            let needs = format!("sofia profile {name} rescan");
            add(all, "gateway", own, content(gateway), Some(needs));
        }
        let mut own = String::new();
        for child in profile.children().filter(|c| c.name() != "gateways") {
            write(&mut own, child);
        }
        let needs = format!("sofia profile {name} restart");
        add(all, "profile", name.to_owned(), own, Some(needs));
    }
}

/// What brings a file into force that is not read when it is needed.
fn needs(file: &str) -> Option<String> {
    let needs = match file {
        "acl.conf" => "reloadacl",
        "switch.conf" | "event_socket.conf" | "modules.conf" | "console.conf" | "logfile.conf" => {
            "a restart"
        }
        _ => return None,
    };
    Some(needs.to_owned())
}

/// Things of the same kind and name are taken together.
fn add(all: &mut Things, kind: &'static str, name: String, text: String, needs: Option<String>) {
    let entry = all.entry((kind, name)).or_insert_with(|| (String::new(), needs));
    entry.0.push_str(&text);
}

fn content(node: Node<'_>) -> String {
    let mut out = String::new();
    write(&mut out, node);
    out
}

/// An element without the white space between elements.
fn write(out: &mut String, node: Node<'_>) {
    out.push('<');
    out.push_str(node.name());
    for (name, value) in node.attrs() {
        out.push_str(&format!(" {name}={value:?}"));
    }
    out.push('>');
    out.push_str(node.text().trim());
    node.children().for_each(|child| write(out, child));
    out.push_str("</>");
}
