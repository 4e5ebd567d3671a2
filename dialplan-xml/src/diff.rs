//! What a reload changes, in an administrator's words, and what it takes to bring it into force.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{ProfileConf, ProfileDomain, SofiaConf};
use crate::{Globals, Node, Tree};

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
        changes.push(change(kind, name, needs));
    }
    for (name, (_, needs)) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        changes.push(change(ChangeKind::Added, name, needs));
    }
    changes
}

/// Global variables that are new, gone or different. Values are not told: some are passwords.
pub fn variables(old: &Globals, new: &Globals) -> Vec<Change> {
    let change = |kind, name: &str| Change { kind, what: format!("variable {name}"), needs: None };
    let gone = old.iter().filter(|(name, _)| new.get(name).is_none());
    let gone = gone.map(|(name, _)| change(ChangeKind::Removed, name));
    let others = new.iter().filter_map(|(name, value)| match old.get(name) {
        None => Some(change(ChangeKind::Added, name)),
        Some(before) if before != value => Some(change(ChangeKind::Changed, name)),
        Some(_) => None,
    });
    gone.chain(others).collect()
}

fn change(kind: ChangeKind, (what, name): &(&str, String), needs: &Needs) -> Change {
    Change { kind, what: format!("{what} {name}"), needs: needs.text(kind) }
}

/// What brings a thing into force that a reload alone does not.
#[derive(Clone, Default)]
enum Needs {
    #[default]
    Nothing,
    Command(String),
    /// A gateway of a profile: one that runs stays as it is until it is removed.
    Gateway {
        profile: String,
        name: String,
    },
}

impl Needs {
    fn text(&self, kind: ChangeKind) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Command(command) => Some(command.clone()),
            Self::Gateway { profile, name } => {
                let rescan = format!("sofia profile {profile} rescan");
                let kill = format!("sofia profile {profile} killgw {name}");
                Some(match kind {
                    ChangeKind::Added => rescan,
                    ChangeKind::Removed => kill,
                    ChangeKind::Changed => format!("{kill}, then {rescan}"),
                })
            }
        }
    }
}

