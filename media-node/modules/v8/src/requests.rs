//! `request`: what `jsapi` was asked, and its answer.

use std::cell::RefCell;
use std::rc::Rc;

use esl_server::event::{Event, Value as HeaderValue};
use rquickjs::{Ctx, Exception, Function};
use scripting::scripts;

use crate::context::Context;
use crate::values::{Answer, unknown};

/// Makes the object of a command.
pub(crate) fn object<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    command: &str,
    event: Event,
) -> rquickjs::Result<Function<'js>> {
    let (context, command, event) = (Rc::clone(context), command.to_owned(), RefCell::new(event));
    let held = context.hold(ctx)?;
    crate::values::object(ctx, move |ctx, operation, given| {
        Ok(match operation {
            "command" => Answer::Text(command.clone()),
            "write" => match &context.output {
                Some(output) => {
                    let text = given.text(0);
                    scripts::write(output, text.as_bytes())
                        .map_err(|error| Exception::throw_message(ctx, &error.to_string()))?;
                    Answer::Bool(true)
                }
                None => Answer::Bool(false),
            },
            "addHeader" => {
                let (name, value) = (given.text(0), given.text(1));
                held.grow(ctx, name.len() + value.len())?;
                event.borrow_mut().push(name, HeaderValue::parse(&value));
                Answer::Bool(true)
            }
            "getHeader" => {
                let event = event.borrow();
                let value = event.get(&given.text(0)).map(std::borrow::Cow::into_owned);
                Answer::Text(value.unwrap_or_default())
            }
            "dumpEnv" => {
                let event = event.borrow();
                let bytes = match given.text(0).to_ascii_lowercase().as_str() {
                    "xml" => event.xml(),
                    "json" => event.json(),
                    _ => event.plain(),
                };
                Answer::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => return Err(unknown(ctx, operation)),
        })
    })
}
