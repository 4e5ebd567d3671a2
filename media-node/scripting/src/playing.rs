//! What a call hears while a script waits, and what the script's function may do to it.

use std::sync::Arc;

use crate::app::App;
use crate::app::play::{self, Ended, Keys, Play};
use crate::call::{AppResult, Channel, Session};

/// Plays a file; true if it came to its end.
pub async fn play(session: &mut Session, file: &str) -> bool {
    let ended = session.play(Play::once(file, Keys::Stop(""))).await;
    matches!(ended, Ok(Ended::Done))
}

/// Runs an application without telling of it, as methods of sessions do in the reference.
pub async fn application(session: &mut Session, app: &App, argument: &str) -> bool {
    match ready(session).await {
        Ok(()) => (app.run)(session, argument).await.is_ok(),
        Err(_) => false,
    }
}

/// Early media for a caller that has none yet.
async fn ready(session: &mut Session) -> AppResult {
    session.check()?;
    session.pre_answer().await
}

/// A file from that sample on.
#[must_use]
pub fn at_sample(file: &str, sample: i64) -> String {
    if sample > 0 { format!("{file}@@{sample}") } else { file.to_owned() }
}

/// What `record` is asked for.
#[must_use]
pub fn recording(file: &str, limit: i64, threshold: i64, hits: i64) -> String {
    let quote = if file.contains(' ') { "'" } else { "" };
    format!("{quote}{file}{quote} {limit} {threshold} {hits}")
}

/// A phrase of a macro as something that is played.
#[must_use]
pub fn phrase(name: &str, data: &str, language: &str) -> String {
    let at = if language.is_empty() { "" } else { "@" };
    format!("phrase:{name}{at}{language}:{data}")
}

/// Does to what plays as the script's function says: nothing for nothing or `true`; an order; else it ends.
pub fn steer(channel: &Arc<Channel>, said: &str) {
    let goes_on = said.is_empty() || said == "true" || said == "undefined";
    if goes_on {
        return;
    }
    let verb = said.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let order = ["pause", "restart", "seek", "speed", "volume"].contains(&verb.as_str());
    if order && play::steer(channel, said).is_some() {
        return;
    }
    channel.break_media();
}
