//! What single configuration files say that their readers do not understand: menus, conferences,
//! phrases, bindings, modules.

use std::collections::HashMap;

use super::Subject;
use super::words::codecs;
use crate::catalogue::{Kind, nearest};
use crate::config::{ModulesConf, SofiaConf};
use crate::regex::Pattern;
use crate::text::is_number;
use crate::{Diagnostic, Node, Place};

pub(super) fn check(subject: &mut Subject<'_>) {
    menus(subject);
    conferences(subject);
    phrases(subject);
    bindings(subject);
    modules(subject);
    codec_lists(subject);
    routes(subject);
    same_names(subject);
}

/// A word that must be one of these; the message says what becomes of another.
fn word(subject: &mut Subject<'_>, place: &Place, value: &str, words: &[&str], message: String) {
    if value.contains('$') || words.iter().any(|w| w.eq_ignore_ascii_case(value)) {
        return;
    }
    let found = Diagnostic::error("value-type", message, Some(place.clone()));
    subject.say(found.with_focus(value, 0).with_hint(
        match nearest(value, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", words.join(", ")),
        },
    ));
}

const MENU_ACTIONS: [&str; 6] =
    ["menu-exec-app", "menu-sub", "menu-play-sound", "menu-back", "menu-top", "menu-exit"];
const MENU_NUMBERS: [&str; 6] = [
    "timeout",
    "inter-digit-timeout",
    "digit-len",
    "max-failures",
    "max-timeouts",
    "confirm-attempts",
];

fn menus(subject: &mut Subject<'_>) {
    let list = subject.tree.configuration("ivr.conf").and_then(|conf| conf.child("menus"));
    let menus: Vec<_> = list.into_iter().flat_map(|l| l.children_named("menu")).collect();
    let names: Vec<&str> = menus.iter().map(|m| m.attr_or_empty("name")).collect();
    for menu in &menus {
        for attribute in MENU_NUMBERS {
            number(subject, *menu, attribute);
        }
        for entry in menu.children_named("entry") {
            self::entry(subject, entry, &names);
        }
    }
}

/// An attribute that must be a number.
fn number(subject: &mut Subject<'_>, node: Node<'_>, attribute: &str) {
    let Some(value) = node.attr(attribute) else { return };
    if value.is_empty() || value.contains('$') || is_number(value) {
        return;
    }
    let message = format!("{attribute}=\"{value}\": a number is wanted");
    let place = Some(node.attr_place(attribute));
    let found = Diagnostic::error("value-type", message, place).with_focus(value, 0);
    subject.say(match value.starts_with(|c: char| c.is_ascii_digit()) {
        true => found.with_hint("without a unit; times are milliseconds"),
        false => found,
    });
}

fn entry(subject: &mut Subject<'_>, entry: Node<'_>, menus: &[&str]) {
    let action = entry.attr_or_empty("action");
    if let Some(place) = entry.attr("action").map(|_| entry.attr_place("action")) {
        let message = format!("a menu cannot do \"{action}\", and the whole menu is not built");
        word(subject, &place, action, &MENU_ACTIONS, message);
    }
    let param = entry.attr_or_empty("param");
    let place = entry.attr_place("param");
    if action == "menu-sub" && !param.contains('$') {
        let known = menus.iter().any(|m| m.eq_ignore_ascii_case(param));
        if !known {
            let message = format!("there is no menu \"{param}\"");
            let found = Diagnostic::error("menu-unknown", message, Some(place.clone()));
            subject.say(match nearest(param, menus.iter().copied()) {
                Some(near) => found.with_hint(format!("did you mean \"{near}\"?")),
                None => found,
            });
        }
    }
    if matches!(action, "menu-exec-app" | "menu-play-sound") && param.is_empty() {
        let message = format!("{action} without a param does nothing");
        subject.say(Diagnostic::error("attribute-missing", message, Some(entry.place())));
    }
    let digits = entry.attr_or_empty("digits");
    if digits.starts_with('/') {
        expression(subject, digits, &entry.attr_place("digits"), param, &place);
    } else if !digits.bytes().all(|b| b.is_ascii_digit() || b"*#ABCDabcd".contains(&b)) {
        let message = format!("\"{digits}\" are digits nobody can key in");
        let found = Diagnostic::warning("value-type", message, Some(entry.attr_place("digits")));
        subject.say(found.with_hint("an expression stands between slashes: /^10\\d\\d$/"));
    }
}

