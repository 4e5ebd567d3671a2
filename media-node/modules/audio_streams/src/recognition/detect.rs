//! The recognition of a call: one at a time, in a task of its own between the engine, the application that waits and the events.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use switch_core::call::{Channel, Interrupt, Session};
use switch_core::text;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use voice::capture::Mix;
use voice::speech::{Speech, Words};

use super::engine::{self, Listening, RunningRecognition};
use super::grammar::{Grammar, GrammarError};
use super::settings::{EngineConf, Engines};
use super::turn::{Outcome, Rules, Turn};
use super::{result, transcript};
use crate::registry::{self, Control, Family, Handle, Stage};
use crate::session::Told;

/// The name of a call's recognition among its streams.
const NAME: &str = "detect_speech";
/// Requests that may wait for it.
const ORDERS: usize = 64;
/// Variables that are parameters of each recognition.
const PARAMETER: &str = "asr_json_param_";
/// How long silence is waited for by an application that needs a result.
const NO_INPUT: Duration = Duration::from_millis(5000);

/// What may be asked of it.
#[derive(Debug)]
enum Order {
    Pause,
    Resume,
    StartTimers,
    Rules(Rules),
    Grammar(String),
}

/// What has been heard, for an application that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Beginnings of speech, and results, so far.
    pub(super) begins: u64,
    pub(super) results: u64,
    /// The last result.
    pub(super) last: String,
    pub(super) closed: bool,
}

/// A call's recognition, as applications see it.
#[derive(Clone)]
pub(super) struct Detection {
    conf: Arc<EngineConf>,
    handle: Arc<Handle>,
    orders: mpsc::Sender<Order>,
    pub(super) heard: watch::Receiver<Heard>,
    parameters: Vec<(String, String)>,
    grammar: String,
    phrases: Vec<String>,
}

/// The slot of a channel.
#[derive(Default)]
struct Current(Option<Detection>);

