//! The call itself: its profile, its variables, what it knows of the world.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use jiff::{Timestamp, tz::TimeZone};

use super::World;
use crate::dialplan::RouteRequest;
use crate::directory::User;
use crate::expand::expand;
use crate::regex::Pattern;
use crate::text::{is_true, split};
use crate::{Globals, Host, Later, LogLevel};

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
    /// What the caller keys in when asked for digits, one text for each time.
    pub typed: VecDeque<String>,
    /// Menus, access lists, the source of answers to API commands.
    pub world: World,
    /// Whether digits were asked for and nothing was left to key in.
    pub speechless: bool,
    /// Whether the call was hung up while it was routed.
    pub(super) gone: bool,
}

#[derive(Clone, Debug)]
enum Value {
    Plain(String),
    Array(Vec<String>),
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
            typed: VecDeque::new(),
            world: World::default(),
            speechless: false,
            gone: false,
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

    /// Makes it a call of a user who said the password: with the user's variables, caller id and
    /// context.
    pub fn come_from(&mut self, user: &User) {
        for variable in user.variables.iter() {
            self.set_variable(&variable.name, Some(&variable.value));
        }
        self.set_variable("user_name", Some(&user.id));
        self.set_variable("domain_name", Some(&user.domain));
        self.set_field("username", &user.id);
        self.set_field("caller_id_number", &user.id);
        if let Some(context) = user.variables.get("user_context") {
            let context = context.to_owned();
            self.set_field("context", &context);
        }
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

    /// Does what an application does to the call's own data.
    pub(super) fn run(&mut self, application: &str, data: &str) {
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
            "check_acl" => self.gone |= self.refused(data),
            "read" => self.asked(data, 3, None),
            "play_and_get_digits" => self.asked(data, 7, Some(8)),
            _ => {}
        }
    }

    /// `read` and `play_and_get_digits`: the next digits the caller keys in go to the variable whose
    /// name is word `variable`, if they match the expression that is word `expression`.
    fn asked(&mut self, data: &str, variable: usize, expression: Option<usize>) {
        let words = split(data, ' ', usize::MAX);
        let Some(name) = words.get(variable) else { return };
        let typed = self.keys_in().unwrap_or_default();
        let fits = expression.and_then(|at| words.get(at)).is_none_or(|expression| {
            Pattern::cached(expression).is_ok_and(|pattern| pattern.is_match(&typed))
        });
        let result = if typed.is_empty() { "timeout" } else { "success" };
        self.set_variable("read_result", Some(result));
        self.set_variable(name, Some(&typed).filter(|_| fits).map(String::as_str));
    }

    /// What is keyed in next.
    pub(super) fn keys_in(&mut self) -> Option<String> {
        let typed = self.typed.pop_front();
        self.speechless |= typed.is_none();
        typed
    }

    /// Whether `check_acl ADDRESS LIST` hangs the call up.
    fn refused(&self, data: &str) -> bool {
        let words = split(data, ' ', 3);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let address = word(0).parse::<IpAddr>().ok();
        address.and_then(|ip| self.world.allows(word(1), ip)) == Some(false)
    }

    pub(super) fn request(&self) -> RouteRequest {
        RouteRequest {
            context: self.field_or_empty("context").to_owned(),
            destination_number: self.field_or_empty("destination_number").to_owned(),
            caller_id_name: self.field_or_empty("caller_id_name").to_owned(),
            caller_id_number: self.field_or_empty("caller_id_number").to_owned(),
            auto_hunt: self.get("auto_hunt").is_some_and(|v| is_true(&v)),
        }
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
    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        let asked = format!("{command} {args}");
        let given = self.replies.get(asked.trim()).or_else(|| self.replies.get(command)).cloned();
        let reply = given.or_else(|| self.world.clone().answer(command, args, self));
        if reply.is_none() {
            self.unanswered.push(asked.trim().to_owned());
        }
        Later::Now(reply)
    }
    fn run_inline<'a>(&'a mut self, application: &'a str, data: &'a str) -> Later<'a, ()> {
        let data = expand(data, self);
        self.run(application, &data);
        Later::Now(())
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
