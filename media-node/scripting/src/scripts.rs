//! The scripts that run: starting them, each on a thread of its own, listing and ending them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use esl_server::event::Event;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::call::Channel;
use crate::call::command::Job;
use crate::database::Handles;
use crate::program::{Program, Refused};
use crate::settings::Settings;
use crate::switch::Switch;
use crate::turn::Turn;
use crate::{Language, Names, foreign};

/// A script that computes so long is named in the log.
const BUSY_NOTICE: Duration = Duration::from_secs(10);

/// A script that was told to end, and has not after so long, is in a call that cannot be cut short.
const GRACE: Duration = Duration::from_secs(5);

/// What a switch keeps of its scripts.
pub struct Scripts<L> {
    pub settings: ArcSwap<Settings>,
    /// Database connections that no script uses now.
    pub handles: Arc<Handles>,
    last: AtomicU64,
    running: Mutex<BTreeMap<u64, Arc<Script>>>,
    language: PhantomData<fn() -> L>,
}

impl<L: Language> Default for Scripts<L> {
    fn default() -> Self {
        Self {
            settings: ArcSwap::from_pointee(Settings::new(&L::NAMES)),
            handles: Arc::default(),
            last: AtomicU64::default(),
            running: Mutex::default(),
            language: PhantomData,
        }
    }
}

/// Most an answer may grow to, in octets.
pub const MAX_OUTPUT: usize = 64 << 20;

/// What a script has written so far; shared with the task that waits for the answer.
pub type Output = Arc<Mutex<Vec<u8>>>;

/// The answer would grow beyond [`MAX_OUTPUT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream: the answer is too long")]
pub struct TooLong;

/// Adds to an answer.
///
/// # Errors
/// When it would grow too long; nothing is added.
pub fn write(output: &Output, bytes: &[u8]) -> Result<(), TooLong> {
    let mut output = output.lock();
    if output.len().saturating_add(bytes.len()) > MAX_OUTPUT {
        return Err(TooLong);
    }
    output.extend_from_slice(bytes);
    Ok(())
}

/// A script that runs.
pub struct Script {
    pub id: u64,
    title: String,
    started: Instant,
    /// The call it belongs to.
    uuid: Option<Arc<str>>,
    settings: Arc<Settings>,
    /// Why it has to end.
    killed: watch::Sender<Option<String>>,
    state: Mutex<State>,
    told_busy: AtomicBool,
    instructions: AtomicU64,
    /// Held while it computes.
    pub turn: Mutex<Option<Turn>>,
}

/// What it does, and since when.
#[derive(Clone, Copy)]
struct State {
    waits_for: Option<&'static str>,
    since: Instant,
}

/// What a script is given.
pub struct Task {
    pub program: Program,
    /// The call, and where its task takes requests if the script runs inside it.
    pub call: Option<(Arc<Channel>, Option<mpsc::Sender<Job>>)>,
    /// Where its answer goes.
    pub output: Option<Output>,
    /// Events as globals: `env`, `params`, `event`, `message`.
    pub events: Vec<(&'static str, Event)>,
    /// `XML_REQUEST`: section, tag_name, key_name, key_value.
    pub request: Option<[String; 4]>,
}

impl Task {
    /// A program alone.
    pub fn new(program: Program) -> Self {
        Self { program, call: None, output: None, events: Vec::new(), request: None }
    }
}

/// What a script has left behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// It ended by an error.
    pub failed: bool,
    /// The global `XML_STRING`.
    pub xml: Option<String>,
    /// The global `ACTIONS`: applications and arguments.
    pub actions: Option<Vec<(String, String)>>,
}

/// A script that was started, and its end.
pub struct Started {
    pub script: Arc<Script>,
    pub ended: oneshot::Receiver<Outcome>,
}

impl Started {
    /// Waits for the end. A thread that died by a bug failed.
    ///
    /// One that was told to end and is in a call of its language's library that cannot be cut short is not waited for.
    pub async fn outcome(self) -> Outcome {
        let failed = Outcome { failed: true, ..Outcome::default() };
        tokio::select! {
            biased;
            outcome = self.ended => outcome.unwrap_or(failed),
            () = self.script.lost() => failed,
        }
    }
}

impl<L: Language> Scripts<L> {
    /// Starts a script on a thread of its own.
    ///
    /// # Errors
    /// When too many run, or the system gives no thread.
    pub fn start(switch: &Arc<Switch>, task: Task) -> Result<Started, Refused> {
        let scripts = switch.module::<Self>();
        let script = scripts.enter(&task)?;
        let (tell, ended) = oneshot::channel();
        let ended_turn = Arc::clone(&script);
        let entry = Entry { scripts: Arc::clone(&scripts), id: script.id };
        let begin = Begin {
            switch: Arc::clone(switch),
            script: Arc::clone(&script),
            handle: Handle::current(),
            who: foreign::who(),
        };
        let thread = std::thread::Builder::new().name(format!("{}-{}", L::NAMES.thread, script.id));
        let thread = thread.stack_size(L::NAMES.stack);
        let run = move || {
            let outcome = L::run(begin, task);
            // Who is told that it has ended finds it in the list no more.
            drop(entry);
            // No one reads the reply of a script in the background.
            let _unheard = tell.send(outcome);
            ended_turn.turn.lock().take();
        };
        match thread.spawn(run) {
            Ok(_detached) => Ok(Started { script, ended }),
            Err(error) => {
                tracing::error!("A script's thread: {error}");
                Err(Refused::NoThread)
            }
        }
    }

