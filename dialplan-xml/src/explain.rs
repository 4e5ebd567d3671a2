//! `ferroswitch explain`: why a call goes where it goes, as a readable tree.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::dialplan::{Dialplan, Step, StepKind, Trace};
use crate::simulate::{Caller, Executed, Hop, Journey, follow};
use crate::{Paint, Place};

/// A call explained.
pub struct Explanation {
    /// Where it led, with the steps of every decision.
    pub journey: Journey,
    /// API commands it asked for that have no answer outside a running switch.
    pub unanswered: Vec<String>,
    /// Whether the caller is asked for digits and has none left to key in.
    pub waits_for_digits: bool,
}

/// Decides for a call on paper and writes down every step.
pub fn explain(dialplan: &Dialplan, caller: &mut Caller) -> Explanation {
    let journey = follow(dialplan, caller, Trace::On);
    let unanswered = std::mem::take(&mut caller.unanswered);
    Explanation { journey, unanswered, waits_for_digits: caller.speechless }
}

impl Explanation {
    /// Exit status for a command: 0 when something was found for the call and can run, else 1.
    pub fn exit_status(&self) -> u8 {
        let refused = |hop: &Hop| hop.executed.iter().any(|run| run.refused.is_some());
        let hops = &self.journey.hops;
        let lost = hops.last().is_none_or(|hop| hop.routed.extension.is_none());
        u8::from(lost || hops.iter().any(refused))
    }

    /// The tree as text. Extensions that did not match are one line each, unless `verbose`.
    pub fn to_text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for hop in &self.journey.hops {
            write_hop(&mut out, hop, verbose);
        }
        if self.journey.endless {
            out.push_str("the call is transferred on and on; nothing more is followed\n");
        }
        if self.waits_for_digits {
            out.push_str("the caller is asked for digits: what is keyed in decides what follows\n");
        }
        if !self.unanswered.is_empty() {
            out.push_str("API commands that only a running switch can answer (taken as empty):\n");
            let mut seen: Vec<&String> = Vec::new();
            for asked in &self.unanswered {
                if !seen.contains(&asked) {
                    seen.push(asked);
                    let _ = writeln!(out, "  {asked}");
                }
            }
        }
        out
    }

    /// The same for a terminal.
    pub fn to_coloured(&self, verbose: bool, paint: Paint) -> String {
        self.to_text(verbose).lines().map(|line| painted(line, paint) + "\n").collect()
    }

    /// The tree as one JSON object.
    pub fn to_json(&self) -> Value {
        let hops: Vec<_> = self.journey.hops.iter().map(hop_json).collect();
        json!({
            "hops": hops,
            "endless": self.journey.endless,
            "waits_for_digits": self.waits_for_digits,
            "unanswered": self.unanswered,
        })
    }
}

