//! A menu as `ivr.conf` or the database has it.

use base::far;
use dialplan_xml::Node;
use dialplan_xml::regex::{Pattern, substitute};
use switch_core::text;

/// What a choice does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// An application with its argument.
    Execute(String),
    /// A command with its arguments; not in the reference, which cannot build a menu with it.
    Api(String),
    Play(String),
    Back,
    Sub(String),
    Exit,
    Top,
}

/// A choice: the digits, or a pattern for them.
#[derive(Clone, Debug)]
struct MenuEntry {
    digits: String,
    action: Action,
}

/// A menu.
#[derive(Clone, Debug, Default)]
pub(super) struct Menu {
    pub(super) name: String,
    pub(super) greet_long: String,
    pub(super) greet_short: String,
    pub(super) invalid_sound: String,
    pub(super) exit_sound: String,
    pub(super) transfer_sound: String,
    pub(super) timeout: i64,
    pub(super) digit_timeout: i64,
    pub(super) max_failures: i64,
    pub(super) max_timeouts: i64,
    /// Digits a choice has at most.
    pub(super) digit_len: usize,
    pub(super) confirm_macro: String,
    pub(super) confirm_key: String,
    pub(super) confirm_attempts: i64,
    pub(super) tts: Option<(String, String)>,
    pub(super) exec_on_max_failures: String,
    pub(super) exec_on_max_timeouts: String,
    pub(super) pin: String,
    pub(super) pin_file: String,
    pub(super) bad_pin_file: String,
    /// It is the database's: its texts hold no references, and it is read again for each greeting.
    pub(super) stored: bool,
    entries: Vec<MenuEntry>,
}

/// Longest choice, digits.
const MAX_DIGITS: i64 = 128;

fn number(value: Option<&str>, default: i64) -> i64 {
    value.map(text::int).filter(|&n| n > 0).unwrap_or(default)
}

impl Menu {
    /// Reads a menu; `None`, as said in the log, when one of its entries has no digits or an action that there is not: the
    /// reference cannot build the whole menu then.
    pub(super) fn read(node: Node<'_>) -> Option<Self> {
        let attr = |name: &str| node.attr_or_empty(name).to_owned();
        let or = |name: &str, default: &str| {
            node.attr(name).filter(|value| !value.is_empty()).unwrap_or(default).to_owned()
        };
        let timeout = number(node.attr("timeout"), 10_000);
        let max_failures = number(node.attr("max-failures"), 3);
        let timeouts = node.attr("max-timeouts").filter(|value| !value.is_empty());
        let entries: Option<Vec<MenuEntry>> = node.children_named("entry").map(entry).collect();
        let Some(entries) = entries else {
            tracing::error!("Unable to build xml menu {}", node.attr_or_empty("name"));
            return None;
        };
        let (engine, voice) = (attr("tts-engine"), attr("tts-voice"));
        let menu = Self {
            name: attr("name"),
            greet_long: attr("greet-long"),
            greet_short: attr("greet-short"),
            invalid_sound: attr("invalid-sound"),
            exit_sound: attr("exit-sound"),
            transfer_sound: attr("transfer-sound"),
            timeout,
            digit_timeout: number(node.attr("inter-digit-timeout"), timeout / 2),
            max_failures,
            max_timeouts: number(timeouts.or_else(|| node.attr("max-failures")), 3),
            digit_len: usize::try_from(number(node.attr("digit-len"), 0).min(MAX_DIGITS))
                .unwrap_or(0),
            confirm_macro: attr("confirm-macro"),
            confirm_key: attr("confirm-key"),
            confirm_attempts: number(node.attr("confirm-attempts"), 3),
            tts: (!engine.is_empty() && !voice.is_empty()).then_some((engine, voice)),
            exec_on_max_failures: attr("exec-on-max-failures"),
            exec_on_max_timeouts: attr("exec-on-max-timeouts"),
            pin: attr("pin"),
            pin_file: or("pin-file", "ivr/ivr-please_enter_pin_followed_by_pound.wav"),
            bad_pin_file: or("bad-pin-file", "conference/conf-bad-pin.wav"),
            stored: false,
            entries: Vec::new(),
        };
        Some(menu.with(entries))
    }

    /// A menu of the database: its messages are spoken, or played where they name a file.
    pub(super) fn of(kept: &menus::Menu) -> Self {
        let timeout = number(Some(&kept.timeout_ms.to_string()), 10_000);
        let or = |value: i64, default: i64| if value > 0 { value } else { default };
        let max_failures = or(kept.max_failures, 3);
        let greeting = spoken(&kept.welcome_message);
        let mut entries = Vec::new();
        for option in &kept.options {
            let mut add = |action| entries.push(MenuEntry { digits: option.digit.clone(), action });
            if !option.welcome_message.is_empty() {
                add(Action::Play(spoken(&option.welcome_message)));
            }
            let value = option.action_value.trim().replace('$', &far::mark("$"));
            add(match option.action_type {
                menus::Action::Menu => Action::Sub(value),
                menus::Action::Transfer => Action::Execute(format!("transfer {value}")),
                menus::Action::Hangup => {
                    Action::Execute(format!("hangup {value}").trim().to_owned())
                }
            });
        }
        let menu = Self {
            name: kept.id.clone(),
            // Without a message the caller is waited for in silence.
            greet_long: if greeting.is_empty() { "silence_stream://20".into() } else { greeting },
            greet_short: spoken(&kept.short_message),
            invalid_sound: spoken(&kept.invalid_message),
            exit_sound: spoken(&kept.exit_message),
            timeout,
            digit_timeout: or(kept.digit_timeout_ms, timeout / 2),
            max_failures,
            max_timeouts: or(kept.max_timeouts, max_failures),
            tts: (!kept.tts_engine.is_empty())
                .then(|| (kept.tts_engine.clone(), kept.tts_voice.clone())),
            stored: true,
            ..Self::default()
        };
        menu.with(entries)
    }

