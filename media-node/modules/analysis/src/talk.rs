//! Conversations: who talks how much, who interrupts whom, how long an answer takes; live and in the call's record.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::reading::Reading;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use switch_core::api::{Api, ApiCall, usage};
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Digit, Session};
use switch_core::contract::CallObserver;
use switch_core::contract::declare::{EventKind, Value, Variable, event, reads, sets};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, api, app, text};
use tokio::time::{MissedTickBehavior, interval};
use voice::conversation::{Conversation, Figures};

use crate::call_audio::CallAudio;

const SYNTAX: &str = "<uuid> [start|stop]";
/// How often the call is listened to. Nothing waits for it.
const TICK: Duration = Duration::from_millis(100);
/// Least seconds between two events of a call.
const SHORTEST: u64 = 1;

pub(crate) const APPS: &[App] = &[app!(
    "conversation",
    "mod_conversation",
    Flags::NONE,
    "[start|stop]",
    "Measure who talks, who interrupts, and how long answers take",
    run
)];

pub(crate) const APIS: &[Api] = &[api!(
    "uuid_conversation",
    "mod_conversation",
    SYNTAX,
    "Show who talks on a call, who interrupts, and how long answers take",
    command
)];

#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    reads("conversation_analytics", Value::Bool, "The conversation is measured from the answer on"),
    reads("conversation_interval", Value::Seconds, "Seconds between events `switch::conversation`; 0 = one at the end"),
    reads("conversation_turns_file", Value::Path, "JSON Lines of all turns are written there at the end"),
    sets("conversation_far_ms", "How long the far end spoke"),
    sets("conversation_near_ms", "How long the other party spoke"),
    sets("conversation_both_ms", "How long both did at once"),
    sets("conversation_silence_ms", "How long neither did"),
    sets("conversation_hold_ms", "How long one party had the other on hold"),
    sets("conversation_far_turns", "Turns of the far end"),
    sets("conversation_near_turns", "Turns of the other party"),
    sets("conversation_far_interruptions", "Turns of the far end that began while the other spoke"),
    sets("conversation_near_interruptions", "The same of the other"),
    sets("conversation_answer_ms", "Mean time from the end of what the far end said to the answer"),
    sets("conversation_answer_max_ms", "Longest such time"),
    sets("conversation_words_per_minute", "Words of the far end in a minute of its speech, where there is a transcript"),
    sets("conversation_near_words_per_minute", "The same of the other party"),
    sets("conversation_digits", "Keys of the far end"),
];

#[rustfmt::skip]
pub(crate) const EVENTS: &[EventKind] = &[
    event("switch::conversation", "Who talked how much on a call so far, or in all (not in FreeSWITCH)"),
];

/// Figures of all calls since the start.
#[derive(Default)]
struct Totals {
    calls: AtomicU64,
    far: AtomicU64,
    near: AtomicU64,
    both: AtomicU64,
    silence: AtomicU64,
    hold: AtomicU64,
    digits: AtomicU64,
    words: AtomicU64,
    interruptions: AtomicU64,
    answers: AtomicU64,
    answer_ms: AtomicU64,
}

/// Numbers for the metrics page.
pub(crate) fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let totals = switch.module::<Totals>();
    let count =
        |name, help, value: &AtomicU64| Reading::counter(name, help, value.load(Ordering::Relaxed));
    vec![
        count("conversations_total", "Conversations that were measured.", &totals.calls),
        count("conversation_far_milliseconds_total", "Speech of far ends in them.", &totals.far),
        count("conversation_near_milliseconds_total", "Speech they heard.", &totals.near),
        count("conversation_both_milliseconds_total", "Speech of both at once.", &totals.both),
        count("conversation_silence_milliseconds_total", "Silence of both.", &totals.silence),
        count("conversation_hold_milliseconds_total", "Time on hold.", &totals.hold),
        count("conversation_digits_total", "Keys of far ends.", &totals.digits),
        count("conversation_words_total", "Words in their transcripts.", &totals.words),
        count(
            "conversation_interruptions_total",
            "Turns that began while the other spoke.",
            &totals.interruptions,
        ),
        count("conversation_answers_total", "Answers far ends got.", &totals.answers),
        count(
            "conversation_answer_milliseconds_total",
            "Time from the end of what far ends said to the answers.",
            &totals.answer_ms,
        ),
    ]
}

