//! From a script's thread to a call's task: requests that run with the session, and their answers.
//!
//! The script that a call's application runs has a line of its own into it, which is served to the script's end, after a
//! hangup too: a call is not over before its script is. A request made while another of the same script is under way (by
//! a function that the script has for keys) is queued like any other job and runs nested inside that one, where the
//! session waits. Calls that other tasks run are asked that way always.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::BoxFuture;
use crate::call::command::Job;
use crate::call::{Channel, Session};
use crate::context::{Context, Ended};
use crate::input::{Input, Tap};
use crate::turn::Turn;

/// A call's task comes to its queue within this, unless it waits for the script.
const PATIENCE: Duration = Duration::from_secs(5);

/// What has become of a request.
const WAITS: u8 = 0;
const RUNS: u8 = 1;
const GIVEN_UP: u8 = 2;
const DONE: u8 = 3;

/// The way to one call's task.
pub struct Line {
    pub channel: Arc<Channel>,
    own: Option<mpsc::Sender<Job>>,
    /// Requests under way.
    busy: Rc<Cell<usize>>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Failed<E> {
    /// The script has to end.
    Ended(Ended),
    /// What was told of input said so.
    Heard(E),
}

impl<E> From<Ended> for Failed<E> {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// What a request waits for next.
enum Next<T> {
    Done(Option<T>),
    Input(Input),
}

impl Line {
    pub fn new(
        channel: Arc<Channel>,
        own: Option<mpsc::Sender<Job>>,
        busy: Rc<Cell<usize>>,
    ) -> Self {
        Self { channel, own, busy }
    }

    /// Has `work` run by the call's task. `None` when it was not run: the call is over, or has gone elsewhere.
    /// Input that comes to the tap meanwhile is given to `heard`, on this thread.
    ///
    /// # Errors
    /// That of a script which has to end, or of `heard`.
    pub fn call<T: Send + 'static, E>(
        &self,
        context: &Context,
        what: &'static str,
        mut tap: Option<Tap>,
        mut heard: impl FnMut(Input) -> Result<(), E>,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
    ) -> Result<Option<T>, Failed<E>> {
        let (tell, mut answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(WAITS));
        let request = Request { state: Arc::clone(&state), channel: Arc::clone(&self.channel) };
        let begun = Arc::clone(&state);
        let job: Job = Box::new(move |session| {
            Box::pin(async move {
                if begun.swap(RUNS, Ordering::AcqRel) == WAITS {
                    // A break was for what ran when it was asked for.
                    session.channel().flags.broken.store(false, Ordering::Relaxed);
                    let value = work(session).await;
                    begun.store(DONE, Ordering::Release);
                    // A script that was ended does not wait for it.
                    let _unheard = tell.send((value, Turn::begin()));
                }
            })
        });
        let nested = self.busy.get() > 0;
        let _busy = Busy::begin(&self.busy);
        let by_line = self.own.as_ref().filter(|_| !nested);
        let sent = match by_line {
            Some(line) => context.wait(what, line.send(job))?.is_ok(),
            None => self.channel.job(job).is_ok(),
        };
        if !sent {
            return Ok(None);
        }
        loop {
            let next = context.wait(what, async {
                tokio::select! {
                    biased;
                    // Keys that came before the end are told before it.
                    input = next_input(&mut tap) => Next::Input(input),
                    value = &mut answer => Next::Done(value.ok().map(|(value, turn)| {
                        context.take_turn(turn);
                        value
                    })),
                    () = request.is_void(), if by_line.is_none() => Next::Done(None),
                }
            })?;
            match next {
                Next::Done(value) => return Ok(value),
                Next::Input(input) => heard(input).map_err(Failed::Heard)?,
            }
        }
    }
}

async fn next_input(tap: &mut Option<Tap>) -> Input {
    match tap {
        Some(tap) => tap.next().await,
        None => std::future::pending().await,
    }
}

/// Counts a request under way.
struct Busy(Rc<Cell<usize>>);

impl Busy {
    fn begin(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A request that was sent. One that is left alone (its script was ended) is not begun any more; what it plays or
/// records is broken off.
struct Request {
    state: Arc<AtomicU8>,
    channel: Arc<Channel>,
}

impl Request {
    /// Resolves when it will not be run: the call's task leaves what it does, or does not come to it, because it waits
    /// for the script itself (`${lua(…)}`).
    async fn is_void(&self) {
        let mut watch = self.channel.watch();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let late = Instant::now() >= deadline;
            let leaves = late || self.channel.with(|data| data.state != data.running);
            let given_up = leaves
                && self
                    .state
                    .compare_exchange(WAITS, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok();
            if given_up && late {
                tracing::error!(
                    uuid = %self.channel.uuid(), "A script's request is not run: the call's task does not come to it"
                );
            }
            if given_up {
                return;
            }
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(deadline), if !late => {}
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.state.swap(GIVEN_UP, Ordering::AcqRel) == RUNS {
            self.channel.break_media();
        }
    }
}