    /// With these choices; the longest of those that are no patterns may be typed whole.
    fn with(self, entries: Vec<MenuEntry>) -> Self {
        let literal = entries.iter().filter(|entry| !entry.digits.starts_with('/'));
        let longest = literal.map(|entry| entry.digits.len()).max().unwrap_or(0);
        Self { digit_len: self.digit_len.max(longest), entries, ..self }
    }

    /// What the choices that fit do, in their order, a pattern's captures filled in.
    pub(super) fn chosen(&self, typed: &str) -> Vec<Action> {
        let fits = |entry: &MenuEntry| {
            if !entry.digits.starts_with('/') {
                return (entry.digits == typed).then(|| entry.action.clone());
            }
            let captures = Pattern::cached(&entry.digits).ok()?.captures(typed)?;
            let filled = |param: &String| substitute(param, &captures);
            Some(match &entry.action {
                Action::Execute(param) => Action::Execute(filled(param)),
                Action::Api(param) => Action::Api(filled(param)),
                Action::Play(param) => Action::Play(filled(param)),
                Action::Sub(param) => Action::Sub(filled(param)),
                other => other.clone(),
            })
        };
        self.entries.iter().filter_map(fits).collect()
    }
}

/// A message of the database as something to play.
fn spoken(message: &str) -> String {
    let message = message.trim();
    let file = message.contains("://")
        || message.starts_with('/')
        || ["say:", "phrase:"].iter().any(|prefix| message.starts_with(prefix));
    if message.is_empty() || file { message.to_owned() } else { format!("say:{message}") }
}

fn entry(node: Node<'_>) -> Option<MenuEntry> {
    let param = node.attr_or_empty("param").to_owned();
    let action = match node.attr_or_empty("action") {
        "menu-exec-app" => Action::Execute(param),
        "menu-exec-api" => Action::Api(param),
        "menu-play-sound" => Action::Play(param),
        "menu-back" => Action::Back,
        "menu-sub" => Action::Sub(param),
        "menu-exit" => Action::Exit,
        "menu-top" => Action::Top,
        other => {
            tracing::warn!("Invalid Action [{other}]");
            return None;
        }
    };
    let digits = node.attr("digits").filter(|digits| !digits.is_empty())?;
    Some(MenuEntry { digits: digits.to_owned(), action })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Option<Menu> {
        let xml = format!("<menu name='m' timeout='4000' max-failures='2'>{inside}</menu>");
        Menu::read(dialplan_xml::parse_raw(&xml, "test").tree.unwrap().root())
    }

    #[test]
    fn all_choices_that_fit_are_made_and_patterns_fill_in_what_they_capture() {
        let menu = read(
            "<entry action='menu-play-sound' digits='1' param='one.wav'/>\
             <entry action='menu-exec-app' digits='/^(10[01][0-9])$/' param='transfer $1 XML features'/>\
             <entry action='menu-exec-app' digits='1' param='transfer 9196'/>\
             <entry action='menu-top' digits='9'/>",
        )
        .unwrap();
        let run = |what: &str| Action::Execute(what.into());
        assert_eq!(menu.chosen("1"), [Action::Play("one.wav".into()), run("transfer 9196")]);
        assert_eq!(menu.chosen("1007"), [run("transfer 1007 XML features")]);
        assert_eq!((menu.chosen("9"), menu.chosen("2")), (vec![Action::Top], vec![]));
        assert_eq!((menu.digit_len, menu.digit_timeout, menu.max_timeouts), (1, 2000, 2));
    }

    #[test]
    fn a_menu_with_an_action_that_there_is_not_cannot_be_built() {
        assert!(read("<entry action='menu-dance' digits='1'/>").is_none());
        assert!(read("<entry action='menu-exit'/>").is_none());
        assert!(read("<entry action='Menu-Exit' digits='1'/>").is_none());
        assert_eq!(read("<entry action='menu-exit' digits='1234'/>").unwrap().digit_len, 4);
    }

    #[test]
    fn a_menu_of_the_database_speaks_and_runs_no_reference() {
        let option = |digit: &str, action_type, value: &str, said: &str| menus::MenuOption {
            digit: digit.into(),
            action_type,
            action_value: value.into(),
            welcome_message: said.into(),
        };
        let menu = Menu::of(&menus::Menu {
            id: "main".into(),
            welcome_message: "Hello".into(),
            exit_message: "/sounds/bye.wav".into(),
            options: vec![
                option("1", menus::Action::Transfer, "1000 XML default", "One moment"),
                option("22", menus::Action::Hangup, "", ""),
                option("3", menus::Action::Transfer, "${system(x)}", ""),
            ],
            ..menus::Menu::default()
        });
        assert_eq!(
            (menu.greet_long.as_str(), menu.exit_sound.as_str()),
            ("say:Hello", "/sounds/bye.wav")
        );
        let run = |what: &str| Action::Execute(what.into());
        assert_eq!(
            menu.chosen("1"),
            [Action::Play("say:One moment".into()), run("transfer 1000 XML default")]
        );
        assert_eq!((menu.chosen("22"), menu.digit_len), (vec![run("hangup")], 2));
        assert!(matches!(&menu.chosen("3")[..], [Action::Execute(what)] if !what.contains('$')));
    }
}
