//! What a caller hears while legs are called for it: ringing by signalling, or a tone or file of ours.
//!
//! `ringback` serves callers that are not answered yet (early media), `transfer_ringback` those that are. Values: a
//! file, a tone (`%(on,off,freq,…)`), `silence`, or any playback string.

use crate::call::{AppResult, Channel, Session};

/// The tone or file the caller is to hear: `transfer_ringback` if it is answered, else, or without that, `ringback`.
#[must_use]
pub fn value(channel: &Channel) -> Option<String> {
    let set = |name: &str| channel.var(name).filter(|value| !value.is_empty());
    let answered = channel.is_answered().then(|| set("transfer_ringback")).flatten();
    answered.or_else(|| set("ringback"))
}

/// The called party rings.
///
/// # Errors
/// [`crate::call::Interrupt`] when the caller is gone.
pub async fn start(session: &mut Session) -> AppResult {
    let Some(tone) = value(session.channel()) else {
        return session.ring_ready(false).await;
    };
    session.pre_answer().await?;
    play(session, &tone).await
}

/// Plays something until [`stop`], whatever the call does meanwhile; no effect while something plays so.
///
/// # Errors
/// [`crate::call::Interrupt`] when the call ended or moved.
pub async fn play(session: &mut Session, text: &str) -> AppResult {
    if session.ringback.is_none() {
        session.ringback = play_endlessly(session, &playable(text)).await?;
    }
    Ok(())
}

/// The ringing is over: answered, failed or given up.
pub fn stop(session: &mut Session) {
    if let (Some(id), Some(media)) = (session.ringback.take(), session.channel().media()) {
        let _ended = media.stop_play(id);
        // The reference gives the leg its own codec back, which programs see by the order of the variables.
        for name in ["read_codec", "read_rate"] {
            if let Some(value) = session.channel().own_var(name) {
                session.channel().set_var(name, value);
            }
        }
    }
}

/// A `ringback` value as a playback string.
fn playable(value: &str) -> String {
    if value.starts_with('%') || value.starts_with("v=") || value.starts_with("L=") {
        format!("tone_stream://{value}")
    } else if value.eq_ignore_ascii_case("silence") || value.starts_with("silence:") {
        "silence_stream://-1".to_owned()
    } else {
        value.to_owned()
    }
}

async fn play_endlessly(
    session: &mut Session,
    text: &str,
) -> Result<Option<media::PlayId>, crate::call::Interrupt> {
    let Some(leg) = session.channel().media() else { return Ok(None) };
    match session.open_plan(text, leg.codec().rate()).await? {
        Ok(plan) => Ok(leg.play_within(Box::new(plan.repeated(None))).ok()),
        Err(error) => {
            tracing::warn!(uuid = %session.channel().uuid(), "No ringback: {error}");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_silence_and_files_become_playback_strings() {
        assert_eq!(playable("%(2000,4000,440,480)"), "tone_stream://%(2000,4000,440,480)");
        assert_eq!(playable("silence:100"), "silence_stream://-1");
        assert_eq!(playable("/a/b.wav"), "/a/b.wav");
        assert_eq!(playable("local_stream://moh"), "local_stream://moh");
    }
}
