//! A call that exists on paper only: decisions are made for it, and the applications that steer it
//! (`set`, `transfer`, `execute_extension` …) are followed, but nothing rings.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};

use crate::dialplan::{Action, Dialplan, RouteRequest, Routed, Trace, parse_inline};
use crate::expand::{expand, scope_variables};
use crate::text::{is_true, split};
use crate::{Globals, Host, LogLevel, Place};

/// How many transfers are followed.
pub const MAX_HOPS: usize = 20;

/// A call on paper.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Caller-profile fields by lower-case name.
    pub fields: BTreeMap<String, String>,
    /// Channel variables by lower-case name.
    variables: BTreeMap<String, Value>,
    /// Global variables.
    pub globals: Globals,
    /// The time it is decided at.
    pub now: Timestamp,
    /// The server's time zone.
    pub zone: TimeZone,
    /// What API commands answer, by `command arguments`. Others answer nothing.
    pub replies: BTreeMap<String, String>,
    /// API commands that were asked and had no answer here.
    pub unanswered: Vec<String>,
}

#[derive(Clone, Debug)]
enum Value {
    Plain(String),
    Array(Vec<String>),
}

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
    /// `execute_extension` depth.
    pub depth: usize,
    /// The decision.
    pub routed: Routed,
    /// What was run, with expanded arguments.
    pub executed: Vec<Executed>,
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
}

impl Caller {
    /// A call to a number in a context.
    pub fn new(destination: &str, context: &str) -> Self {
        let mut caller = Self {
            fields: BTreeMap::new(),
            variables: BTreeMap::new(),
            globals: Globals::new(),
            now: Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            replies: BTreeMap::new(),
            unanswered: Vec::new(),
        };
        let fields = [
            ("destination_number", destination),
            ("context", context),
            ("dialplan", "XML"),
            ("caller_id_name", ""),
            ("caller_id_number", "0000000000"),
            ("source", "mod_sofia"),
        ];
        for (name, value) in fields {
            caller.set_field(name, value);
        }
        caller
    }

    /// Sets a caller-profile field.
    pub fn set_field(&mut self, name: &str, value: &str) {
        self.fields.insert(name.to_ascii_lowercase(), value.to_owned());
    }

    /// A field, or the empty string.
    pub fn field_or_empty(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |v| v)
    }

    /// The text of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        match self.variables.get(&name.to_ascii_lowercase())? {
            Value::Plain(text) => Some(text.clone()),
            Value::Array(items) if items.len() == 1 => items.first().cloned(),
            Value::Array(items) => Some(format!("ARRAY::{}", items.join("|:"))),
        }
    }

    /// What `set` does: `name=value`, or `name,value`; the value is expanded a second time.
    fn assign(&mut self, data: &str) {
        let Some((name, value)) = data.split_once('=').or_else(|| data.split_once(',')) else {
            return self.set_variable(data, None);
        };
        let value = expand(value, self);
        self.set_variable(name, Some(&value));
    }

    fn run(&mut self, application: &str, data: &str) {
        match application.to_ascii_lowercase().as_str() {
            "set" => self.assign(data),
            "export" => {
                let local = !(data.starts_with("nolocal:") || data.starts_with("_nolocal_"));
                if local {
                    self.assign(data);
                }
            }
            "multiset" => split(data, ' ', usize::MAX).iter().for_each(|pair| self.assign(pair)),
            "unset" => self.set_variable(data, None),
            "multiunset" => {
                let names = split(data, ' ', usize::MAX);
                names.iter().for_each(|name| self.set_variable(name, None));
            }
            "push" => {
                if let Some((name, value)) = data.split_once('=') {
                    self.push_variable(name, value);
                }
            }
            "set_global" => {
                if let Some((name, value)) = data.split_once('=') {
                    self.globals.set(name, value);
                }
            }
            "set_profile_var" => {
                if let Some((name, value)) = data.split_once('=') {
                    self.set_field(name, value);
                }
            }
            _ => {}
        }
    }

    fn request(&self) -> RouteRequest {
        RouteRequest {
            context: self.field_or_empty("context").to_owned(),
            destination_number: self.field_or_empty("destination_number").to_owned(),
            caller_id_name: self.field_or_empty("caller_id_name").to_owned(),
            caller_id_number: self.field_or_empty("caller_id_number").to_owned(),
            auto_hunt: self.get("auto_hunt").is_some_and(|v| is_true(&v)),
        }
    }
}

