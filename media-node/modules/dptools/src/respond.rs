//! `respond`, `redirect`, `deflect`, `send_display`: answers to the far end's signalling.

use base::far;

use super::{App, Flags};
use crate::app;
use crate::call::display::Party;
use crate::call::{AppResult, Indication, Session};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "respond",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<resp>",
        "Send a respond message to the session.",
        respond
    )
    .marked(),
    app!(
        "redirect",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<redirect_data>",
        "Send a redirect message to a session.",
        redirect
    ),
    app!("deflect", "mod_dptools", Flags::NO_MEDIA, "<deflect_data>", "Send call deflect", deflect),
    app!(
        "send_display",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<text>",
        "Send session a new display.",
        send_display
    )
    .marked(),
    app!(
        "send_info",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<info>",
        "Send info to the endpoint",
        send_info
    ),
];

async fn respond(session: &mut Session, argument: &str) -> AppResult {
    let (code, phrase) = argument.trim().split_once(' ').unwrap_or((argument.trim(), ""));
    let code = u16::try_from(text::int(code)).unwrap_or(0);
    session
        .indicate_or_hang_up(Indication::Respond { code, phrase: far::plain(phrase).into_owned() })
        .await
}

async fn redirect(session: &mut Session, argument: &str) -> AppResult {
    session.indicate_or_hang_up(Indication::Redirect(argument.to_owned())).await
}

async fn deflect(session: &mut Session, argument: &str) -> AppResult {
    session.indicate_or_hang_up(Indication::Deflect(argument.to_owned())).await
}

async fn send_display(session: &mut Session, argument: &str) -> AppResult {
    let (name, number) = argument.split_once('|').unwrap_or((argument, ""));
    let plain = |text| far::plain(text).into_owned();
    let party = Party { name: plain(name), number: plain(number) };
    if session.channel().note_shown(&party) {
        let _told =
            session.indicate(Indication::Display { name: party.name, number: party.number }).await;
    }
    session.check()
}

async fn send_info(session: &mut Session, argument: &str) -> AppResult {
    let _sent = session
        .indicate(Indication::Info {
            content_type: "message/fs-info".into(),
            body: argument.to_owned(),
        })
        .await;
    Ok(())
}
