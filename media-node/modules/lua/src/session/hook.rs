//! `setHangupHook` and `setInputCallback`: functions of the script that the call's course calls.

use mlua::{Lua, UserDataMethods, Value};
use scripting::legs;

use super::{Call, Named};
use crate::argument::Text;
use crate::call::State;

/// A hangup hook that has not run.
#[derive(Clone)]
pub(super) struct Hook {
    named: Named,
    /// The state it was set in.
    set_in: State,
}

impl Call {
    /// Runs the hangup hook once, when the call has ended or was sent elsewhere: on the script's own thread, before or
    /// after what may have waited.
    ///
    /// # Errors
    /// The script's end, where the function returned `exit` or `die`.
    pub(super) fn run_hook(&self, lua: &Lua) -> mlua::Result<()> {
        let Some(channel) = self.channel() else { return Ok(()) };
        let Some(hook) = self.hook.borrow().clone() else { return Ok(()) };
        let Some(status) = legs::moment(hook.set_in, channel.state()) else { return Ok(()) };
        self.hook.borrow_mut().take();
        let globals = lua.globals();
        let own: Value = globals.get(&**channel.uuid())?;
        let argument: Value = match &hook.named.argument {
            Some(name) => globals.get(name.as_str())?,
            None => Value::Nil,
        };
        let function: mlua::Result<mlua::Function> = globals.get(hook.named.function.as_str());
        let returned = function.and_then(|function| function.call::<Text>((own, status, argument)));
        if self.context.script.is_killed() {
            return Err(self.context.end(self.context.ended()));
        }
        let said = match returned {
            Ok(said) => said.0.unwrap_or_default(),
            Err(error) => {
                crate::language::log_failed(&crate::engine::text_of(&error), Some(channel.uuid()));
                String::new()
            }
        };
        channel.set_var_as_is("lua_hangup_hook_return_val", said.as_str());
        if said.eq_ignore_ascii_case("exit") || said.eq_ignore_ascii_case("die") {
            return Err(mlua::Error::RuntimeError(said));
        }
        Ok(())
    }
}

pub(super) fn add<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("setHangupHook", |_, this, (function, argument): (Text, Text)| {
        let Some(channel) = this.sane() else { return Ok(()) };
        let hook = function.0.map(|function| Hook {
            named: Named { function, argument: argument.0.filter(|name| !name.is_empty()) },
            set_in: channel.state(),
        });
        *this.hook.borrow_mut() = hook;
        Ok(())
    });
    // The second is the name of the first in the classes of the reference.
    for name in ["setInputCallback", "setDTMFCallback"] {
        methods.add_method(name, |_, this, (function, argument): (Text, Text)| {
            if this.sane().is_some() {
                let argument = argument.0.filter(|name| !name.is_empty());
                *this.callback.borrow_mut() =
                    function.0.map(|function| Named { function, argument });
            }
            Ok(())
        });
    }
    methods.add_method("unsetInputCallback", |_, this, ()| {
        this.sane();
        this.callback.borrow_mut().take();
        Ok(())
    });
}
