//! `voicemail_ivr.conf`: a profile's settings, the commands it works with, and its menus.

use std::sync::Arc;

use dialplan_xml::Node;
use switch_core::switch::Switch;
use switch_core::{text, xml};

const FILE: &str = "voicemail_ivr.conf";

/// What a profile does with a mailbox; each is the name of a command in `<apis>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Login,
    List,
    Count,
    Get,
    Delete,
    Undelete,
    Save,
    Purge,
    Forward,
    SetGreeting,
    GetGreeting,
    SetName,
    SetPassword,
}

/// All of them, with their names in `<apis>`.
const DEEDS: [(Deed, &str); 13] = [
    (Deed::Login, "auth_login"),
    (Deed::List, "msg_list"),
    (Deed::Count, "msg_count"),
    (Deed::Get, "msg_get"),
    (Deed::Delete, "msg_delete"),
    (Deed::Undelete, "msg_undelete"),
    (Deed::Save, "msg_save"),
    (Deed::Purge, "msg_purge"),
    (Deed::Forward, "msg_forward"),
    (Deed::SetGreeting, "pref_greeting_set"),
    (Deed::GetGreeting, "pref_greeting_get"),
    (Deed::SetName, "pref_recname_set"),
    (Deed::SetPassword, "pref_password_set"),
];

/// Names and values; the last of a name counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    fn read(parent: Option<Node<'_>>, tag: &str, name: &str, value: &str) -> Self {
        let nodes = parent.into_iter().flat_map(|parent| parent.children_named(tag));
        let pair = |node: Node<'_>| {
            let [name, value] = [name, value].map(|name| node.attr_or_empty(name).to_owned());
            (!name.is_empty()).then_some((name, value))
        };
        Self(nodes.filter_map(pair).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().rev();
        all.find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A key of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// What is typed; digits, or a mask.
    pub(super) typed: String,
    pub(super) action: String,
    /// The field under which phrases speak of it.
    pub(super) field: String,
}

/// A menu as it is written.
#[derive(Clone, Debug)]
pub(super) struct Menu {
    pub(super) name: String,
    pub(super) keys: Vec<Key>,
    phrases: Settings,
    /// The menu's own, above the profile's.
    settings: Settings,
    above: Arc<Settings>,
    whole: bool,
}

impl Menu {
    fn read(node: Option<Node<'_>>, name: &str, above: &Arc<Settings>) -> Self {
        let child = |name: &str| node.and_then(|node| node.child(name));
        let keys = child("keys").into_iter().flat_map(|keys| keys.children_named("key"));
        let key = |node: Node<'_>| {
            let text = |name: &str| node.attr_or_empty(name).to_owned();
            Key { typed: text("dtmf"), action: text("action"), field: text("variable") }
        };
        Self {
            name: name.to_owned(),
            keys: keys.map(key).filter(|key| !key.typed.is_empty()).collect(),
            phrases: Settings::read(child("phrases"), "phrase", "name", "value"),
            settings: Settings::read(child("settings"), "param", "name", "value"),
            above: Arc::clone(above),
            whole: child("keys").is_some() && child("phrases").is_some(),
        }
    }

    /// Is it there, with keys (none will do) and phrases? The log says so if not.
    pub(super) fn is_whole(&self) -> bool {
        if !self.whole {
            tracing::error!("Missing Menu Phrases or Keys in menu '{}'", self.name);
        }
        self.whole
    }

    /// The macro for that occasion.
    pub(super) fn phrase(&self, name: &str) -> Option<&str> {
        self.phrases.get(name)
    }

    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).or_else(|| self.above.get(name))
    }

    pub(super) fn number(&self, name: &str, default: i64) -> i64 {
        self.setting(name).map_or(default, text::int)
    }

    /// How often a question is asked.
    pub(super) fn attempts(&self) -> i64 {
        self.number("IVR-Maximum-Attempts", 3).clamp(1, 100)
    }

    /// What the keys typed stand for.
    pub(super) fn action(&self, typed: &str) -> Option<&str> {
        let mut keys = self.keys.iter();
        keys.find(|key| key.typed == typed).map(|key| key.action.as_str())
    }

    /// The key that ends what is typed.
    pub(super) fn terminator(&self) -> Option<char> {
        let ends = |key: &&Key| key.action.eq_ignore_ascii_case("ivrengine:terminate_entry");
        self.keys.iter().find(ends).and_then(|key| key.typed.chars().next())
    }
}

