//! `EventHandler`: events that scripts ask for, and commands in the background.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::regex::Pattern;
use esl_server::Subscription;
use esl_server::event::{Event, EventName};
use rquickjs::Ctx;

use crate::app::Argument;
use crate::context::{Context, Held};
use crate::events::EventObject;
use crate::values::{Answer, Given, object, unknown};
use crate::{clock, foreign};

/// Events that may wait for a script.
const WAITING: usize = 10_000;
/// What a script may ask for: subclasses, and filters.
const MOST: usize = 1000;

/// The object.
pub(crate) struct Handler {
    context: Rc<Context>,
    events: RefCell<Subscription>,
    wanted: RefCell<Wanted>,
    filters: RefCell<Vec<(String, String)>>,
    _held: Held,
}

/// What is asked for.
#[derive(Default)]
struct Wanted {
    /// All, of any subclass.
    all: bool,
    /// Every type but those of `except`: what is left of all when a type was given back.
    every: bool,
    except: BTreeSet<EventName>,
    names: BTreeSet<EventName>,
    subclasses: BTreeSet<String>,
}

impl Wanted {
    /// Names of types; behind `CUSTOM` subclasses. False where none of them is a type.
    fn change(&mut self, names: &[String], on: bool) -> bool {
        let (mut custom, mut known) = (false, false);
        for name in names {
            if custom {
                match on {
                    true if self.subclasses.len() < MOST => {
                        self.subclasses.insert(name.clone());
                    }
                    true => {}
                    false => {
                        self.subclasses.remove(name);
                    }
                }
                continue;
            }
            let Some(name) = EventName::parse(name) else { continue };
            known = true;
            custom = name == EventName::Custom;
            match (name, on) {
                (EventName::All, true) => {
                    (self.all, self.every) = (true, true);
                    self.except.clear();
                }
                (EventName::All, false) => {
                    (self.all, self.every) = (false, false);
                    self.names.clear();
                    self.except.clear();
                }
                (name, true) => {
                    self.names.insert(name);
                    self.except.remove(&name);
                }
                // Subclasses are given back, not the type.
                (EventName::Custom, false) => {}
                (name, false) => {
                    self.all = false;
                    self.names.remove(&name);
                    if self.every {
                        self.except.insert(name);
                    }
                }
            }
        }
        known
    }

    fn has(&self, event: &Event) -> bool {
        let name = event.name();
        let named = match self.every {
            true => !self.except.contains(&name),
            false => self.names.contains(&name),
        };
        let custom = || name == EventName::Custom;
        let subclass = || event.subclass().is_none_or(|own| self.subclasses.contains(own));
        self.all || named && (!custom() || subclass())
    }

    /// Has the bus bring what may be wanted.
    fn listen(&self, events: &Subscription) {
        for name in EventName::EVERY.iter().filter(|name| events.listens(**name)) {
            events.unlisten(*name);
        }
        if self.all || self.every {
            events.listen(EventName::All);
        }
        self.names.iter().for_each(|name| events.listen(*name));
        if self.names.contains(&EventName::Custom) {
            self.subclasses.iter().for_each(|subclass| events.listen_custom(subclass));
        }
    }
}

/// Does an event pass filters of a header and a value? `-` before the value keeps events out; a value between slashes is a
/// pattern. Without filters all pass; with them what one lets in and none keeps out.
fn passes(filters: &[(String, String)], event: &Event) -> bool {
    let mut passes = filters.is_empty();
    for (name, value) in filters {
        let Some(header) = event.get(name) else { continue };
        let test = value.trim_start_matches(['+', '-', ' ']);
        let signs = value.get(..value.len() - test.len()).unwrap_or_default();
        let lets_in = signs.chars().rev().find(|c| *c != ' ') != Some('-');
        if passes && lets_in {
            continue;
        }
        let fits = match test.starts_with('/') {
            true => Pattern::cached(test).is_ok_and(|pattern| pattern.captures(&header).is_some()),
            false => header.eq_ignore_ascii_case(test),
        };
        match (fits, lets_in) {
            (true, true) => passes = true,
            (true, false) => return false,
            (false, _) => {}
        }
    }
    passes
}

