//! `ivr`: menus of ivr.conf.

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::regex::{Pattern, substitute};
use dialplan_xml::{Node, Tree};
use esl_server::event::Event;

use super::play::{Keys, Play};
use super::{App, Flags, phrase};
use crate::app;
use crate::app::digits;
use crate::call::{AppResult, Channel, Interrupt, Session, transfer};
use crate::{text, xml};

/// The family.
pub const APPS: &[App] =
    &[app!("ivr", "mod_dptools", Flags::NONE, "<menu_name>", "Run an ivr menu", ivr)];

/// Menus within menus; deeper is a loop.
const MAX_DEPTH: usize = 12;
/// Tries at a menu's PIN.
const PIN_TRIES: usize = 3;

/// What a choice does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Execute(String),
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

/// A menu as configured.
#[derive(Clone, Debug, Default)]
struct Menu {
    name: String,
    greet_long: String,
    greet_short: String,
    invalid_sound: String,
    exit_sound: String,
    transfer_sound: String,
    timeout: i64,
    digit_timeout: i64,
    max_failures: i64,
    max_timeouts: i64,
    digit_len: i64,
    confirm_macro: String,
    confirm_key: String,
    confirm_attempts: i64,
    exec_on_max_failures: String,
    exec_on_max_timeouts: String,
    pin: String,
    pin_file: String,
    bad_pin_file: String,
    entries: Vec<MenuEntry>,
}

impl Menu {
    fn read(node: Node<'_>) -> Self {
        let attr = |name: &str| node.attr_or_empty(name).to_owned();
        let number = |name: &str, default: i64| {
            node.attr(name).map(text::int).filter(|&n| n > 0).unwrap_or(default)
        };
        let timeout = number("timeout", 10_000);
        Self {
            name: attr("name"),
            greet_long: attr("greet-long"),
            greet_short: attr("greet-short"),
            invalid_sound: attr("invalid-sound"),
            exit_sound: attr("exit-sound"),
            transfer_sound: attr("transfer-sound"),
            timeout,
            digit_timeout: number("inter-digit-timeout", timeout / 2),
            max_failures: number("max-failures", 3),
            max_timeouts: number("max-timeouts", 3),
            digit_len: number("digit-len", 1),
            confirm_macro: attr("confirm-macro"),
            confirm_key: attr("confirm-key"),
            confirm_attempts: number("confirm-attempts", 3),
            exec_on_max_failures: attr("exec-on-max-failures"),
            exec_on_max_timeouts: attr("exec-on-max-timeouts"),
            pin: attr("pin"),
            pin_file: attr("pin-file"),
            bad_pin_file: attr("bad-pin-file"),
            entries: node.children_named("entry").filter_map(entry).collect(),
        }
    }

    /// What was chosen, a pattern's captures filled in.
    fn choose(&self, typed: &str) -> Option<Action> {
        self.entries.iter().find_map(|entry| {
            if !entry.digits.starts_with('/') {
                return (entry.digits == typed).then(|| entry.action.clone());
            }
            let captures = Pattern::cached(&entry.digits).ok()?.captures(typed)?;
            Some(match &entry.action {
                Action::Execute(param) => Action::Execute(substitute(param, &captures)),
                Action::Play(param) => Action::Play(substitute(param, &captures)),
                Action::Sub(param) => Action::Sub(substitute(param, &captures)),
                other => other.clone(),
            })
        })
    }
}

fn entry(node: Node<'_>) -> Option<MenuEntry> {
    let param = node.attr_or_empty("param").to_owned();
    let action = match node.attr_or_empty("action") {
        "menu-exec-app" => Action::Execute(param),
        "menu-play-sound" => Action::Play(param),
        "menu-back" => Action::Back,
        "menu-sub" => Action::Sub(param),
        "menu-exit" => Action::Exit,
        "menu-top" => Action::Top,
        _ => return None,
    };
    Some(MenuEntry { digits: node.attr("digits")?.to_owned(), action })
}

