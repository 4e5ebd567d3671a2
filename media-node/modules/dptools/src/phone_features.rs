//! What a desk phone's keys would do: `soft_hold`, `presence`, `privacy`.

use std::sync::Arc;

use esl_server::event::{Event, EventName};

use super::play::{Ended, Keys, Play};
use super::{App, Flags};
use crate::api::{Api, ApiCall};
use crate::call::links::Link;
use crate::call::{AppResult, Session, bridge, broadcast};
use crate::{api, app, text};

/// The family.
pub const APPS: &[App] = &[
    app!(
        "soft_hold",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<unhold key> [<moh_a>] [<moh_b>]",
        "Put a bridged channel on hold",
        soft_hold
    )
    .marked(),
    app!("presence", "mod_dptools", ANYTIME, "<rpid> <status> [<id>]", "Send Presence", presence)
        .marked(),
    app!(
        "privacy",
        "mod_dptools",
        ANYTIME,
        "off|on|name|full|number",
        "Set caller privacy on calls",
        privacy
    ),
];

/// The command.
pub const APIS: &[Api] = &[api!("presence", "mod_dptools", SYNTAX, "presence", tell_presence)];

const SYNTAX: &str = "[in|out] <user> <rpid> <message>";
const ANYTIME: Flags = Flags::NO_MEDIA.and(Flags::ROUTING);

/// Both legs of a conversation hear music until this one presses the key.
async fn soft_hold(session: &mut Session, argument: &str) -> AppResult {
    let own = Arc::clone(session.channel());
    let words = text::words(argument, 3);
    let (Some(key), Some(partner)) = (words.first(), own.partner()) else {
        tracing::warn!(uuid = %own.uuid(), "soft_hold: no key, or not bridged");
        return Ok(());
    };
    let music = |at: usize, leg: &crate::call::Channel| {
        words
            .get(at)
            .cloned()
            .or_else(|| leg.var("hold_music"))
            .filter(|music| !music.is_empty() && !music.eq_ignore_ascii_case("silence"))
    };
    own.link(Link::SoftHolding, &partner);
    let partner_music = music(2, &partner).filter(|_| !partner.is_broadcasting());
    if let Some(music) = &partner_music {
        broadcast::play_endlessly(&partner, music);
    }
    let own_music = music(1, &own).unwrap_or_else(|| "silence_stream://-1".to_owned());
    let result = wait_for_key(session, key, &own_music).await;
    own.unlink(Link::SoftHolding);
    if partner_music.is_some() {
        partner.stop_broadcast();
    }
    if own.is_up() && partner.is_up() {
        bridge::digits_changed(&own);
    }
    result
}

async fn wait_for_key(session: &mut Session, key: &str, music: &str) -> AppResult {
    loop {
        let play = Play { times: None, announced: false, ..Play::once(music, Keys::Stop(key)) };
        match session.play(play).await? {
            Ended::Key(_) | Ended::Broken | Ended::TimedOut => return Ok(()),
            Ended::Done => {}
            Ended::NotFound | Ended::Failed => {
                session.wait(None).await?;
                while let Some(digit) = session.take_digit() {
                    if key.contains(digit.digit) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Tells subscribers what this leg's user does.
async fn presence(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let channel = session.channel();
    let (Some(rpid), Some(status)) = (words.first(), words.get(1)) else {
        tracing::error!(uuid = %channel.uuid(), "USAGE: <rpid> <status> [<id>]");
        return Ok(());
    };
    let id = words.get(2).cloned().or_else(|| channel.var("presence_id"));
    let Some(id) = id else { return Ok(()) };
    let bus = &channel.switch().bus;
    if !bus.wants(EventName::PresenceIn) {
        bus.skip();
        return Ok(());
    }
    let mut event = Event::new(EventName::PresenceIn);
    esl_server::stamp!(bus, &mut event);
    channel.describe(&mut event);
    event.push("proto", "any");
    event.push("login", channel.name());
    event.push("from", id);
    event.push("rpid", rpid.clone());
    event.push("status", status.clone());
    event.push("event_type", "presence");
    event.push("alt_event_type", "dialog");
    bus.deliver(event);
    Ok(())
}

/// The same of any user, by command.
fn tell_presence(call: &ApiCall) -> String {
    let words = text::words(&call.args, 4);
    let kind = words.first().map(|word| word.to_ascii_lowercase());
    let name = match kind.as_deref() {
        Some("in") if words.len() == 4 => EventName::PresenceIn,
        Some("out") if words.len() >= 2 => EventName::PresenceOut,
        _ => return format!("Invalid: presence {SYNTAX}"),
    };
    let mut event = Event::new(name);
    event.push("proto", "dp");
    event.push("login", "mod_dptools.c");
    for (header, word) in ["from", "rpid", "status"].into_iter().zip(&words[1..]) {
        event.push(header, word.clone());
    }
    let status = words.get(3).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let over = status.starts_with("cs_") || status.contains("hangup");
    if name == EventName::PresenceIn && over {
        event.push("channel-state", "CS_HANGUP");
    }
    if name == EventName::PresenceOut || over {
        event.push("status", "CS_HANGUP");
    }
    event.push("event_type", "presence");
    event.push("alt_event_type", "dialog");
    event.push("event_count", "0");
    esl_server::fire!(call.switch.bus, event);
    "Event Sent".to_owned()
}

async fn privacy(session: &mut Session, argument: &str) -> AppResult {
    let what = argument.trim().to_ascii_lowercase();
    let (name, number) = match what.as_str() {
        "name" => (true, false),
        "number" => (false, true),
        "on" | "full" | "yes" | "true" => (true, true),
        _ => (false, false),
    };
    session.channel().with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.hide_name = name;
            profile.hide_number = number;
            if what == "full" {
                profile.screen = true;
            }
        }
    });
    Ok(())
}
