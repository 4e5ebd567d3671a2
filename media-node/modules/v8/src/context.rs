//! What all objects of one script share beside [`scripting::context`]: whether it is over, objects by their numbers, and how
//! much memory of ours its objects hold.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::{Rc, Weak};

use rquickjs::{Ctx, Error, Exception};
use scripting::context::Ended;
use scripting::line::Failed;
use scripting::scripts::{Begin, Output};

use crate::events::EventObject;
use crate::session::Call;

/// What an object of ours counts as, in octets, beside what it holds.
const OBJECT: usize = 1024;

/// One script's surroundings.
pub(crate) struct Context {
    shared: Rc<scripting::context::Context>,
    /// `exit` was called; the interpreter is told so at its next look.
    pub(crate) over: Rc<Cell<bool>>,
    /// What `exit` was given.
    pub(crate) exit_message: RefCell<Option<String>>,
    /// Where `request.write` goes.
    pub(crate) output: Option<Output>,
    /// Connections of the script that are open.
    pub(crate) sockets: Rc<Cell<usize>>,
    last: Cell<u32>,
    calls: RefCell<HashMap<u32, Weak<Call>>>,
    events: RefCell<HashMap<u32, Weak<EventObject>>>,
    held: Rc<Cell<usize>>,
    most: usize,
}

impl Deref for Context {
    type Target = scripting::context::Context;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl Context {
    pub(crate) fn new(
        begin: Begin,
        own: scripting::context::Own,
        output: Option<Output>,
        over: Rc<Cell<bool>>,
    ) -> Rc<Self> {
        let most = begin.script.settings().max_memory;
        Rc::new(Self {
            shared: Rc::new(scripting::context::Context::new(begin, own)),
            over,
            exit_message: RefCell::default(),
            output,
            sockets: Rc::default(),
            last: Cell::new(0),
            calls: RefCell::default(),
            events: RefCell::default(),
            held: Rc::default(),
            most: if most == 0 { usize::MAX } else { most },
        })
    }

    /// Does the script end, by `exit` or because it has to?
    pub(crate) fn is_over(&self) -> bool {
        self.over.get() || self.script.is_killed()
    }

    /// Waits on the script's thread. `what` is shown in the list of scripts.
    ///
    /// # Errors
    /// The error that ends a script which has to end; what it waited for is dropped.
    pub(crate) fn wait<'js, T>(
        &self,
        ctx: &Ctx<'js>,
        what: &'static str,
        future: impl Future<Output = T>,
    ) -> rquickjs::Result<T> {
        self.shared.wait(what, future).map_err(|ended| Self::end(ctx, &ended))
    }

    /// The error that ends the script. `guarded` of `classes.js` keeps the script from catching it.
    pub(crate) fn end(ctx: &Ctx<'_>, ended: &Ended) -> Error {
        Exception::throw_message(ctx, &ended.0)
    }

    /// Why a call's task gave no answer.
    pub(crate) fn failed(ctx: &Ctx<'_>, failed: Failed<Error>) -> Error {
        match failed {
            Failed::Ended(ended) => Self::end(ctx, &ended),
            Failed::Heard(error) => error,
        }
    }

    fn next(&self) -> u32 {
        self.last.set(self.last.get().wrapping_add(1));
        self.last.get()
    }

    /// Makes an object known by a number, by which others of the script name it.
    pub(crate) fn register_call(&self, call: &Rc<Call>) -> u32 {
        let id = self.next();
        let mut calls = self.calls.borrow_mut();
        calls.retain(|_, call| call.strong_count() > 0);
        calls.insert(id, Rc::downgrade(call));
        id
    }

    /// The same for events.
    pub(crate) fn register_event(&self, event: &Rc<EventObject>) -> u32 {
        let id = self.next();
        let mut events = self.events.borrow_mut();
        if id.is_multiple_of(64) {
            events.retain(|_, event| event.strong_count() > 0);
        }
        events.insert(id, Rc::downgrade(event));
        id
    }

    pub(crate) fn call(&self, id: u32) -> Option<Rc<Call>> {
        self.calls.borrow().get(&id).and_then(Weak::upgrade)
    }

    pub(crate) fn event(&self, id: u32) -> Option<Rc<EventObject>> {
        self.events.borrow().get(&id).and_then(Weak::upgrade)
    }

    /// Counts a new object of ours.
    ///
    /// # Errors
    /// When all of them would hold more than `max-memory-mb`.
    pub(crate) fn hold(&self, ctx: &Ctx<'_>) -> rquickjs::Result<Held> {
        let held = Held { all: Rc::clone(&self.held), most: self.most, own: Cell::new(0) };
        held.grow(ctx, OBJECT)?;
        Ok(held)
    }
}

/// Memory of ours that an object of a script holds: the interpreter does not count it.
pub(crate) struct Held {
    all: Rc<Cell<usize>>,
    most: usize,
    own: Cell<usize>,
}

impl Held {
    /// # Errors
    /// When all objects would hold more than `max-memory-mb`.
    pub(crate) fn grow(&self, ctx: &Ctx<'_>, octets: usize) -> rquickjs::Result<()> {
        let all = self.all.get().saturating_add(octets);
        if all > self.most {
            return Err(Exception::throw_range(ctx, "out of memory"));
        }
        self.all.set(all);
        self.own.set(self.own.get().saturating_add(octets));
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.own.get()));
    }
}
