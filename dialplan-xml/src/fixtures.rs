//! `ferroswitch dialplan test FILE`: what a dialplan is expected to do, written down, with the
//! share of extensions that was tried.
//!
//! A fixture file is plain text. A `call` line starts a case; what follows belongs to it:
//!
//! ```text
//! # Desk phones call each other
//! call 1001 in default
//!   user 1000@example.test          a user of the directory makes it: variables, context, caller id
//!   set user_context=default        a channel variable
//!   field caller_id_number=1000     a caller-profile field
//!   global domain=example.test      a global variable
//!   time 2026-03-04T12:30:00Z       when it happens (any RFC 3339 time)
//!   zone Europe/Oslo                the server's time zone
//!   api module_exists mod_enum=true what an API command answers
//!   types 1000                      what the caller keys in; a line for each time it is asked
//!   extension Local_Extension       an extension that matches
//!   runs bridge user/1001@example.test
//!   runs set                        an application, whatever its argument
//!   never voicemail                 an application that must not run
//!   reaches 1001 in features        a transfer leads there
//!   has call_timeout=30             a variable has this value in the end
//!   no route                        nothing is found
//! ```
//!
//! `runs` lines must occur in that order; other applications may stand between them. Without a
//! `time`, a call arrives on a Wednesday at noon (UTC), so that a test says the same every day.

mod judge;
mod outcome;

use jiff::{Timestamp, tz::TimeZone};

use crate::dialplan::Trace;
use crate::simulate::{Caller, Setting, follow};
use crate::{Diagnostic, Host as _, Place, Sources};

pub use outcome::{Coverage, Judged, Outcome};

/// When a call arrives that has no `time`.
const NOON: &str = "2025-01-01T12:00:00Z";

/// First words of lines.
const VERBS: [&str; 15] = [
    "call",
    "user",
    "set",
    "field",
    "global",
    "time",
    "zone",
    "api",
    "types",
    "extension",
    "runs",
    "never",
    "reaches",
    "has",
    "no",
];

/// One call and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// `number in context`, for messages.
    pub title: String,
    /// The call.
    pub caller: Caller,
    /// What is expected, with the line it is written on.
    pub expectations: Vec<(Place, Expectation)>,
    /// Where it is written.
    pub place: Place,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This extension matches.
    Extension(String),
    /// An application runs, with this argument if one is given.
    Runs(String, Option<String>),
    /// An application does not run.
    Never(String),
    /// A transfer leads to a number in a context.
    Reaches(String, String),
    /// A variable has this value when the call has been followed.
    Has(String, String),
    /// Nothing is found.
    NoRoute,
}

/// Reads a fixture file about a configuration.
pub fn parse(text: &str, file: &str, setting: &Setting) -> (Vec<Case>, Vec<Diagnostic>) {
    let mut cases: Vec<Case> = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let column = line.len() - line.trim_start().len() + 1;
        let place = Place::new(file, number, u32::try_from(column).unwrap_or(0));
        let (verb, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let rest = rest.trim();
        let read = if verb == "call" {
            new_case(rest, &place, setting).map(|case| cases.push(case))
        } else {
            match cases.last_mut() {
                Some(case) => case.line(verb, rest, &place, setting),
                None => Err("a file starts with: call NUMBER in CONTEXT".to_owned()),
            }
        };
        if let Err(message) = read {
            problems.push(Diagnostic::error("fixture-syntax", message, Some(place)));
        }
    }
    for case in cases.iter().filter(|case| case.expectations.is_empty()) {
        let message = format!("call {} expects nothing", case.title);
        let found = Diagnostic::error("fixture-syntax", message, Some(case.place.clone()));
        problems.push(found.with_hint("say what is to happen: extension, runs, never, no route …"));
    }
    (cases, problems)
}