/// An expression outside the dialplan, and the text its groups go into.
fn expression(subject: &mut Subject<'_>, text: &str, place: &Place, into: &str, at: &Place) {
    if text.contains("${") {
        return;
    }
    match Pattern::cached(text) {
        Err(error) => {
            let message =
                format!("this expression is not valid and never matches: {}", error.message);
            subject.say(Diagnostic::error("regex-invalid", message, Some(place.clone())));
        }
        Ok(pattern) if pattern.groups() == 0 && pattern.is_match("") => {}
        Ok(pattern) => super::dialplan::groups_missing(subject, pattern.groups(), into, at),
    }
}

/// What a conference can be told to be, and its members.
const CONFERENCE_FLAGS: [&str; 18] = [
    "wait-mod",
    "video-floor-only",
    "audio-always",
    "restart-auto-record",
    "json-events",
    "livearray-sync",
    "livearray-json-status",
    "rfc-4579",
    "auto-3d-position",
    "minimize-video-encoding",
    "video-bridge-first-two",
    "video-required-for-canvas",
    "video-mute-exit-canvas",
    "manage-inbound-video-bitrate",
    "video-muxing-personal-canvas",
    "ded-vid-layer-audio-floor",
    "breakable",
    "transcode-video",
];
/// Flags of conference members.
pub(super) const MEMBER_FLAGS: [&str; 27] = [
    "mute",
    "vmute",
    "deaf",
    "blind",
    "mute-detect",
    "dist-dtmf",
    "skip-dtmf",
    "moderator",
    "nomoh",
    "endconf",
    "mandatory_member_endconf",
    "mintwo",
    "talk-data-events",
    "video-bridge",
    "ghost",
    "join-only",
    "flip-video",
    "positional",
    "no-positional",
    "join-vid-floor",
    "no-video-blanks",
    "no-minimize-encoding",
    "second-screen",
    "waste",
    "auto-outcall",
    "wait-mod",
    "no-moh",
];
const CONTROLS: [&str; 36] = [
    "mute",
    "mute on",
    "mute off",
    "moh toggle",
    "border",
    "vmute",
    "vmute on",
    "vmute off",
    "vmute snap",
    "vmute snapoff",
    "deaf",
    "deaf on",
    "deaf off",
    "deaf mute",
    "energy up",
    "energy equ",
    "energy dn",
    "vol talk up",
    "vol talk zero",
    "vol talk dn",
    "vol listen up",
    "vol listen zero",
    "vol listen dn",
    "hangup",
    "event",
    "lock",
    "transfer",
    "execute_application",
    "floor",
    "vid-floor",
    "vid-floor-force",
    "menu",
    "exit",
    "toggle",
    "volume_in",
    "volume_out",
];

fn conferences(subject: &mut Subject<'_>) {
    let Some(conf) = subject.tree.configuration("conference.conf") else { return };
    let groups = conf.child("caller-controls");
    let groups: Vec<Node<'_>> =
        groups.into_iter().flat_map(|g| g.children_named("group")).collect();
    let names: Vec<&str> = groups.iter().map(|g| g.attr_or_empty("name")).collect();
    for control in groups.iter().flat_map(|g| g.children_named("control")) {
        let action = control.attr_or_empty("action");
        let verb: Vec<&str> = action.split(':').collect();
        let place = control.attr_place("action");
        let message = format!("a conference has no control \"{action}\"");
        word(subject, &place, verb.first().copied().unwrap_or_default().trim(), &CONTROLS, message);
    }
    let profiles = conf.child("profiles").into_iter().flat_map(|p| p.children_named("profile"));
    for param in profiles.flat_map(|p| p.children_named("param")) {
        let (name, value) = (param.attr_or_empty("name"), param.attr_or_empty("value"));
        let place = param.attr_place("value");
        match name.replace('_', "-").as_str() {
            "caller-controls" | "moderator-controls" => {
                let usual = ["default", "none"];
                let known = names.iter().chain(&usual).any(|n| n.eq_ignore_ascii_case(value));
                if !known && !value.contains('$') {
                    let message = format!("there is no group of caller controls \"{value}\"");
                    let found = Diagnostic::error("controls-unknown", message, Some(place));
                    subject.say(match nearest(value, names.iter().copied()) {
                        Some(near) => found.with_hint(format!("did you mean \"{near}\"?")),
                        None => found,
                    });
                }
            }
            "conference-flags" | "member-flags" => {
                let all = [&CONFERENCE_FLAGS[..], &MEMBER_FLAGS[..]].concat();
                for flag in value.split(['|', ',']).map(str::trim).filter(|f| !f.is_empty()) {
                    let message = format!("{name} does not know \"{flag}\"");
                    word(subject, &place, flag, &all, message);
                }
            }
            _ => {}
        }
    }
}

const FUNCTIONS: [&str; 7] =
    ["play-file", "speak-text", "say", "execute", "break", "phrase", "sleep"];

