//! Who gets a caller's keys while an action of a server's answer goes on.
//!
//! The reference reads keys only where an action has bindings; elsewhere they stay in the queue for a later one. So they
//! are taken off the queue while an action plays or records, given to its bindings, and what is left over is put back.

use std::sync::Arc;

use parking_lot::Mutex;
use switch_core::call::{Channel, Digit, Interrupt, Session, Wake};
use switch_core::contract::CallObserver;
use tokio::time::Instant;

use crate::digits::{Machine, Outcome};

/// Keys held for later actions at most; further ones are lost, as where the queue is full.
const HELD: usize = 256;
/// How often it is looked whether a first key has come while something plays.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

struct State {
    machine: Option<Machine>,
    outcome: Option<Outcome>,
    held: Vec<Digit>,
    /// A play or recording is to be stopped once the outcome is known.
    stops: bool,
    stopped: bool,
    /// Any key ends what plays, and is used up by that.
    skips: bool,
}

/// What hears the keys of a channel.
pub(crate) struct Ear {
    channel: Arc<Channel>,
    state: Arc<Mutex<State>>,
    outer: Option<Arc<Mutex<State>>>,
}

#[derive(Default)]
struct Listening(Option<Arc<Mutex<State>>>);

impl Ear {
    /// Listens from now on; keys that wait already come first.
    pub(crate) fn open(channel: &Arc<Channel>, machine: Option<Machine>) -> Self {
        let state = State {
            machine,
            outcome: None,
            held: Vec::new(),
            stops: false,
            stopped: false,
            skips: false,
        };
        let state = Arc::new(Mutex::new(state));
        let (outer, waiting) = channel.with(|data| {
            let waiting: Vec<Digit> = data.digits.drain(..).collect();
            (data.slot::<Listening>().0.replace(Arc::clone(&state)), waiting)
        });
        for digit in waiting {
            hear(channel, &state, digit);
        }
        Self { channel: Arc::clone(channel), state, outer }
    }

    /// What the bindings made of the keys so far.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state.lock().outcome.clone()
    }

    /// Forgets an outcome that has been dealt with: the bindings wait anew.
    pub(crate) fn forget(&self) {
        self.state.lock().outcome = None;
    }

    /// From now on, or no longer, any key ends what plays.
    pub(crate) fn skips(&self, on: bool) {
        self.state.lock().skips = on;
    }

    /// From now on until [`Ear::ended`] an outcome stops what plays, and so does the time for the next key.
    pub(crate) fn stops_media(&self) -> Watch {
        let asks = {
            let mut state = self.state.lock();
            state.stops = true;
            state.machine.is_some()
        };
        let (channel, state) = (Arc::downgrade(&self.channel), Arc::downgrade(&self.state));
        Watch(asks.then(|| {
            switch_core::foreign::spawn(async move {
                loop {
                    let Some(held) = state.upgrade() else { return };
                    let until = held.lock().machine.as_ref().and_then(Machine::deadline);
                    drop(held);
                    let look = Instant::now() + LOOK;
                    tokio::time::sleep_until(until.unwrap_or(look)).await;
                    let (Some(channel), Some(state)) = (channel.upgrade(), state.upgrade()) else {
                        return;
                    };
                    expire(&channel, &state);
                }
            })
        }))
    }

    /// What played is over. A stop that came too late for it must not stop what follows.
    pub(crate) async fn ended(
        &self,
        session: &mut Session,
        was_broken: bool,
    ) -> Result<(), Interrupt> {
        let late = {
            let mut state = self.state.lock();
            state.stops = false;
            std::mem::take(&mut state.stopped) && !was_broken
        };
        if late {
            let _broken = session.wait(Some(Instant::now())).await?;
        }
        Ok(())
    }

    /// Waits for an outcome until then. False when it was broken off.
    pub(crate) async fn wait(
        &self,
        session: &mut Session,
        until: Instant,
    ) -> Result<bool, Interrupt> {
        let filling = self.channel.begin_filling_silence();
        let result = self.wait_quietly(session, until).await;
        self.channel.end_filling_silence(filling);
        result
    }

    async fn wait_quietly(&self, session: &mut Session, until: Instant) -> Result<bool, Interrupt> {
        loop {
            if self.outcome().is_some() {
                return Ok(true);
            }
            let key = self.state.lock().machine.as_ref().and_then(Machine::deadline);
            let next = key.map_or(until, |key| key.min(until));
            match session.wait(Some(next)).await? {
                Wake::Broken => return Ok(false),
                Wake::Timeout if next == until => return Ok(true),
                Wake::Timeout => {
                    expire(&self.channel, &self.state);
                }
                _ => {}
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let outer = self.outer.take();
        self.channel.with(|data| data.slot::<Listening>().0 = outer);
        for digit in self.state.lock().held.drain(..) {
            self.channel.queue_digit(digit);
        }
    }
}

/// A task that ends with this.
pub(crate) struct Watch(Option<tokio::task::JoinHandle<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The time for a further key may be over.
fn expire(channel: &Channel, state: &Mutex<State>) {
    let mut state = state.lock();
    if state.outcome.is_some() {
        return;
    }
    let Some(machine) = state.machine.as_mut() else { return };
    if machine.deadline().is_some_and(|until| until <= Instant::now()) {
        let outcome = machine.expire();
        settle(channel, &mut state, outcome);
    }
}

fn settle(channel: &Channel, state: &mut State, outcome: Option<Outcome>) {
    if outcome.is_some() {
        state.outcome = outcome;
        if state.stops {
            state.stopped = true;
            channel.interrupt(false);
        } else {
            // Taking a key does not wake the session by itself.
            channel.notify();
        }
    }
}

/// A key of the caller: for the bindings, or kept for later.
fn hear(channel: &Channel, state: &Mutex<State>, digit: Digit) {
    let mut state = state.lock();
    if state.skips {
        channel.use_digit(digit);
        state.stopped = true;
        channel.interrupt(false);
        return;
    }
    let open = state.outcome.is_none();
    let Some(machine) = state.machine.as_mut().filter(|_| open) else {
        if state.held.len() < HELD {
            state.held.push(digit);
        }
        return;
    };
    let outcome = machine.feed(digit.digit);
    channel.use_digit(digit);
    settle(channel, &mut state, outcome);
}

/// Takes keys off calls that a server leads.
pub(crate) fn uses(channel: &Arc<Channel>, digit: Digit) -> bool {
    let state = channel.with(|data| data.find_slot::<Listening>().and_then(|l| l.0.clone()));
    let heard = state.is_some();
    if let Some(state) = state {
        hear(channel, &state, digit);
    }
    heard
}

/// What the module sees of calls.
pub(crate) struct Observer;

impl CallObserver for Observer {
    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        !uses(channel, digit)
    }

    fn reported<'a>(&'a self, channel: &'a Arc<Channel>) -> switch_core::BoxFuture<'a, ()> {
        Box::pin(crate::client::say_goodbye(channel))
    }
}