/// Decides for a call and follows it through transfers and sub-routines.
pub fn follow(dialplan: &Dialplan, caller: &mut Caller, trace: Trace) -> Journey {
    let mut journey = Journey::default();
    let mut next = Some(());
    while next.take().is_some() {
        if journey.hops.len() >= MAX_HOPS {
            journey.endless = true;
            break;
        }
        next = hop(dialplan, caller, trace, 0, &mut journey).then_some(());
    }
    journey
}

/// One decision. True when the call was transferred and has to be decided again.
fn hop(
    dialplan: &Dialplan,
    caller: &mut Caller,
    trace: Trace,
    depth: usize,
    journey: &mut Journey,
) -> bool {
    let destination = caller.field_or_empty("destination_number").to_owned();
    let context = caller.field_or_empty("context").to_owned();
    let name = caller.field_or_empty("dialplan").to_owned();
    let inline = name.split(',').next().unwrap_or_default().eq_ignore_ascii_case("inline");
    let routed = if inline {
        Routed { extension: Some("inline".into()), context_found: true, ..Routed::default() }
    } else {
        dialplan.route(&caller.request(), caller, trace)
    };
    let actions: Vec<(Arc<str>, String, Option<Place>)> = if inline {
        let list = parse_inline(&destination).into_iter();
        list.map(|a| (a.application.into(), a.data, None)).collect()
    } else {
        let list = routed.actions.iter();
        let parts = |a: &Action| (a.application.clone(), a.data.to_string(), Some(a.place.clone()));
        list.map(parts).collect()
    };
    let at = journey.hops.len();
    let executed = Vec::new();
    journey.hops.push(Hop { destination, context, dialplan: name, depth, routed, executed });
    for (application, data, place) in actions {
        let data = expand(&data, caller);
        if let Some(hop) = journey.hops.get_mut(at) {
            let application = application.clone();
            hop.executed.push(Executed { application, data: data.clone(), place });
        }
        let (scope, rest) = scope_variables(&data);
        let argument = if scope.is_empty() { &*data } else { rest };
        if application.eq_ignore_ascii_case("transfer") {
            if transfer(caller, argument) {
                return true;
            }
        } else if application.eq_ignore_ascii_case("execute_extension") {
            if journey.hops.len() >= MAX_HOPS {
                journey.endless = true;
                return false;
            }
            let before = caller.fields.clone();
            redirect(caller, &split(argument, ' ', 3));
            let gone = hop(dialplan, caller, trace, depth + 1, journey);
            if gone {
                return true;
            }
            caller.fields = before;
        } else {
            caller.run(&application, argument);
        }
    }
    false
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

impl Host for Caller {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.get(name)
    }
    fn element(&mut self, name: &str, index: usize) -> Option<String> {
        match self.variables.get(&name.to_ascii_lowercase())? {
            Value::Plain(_) => None,
            Value::Array(items) => items.get(index).cloned(),
        }
    }
    fn set_variable(&mut self, name: &str, value: Option<&str>) {
        let name = name.to_ascii_lowercase();
        let Some(text) = value.filter(|v| !v.is_empty()) else {
            self.variables.remove(&name);
            return;
        };
        let value = match text.strip_prefix("ARRAY::") {
            Some(items) => Value::Array(items.split("|:").map(str::to_owned).collect()),
            None => Value::Plain(text.to_owned()),
        };
        self.variables.insert(name, value);
    }
    fn push_variable(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        let old = self.variables.remove(&name);
        if value.is_empty() {
            return;
        }
        let mut items = match old {
            None => Vec::new(),
            Some(Value::Plain(text)) => vec![text],
            Some(Value::Array(items)) => items,
        };
        items.push(value.to_owned());
        self.variables.insert(name, Value::Array(items));
    }
    fn clear_variables(&mut self, prefix: &str) {
        let prefix = prefix.to_ascii_lowercase();
        self.variables.retain(|name, _| !name.starts_with(&prefix));
    }
    fn field(&mut self, name: &str) -> Option<String> {
        self.fields.get(&name.to_ascii_lowercase()).cloned()
    }
    fn global(&self, name: &str) -> Option<String> {
        self.globals.get(name).map(str::to_owned)
    }
    fn api(&mut self, command: &str, args: &str) -> Option<String> {
        let asked = format!("{command} {args}");
        let reply = self.replies.get(asked.trim()).or_else(|| self.replies.get(command)).cloned();
        if reply.is_none() {
            self.unanswered.push(asked.trim().to_owned());
        }
        reply
    }
    fn run_inline(&mut self, application: &str, data: &str) {
        let data = expand(data, self);
        self.run(application, &data);
    }
    fn now(&self) -> Timestamp {
        self.now
    }
    fn local_zone(&self) -> TimeZone {
        self.zone.clone()
    }
    fn logs(&self, _: LogLevel) -> bool {
        false
    }
}
