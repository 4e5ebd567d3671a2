//! What all objects of one script share: see [`scripting::context`]; here its errors become the interpreter's.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, WeakLua};
use scripting::context::Ended;
use scripting::line::Failed;
use scripting::scripts::Begin;
use tokio::sync::mpsc;

use crate::call::Channel;
use crate::call::command::Job;
use crate::engine;

/// One script's surroundings.
pub(crate) struct Context {
    shared: scripting::context::Context,
    lua: RefCell<Option<WeakLua>>,
}

impl Deref for Context {
    type Target = scripting::context::Context;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl Context {
    pub(crate) fn new(begin: Begin, own: Option<(Arc<Channel>, mpsc::Sender<Job>)>) -> Rc<Self> {
        let shared = scripting::context::Context::new(begin, own);
        Rc::new(Self { shared, lua: RefCell::default() })
    }

    /// Says whose surroundings they are.
    pub(crate) fn belongs_to(&self, lua: &Lua) {
        *self.lua.borrow_mut() = Some(lua.weak());
    }

    /// Waits on the script's thread. `what` is shown in the list of scripts.
    ///
    /// # Errors
    /// The error that ends a script which has to end; what it waited for is dropped.
    pub(crate) fn wait<T>(
        &self,
        what: &'static str,
        future: impl Future<Output = T>,
    ) -> mlua::Result<T> {
        self.shared.wait(what, future).map_err(|ended| self.end(ended))
    }

    /// The error that ends the script, for good.
    pub(crate) fn end(&self, ended: Ended) -> mlua::Error {
        if let Some(lua) = self.lua.borrow().as_ref().and_then(WeakLua::try_upgrade) {
            // A script that cannot be told so is told at its next look at its limits.
            let _late = engine::end_for_good(&lua, &self.script);
        }
        mlua::Error::RuntimeError(ended.0)
    }

    /// Why a call's task gave no answer.
    pub(crate) fn failed(&self, failed: Failed<mlua::Error>) -> mlua::Error {
        match failed {
            Failed::Ended(ended) => self.end(ended),
            Failed::Heard(error) => error,
        }
    }

    /// Runs a command of the switch; what far ends said is one value of its arguments.
    pub(crate) fn run_api(
        &self,
        command: &str,
        arguments: &str,
        channel: Option<Arc<Channel>>,
    ) -> mlua::Result<String> {
        self.shared.run_api(command, arguments, channel).map_err(|ended| self.end(ended))
    }

    /// Runs a command without telling of it.
    pub(crate) fn run_quietly(
        &self,
        command: &str,
        arguments: &str,
    ) -> mlua::Result<Option<String>> {
        self.shared.run_quietly(command, arguments).map_err(|ended| self.end(ended))
    }
}
