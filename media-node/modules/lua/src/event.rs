//! `freeswitch.Event`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use esl_server::Caller;
use esl_server::event::{Event, EventName, Value as HeaderValue};
use mlua::{UserData, UserDataMethods, UserDataRef, Value};

use crate::argument::{Text, error, number};
use crate::call::Channel;
use crate::context::Context;
use crate::contract::ChatMessage;

/// Where the reference says that scripts' events come from.
const CALLER: Caller = Caller { file: "switch_cpp.cpp", func: "Event", line: 315 };

/// The object.
pub(crate) struct EventObject {
    context: Rc<Context>,
    event: RefCell<Event>,
    /// Made by the script: it may fire it.
    mine: Cell<bool>,
}

impl EventObject {
    /// An event the switch gives to a script.
    pub(crate) fn given(context: &Rc<Context>, event: Event) -> Self {
        let mine = Cell::new(true);
        Self { context: Rc::clone(context), event: RefCell::new(event), mine }
    }

    /// `freeswitch.Event(type [, subclass])`.
    pub(crate) fn create(context: &Rc<Context>, kind: &str, subclass: Option<&str>) -> Self {
        let mut event = match subclass.filter(|text| !text.is_empty()) {
            Some(text) if kind.eq_ignore_ascii_case("json") => from_json(text),
            Some(subclass) => {
                if EventName::parse(kind) != Some(EventName::Custom) {
                    tracing::warn!(
                        "Changing event type to custom because you specified a subclass name!"
                    );
                }
                Event::custom(subclass)
            }
            None => Event::new(EventName::parse(kind).unwrap_or(EventName::Message)),
        };
        context.at_once(|| context.switch.bus.stamp(&mut event, CALLER));
        Self::given(context, event)
    }

    /// The event as it is now.
    pub(crate) fn copy(&self) -> Event {
        self.event.borrow().clone()
    }

    /// Adds what events of a channel say of it.
    pub(crate) fn describe(&self, channel: &Channel) {
        channel.describe(&mut self.event.borrow_mut());
    }

    fn serialize(&self, format: &str) -> String {
        let event = self.event.borrow();
        let bytes = match format.to_ascii_lowercase().as_str() {
            "xml" => event.xml(),
            "json" => event.json(),
            _ => event.plain(),
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn fire(&self) -> bool {
        if !self.mine.get() {
            tracing::error!("Not My event!");
            return false;
        }
        let mut event = self.copy();
        self.context.at_once(|| {
            if !event.is_stamped() {
                self.context.switch.bus.stamp(&mut event, CALLER);
            }
            self.context.switch.bus.deliver(event);
        });
        true
    }

    fn send(&self, given: Option<&str>) -> bool {
        let event = self.event.borrow();
        let header =
            |name: &str| event.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let way = given.map_or_else(|| header("dest_proto"), str::to_owned);
        let body = event.body().map(|body| String::from_utf8_lossy(body).into_owned());
        let (from, to, kind) = (header("from"), header("to"), header("type"));
        let message = ChatMessage {
            from: &from,
            to: &to,
            body: body.as_deref().unwrap_or_default(),
            kind: if kind.is_empty() { "text/plain" } else { &kind },
        };
        let switch = &self.context.switch;
        let chat = switch.provided(|provides| provides.chats).find(|chat| chat.name == way);
        match chat {
            Some(chat) => self.context.at_once(|| (chat.send)(switch, &message)),
            None => {
                tracing::error!("Invalid chat interface [{way}]!");
                false
            }
        }
    }
}

/// Headers from a JSON object; `_body` becomes the body.
fn from_json(text: &str) -> Event {
    let object = match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => object,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let named = |name: &str| object.get(name).and_then(serde_json::Value::as_str);
    let mut event = match (named("Event-Name"), named("Event-Subclass")) {
        (_, Some(subclass)) => Event::custom(subclass),
        (Some(name), None) => Event::new(EventName::parse(name).unwrap_or(EventName::Clone)),
        (None, None) => Event::new(EventName::Clone),
    };
    for (name, value) in &object {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => continue,
            other => other.to_string(),
        };
        match name.as_str() {
            "Event-Name" | "Event-Subclass" => {}
            "_body" => drop(event.set_body(text)),
            _ => drop(event.push(name.clone(), text)),
        }
    }
    event
}

impl UserData for EventObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("addHeader", |_, this, (name, value): (Text, Text)| {
            let Some(name) = name.filled() else { return Ok(false) };
            let value = HeaderValue::parse(value.or_empty());
            this.event.borrow_mut().push(name.to_owned(), value);
            Ok(true)
        });
        methods.add_method("delHeader", |_, this, name: Text| match name.filled() {
            Some(name) => Ok(this.event.borrow_mut().remove(name)),
            None => {
                tracing::error!("Trying to delHeader an invalid header!");
                Ok(false)
            }
        });
        methods.add_method("getHeader", |_, this, name: Text| match name.filled() {
            Some(name) => Ok(this.event.borrow().get(name).map(std::borrow::Cow::into_owned)),
            None => {
                tracing::error!("Trying to getHeader an invalid header!");
                Ok(None)
            }
        });
        methods.add_method("addBody", |_, this, text: Text| {
            this.event.borrow_mut().set_body(text.or_empty().to_owned());
            Ok(true)
        });
        methods.add_method("getBody", |lua, this, ()| {
            let event = this.event.borrow();
            event.body().map(|body| lua.create_string(body)).transpose()
        });
        methods.add_method("getType", |_, this, ()| Ok(this.event.borrow().name().as_str()));
        methods
            .add_method("serialize", |_, this, format: Text| Ok(this.serialize(format.or_empty())));
        methods.add_method("setPriority", |lua, this, priority: Value| {
            let level = match priority {
                Value::Integer(level) => level,
                #[allow(clippy::cast_possible_truncation, reason = "0, 1 or 2")]
                Value::Number(level) => level as i64,
                other => {
                    let text = format!(
                        "Error in Event::setPriority (arg 2), expected 'switch_priority_t' got '{}'",
                        other.type_name()
                    );
                    return Err(error(lua, &text));
                }
            };
            let name = match level {
                1 => "LOW",
                2 => "HIGH",
                _ => "NORMAL",
            };
            this.event.borrow_mut().set("priority", name);
            Ok(true)
        });
        methods.add_method("merge", |_, this, other: UserDataRef<Self>| {
            let other = other.copy();
            let mut event = this.event.borrow_mut();
            other.for_each_header(|name, value| {
                event.push(name.to_owned(), value.clone());
            });
            Ok(true)
        });
        methods.add_method("fire", |_, this, ()| Ok(this.fire()));
        methods.add_method("chat_execute", |_, _, (application, _data): (Text, Text)| {
            tracing::error!("Invalid chat application interface [{}]!", application.or_empty());
            Ok(number(1))
        });
        methods.add_method("chat_send", |_, this, way: Text| {
            Ok(number(i64::from(!this.send(way.filled()))))
        });
    }
}
