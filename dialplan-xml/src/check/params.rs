//! Parameters that are not read.

use std::collections::BTreeSet;

use super::Subject;
use crate::catalogue::{Support, is_module};
use crate::config::ModulesConf;
use crate::{Diagnostic, Node};

/// Files whose params are named by their users.
const FREE: [&str; 4] = ["post_load_modules.conf", "amqp.conf", "unimrcp.conf", "lcr.conf"];

pub(super) fn check(subject: &mut Subject<'_>) {
    for (file, scope, param) in all(subject.tree) {
        let Some(name) = param.attr("name") else { continue };
        let place = Some(param.attr_place("name"));
        let shown = if scope.is_empty() { file.to_owned() } else { format!("a {scope} of {file}") };
        match subject.catalogue.param(file, scope, name) {
            None | Some(Support::Honoured) => {}
            Some(Support::Accepted | Support::Unavailable) => {
                let declared = subject.catalogue.declared(file, scope, name);
                let why = declared.and_then(|found| found.effect.why_none());
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                let message =
                    format!("parameter \"{name}\" of {shown} is accepted without effect{why}");
                subject.say(Diagnostic::info("param-without-effect", message, place));
            }
            Some(Support::Unknown) => {
                let message = format!("{shown} has no parameter \"{name}\"");
                let mut found = Diagnostic::warning("param-unknown", message, place);
                if let Some(near) = subject.catalogue.nearest_param(file, scope, name) {
                    found = found.with_hint(format!("did you mean \"{near}\"?"));
                }
                subject.say(found);
            }
        }
    }
}

/// Files whose module has another name.
const MODULES: [(&str, &str); 5] = [
    ("avcodec", "mod_av"),
    ("avformat", "mod_av"),
    ("fax", "mod_spandsp"),
    ("ivr", "mod_dptools"),
    ("mod_radius_cdr", "mod_radius_cdr"),
];

/// Whether a file is there for a module that the configuration does not load: nothing reads it. A
/// configuration without a list of modules loads all of them.
fn is_idle(file: &str, loaded: &BTreeSet<String>) -> bool {
    let stem = file.strip_suffix(".conf").unwrap_or(file);
    let named = MODULES.iter().find(|(name, _)| *name == stem);
    let module = named.map_or_else(|| format!("mod_{stem}"), |(_, module)| (*module).to_owned());
    !loaded.is_empty() && !loaded.contains(&module) && is_module(&module)
}

fn loaded(tree: &crate::Tree) -> BTreeSet<String> {
    let files = ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"];
    let read = |file| ModulesConf::read(tree.configuration(file)).modules;
    files.into_iter().flat_map(read).map(|load| load.module).collect()
}

/// The modules a configuration loads; `None` when it names none, and all there are are loaded, or when
/// the list may come from elsewhere.
pub fn modules(tree: &crate::Tree) -> Option<BTreeSet<String>> {
    let all = loaded(tree);
    let bare = |name: String| {
        name.rsplit('/').next().unwrap_or_default().trim_end_matches(".so").to_owned()
    };
    let told = !all.is_empty() && !super::targets::elsewhere(tree, "configuration");
    told.then(|| all.into_iter().map(bare).collect())
}

/// Whether anybody reads a file: it belongs to the core or to a module that is loaded.
pub(super) fn is_read(tree: &crate::Tree, file: &str) -> bool {
    !is_idle(file, &loaded(tree))
}

/// How many parameters stand in files of modules that are not loaded.
pub(crate) fn idle(tree: &crate::Tree) -> usize {
    let loaded = loaded(tree);
    let section = tree.section("configuration");
    let files = section.into_iter().flat_map(|s| s.children_named("configuration"));
    let files = files.filter(|conf| is_idle(conf.attr_or_empty("name"), &loaded));
    files.flat_map(Node::descendants).filter(|node| node.name() == "param").count()
}

/// Every `<param>` of the configuration section, with its file and kind of element; those of modules
/// that are not loaded left out.
pub(crate) fn all(tree: &crate::Tree) -> Vec<(&str, &'static str, Node<'_>)> {
    let section = tree.section("configuration");
    let files = section.into_iter().flat_map(|s| s.children_named("configuration"));
    let loaded = loaded(tree);
    let mut params = Vec::new();
    for conf in files {
        let file = conf.attr_or_empty("name");
        if FREE.contains(&file) || is_idle(file, &loaded) {
            continue;
        }
        let found = conf.descendants().filter(|n| n.name() == "param");
        params.extend(found.map(|p| (file, scope(file, p), p)));
    }
    params
}

fn scope(file: &str, param: Node<'_>) -> &'static str {
    if file != "sofia.conf" {
        return "";
    }
    let mut around = std::iter::successors(param.parent(), |n| n.parent());
    around
        .find_map(|n| match n.name() {
            "gateway" => Some("gateway"),
            "global_settings" => Some("global"),
            "profile" => Some("profile"),
            _ => None,
        })
        .unwrap_or("profile")
}
