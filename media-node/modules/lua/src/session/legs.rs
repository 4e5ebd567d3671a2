//! Legs a script makes, and bridges.

use std::sync::Arc;
use std::time::Duration;

use mlua::{AnyUserData, Lua, UserDataMethods, Value};
use scripting::legs;

use super::Call;
use crate::argument::{Int, Text, number};
use crate::call::Cause;
use crate::context::Context;

/// Seconds `freeswitch.Session` waits for an answer.
const TIMEOUT: u64 = 60;

/// `freeswitch.Session([uuid or dial string [, a_leg]])`.
pub(crate) fn create(
    lua: &Lua,
    context: &std::rc::Rc<Context>,
    (target, other): (Text, Value),
) -> mlua::Result<AnyUserData> {
    let call = Call::new(context);
    if let Some(target) = target.filled() {
        let existing = (!target.contains('/')).then(|| context.switch.channel(target)).flatten();
        match existing {
            Some(channel) => call.take(&channel, false),
            None => {
                call.dial(lua, leg_of(&other)?.as_deref(), target, Duration::from_secs(TIMEOUT))?;
            }
        }
    }
    call.publish(lua)
}

/// The call an argument stands for, if it does.
fn leg_of(value: &Value) -> mlua::Result<Option<mlua::UserDataRef<Call>>> {
    match value {
        Value::UserData(object) => object.borrow::<Call>().map(Some),
        _ => Ok(None),
    }
}

pub(super) fn add<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("originate", |lua, this, (other, dial, timeout): (Value, Text, Int)| {
        let Some(dial) = dial.filled() else {
            tracing::error!("Missing destination.");
            return Ok(0.0);
        };
        let seconds = u64::try_from(timeout.or(60)).unwrap_or(TIMEOUT);
        let other = leg_of(&other)?;
        let made = this.dial(lua, other.as_deref(), dial, Duration::from_secs(seconds))?;
        // As in the reference, where success is the number 0.
        Ok(number(i64::from(!made)))
    });
    methods.add_method("waitForAnswer", |_, this, _caller: Value| {
        let Some(channel) = this.sane() else { return Ok(()) };
        this.context.wait("an answer", legs::answered(&channel))
    });
}

impl Call {
    /// Calls; the leg that answers becomes this object's, and waits for what the script does with it.
    fn dial(
        &self,
        lua: &Lua,
        other: Option<&Self>,
        dial: &str,
        timeout: Duration,
    ) -> mlua::Result<bool> {
        self.cause.set(Cause::DESTINATION_OUT_OF_ORDER);
        let request = legs::request(&self.context, dial, timeout);
        let made = match other.filter(|other| other.channel().is_some()) {
            Some(other) => other.run(lua, "a call", move |session| {
                Box::pin(async move {
                    let switch = Arc::clone(session.switch());
                    legs::dial(&switch, &request, Some(session)).await
                })
            })?,
            None => Some(
                self.context.wait("a call", legs::dial(&self.context.switch, &request, None))?,
            ),
        };
        let made = match made {
            Some(Ok(made)) => made,
            Some(Err(failure)) => {
                self.cause.set(failure.cause);
                tracing::warn!("Error Creating Outgoing Channel! [{dial}]");
                return Ok(false);
            }
            None => return Ok(false),
        };
        let Some(channel) = made.take() else { return Ok(false) };
        self.cause.set(Cause::SUCCESS);
        self.take(&channel, true);
        legs::adopt(&self.context, &channel).map_err(|ended| self.context.end(ended))?;
        Ok(true)
    }
}

/// `freeswitch.bridge(a, b)`: until one of the two ends, or `a`'s script says so at a key.
pub(crate) fn bridge(lua: &Lua, a: &Call, b: &Call) -> mlua::Result<()> {
    let (Some(own), Some(peer)) = (a.channel(), b.channel()) else {
        tracing::error!("Channels not ready");
        return Ok(());
    };
    if !legs::is_ready(&own) || !legs::is_ready(&peer) {
        tracing::error!(uuid = %own.uuid(), "Channels not ready");
        return Ok(());
    }
    let listens = a.callback.borrow().is_some();
    a.run_heard(lua, "a bridge", move |session| {
        Box::pin(async move {
            legs::bridge(session, &peer, listens).await;
        })
    })?;
    Ok(())
}
