//! `Event`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use esl_server::Caller;
use esl_server::event::{Event, EventName, Value as HeaderValue};
use rquickjs::{Ctx, Function};

use crate::context::{Context, Held};
use crate::values::{Answer, Given, object, unknown};

/// Where the reference says that scripts' events come from.
const CALLER: Caller = Caller { file: "fsevent.cpp", func: "Construct", line: 104 };

/// The object.
pub(crate) struct EventObject {
    context: Rc<Context>,
    event: RefCell<Event>,
    /// Made by the script, and not fired: it may be changed.
    mine: Cell<bool>,
    held: Held,
}

impl EventObject {
    /// An event the switch gives to a script.
    pub(crate) fn given<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        event: Event,
    ) -> rquickjs::Result<Function<'js>> {
        Self::publish(ctx, context, event, false)
    }

    /// One the script makes. Nothing for a name that there is not.
    pub(crate) fn create<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let Some(name) = EventName::parse(&given.text(0)) else { return Ok(Answer::Null) };
        let mut event = match name {
            EventName::Custom => Event::custom(given.text(1)),
            name => Event::new(name),
        };
        context.at_once(|| context.switch.bus.stamp(&mut event, CALLER));
        Self::publish(ctx, context, event, true).map(Answer::Function)
    }

    fn publish<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        event: Event,
        mine: bool,
    ) -> rquickjs::Result<Function<'js>> {
        let held = context.hold(ctx)?;
        let this = Rc::new(Self {
            context: Rc::clone(context),
            event: RefCell::new(event),
            mine: Cell::new(mine),
            held,
        });
        let id = context.register_event(&this);
        object(ctx, move |ctx, operation, given| match operation {
            "id" => Ok(Answer::Int(id.into())),
            _ => this.run(ctx, operation, given),
        })
    }

    /// The event as it is now.
    pub(crate) fn copy(&self) -> Event {
        self.event.borrow().clone()
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "addHeader" if self.mine.get() => {
                let (name, value) = (given.text(0), given.text(1));
                self.held.grow(ctx, name.len() + value.len())?;
                self.event.borrow_mut().push(name, HeaderValue::parse(&value));
                Answer::Bool(true)
            }
            "addBody" if self.mine.get() => {
                let body = given.text(0);
                self.held.grow(ctx, body.len())?;
                self.event.borrow_mut().set_body(body);
                Answer::Bool(true)
            }
            "addHeader" | "addBody" => Answer::Bool(false),
            "getHeader" => {
                let event = self.event.borrow();
                let value = event.get(&given.text(0)).map(std::borrow::Cow::into_owned);
                Answer::Text(value.unwrap_or_default())
            }
            "getBody" => {
                let event = self.event.borrow();
                let body = event.body().map(|body| String::from_utf8_lossy(body).into_owned());
                Answer::Text(body.unwrap_or_default())
            }
            "getType" => Answer::Text(self.event.borrow().name().as_str().to_owned()),
            "serialize" => {
                let event = self.event.borrow();
                let bytes = match given.text(0).to_ascii_lowercase().as_str() {
                    "xml" => event.xml(),
                    "json" => event.json(),
                    _ => event.plain(),
                };
                Answer::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "fire" => {
                let mine = self.mine.replace(false);
                if mine {
                    let event = self.copy();
                    self.context.at_once(|| self.context.switch.bus.deliver(event));
                } else {
                    tracing::error!("No valid event to fire away");
                }
                Answer::Bool(mine)
            }
            _ => return Err(unknown(ctx, operation)),
        })
    }
}