/// A profile.
#[derive(Debug)]
pub(super) struct Conf {
    /// Also the name of the profile the commands are about.
    pub(super) name: String,
    apis: Vec<(Deed, String)>,
    settings: Arc<Settings>,
    menus: Vec<Menu>,
}

impl Conf {
    /// The profile of that name, if there is one and it names all commands.
    pub(super) async fn load(switch: &Arc<Switch>, name: &str) -> Option<Self> {
        let read = |node: Option<Node<'_>>| match node {
            Some(node) => Self::read(node, name),
            None => {
                tracing::error!("Open of {FILE} failed");
                None
            }
        };
        xml::read_configuration(switch, FILE, None, read).await.ok()?
    }

    fn read(node: Node<'_>, name: &str) -> Option<Self> {
        let profile = node.child("profiles")?.find("profile", "name", name)?;
        let settings =
            Arc::new(Settings::read(profile.child("settings"), "param", "name", "value"));
        let named = Settings::read(profile.child("apis"), "api", "name", "value");
        let apis: Vec<_> = DEEDS
            .iter()
            .filter_map(|(deed, name)| Some((*deed, named.get(name)?.to_owned())))
            .collect();
        if apis.len() < DEEDS.len() {
            let missing = DEEDS.iter().filter(|(_, name)| named.get(name).is_none());
            let missing: Vec<_> = missing.map(|(_, name)| *name).collect();
            tracing::error!("Missing api definition for profile '{name}': {}", missing.join(", "));
            return None;
        }
        let menus =
            profile.child("menus").into_iter().flat_map(|menus| menus.children_named("menu"));
        let menus = menus.map(|menu| Menu::read(Some(menu), menu.attr_or_empty("name"), &settings));
        Some(Self { name: name.to_owned(), apis, menus: menus.collect(), settings })
    }

    /// The menu of that name; one that is not there has neither keys nor phrases.
    pub(super) fn menu(&self, name: &str) -> Menu {
        let found = self.menus.iter().find(|menu| menu.name == name);
        found.cloned().unwrap_or_else(|| Menu::read(None, name, &self.settings))
    }

    /// The command that does it.
    pub(super) fn command(&self, deed: Deed) -> &str {
        self.apis.iter().find(|(one, _)| *one == deed).map_or("", |(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(apis: usize) -> Option<Conf> {
        let apis: String = DEEDS[..apis]
            .iter()
            .map(|(_, name)| format!(r#"<api name="{name}" value="vm_{name}"/>"#))
            .collect();
        let text = format!(
            r##"<document><section name="configuration"><configuration name="voicemail_ivr.conf"><profiles><profile name="p">
            <settings><param name="IVR-Entry-Timeout" value="1000"/><param name="ivr-maximum-attempts" value="0"/></settings>
            <apis>{apis}</apis><menus><menu name="m"><settings><param name="ivr-entry-timeout" value="5"/></settings>
            <phrases><phrase name="Hi" value="hi@g"/></phrases><keys><key dtmf="1" action="go" variable="K"/>
            <key dtmf="#" action="ivrengine:terminate_entry"/></keys></menu><menu name="half"><keys/></menu></menus>
            </profile></profiles></configuration></section></document>"##
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        Conf::read(tree.configuration(FILE).unwrap(), "p")
    }

    #[test]
    fn a_profile_has_commands_and_menus() {
        let conf = read(DEEDS.len()).unwrap();
        assert_eq!(conf.command(Deed::Purge), "vm_msg_purge");
        let menu = conf.menu("m");
        assert!(menu.is_whole());
        assert_eq!((menu.phrase("hi"), menu.phrase("ho")), (Some("hi@g"), None));
        assert_eq!((menu.action("1"), menu.action("2")), (Some("go"), None));
        assert_eq!(menu.terminator(), Some('#'));
        assert_eq!(menu.number("IVR-Entry-Timeout", 0), 5, "the menu's own");
        assert_eq!(menu.attempts(), 1, "none is no question at all");
        assert_eq!(conf.menu("half").number("IVR-Entry-Timeout", 0), 1000);
        assert!(!conf.menu("half").is_whole() && !conf.menu("none").is_whole());
    }

    #[test]
    fn a_profile_without_all_commands_is_none() {
        assert!(read(12).is_none());
    }
}
