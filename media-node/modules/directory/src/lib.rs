//! mod_directory: dialling by name. A caller types the first letters of a name on the keypad, hears who fits, and is sent
//! to the one chosen.

#![deny(unsafe_code)]

mod names;
mod parameters;

use std::sync::Arc;
use std::time::Duration;

use base::far;
use dialplan_xml::Node;
use dialplan_xml::config::Params;
use switch_core::app;
use switch_core::app::digits::{Entry, Terminators};
use switch_core::app::play::{Keys, Play};
use switch_core::app::{App, Flags};
use switch_core::call::transfer::transfer;
use switch_core::call::{AppResult, Interrupt, Session, Wake};
use switch_core::contract::{Plain, Provides};
use switch_core::switch::Switch;
use switch_core::{text, xml};
use tokio::time::Instant;

use names::{Name, SearchBy};

/// The family.
const APPS: &[App] = &[app!(
    "directory",
    "mod_directory",
    Flags::NONE,
    "<profile_name> <domain_name> [<context_name>] | [<dialplan_name> <context_name>]",
    "directory",
    directory
)];

pub const MODULE: Plain = Plain::new(
    "mod_directory",
    Provides {
        applications: &[APPS],
        parameters: parameters::PARAMETERS,
        variables: &[parameters::VARIABLES],
        ..Provides::NOTHING
    },
);

/// Letters one may type.
const MAX_DIGITS: usize = 253;
/// For a key after a short prompt: it must have been pressed within it.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A profile of `directory.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Profile {
    next_key: char,
    prev_key: char,
    terminator_key: char,
    switch_order_key: char,
    select_name_key: char,
    new_search_key: char,
    search_order: String,
    digit_timeout: Duration,
    min_search_digits: usize,
    max_menu_attempts: i64,
    max_result: usize,
    use_number_alias: bool,
}

impl Profile {
    fn read(node: Node<'_>) -> Self {
        let params = Params::read(Some(node), "param");
        let key = |name: &str, default: char| {
            let value = params.last(name).unwrap_or_default();
            let mut chars = value.chars();
            match (chars.next(), chars.next()) {
                (Some(key @ ('0'..='9' | '#' | '*')), None) => key,
                (None, _) => default,
                _ => {
                    tracing::error!("directory.conf: {name} cannot be [{value}]");
                    default
                }
            }
        };
        let number = |name: &str, default: i64, most: i64| {
            let value = params.last(name).filter(|value| text::is_number(value)).map(text::int);
            value.filter(|value| (0..=most).contains(value)).unwrap_or(default)
        };
        let size = |name: &str, default: i64| {
            usize::try_from(number(name, default, i64::from(i32::MAX))).unwrap_or(0)
        };
        Self {
            next_key: key("next-key", '6'),
            prev_key: key("prev-key", '4'),
            terminator_key: key("terminator-key", '#'),
            switch_order_key: key("switch-order-key", '*'),
            select_name_key: key("select-name-key", '1'),
            new_search_key: key("new-search-key", '3'),
            search_order: params.last("search-order").unwrap_or("last_name").to_owned(),
            digit_timeout: Duration::from_millis(
                number("digit-timeout", 3000, 30_000).unsigned_abs(),
            ),
            min_search_digits: size("min-search-digits", 3),
            max_menu_attempts: number("max-menu-attempts", 3, i64::from(i32::MAX)),
            max_result: size("max-result", 5),
            use_number_alias: params.last("use-number-alias").is_some_and(text::is_true),
        }
    }
}

/// The profile of that name, from a binding or the files.
async fn profile(switch: &Arc<Switch>, name: &str) -> Option<Profile> {
    xml::read_configuration(switch, "directory.conf", None, |node| {
        node?.child("profiles")?.find("profile", "name", name).map(Profile::read)
    })
    .await
    .ok()?
}

/// What a search is about.
struct Search<'s> {
    profile: &'s Profile,
    names: &'s [Name],
    by: SearchBy,
    domain: &'s str,
    /// Profile of the mailboxes in which recorded names are.
    mailboxes: &'s str,
}

/// How a round of it ended.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Chosen(String),
    Again,
    NoEntry,
}

