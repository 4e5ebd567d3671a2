//! `ferroswitch dialplan test FILE`: what a dialplan is expected to do, written down, with the
//! share of extensions that was tried.
//!
//! A fixture file is plain text. A `call` line starts a case; what follows belongs to it:
//!
//! ```text
//! # Desk phones call each other
//! call 1001 in default
//!   set user_context=default        a channel variable
//!   field caller_id_number=1000     a caller-profile field
//!   global domain=example.test      a global variable
//!   time 2026-03-04T12:30:00Z       when it happens (any RFC 3339 time)
//!   zone Europe/Oslo                the server's time zone
//!   api module_exists mod_enum=true what an API command answers
//!   extension Local_Extension       an extension that matches
//!   runs bridge user/1001@example.test
//!   runs set                        an application, whatever its argument
//!   never voicemail                 an application that must not run
//!   reaches 1001 in features        a transfer leads there
//!   no route                        nothing is found
//! ```
//!
//! `runs` lines must occur in that order; other applications may stand between them. Without a
//! `time`, a call arrives on a Wednesday at noon (UTC), so that a test says the same every day.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::dialplan::{Dialplan, StepKind, Trace};
use crate::simulate::{Caller, Executed, Journey, follow};
use crate::{Diagnostic, Globals, Host as _, Place};

/// When a call arrives that has no `time`.
const NOON: &str = "2025-01-01T12:00:00Z";

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
    /// Nothing is found.
    NoRoute,
}

/// What became of a fixture file.
pub struct Outcome {
    /// How many calls there were.
    pub calls: usize,
    /// What did not hold, and lines that cannot be read.
    pub failures: Vec<Diagnostic>,
    /// Extensions that made or added to a list, by context and name.
    pub covered: BTreeSet<(String, String)>,
    /// All extensions of the contexts that were used, with their places.
    pub extensions: Vec<(String, String, Place)>,
}

/// Reads a fixture file. `globals` are those of the configuration.
pub fn parse(text: &str, file: &str, globals: &Globals) -> (Vec<Case>, Vec<Diagnostic>) {
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
            new_case(rest, &place, globals).map(|case| cases.push(case))
        } else {
            match cases.last_mut() {
                Some(case) => case.line(verb, rest, &place),
                None => Err("a file starts with: call NUMBER in CONTEXT".to_owned()),
            }
        };
        if let Err(message) = read {
            problems.push(Diagnostic::error("fixture-syntax", message, Some(place)));
        }
    }
    (cases, problems)
}

fn new_case(rest: &str, place: &Place, globals: &Globals) -> Result<Case, String> {
    let Some((number, context)) = number_in_context(rest) else {
        return Err(format!("\"call {rest}\" is not: call NUMBER in CONTEXT"));
    };
    let mut caller = Caller::new(number, context);
    caller.globals = globals.clone();
    caller.now = NOON.parse().unwrap_or_default();
    Ok(Case { title: rest.to_owned(), caller, expectations: Vec::new(), place: place.clone() })
}

fn number_in_context(text: &str) -> Option<(&str, &str)> {
    let (number, context) = text.rsplit_once(" in ")?;
    Some((number.trim(), context.trim()))
}

impl Case {
    fn line(&mut self, verb: &str, rest: &str, place: &Place) -> Result<(), String> {
        let pair = || {
            let wrong = || format!("\"{verb} {rest}\" is not: {verb} NAME=VALUE");
            rest.split_once('=').map(|(n, v)| (n.trim(), v)).ok_or_else(wrong)
        };
        let expectation = match verb {
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
            "no" if rest == "route" => Expectation::NoRoute,
            _ => {
                let verbs = [
                    "call",
                    "set",
                    "field",
                    "global",
                    "time",
                    "zone",
                    "api",
                    "extension",
                    "runs",
                    "never",
                    "reaches",
                ];
                let near = crate::catalogue::nearest(verb, verbs);
                let hint = near.map(|n| format!(" (did you mean \"{n}\"?)")).unwrap_or_default();
                return Err(format!("\"{verb}\" means nothing here{hint}"));
            }
        };
        self.expectations.push((place.clone(), expectation));
        Ok(())
    }
}

/// Runs the cases of a fixture file.
pub fn run(dialplan: &Dialplan, text: &str, file: &str, globals: &Globals) -> Outcome {
    let (cases, failures) = parse(text, file, globals);
    let mut outcome =
        Outcome { calls: cases.len(), failures, covered: BTreeSet::new(), extensions: Vec::new() };
    let mut contexts = BTreeSet::new();
    for case in &cases {
        let mut caller = case.caller.clone();
        let journey = follow(dialplan, &mut caller, Trace::On);
        for hop in &journey.hops {
            contexts.insert(hop.context.clone());
            for step in &hop.routed.trace {
                if let StepKind::Decided { name, matched: true, .. } = &step.kind {
                    outcome.covered.insert((hop.context.clone(), name.to_string()));
                }
            }
        }
        outcome.failures.extend(judge(case, &journey));
    }
    for context in contexts {
        let all = dialplan.extensions(&context);
        outcome.extensions.extend(all.map(|(n, p)| (context.clone(), n.to_owned(), p.clone())));
    }
    outcome
}

