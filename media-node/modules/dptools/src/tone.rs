//! `tone_detect`, `stop_tone_detect`: frequencies that sound together in a leg's audio, and what follows.

use std::sync::Arc;
use std::time::Duration;

use esl_server::CallMessage;
use esl_server::event::{Event, EventName};

use super::{App, Flags};
use crate::api::{Api, ApiCall, usage};
use crate::call::tones::{Wanted, frequencies, stop, watch};
use crate::call::{AppResult, Channel, Session};
use crate::{api, app, clock, text};

/// The family.
pub const APPS: &[App] = &[
    app!("tone_detect", "mod_dptools", Flags::NONE, "", "Detect tones", tone_detect).marked(),
    app!(
        "stop_tone_detect",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Stop detecting tones",
        stop_tone_detect
    ),
    app!("fax_detect", "mod_dptools", Flags::NONE, "", "Detect faxes", fax_detect),
];

/// The command.
pub const APIS: &[Api] =
    &[api!("tone_detect", "mod_commands", SYNTAX, "Start tone detection on a channel", run)];

const SYNTAX: &str = "<uuid> <key> <tone_spec> [<flags> <timeout> <app> <args> <hits>]";
/// Seconds from now (`+30`), or the time (seconds since the epoch) of the end; 0 is none. `Err` if it is over.
fn limit(word: Option<&str>) -> Result<Option<Duration>, ()> {
    let Some(word) = word else { return Ok(None) };
    let seconds = match word.strip_prefix('+') {
        Some(seconds) => text::int(seconds),
        None if text::int(word) == 0 => return Ok(None),
        None => text::int(word) - clock::now_secs(),
    };
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0).ok_or(())?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Watches a leg, tells everybody what was found, and runs what was asked for then.
fn begin(
    channel: &Arc<Channel>,
    wanted: Wanted,
    application: Option<(String, String)>,
) -> Result<(), &'static str> {
    let key = wanted.key.clone();
    watch(channel, wanted, move |channel| {
        tracing::debug!(uuid = %channel.uuid(), "TONE {key} DETECTED");
        if let Some((application, argument)) = &application {
            let _full = channel.post(CallMessage::execute(application, argument));
        }
        let _full = channel.job(Box::new(|session| Box::pin(session.run_hooks("tone_detect"))));
        let event = || {
            let mut event = Event::new(EventName::DetectedTone);
            event.push("Detected-Tone", key.as_str());
            event
        };
        esl_server::fire!(channel.switch().bus, event());
        // Programs that steer the call get it as an event of the call.
        if channel.flags.controlled.load(std::sync::atomic::Ordering::Relaxed) {
            channel.queue_event(event());
        }
        // Found once, it is not looked for again before it is asked for again.
        false
    })
}

/// What stands behind the key and the frequencies: `[flags] [timeout] [app args] [hits]`.
fn wanted(key: &str, spec: &str, rest: &[String], hits: Option<&str>) -> Result<Wanted, ()> {
    let flags = rest.first().map_or("r", String::as_str);
    Ok(Wanted {
        key: key.to_owned(),
        frequencies: frequencies(spec),
        written: flags.contains('w') && !flags.contains('r'),
        once: flags.contains('o'),
        hits: hits.map_or(1, |hits| u32::try_from(text::int(hits)).unwrap_or(1)),
        limit: limit(rest.get(1).map(String::as_str))?,
    })
}

/// `<key> <freqs> [r|w] [+timeout|0] [<app> <args>] [hits]`
async fn tone_detect(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let marked = text::words_marked(argument, 7);
    let words = text::words(argument, 7);
    let [key, spec, rest @ ..] = words.as_slice() else {
        tracing::error!(uuid = %channel.uuid(), "INVALID ARGS!");
        return Ok(());
    };
    let word = |at: usize| rest.get(at).map(String::as_str);
    let (application, hits) = match (word(2), word(3)) {
        (Some(app), Some(args)) => {
            // The application takes its argument apart itself.
            let args = marked.get(5).map_or(args, String::as_str);
            (Some((app.to_owned(), args.to_owned())), word(4))
        }
        (hits, _) => (None, hits),
    };
    let Ok(wanted) = wanted(key, spec, rest, hits) else {
        tracing::error!(uuid = %channel.uuid(), "INVALID Timeout!");
        return Ok(());
    };
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "Enabling tone detection '{key}' '{spec}'"
    );
    if let Err(error) = begin(&channel, wanted, application) {
        tracing::error!(uuid = %channel.uuid(), "Cannot detect tones: {error}");
    }
    Ok(())
}

/// The tone of a calling fax, until the end of the call.
async fn fax_detect(session: &mut Session, _argument: &str) -> AppResult {
    tone_detect(session, "fax 1100.0 r 0").await
}

async fn stop_tone_detect(session: &mut Session, _argument: &str) -> AppResult {
    stop(session.channel());
    Ok(())
}

fn run(call: &ApiCall) -> String {
    let words = call.words(8);
    if words.is_empty() {
        return usage(SYNTAX);
    }
    let [uuid, key, spec, rest @ ..] = words.as_slice() else {
        tracing::error!("-ERR INVALID ARGS!");
        return String::new();
    };
    let Some(channel) = call.switch.channel(uuid) else {
        return "-ERR Cannot locate session!\n".into();
    };
    let word = |at: usize| rest.get(at).map(String::as_str);
    let application = word(2).map(|app| (app.to_owned(), word(3).unwrap_or_default().to_owned()));
    let Ok(wanted) = wanted(key, spec, rest, word(4)) else {
        tracing::error!(uuid = %channel.uuid(), "INVALID Timeout!");
        return String::new();
    };
    if let Err(error) = begin(&channel, wanted, application) {
        tracing::error!(uuid = %channel.uuid(), "Cannot detect tones: {error}");
    }
    let flags = word(0).unwrap_or("(null)");
    format!("+OK Enabling tone detection '{key}' '{spec}' '{flags}'\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_behind_the_frequencies_say_how() {
        let words = |text: &str| text::words(text, 8);
        let given = wanted("busy", "480,620", &words("w +5"), Some("3")).unwrap();
        assert_eq!(given.frequencies, [480.0, 620.0]);
        assert!(given.written && !given.once);
        assert_eq!((given.hits, given.limit), (3, Some(Duration::from_secs(5))));
        assert_eq!(wanted("x", "1", &words("r 0"), None).unwrap().limit, None);
        assert!(wanted("x", "1", &words("r +0"), None).is_err());
        assert!(wanted("x", "1", &words("r 5"), None).is_err());
    }
}