/// A line of the tree in colours: what matched stands out, places stand back.
fn painted(line: &str, paint: Paint) -> String {
    let (text, place) = match line.rfind("    # ") {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let text = match text.trim_start() {
        rest if rest.starts_with("+ ") => paint.good(text),
        rest if rest.starts_with("=> no route") || rest.contains(") FAILS: ") => paint.bad(text),
        rest if rest.starts_with("=> ") => paint.strong(text),
        rest if rest.starts_with("- ") || rest.contains("does not") => paint.faint(text),
        _ => text.to_owned(),
    };
    text + &paint.faint(place)
}

/// Where a call went, without the steps of the decisions.
pub fn story(journey: &Journey) -> String {
    let mut out = String::new();
    for hop in &journey.hops {
        let indent = "  ".repeat(hop.depth);
        let end = match &hop.routed.extension {
            Some(name) => format!("extension {name}"),
            None => "no route".to_owned(),
        };
        let _ = writeln!(out, "{indent}{} in {} => {end}", hop.destination, hop.context);
        for run in &hop.executed {
            let _ = writeln!(out, "{indent}   {}", executed(run));
        }
    }
    if journey.endless {
        out.push_str("the call is transferred on and on; nothing more is followed\n");
    }
    out
}

/// The steps of one decision as JSON.
pub fn steps_to_json(steps: &[Step]) -> Value {
    steps.iter().map(step_json).collect()
}

fn write_hop(out: &mut String, hop: &Hop, verbose: bool) {
    let indent = "  ".repeat(hop.depth);
    let (number, context) = (&hop.destination, &hop.context);
    let _ = writeln!(out, "{indent}{number} in context {context} ({})", hop.dialplan);
    if !hop.routed.context_found {
        let _ =
            writeln!(out, "{indent}  there is no context \"{context}\" and no context \"global\"");
    }
    let mut steps = String::new();
    write_steps(&mut steps, &hop.routed.trace, verbose);
    for line in steps.lines() {
        let _ = writeln!(out, "{indent}  {line}");
    }
    match &hop.routed.extension {
        None => {
            let _ = writeln!(out, "{indent}=> no route: the call ends with NO_ROUTE_DESTINATION");
        }
        Some(name) => {
            let _ = writeln!(out, "{indent}=> extension {name}");
        }
    }
    for run in &hop.executed {
        let _ = writeln!(out, "{indent}   {}", executed(run));
    }
    match (hop.ended, hop.skipped) {
        (false, 0) => {}
        (true, 0) => out.push_str(&format!("{indent}   the call ends here\n")),
        (ended, skipped) => {
            let why = if ended { "the call ends here" } else { "the call goes elsewhere" };
            let _ = writeln!(out, "{indent}   {why}: {skipped} more not run");
        }
    }
    out.push('\n');
}

fn executed(run: &Executed) -> String {
    let Executed { application, data, place, refused } = run;
    let place = place.as_ref().map(|p| format!("    # {}", short(p))).unwrap_or_default();
    let why = refused.as_ref().map(|why| format!(" FAILS: {why}")).unwrap_or_default();
    format!("{application}({data}){why}{place}")
}

/// An extension and its steps: those that did not match are shown in full only when asked for.
fn write_steps(out: &mut String, steps: &[Step], verbose: bool) {
    let mut rest = steps;
    while let Some((first, tail)) = rest.split_first() {
        let ends = |s: &Step| matches!(s.kind, StepKind::Decided { .. });
        let end = tail.iter().position(ends).map_or(tail.len(), |at| at + 1);
        let (inside, after) = tail.split_at(end);
        rest = after;
        let StepKind::Extension { name, continues } = &first.kind else {
            write_step(out, first, 0);
            continue;
        };
        let decided = inside.last().map(|s| &s.kind);
        let matched = matches!(decided, Some(StepKind::Decided { matched: true, .. }));
        let acted = inside.iter().any(|s| matches!(s.kind, StepKind::Action { .. }));
        let mark = if matched { '+' } else { '-' };
        let more = if *continues { ", continues" } else { "" };
        let _ = writeln!(out, "{mark} extension {name}{more}    # {}", short(&first.place));
        if matched || acted || verbose {
            inside.iter().for_each(|step| write_step(out, step, 1));
        } else if let Some(last) = inside.iter().rev().find(|s| is_test(s)) {
            write_step(out, last, 1);
        }
    }
}

fn is_test(step: &Step) -> bool {
    matches!(step.kind, StepKind::Field { .. } | StepKind::Time { .. } | StepKind::Set { .. })
}

fn write_step(out: &mut String, step: &Step, indent: usize) {
    let Some(text) = describe(&step.kind) else { return };
    let pad = "  ".repeat(indent + step.depth);
    let _ = writeln!(out, "{pad}{text}    # {}", short(&step.place));
}

/// One step in words; `None` for those that say nothing by themselves.
fn describe(kind: &StepKind) -> Option<String> {
    Some(match kind {
        StepKind::Extension { .. } => return None,
        StepKind::Decided { matched, last, .. } => match (matched, last) {
            (true, true) => "matched: the search ends here".to_owned(),
            (true, false) => "matched: the search goes on (continue)".to_owned(),
            (false, _) => return None,
        },
        StepKind::Field { field, value, expression, matched, captures, error, .. } => {
            let word = if *matched { "matches" } else { "does not match" };
            let seen = if field == value { String::new() } else { format!(" = \"{value}\"") };
            let mut text = format!("{field}{seen} {word} /{expression}/");
            for (number, group) in captures.iter().enumerate().skip(1) {
                let _ =
                    write!(text, "{}${number}=\"{group}\"", if number == 1 { ": " } else { ", " });
            }
            if let Some(error) = error {
                let _ = write!(text, " (the expression is not valid: {error})");
            }
            text
        }
        StepKind::Time { passed: true, .. } => "the time fits".to_owned(),
        StepKind::Time { failed, .. } => match failed {
            Some((attribute, wanted, actual)) => {
                format!("the time does not fit: {attribute}=\"{wanted}\", it is {actual}")
            }
            None => "the time does not fit".to_owned(),
        },
        StepKind::Absolute { .. } => "no test: passes".to_owned(),
        StepKind::Set { mode, passed } => {
            let word = if *passed { "passes" } else { "fails" };
            format!("the set of regex ({}) {word}", mode.as_str())
        }
        StepKind::Action { application, data, inline, anti, loops } => {
            let kind = if *anti { "anti-action" } else { "action" };
            let inline = if *inline { ", run at once" } else { "" };
            let loops = if *loops == 1 { String::new() } else { format!(", {loops} times") };
            format!("{kind} {application}({data}){inline}{loops}")
        }
        StepKind::Refused { application, data } => {
            format!("left out because of \\' in its data: {application}({data})")
        }
        StepKind::Stopped { breaks } => {
            format!("break={}: later conditions are not looked at", breaks.as_str())
        }
        StepKind::Nested { matched } => {
            format!("nested conditions {}", if *matched { "match" } else { "do not match" })
        }
    })
}

/// A place without the folders: the same file is named on nearly every line.
fn short(place: &Place) -> String {
    let file = place.file.rsplit('/').next().unwrap_or_default();
    format!("{file}:{}", place.line)
}

fn hop_json(hop: &Hop) -> Value {
    let executed = hop.executed.iter().map(|run| {
        json!({
            "application": &*run.application,
            "data": run.data,
            "place": run.place.as_ref().map(Place::to_string),
            "refused": run.refused,
        })
    });
    json!({
        "destination": hop.destination,
        "context": hop.context,
        "dialplan": hop.dialplan,
        "depth": hop.depth,
        "context_found": hop.routed.context_found,
        "extension": hop.routed.extension.as_deref(),
        "steps": steps_to_json(&hop.routed.trace),
        "applications": executed.collect::<Vec<_>>(),
        "ended": hop.ended,
        "not_run": hop.skipped,
    })
}

fn step_json(step: &Step) -> Value {
    let mut value = match &step.kind {
        StepKind::Extension { name, continues } => {
            json!({"step": "extension", "name": &**name, "continue": continues})
        }
        StepKind::Field { field, value, expression, matched, captures, error, part_of, breaks } => {
            json!({
                "step": "field", "field": field, "value": value, "expression": expression,
                "matched": matched, "captures": captures, "error": error,
                "set": part_of.map(|m| m.as_str()), "break": breaks.as_str(),
            })
        }
        StepKind::Time { passed, failed, part_of } => json!({
            "step": "time", "matched": passed,
            "failed": failed.as_ref().map(|(a, w, s)| json!({"attribute": a, "wanted": w, "seen": s})),
            "set": part_of.map(|m| m.as_str()),
        }),
        StepKind::Absolute { .. } => json!({"step": "absolute"}),
        StepKind::Set { mode, passed } => {
            json!({"step": "set", "mode": mode.as_str(), "matched": passed})
        }
        StepKind::Action { application, data, inline, anti, loops } => json!({
            "step": "action", "application": &**application, "data": &**data,
            "inline": inline, "anti": anti, "loop": loops,
        }),
        StepKind::Refused { application, data } => {
            json!({"step": "refused", "application": &**application, "data": &**data})
        }
        StepKind::Stopped { breaks } => json!({"step": "break", "break": breaks.as_str()}),
        StepKind::Nested { matched } => json!({"step": "nested", "matched": matched}),
        StepKind::Decided { name, matched, last } => {
            json!({"step": "decided", "name": &**name, "matched": matched, "last": last})
        }
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("depth".to_owned(), json!(step.depth));
        object.insert("place".to_owned(), json!(step.place.to_string()));
    }
    value
}