/// Why there is no recognition.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetectError {
    #[error("Invalid ASR module [{0}]!")]
    Engine(String),
    #[error(transparent)]
    Start(#[from] crate::start::StartError),
    #[error("{0} does not answer")]
    Unreachable(String),
    #[error("Error loading Grammar: {0}")]
    Grammar(#[from] GrammarError),
    #[error("the call goes elsewhere")]
    Interrupted(Interrupt),
}

/// The recognition of a call, if there is one.
pub(super) fn current(channel: &Channel) -> Option<Detection> {
    channel.with(|data| data.find_slot::<Current>().and_then(|current| current.0.clone()))
}

fn keep(channel: &Channel, detection: Option<Detection>) {
    channel.with(|data| data.slot::<Current>().0 = detection);
}

/// Sees to it that there is a recognition by that engine, and waits until its server is there. One that is there stays,
/// whatever its engine.
pub(super) async fn open(
    session: &mut Session,
    engine: &str,
    grammar: Option<&Grammar>,
) -> Result<Detection, DetectError> {
    let channel = Arc::clone(session.channel());
    if let Some(current) = current(&channel) {
        return Ok(current);
    }
    // A word behind a colon is the engine's own: its language.
    let (name, language) = engine.split_once(':').unwrap_or((engine, ""));
    let conf = Engines::of(channel.switch()).named(name);
    let conf = conf.ok_or_else(|| DetectError::Engine(name.to_owned()))?;
    let mut parameters = conf.defaults.clone();
    parameters.extend(variables(&channel));
    parameters.extend(grammar.into_iter().flat_map(|grammar| grammar.parameters.clone()));
    let get = |key: &str| last(&parameters, key);
    let asked = get("language").or_else(|| get("lang")).or_else(|| get("speech-language"));
    let number = |key: &str| get(key).and_then(|set| u32::try_from(text::int(set)).ok());
    let listening = Listening {
        family: Family::Recognition,
        name: NAME.to_owned(),
        mix: Mix::Mono,
        language: if language.is_empty() { asked.unwrap_or_default() } else { language }.to_owned(),
        phrases: grammar.map(|grammar| grammar.phrases.clone()).unwrap_or_default(),
        interim: true,
        options: serde_json::Value::Null,
        threshold: number("vad-threshold").or_else(|| number("vad-thresh")),
        end_ms: number("speech-complete-timeout").or_else(|| number("vad-silence-ms")),
    };
    let made = conf.engine();
    let by_voice = !made.tells_words_early();
    let phrases = listening.phrases.clone();
    let RunningRecognition { handle, told } = made.listen(&channel, listening)?;
    wait_until_open(session, &handle).await.inspect_err(|_| {
        registry::stop(&channel, Family::Recognition, NAME, None);
    })?;
    let (orders, asked) = mpsc::channel(ORDERS);
    let (heard, news) = watch::channel(Heard::default());
    let detection = Detection {
        conf: Arc::clone(&conf),
        handle: Arc::clone(&handle),
        orders,
        heard: news,
        parameters,
        grammar: grammar.map(|grammar| grammar.text.clone()).unwrap_or_default(),
        phrases,
    };
    let rules = detection.rules(by_voice, None);
    let listener = Listener {
        turn: Turn::new(rules, Instant::now()),
        grammar: detection.grammar.clone(),
        channel: Arc::clone(&channel),
        conf,
        handle,
        heard,
    };
    tokio::spawn(async move {
        let _logged = switch_core::tasks::step("speech", listener.run(told, asked)).await;
    });
    keep(&channel, Some(detection.clone()));
    Ok(detection)
}

async fn wait_until_open(session: &mut Session, handle: &Handle) -> Result<(), DetectError> {
    let until = Instant::now() + engine::patience(session.channel());
    let mut stage = handle.stage.subscribe();
    let failed = || DetectError::Unreachable(handle.target.clone());
    loop {
        match *stage.borrow_and_update() {
            Stage::Open => return Ok(()),
            Stage::Over(_) => return Err(failed()),
            Stage::Connecting => {}
        }
        if Instant::now() >= until {
            return Err(failed());
        }
        match session.wait_or(Some(until), stage.changed()).await {
            Ok(Either::Right(Err(_))) => return Err(failed()),
            Ok(_) => {}
            Err(interrupt) => return Err(DetectError::Interrupted(interrupt)),
        }
    }
}

/// Parameters in channel variables.
fn variables(channel: &Channel) -> Vec<(String, String)> {
    let vars = channel.vars();
    let of = |(name, value): (&str, _)| -> Option<(String, String)> {
        let name = name.to_ascii_lowercase();
        let value: String = value;
        Some((name.strip_prefix(PARAMETER)?.to_owned(), value))
    };
    vars.iter().filter_map(|(name, value)| of((name, value.text().into_owned()))).collect()
}

fn last<'a>(parameters: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = parameters.iter().rev().find(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

impl Detection {
    /// Takes a grammar: its parameters hold from now on. Phrases are the engine's from its connection.
    pub(super) fn load(&mut self, channel: &Channel, grammar: Grammar) {
        self.parameters.extend(variables(channel));
        self.parameters.extend(grammar.parameters);
        if grammar.phrases != self.phrases {
            tracing::warn!(
                uuid = %channel.uuid(),
                "detect_speech: phrases of another grammar take effect with the next recognition"
            );
        }
        self.grammar = grammar.text;
        let _busy = self.orders.try_send(Order::Grammar(self.grammar.clone()));
        self.tell_rules(channel, None);
    }

    /// One more parameter.
    pub(super) fn set(&mut self, channel: &Channel, name: &str, value: &str) {
        self.parameters.push((name.to_ascii_lowercase(), value.to_owned()));
        self.parameters.drain(..self.parameters.len().saturating_sub(256));
        self.tell_rules(channel, None);
    }

    /// An application that needs a result sees to it that there is one.
    pub(super) fn expect_result(&self, channel: &Channel) {
        self.tell_rules(channel, Some(NO_INPUT));
    }

    fn tell_rules(&self, channel: &Channel, needs: Option<Duration>) {
        let by_voice = !self.conf.engine().tells_words_early();
        let _busy = self.orders.try_send(Order::Rules(self.rules(by_voice, needs)));
        keep(channel, Some(self.clone()));
    }

    /// What the parameters say. `needs` = an application waits, which starts the time for silence itself unless told
    /// otherwise.
    fn rules(&self, by_voice: bool, needs: Option<Duration>) -> Rules {
        let get = |key: &str| last(&self.parameters, key);
        let yes = |key: &str, usual: bool| get(key).map_or(usual, text::is_true);
        let time = |keys: &[&str]| keys.iter().find_map(|key| get(key)).map(result::millis);
        let usual = Rules::default();
        Rules {
            no_input: time(&["no-input-timeout", "noinput-timeout"]).unwrap_or(needs),
            speech: time(&["speech-timeout", "recognition-timeout"]).unwrap_or(usual.speech),
            complete: time(&["speech-complete-timeout"]).flatten(),
            timers: yes("start-input-timers", needs.is_none()),
            by_voice: get("start-of-speech").map_or(by_voice, |set| set == "voice"),
            partials: yes("partial-results", false) || yes("partial", false),
            continuous: yes("auto-resume", true) && needs.is_none(),
        }
    }

    pub(super) fn pause(&self) {
        let _busy = self.orders.try_send(Order::Pause);
    }

    pub(super) fn resume(&self) {
        let _busy = self.orders.try_send(Order::Resume);
    }

    pub(super) fn start_timers(&self) {
        let _busy = self.orders.try_send(Order::StartTimers);
    }
}

/// Ends the recognition of a call. False when there is none.
pub(super) fn stop(channel: &Channel) -> bool {
    let was_there = current(channel).is_some();
    keep(channel, None);
    registry::stop(channel, Family::Recognition, NAME, None);
    was_there
}

/// The task between the engine, the application that waits and the events.
struct Listener {
    channel: Arc<Channel>,
    conf: Arc<EngineConf>,
    handle: Arc<Handle>,
    turn: Turn,
    grammar: String,
    heard: watch::Sender<Heard>,
}

impl Listener {
    async fn run(mut self, mut told: mpsc::Receiver<Told>, mut asked: mpsc::Receiver<Order>) {
        loop {
            let deadline = self.turn.deadline();
            let sleep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                news = told.recv() => match news {
                    Some(news) => self.on_news(news),
                    None => break,
                },
                Some(order) = asked.recv() => self.on_order(order),
                () = sleep => {
                    let outcome = self.turn.due(Instant::now());
                    outcome.into_iter().for_each(|outcome| self.outcome(outcome));
                }
            }
        }
        self.close();
    }

    /// The engine is gone.
    fn close(&self) {
        self.channel.with(|data| {
            let current = data.slot::<Current>();
            if current.0.as_ref().is_some_and(|own| Arc::ptr_eq(&own.handle, &self.handle)) {
                current.0 = None;
            }
        });
        self.heard.send_modify(|heard| heard.closed = true);
        result::fire(&self.channel, "closed", &[], "");
    }

    fn on_news(&mut self, news: Told) {
        let now = Instant::now();
        let outcomes = match news {
            Told::Speech(Speech::Partial(words)) => self.turn.partial(words, now),
            Told::Speech(Speech::Final(words)) => self.turn.result(words, now),
            Told::Speech(Speech::Error(why)) => {
                tracing::warn!(uuid = %self.channel.uuid(), "{}: {why}", self.conf.name);
                Vec::new()
            }
            Told::Voice(begins) => self.turn.voice(begins, now),
            Told::Event(..) => Vec::new(),
        };
        outcomes.into_iter().for_each(|outcome| self.outcome(outcome));
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Pause => {
                self.turn.pause();
                self.handle.ask(Control::Pause { silence: false });
            }
            Order::Resume => {
                self.turn.resume(Instant::now());
                self.handle.ask(Control::Resume);
            }
            Order::StartTimers => self.turn.start_timers(Instant::now()),
            Order::Rules(rules) => self.turn.follow(rules),
            Order::Grammar(grammar) => self.grammar = grammar,
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Begins => {
                tracing::info!(uuid = %self.channel.uuid(), "({}) START OF SPEECH", self.channel.name());
                self.heard.send_modify(|heard| heard.begins += 1);
                result::fire(&self.channel, "begin-speaking", &[], "");
            }
            Outcome::Partial(words) => {
                let body = self.conf.result.write(&words, &self.grammar);
                result::fire(&self.channel, "detected-partial-speech", &confidence(&words), &body);
            }
            Outcome::Final(words) => self.final_words(&words),
            Outcome::NoInput => {
                let body = self.conf.result.no_input(&self.grammar);
                let headers = [("ASR-Completion-Cause", "002 no-input-timeout".to_owned())];
                self.done(&headers, body);
            }
            Outcome::Flush => {
                self.handle.ask(Control::Tune("flush", String::new()));
            }
        }
    }

    fn final_words(&mut self, words: &Words) {
        tracing::info!(uuid = %self.channel.uuid(), "({}) DETECTED SPEECH", self.channel.name());
        if self.channel.is_true("asr_intercept_dtmf") {
            result::press(&self.channel, &words.text);
        }
        if !words.text.is_empty() {
            transcript::note(&self.channel, words, 0, &self.conf.name);
        }
        let body = self.conf.result.write(words, &self.grammar);
        let mut headers = vec![(
            "ASR-Completion-Cause",
            if words.text.is_empty() { "001 no-match" } else { "000 success" }.to_owned(),
        )];
        headers.extend(confidence(words));
        self.done(&headers, body);
    }

    fn done(&mut self, headers: &[(&'static str, String)], body: String) {
        result::fire(&self.channel, "detected-speech", headers, &body);
        self.heard.send_modify(|heard| {
            heard.results += 1;
            heard.last = body;
        });
        if !self.turn.is_active() {
            self.handle.ask(Control::Pause { silence: false });
        }
    }
}

fn confidence(words: &Words) -> Vec<(&'static str, String)> {
    let sure = words.confidence.map(|sure| ("ASR-Confidence", format!("{sure:.2}")));
    sure.into_iter().collect()
}