#[derive(Default)]
struct State {
    conversation: Conversation,
    digits: u64,
    over: bool,
}

/// The measuring of a call.
#[derive(Default)]
struct Running(Option<Arc<Mutex<State>>>);

fn running(channel: &Channel) -> Option<Arc<Mutex<State>>> {
    channel.with(|data| data.find_slot::<Running>().and_then(|running| running.0.clone()))
}

/// Begins to measure; true when it goes on already, too.
fn begin(channel: &Arc<Channel>) -> bool {
    if running(channel).is_some() {
        return true;
    }
    let Some(audio) = CallAudio::new(channel, true) else { return false };
    let state = Arc::new(Mutex::new(State::default()));
    channel.with(|data| data.slot::<Running>().0 = Some(Arc::clone(&state)));
    let channel = Arc::clone(channel);
    tokio::spawn(async move {
        let _logged = switch_core::tasks::step("conversation", listen(channel, audio, state)).await;
    });
    true
}

async fn listen(channel: Arc<Channel>, mut audio: CallAudio, state: Arc<Mutex<State>>) {
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let every = channel.var("conversation_interval").map_or(0, |set| text::int(&set));
    let every = u64::try_from(every).unwrap_or(0);
    let every = (every > 0).then(|| Duration::from_secs(every.max(SHORTEST)));
    let mut next = every.map(|every| tokio::time::Instant::now() + every);
    loop {
        clock.tick().await;
        let (heard, rate) = audio.hear(&channel);
        {
            let mut state = state.lock();
            if state.over || !channel.is_up() {
                return;
            }
            if on_hold(&channel) {
                state.conversation.hold(heard.len(), rate);
            } else {
                state.conversation.hear(heard, rate);
            }
        }
        if next.is_some_and(|next| tokio::time::Instant::now() >= next) {
            next = every.map(|every| tokio::time::Instant::now() + every);
            let (figures, digits) = {
                let state = state.lock();
                (state.conversation.figures(), state.digits)
            };
            fire(&channel, &figures, digits, false);
        }
    }
}

/// Whether the far end holds the other party, or is held by it.
fn on_hold(channel: &Channel) -> bool {
    let holds =
        |one: &Channel| one.with(|data| data.holds.last().is_some_and(|(_, until)| *until == 0));
    holds(channel) || channel.partner().is_some_and(|other| holds(&other))
}

/// Ends it: variables, the event, the file of turns. False when there was none.
fn end(channel: &Arc<Channel>) -> bool {
    let ended = channel.with(|data| data.slot::<Running>().0.take());
    let Some(state) = ended else { return false };
    let (figures, digits, turns) = {
        let mut state = state.lock();
        state.over = true;
        state.conversation.finish();
        (state.conversation.figures(), state.digits, state.conversation.turns().to_vec())
    };
    for (name, value) in named(channel, &figures, digits) {
        channel.set_var(format!("conversation_{name}"), value.to_string());
    }
    add(channel, &figures, digits);
    fire(channel, &figures, digits, true);
    let file = channel.var("conversation_turns_file").filter(|file| !file.is_empty());
    if let Some(file) = file {
        let lines: Vec<Json> = turns
            .iter()
            .map(|turn| {
                let speaker = if turn.far { "far" } else { "near" };
                json!({"speaker": speaker, "from_ms": turn.from, "to_ms": turn.to, "interrupts": turn.interrupts})
            })
            .collect();
        write(PathBuf::from(file), lines);
    }
    true
}

/// Writing is no work for the runtime's threads.
fn write(file: PathBuf, lines: Vec<Json>) {
    tokio::task::spawn_blocking(move || {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if let Err(error) = std::fs::write(&file, text) {
            tracing::error!("{}: {error}", file.display());
        }
    });
}

fn add(channel: &Channel, figures: &Figures, digits: u64) {
    let totals = channel.switch().module::<Totals>();
    let add = |to: &AtomicU64, value: u64| to.fetch_add(value, Ordering::Relaxed);
    add(&totals.calls, 1);
    add(&totals.far, figures.far);
    add(&totals.near, figures.near);
    add(&totals.both, figures.both);
    add(&totals.silence, figures.silence);
    add(&totals.hold, figures.hold);
    add(&totals.digits, digits);
    let words = ["read", "write"].map(|side| words(channel, side).unwrap_or(0));
    add(&totals.words, words.iter().sum::<u64>());
    add(&totals.interruptions, figures.far_interrupts + figures.near_interrupts);
    add(&totals.answers, figures.answers.1);
    add(&totals.answer_ms, figures.answers.0);
}

