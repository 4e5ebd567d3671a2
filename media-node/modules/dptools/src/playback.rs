//! `playback`, `loop_playback`, `endless_playback`, `gentones`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{App, Flags};
use crate::app;
use crate::app::play::{Ended, Keys, Play, terminators};
use crate::call::{AppResult, Channel, Interrupt, Session};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("playback", "mod_dptools", Flags::NONE, "<path>", "Playback File", playback),
    app!(
        "loop_playback",
        "mod_dptools",
        Flags::NONE,
        "[+loops] <path>",
        "Loop Playback File",
        loop_playback
    ),
    app!(
        "endless_playback",
        "mod_dptools",
        Flags::NONE,
        "<path>",
        "Playback File Endlessly",
        endless_playback
    ),
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
        let play = Play { times, limit: limit.time, ..Play::once(text, Keys::Stop(&keys)) };
        let begun = Instant::now();
        ended = session.play(play).await?;
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
