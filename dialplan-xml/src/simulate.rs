//! A call that exists on paper only: decisions are made for it, and the applications that steer it
//! (`set`, `transfer`, `execute_extension`, `ivr` …) are followed, but nothing rings.

mod caller;
mod menu;
mod setting;
mod world;

use std::sync::Arc;

use crate::Place;
use crate::dialplan::{Action, Dialplan, Routed, Trace, parse_inline};
use crate::expand::{expand, scope_variables};
use crate::text::{leading_integer, split};
use menu::Choice;

pub use caller::Caller;
pub use setting::Setting;
pub use world::{Answers, Refusal, World};

/// How many decisions are followed.
pub const MAX_HOPS: usize = 20;

/// A call followed to where it leads.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Each decision, in order.
    pub hops: Vec<Hop>,
    /// Whether more transfers followed than are looked at.
    pub endless: bool,
}

/// One decision and what became of its list.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Number dialled.
    pub destination: String,
    /// Context searched.
    pub context: String,
    /// Name of the dialplan.
    pub dialplan: String,
    /// How deep in `execute_extension` and `loopback` calls.
    pub depth: usize,
    /// The decision.
    pub routed: Routed,
    /// What was run, with expanded arguments.
    pub executed: Vec<Executed>,
    /// How many applications of the list were not run because the call had left it.
    pub skipped: usize,
    /// Whether the call ended here.
    pub ended: bool,
}

/// One application that was run on paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its name.
    pub application: Arc<str>,
    /// Its argument, expanded.
    pub data: String,
    /// Where it is written; `None` for those of an inline target.
    pub place: Option<Place>,
    /// Why it cannot run, and ends the call.
    pub refused: Option<String>,
}

/// Decides for a call and follows it through transfers, sub-routines and menus.
pub fn follow(dialplan: &Dialplan, caller: &mut Caller, trace: Trace) -> Journey {
    let mut walk = Walk { dialplan, trace, journey: Journey::default() };
    while walk.hop(caller, 0) == After::Transferred {}
    walk.journey
}

struct Walk<'a> {
    dialplan: &'a Dialplan,
    trace: Trace,
    journey: Journey,
}

/// What a call does after an application, or after a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It goes on.
    Next,
    /// It has a new destination.
    Transferred,
    /// It is over.
    Ended,
}

type Listed = (Arc<str>, String, Option<Place>);

