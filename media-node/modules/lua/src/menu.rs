//! `freeswitch.IVRMenu`: a menu made by a script.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dialplan_xml::regex::Pattern;
use mlua::{AnyUserData, Lua, MultiValue, UserData, UserDataMethods, UserDataRef};

use crate::app::digits::{Entry, Terminators};
use crate::app::play::{Keys, Play};
use crate::argument::{Int, Text};
use crate::call::{AppResult, Session, transfer};
use crate::session::Call;
use crate::text;

/// Menus inside each other.
const MAX_DEPTH: usize = 12;

/// What a menu does at an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Exit,
    Sub,
    Execute,
    Play,
    Say,
    Back,
    Top,
    Nothing,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "menu-exit" => Self::Exit,
            "menu-sub" => Self::Sub,
            "menu-exec-app" => Self::Execute,
            "menu-play-sound" => Self::Play,
            "menu-back" => Self::Back,
            "menu-top" => Self::Top,
            "menu-call-transfer" => Self::Execute,
            "menu-say-phrase" => Self::Say,
            "menu-noop" => Self::Nothing,
            _ => return None,
        })
    }
}

/// Settings and entries of one menu.
#[derive(Clone, Debug, Default)]
struct Settings {
    name: String,
    greet_long: String,
    greet_short: String,
    invalid: String,
    exit: String,
    confirm_macro: String,
    confirm_key: String,
    confirm_attempts: i64,
    /// Engine and voice of `say:` sounds; without an engine they are the call's.
    speech: (String, String),
    digits: usize,
    between: Duration,
    timeout: Duration,
    max_failures: i64,
    max_timeouts: i64,
    entries: Vec<(String, Action, String)>,
}

/// The object. Menus made with another one as main menu are found from there by name.
pub(crate) struct Menu {
    own: Rc<RefCell<Settings>>,
    family: Rc<RefCell<Vec<Rc<RefCell<Settings>>>>>,
}

impl Menu {
    /// `freeswitch.IVRMenu(main, name, greeting, short greeting, invalid, exit, transfer, confirm macro, confirm key, tts
    /// engine, tts voice, confirm attempts, inter-digit timeout, digits, timeout, failures, timeouts)`.
    #[allow(clippy::needless_pass_by_value, reason = "as the library calls it")]
    pub(crate) fn create(lua: &Lua, given: MultiValue) -> mlua::Result<Self> {
        let given = given.into_vec();
        let value = |at: usize| given.get(at).cloned().unwrap_or(mlua::Value::Nil);
        let text = |at: usize| -> mlua::Result<String> {
            Ok(lua.unpack::<Text>(value(at))?.0.unwrap_or_default())
        };
        let number = |at: usize| -> mlua::Result<i64> { Ok(lua.unpack::<Int>(value(at))?.or(0)) };
        let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let own = Rc::new(RefCell::new(Settings {
            name: text(1)?,
            greet_long: text(2)?,
            greet_short: text(3)?,
            invalid: text(4)?,
            exit: text(5)?,
            confirm_macro: text(7)?,
            confirm_key: text(8)?,
            speech: (text(9)?, text(10)?),
            confirm_attempts: Some(number(11)?).filter(|tries| *tries > 0).unwrap_or(3),
            between: millis(number(12)?),
            digits: usize::try_from(number(13)?.clamp(1, 128)).unwrap_or(1),
            timeout: millis(number(14)?),
            max_failures: number(15)?,
            max_timeouts: number(16)?,
            entries: Vec::new(),
        }));
        let family = match value(0) {
            mlua::Value::UserData(main) => Rc::clone(&main.borrow::<Self>()?.family),
            _ => Rc::default(),
        };
        family.borrow_mut().push(Rc::clone(&own));
        Ok(Self { own, family })
    }
}

impl UserData for Menu {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method(
            "bindAction",
            |_, this, (action, argument, keys): (Text, Text, Text)| {
                match Action::parse(action.or_empty()) {
                    Some(kind) => {
                        let argument =
                            match action.or_empty().eq_ignore_ascii_case("menu-call-transfer") {
                                true => format!("transfer {}", argument.or_empty()),
                                false => argument.or_empty().to_owned(),
                            };
                        this.own.borrow_mut().entries.push((
                            keys.or_empty().to_owned(),
                            kind,
                            argument,
                        ));
                    }
                    None => tracing::error!("invalid action {}", action.or_empty()),
                }
                Ok(())
            },
        );
        methods.add_method("execute", |lua, this, (session, name): (AnyUserData, Text)| {
            let call: UserDataRef<Call> = session.borrow()?;
            let menus: Vec<Settings> =
                this.family.borrow().iter().map(|menu| menu.borrow().clone()).collect();
            let name = name.filled().map_or_else(|| this.own.borrow().name.clone(), str::to_owned);
            call.in_task(lua, "a menu", move |session| {
                Box::pin(async move {
                    let _ended = run(session, &menus, &name).await;
                })
            })
        });
    }
}

/// Runs a menu and those below it, until one is left for good.
async fn run(session: &mut Session, menus: &[Settings], name: &str) -> AppResult {
    let find = |name: &str| menus.iter().find(|menu| menu.name == name);
    let Some(main) = find(name) else {
        tracing::error!("there is no menu {name}");
        return Ok(());
    };
    let mut path = vec![main];
    while let Some(&menu) = path.last() {
        match enter(session, menu).await? {
            Leave::Back => drop(path.pop()),
            Leave::Top => path.truncate(1),
            Leave::Exit => return Ok(()),
            Leave::Sub(name) => match find(&name).filter(|_| path.len() < MAX_DEPTH) {
                Some(sub) => path.push(sub),
                None => tracing::error!("there is no menu {name} that could be entered"),
            },
        }
    }
    Ok(())
}

