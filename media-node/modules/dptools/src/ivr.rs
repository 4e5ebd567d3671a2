//! `ivr`: menus of ivr.conf, and of the database it names.

mod menu;

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Tree;
use dialplan_xml::config::settings;
use dialplan_xml::declare::{Parameters, Value, param};
use esl_server::event::Event;
use tokio::time::Instant;

use super::play::{Ended, Keys, Play};
use super::{App, Flags, phrase};
use crate::app;
use crate::app::digits::{self, millis};
use crate::call::{AppResult, Channel, Interrupt, Session, Wake};
use crate::switch::Switch;
use crate::xml;

use menu::{Action, Menu};

/// The family.
pub const APPS: &[App] =
    &[app!("ivr", "mod_dptools", Flags::NONE, "<menu_name>", "Run an ivr menu", ivr)];

/// What is set beside the menus.
pub const PARAMETERS: &[Parameters] = &[Parameters {
    file: "ivr.conf",
    scope: "",
    list: &[
        param(
            "odbc-dsn",
            Value::Text,
            "",
            "Database of menus (`ivr_menus`, `ivr_menu_options`): `pgsql://…`, `sqlite://…`, or a file's name",
        ),
        param(
            "tts-engine",
            Value::Text,
            "",
            "Engine that speaks menus of the database that name none",
        ),
        param("tts-voice", Value::Text, "", "Its voice"),
    ],
}];

/// Menus within menus; deeper is a loop.
const MAX_DEPTH: usize = 12;
/// Tries at a menu's PIN, and milliseconds for its first key.
const PIN_TRIES: usize = 3;
const PIN_TIMEOUT: i64 = 3000;
const PIN_DIGIT_TIMEOUT: i64 = 10_000;

/// How a menu, or an action in it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// The menu goes on.
    Success,
    /// All menus are left.
    False,
    /// It was broken off, or the outermost menu is to begin again.
    Break,
    /// This menu is left, the one above goes on.
    Back,
}

async fn ivr(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let name = argument.trim();
    let menus = menus(session, name).await?;
    let Some(found) = menus.find(session, name).await? else {
        tracing::error!(uuid = %channel.uuid(), "Unable to find menu {name}");
        return Ok(());
    };
    let mut run = Run { menus, top: false };
    let _status = run.menu(session, found, 1).await?;
    Ok(())
}

/// The menus of one document, which stay the same for as long as a caller is in them; and those of the database.
struct Menus {
    tree: Tree,
    store: Option<menus::Store>,
    tts: (String, String),
}

impl Menus {
    /// A menu of the document, or else of the database.
    async fn find(&self, session: &mut Session, name: &str) -> Result<Option<Menu>, Interrupt> {
        let conf = self.tree.configuration("ivr.conf");
        let written = conf.and_then(|conf| conf.child("menus")?.find("menu", "name", name));
        if let Some(node) = written {
            return Ok(Menu::read(node));
        }
        let Some(store) = &self.store else { return Ok(None) };
        let found = session.wait_for(store.find(name)).await?;
        let found = found.inspect_err(|error| {
            tracing::error!(uuid = %session.channel().uuid(), "menus: {error}");
        });
        Ok(found.ok().flatten().map(|kept| {
            let mut menu = Menu::of(&kept);
            if menu.tts.is_none() && !self.tts.0.is_empty() {
                menu.tts = Some(self.tts.clone());
            }
            menu
        }))
    }
}

/// A web server's menus for this call, or those of the files; and the database.
async fn menus(session: &mut Session, name: &str) -> Result<Menus, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let mut tree = switch.config.load().tree.clone();
    if switch.xml.serve("configuration") {
        let fill = |params: &mut Event| {
            params.push("Menu-Name", name);
            channel.describe(params);
        };
        let answer = xml::configuration(&switch, "ivr.conf", Some(&fill));
        if let Ok(Some(answer)) = session.wait_for(answer).await? {
            tree = answer;
        }
    }
    let params = settings(switch.config.load().document("ivr.conf"));
    let text = |name: &str| params.last(name).unwrap_or_default().to_owned();
    let dsn = text("odbc-dsn");
    let store = if dsn.is_empty() { None } else { session.wait_for(open(&switch, &dsn)).await? };
    Ok(Menus { tree, store, tts: (text("tts-engine"), text("tts-voice")) })
}

