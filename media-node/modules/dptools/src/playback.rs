//! `playback`, `loop_playback`, `endless_playback`, `gentones`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base::far;
use tokio::time::Instant;

use super::{App, Flags};
use crate::app;
use crate::app::play::{Ended, Keys, Play, terminators};
use crate::call::{AppResult, Channel, Interrupt, Session};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("playback", "mod_dptools", Flags::NONE, "<path>", "Playback File", playback).files(),
    app!(
        "loop_playback",
        "mod_dptools",
        Flags::NONE,
        "[+loops] <path>",
        "Loop Playback File",
        loop_playback
    )
    .files(),
    app!(
        "endless_playback",
        "mod_dptools",
        Flags::NONE,
        "<path>",
        "Playback File Endlessly",
        endless_playback
    )
    .files(),
    app!(
        "gentones",
        "mod_dptools",
        Flags::NONE,
        "<tgml_script>[|<loops>]",
        "Generate Tones",
        gentones
    ),
];

/// Pause between the files of a `playback_delimiter` list, milliseconds.
const LIST_PAUSE: i64 = 250;
/// A list of files that are played without a pause.
const LIST: &str = "file_string://";

async fn playback(session: &mut Session, argument: &str) -> AppResult {
    let result = play_list(session, argument, Some(1)).await;
    respond(session, result)
}

/// One file, or several held apart by `playback_delimiter`.
async fn play_list(
    session: &mut Session,
    argument: &str,
    times: Option<u32>,
) -> Result<Ended, Interrupt> {
    let channel = Arc::clone(session.channel());
    channel.unset_var("playback_terminator_used");
    let keys = terminators(&channel);
    let delimiter = channel.variable("playback_delimiter").and_then(|d| d.chars().next());
    let files: Vec<&str> = match delimiter {
        Some(delimiter) => argument.split(delimiter).collect(),
        None => vec![argument],
    };
    let pause = channel.variable("playback_sleep_val").map_or(LIST_PAUSE, |v| text::int(&v));
    let limit = TimeLimit::of(&channel);
    let mut ended = Ended::Done;
    for (index, text) in files.iter().enumerate() {
        if index > 0 && pause > 0 {
            session.sleep(Duration::from_millis(pause.unsigned_abs())).await?;
        }
        let text = &*meant(text);
        let play = Play { times, limit: limit.time, ..Play::once(text, Keys::Stop(&keys)) };
        let begun = Instant::now();
        ended = match spoken_parts(text) {
            Some(parts) => play_parts(session, &parts, play).await?,
            None => session.play(play).await?,
        };
        let over = limit.note(&channel, begun.elapsed());
        if over && ended == Ended::TimedOut && channel.is_true("playback_timeout_as_success") {
            ended = Ended::Done;
            break;
        }
        if let Ended::Key(Some(key)) = ended {
            channel.set_var("playback_terminator_used", key.to_string());
        }
        if !matches!(ended, Ended::Done) {
            break;
        }
    }
    Ok(ended)
}

/// An item as it is played. What a far end said stays marked for macros, which put it into actions of their own; elsewhere
/// it is part of a path, and does not say where the path begins.
fn meant(item: &str) -> Cow<'_, str> {
    if item.contains("phrase:") { Cow::Borrowed(item) } else { far::path(item) }
}

/// What is spoken (`phrase:`, `say:`) among the items of a `file_string://` has no samples before it is said: the list in
/// parts, one after the other. `None` for what is played as it is.
fn spoken_parts(text: &str) -> Option<Vec<String>> {
    let items: Vec<&str> = text.strip_prefix(LIST)?.split('!').collect();
    let spoken = |item: &str| ["phrase:", "say:"].iter().any(|prefix| item.starts_with(prefix));
    if !items.iter().any(|item| spoken(item)) {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
        match parts.last_mut().filter(|_| !spoken(item)) {
            Some(last) if last.starts_with(LIST) => {
                last.push('!');
                last.push_str(item);
            }
            _ if spoken(item) => parts.push(item.to_owned()),
            _ => parts.push(format!("{LIST}{item}")),
        }
    }
    for part in parts.iter_mut().filter(|part| !part.starts_with("phrase:")) {
        *part = far::path(part).into_owned();
    }
    Some(parts)
}

/// Plays parts one after the other, as often as `play` says, and within its time.
async fn play_parts(
    session: &mut Session,
    parts: &[String],
    play: Play<'_>,
) -> Result<Ended, Interrupt> {
    let begun = Instant::now();
    let mut round = 0;
    while play.times.is_none_or(|times| round < times) {
        round += 1;
        let began = Instant::now();
        for part in parts {
            let limit = play.limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            if limit.is_some_and(|left| left.is_zero()) {
                return Ok(Ended::TimedOut);
            }
            match session.play(Play { text: part, times: Some(1), limit, ..play }).await? {
                Ended::Done => {}
                ended => return Ok(ended),
            }
        }
        if began.elapsed().is_zero() {
            // Nothing in it takes time: it would go round without limit.
            break;
        }
    }
    Ok(Ended::Done)
}

