//! Menus of `ivr.conf`, for calls on paper.

use std::collections::HashMap;
use std::sync::Arc;

use crate::regex::{Pattern, substitute};
use crate::{Node, Place, Tree};

/// Every menu, by lower-case name.
#[derive(Clone, Default)]
pub(super) struct Menus {
    by_name: Arc<HashMap<String, Menu>>,
}

/// One menu: what each choice does.
pub(super) struct Menu {
    entries: Vec<MenuEntry>,
}

struct MenuEntry {
    digits: String,
    action: String,
    param: String,
    place: Place,
}

/// What a choice leads to.
pub(super) enum Choice {
    /// An application runs.
    Execute { application: String, data: String, place: Place },
    /// The call goes to `number [dialplan [context]]`.
    Transfer(String),
    /// A menu below this one.
    Sub(String),
    /// A sound, then the menu again.
    Play,
    /// The menu above.
    Back,
    /// The outermost menu.
    Top,
    /// Out of all menus.
    Exit,
}

impl Menus {
    pub(super) fn read(tree: &Tree) -> Self {
        let list = tree.configuration("ivr.conf").and_then(|conf| conf.child("menus"));
        let mut by_name = HashMap::new();
        for node in list.into_iter().flat_map(|l| l.children_named("menu")) {
            let name = node.attr_or_empty("name").to_ascii_lowercase();
            by_name.entry(name).or_insert_with(|| Menu::read(node));
        }
        Self { by_name: Arc::new(by_name) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Menu> {
        self.by_name.get(&name.to_ascii_lowercase())
    }
}

impl Menu {
    fn read(node: Node<'_>) -> Self {
        let entry = |e: Node<'_>| MenuEntry {
            digits: e.attr_or_empty("digits").to_owned(),
            action: e.attr_or_empty("action").to_ascii_lowercase(),
            param: e.attr_or_empty("param").to_owned(),
            place: e.attr_place("param"),
        };
        Self { entries: node.children_named("entry").map(entry).collect() }
    }

    /// What was chosen; a pattern's captures are filled in.
    pub(super) fn choose(&self, typed: &str) -> Option<Choice> {
        self.entries.iter().find_map(|entry| {
            if !entry.digits.starts_with('/') {
                return (entry.digits == typed).then(|| entry.choice(entry.param.clone()))?;
            }
            let captures = Pattern::cached(&entry.digits).ok()?.captures(typed)?;
            entry.choice(substitute(&entry.param, &captures))
        })
    }
}

impl MenuEntry {
    fn choice(&self, param: String) -> Option<Choice> {
        Some(match self.action.as_str() {
            "menu-exec-app" => {
                if let Some(target) = param.strip_prefix(':') {
                    return Some(Choice::Transfer(target.to_owned()));
                }
                let (application, data) = param.split_once([' ', ':']).unwrap_or((&param, ""));
                Choice::Execute {
                    application: application.to_owned(),
                    data: data.trim().to_owned(),
                    place: self.place.clone(),
                }
            }
            "menu-sub" => Choice::Sub(param),
            "menu-play-sound" => Choice::Play,
            "menu-back" => Choice::Back,
            "menu-top" => Choice::Top,
            "menu-exit" => Choice::Exit,
            _ => return None,
        })
    }
}
