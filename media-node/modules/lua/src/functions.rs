//! The global table `freeswitch`: constructors of objects, and functions that belong to none.

use std::rc::Rc;
use std::time::Duration;

use mlua::{Lua, Table, UserData, UserDataMethods, UserDataRef, Value};
use scripting::{email, logging};

use crate::argument::{Int, Text};
use crate::call::Channel;
use crate::consumer::Consumer;
use crate::context::Context;
use crate::dbh::Dbh;
use crate::event::EventObject;
use crate::json::Json;
use crate::menu::Menu;
use crate::session::{self, Call};
use crate::stream::Stream;

/// `freeswitch.API`.
struct Api {
    context: Rc<Context>,
    channel: Option<std::sync::Arc<Channel>>,
}

impl UserData for Api {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("execute", |_, this, (command, argument): (Text, Text)| {
            this.run(command.or_empty(), argument.or_empty())
        });
        methods.add_method("executeString", |_, this, line: Text| {
            let line = line.or_empty();
            let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
            this.run(command, argument)
        });
        methods.add_method("getTime", |_, _, ()| Ok((crate::clock::now_us() / 1000).to_string()));
    }
}

impl Api {
    fn run(&self, command: &str, argument: &str) -> mlua::Result<String> {
        if command.is_empty() {
            tracing::error!("No application specified");
            return Ok("-ERR No application specified".to_owned());
        }
        self.context.run_api(command, argument, self.channel.clone())
    }
}

/// `freeswitch.DTMF`: a digit with a duration.
struct Digit(String, f64);

/// The duration of a digit that has none.
const DIGIT_DURATION: i64 = 2000;

impl UserData for Digit {
    fn add_fields<F: mlua::UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("digit", |_, this| Ok(this.0.clone()));
        fields.add_field_method_get("duration", |_, this| Ok(this.1));
    }
}

/// To, from, headers, body, file, command that converts the file, its new extension.
type Mail = (Text, Text, Text, Text, Text, Text, Text);

/// Makes the table.
pub(crate) fn install(lua: &Lua, context: &Rc<Context>) -> mlua::Result<()> {
    let table = lua.create_table()?;
    add_objects(lua, &table, context)?;
    add_logging(lua, &table)?;
    add_functions(lua, &table, context)?;
    lua.globals().set("freeswitch", table)
}

fn add_objects(lua: &Lua, table: &Table, own: &Rc<Context>) -> mlua::Result<()> {
    let context = Rc::clone(own);
    let session = lua.create_function(move |lua, given| session::create(lua, &context, given))?;
    table.set("Session", session)?;
    let context = Rc::clone(own);
    let api = lua.create_function(move |_, session: Option<UserDataRef<Call>>| {
        let channel = session.and_then(|session| session.channel());
        Ok(Api { context: Rc::clone(&context), channel })
    })?;
    table.set("API", api)?;
    let context = Rc::clone(own);
    let event = lua.create_function(move |_, (kind, subclass): (Text, Text)| {
        Ok(EventObject::create(&context, kind.or_empty(), subclass.filled()))
    })?;
    table.set("Event", event)?;
    let context = Rc::clone(own);
    let consumer =
        lua.create_function(move |_, (event, subclass, length): (Text, Text, Int)| {
            Ok(Consumer::create(&context, &event, &subclass, length))
        })?;
    table.set("EventConsumer", consumer)?;
    let context = Rc::clone(own);
    let dbh = lua.create_function(move |_, (name, user, password): (Text, Text, Text)| {
        Dbh::open(&context, name.or_empty(), user.filled(), password.filled())
    })?;
    table.set("Dbh", dbh)?;
    let context = Rc::clone(own);
    let json = lua.create_function(move |_, ()| Ok(Json::new(&context)))?;
    table.set("JSON", json)?;
    table.set("IVRMenu", lua.create_function(Menu::create)?)?;
    table.set("Stream", lua.create_function(|_, ()| Ok(Stream::new()))?)?;
    let digit = lua.create_function(|_, (digit, duration): (Text, Int)| {
        let digit = digit.or_empty().chars().take(1).collect();
        let duration = Some(duration.or(0)).filter(|d| *d > 0).unwrap_or(DIGIT_DURATION);
        Ok(Digit(digit, crate::argument::number(duration)))
    })?;
    table.set("DTMF", digit)
}

fn add_logging(lua: &Lua, table: &Table) -> mlua::Result<()> {
    for name in ["consoleLog", "console_log"] {
        let log = lua.create_function(|_, (level, text): (Text, Text)| {
            logging::say(level.or_empty(), text.or_empty(), None);
            Ok(())
        })?;
        table.set(name, log)?;
    }
    for name in ["consoleLog2", "console_log2"] {
        let log = lua.create_function(
            |_, (level, file, function, line, text): (Text, Text, Text, Int, Text)| {
                let place = (file.or_empty(), function.or_empty(), line.or(0));
                logging::say_at(level.or_empty(), place, text.or_empty(), None);
                Ok(())
            },
        )?;
        table.set(name, log)?;
    }
    for name in ["consoleCleanLog", "console_clean_log"] {
        let log = lua.create_function(|_, text: Text| {
            logging::say_clean(text.or_empty());
            Ok(())
        })?;
        table.set(name, log)?;
    }
    Ok(())
}

fn add_functions(lua: &Lua, table: &Table, own: &Rc<Context>) -> mlua::Result<()> {
    let context = Rc::clone(own);
    let set = lua.create_function(move |_, (name, value): (Text, Text)| {
        if let Some(name) = name.filled() {
            let value = context.taint.borrow().mark(value.or_empty());
            let set = context.switch.set_global(name, &value);
            if !set {
                tracing::warn!("{name} was not set");
            }
        }
        Ok(())
    })?;
    table.set("setGlobalVariable", set)?;
    let context = Rc::clone(own);
    let get = lua.create_function(move |_, name: Text| {
        let value = context.switch.global_marked(name.or_empty());
        Ok(value.map(|value| context.taint.borrow_mut().read(value)))
    })?;
    table.set("getGlobalVariable", get)?;
    let context = Rc::clone(own);
    let sleep = lua.create_function(move |_, ms: Int| {
        let time = Duration::from_millis(u64::try_from(ms.or(0)).unwrap_or(0));
        context.wait("msleep", async move { tokio::time::sleep(time).await })
    })?;
    table.set("msleep", sleep)?;
    let script = std::sync::Arc::clone(&own.script);
    table.set("running", lua.create_function(move |_, ()| Ok(!script.is_killed()))?)?;
    let bridge = lua.create_function(|lua, (a, b): (UserDataRef<Call>, UserDataRef<Call>)| {
        session::bridge(lua, &a, &b)
    })?;
    table.set("bridge", bridge)?;
    let context = Rc::clone(own);
    let send = lua.create_function(move |_, given: Mail| {
        let (to, from, headers, body, file, command, extension) = given;
        let text = |text: Text| text.0.unwrap_or_default();
        let given = email::Given {
            to: text(to),
            from: text(from),
            headers: text(headers),
            body: text(body),
            file: text(file),
            command: text(command),
            extension: text(extension),
        };
        Ok(email::send(&context, &given))
    })?;
    table.set("email", send)?;
    // Handles of the reference's C side, which scripts have no use for.
    let nothing = lua.create_function(|_, _: mlua::Variadic<Value>| Ok(()))?;
    table.set("hanguphook", &nothing)?;
    table.set("dtmf_callback", nothing)
}
