//! What is said and typed: phrases that a key cuts short, entries, and recordings that are heard before they are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use switch_core::app::play::{Keys, Play};
use switch_core::call::{AppResult, Interrupt, Session, Wake};
use switch_core::clock;
use tokio::time::Instant;

use super::conf::Menu;
use super::entry::{Entry, Outcome};
use super::fields::Fields;
use crate::recording::{self, Bounds};

/// Before a recording.
const TONE: &str = "tone_stream://%(1000, 0, 640)";

/// Says the menu's phrase for an occasion; keys pressed meanwhile cut it short and answer the next question.
pub(super) async fn tell(
    session: &mut Session,
    menu: &Menu,
    occasion: &str,
    data: &str,
    fields: &Fields,
) -> AppResult {
    session.check()?;
    let Some(phrase) = menu.phrase(occasion) else { return Ok(()) };
    let prompt = fields.prompt(phrase, data);
    session.play(Play::once(&prompt, Keys::Any)).await.map(drop)
}

/// Says the same as part of a question: not any more once a key came.
pub(super) async fn say(
    session: &mut Session,
    menu: &Menu,
    entry: &mut Entry,
    (occasion, data): (&str, &str),
    fields: &Fields,
) -> AppResult {
    if !entry.quiet && entry.outcome == Outcome::Waiting {
        tell(session, menu, occasion, data, fields).await?;
    }
    take_keys(session, entry);
    session.check()
}

fn take_keys(session: &mut Session, entry: &mut Entry) {
    while entry.outcome == Outcome::Waiting
        && let Some(digit) = session.take_digit()
    {
        entry.take(digit.digit);
    }
}

/// Says what may be typed and waits for it.
pub(super) async fn ask(
    session: &mut Session,
    menu: &Menu,
    entry: &mut Entry,
    occasion: &str,
    fields: &Fields,
) -> AppResult {
    say(session, menu, entry, (occasion, ""), fields).await?;
    let ms = menu.number("IVR-Entry-Timeout", 3000).clamp(0, 60_000).unsigned_abs();
    if ms == 0 || entry.outcome != Outcome::Waiting {
        return Ok(());
    }
    entry.quiet = true;
    let mut until = Instant::now() + Duration::from_millis(ms);
    loop {
        let before = entry.typed.len();
        take_keys(session, entry);
        if entry.outcome != Outcome::Waiting {
            return Ok(());
        }
        if entry.typed.len() != before {
            until = Instant::now() + Duration::from_millis(ms);
        }
        if matches!(session.wait(Some(until)).await?, Wake::Timeout | Wake::Broken) {
            entry.time_out();
            return Ok(());
        }
    }
}

/// Says that nothing, or nothing that fits, was typed.
pub(super) async fn reproach(session: &mut Session, menu: &Menu, entry: &Entry) -> AppResult {
    match entry.outcome {
        Outcome::TimedOut => tell(session, menu, "timeout", "", &Fields::default()).await,
        Outcome::Invalid => tell(session, menu, "invalid", "", &Fields::default()).await,
        Outcome::Found | Outcome::Waiting => Ok(()),
    }
}

/// Asks for keys that fit the mask; `None` when nothing that fits came.
pub(super) async fn typed(
    session: &mut Session,
    menu: &Menu,
    mask: &str,
    fields: &Fields,
) -> Result<Option<String>, Interrupt> {
    if !menu.is_whole() {
        return Ok(None);
    }
    let mut left = menu.attempts();
    while left > 0 {
        let mut fields = fields.clone();
        fields.set("IVR-Retry-Left", left.to_string());
        let mut patterns: Vec<_> = menu.keys.iter().map(|key| key.typed.clone()).collect();
        patterns.push(mask.to_owned());
        let mut entry = Entry::new(patterns, menu.terminator());
        ask(session, menu, &mut entry, "instructions", &fields).await?;
        reproach(session, menu, &entry).await?;
        if entry.outcome == Outcome::Found && entry.fits() == Some(mask) {
            return Ok(Some(entry.typed));
        }
        left -= 1;
    }
    Ok(None)
}

/// A file that is recorded into; deleted unless it was taken.
pub(super) struct Draft(PathBuf);

