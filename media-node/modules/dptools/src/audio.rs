//! Audio as such: `echo`, `delay_echo`, `set_mute`, `set_audio_level`, `wait_for_silence`,
//! `detect_audio`, `detect_silence`, `displace_session`.

use std::sync::Arc;
use std::time::Duration;

use media::event::{LevelOutcome, LevelReport, LevelWatch};
use media::leg::Side;
use media::{LegEvent, PlayId, source};
use tokio::time::Instant;

use super::play::{fetched, source_options};
use super::{App, Flags};
use crate::app;
use crate::call::audio::set_level;
use crate::call::{AppResult, Channel, Interrupt, Session, Wake};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "echo",
        "mod_dptools",
        Flags::NONE,
        "",
        "Perform an echo test against the calling channel",
        echo
    ),
    app!(
        "delay_echo",
        "mod_dptools",
        Flags::NONE,
        "<delay ms>",
        "Echo audio at a specified delay",
        delay_echo
    ),
    app!("set_mute", "mod_dptools", Flags::NONE, "<direction> <value>", "Set mute", set_mute),
    app!(
        "set_audio_level",
        "mod_dptools",
        Flags::NONE,
        "<direction> <level>",
        "Set volume",
        set_audio_level
    ),
    app!(
        "wait_for_silence",
        "mod_dptools",
        Flags::NONE,
        "<silence_thresh> <silence_hits> <listen_hits> <timeout_ms> [<file>]",
        "Wait for silence",
        wait_for_silence
    )
    .path(),
    app!(
        "detect_audio",
        "mod_dptools",
        Flags::NONE,
        "<threshold> <audio_hits> <timeout_ms> [<file>]",
        "Detect audio",
        detect_audio
    )
    .path(),
    app!(
        "detect_silence",
        "mod_dptools",
        Flags::NONE,
        "<threshold> <silence_hits> <timeout_ms> [<file>]",
        "Detect silence",
        detect_silence
    )
    .path(),
    app!(
        "displace_session",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path> [<flags>] [+time_limit_ms]",
        "Displace File",
        displace_session
    )
    .path(),
    app!(
        "stop_displace_session",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Stop Displace File",
        stop_displace_session
    )
    .path(),
    app!(
        "remove_bugs",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[<function>]",
        "Remove all media bugs from a channel.",
        remove_bugs
    ),
];

async fn echo(session: &mut Session, _argument: &str) -> AppResult {
    echo_until_broken(session, 0).await
}

async fn delay_echo(session: &mut Session, argument: &str) -> AppResult {
    let ms = u32::try_from(text::int(argument)).unwrap_or(0).min(10_000);
    echo_until_broken(session, ms).await
}

async fn echo_until_broken(session: &mut Session, delay_ms: u32) -> AppResult {
    let Some(leg) = session.channel().media() else { return Ok(()) };
    let begun = if delay_ms > 0 { leg.delayed_echo(delay_ms) } else { leg.echo(true) };
    if let Err(error) = begun {
        tracing::error!(uuid = %session.channel().uuid(), "Cannot echo: {error}");
        return Ok(());
    }
    let result = loop {
        while session.take_digit().is_some() {}
        match session.wait(None).await {
            Ok(Wake::Broken) => break Ok(()),
            Ok(_) => {}
            Err(interrupt) => break Err(interrupt),
        }
    };
    let _closed = leg.echo(false);
    result
}

fn side(word: &str) -> Option<Side> {
    match word.to_ascii_lowercase().as_str() {
        "read" => Some(Side::Read),
        "write" => Some(Side::Write),
        _ => None,
    }
}

async fn set_mute(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 2);
    let side = words.first().and_then(|word| side(word));
    let on = words.get(1).is_none_or(|word| text::is_true(word));
    if let (Some(side), Some(leg)) = (side, session.channel().media()) {
        let _closed = leg.mute(side, on);
    }
    Ok(())
}

async fn set_audio_level(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 2);
    if let Some(side) = words.first().and_then(|word| side(word)) {
        set_level(session.channel(), side, words.get(1).map_or(0, |level| text::int(level)));
    }
    Ok(())
}