fn new_case(rest: &str, place: &Place, setting: &Setting) -> Result<Case, String> {
    let Some((number, context)) = number_in_context(rest) else {
        return Err(format!("\"call {rest}\" is not: call NUMBER in CONTEXT"));
    };
    let mut caller = setting.caller(number, context);
    caller.now = NOON.parse().unwrap_or_default();
    Ok(Case { title: rest.to_owned(), caller, expectations: Vec::new(), place: place.clone() })
}

fn number_in_context(text: &str) -> Option<(&str, &str)> {
    let (number, context) = text.rsplit_once(" in ")?;
    Some((number.trim(), context.trim()))
}

impl Case {
    fn line(
        &mut self,
        verb: &str,
        rest: &str,
        place: &Place,
        setting: &Setting,
    ) -> Result<(), String> {
        let pair = || {
            let wrong = || format!("\"{verb} {rest}\" is not: {verb} NAME=VALUE");
            rest.split_once('=').map(|(n, v)| (n.trim(), v)).ok_or_else(wrong)
        };
        let expectation = match verb {
            "user" => {
                let user = setting.user(rest).ok_or_else(|| format!("there is no user {rest}"))?;
                let context = self.caller.field_or_empty("context").to_owned();
                self.caller.come_from(&user);
                // The context a case names is the one it means.
                self.caller.set_field("context", &context);
                return Ok(());
            }
            "types" => {
                self.caller.typed.push_back(rest.to_owned());
                return Ok(());
            }
            "set" => {
                let (name, value) = pair()?;
                self.caller.set_variable(name, Some(value));
                return Ok(());
            }
            "field" => {
                let (name, value) = pair()?;
                self.caller.set_field(name, value);
                return Ok(());
            }
            "global" => {
                let (name, value) = pair()?;
                self.caller.globals.set(name, value);
                return Ok(());
            }
            "api" => {
                let (asked, reply) = pair()?;
                self.caller.replies.insert(asked.to_owned(), reply.to_owned());
                return Ok(());
            }
            "time" => {
                let wrong =
                    |e| format!("\"{rest}\" is not a time such as 2026-03-04T12:30:00Z: {e}");
                self.caller.now = rest.parse::<Timestamp>().map_err(wrong)?;
                return Ok(());
            }
            "zone" => {
                let wrong = |e| format!("\"{rest}\" is not a time zone: {e}");
                self.caller.zone = TimeZone::get(rest).map_err(wrong)?;
                return Ok(());
            }
            "extension" => Expectation::Extension(rest.to_owned()),
            "runs" => {
                let (name, data) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let data = Some(data.trim().to_owned()).filter(|d| !d.is_empty());
                Expectation::Runs(name.to_owned(), data)
            }
            "never" => Expectation::Never(rest.to_owned()),
            "reaches" => {
                let wrong = || format!("\"reaches {rest}\" is not: reaches NUMBER in CONTEXT");
                let (number, context) = number_in_context(rest).ok_or_else(wrong)?;
                Expectation::Reaches(number.to_owned(), context.to_owned())
            }
            "has" => {
                let (name, value) = pair()?;
                Expectation::Has(name.to_owned(), value.to_owned())
            }
            "no" if rest == "route" => Expectation::NoRoute,
            _ => {
                let near = crate::catalogue::nearest(verb, VERBS);
                let hint = near.map(|n| format!(" (did you mean \"{n}\"?)")).unwrap_or_default();
                return Err(format!("\"{verb}\" means nothing here{hint}"));
            }
        };
        self.expectations.push((place.clone(), expectation));
        Ok(())
    }
}

/// Runs the cases of a fixture file.
pub fn run(setting: &Setting, text: &str, file: &str) -> Outcome {
    let (cases, problems) = parse(text, file, setting);
    let mut coverage = Coverage::of(&setting.dialplan);
    let mut judged = Vec::new();
    for case in &cases {
        let mut caller = case.caller.clone();
        let journey = follow(&setting.dialplan, &mut caller, Trace::On);
        coverage.add(&journey);
        judged.push(judge::judge(case, &journey, &caller));
    }
    let mut sources = Sources::default();
    sources.insert(file.into(), text.into());
    Outcome { problems, cases: judged, coverage, sources }
}
