//! What all objects of one script share: the switch, the call, and the way to wait.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::api::ApiCall;
use crate::app::Argument;
use crate::call::Channel;
use crate::call::command::Job;
use crate::foreign;
use crate::line::Line;
use crate::scripts::{Begin, Script};
use crate::switch::Switch;
use crate::taint::Taint;
use crate::turn::Turn;

/// The script has to end, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Ended(pub String);

/// The call whose task runs a script, and where that task takes its requests.
pub type Own = Option<(Arc<Channel>, mpsc::Sender<Job>)>;

/// One script's surroundings.
pub struct Context {
    pub switch: Arc<Switch>,
    pub script: Arc<Script>,
    handle: Handle,
    who: Option<IpAddr>,
    own: Own,
    /// Requests of the script to that call that are under way.
    own_busy: Rc<Cell<usize>>,
    pub taint: RefCell<Taint>,
}

/// What a script that asks a database waits for.
pub const DATABASE: &str = "a database";

impl Context {
    pub fn new(begin: Begin, own: Own) -> Self {
        let Begin { switch, script, handle, who } = begin;
        Self {
            switch,
            script,
            handle,
            who,
            own,
            own_busy: Rc::default(),
            taint: RefCell::default(),
        }
    }

    /// Waits on the script's thread. `what` is shown in the list of scripts.
    ///
    /// # Errors
    /// When the script has to end; what it waited for is dropped.
    pub fn wait<T>(&self, what: &'static str, future: impl Future<Output = T>) -> Result<T, Ended> {
        self.script.waits(Some(what));
        let who = self.who;
        let value = self.handle.block_on(foreign::scope(move || who, async {
            let mut future = std::pin::pin!(future);
            // What it asks for is under way before its turn is over.
            let first = std::future::poll_fn(|at| Poll::Ready(future.as_mut().poll(at))).await;
            match first {
                Poll::Ready(value) if !self.script.is_killed() => return Some(value),
                // A database answers from threads whose time is not the test's: its deadlines must not come first.
                _ if what == DATABASE => {}
                _ => self.script.yield_turn(),
            }
            tokio::select! {
                biased;
                () = self.script.to_end() => None,
                value = future => Some(value),
            }
        }));
        self.begin_turn();
        self.script.waits(None);
        value.ok_or_else(|| self.ended())
    }

    /// The error that ends the script.
    pub fn ended(&self) -> Ended {
        Ended(self.script.end())
    }

    fn begin_turn(&self) {
        let mut turn = self.script.turn.lock();
        if turn.is_none() {
            *turn = Some(self.at_once(Turn::begin));
        }
    }

    /// Its turn has begun, where what it waited for came about.
    pub fn take_turn(&self, turn: Turn) {
        *self.script.turn.lock() = Some(turn);
    }

    /// Runs something at once with the runtime and the client it is for at hand.
    pub fn at_once<T>(&self, what: impl FnOnce() -> T) -> T {
        let _entered = self.handle.enter();
        what()
    }

    /// The way to a call's task.
    pub fn line(&self, channel: &Arc<Channel>) -> Line {
        let own = self.own.as_ref().filter(|(own, _)| Arc::ptr_eq(own, channel));
        let busy = own.map_or_else(Rc::default, |_| Rc::clone(&self.own_busy));
        Line::new(Arc::clone(channel), own.map(|(_, jobs)| jobs.clone()), busy)
    }

    /// Runs a command of the switch; what far ends said is one value of its arguments.
    ///
    /// # Errors
    /// When the script has to end.
    pub fn run_api(
        &self,
        command: &str,
        arguments: &str,
        channel: Option<Arc<Channel>>,
    ) -> Result<String, Ended> {
        let argument = self.switch.api(command).map_or(Argument::TEXT, |api| api.argument);
        let marked = self.taint.borrow().mark_for(argument, arguments);
        let run = self.switch.run_api(command, &marked, channel);
        Ok(self.wait("a command", run)?.unwrap_or_else(|| "INVALID COMMAND!\n".to_owned()))
    }

    /// Runs a command without telling of it.
    ///
    /// # Errors
    /// When the script has to end.
    pub fn run_quietly(&self, command: &str, arguments: &str) -> Result<Option<String>, Ended> {
        let Some(api) = self.switch.api(command) else { return Ok(None) };
        let call = ApiCall::new(Arc::clone(&self.switch), command, arguments, None);
        self.wait("a command", api.run(call)).map(Some)
    }
}