/// How a menu was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// To the menu above.
    Back,
    /// To the outermost menu.
    Top,
    /// Out of all menus.
    Exit,
    /// After too many wrong choices.
    Failures,
    /// After too much silence.
    Timeouts,
}

async fn ivr(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let name = argument.trim();
    let menus = menus(session, name).await?;
    if menus.find(name).is_none() {
        tracing::error!(uuid = %channel.uuid(), "Unable to find menu {name}");
        return Ok(());
    }
    channel.unset_var("ivr_menu_status");
    session.answer().await?;
    let left = menu(session, &menus, name, 0).await?;
    channel.set_var(
        "ivr_menu_status",
        match left {
            Left::Failures => "failure",
            Left::Timeouts => "timeout",
            Left::Back | Left::Top | Left::Exit => "success",
        },
    );
    Ok(())
}

/// The menus of one document: they stay the same for as long as a caller is in them.
struct Menus(Tree);

impl Menus {
    fn find(&self, name: &str) -> Option<Menu> {
        let menus = self.0.configuration("ivr.conf")?.child("menus")?;
        menus.find("menu", "name", name).map(Menu::read)
    }
}

/// A web server's menus for this call, or those of the files.
async fn menus(session: &mut Session, name: &str) -> Result<Menus, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    if switch.xml.serve("configuration") {
        let fill = |params: &mut Event| {
            params.push("Menu-Name", name);
            channel.describe(params);
        };
        let answer = xml::configuration(&switch, "ivr.conf", Some(&fill));
        if let Ok(Some(tree)) = session.wait_for(answer).await? {
            return Ok(Menus(tree));
        }
    }
    Ok(Menus(switch.config.load().tree.clone()))
}

fn fire(channel: &Channel, subclass: &str, name: &str) {
    channel.fire_custom(
        subclass,
        |_| {},
        |event| {
            event.push("Menu-Name", name.to_owned());
        },
    );
}

async fn sound(session: &mut Session, file: &str) -> AppResult {
    if !file.is_empty() {
        session.play(Play::once(file, Keys::Any)).await?;
    }
    Ok(())
}

/// Runs a menu, and those below it, until it is left.
async fn menu(
    session: &mut Session,
    menus: &Menus,
    name: &str,
    depth: usize,
) -> Result<Left, Interrupt> {
    let channel = Arc::clone(session.channel());
    let Some(found) = menus.find(name).filter(|_| depth < MAX_DEPTH) else {
        tracing::error!(uuid = %channel.uuid(), "No such menu: {name}");
        return Ok(Left::Back);
    };
    if !found.pin.is_empty() && !pin(session, &found).await? {
        return Ok(Left::Failures);
    }
    fire(&channel, "menu::enter", &found.name);
    let left = choices(session, menus, &found, depth).await;
    fire(&channel, "menu::exit", &found.name);
    let left = left?;
    session.check()?;
    let gives_up = matches!(left, Left::Failures | Left::Timeouts);
    if depth == 0 || gives_up {
        let fallback = match left {
            Left::Failures => &found.exec_on_max_failures,
            Left::Timeouts => &found.exec_on_max_timeouts,
            _ => "",
        };
        if !fallback.is_empty() {
            execute(session, fallback).await?;
        } else if depth == 0 {
            sound(session, &found.exit_sound).await?;
        }
    }
    Ok(left)
}

async fn choices(
    session: &mut Session,
    menus: &Menus,
    menu: &Menu,
    depth: usize,
) -> Result<Left, Interrupt> {
    let (mut failures, mut timeouts, mut long) = (0, 0, true);
    loop {
        session.check()?;
        let greeting =
            if long || menu.greet_short.is_empty() { &menu.greet_long } else { &menu.greet_short };
        long = false;
        let typed = input(session, menu, greeting).await?;
        if typed.is_empty() {
            timeouts += 1;
            if timeouts >= menu.max_timeouts {
                return Ok(Left::Timeouts);
            }
            continue;
        }
        match menu.choose(&typed) {
            None => {
                sound(session, &menu.invalid_sound).await?;
                session.flush_digits();
                failures += 1;
                if failures >= menu.max_failures {
                    return Ok(Left::Failures);
                }
            }
            Some(action) => {
                (failures, timeouts) = (0, 0);
                if let Some(left) = Box::pin(act(session, menus, menu, action, depth)).await? {
                    return Ok(left);
                }
            }
        }
    }
}