impl Handler {
    /// `new EventHandler(type…)`.
    pub(crate) fn create<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let this = Self {
            context: Rc::clone(context),
            events: RefCell::new(context.at_once(|| context.switch.bus.subscribe(WAITING))),
            wanted: RefCell::default(),
            filters: RefCell::default(),
            _held: context.hold(ctx)?,
        };
        this.change(given, true);
        object(ctx, move |ctx, operation, given| this.run(ctx, operation, given))
            .map(Answer::Function)
    }

    fn change(&self, given: &Given<'_>, on: bool) -> bool {
        let names: Vec<String> = (0..given.0.len()).map(|at| given.text(at)).collect();
        let mut wanted = self.wanted.borrow_mut();
        let known = wanted.change(&names, on);
        wanted.listen(&self.events.borrow());
        known
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "subscribe" => Answer::Bool(self.change(given, true)),
            "unSubscribe" => Answer::Bool(self.change(given, false)),
            "addFilter" => {
                let (name, value) = (given.text(0), given.text(1));
                let mut filters = self.filters.borrow_mut();
                let fit = !name.is_empty() && !value.is_empty() && filters.len() < MOST;
                if fit {
                    filters.push((name, value));
                }
                Answer::Bool(fit)
            }
            "deleteFilter" => {
                let name = given.text(0);
                let all = name.eq_ignore_ascii_case("all");
                self.filters
                    .borrow_mut()
                    .retain(|(header, _)| !all && !header.eq_ignore_ascii_case(&name));
                Answer::Bool(!name.is_empty())
            }
            "getEvent" => match self.next(ctx, given.int(0))? {
                Some(event) => Answer::Function(EventObject::given(ctx, &self.context, event)?),
                None => Answer::Null,
            },
            _ => return Err(unknown(ctx, operation)),
        })
    }

    /// The next event. Milliseconds: 0 does not wait, less than 0 waits until one comes.
    fn next(&self, ctx: &Ctx<'_>, timeout: i64) -> rquickjs::Result<Option<Event>> {
        let mut events = self.events.borrow_mut();
        let (wanted, filters) = (self.wanted.borrow(), self.filters.borrow());
        let fits = |event: &Event| wanted.has(event) && passes(&filters, event);
        if timeout == 0 {
            while let Some(event) = events.try_recv() {
                if fits(&event) {
                    return Ok(Some((*event).clone()));
                }
            }
            return Ok(None);
        }
        let receive = async {
            loop {
                match events.recv().await {
                    Some(event) if fits(&event) => return Some((*event).clone()),
                    Some(_) => {}
                    None => {
                        tracing::error!(
                            "Lost events to JS EventHandler, you must read the events faster!"
                        );
                        return None;
                    }
                }
            }
        };
        let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
        self.context.wait(ctx, "an event", async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, receive).await.ok().flatten(),
                None => receive.await,
            }
        })
    }
}

/// Runs a command in the background: command, argument, number of the job, which is answered. The event `BACKGROUND_JOB` tells
/// what came of it.
pub(crate) fn background<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let command = given.text(0);
    let switch = Arc::clone(&context.switch);
    let argument = switch.api(&command).map_or(Argument::TEXT, |api| api.argument);
    let arguments = context.taint.borrow().mark_for(argument, &given.text(1));
    let job = given.filled(2).unwrap_or_else(clock::new_uuid);
    let own = job.clone();
    context.at_once(|| {
        foreign::spawn(async move {
            let output = switch.run_api(&command, &arguments, None).await;
            let output = output.unwrap_or_else(|| format!("-ERR {command} Command not found!\n"));
            let mut event = Event::new(EventName::BackgroundJob);
            event.push("Job-UUID", job);
            event.push("Job-Command", command);
            event.push("Job-Command-Arg", base::far::into_plain(arguments));
            event.set_body(output);
            esl_server::fire!(switch.bus, event);
        });
    });
    Ok(Answer::Text(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(steps: &[(bool, &str)]) -> Wanted {
        let mut wanted = Wanted::default();
        for (on, names) in steps {
            let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
            wanted.change(&names, *on);
        }
        wanted
    }

    #[test]
    fn what_is_asked_for_is_what_comes() {
        let answer = Event::new(EventName::ChannelAnswer);
        let custom = Event::custom("a::b");
        for (steps, has_answer, has_custom) in [
            (&[(true, "CHANNEL_ANSWER")][..], true, false),
            (&[(true, "CUSTOM a::b x::y")], false, true),
            (&[(true, "CUSTOM")], false, false),
            (&[(true, "ALL")], true, true),
            (&[(true, "ALL"), (false, "CHANNEL_HANGUP")], true, false),
            (&[(true, "ALL"), (false, "CHANNEL_ANSWER")], false, false),
            (&[(true, "ALL"), (false, "ALL")], false, false),
            (&[(true, "CUSTOM a::b"), (false, "CUSTOM a::b")], false, false),
            (&[(true, "no_such_type CHANNEL_ANSWER")], true, false),
        ] {
            let wanted = wanted(steps);
            assert_eq!(
                (wanted.has(&answer), wanted.has(&custom)),
                (has_answer, has_custom),
                "{steps:?}"
            );
        }
        assert!(!Wanted::default().change(&["no_such_type".to_owned()], true));
    }

    #[test]
    fn filters_let_in_and_keep_out() {
        let mut event = Event::new(EventName::ChannelAnswer);
        event.push("Caller", "alice");
        event.push("Number", "1000");
        for (filters, passed) in [
            (&[][..], true),
            (&[("Caller", "ALICE")], true),
            (&[("Caller", "bob")], false),
            (&[("Nothing", "bob")], false),
            (&[("Number", "/^10/")], true),
            (&[("Number", "/^20/"), ("Caller", "alice")], true),
            (&[("Caller", "alice"), ("Number", "-1000")], false),
            (&[("Caller", "- alice")], false),
            (&[("Caller", "+ alice")], true),
        ] {
            let filters: Vec<_> = filters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(passes(&filters, &event), passed, "{filters:?}");
        }
    }
}