fn phrases(subject: &mut Subject<'_>) {
    let sections = ["languages", "phrases"].into_iter().filter_map(|s| subject.tree.section(s));
    let nodes: Vec<_> = sections.flat_map(Node::descendants).collect();
    let names: Vec<&str> =
        nodes.iter().filter(|n| n.name() == "macro").map(|m| m.attr_or_empty("name")).collect();
    for node in &nodes {
        match node.name() {
            "input" => {
                let pattern = node.attr_or_empty("pattern");
                if !pattern.contains("${")
                    && let Err(error) = Pattern::cached(pattern)
                {
                    let message = format!(
                        "this expression is not valid and never matches: {}",
                        error.message
                    );
                    let place = Some(node.attr_place("pattern"));
                    subject.say(Diagnostic::error("regex-invalid", message, place));
                }
            }
            "action" => {
                let function = node.attr_or_empty("function");
                let place = node.attr_place("function");
                if node.attr("function").is_some() {
                    let message = format!("phrases cannot \"{function}\"");
                    word(subject, &place, function, &FUNCTIONS, message);
                }
                if function.eq_ignore_ascii_case("phrase") {
                    // `macro@macros`.
                    let wanted = node.attr_or_empty("phrase").split('@').next().unwrap_or_default();
                    let known = names.iter().any(|n| n.eq_ignore_ascii_case(wanted));
                    if !wanted.is_empty() && !known && !wanted.contains('$') {
                        let message = format!("there is no phrase macro \"{wanted}\"");
                        let place = Some(node.attr_place("phrase"));
                        let found = Diagnostic::warning("macro-unknown", message, place);
                        subject.say(match nearest(wanted, names.iter().copied()) {
                            Some(near) => found.with_hint(format!("did you mean \"{near}\"?")),
                            None => found,
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

const SECTIONS: [&str; 8] = [
    "configuration",
    "config",
    "directory",
    "dialplan",
    "languages",
    "phrases",
    "chatplan",
    "channels",
];

/// What is asked of programs and web servers.
fn bindings(subject: &mut Subject<'_>) {
    let section = subject.tree.section("configuration");
    let nodes: Vec<_> = section.into_iter().flat_map(Node::descendants).collect();
    for param in nodes.iter().filter(|n| n.name() == "param") {
        let handler = param.attr_or_empty("name").eq_ignore_ascii_case("xml-handler-bindings");
        let attribute = if handler { "value" } else { "bindings" };
        let Some(list) = param.attr(attribute) else { continue };
        let place = param.attr_place(attribute);
        for name in list.split(['|', ',', ' ']).filter(|w| !w.is_empty()) {
            let message = format!("\"{name}\" is not a section: it is never asked for");
            word(subject, &place, name, &SECTIONS, message);
        }
    }
}

/// Modules that are named twice, and a SIP stack with nothing to do.
fn modules(subject: &mut Subject<'_>) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    let mut sofia = None;
    for file in ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"] {
        for load in ModulesConf::read(subject.tree.configuration(file)).modules {
            if load.module == "mod_sofia" {
                sofia = Some(load.place.clone());
            }
            if let Some(first) = seen.get(&load.module) {
                let message = format!("{} is loaded already", load.module);
                let found = Diagnostic::warning("module-duplicate", message, Some(load.place));
                subject.say(found.with_related(first.clone(), "here"));
            } else {
                seen.insert(load.module, load.place);
            }
        }
    }
    let Some(loaded) = sofia else { return };
    let conf = subject.tree.configuration("sofia.conf");
    if super::targets::elsewhere(subject.tree, "configuration")
        || !SofiaConf::read(conf).profiles.is_empty()
    {
        return;
    }
    let place =
        conf.map_or_else(|| loaded.clone(), |conf| conf.child("profiles").unwrap_or(conf).place());
    let message = "mod_sofia has no profile: no phone can register and no call arrives";
    let found = Diagnostic::warning("sofia-no-profile", message, Some(place));
    subject.say(found.with_related(loaded, "mod_sofia is loaded here"));
}

fn codec_lists(subject: &mut Subject<'_>) {
    let nodes: Vec<_> = super::params::all(subject.tree);
    for (file, scope, param) in nodes {
        let name = param.attr_or_empty("name").to_ascii_lowercase();
        if file == "sofia.conf" && scope == "profile" && name.ends_with("codec-prefs") {
            codecs(subject, param.attr_or_empty("value"), &param.attr_place("value"));
        }
    }
    let directory = subject.tree.section("directory");
    let variables = directory.into_iter().flat_map(Node::descendants);
    for variable in variables.filter(|n| n.name() == "variable") {
        let (name, value) = (variable.attr_or_empty("name"), variable.attr_or_empty("value"));
        super::words::variable_value(subject, name, value, &variable.attr_place("value"));
    }
}

/// Expressions of `enum.conf` and `translate.conf`.
fn routes(subject: &mut Subject<'_>) {
    for (file, tag) in [("enum.conf", "route"), ("translate.conf", "rule")] {
        let nodes = subject.tree.configuration(file).into_iter().flat_map(Node::descendants);
        for node in nodes.filter(|n| n.name() == tag) {
            let (regex, place) = (node.attr_or_empty("regex"), node.attr_place("regex"));
            let replace = node.attr_or_empty("replace");
            expression(subject, regex, &place, replace, &node.attr_place("replace"));
        }
    }
}

/// Things whose names must differ: file, around them, element, and what to call it.
const NAMED: [(&str, &str, &str, &str); 8] = [
    ("ivr.conf", "menus", "menu", "menu"),
    ("conference.conf", "profiles", "profile", "conference profile"),
    ("conference.conf", "caller-controls", "group", "group of caller controls"),
    ("acl.conf", "network-lists", "list", "access list"),
    ("voicemail.conf", "profiles", "profile", "voicemail profile"),
    ("callcenter.conf", "queues", "queue", "queue"),
    ("callcenter.conf", "agents", "agent", "agent"),
    ("fifo.conf", "fifos", "fifo", "fifo"),
];

fn same_names(subject: &mut Subject<'_>) {
    for (file, around, tag, what) in NAMED {
        let list = subject.tree.configuration(file).and_then(|conf| conf.child(around));
        let nodes: Vec<_> = list.into_iter().flat_map(|l| l.children_named(tag)).collect();
        twice(
            subject,
            &nodes,
            what,
            if file == "acl.conf" { "this one counts" } else { "the other one" },
        );
    }
    let sections = ["languages", "phrases"].into_iter().filter_map(|s| subject.tree.section(s));
    let languages: Vec<_> = sections.flat_map(Node::descendants).collect();
    for around in languages.iter().filter(|n| matches!(n.name(), "macros" | "language")) {
        let macros: Vec<_> = around.children_named("macro").collect();
        twice(subject, &macros, "phrase macro", "the one that counts");
    }
    repeated_params(subject);
}

fn twice(subject: &mut Subject<'_>, nodes: &[Node<'_>], what: &str, note: &str) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    for node in nodes {
        let Some(name) = node.attr("name") else { continue };
        let place = node.attr_place("name");
        if let Some(first) = seen.get(&name.to_ascii_lowercase()) {
            let message = format!("a second {what} is called \"{name}\"");
            let found = Diagnostic::warning("name-duplicate", message, Some(place));
            subject.say(found.with_related(first.clone(), note));
        } else {
            seen.insert(name.to_ascii_lowercase(), place);
        }
    }
}

/// Parameters of a profile that may stand there several times.
const REPEATED: [&str; 13] = [
    "acl",
    "rtp-ip",
    "alias",
    "ws-binding",
    "wss-binding",
    "x-token",
    "gateway-url",
    "bind",
    "url",
    "err-log-dir",
    "presence-hosts",
    "event",
    "video-layout-name",
];

/// The same parameter with two values in one place.
fn repeated_params(subject: &mut Subject<'_>) {
    let mut seen: HashMap<_, Vec<(String, &str, Place)>> = HashMap::new();
    for (file, _, param) in super::params::all(subject.tree) {
        let Some(parent) = param.parent() else { continue };
        if !matches!(file, "sofia.conf" | "switch.conf" | "event_socket.conf" | "conference.conf") {
            continue;
        }
        let name = param.attr_or_empty("name").to_ascii_lowercase();
        let value = param.attr_or_empty("value");
        if name.is_empty() || REPEATED.iter().any(|word| name.contains(word)) {
            continue;
        }
        let known = seen.entry(parent.id()).or_default();
        let before = known.iter().find(|(n, v, _)| *n == name && *v != value);
        if let Some((_, other, place)) = before {
            let message = format!("{name} is set already, to \"{other}\"");
            let found =
                Diagnostic::warning("param-duplicate", message, Some(param.attr_place("name")));
            subject.found.push(found.with_related(place.clone(), "the other one"));
        }
        known.push((name, value, param.attr_place("name")));
    }
}

/// Whether a module that has to be loaded for something is not: its name.
pub(super) fn unloaded(subject: &Subject<'_>, kind: Kind, name: &str) -> Option<String> {
    let module = subject.catalogue.owner(kind, name)?;
    let known = subject.loaded.as_ref()?;
    (module.starts_with("mod_") && !known.contains(module)).then(|| module.to_owned())
}