async fn open(switch: &Switch, dsn: &str) -> Option<menus::Store> {
    let opened = switch.module::<menus::Opened>();
    let store = opened.get(dsn, switch.dirs.db_dir.clone()).await;
    store.inspect_err(|error| tracing::error!("ivr.conf: odbc-dsn: {error}")).ok()
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

/// A prompt's text with the call's variables in it.
async fn expanded(session: &mut Session, menu: &Menu, text: &str) -> String {
    if menu.stored {
        return text.to_owned();
    }
    let text = session.expand(text).await.into_owned();
    // What a far end said stays marked for macros.
    if text.starts_with("phrase:") { text } else { base::far::into_plain(text) }
}

/// Plays one of the menu's sounds; any key ends it and is used up by that.
async fn sound(session: &mut Session, menu: &Menu, file: &str) -> AppResult {
    if !file.is_empty() {
        let file = expanded(session, menu, file).await;
        if let Ended::Key(None) = session.play(Play::once(&file, Keys::Any)).await? {
            let _used_up = session.take_digit();
        }
    }
    Ok(())
}

/// What was typed at a greeting.
enum Typed {
    Digits(String),
    /// Nothing, and the time for it is over.
    Silence,
    /// Nothing that could be a choice: a terminator alone, a refused entry, a broken wait.
    Nothing,
}

/// A caller in menus.
struct Run {
    menus: Menus,
    /// The outermost menu is to begin again.
    top: bool,
}

impl Run {
    /// Runs a menu, and those below it, until it is left.
    async fn menu(
        &mut self,
        session: &mut Session,
        menu: Menu,
        depth: usize,
    ) -> Result<Status, Interrupt> {
        let channel = Arc::clone(session.channel());
        speak_with(&channel, &menu);
        channel.set_var("ivr_menu_status", "success");
        fire(&channel, "menu::enter", &menu.name);
        let name = menu.name.clone();
        let result = self.inside(session, menu, depth).await;
        fire(&channel, "menu::exit", &name);
        result
    }

    async fn inside(
        &mut self,
        session: &mut Session,
        mut menu: Menu,
        depth: usize,
    ) -> Result<Status, Interrupt> {
        if !menu.pin.is_empty() && !pin(session, &menu).await? {
            return Ok(Status::False);
        }
        let (mut errors, mut timeouts, mut short, mut back) = (0, 0, false, false);
        let status = loop {
            session.check()?;
            if let Some(fallback) = gave_up(session, &menu, errors, timeouts) {
                if !fallback.is_empty() {
                    execute(session, &fallback).await?;
                }
                break Status::Success;
            }
            if menu.stored {
                match self.menus.find(session, &menu.name).await? {
                    Some(now) => menu = now,
                    None => break Status::False,
                }
            }
            let greeting = if short && !menu.greet_short.is_empty() {
                menu.greet_short.clone()
            } else {
                menu.greet_long.clone()
            };
            short = true;
            let mut status = Status::Success;
            let digits = match ask(session, &menu, &greeting).await? {
                Typed::Silence => {
                    timeouts += 1;
                    continue;
                }
                Typed::Nothing => String::new(),
                Typed::Digits(digits) => digits,
            };
            let chosen = if digits.is_empty() { Vec::new() } else { menu.chosen(&digits) };
            if chosen.is_empty() {
                if !digits.is_empty() {
                    sound(session, &menu, &menu.invalid_sound).await?;
                }
                errors += 1;
            } else {
                errors = 0;
                for action in chosen {
                    speak_with(session.channel(), &menu);
                    if matches!(&action, Action::Sub(name) if *name != menu.name) {
                        short = false;
                    }
                    status = Box::pin(self.act(session, &menu, action, depth)).await?;
                    session.check()?;
                    back |= status == Status::Back;
                }
            }
            if depth == 1 && std::mem::take(&mut self.top) {
                continue;
            }
            match status {
                _ if back => break Status::Back,
                Status::Success => {}
                left => break left,
            }
        };
        if depth == 1 {
            session.check()?;
            sound(session, &menu, &menu.exit_sound).await?;
        }
        Ok(status)
    }

    /// Does what was chosen.
    async fn act(
        &mut self,
        session: &mut Session,
        menu: &Menu,
        action: Action,
        depth: usize,
    ) -> Result<Status, Interrupt> {
        match action {
            Action::Exit => Ok(Status::False),
            Action::Play(file) => {
                // Keys stay for the next greeting.
                let file = expanded(session, menu, &file).await;
                Ok(match session.play(Play::once(&file, Keys::Stop(""))).await? {
                    Ended::NotFound | Ended::Failed => Status::False,
                    Ended::Broken => Status::Break,
                    _ => Status::Success,
                })
            }
            Action::Execute(what) => {
                let application = what.split(' ').next().unwrap_or_default();
                if session.switch().app(application).is_none() {
                    tracing::error!(uuid = %session.channel().uuid(), "Invalid Application {application}");
                    return Ok(Status::False);
                }
                if application == "transfer" {
                    sound(session, menu, &menu.transfer_sound).await?;
                }
                execute(session, &what).await?;
                Ok(Status::Success)
            }
            Action::Api(what) => {
                let what = session.expand(&what).await.into_owned();
                let (command, arguments) = what.split_once(' ').unwrap_or((&what, ""));
                let (switch, channel) =
                    (Arc::clone(session.switch()), Arc::clone(session.channel()));
                let reply = switch.run_api(command, arguments, Some(channel));
                let known = session.wait_for(reply).await?.is_some();
                Ok(if known { Status::Success } else { Status::False })
            }
            Action::Back => Ok(Status::Back),
            Action::Top => {
                self.top = true;
                Ok(Status::Break)
            }
            Action::Sub(name) if name == menu.name => Ok(Status::Success),
            Action::Sub(name) => self.below(session, menu, &name, depth).await,
        }
    }

    async fn below(
        &mut self,
        session: &mut Session,
        menu: &Menu,
        name: &str,
        depth: usize,
    ) -> Result<Status, Interrupt> {
        let channel = Arc::clone(session.channel());
        fire(&channel, "menu::exit", &menu.name);
        let status = if depth >= MAX_DEPTH {
            tracing::error!(uuid = %channel.uuid(), "Too many levels of recursion.");
            Status::False
        } else if let Some(found) = self.menus.find(session, name).await? {
            match self.menu(session, found, depth + 1).await? {
                Status::Back => Status::Success,
                other => other,
            }
        } else {
            tracing::error!(uuid = %channel.uuid(), "Invalid Menu! {name}");
            Status::False
        };
        fire(&channel, "menu::enter", &menu.name);
        Ok(status)
    }
}

/// The engine and voice a menu names are the call's from here on.
fn speak_with(channel: &Channel, menu: &Menu) {
    if let Some((engine, voice)) = &menu.tts {
        channel.set_var("tts_engine", engine.as_str());
        channel.set_var("tts_voice", voice.as_str());
    }
}

/// What is executed as too much was wrong or silent; `None` while it is not.
fn gave_up(session: &Session, menu: &Menu, errors: i64, timeouts: i64) -> Option<String> {
    let (status, fallback) = if errors >= menu.max_failures {
        ("failure", &menu.exec_on_max_failures)
    } else if timeouts >= menu.max_timeouts {
        ("timeout", &menu.exec_on_max_timeouts)
    } else {
        return None;
    };
    session.channel().set_var("ivr_menu_status", status);
    Some(fallback.clone())
}

/// `app args`.
async fn execute(session: &mut Session, what: &str) -> AppResult {
    let (application, argument) = what.split_once(' ').unwrap_or((what, ""));
    session.execute(application, argument).await
}

/// Greets and takes the digits, confirmed if the menu wants that.
async fn ask(session: &mut Session, menu: &Menu, greeting: &str) -> Result<Typed, Interrupt> {
    if greeting.is_empty() {
        return Ok(Typed::Nothing);
    }
    let ends = session.channel().var("ivr_menu_terminator").filter(|ends| !ends.is_empty());
    let ends = ends.unwrap_or_else(|| "#".to_owned());
    let greeting = expanded(session, menu, greeting).await;
    session.play(Play::once(&greeting, Keys::Any)).await?;
    let times = [menu.timeout, menu.digit_timeout, menu.timeout].map(millis);
    let typed = take(session, menu.digit_len, &ends, times).await?;
    let Typed::Digits(typed) = typed else { return Ok(typed) };
    if menu.confirm_macro.is_empty() || confirmed(session, menu, &typed, &ends).await? {
        return Ok(Typed::Digits(typed));
    }
    Ok(Typed::Nothing)
}

/// Takes up to `most` digits: `first` is the time for the first, `next` for each further one, `all` for all of them.
async fn take(
    session: &mut Session,
    most: usize,
    ends: &str,
    [first, next, all]: [Duration; 3],
) -> Result<Typed, Interrupt> {
    let begun = Instant::now();
    let (last, mut until) = (begun + all, begun + first);
    let mut typed = String::new();
    loop {
        while let Some(digit) = session.take_digit() {
            if ends.contains(digit.digit) {
                return Ok(if typed.is_empty() { Typed::Nothing } else { Typed::Digits(typed) });
            }
            typed.push(digit.digit);
            if typed.len() >= most {
                return Ok(Typed::Digits(typed));
            }
            until = Instant::now() + next;
        }
        match session.wait(Some(until.min(last))).await? {
            Wake::Timeout if typed.is_empty() => return Ok(Typed::Silence),
            Wake::Timeout => return Ok(Typed::Digits(typed)),
            Wake::Broken => return Ok(Typed::Nothing),
            _ => {}
        }
    }
}

/// Has the caller say that the digits are meant: the macro is spoken with them, and the key pressed. Without a key it is
/// spoken as often as it may be, and the digits are refused, as in the reference.
async fn confirmed(
    session: &mut Session,
    menu: &Menu,
    typed: &str,
    ends: &str,
) -> Result<bool, Interrupt> {
    for _ in 0..menu.confirm_attempts {
        phrase::speak(session, &menu.confirm_macro, typed).await?;
        if menu.confirm_key.is_empty() {
            session.flush_digits();
            continue;
        }
        let time = millis(menu.timeout);
        if let Typed::Digits(key) = take(session, 1, ends, [time; 3]).await? {
            return Ok(menu.confirm_key.starts_with(&key));
        }
    }
    Ok(false)
}

async fn pin(session: &mut Session, menu: &Menu) -> Result<bool, Interrupt> {
    let length = i64::try_from(menu.pin.len()).unwrap_or(1);
    for _ in 0..PIN_TRIES {
        let times = (PIN_TIMEOUT, PIN_DIGIT_TIMEOUT);
        let typed = digits::collect(session, &menu.pin_file, (1, length), times).await?;
        if typed == menu.pin {
            return Ok(true);
        }
        sound(session, menu, &menu.bad_pin_file).await?;
        session.flush_digits();
    }
    Ok(false)
}
