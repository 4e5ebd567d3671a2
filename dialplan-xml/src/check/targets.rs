//! Contexts calls are sent to and gateways they leave by, and which do not exist.

use std::collections::BTreeSet;

use super::Subject;
use super::names::{data, legs_to};
use crate::catalogue::nearest;
use crate::config::{SofiaConf, XmlCurlConf};
use crate::text::split;
use crate::{Diagnostic, Node, Place, Tree};

/// Whether a section is asked of a web server or a script too: what is not in the files may be there.
pub(super) fn elsewhere(tree: &Tree, section: &str) -> bool {
    let conf = XmlCurlConf::read(tree.configuration("xml_curl.conf"));
    if conf.bindings.iter().any(|binding| binding.serves(section)) {
        return true;
    }
    let all = tree.section("configuration").into_iter().flat_map(Node::descendants);
    let mut handlers = all.filter(|n| {
        let name = n.attr_or_empty("name").to_ascii_lowercase();
        n.name() == "param" && name == "xml-handler-bindings" || n.name() == "binding"
    });
    handlers.any(|n| {
        let params = n.children_named("param").filter_map(|p| p.attr("bindings"));
        let mut lists = params.chain(n.attr("value"));
        lists.any(|list| list.split(['|', ',', ' ']).any(|word| word.starts_with(section)))
    })
}

pub(super) fn check(subject: &mut Subject<'_>) {
    let elsewhere = |section: &str| elsewhere(subject.tree, section);
    if !elsewhere("dialplan") {
        contexts(subject);
    }
    if !elsewhere("configuration") && !elsewhere("directory") {
        gateways(subject);
    }
}

/// Every application that is written down, with its argument.
fn applications<'t>(subject: &Subject<'t>) -> Vec<(&'t str, &'t str, Place)> {
    let section = subject.tree.section("dialplan");
    let actions = section.into_iter().flat_map(Node::descendants);
    let actions = actions.filter(|n| matches!(n.name(), "action" | "anti-action")).map(|action| {
        let (data, place) = data(action);
        (action.attr_or_empty("application"), data, place)
    });
    let menus = subject.tree.configuration("ivr.conf").into_iter().flat_map(Node::descendants);
    let entries = menus.filter(|n| {
        n.name() == "entry" && n.attr_or_empty("action").eq_ignore_ascii_case("menu-exec-app")
    });
    let entries = entries.filter_map(|entry| {
        let (application, data) = entry.attr_or_empty("param").split_once([' ', ':'])?;
        Some((application, data, entry.attr_place("param")))
    });
    actions.chain(entries).collect()
}

fn contexts(subject: &mut Subject<'_>) {
    let section = subject.tree.section("dialplan");
    let nodes = section.into_iter().flat_map(|s| s.children_named("context"));
    let known: BTreeSet<String> = nodes.map(|c| c.attr_or_empty("name").to_lowercase()).collect();
    // Calls into contexts that do not exist end up in this one.
    if known.is_empty() || known.contains("global") {
        return;
    }
    for (name, place) in contexts_used(subject) {
        if name.is_empty() || name.contains('$') || known.contains(&name.to_lowercase()) {
            continue;
        }
        let message = format!("there is no context \"{name}\": calls sent there find nothing");
        let mut found = Diagnostic::warning("context-unknown", message, Some(place));
        if let Some(near) = nearest(&name, known.iter().map(String::as_str)) {
            found = found.with_hint(format!("did you mean \"{near}\"?"));
        }
        subject.say(found.with_focus(name, 0));
    }
}

fn contexts_used(subject: &Subject<'_>) -> Vec<(String, Place)> {
    let mut used = Vec::new();
    for (application, data, place) in applications(subject) {
        if ["transfer", "execute_extension"].iter().any(|a| a.eq_ignore_ascii_case(application)) {
            let mut words = split(data, ' ', 4);
            if words.first().is_some_and(|w| matches!(w.as_str(), "-bleg" | "-both")) {
                words.remove(0);
            }
            if let [_, dialplan, context, ..] = &*words
                && dialplan.eq_ignore_ascii_case("xml")
            {
                used.push((context.clone(), place));
            }
        }
    }
    for (application, data, place) in applications(subject) {
        if application.eq_ignore_ascii_case("bridge") {
            for leg in legs_to(data, "loopback").into_iter().filter(|l| !l.starts_with("app=")) {
                let words: Vec<&str> = leg.split('/').collect();
                if words.get(2).is_none_or(|dialplan| dialplan.eq_ignore_ascii_case("xml")) {
                    used.extend(words.get(1).map(|c| ((*c).to_owned(), place.clone())));
                }
            }
        }
    }
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    for profile in &sofia.profiles {
        let own = profile.settings.iter().chain(profile.gateways.iter().map(|g| &g.params));
        let params = own.filter_map(|params| params.param("context"));
        used.extend(params.map(|p| (p.value.to_string(), p.place.clone())));
    }
    for domain in subject.directory.domains() {
        let users = subject.directory.users(domain);
        let of_users = users.filter_map(|user| {
            let param = user.variables.param("user_context")?;
            Some((param.value.to_string(), param.place.clone()))
        });
        used.extend(of_users);
    }
    // What a group or a domain says is said once.
    let mut seen = BTreeSet::new();
    used.retain(|entry| seen.insert(entry.clone()));
    used
}

fn gateways(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    let mut known: BTreeSet<String> =
        sofia.profiles.iter().flat_map(|p| &p.gateways).map(|g| g.name.clone()).collect();
    for domain in subject.directory.domains() {
        let users = subject.directory.users(domain);
        known.extend(users.flat_map(|user| user.gateways).map(|gateway| gateway.name));
    }
    for (application, data, place) in applications(subject) {
        if !application.eq_ignore_ascii_case("bridge") {
            continue;
        }
        for leg in legs_to(data, "sofia") {
            let Some(rest) = leg.strip_prefix("gateway/") else { continue };
            let name = rest.split('/').next().unwrap_or_default();
            let name = name.rsplit("::").next().unwrap_or_default();
            if name.is_empty() || name.contains('$') || known.contains(name) {
                continue;
            }
            let message = format!("there is no gateway \"{name}\": calls through it fail");
            let mut found = Diagnostic::warning("gateway-unknown", message, Some(place.clone()));
            if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
                found = found.with_hint(format!("did you mean \"{near}\"?"));
            }
            subject.say(found.with_focus(name, 0));
        }
    }
}
