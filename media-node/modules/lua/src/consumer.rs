//! `freeswitch.EventConsumer`: events a script waits for.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use esl_server::Subscription;
use esl_server::event::EventName;
use mlua::{UserData, UserDataMethods, Value};

use crate::argument::{Int, Text, number};
use crate::context::Context;
use crate::event::EventObject;

/// Events that wait for a script, unless it says otherwise.
const WAITING: i64 = 5000;
const MOST_WAITING: i64 = 100_000;

/// The object.
pub(crate) struct Consumer {
    context: Rc<Context>,
    events: RefCell<Option<Subscription>>,
    /// CUSTOM events of any subclass are wanted, others than those asked for by name are not.
    bound: RefCell<Vec<(EventName, Option<String>)>>,
}

impl Consumer {
    /// `freeswitch.EventConsumer([event [, subclass [, length]]])`.
    pub(crate) fn create(
        context: &Rc<Context>,
        event: &Text,
        subclass: &Text,
        length: Int,
    ) -> Self {
        let length = usize::try_from(length.or(WAITING).clamp(1, MOST_WAITING)).unwrap_or(1);
        let events = context.at_once(|| context.switch.bus.subscribe(length));
        let consumer = Self {
            context: Rc::clone(context),
            events: RefCell::new(Some(events)),
            bound: RefCell::default(),
        };
        if let Some(event) = event.filled() {
            consumer.bind(event, subclass.filled());
        }
        consumer
    }

    fn bind(&self, event: &str, subclass: Option<&str>) -> bool {
        let events = self.events.borrow();
        let Some(events) = &*events else { return false };
        let Some(name) = EventName::parse(event) else {
            tracing::warn!("Can't bind to {event}, event not found");
            return false;
        };
        match (name, subclass) {
            (EventName::Custom, Some(subclass)) => events.listen_custom(subclass),
            // All subclasses: there is no list of them, so everything is received and looked at.
            (EventName::Custom, None) => events.listen(EventName::All),
            (name, _) => events.listen(name),
        }
        self.bound.borrow_mut().push((name, subclass.map(str::to_owned)));
        true
    }

    fn wants(&self, event: &esl_server::Event) -> bool {
        self.bound.borrow().iter().any(|(name, subclass)| {
            *name == EventName::All
                || *name == event.name()
                    && (subclass.is_none() || subclass.as_deref() == event.subclass())
        })
    }

    fn pop(&self, block: bool, timeout: i64) -> mlua::Result<Option<EventObject>> {
        // Taken out meanwhile: nothing else of this script runs, but `cleanup` of a callback could.
        let Some(mut events) = self.events.borrow_mut().take() else { return Ok(None) };
        let found = self.next(&mut events, block, timeout);
        *self.events.borrow_mut() = Some(events);
        Ok(found?.map(|event| EventObject::given(&self.context, event)))
    }

    fn next(
        &self,
        events: &mut Subscription,
        block: bool,
        timeout: i64,
    ) -> mlua::Result<Option<esl_server::Event>> {
        if !block {
            while let Some(event) = events.try_recv() {
                if self.wants(&event) {
                    return Ok(Some((*event).clone()));
                }
            }
            return Ok(None);
        }
        let receive = async {
            loop {
                match events.recv().await {
                    Some(event) if self.wants(&event) => return Some((*event).clone()),
                    Some(_) => {}
                    None => {
                        tracing::error!("Cannot queue any more events.....");
                        return None;
                    }
                }
            }
        };
        let limit = u64::try_from(timeout).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        self.context.wait("an event", async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, receive).await.ok().flatten(),
                None => receive.await,
            }
        })
    }
}

impl UserData for Consumer {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("bind", |_, this, (event, subclass): (Text, Text)| {
            let bound = this.context.at_once(|| this.bind(event.or_empty(), subclass.filled()));
            Ok(number(i64::from(bound)))
        });
        methods.add_method("pop", |_, this, (block, timeout): (Value, Int)| {
            let block = match block {
                Value::Nil | Value::Boolean(false) => false,
                Value::Integer(0) => false,
                Value::Number(number) => number != 0.0,
                _ => true,
            };
            this.pop(block, timeout.or(0))
        });
        methods.add_method("cleanup", |_, this, ()| {
            this.events.borrow_mut().take();
            Ok(())
        });
    }
}
