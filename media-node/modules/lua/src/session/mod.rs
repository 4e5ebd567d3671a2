//! `Session`: a call as scripts see it.

mod control;
mod digits;
mod hook;
mod legs;
mod media;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mlua::{AnyUserData, Lua, UserData, UserDataFields, UserDataMethods, Value};
use scripting::input::{Input, Tap};
use scripting::line::Line;
use scripting::playing;

use crate::BoxFuture;
use crate::call::{Cause, Channel, Session};
use crate::context::Context;
pub(crate) use legs::{bridge, create};

/// A function a script names, and the global that goes with it.
#[derive(Clone)]
struct Named {
    function: String,
    argument: Option<String>,
}

/// The object behind `session`.
pub(crate) struct Call {
    context: Rc<Context>,
    line: RefCell<Option<Rc<Line>>>,
    /// Hung up when the script lets go of it (`setAutoHangup`).
    hangs_up: Cell<bool>,
    /// What the last `originate` came to.
    cause: Cell<Cause>,
    tts: RefCell<(String, String)>,
    callback: RefCell<Option<Named>>,
    hook: RefCell<Option<hook::Hook>>,
    private: RefCell<HashMap<String, Value>>,
}

/// Makes the call an application or command runs for the global `session`.
pub(crate) fn conjure(
    lua: &Lua,
    context: &Rc<Context>,
    channel: &Arc<Channel>,
) -> mlua::Result<()> {
    let call = Call::new(context);
    call.take(channel, false);
    let object = call.publish(lua)?;
    lua.globals().set("session", object)
}

impl Call {
    /// One without a call.
    pub(crate) fn new(context: &Rc<Context>) -> Self {
        Self {
            context: Rc::clone(context),
            line: RefCell::default(),
            hangs_up: Cell::new(false),
            cause: Cell::new(Cause::NONE),
            tts: RefCell::default(),
            callback: RefCell::default(),
            hook: RefCell::default(),
            private: RefCell::default(),
        }
    }

    /// Gives it a call.
    fn take(&self, channel: &Arc<Channel>, hangs_up: bool) {
        self.hangs_up.set(hangs_up);
        *self.line.borrow_mut() = Some(Rc::new(self.context.line(channel)));
    }

    /// As an object of the script, known by the call's UUID too: callbacks are given that.
    pub(crate) fn publish(self, lua: &Lua) -> mlua::Result<AnyUserData> {
        let uuid = self.channel().map(|channel| channel.uuid().to_string());
        let object = lua.create_userdata(self)?;
        if let Some(uuid) = uuid {
            lua.globals().raw_set(uuid, &object)?;
        }
        Ok(object)
    }

    /// The call, while the object has one.
    pub(crate) fn channel(&self) -> Option<Arc<Channel>> {
        self.line.borrow().as_ref().map(|line| Arc::clone(&line.channel))
    }

    /// The call; a script that uses an object without one is told in the log.
    fn sane(&self) -> Option<Arc<Channel>> {
        let channel = self.channel();
        if channel.is_none() {
            tracing::error!("session is not initalized");
        }
        channel
    }

    /// Has the call's task do something for another object of the script.
    pub(crate) fn in_task(
        &self,
        lua: &Lua,
        what: &'static str,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, ()> + Send + 'static,
    ) -> mlua::Result<()> {
        if self.sane().is_some() {
            self.run(lua, what, work)?;
        }
        Ok(())
    }

    /// Has the call's task do something; the hangup hook runs when its time comes.
    fn run<T: Send + 'static>(
        &self,
        lua: &Lua,
        what: &'static str,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
    ) -> mlua::Result<Option<T>> {
        self.run_with(lua, what, false, work)
    }

    /// The same, with keys for the script's function meanwhile (`setInputCallback`).
    fn run_heard<T: Send + 'static>(
        &self,
        lua: &Lua,
        what: &'static str,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
    ) -> mlua::Result<Option<T>> {
        self.run_with(lua, what, true, work)
    }

    fn run_with<T: Send + 'static>(
        &self,
        lua: &Lua,
        what: &'static str,
        heard: bool,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
    ) -> mlua::Result<Option<T>> {
        let Some(line) = self.line.borrow().clone() else { return Ok(None) };
        self.run_hook(lua)?;
        let listens = heard && self.callback.borrow().is_some();
        let tap = listens.then(|| self.context.at_once(|| Tap::open(&line.channel)));
        let value = line.call(
            &self.context,
            what,
            tap,
            |input| self.on_input(lua, &line.channel, input),
            work,
        );
        let value = value.map_err(|failed| self.context.failed(failed))?;
        self.run_hook(lua)?;
        Ok(value)
    }

    /// Tells the script's function of a key or an event, and does to what plays as it says.
    fn on_input(&self, lua: &Lua, channel: &Arc<Channel>, input: Input) -> mlua::Result<()> {
        let Some(named) = self.callback.borrow().clone() else { return Ok(()) };
        let globals = lua.globals();
        let (kind, object) = match input {
            Input::Digit(digit) => {
                let table = lua.create_table()?;
                table.set("digit", digit.digit.to_string())?;
                table.set("duration", f64::from(digit.duration))?;
                ("dtmf", Value::Table(table))
            }
            Input::Event(event) => {
                let event = crate::event::EventObject::given(&self.context, *event);
                ("event", Value::UserData(lua.create_userdata(event)?))
            }
        };
        let own: Value = globals.get(&**channel.uuid())?;
        let argument: Value = match &named.argument {
            Some(name) => globals.get(name.as_str())?,
            None => Value::Nil,
        };
        let function: Value = globals.get(named.function.as_str())?;
        let said = match function {
            Value::Function(function) => function.call::<Value>((own, kind, object, argument)),
            other => Err(mlua::Error::RuntimeError(format!(
                "attempt to call a {} value (global '{}')",
                other.type_name(),
                named.function
            ))),
        };
        let said = match said {
            Ok(Value::String(said)) => said.to_string_lossy(),
            Ok(_) => String::new(),
            Err(_) if self.context.script.is_killed() => {
                return Err(self.context.end(self.context.ended()));
            }
            Err(error) => {
                crate::language::log_failed(&crate::engine::text_of(&error), Some(channel.uuid()));
                "SCRIPT_ERROR".to_owned()
            }
        };
        self.context.at_once(|| playing::steer(channel, &said));
        Ok(())
    }

    /// Lets go of the call; hangs it up where the script made it and has not said otherwise.
    fn destroy(&self) {
        let Some(line) = self.line.borrow_mut().take() else { return };
        let channel = &line.channel;
        let transferred = channel.flags.transferred.load(Ordering::Relaxed);
        self.callback.borrow_mut().take();
        self.hook.borrow_mut().take();
        if self.hangs_up.get() && channel.is_up() && !transferred {
            self.context.at_once(|| channel.hangup(Cause::NORMAL_CLEARING));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.destroy();
    }
}

impl UserData for Call {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("uuid", |_, this| {
            Ok(this.channel().map(|c| c.uuid().to_string()))
        });
        fields.add_field_method_get("cause", |_, this| Ok(f64::from(this.cause.get().number())));
        fields.add_field_method_get("tts_name", |_, this| Ok(this.tts.borrow().0.clone()));
        fields.add_field_method_get("voice_name", |_, this| Ok(this.tts.borrow().1.clone()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        control::add(methods);
        digits::add(methods);
        media::add(methods);
        legs::add(methods);
        hook::add(methods);
    }
}
