//! Answering, variables, states, applications, transfer and hangup.

use std::time::Duration;

use mlua::{UserDataMethods, Value};
use scripting::{input, legs, logging};

use super::Call;
use crate::app::Argument;
use crate::argument::{Int, Text, number};
use crate::call::{Cause, transfer};
use crate::event::EventObject;

pub(super) fn add<M: UserDataMethods<Call>>(methods: &mut M) {
    add_steps(methods);
    add_questions(methods);
    add_variables(methods);
    add_logging(methods);
}

/// 1 for done, 0 for not done, -1 where there is no call.
fn done(result: Option<bool>) -> f64 {
    number(result.map_or(0, i64::from))
}

fn add_steps<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("answer", |lua, this, ()| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        let answered = this.run(lua, "answer", |session| {
            Box::pin(async { session.answer().await.is_ok() && session.channel().is_answered() })
        })?;
        Ok(done(answered))
    });
    methods.add_method("preAnswer", |lua, this, ()| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        let answered = this.run(lua, "early media", |session| {
            Box::pin(async { session.pre_answer().await.is_ok() && session.channel().has_media() })
        })?;
        Ok(done(answered))
    });
    methods.add_method("hangup", |lua, this, cause: Text| {
        let Some(channel) = this.sane() else { return Ok(()) };
        this.run_hook(lua)?;
        let cause = Cause::parse(cause.filled().unwrap_or("normal_clearing"));
        this.context.at_once(|| channel.hangup(cause));
        this.run_hook(lua)
    });
    methods.add_method("hangupState", |lua, this, ()| {
        // The call's task does what a hangup brings once the script is over.
        if this.sane().is_some() { this.run_hook(lua) } else { Ok(()) }
    });
    methods.add_method("destroy", |_, this, error: Text| {
        this.destroy();
        match error.0.filter(|text| !text.is_empty()) {
            Some(text) => Err(mlua::Error::RuntimeError(text)),
            None => Ok(()),
        }
    });
    methods.add_method("execute", |lua, this, (application, data): (Text, Text)| {
        let Some(channel) = this.sane() else { return Ok(()) };
        let Some(application) = application.filled().map(str::to_owned) else {
            tracing::error!(uuid = %channel.uuid(), "No application specified");
            return Ok(());
        };
        let app = this.context.switch.app(&application);
        let argument = app.map_or(Argument::TEXT, |app| app.argument);
        let data = this.context.taint.borrow().mark_for(argument, data.or_empty());
        this.run(lua, "an application", move |session| {
            Box::pin(async move {
                let _ended = session.execute(&application, &data).await;
            })
        })?;
        Ok(())
    });
    methods.add_method(
        "transfer",
        |lua, this, (number_, dialplan, context): (Text, Text, Text)| {
            let Some(channel) = this.sane() else { return Ok(-1.0) };
            this.run_hook(lua)?;
            let number_ = this.context.taint.borrow().mark(number_.or_empty());
            let moved = this.context.at_once(|| {
                transfer::transfer(&channel, &number_, dialplan.filled(), context.filled())
            });
            this.run_hook(lua)?;
            Ok(done(Some(moved)))
        },
    );
    methods.add_method("setAutoHangup", |_, this, on: Value| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        this.hangs_up.set(!matches!(on, Value::Nil | Value::Boolean(false)));
        Ok(0.0)
    });
    methods.add_method("sendEvent", |_, this, event: mlua::UserDataRef<EventObject>| {
        if let Some(channel) = this.sane() {
            let event = event.copy();
            // For the function that listens, as the reference's queue of the session is; else it is told of.
            this.context.at_once(|| {
                if !input::tell_event(&channel, event.clone()) {
                    channel.queue_event(event);
                }
            });
        }
        Ok(())
    });
    // Events go to the function that listens at once; none are kept.
    methods.add_method("flushEvents", |_, this, ()| {
        Ok(if this.sane().is_some() { 0.0 } else { -1.0 })
    });
}