impl Walk<'_> {
    /// One decision and its list.
    fn hop(&mut self, caller: &mut Caller, depth: usize) -> After {
        if self.journey.hops.len() >= MAX_HOPS {
            self.journey.endless = true;
            return After::Ended;
        }
        let (hop, actions) = self.decide(caller, depth);
        let at = self.journey.hops.len();
        self.journey.hops.push(hop);
        let mut after = if caller.gone { After::Ended } else { After::Next };
        let mut left = actions.len();
        for (application, data, place) in actions {
            if after != After::Next {
                break;
            }
            left -= 1;
            after = self.run(caller, &application, &data, place, at);
        }
        if let Some(hop) = self.journey.hops.get_mut(at) {
            hop.skipped = left;
            hop.ended = after == After::Ended;
        }
        after
    }

    fn decide(&self, caller: &mut Caller, depth: usize) -> (Hop, Vec<Listed>) {
        let destination = caller.field_or_empty("destination_number").to_owned();
        let context = caller.field_or_empty("context").to_owned();
        let dialplan = caller.field_or_empty("dialplan").to_owned();
        let first = dialplan.split(',').next().unwrap_or_default();
        let inline = first.eq_ignore_ascii_case("inline");
        let routed = if inline {
            Routed { extension: Some("inline".into()), context_found: true, ..Routed::default() }
        } else {
            self.dialplan.route(&caller.request(), caller, self.trace)
        };
        let actions = if inline {
            let list = parse_inline(&destination).into_iter();
            list.map(|a| (a.application.into(), a.data, None)).collect()
        } else {
            let listed =
                |a: &Action| (a.application.clone(), a.data.to_string(), Some(a.place.clone()));
            routed.actions.iter().map(listed).collect()
        };
        let executed = Vec::new();
        let hop = Hop {
            destination,
            context,
            dialplan,
            depth,
            routed,
            executed,
            skipped: 0,
            ended: false,
        };
        (hop, actions)
    }

    /// Runs one application of the list of hop `at`.
    fn run(
        &mut self,
        caller: &mut Caller,
        application: &Arc<str>,
        data: &str,
        place: Option<Place>,
        at: usize,
    ) -> After {
        let data = expand(data, caller);
        let Some(hop) = self.journey.hops.get_mut(at) else { return After::Ended };
        let application = Arc::clone(application);
        let refused = caller.world.refuses(&application);
        let ends = refused.is_some();
        hop.executed.push(Executed {
            application: application.clone(),
            data: data.clone(),
            place,
            refused,
        });
        if ends {
            return After::Ended;
        }
        let depth = hop.depth;
        let (scope, rest) = scope_variables(&data);
        let argument = if scope.is_empty() { &*data } else { rest };
        match application.to_ascii_lowercase().as_str() {
            "transfer" if transfer(caller, argument) => After::Transferred,
            "execute_extension" => self.subroutine(caller, argument, depth),
            "bridge" => {
                self.loopbacks(caller, argument, depth);
                After::Next
            }
            "ivr" => self.menu(caller, argument.trim(), at),
            "hangup" | "redirect" => After::Ended,
            // Provisional answers do not end a call.
            "respond" if !matches!(leading_integer(argument), 100..=299) => After::Ended,
            other => {
                caller.run(other, argument);
                if caller.gone { After::Ended } else { After::Next }
            }
        }
    }

    fn subroutine(&mut self, caller: &mut Caller, argument: &str, depth: usize) -> After {
        let before = caller.fields.clone();
        redirect(caller, &split(argument, ' ', 3));
        let after = self.hop(caller, depth + 1);
        if after == After::Next {
            caller.fields = before;
        }
        after
    }

    /// The far ends of `loopback/number/context` legs are calls of their own.
    fn loopbacks(&mut self, caller: &Caller, dial_string: &str, depth: usize) {
        for leg in crate::check::legs_to(dial_string, "loopback") {
            let words: Vec<&str> = leg.split('/').collect();
            let number = words.first().copied().unwrap_or_default();
            if number.is_empty() || number.starts_with("app=") {
                continue;
            }
            let mut far = caller.clone();
            far.set_field("destination_number", number);
            far.set_field("dialplan", words.get(2).copied().unwrap_or("XML"));
            far.set_field("context", words.get(1).copied().unwrap_or("default"));
            while self.hop(&mut far, depth + 1) == After::Transferred {}
        }
    }

    /// A menu, as far as the caller has something to key in.
    fn menu(&mut self, caller: &mut Caller, name: &str, at: usize) -> After {
        let world = caller.world.clone();
        let mut open = vec![name.to_owned()];
        while let Some(menu) = open.last().and_then(|name| world.menu(name)) {
            let Some(typed) = caller.keys_in() else { break };
            match menu.choose(&typed) {
                None | Some(Choice::Play) => {}
                Some(Choice::Exit) => break,
                Some(Choice::Back) => drop(open.pop()),
                Some(Choice::Top) => open.truncate(1),
                Some(Choice::Sub(name)) => open.push(name),
                Some(Choice::Transfer(target)) => {
                    redirect(caller, &split(&target, ' ', 3));
                    return After::Transferred;
                }
                Some(Choice::Execute { application, data, place }) => {
                    let after = self.run(caller, &application.into(), &data, Some(place), at);
                    if after != After::Next {
                        return after;
                    }
                }
            }
        }
        After::Next
    }
}

/// Applies `transfer`; false when it concerns another leg or is empty.
fn transfer(caller: &mut Caller, argument: &str) -> bool {
    let words = split(argument, ' ', 4);
    match words.first().map(String::as_str) {
        None | Some("" | "-bleg") => return false,
        Some("-both") => redirect(caller, words.get(1..).unwrap_or_default()),
        Some(_) => redirect(caller, &words),
    }
    true
}

fn redirect(caller: &mut Caller, words: &[String]) {
    let rdnis = caller.field_or_empty("destination_number").to_owned();
    caller.set_field("rdnis", &rdnis);
    for (name, word) in ["destination_number", "dialplan", "context"].iter().zip(words) {
        caller.set_field(name, word);
    }
    if words.len() < 2 && caller.field_or_empty("dialplan").eq_ignore_ascii_case("inline") {
        caller.set_field("dialplan", "XML");
    }
}