async fn directory(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 5);
    let word = |index: usize| words.get(index).map(String::as_str);
    let (Some(profile_name), Some(domain)) = (word(0), word(1)) else {
        tracing::error!(uuid = %channel.uuid(), "Not enough args [{argument}]");
        return Ok(());
    };
    let (dialplan, context) = match (word(2), word(3)) {
        (Some(dialplan), Some(context)) => (dialplan, context),
        (Some(context), None) => ("XML", context),
        _ => ("XML", domain),
    };
    let switch = Arc::clone(session.switch());
    let Some(profile) = session.wait_for(profile(&switch, profile_name)).await? else {
        tracing::error!(uuid = %channel.uuid(), "Error invalid profile {profile_name}");
        return Ok(());
    };
    let group = channel.variable("directory_group_selection");
    let found = names::all(&switch, domain, group.as_deref(), profile.use_number_alias);
    let names = session.wait_for(found).await?;
    let mailboxes = channel.variable("directory_voicemail_profile");
    let order = channel.variable("directory_search_order");
    let mut search = Search {
        profile: &profile,
        names: &names,
        by: SearchBy::of(order.as_deref().unwrap_or(&profile.search_order)),
        domain,
        mailboxes: mailboxes.as_deref().unwrap_or(profile_name),
    };
    for _ in 0..profile.max_menu_attempts {
        let typed = letters(session, &mut search).await?;
        if typed.is_empty() {
            continue;
        }
        if typed.len() < profile.min_search_digits {
            let least = profile.min_search_digits.to_string();
            say(session, "directory_min_search_digits", &least, Keys::Stop("")).await?;
            continue;
        }
        match choose(session, &search, &typed).await? {
            Found::Again => {}
            Found::NoEntry => return Ok(()),
            Found::Chosen(extension) => {
                tracing::debug!(uuid = %channel.uuid(), "Directory transfering call to : {extension}");
                transfer(&channel, &extension, Some(dialplan), Some(context));
                return session.check();
            }
        }
    }
    Ok(())
}

async fn say(
    session: &mut Session,
    name: &str,
    data: &str,
    keys: Keys<'_>,
) -> Result<(), Interrupt> {
    let text = format!("phrase:{name}:{}", far::mark(data));
    session.play(Play::once(&text, keys)).await.map(drop)
}

/// Takes the letters of a name, as keys; another order of names begins anew.
async fn letters(session: &mut Session, search: &mut Search<'_>) -> Result<String, Interrupt> {
    let profile = search.profile;
    'order: loop {
        let kind = if search.by == SearchBy::LastName { "last_name" } else { "first_name" };
        let about = format!("{kind}:{}", profile.switch_order_key);
        say(session, "directory_intro", &about, Keys::Any).await?;
        let mut typed = String::new();
        let mut until = Instant::now() + profile.digit_timeout;
        loop {
            while let Some(digit) = session.take_digit() {
                let key = digit.digit;
                if key == profile.terminator_key {
                    return Ok(typed);
                }
                if key == profile.switch_order_key {
                    search.by = search.by.other();
                    continue 'order;
                }
                if typed.len() >= MAX_DIGITS {
                    tracing::error!(uuid = %session.channel().uuid(), "DTMF buffer is full");
                    return Ok(typed);
                }
                typed.push(key);
                until = Instant::now() + profile.digit_timeout;
            }
            if matches!(session.wait(Some(until)).await?, Wake::Timeout | Wake::Broken) {
                return Ok(typed);
            }
        }
    }
}