/// Watches the level of what the caller says, a file playing meanwhile. `None` = time over.
async fn watch(
    session: &mut Session,
    watch: LevelWatch,
    timeout_ms: i64,
    file: Option<&String>,
) -> Result<Option<LevelReport>, Interrupt> {
    let Some(leg) = session.channel().media() else { return Ok(None) };
    let plan = match file {
        Some(name) => match session.open_plan(name, leg.codec().rate()).await? {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::warn!(uuid = %session.channel().uuid(), "{error}");
                None
            }
        },
        None => None,
    };
    let play = plan.and_then(|plan| leg.play_within(Box::new(plan.repeated(None))).ok());
    let _closed = leg.watch_level(Some(watch));
    let limit = Duration::from_millis(timeout_ms.max(0).unsigned_abs());
    let until = (timeout_ms > 0).then(|| Instant::now() + limit);
    let result = loop {
        match session.wait(until).await {
            Ok(Wake::Media(LegEvent::Level(report))) => break Ok(Some(report)),
            Ok(Wake::Timeout | Wake::Broken) => break Ok(None),
            Ok(_) => {}
            Err(interrupt) => break Err(interrupt),
        }
    };
    let _closed = leg.watch_level(None);
    if let Some(play) = play {
        let _closed = leg.stop_play(play);
    }
    result
}

fn hits(words: &[String], index: usize) -> u32 {
    words.get(index).map_or(0, |w| text::int(w)).clamp(0, 1_000_000) as u32
}

async fn wait_for_silence(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 5);
    if words.len() < 3 {
        tracing::warn!(uuid = %session.channel().uuid(), "wait_for_silence: too few arguments");
        return Ok(());
    }
    let spec = LevelWatch {
        threshold: hits(&words, 0),
        loud_hits: hits(&words, 2),
        quiet_hits: hits(&words, 1).max(1),
    };
    let timeout = words.get(3).map_or(0, |w| text::int(w));
    let report = watch(session, spec, timeout, words.get(4)).await?;
    let channel = session.channel();
    channel.set_var("wait_for_silence_timeout", if report.is_none() { "true" } else { "false" });
    if let Some(report) = report {
        channel.set_var("wait_for_silence_listenhits", report.loud_hits.to_string());
        channel.set_var("wait_for_silence_silence_hits", report.quiet_hits.to_string());
    }
    Ok(())
}

async fn detect_audio(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let spec =
        LevelWatch { threshold: hits(&words, 0), loud_hits: hits(&words, 1).max(1), quiet_hits: 0 };
    let timeout = words.get(2).map_or(0, |w| text::int(w));
    let report = watch(session, spec, timeout, words.get(3)).await?;
    let heard = report.filter(|r| r.outcome == LevelOutcome::Loud);
    let channel = session.channel();
    channel.set_var("detect_audio_timeout", if heard.is_none() { "true" } else { "false" });
    channel.set_var("detect_audio_hits", heard.map_or(0, |r| r.loud_hits).to_string());
    Ok(())
}

async fn detect_silence(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let spec =
        LevelWatch { threshold: hits(&words, 0), loud_hits: 0, quiet_hits: hits(&words, 1).max(1) };
    let timeout = words.get(2).map_or(0, |w| text::int(w));
    let report = watch(session, spec, timeout, words.get(3)).await?;
    let channel = session.channel();
    channel.set_var("detect_silence_timeout", if report.is_none() { "true" } else { "false" });
    channel.set_var("detect_silence_hits", report.map_or(0, |r| r.quiet_hits).to_string());
    Ok(())
}

// ---- displacing ----

/// A file that replaces or joins what a leg hears.
#[derive(Debug)]
pub struct Displacement {
    path: String,
    id: PlayId,
}