/// What of a case did not hold.
fn judge(case: &Case, journey: &Journey) -> Vec<Diagnostic> {
    let runs: Vec<&Executed> = journey.hops.iter().flat_map(|h| &h.executed).collect();
    let mut next = 0;
    let mut failures = Vec::new();
    for (place, expectation) in &case.expectations {
        let said = match expectation {
            Expectation::Extension(name) => {
                let matched = matched(journey);
                (!matched.contains(&name.as_str()))
                    .then(|| format!("extension {name} was expected, {}", found(&matched)))
            }
            Expectation::Runs(name, data) => {
                let fits = |run: &&Executed| {
                    run.application.eq_ignore_ascii_case(name)
                        && data.as_ref().is_none_or(|d| *d == run.data)
                };
                let rest = runs.get(next..).unwrap_or_default();
                match rest.iter().position(fits) {
                    Some(at) => {
                        next += at + 1;
                        None
                    }
                    None => Some(missing(name, data.as_deref(), rest)),
                }
            }
            Expectation::Never(name) => {
                let run = runs.iter().find(|r| r.application.eq_ignore_ascii_case(name));
                run.map(|r| format!("{name} was not to run, and runs with \"{}\"", r.data))
            }
            Expectation::Reaches(number, context) => {
                let there = journey
                    .hops
                    .iter()
                    .any(|h| h.destination == *number && h.context.eq_ignore_ascii_case(context));
                (!there).then(|| format!("the call does not reach {number} in {context}"))
            }
            Expectation::NoRoute => {
                let last = journey.hops.last().and_then(|h| h.routed.extension.as_deref());
                last.map(|name| format!("no route was expected, extension {name} was found"))
            }
        };
        if let Some(message) = said {
            let message = format!("call {}: {message}", case.title);
            failures.push(Diagnostic::error("fixture-failed", message, Some(place.clone())));
        }
    }
    failures
}

/// Names of the extensions that matched, in order.
fn matched(journey: &Journey) -> Vec<&str> {
    let steps = journey.hops.iter().flat_map(|hop| &hop.routed.trace);
    steps
        .filter_map(|step| match &step.kind {
            StepKind::Decided { name, matched: true, .. } => Some(&**name),
            _ => None,
        })
        .collect()
}

fn found(made: &[&str]) -> String {
    if made.is_empty() {
        "nothing was found".to_owned()
    } else {
        format!("{} was found", made.join(", "))
    }
}

fn missing(name: &str, data: Option<&str>, rest: &[&Executed]) -> String {
    let wanted = data.map_or_else(|| name.to_owned(), |d| format!("{name} with \"{d}\""));
    let others: Vec<_> = rest
        .iter()
        .filter(|r| r.application.eq_ignore_ascii_case(name))
        .map(|r| format!("\"{}\"", r.data))
        .collect();
    if others.is_empty() {
        format!("{wanted} does not run")
    } else {
        format!("{wanted} does not run; {name} runs with {}", others.join(", "))
    }
}

impl Outcome {
    /// Exit status for a command: 1 when anything failed.
    pub fn exit_status(&self) -> u8 {
        u8::from(!self.failures.is_empty())
    }

    /// Extensions of the contexts that were used and no call matched.
    pub fn uncovered(&self) -> impl Iterator<Item = &(String, String, Place)> {
        self.extensions.iter().filter(|(c, n, _)| !self.covered.contains(&(c.clone(), n.clone())))
    }

    /// The report as text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for failure in &self.failures {
            let _ = writeln!(out, "{failure}");
        }
        let missed: Vec<_> = self.uncovered().collect();
        let (all, tried) = (self.extensions.len(), self.extensions.len() - missed.len());
        let percent = (tried * 100).checked_div(all).unwrap_or(100);
        let s = if self.calls == 1 { "" } else { "s" };
        let failed = self.failures.len();
        let _ = writeln!(
            out,
            "{} call{s}, {failed} failed; {tried} of {all} extensions tried ({percent}%)",
            self.calls
        );
        for (context, name, place) in missed {
            let _ = writeln!(out, "  not tried: {context}/{name} {place}");
        }
        out
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let missed = self.uncovered().map(
            |(c, n, p)| serde_json::json!({"context": c, "extension": n, "place": p.to_string()}),
        );
        serde_json::json!({
            "calls": self.calls,
            "failures": self.failures.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
            "extensions": self.extensions.len(),
            "not_tried": missed.collect::<Vec<_>>(),
        })
    }
}