    fn enter(&self, task: &Task) -> Result<Arc<Script>, Refused> {
        let settings = self.settings.load_full();
        let mut running = self.running.lock();
        if running.len() >= settings.max_scripts {
            return Err(Refused::TooMany { running: running.len(), conf: L::NAMES.conf });
        }
        let now = Instant::now();
        let script = Arc::new(Script {
            id: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            title: task.program.title(),
            started: now,
            uuid: task.call.as_ref().map(|(channel, _)| Arc::clone(channel.uuid())),
            settings,
            killed: watch::Sender::new(None),
            state: Mutex::new(State { waits_for: None, since: now }),
            told_busy: AtomicBool::new(false),
            instructions: AtomicU64::new(0),
            turn: Mutex::new(Some(Turn::begin())),
        });
        running.insert(script.id, Arc::clone(&script));
        Ok(script)
    }

    /// Ends a script. False if none has that number.
    pub fn kill(&self, id: u64, why: &str) -> bool {
        let script = self.running.lock().get(&id).cloned();
        script.inspect(|script| script.kill(why)).is_some()
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.lock().len()
    }

    /// Scripts that run, in the order they were started.
    pub fn all(&self) -> Vec<Arc<Script>> {
        self.running.lock().values().cloned().collect()
    }

    /// A line for each script that runs.
    pub fn list(&self) -> String {
        let running = self.all();
        let mut text = String::from("id,seconds,state,state_seconds,uuid,script\n");
        for script in &running {
            let state = script.state.lock();
            let _ = writeln!(
                text,
                "{},{},{},{},{},{}",
                script.id,
                script.started.elapsed().as_secs(),
                state.waits_for.unwrap_or("computes"),
                state.since.elapsed().as_secs(),
                script.uuid.as_deref().unwrap_or_default(),
                script.title
            );
        }
        let _ = writeln!(text, "\n{} total.", running.len());
        text
    }
}

/// What a script's thread begins with.
pub struct Begin {
    pub switch: Arc<Switch>,
    pub script: Arc<Script>,
    pub handle: Handle,
    pub who: Option<IpAddr>,
}

/// A script's place in the list; left when its thread ends, however it ends.
struct Entry<L> {
    scripts: Arc<Scripts<L>>,
    id: u64,
}

impl<L> Drop for Entry<L> {
    fn drop(&mut self) {
        self.scripts.running.lock().remove(&self.id);
    }
}

impl Script {
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    /// The program, as lists show it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How long it has run.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells it to end; only the first reason counts.
    pub fn kill(&self, why: &str) {
        let mut turn = self.turn.lock();
        self.killed.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.to_owned());
            }
            first
        });
        // Until its thread has noticed, a test's time stands still.
        turn.get_or_insert_with(Turn::begin);
    }

    /// Its turn is over while it waits, unless it has to end.
    pub fn yield_turn(&self) {
        let mut turn = self.turn.lock();
        if !self.is_killed() {
            turn.take();
        }
    }

    pub fn is_killed(&self) -> bool {
        self.killed.borrow().is_some()
    }

    /// Resolves when it has been told to end and has not for [`GRACE`]: its thread is left alone. Tells it to end when it
    /// computes for longer than it may, which it does not notice itself within a call of its language's library.
    pub async fn lost(&self) {
        while !self.is_killed() {
            tokio::select! {
                () = self.to_end() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    let State { waits_for, since } = *self.state.lock();
                    let busy = waits_for.is_none().then(|| since.elapsed());
                    if self.settings.max_busy.is_some_and(|most| busy.is_some_and(|busy| busy >= most)) {
                        self.kill(&self.too_busy());
                    }
                }
            }
        }
        tokio::time::sleep(GRACE).await;
        tracing::error!(
            "Script {} ({}) does not end: its thread is left alone until it does",
            self.id,
            self.title
        );
    }

    /// Resolves when it has to end.
    pub async fn to_end(&self) {
        let mut watch = self.killed.subscribe();
        // The sender is part of the script itself.
        let _closed = watch.wait_for(Option::is_some).await;
    }

    /// What the error says that ends it.
    pub fn end(&self) -> String {
        let why = self.killed.borrow().clone().unwrap_or_default();
        format!("script {} ({}) is ended: {why}", self.id, self.title)
    }

    /// Names of its language's module.
    pub fn names(&self) -> &'static Names {
        self.settings.names
    }

    /// It waits for something now, or computes again.
    pub fn waits(&self, what: Option<&'static str>) {
        *self.state.lock() = State { waits_for: what, since: Instant::now() };
        if what.is_none() {
            self.told_busy.store(false, Ordering::Relaxed);
        }
    }

    /// Looks at its limits after so many instructions; `place` says where it is.
    pub fn step(&self, instructions: u64, place: impl FnOnce() -> String) {
        let ran = self.instructions.fetch_add(instructions, Ordering::Relaxed) + instructions;
        if self.settings.max_instructions > 0 && ran > self.settings.max_instructions {
            self.kill(&format!("it has run max-instructions of {}", self.settings.names.conf));
        }
        let busy = self.state.lock().since.elapsed();
        if busy >= BUSY_NOTICE && !self.told_busy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Script {} ({}) has computed for {} s without waiting for anything, at {}: {} {} ends it",
                self.id,
                self.title,
                busy.as_secs(),
                place(),
                self.settings.names.kill,
                self.id
            );
        }
        if self.settings.max_busy.is_some_and(|most| busy >= most) {
            self.kill(&self.too_busy());
        }
    }

    fn too_busy(&self) -> String {
        let conf = self.settings.names.conf;
        format!("it has computed max-busy-seconds of {conf} without waiting for anything")
    }
}
