//! `detect_speech` and `play_and_detect_speech`, with the words, variables and answers of the reference.

use std::sync::Arc;

use base::far;
use futures_util::future::Either;
use switch_core::app::play::{Ended, Keys, Play};
use switch_core::call::{AppResult, Channel, Interrupt, Session, Wake};
use tokio::sync::watch;
use tokio::time::Instant;

use super::detect::{self, DetectError, Detection, Heard};
use super::grammar::Grammar;
use crate::split::split;

const DETECT: &str = "<mod_name> <gram_name> <gram_path> [<addr>] OR grammar <gram_name> [<path>] OR nogrammar \
     <gram_name> OR grammaron/grammaroff <gram_name> OR grammarsalloff OR pause OR resume OR start-input-timers \
     OR stop OR param <name> <value>";
const PLAY: &str = "<file> detect:<engine> {param1=val1,param2=val2}<grammar>";
/// What all digits are.
const ANY: &str = "1234567890*#";

/// The application `detect_speech`.
pub(crate) async fn detect_speech(session: &mut Session, argument: &str) -> AppResult {
    let words = split(argument, 4);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let channel = Arc::clone(session.channel());
    if words.is_empty() {
        tracing::error!(uuid = %channel.uuid(), "Usage: {DETECT}");
        return Ok(());
    }
    let current = detect::current(&channel);
    match word(0).to_ascii_lowercase().as_str() {
        "grammar" => {
            if let Some(mut detection) = current {
                load(&channel, &mut detection, word(1)).await;
            }
        }
        // One grammar is in force at a time, and silence is what is left without one.
        "nogrammar" | "grammaroff" | "grammarsalloff" | "pause" => {
            current.inspect(Detection::pause);
        }
        "grammaron" | "resume" => {
            current.inspect(Detection::resume);
        }
        "init" => report(&channel, detect::open(session, word(1), None).await)?,
        "stop" => {
            detect::stop(&channel);
        }
        "param" => {
            if let Some(mut detection) = current {
                detection.set(&channel, word(1), word(2));
            }
        }
        "start-input-timers" => {
            current.inspect(Detection::start_timers);
        }
        "start_input_timers" => {
            tracing::warn!(
                uuid = %channel.uuid(),
                "start_input_timers is deprecated, please use start-input-timers instead!"
            );
            current.inspect(Detection::start_timers);
        }
        _ if words.len() >= 3 => {
            let begun = begin(session, word(0), word(1)).await;
            report(&channel, begun)?;
        }
        _ => {}
    }
    session.check()
}

/// Logs what went wrong; only the end of the application's call is an error of its own.
fn report(channel: &Channel, result: Result<Detection, DetectError>) -> AppResult {
    match result {
        Ok(_) => Ok(()),
        Err(DetectError::Interrupted(interrupt)) => Err(interrupt),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "{error}");
            Ok(())
        }
    }
}

async fn read(channel: &Channel, given: &str) -> Result<Grammar, DetectError> {
    let folder = channel.switch().dirs.grammar_dir.clone();
    let given = given.to_owned();
    let read = tokio::task::spawn_blocking(move || Grammar::read(&given, &folder)).await;
    read.unwrap_or(Err(super::grammar::GrammarError::Empty)).map_err(DetectError::from)
}

/// A grammar that cannot be loaded ends the recognition, as in the reference.
async fn load(channel: &Channel, detection: &mut Detection, given: &str) {
    match read(channel, given).await {
        Ok(grammar) => detection.load(channel, grammar),
        Err(error) => {
            tracing::warn!(uuid = %channel.uuid(), "{error}");
            detect::stop(channel);
        }
    }
}

/// A recognition by that engine with that grammar; one that is there goes on with it.
async fn begin(session: &mut Session, engine: &str, given: &str) -> Result<Detection, DetectError> {
    let channel = Arc::clone(session.channel());
    let was_there = detect::current(&channel);
    let grammar = read(&channel, given).await;
    match was_there {
        Some(mut detection) => {
            let grammar = grammar.inspect_err(|_| {
                detect::stop(&channel);
            })?;
            detection.load(&channel, grammar);
            detection.resume();
            Ok(detection)
        }
        None => {
            // An engine that is not there is told before a grammar that is not.
            let grammar = match grammar {
                Ok(grammar) => grammar,
                Err(error) => {
                    detect::open(session, engine, None).await?;
                    detect::stop(&channel);
                    return Err(error);
                }
            };
            detect::open(session, engine, Some(&grammar)).await
        }
    }
}

/// The application `play_and_detect_speech`.
pub(crate) async fn play_and_detect_speech(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    channel.set_var("detect_speech_result", "");
    let (result, response) = match parts(argument) {
        Some((file, engine, grammar)) => {
            let file = file.to_owned();
            match run(session, &file, &engine, &grammar).await {
                Ok((said, response)) => (said, response),
                Err(interrupt) => return Err(interrupt),
            }
        }
        None => {
            tracing::error!(uuid = %channel.uuid(), "Usage: {PLAY}");
            (String::new(), "USAGE ERROR")
        }
    };
    if !result.is_empty() {
        // It is what a far end said, although an engine wrote it down.
        channel.set_var_as_is("detect_speech_result", far::mark(&result));
    }
    channel.set_var("current_application_response", response);
    Ok(())
}