/// Kind and name to content and what it needs.
type Things = BTreeMap<(&'static str, String), (String, Needs)>;

fn things(tree: &Tree) -> Things {
    let mut all = Things::new();
    let section = |name: &str, tag: &'static str| {
        tree.section(name).into_iter().flat_map(move |s| s.children_named(tag))
    };
    for (name, kind) in [("dialplan", "extension"), ("chatplan", "chat extension")] {
        for context in section(name, "context") {
            let name = context.attr_or_empty("name");
            for (number, extension) in (1..).zip(context.children_named("extension")) {
                let own =
                    extension.attr("name").map_or_else(|| format!("#{number}"), str::to_owned);
                add(&mut all, kind, format!("{name}/{own}"), content(extension), Needs::Nothing);
            }
        }
    }
    for domain in section("directory", "domain") {
        members(&mut all, tree, domain);
    }
    for language in section("languages", "language") {
        let name = language.attr_or_empty("name");
        for found in language.descendants().filter(|n| n.name() == "macro") {
            let own = format!("{name}/{}", found.attr_or_empty("name"));
            add(&mut all, "phrase", own, content(found), Needs::Nothing);
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

/// Users with their networks and gateways, group members, and what groups and the domain itself add.
fn members(all: &mut Things, tree: &Tree, domain: Node<'_>) {
    let name = domain.attr_or_empty("name");
    let parsers = parsers(tree, name);
    for user in domain.descendants().filter(|n| n.name() == "user") {
        let own = format!("{}@{name}", user.attr_or_empty("id"));
        if user.attr("type").is_some_and(|t| t.eq_ignore_ascii_case("pointer")) {
            let group = user.parent().and_then(Node::parent);
            let group = group.map_or("", |group| group.attr_or_empty("name"));
            let member = format!("{own} of {group}");
            add(all, "group member", member, content(user), Needs::Nothing);
            continue;
        }
        let mut text = String::new();
        for (attribute, value) in user.attrs().filter(|(attribute, _)| *attribute != "cidr") {
            text.push_str(&format!(" {attribute}={value:?}"));
        }
        for child in user.children().filter(|child| child.name() != "gateways") {
            write(&mut text, child);
        }
        add(all, "user", own.clone(), text, Needs::Nothing);
        if let Some(cidr) = user.attr("cidr") {
            let reload = Needs::Command("reloadacl".to_owned());
            add(all, "network of user", own.clone(), cidr.to_owned(), reload);
        }
        let list = user.child("gateways");
        for gateway in list.into_iter().flat_map(|l| l.children_named("gateway")) {
            let name = gateway.attr_or_empty("name");
            let needs = parsers.first().map_or(Needs::Nothing, |profile| Needs::Gateway {
                profile: profile.clone(),
                name: name.to_owned(),
            });
            add(all, "gateway", format!("{name} of {own}"), content(gateway), needs);
        }
    }
    let groups = domain.child("groups");
    let groups = groups.into_iter().flat_map(|g| g.children_named("group"));
    let groups =
        groups.map(|group| (format!("group {}@{name}", group.attr_or_empty("name")), group));
    for (own, holder) in groups.chain([(format!("domain {name}"), domain)]) {
        for tag in ["params", "variables", "profile-variables"] {
            if let Some(list) = holder.child(tag) {
                add(all, tag, format!("of {own}"), content(list), Needs::Nothing);
            }
        }
    }
}

/// Names of the profiles that take over the gateways of a domain's users.
fn parsers(tree: &Tree, domain: &str) -> Vec<String> {
    let conf = SofiaConf::read(tree.configuration("sofia.conf"));
    let takes = |profile: &&ProfileConf| {
        let names = |d: &ProfileDomain| d.name == "all" || d.name.eq_ignore_ascii_case(domain);
        profile.domains.iter().any(|d| d.parse && names(d))
    };
    conf.profiles.iter().filter(takes).map(|profile| profile.name.clone()).collect()
}

fn profiles(all: &mut Things, conf: Node<'_>) {
    if let Some(settings) = conf.child("global_settings") {
        let restart = Needs::Command("a restart".to_owned());
        add(
            all,
            "configuration",
            "sofia.conf global_settings".to_owned(),
            content(settings),
            restart,
        );
    }
    let list = conf.child("profiles");
    for profile in list.into_iter().flat_map(|l| l.children_named("profile")) {
        let name = profile.attr_or_empty("name");
        let gateways = profile.child("gateways");
        for gateway in gateways.into_iter().flat_map(|g| g.children_named("gateway")) {
            let own = gateway.attr_or_empty("name").to_owned();
            let needs = Needs::Gateway { profile: name.to_owned(), name: own.clone() };
            add(all, "gateway", format!("{name}/{own}"), content(gateway), needs);
        }
        let mut own = String::new();
        for child in profile.children().filter(|c| c.name() != "gateways") {
            write(&mut own, child);
        }
        let needs = Needs::Command(format!("sofia profile {name} restart"));
        add(all, "profile", name.to_owned(), own, needs);
    }
}

/// What brings a file into force that is not read when it is needed.
fn needs(file: &str) -> Needs {
    let needs = match file {
        "acl.conf" => "reloadacl",
        "xml_curl.conf" => "reload mod_xml_curl",
        "switch.conf"
        | "post_load_switch.conf"
        | "event_socket.conf"
        | "modules.conf"
        | "pre_load_modules.conf"
        | "post_load_modules.conf"
        | "console.conf"
        | "logfile.conf" => "a restart",
        _ => return Needs::Nothing,
    };
    Needs::Command(needs.to_owned())
}

/// Things of the same kind and name are taken together.
fn add(all: &mut Things, kind: &'static str, name: String, text: String, needs: Needs) {
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