/// Does what was chosen; `Some` leaves the menu.
async fn act(
    session: &mut Session,
    menus: &Menus,
    menu: &Menu,
    action: Action,
    depth: usize,
) -> Result<Option<Left>, Interrupt> {
    match action {
        Action::Execute(what) => {
            sound(session, &menu.transfer_sound).await?;
            execute(session, &what).await?;
            Ok(None)
        }
        Action::Play(file) => {
            sound(session, &file).await?;
            Ok(None)
        }
        Action::Back if depth == 0 => Ok(Some(Left::Exit)),
        Action::Back => Ok(Some(Left::Back)),
        Action::Exit => Ok(Some(Left::Exit)),
        // The outermost menu begins again.
        Action::Top if depth == 0 => Ok(None),
        Action::Top => Ok(Some(Left::Top)),
        Action::Sub(name) => match self::menu(session, menus, &name, depth + 1).await? {
            Left::Back => Ok(None),
            Left::Top if depth == 0 => Ok(None),
            left => Ok(Some(left)),
        },
    }
}

/// `app args`, `app:args`, or `:number` to transfer to.
async fn execute(session: &mut Session, what: &str) -> AppResult {
    if let Some(number) = what.strip_prefix(':') {
        let words = text::words(number, 3);
        let word = |at: usize| words.get(at).map(String::as_str);
        if let Some(exten) = word(0) {
            transfer::transfer(session.channel(), exten, word(1), word(2));
        }
        return session.check();
    }
    let (application, argument) = what.split_once([' ', ':']).unwrap_or((what, ""));
    session.execute(application, argument.trim()).await
}

/// Greets and takes the digits, confirmed if the menu wants that; empty when nothing was typed.
async fn input(session: &mut Session, menu: &Menu, greeting: &str) -> Result<String, Interrupt> {
    let lengths = (1, menu.digit_len);
    let times = (menu.timeout, menu.digit_timeout);
    let typed = digits::collect(session, greeting, lengths, times).await?;
    if typed.is_empty() || menu.confirm_macro.is_empty() || menu.confirm_key.is_empty() {
        return Ok(typed);
    }
    for _ in 0..menu.confirm_attempts {
        phrase::speak(session, &menu.confirm_macro, &typed).await?;
        let key = digits::collect(session, "", (1, 1), times).await?;
        if key == menu.confirm_key {
            return Ok(typed);
        }
        if !key.is_empty() {
            break;
        }
    }
    Ok(String::new())
}

async fn pin(session: &mut Session, menu: &Menu) -> Result<bool, Interrupt> {
    let length = i64::try_from(menu.pin.len()).unwrap_or(1);
    for _ in 0..PIN_TRIES {
        let times = (menu.timeout, menu.digit_timeout);
        let typed = digits::collect(session, &menu.pin_file, (1, length), times).await?;
        if typed == menu.pin {
            return Ok(true);
        }
        sound(session, &menu.bad_pin_file).await?;
        session.flush_digits();
        session.sleep(Duration::from_millis(100)).await?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> Menu {
        let entry = |digits: &str, action: Action| MenuEntry { digits: digits.to_owned(), action };
        Menu {
            entries: vec![
                entry("1", Action::Execute("transfer 9196".into())),
                entry("/^(10[01][0-9])$/", Action::Execute("transfer $1 XML features".into())),
                entry("9", Action::Top),
            ],
            ..Menu::default()
        }
    }

    #[test]
    fn digits_choose_and_patterns_fill_in_what_they_capture() {
        let menu = menu();
        assert_eq!(menu.choose("1"), Some(Action::Execute("transfer 9196".into())));
        assert_eq!(menu.choose("1007"), Some(Action::Execute("transfer 1007 XML features".into())));
        assert_eq!(menu.choose("9"), Some(Action::Top));
        assert_eq!(menu.choose("2"), None);
    }
}
