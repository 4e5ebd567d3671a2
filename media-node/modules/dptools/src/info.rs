//! `log`, `info`, `event`: what a dialplan says to people and programs.

use esl_server::event::{Event, EventName};

use super::{App, Flags};
use crate::app;
use crate::call::dialstring::separate;
use crate::call::{AppResult, Session};

const ANYTIME: Flags = Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE);

/// The family.
pub const APPS: &[App] = &[
    app!("log", "mod_dptools", ANYTIME, "<log_level> <log_string>", "Logs to the logger", log),
    app!("info", "mod_dptools", ANYTIME, "", "Display Call info", info),
    app!("event", "mod_dptools", ANYTIME, "", "Fire an event", event).marked(),
    app!(
        "session_loglevel",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<level>",
        "Set session log level",
        session_loglevel
    ),
];

async fn log(session: &mut Session, argument: &str) -> AppResult {
    let (level, text) = argument.split_once(' ').unwrap_or(("DEBUG", argument));
    crate::log_line(crate::level_or_debug(level), None, session.channel().uuid(), text);
    Ok(())
}

async fn info(session: &mut Session, _argument: &str) -> AppResult {
    let channel = session.channel();
    let event = channel.channel_data(false);
    let mut text = String::from("CHANNEL_DATA:\n");
    event.for_each_header(|name, value| text.push_str(&format!("{name}: [{}]\n", value.text())));
    tracing::info!(uuid = %channel.uuid(), "{text}");
    Ok(())
}

async fn event(session: &mut Session, argument: &str) -> AppResult {
    let plain = |text: &str| base::far::plain(text).into_owned();
    let pairs: Vec<(String, String)> = separate(argument, ',')
        .into_iter()
        .filter_map(|item| {
            item.split_once('=').map(|(name, value)| (plain(name.trim()), plain(value.trim())))
        })
        .collect();
    let get = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    let name =
        get("Event-Name").and_then(EventName::parse).unwrap_or(EventName::ChannelApplication);
    let subclass = get("Event-Subclass");
    let channel = session.channel();
    let bus = &channel.switch().bus;
    let mut event = match subclass {
        Some(subclass) => Event::custom(subclass),
        None => Event::new(name),
    };
    esl_server::stamp!(bus, &mut event);
    for (name, value) in &pairs {
        if !name.eq_ignore_ascii_case("Event-Name") && !name.eq_ignore_ascii_case("Event-Subclass")
        {
            event.push(name.clone(), value.as_str());
        }
    }
    channel.describe(&mut event);
    bus.deliver(event);
    Ok(())
}

async fn session_loglevel(session: &mut Session, argument: &str) -> AppResult {
    let uuid = session.channel().uuid();
    if !switch_log::calls::set_word(uuid, argument) {
        tracing::error!(%uuid, "session_loglevel: no such level: {argument}");
    }
    Ok(())
}