/// How long one play may take.
#[derive(Clone, Copy)]
struct TimeLimit {
    time: Option<Duration>,
    /// What one play leaves of it is all the next has.
    cumulative: bool,
}

impl TimeLimit {
    /// `playback_timeout_sec_cumulative`, else `playback_timeout_sec`; as in the reference, less than two seconds is
    /// no limit.
    fn of(channel: &Channel) -> Self {
        let seconds = |name: &str| channel.variable(name).map(|v| text::int(&v));
        let cumulative = seconds("playback_timeout_sec_cumulative");
        let limit = cumulative.or_else(|| seconds("playback_timeout_sec")).filter(|s| *s > 1);
        let time = limit.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
        Self { time, cumulative: cumulative.is_some() }
    }

    /// Notes that a play took that long; true if that was all there was.
    fn note(self, channel: &Channel, taken: Duration) -> bool {
        let Some(time) = self.time else { return false };
        let left = time.saturating_sub(taken);
        if self.cumulative && !left.is_zero() {
            channel.set_var("playback_timeout_sec_cumulative", left.as_secs().to_string());
        }
        left.is_zero()
    }
}

async fn loop_playback(session: &mut Session, argument: &str) -> AppResult {
    let (times, path) = match argument.strip_prefix('+').and_then(|rest| rest.split_once(' ')) {
        Some((count, path)) => (u32::try_from(text::int(count)).ok(), path.trim()),
        None => (None, argument),
    };
    let result = play_list(session, path, times).await;
    respond(session, result)
}

async fn endless_playback(session: &mut Session, argument: &str) -> AppResult {
    let result = play_list(session, argument, None).await;
    respond(session, result)
}

fn respond(session: &Session, result: Result<Ended, Interrupt>) -> AppResult {
    session.respond(match &result {
        Ok(Ended::NotFound) => "FILE NOT FOUND",
        Ok(Ended::Failed | Ended::TimedOut) | Err(_) => "PLAYBACK ERROR",
        Ok(_) => "FILE PLAYED",
    });
    result.map(|_| ())
}

async fn gentones(session: &mut Session, argument: &str) -> AppResult {
    let (tones, loops) = argument.split_once('|').unwrap_or((argument, ""));
    let keys = terminators(session.channel());
    let name = match text::int(loops) {
        0 => format!("tone_stream://{tones}"),
        loops => format!("tone_stream://{tones};loops={loops}"),
    };
    let play = Play { announced: false, ..Play::once(&name, Keys::Stop(&keys)) };
    if let Ended::Key(Some(key)) = session.play(play).await? {
        session.channel().set_var("playback_terminator_used", key.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken_in_a_list_is_a_part_of_its_own() {
        assert_eq!(spoken_parts("file_string://a.wav!b.wav"), None);
        assert_eq!(spoken_parts("say:hello"), None);
        let parts = spoken_parts("file_string://a.wav!b.wav!phrase:x:1!say:hello!c.wav").unwrap();
        let expected =
            ["file_string://a.wav!b.wav", "phrase:x:1", "say:hello", "file_string://c.wav"];
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_a_far_end_said_leaves_no_directory_in_any_item_of_a_list() {
        let name = far::mark("../../recordings/x");
        let file = format!("names/{name}.wav");
        let argument = format!("phrase:welcome!{file}");
        let items: Vec<_> = argument.split('!').map(meant).collect();
        assert_eq!(items[0], "phrase:welcome");
        let is_inside = |item: &str| !far::is_marked(item) && !item.contains("..");
        assert!(is_inside(&items[1]), "{}", items[1]);
        let list = format!("file_string://phrase:welcome!{file}!say:hello!{file}");
        let list = meant(&list);
        let parts = spoken_parts(&list).unwrap();
        assert_eq!(parts.len(), 4);
        assert!(parts.iter().all(|part| is_inside(part)), "{parts:?}");
        // Whatever holds the items apart.
        let argument = format!("hello.wav;{}", far::mark("/etc/passwd"));
        let items: Vec<_> = argument.split(';').map(meant).collect();
        assert_eq!(items, ["hello.wav", "_etc/passwd"]);
        let macros = format!("phrase:say:{name}");
        assert_eq!(meant(&macros), macros, "a macro gets it marked");
    }
}
