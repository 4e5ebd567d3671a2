//! `transfer`, `execute_extension`, `deflect`-free flow control: where the dialplan goes next.

use std::sync::Arc;

use base::far;

use super::{App, Flags};
use crate::app;
use crate::call::transfer::{Legs, transfer_legs};
use crate::call::{AppResult, CallerProfile, Session};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "transfer",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<exten> [<dialplan> <context>]",
        "Immediately transfer the calling channel to a new extension",
        run_transfer
    )
    .marked(),
    app!(
        "execute_extension",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<exten> [<dialplan> <context>]",
        "Execute an extension",
        execute_extension
    )
    .marked(),
    app!(
        "reuse_caller_profile",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Reuse Caller Profile",
        nothing
    ),
];

/// Extensions within extensions; deeper is a loop.
const MAX_STACKED: usize = 32;

async fn nothing(_session: &mut Session, _argument: &str) -> AppResult {
    Ok(())
}

async fn run_transfer(session: &mut Session, argument: &str) -> AppResult {
    let mut words = text::words_marked(argument, 5);
    let legs = match words.first().map(|word| word.to_ascii_lowercase()).as_deref() {
        Some("-bleg") => Legs::Partner,
        Some("-both") => Legs::Both,
        Some(_) => Legs::Own,
        None => return Ok(()),
    };
    if legs != Legs::Own {
        words.remove(0);
    }
    let Some(exten) = words.first() else { return Ok(()) };
    let channel = Arc::clone(session.channel());
    transfer_legs(
        &channel,
        legs,
        exten,
        words.get(1).map(|name| far::plain(name)).as_deref(),
        words.get(2).map(|name| far::plain(name)).as_deref(),
    );
    session.check()
}

async fn execute_extension(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words_marked(argument, 3);
    let Some(exten) = words.first() else { return Ok(()) };
    if session.stacked_extensions() >= MAX_STACKED {
        tracing::error!(uuid = %session.channel().uuid(), "too many stacked extensions");
        return Ok(());
    }
    let channel = Arc::clone(session.channel());
    let before = channel.profile();
    let word = |index: usize| words.get(index).map(|word| far::plain(word).into_owned());
    let dialplan = word(1).unwrap_or_else(|| before.dialplan.clone());
    let context = word(2).unwrap_or_else(|| before.context.clone());
    channel.with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.set_field("destination_number", exten);
            profile.dialplan.clone_from(&dialplan);
            profile.context.clone_from(&context);
        }
    });
    let found = session.route_with(&dialplan, &context, exten).await;
    session.stack_extension(true);
    let mut result = Ok(());
    for step in found.into_iter().flatten() {
        result = Box::pin(session.execute_step(step)).await;
        if result.is_err() {
            break;
        }
    }
    session.stack_extension(false);
    channel.with(|data| {
        // A transfer from inside the extension has the last word on where the call goes next.
        let ours = |profile: &CallerProfile| {
            profile.destination_number == *far::plain(exten)
                && profile.dialplan == dialplan
                && profile.context == context
        };
        if let Some(profile) = data.profile.as_mut().filter(|profile| ours(profile)) {
            profile.destination_number.clone_from(&before.destination_number);
            profile.far.clone_from(&before.far);
            profile.dialplan.clone_from(&before.dialplan);
            profile.context.clone_from(&before.context);
        }
    });
    result
}