/// Begins to displace: `m` in the flags mixes, `l` loops, `r` displaces what the leg says instead of what it hears,
/// `limit` ends it. The file is read where blocking does not
/// matter.
///
/// # Errors
/// When there is no media, the path is displaced already, or the file cannot be played.
pub async fn displace(
    channel: &Arc<Channel>,
    path: &str,
    flags: &str,
    limit: Option<Duration>,
) -> Result<(), String> {
    let (channel, path, flags) = (Arc::clone(channel), path.to_owned(), flags.to_owned());
    let rate = channel.media().map_or(8000, |leg| leg.codec().rate());
    let file = fetched(&channel, &path, rate).await.map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let _entered = runtime.enter();
        displace_now(&channel, (&path, &file), &flags, limit)
    });
    reading.await.unwrap_or_else(|_| Err("reading the file failed".to_owned()))
}

fn displace_now(
    channel: &Arc<Channel>,
    (path, file): (&str, &str),
    flags: &str,
    limit: Option<Duration>,
) -> Result<(), String> {
    let leg = channel.media().ok_or("no media")?;
    if channel.with(|data| data.slot::<Vec<Displacement>>().iter().any(|d| d.path == path)) {
        return Err("displaced already".to_owned());
    }
    let options = source_options(channel, leg.codec().rate());
    let plan = source::open(file, &options).map_err(|e| e.to_string())?;
    let plan = Box::new(if flags.contains('l') { plan.repeated(None) } else { plan });
    let mixed = flags.contains('m');
    let begun = match flags.contains('r') {
        true => leg.play_said(plan, mixed),
        false if mixed => leg.play_over(plan),
        false => leg.play_within(plan),
    };
    let id = begun.map_err(|e| e.to_string())?;
    channel.with(|data| {
        data.slot::<Vec<Displacement>>().push(Displacement { path: path.to_owned(), id })
    });
    if let Some(limit) = limit {
        let (channel, path) = (Arc::downgrade(channel), path.to_owned());
        crate::foreign::spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(channel) = channel.upgrade() {
                stop_displacing(&channel, &path);
            }
        });
    }
    Ok(())
}

/// Ends a displacement; false when there is none of that path.
pub fn stop_displacing(channel: &Channel, path: &str) -> bool {
    let found = channel.with(|data| {
        let index = data.slot::<Vec<Displacement>>().iter().position(|d| d.path == path)?;
        Some(data.slot::<Vec<Displacement>>().remove(index))
    });
    if let (Some(displacement), Some(leg)) = (&found, channel.media()) {
        let _closed = leg.stop_play(displacement.id);
    }
    found.is_some()
}

/// A play ended: forgets the displacement it was.
pub(super) fn play_ended(channel: &Channel, id: PlayId) {
    channel.with(|data| data.slot::<Vec<Displacement>>().retain(|d| d.id != id));
}

/// Ends what is attached to the leg's audio: recordings (`session_record`) and displacing files (`displace`).
async fn remove_bugs(session: &mut Session, argument: &str) -> AppResult {
    let only = argument.trim();
    if matches!(only, "" | "session_record") {
        super::record::stop_all(session).await;
    }
    if matches!(only, "" | "displace") {
        let paths: Vec<String> = session
            .channel()
            .with(|data| data.slot::<Vec<Displacement>>().iter().map(|d| d.path.clone()).collect());
        for path in paths {
            stop_displacing(session.channel(), &path);
        }
    }
    Ok(())
}

async fn displace_session(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let Some(path) = words.first() else { return Ok(()) };
    let flags = words.iter().skip(1).find(|w| !w.starts_with('+')).map_or("", String::as_str);
    let limit = words.iter().skip(1).find_map(|w| w.strip_prefix('+')).map(text::int);
    let limit = limit.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
    let channel = Arc::clone(session.channel());
    let limit = limit.map(Duration::from_millis);
    let begun = session.wait_for(displace(&channel, path, flags, limit)).await?;
    if let Err(error) = begun {
        tracing::error!(uuid = %channel.uuid(), "Cannot displace with {path}: {error}");
    }
    Ok(())
}

async fn stop_displace_session(session: &mut Session, argument: &str) -> AppResult {
    stop_displacing(session.channel(), argument.trim());
    Ok(())
}