/// The file, the engine and the grammar.
fn parts(argument: &str) -> Option<(&str, String, String)> {
    let (file, detect) = argument.split_once("detect:")?;
    let words = split(detect, 2);
    let [engine, grammar] = &words[..] else { return None };
    Some((file.trim_end(), engine.clone(), grammar.clone()))
}

/// Plays and listens: what was said, and how it went.
async fn run(
    session: &mut Session,
    file: &str,
    engine: &str,
    grammar: &str,
) -> Result<(String, &'static str), Interrupt> {
    let channel = Arc::clone(session.channel());
    let detection = match begin(session, engine, grammar).await {
        Ok(detection) => detection,
        Err(DetectError::Interrupted(interrupt)) => return Err(interrupt),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "{error}");
            let grammar = matches!(error, DetectError::Grammar(_));
            return Ok((String::new(), if grammar { "GRAMMAR ERROR" } else { "ASR INIT ERROR" }));
        }
    };
    detection.expect_result(&channel);
    let over = listen(session, file, &detection).await;
    // A result has ended the recognition already.
    if !matches!(over, Ok(Over::Heard(_))) {
        detection.pause();
    }
    if channel.is_true("play_and_detect_speech_close_asr") {
        detect::stop(&channel);
    }
    Ok(match over? {
        Over::Heard(said) => (said, "DONE"),
        Over::Digit(digit) => (format!("DIGIT: {digit}"), "DONE"),
        Over::Failed => (String::new(), "ERROR"),
    })
}

/// How the listening ended.
enum Over {
    Heard(String),
    Digit(char),
    Failed,
}

async fn listen(
    session: &mut Session,
    file: &str,
    detection: &Detection,
) -> Result<Over, Interrupt> {
    let channel = Arc::clone(session.channel());
    let mut heard = detection.heard.clone();
    let before = heard.borrow_and_update().clone();
    let terminators = terminators(&channel);
    let ended = prompt(session, file, &terminators, heard.clone(), &before).await?;
    match ended {
        Ended::Key(Some(digit)) => return Ok(accept(&channel, digit)),
        Ended::NotFound | Ended::Failed if news(&heard, &before).is_none() => {
            return Ok(Over::Failed);
        }
        _ => {}
    }
    detection.start_timers();
    loop {
        if let Some(over) = news(&heard, &before) {
            return Ok(over);
        }
        match session.wait_or(None, heard.changed()).await? {
            Either::Left(Wake::Digit) => {
                while let Some(digit) = session.take_digit() {
                    if terminators.contains(digit.digit) {
                        return Ok(accept(&channel, digit.digit));
                    }
                }
            }
            Either::Right(Err(_)) => return Ok(Over::Heard(String::new())),
            _ => {}
        }
    }
}

/// The result since then, if there is one.
fn news(heard: &watch::Receiver<Heard>, before: &Heard) -> Option<Over> {
    let heard = heard.borrow();
    if heard.results > before.results {
        return Some(Over::Heard(heard.last.clone()));
    }
    heard.closed.then(|| Over::Heard(String::new()))
}

/// Plays the prompt; speech breaks it.
async fn prompt(
    session: &mut Session,
    file: &str,
    terminators: &str,
    mut heard: watch::Receiver<Heard>,
    before: &Heard,
) -> Result<Ended, Interrupt> {
    if file.is_empty() {
        return Ok(Ended::Done);
    }
    let channel = Arc::clone(session.channel());
    let (breaks, then) = (Arc::clone(&channel), before.clone());
    let watcher = tokio::spawn(async move {
        let spoken = |heard: &Heard| {
            heard.begins > then.begins || heard.results > then.results || heard.closed
        };
        if heard.wait_for(spoken).await.is_ok() {
            breaks.break_media();
        }
    });
    let ended = session.play(Play::once(file, Keys::Stop(terminators))).await;
    watcher.abort();
    let broke = !watcher.await.is_err_and(|error| error.is_cancelled());
    // A break that came too late for the prompt is not for whatever is played next.
    if broke && matches!(ended, Ok(Ended::Done | Ended::Key(_))) {
        let _taken = session.wait(Some(Instant::now())).await?;
    }
    ended
}

fn terminators(channel: &Channel) -> String {
    match channel.var("playback_terminators").as_deref() {
        Some("any") => ANY.to_owned(),
        Some("none") | None => String::new(),
        Some(set) => set.to_owned(),
    }
}

fn accept(channel: &Channel, digit: char) -> Over {
    channel.set_var("playback_terminator_used", digit.to_string());
    Over::Digit(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_has_a_file_an_engine_and_a_grammar() {
        let (file, engine, grammar) =
            parts("say:please say it detect:vosk {no-input-timeout=100}default x").unwrap();
        assert_eq!((file, engine.as_str()), ("say:please say it", "vosk"));
        assert_eq!(grammar, "{no-input-timeout=100}default x");
        assert!(parts("a.wav").is_none() && parts("a.wav detect:vosk").is_none());
        assert_eq!(parts("detect:vosk g").unwrap().0, "");
    }
}