fn add_questions<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("ready", |lua, this, ()| {
        let Some(channel) = this.channel() else { return Ok(false) };
        let ready = legs::is_ready(&channel);
        this.run_hook(lua)?;
        if this.context.script.is_killed() {
            return Err(this.context.end(this.context.ended()));
        }
        Ok(ready)
    });
    methods.add_method("mediaReady", |_, this, ()| {
        Ok(this.sane().is_some_and(|channel| legs::is_ready(&channel) && channel.has_media()))
    });
    methods.add_method("answered", |_, this, ()| {
        Ok(this.sane().is_some_and(|channel| channel.is_answered()))
    });
    methods.add_method("bridged", |_, this, ()| {
        Ok(this.channel().is_some_and(|channel| channel.is_up() && channel.partner().is_some()))
    });
    methods.add_method("hangupCause", |_, this, ()| Ok(this.cause.get().name()));
    methods.add_method("getState", |_, this, ()| {
        Ok(this.channel().map_or("ERROR", |channel| channel.state().name()))
    });
    methods.add_method("get_uuid", |_, this, ()| {
        Ok(this.channel().map(|channel| channel.uuid().to_string()))
    });
    methods.add_method("getXMLCDR", |_, this, ()| {
        let Some(channel) = this.sane() else { return Ok(String::new()) };
        Ok(this.context.at_once(|| legs::record(&channel)))
    });
}

fn add_variables<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("setVariable", |_, this, (name, value): (Text, Text)| {
        let (Some(channel), Some(name)) = (this.sane(), name.filled()) else { return Ok(()) };
        let value = this.context.taint.borrow().mark(value.or_empty());
        this.context.at_once(|| match value.is_empty() {
            true => channel.unset_var(name),
            false => channel.set_var_as_is(name.to_owned(), value),
        });
        Ok(())
    });
    methods.add_method("getVariable", |_, this, name: Text| {
        let Some(channel) = this.sane() else { return Ok(Some(String::new())) };
        let value = channel.var_marked(name.or_empty());
        Ok(value.map(|value| this.context.taint.borrow_mut().read(value)))
    });
    methods.add_method("setPrivate", |_, this, (name, value): (Text, Value)| {
        if this.sane().is_some() {
            this.private.borrow_mut().insert(name.or_empty().to_owned(), value);
        }
        Ok(())
    });
    methods.add_method("getPrivate", |_, this, name: Text| {
        Ok(this.private.borrow().get(name.or_empty()).cloned().unwrap_or(Value::Nil))
    });
    methods.add_method("setEventData", |_, this, event: mlua::UserDataRef<EventObject>| {
        if let Some(channel) = this.sane() {
            this.context.at_once(|| event.describe(&channel));
        }
        Ok(())
    });
}

fn add_logging<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("consoleLog", |_, this, (level, text): (Text, Text)| {
        let uuid = this.channel().map(|channel| channel.uuid().to_string());
        logging::say(level.or_empty(), text.or_empty(), uuid.as_deref());
        Ok(())
    });
    methods.add_method(
        "consoleLog2",
        |_, this, (level, file, function, line, text): (Text, Text, Text, Int, Text)| {
            let uuid = this.channel().map(|channel| channel.uuid().to_string());
            let place = (file.or_empty(), function.or_empty(), line.or(0));
            logging::say_at(level.or_empty(), place, text.or_empty(), uuid.as_deref());
            Ok(())
        },
    );
    methods.add_method("sleep", |lua, this, (ms, _sync): (Int, Value)| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        let time = Duration::from_millis(u64::try_from(ms.or(0)).unwrap_or(0));
        let slept = this.run_heard(lua, "sleep", move |session| {
            Box::pin(async move { session.sleep(time).await.is_ok() })
        })?;
        Ok(done(slept))
    });
}
