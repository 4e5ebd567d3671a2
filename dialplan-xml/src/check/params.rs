//! Parameters nobody reads.

use super::Subject;
use crate::catalogue::Support;
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
            Some(Support::Accepted) => {
                let message = format!("parameter \"{name}\" of {shown} is accepted without effect");
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

/// Every `<param>` of the configuration section, with its file and kind of element.
pub(crate) fn all(tree: &crate::Tree) -> Vec<(&str, &'static str, Node<'_>)> {
    let section = tree.section("configuration");
    let files = section.into_iter().flat_map(|s| s.children_named("configuration"));
    let mut params = Vec::new();
    for conf in files {
        let file = conf.attr_or_empty("name");
        if FREE.contains(&file) {
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