enum Leave {
    Back,
    Top,
    Exit,
    Sub(String),
}

/// Asks until something leads out of the menu.
async fn enter(session: &mut Session, menu: &Settings) -> Result<Leave, crate::call::Interrupt> {
    let (mut failures, mut timeouts) = (0, 0);
    let mut greeting = &menu.greet_long;
    let entry = Entry {
        min: 1,
        max: menu.digits,
        timeout: menu.timeout,
        digit_timeout: if menu.between.is_zero() { menu.timeout } else { menu.between },
        terminators: Terminators::parse("#"),
    };
    loop {
        let entered = session.collect_digits(&menu.sound(greeting), &entry).await?;
        if !menu.greet_short.is_empty() {
            greeting = &menu.greet_short;
        }
        if entered.digits.is_empty() {
            timeouts += 1;
            if menu.max_timeouts > 0 && timeouts >= menu.max_timeouts {
                return leave(session, menu).await;
            }
            continue;
        }
        if !menu.confirm_macro.is_empty() && !confirmed(session, menu, &entered.digits).await? {
            continue;
        }
        let matching = menu.entries.iter().filter(|(keys, ..)| fits(keys, &entered.digits));
        let mut found = false;
        for (keys, action, argument) in matching {
            found = true;
            let argument = substituted(keys, &entered.digits, argument);
            match action {
                Action::Exit => return leave(session, menu).await,
                Action::Sub => return Ok(Leave::Sub(argument)),
                Action::Back => return Ok(Leave::Back),
                Action::Top => return Ok(Leave::Top),
                Action::Play => play(session, menu, &argument).await?,
                Action::Say => {
                    let (name, data) = argument.split_once(' ').unwrap_or((argument.as_str(), ""));
                    play(session, menu, &format!("phrase:{name}:{data}")).await?;
                }
                Action::Execute => execute(session, &argument).await?,
                Action::Nothing => {}
            }
        }
        if !found {
            failures += 1;
            play(session, menu, &menu.invalid).await?;
            if menu.max_failures > 0 && failures >= menu.max_failures {
                return leave(session, menu).await;
            }
        }
    }
}

async fn leave(session: &mut Session, menu: &Settings) -> Result<Leave, crate::call::Interrupt> {
    play(session, menu, &menu.exit).await?;
    Ok(Leave::Exit)
}

impl Settings {
    /// A sound of the menu: what is to be said is spoken by its own engine.
    fn sound(&self, sound: &str) -> String {
        let (engine, voice) = &self.speech;
        match sound.strip_prefix("say:").filter(|_| !engine.is_empty()) {
            Some(said) => format!("tts://{engine}|{voice}|{said}"),
            None => sound.to_owned(),
        }
    }
}

/// Plays a sound of the menu, if there is one.
async fn play(session: &mut Session, menu: &Settings, sound: &str) -> AppResult {
    if !sound.is_empty() {
        session.play(Play::once(&menu.sound(sound), Keys::Any)).await?;
    }
    Ok(())
}

/// Has the caller say that the digits are meant: the macro is spoken with them, and the key pressed. Without a key it is
/// spoken as often as it may be, and the digits are refused, as in the reference.
async fn confirmed(
    session: &mut Session,
    menu: &Settings,
    digits: &str,
) -> Result<bool, crate::call::Interrupt> {
    let phrase = format!("phrase:{}:{digits}", menu.confirm_macro);
    let entry = Entry {
        min: 1,
        max: 1,
        timeout: menu.timeout,
        digit_timeout: menu.timeout,
        terminators: Terminators::parse(""),
    };
    for _ in 0..menu.confirm_attempts {
        if menu.confirm_key.is_empty() {
            session.play(Play::once(&phrase, Keys::Any)).await?;
            session.flush_digits();
            continue;
        }
        let key = session.collect_digits(&phrase, &entry).await?.digits;
        if !key.is_empty() {
            return Ok(menu.confirm_key.starts_with(&key));
        }
    }
    Ok(false)
}

/// An application and its argument.
async fn execute(session: &mut Session, line: &str) -> AppResult {
    let (application, argument) = line.split_once(' ').unwrap_or((line, ""));
    if application == "transfer" {
        let words = text::words(argument, 3);
        let word = |at: usize| words.get(at).map(String::as_str);
        transfer::transfer(session.channel(), word(0).unwrap_or_default(), word(1), word(2));
        return session.check();
    }
    session.execute(application, argument).await
}

fn fits(keys: &str, digits: &str) -> bool {
    match pattern(keys) {
        Some(pattern) => Pattern::cached(pattern).is_ok_and(|pattern| pattern.is_match(digits)),
        None => keys == digits,
    }
}

/// Entries between slashes are patterns.
fn pattern(keys: &str) -> Option<&str> {
    keys.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
}

fn substituted(keys: &str, digits: &str, argument: &str) -> String {
    let captures =
        pattern(keys).and_then(|pattern| Pattern::cached(pattern).ok()?.captures(digits));
    captures.map_or_else(|| argument.to_owned(), |c| dialplan_xml::regex::substitute(argument, &c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_menu_says_is_spoken_by_its_engine() {
        let menu = |engine: &str| Settings {
            speech: (engine.to_owned(), "en-us".to_owned()),
            ..Settings::default()
        };
        assert_eq!(menu("flite").sound("say:Hello there"), "tts://flite|en-us|Hello there");
        assert_eq!(menu("flite").sound("ivr/hello.wav"), "ivr/hello.wav");
        assert_eq!(menu("").sound("say:Hello there"), "say:Hello there");
        assert_eq!(Action::parse("menu-say-phrase"), Some(Action::Say));
    }
}
