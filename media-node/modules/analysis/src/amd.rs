//! mod_amd: did a person answer, or a machine?

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Node;
use parking_lot::Mutex;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session, Wake};
use switch_core::contract::declare::{EventKind, Parameters, Value, Variable, event, param, sets};
use switch_core::switch::Switch;
use tokio::time::Instant;
use voice::answer::{Answer, Judgement, Listener, Settings};

use crate::call_audio::CallAudio;

/// How often the call is listened to.
const TICK: Duration = Duration::from_millis(20);
/// What may be added to the time of analysis until there is an answer, where no audio comes.
const GRACE: Duration = Duration::from_millis(500);
const MILLIS: Value = Value::Number(0, 120_000);

pub(crate) const APPS: &[App] = &[app!(
    "amd",
    "mod_amd",
    Flags::NONE,
    "[<name>=<value>[,...]]",
    "Voice activity detection (non-blocking)",
    run
)];

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters { file: "amd.conf", scope: "", list: &[
    param("silence_threshold", Value::Number(0, 32_767), "256", "Mean absolute sample below which there is silence"),
    param("maximum_word_length", MILLIS, "5000", "Longest word of a person"),
    param("maximum_number_of_words", Value::Number(1, 1000), "3", "Words from which it is a machine"),
    param("between_words_silence", MILLIS, "50", "Silence that separates words"),
    param("min_word_length", MILLIS, "100", "Shortest sound that is a word"),
    param("total_analysis_time", MILLIS, "5000", "How long is listened at most"),
    param("after_greeting_silence", MILLIS, "800", "Silence after a greeting that shows that a person waits"),
    param("greeting", MILLIS, "1500", "Longest greeting of a person"),
    param("initial_silence", MILLIS, "2500", "Longest silence of a person before it"),
] }];

#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    sets("amd_result", "Who answered: `HUMAN`, `MACHINE`, `NOTSURE`"),
    sets("amd_cause", "Why, with the figure and its limit: `LONGGREETING-1500-1500`, `MAXWORDS-3-3`, `INITIALSILENCE-2500-2500`, `MAXWORDLENGTH-5000-5000`, `HUMAN-800-800`, `TOOLONG-5000`"),
    sets("amd_status", "`person`, `machine` or `unsure`: the same in other words"),
];

#[rustfmt::skip]
pub(crate) const EVENTS: &[EventKind] = &[event("amd::info", "Who answered")];

#[derive(Default)]
struct InForce(Mutex<Option<Settings>>);

/// Takes `amd.conf` into use.
pub(crate) fn configure(switch: &Switch) {
    let config = switch.config.load_full();
    *switch.module::<InForce>().0.lock() = Some(read(config.document("amd.conf")));
}

fn read(conf: Option<Node<'_>>) -> Settings {
    let mut settings = Settings::default();
    for param in &dialplan_xml::config::settings(conf) {
        set(&mut settings, &param.name, &param.value);
    }
    settings
}

/// Sets one of them; false for what there is none of.
fn set(settings: &mut Settings, name: &str, value: &str) -> bool {
    let Ok(number) = value.trim().parse::<u32>() else { return false };
    let number = number.min(120_000);
    let field = match name.trim() {
        "silence_threshold" => &mut settings.silence_threshold,
        "maximum_word_length" => &mut settings.maximum_word_length,
        "maximum_number_of_words" => &mut settings.maximum_number_of_words,
        "between_words_silence" => &mut settings.between_words_silence,
        "min_word_length" | "minimum_word_length" => &mut settings.min_word_length,
        "total_analysis_time" => &mut settings.total_analysis_time,
        "after_greeting_silence" => &mut settings.after_greeting_silence,
        "greeting" => &mut settings.greeting,
        "initial_silence" => &mut settings.initial_silence,
        _ => return false,
    };
    *field = number;
    true
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let mut settings = session.switch().module::<InForce>().0.lock().unwrap_or_default();
    for pair in argument.split([',', ';']).filter(|pair| !pair.trim().is_empty()) {
        let known =
            pair.split_once('=').is_some_and(|(name, value)| set(&mut settings, name, value));
        if !known {
            tracing::warn!(uuid = %channel.uuid(), "amd: nothing is called {pair}");
        }
    }
    let Some(mut audio) = CallAudio::new(&channel, false) else {
        tracing::error!(uuid = %channel.uuid(), "amd: the call has no media");
        return Ok(());
    };
    let mut listener = Listener::new(settings);
    let limit = Duration::from_millis(settings.total_analysis_time.into()) + GRACE;
    let end = Instant::now() + limit;
    let judgement = loop {
        let (heard, rate) = audio.hear(&channel);
        if let Some(judgement) = listener.hear(heard, rate) {
            break judgement;
        }
        let now = Instant::now();
        if now >= end {
            let cause = format!("TOOLONG-{}", settings.total_analysis_time);
            break Judgement { answer: Answer::NotSure, cause };
        }
        if let Wake::Broken = session.wait(Some(now + TICK)).await? {
            break Judgement { answer: Answer::NotSure, cause: "BROKEN".to_owned() };
        }
    };
    let Judgement { answer, cause } = judgement;
    tracing::info!(uuid = %channel.uuid(), "AMD: {} {cause}", answer.name());
    let status = match answer {
        Answer::Human => "person",
        Answer::Machine => "machine",
        Answer::NotSure => "unsure",
    };
    channel.set_vars([
        ("amd_result", answer.name().to_owned()),
        ("amd_cause", cause.clone()),
        ("amd_status", status.to_owned()),
    ]);
    channel.fire_custom(
        "amd::info",
        |event| {
            event.push("AMD-Result", answer.name());
            event.push("AMD-Cause", cause.as_str());
        },
        |_| {},
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_mod_amd_s_names_and_bounds() {
        let mut settings = Settings::default();
        assert!(set(&mut settings, "greeting", " 2000 ") && settings.greeting == 2000);
        assert!(set(&mut settings, "total_analysis_time", "999999999"));
        assert_eq!(settings.total_analysis_time, 120_000);
        assert!(!set(&mut settings, "greeting", "-1") && !set(&mut settings, "x", "1"));
    }
}