/// The figures by the names variables and events have.
fn named(channel: &Channel, figures: &Figures, digits: u64) -> Vec<(&'static str, u64)> {
    let mut named = vec![
        ("far_ms", figures.far),
        ("near_ms", figures.near),
        ("both_ms", figures.both),
        ("silence_ms", figures.silence),
        ("hold_ms", figures.hold),
        ("far_turns", figures.far_turns),
        ("near_turns", figures.near_turns),
        ("far_interruptions", figures.far_interrupts),
        ("near_interruptions", figures.near_interrupts),
        ("digits", digits),
    ];
    if let Some(mean) = figures.answer() {
        named.push(("answer_ms", mean));
        named.push(("answer_max_ms", figures.answers.2));
    }
    let rates = [
        ("words_per_minute", "read", figures.far),
        ("near_words_per_minute", "write", figures.near),
    ];
    for (name, side, spoke) in rates {
        if let Some(words) = words(channel, side)
            && spoke >= 1000
        {
            named.push((name, words * 60_000 / spoke));
        }
    }
    named
}

/// Words of a side, `read` or `write`, in the call's transcript; `None` without any.
fn words(channel: &Channel, side: &str) -> Option<u64> {
    let transcript = channel.var("transcript").filter(|text| !text.is_empty())?;
    let mark = format!(" {side}: ");
    let lines = transcript.lines().filter_map(|line| line.split_once(&mark));
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return None;
    }
    Some(lines.iter().map(|(_, said)| said.split_whitespace().count() as u64).sum())
}

fn fire(channel: &Channel, figures: &Figures, digits: u64, last: bool) {
    let named = named(channel, figures, digits);
    channel.fire_custom(
        "switch::conversation",
        |event| {
            event.push("Conversation-Final", if last { "true" } else { "false" });
            event.push("Conversation-Milliseconds", figures.total.to_string());
            for (name, value) in &named {
                event.push(format!("Conversation-{name}"), value.to_string());
            }
        },
        |_| {},
    );
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    match argument.trim() {
        "stop" => {
            end(&channel);
        }
        _ if !begin(&channel) => {
            tracing::error!(uuid = %channel.uuid(), "conversation: the call has no media");
        }
        _ => {}
    }
    Ok(())
}

fn command(call: &ApiCall) -> String {
    let words: Vec<&str> = call.args.split_whitespace().collect();
    let Some(uuid) = words.first() else { return usage(SYNTAX) };
    let Some(channel) = call.switch.channel(uuid) else {
        return "-ERR No such channel!\n".to_owned();
    };
    let done = |done: bool| if done { "+OK\n" } else { "-ERR Operation Failed\n" }.to_owned();
    match words.get(1).copied() {
        Some("start") => done(begin(&channel)),
        Some("stop") => done(end(&channel)),
        Some(_) => usage(SYNTAX),
        None => match running(&channel) {
            Some(state) => {
                let (figures, digits) = {
                    let state = state.lock();
                    (state.conversation.figures(), state.digits)
                };
                let named = named(&channel, &figures, digits);
                let all = named.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                format!("{}\n", Json::Object(all.collect()))
            }
            None => "-ERR the conversation is not measured\n".to_owned(),
        },
    }
}

/// What happens to calls.
pub(crate) struct Observer;

impl CallObserver for Observer {
    fn answered(&self, channel: &Channel) {
        if channel.is_true("conversation_analytics")
            && let Some(channel) = channel.switch().channel(channel.uuid())
        {
            begin(&channel);
        }
    }

    fn digit(&self, channel: &Arc<Channel>, _digit: Digit) -> bool {
        if let Some(state) = running(channel) {
            state.lock().digits += 1;
        }
        true
    }

    fn hung_up<'a>(&'a self, call: &'a mut Session) -> BoxFuture<'a, ()> {
        end(call.channel());
        Box::pin(std::future::ready(()))
    }
}
