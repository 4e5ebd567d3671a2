//! Every application that is written down, wherever it is: in the dialplan, in menus, in hooks, on
//! bound keys.

use super::Subject;
use super::names::{data, later};
use crate::catalogue::Kind;
use crate::{Node, Place};

/// One application and its argument.
#[derive(Clone)]
pub(super) struct Use<'t> {
    pub(super) application: &'t str,
    pub(super) data: &'t str,
    /// Where the application is named.
    pub(super) named: Place,
    /// Where the argument is written.
    pub(super) place: Place,
}

/// All of them, in document order.
pub(super) fn all<'t>(subject: &Subject<'t>) -> Vec<Use<'t>> {
    let mut uses = Vec::new();
    let section = subject.tree.section("dialplan");
    let actions = section.into_iter().flat_map(Node::descendants);
    for action in actions.filter(|n| matches!(n.name(), "action" | "anti-action")) {
        let (data, place) = data(action);
        let application = action.attr_or_empty("application");
        let named = action.attr_place("application");
        push(&mut uses, Use { application, data, named, place });
    }
    let menus = subject.tree.configuration("ivr.conf").into_iter().flat_map(Node::descendants);
    for node in menus {
        match node.name() {
            "entry" if node.attr_or_empty("action").eq_ignore_ascii_case("menu-exec-app") => {
                from_text(&mut uses, node.attr_or_empty("param"), &node.attr_place("param"));
            }
            "menu" => {
                for hook in ["exec-on-max-failures", "exec-on-max-timeouts"] {
                    from_text(&mut uses, node.attr_or_empty(hook), &node.attr_place(hook));
                }
            }
            _ => {}
        }
    }
    uses
}

/// `application argument` in one text.
fn from_text<'t>(uses: &mut Vec<Use<'t>>, text: &'t str, place: &Place) {
    if text.is_empty() || text.starts_with(':') {
        return;
    }
    let (application, data) = text.split_once([' ', ':']).unwrap_or((text, ""));
    let (named, place) = (place.clone(), place.clone());
    push(uses, Use { application, data, named, place });
}

/// One use, and those its argument keeps for later.
fn push<'t>(uses: &mut Vec<Use<'t>>, one: Use<'t>) {
    for (kind, text) in later(one.application, one.data) {
        if kind != Kind::Application {
            continue;
        }
        // The rest of the argument after the name is the inner application's own.
        let at = one.data.rfind(text).map_or(one.data.len(), |at| at + text.len());
        let rest = one.data.get(at..).unwrap_or_default();
        let inner = rest.trim_start_matches([' ', ':', '!']).trim_end_matches('\'');
        uses.push(Use { application: text, data: inner, ..one.clone() });
    }
    uses.push(one);
}