/// Says who fits, one after the other, until one is chosen.
async fn choose(
    session: &mut Session,
    search: &Search<'_>,
    typed: &str,
) -> Result<Found, Interrupt> {
    let profile = search.profile;
    let fitting = names::fitting(search.names, search.by, typed);
    let count = fitting.len();
    if profile.max_result != 0 && count > profile.max_result {
        say(session, "directory_result_count_too_large", "", Keys::Stop("")).await?;
        return Ok(Found::Again);
    }
    say(session, "directory_result_count", &count.to_string(), Keys::Stop("")).await?;
    if count == 0 {
        return Ok(Found::Again);
    }
    let mut index = 0;
    while let Some(name) = fitting.get(index) {
        let key = offer(session, search, name, index).await?;
        let is = |wanted: char| key == Some(wanted);
        if is(profile.select_name_key) {
            return Ok(Found::Chosen(name.extension.clone()));
        }
        if is(profile.new_search_key) {
            return Ok(Found::Again);
        }
        let back = is(profile.prev_key);
        let last = index + 1 == count;
        if !back && last {
            say(session, "directory_result_last", &count.to_string(), Keys::Stop("")).await?;
        }
        if key.is_none() {
            return Ok(Found::NoEntry);
        }
        index = match (back, last) {
            (true, _) => index.saturating_sub(1),
            (false, true) => index,
            (false, false) => index + 1,
        };
    }
    Ok(Found::NoEntry)
}

/// Says one name and asks what to do; the key.
async fn offer(
    session: &mut Session,
    search: &Search<'_>,
    name: &Name,
    index: usize,
) -> Result<Option<char>, Interrupt> {
    let profile = search.profile;
    let recorded = recorded_name(session, search, name).await?;
    let phrase = |name: &str, data: &str| format!("phrase:{name}:{}", far::mark(data));
    let mut prompts = vec![phrase("directory_result_item", &(index + 1).to_string())];
    prompts.push(match recorded {
        Some(file) => file,
        None => phrase("directory_result_say_name", &name.full),
    });
    if name.shows_extension {
        prompts.push(phrase("directory_result_at", &name.extension));
    }
    for prompt in &prompts {
        let key = read(session, prompt, profile, AT_ONCE).await?;
        if key.is_some() {
            return Ok(key);
        }
    }
    let keys = format!(
        "{},{},{},{}",
        profile.select_name_key, profile.next_key, profile.prev_key, profile.new_search_key
    );
    let menu = phrase("directory_result_menu", &keys);
    read(session, &menu, profile, profile.digit_timeout).await
}

/// The file a person has spoken the name into, as voicemail knows it.
async fn recorded_name(
    session: &mut Session,
    search: &Search<'_>,
    name: &Name,
) -> Result<Option<String>, Interrupt> {
    let switch = Arc::clone(session.switch());
    let asked = format!("{}/{}@{}|name_path", search.mailboxes, name.extension, search.domain);
    let said = session.wait_for(switch.run_api("vm_prefs", &asked, None)).await?;
    let path = said.unwrap_or_default().trim().to_owned();
    if path.is_empty() || path.starts_with("-ERR") {
        return Ok(None);
    }
    let there = session.wait_for(tokio::fs::metadata(&path)).await?;
    Ok(there.is_ok_and(|file| file.is_file()).then_some(path))
}

/// One key, as `read` takes it, which leaves variables behind.
async fn read(
    session: &mut Session,
    prompt: &str,
    profile: &Profile,
    time: Duration,
) -> Result<Option<char>, Interrupt> {
    let channel = Arc::clone(session.channel());
    channel.unset_var("read_result");
    channel.unset_var("read_terminator_used");
    let terminators = Terminators::parse(&profile.terminator_key.to_string());
    let entry = Entry { min: 0, max: 1, timeout: time, digit_timeout: time, terminators };
    session.play(Play::once(prompt, Keys::Any)).await?;
    let entered = session.collect_digits("", &entry).await?;
    if let Some(key) = entered.terminator {
        channel.set_var("read_terminator_used", key.to_string());
    }
    channel.set_var("read_result", "success");
    Ok(entered.digits.chars().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_built_in_values() {
        let text = "<profile name=\"p\"><param name=\"next-key\" value=\"66\"/><param name=\"max-result\" value=\"0\"/>\
                    <param name=\"digit-timeout\" value=\"99999\"/></profile>";
        let loaded = dialplan_xml::parse_raw(text, "test");
        let read = Profile::read(loaded.tree.unwrap().root());
        assert_eq!((read.next_key, read.max_result, read.min_search_digits), ('6', 0, 3));
        assert_eq!(read.digit_timeout, Duration::from_secs(3));
    }
}
