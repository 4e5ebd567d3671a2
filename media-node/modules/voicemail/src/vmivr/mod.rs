//! mod_voicemail_ivr: menus over mailboxes that are made of a configuration. Keys, phrases and the commands that do the
//! work are named in `voicemail_ivr.conf`; nothing here knows how messages are kept.
//!
//! [`conf`] is the configuration, [`entry`] what keys mean while they come in, [`talk`] what is said and typed,
//! [`fields`] what phrases speak of; [`menus`], [`navigator`], [`greetings`] and [`forward`] are the menus.

mod conf;
mod entry;
mod fields;
mod forward;
mod greetings;
mod menus;
mod navigator;
mod talk;

use std::sync::Arc;

use dialplan_xml::declare::{Parameters, Value, param};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::contract::{Plain, Provides};
use switch_core::text;

use conf::Conf;
use menus::Visit;

const SYNTAX: &str = "<check> profile domain [id]";

/// The family.
const APPS: &[App] = &[app!(
    "voicemail_ivr",
    "mod_voicemail_ivr",
    Flags::NONE,
    "<check> profile domain [id]",
    "voicemail_ivr",
    voicemail_ivr
)];

const MOST: i64 = i32::MAX as i64;

/// Settings of a profile; a menu may have its own.
#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[Parameters { file: "voicemail_ivr.conf", scope: "", list: &[
    param("IVR-Maximum-Attempts", Value::Number(1, 100), "3", "How often a question is asked"),
    param("IVR-Entry-Timeout", Value::Number(0, 60_000), "3000", "Milliseconds waited for a key"),
    param("Record-Format", Value::Text, "wav", "Form of recordings, as the ending of a file"),
    param("Record-Sample-Rate", Value::Number(8000, 48_000), "", "Samples per second of recordings; those of the call where it is not set"),
    param("Record-Silence-Hits", Value::Number(0, 1000), "4", "Seconds of silence that end a recording"),
    param("Record-Silence-Threshold", Value::Number(0, 10_000), "200", "Energy below which it is silent"),
    param("Record-Maximum-Length", Value::Number(0, MOST), "30", "Seconds of a recording at most"),
    param("Record-Minimum-Length", Value::Number(0, MOST), "", "A recording of fewer seconds is made again"),
    param("Exit-Purge", Value::Bool, "true", "Messages marked as deleted are gone when the visit ends"),
    param("Password-Mask", Value::Text, "XXX.", "What a password looks like: `X` is a digit, `N` one from 2 to 9, `.` at the end any more"),
    param("User-Mask", Value::Text, "X.", "What the number of a box looks like"),
    param("Action-On-New-Message", Value::Text, "", "Main menu: what is done by itself when there are new messages"),
    param("Nav-Action-On-Delete", Value::Text, "", "Messages: what is done after one was deleted"),
]}];

/// mod_voicemail_ivr.
pub(crate) const MODULE: Plain = Plain::new(
    "mod_voicemail_ivr",
    Provides { applications: &[APPS], parameters: PARAMETERS, ..Provides::NOTHING },
);

async fn voicemail_ivr(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 6);
    let word = |index: usize| words.get(index).filter(|word| !word.is_empty()).cloned();
    let checks = word(0).is_some_and(|word| word.eq_ignore_ascii_case("check"));
    let (true, Some(profile), Some(domain)) = (checks, word(1), word(2)) else {
        tracing::error!(uuid = %channel.uuid(), "Error Usage: {SYNTAX}");
        return Ok(());
    };
    let switch = Arc::clone(session.switch());
    let conf = session.wait_for(Conf::load(&switch, &profile)).await?;
    let Some(conf) = conf else {
        tracing::error!(uuid = %channel.uuid(), "Profile '{profile}' not found");
        return Ok(());
    };
    let mut visit = Visit::new(conf, domain, word(3));
    let result = visit.run(session).await;
    // What was deleted is gone, also when the caller hung up in the middle.
    visit.purge(session).await;
    result
}