impl Draft {
    pub(super) fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// What is left of it goes.
    pub(super) async fn discard(self) {
        let _gone = tokio::fs::remove_file(&self.0).await;
    }
}

/// Records until the caller says that it is to be kept.
pub(super) async fn record(
    session: &mut Session,
    menu: &Menu,
    fields: &Fields,
) -> Result<Option<Draft>, Interrupt> {
    if !menu.is_whole() {
        return Ok(None);
    }
    let form = menu.setting("Record-Format").unwrap_or("wav");
    let name = format!("voicemail_ivr_{}.{}", clock::new_uuid(), form.replace(['/', '\\'], "_"));
    let draft = Draft(session.switch().dirs.temp_dir.join(name));
    match keeps(session, menu, fields, &draft.0).await {
        Ok(true) => Ok(Some(draft)),
        Ok(false) => {
            draft.discard().await;
            Ok(None)
        }
        Err(interrupt) => {
            draft.discard().await;
            Err(interrupt)
        }
    }
}

async fn keeps(
    session: &mut Session,
    menu: &Menu,
    fields: &Fields,
    path: &Path,
) -> Result<bool, Interrupt> {
    let small = |name: &str, default: i64| u32::try_from(menu.number(name, default)).unwrap_or(0);
    let bounds = Bounds {
        rate: menu.setting("Record-Sample-Rate").map(|_| small("Record-Sample-Rate", 8000)),
        threshold: small("Record-Silence-Threshold", 200),
        silence_seconds: small("Record-Silence-Hits", 4),
        seconds: menu.number("Record-Maximum-Length", 30),
    };
    let shortest = menu.number("Record-Minimum-Length", 0);
    let (mut records, mut instructs, mut listens) = (true, true, false);
    let mut left = menu.attempts();
    while left > 0 {
        left -= 1;
        let mut fields = fields.clone();
        fields.set("IVR-Retry-Left", (left + 1).to_string());
        let patterns = menu.keys.iter().map(|key| key.typed.clone()).collect();
        let mut entry = Entry::new(patterns, None);
        if records {
            if instructs {
                say(session, menu, &mut entry, ("instructions", ""), &fields).await?;
            }
            instructs = true;
            if entry.outcome == Outcome::Waiting && !entry.quiet {
                session.play(Play::once(TONE, Keys::Stop(""))).await?;
                let taken = recording::record(session, &bounds, path).await;
                if let Some(interrupt) = taken.interrupted {
                    return Err(interrupt);
                }
                left = menu.attempts();
                if !taken.exists {
                    tracing::error!(uuid = %session.channel().uuid(), "Nothing was recorded to {}", path.display());
                    return Ok(false);
                }
                if taken.seconds < shortest {
                    tell(session, menu, "too_short", "", &Fields::default()).await?;
                } else {
                    records = false;
                }
                continue;
            }
        } else {
            if listens {
                fields.set("VM-Record-File-Path", path.to_string_lossy());
                say(session, menu, &mut entry, ("play_recording", ""), &fields).await?;
                listens = false;
            }
            ask(session, menu, &mut entry, "menu_options", &fields).await?;
        }
        reproach(session, menu, &entry).await?;
        if entry.outcome != Outcome::Found {
            continue;
        }
        left = menu.attempts();
        match menu.action(&entry.typed).unwrap_or_default().to_ascii_lowercase().as_str() {
            "listen" => listens = true,
            "save" => return Ok(!records),
            "rerecord" => records = true,
            "skip_instruction" => instructs = false,
            "return" => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// A question of a menu with the fields it has, asked anew.
pub(super) fn question(menu: &Menu) -> Entry {
    Entry::new(menu.keys.iter().map(|key| key.typed.clone()).collect(), None)
}

/// Runs a command; what it said, unless that was an error.
pub(super) async fn command(session: &mut Session, name: &str, arguments: &str) -> Option<String> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let Some(reply) = switch.run_api(name, arguments, Some(channel)).await else {
        tracing::error!("There is no command {name}, which voicemail_ivr.conf names");
        return None;
    };
    let failed = reply.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("-ERR"));
    (!failed).then_some(reply)
}
