//! One decision: the hunt through a context.

use std::sync::Arc;

use super::logging;
use super::model::{
    Break, Condition, Expression, Extension, Field, FieldTest, Item, RegexMode, RegexTest, Test,
};
use super::time::{self, TimeSpec};
use super::trace::{Step, StepKind};
use super::{Action, Inner, RouteRequest, Routed, Trace};
use base::{BoxFuture, far};

use crate::expand::expand_async;
use crate::regex::{Captures, Pattern, substitute};
use crate::{Host, LogLevel, Place};

/// How deep conditions may nest (reference: 100).
const MAX_DEPTH: usize = 100;
/// Longest list of actions one decision may produce.
const MAX_ACTIONS: usize = 10_000;

pub(super) async fn route(
    dialplan: &Inner,
    request: &RouteRequest,
    host: &mut dyn Host,
    trace: Trace,
) -> Routed {
    let debug = host.logs(LogLevel::Debug);
    let mut hunt = Hunt {
        dialplan,
        host,
        routed: Routed::default(),
        tracing: trace == Trace::On,
        debug,
        extension: "",
        context: "",
        fields: vec![None; dialplan.fields.len()],
    };
    hunt.run(request).await;
    hunt.routed
}

struct Hunt<'a> {
    dialplan: &'a Inner,
    host: &'a mut dyn Host,
    routed: Routed,
    tracing: bool,
    debug: bool,
    /// The extension looked at, for log lines and for the name of the list.
    extension: &'a str,
    context: &'a str,
    /// Values of caller-profile fields already asked for. Forgotten whenever something ran that
    /// could change them.
    fields: Vec<Option<Arc<str>>>,
}

/// What a comparison said.
struct Compared {
    matched: bool,
    /// The groups for `$n`: `None` when the expression has none and `$n` stays as it is.
    captures: Option<Captures>,
    /// Whether the expression was expanded for this call.
    dynamic: bool,
}

/// What the tests of one condition said.
struct ConditionVerdict {
    /// Whether the actions (and not the anti-actions) apply.
    passed: bool,
    /// Whether the extension counts as matched so far.
    proceed: bool,
    captures: Option<Captures>,
}

impl<'a> Hunt<'a> {
    async fn run(&mut self, request: &RouteRequest) {
        if self.host.logs(LogLevel::Info) {
            self.host.log(LogLevel::Info, logging::processing(request));
        }
        let found = self.dialplan.context(&request.context);
        let Some(context) = found.or_else(|| self.dialplan.context("global")) else {
            let line = format!("Context {} not found", request.context);
            return self.host.log(LogLevel::Warning, line);
        };
        self.routed.context_found = true;
        self.context = &context.name;
        let extensions = &context.extensions;
        let named = |e: &Extension| {
            e.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(&request.destination_number))
        };
        let first = request.auto_hunt.then(|| extensions.iter().position(named)).flatten();
        for extension in extensions.iter().skip(first.unwrap_or(0)) {
            if self.extension(extension).await && !extension.continues {
                break;
            }
        }
    }

    async fn extension(&mut self, extension: &'a Extension) -> bool {
        self.extension = extension.label();
        if self.debug {
            let line = logging::parsing(&self.channel(), self.context, extension);
            self.host.log(LogLevel::Debug, line);
        }
        if self.tracing {
            let name = self.extension.into();
            let continues = extension.continues;
            self.step(0, &extension.place, StepKind::Extension { name, continues });
        }
        let matched = self.conditions(&extension.conditions, 0).await;
        if self.tracing {
            let last = matched && !extension.continues;
            let name = self.extension.into();
            self.step(0, &extension.place, StepKind::Decided { name, matched, last });
        }
        matched
    }

    /// The condition loop of an extension, or of a condition with nested ones.
    fn conditions<'s>(
        &'s mut self,
        conditions: &'a [Condition],
        depth: usize,
    ) -> BoxFuture<'s, bool> {
        Box::pin(self.each_condition(conditions, depth))
    }

    async fn each_condition(&mut self, conditions: &'a [Condition], depth: usize) -> bool {
        if depth > MAX_DEPTH {
            self.host.log(LogLevel::Error, "Recursion LIMIT!".to_owned());
            return false;
        }
        let mut proceed = false;
        for condition in conditions {
            let verdict = self.test(condition, proceed, depth).await;
            proceed = verdict.proceed;
            if verdict.passed {
                if let Some(captures) = &verdict.captures {
                    self.publish_match(captures);
                }
                for item in &condition.actions {
                    self.act(item, &condition.place, verdict.captures.as_ref(), depth).await;
                }
            } else {
                for item in &condition.anti {
                    self.act(item, &condition.place, None, depth).await;
                    proceed = true;
                }
            }
            if self.breaks(condition, verdict.passed, depth) {
                break;
            }
            if proceed && !condition.nested.is_empty() {
                let nested = self.conditions(&condition.nested, depth + 1).await;
                proceed = nested || !condition.require_nested;
                if self.tracing {
                    self.step(depth, &condition.place, StepKind::Nested { matched: proceed });
                }
                if !proceed && condition.breaks != Break::Never {
                    break;
                }
            }
        }
        proceed
    }

    fn breaks(&mut self, condition: &Condition, passed: bool, depth: usize) -> bool {
        let breaks = match condition.breaks {
            Break::OnFalse => !passed,
            Break::OnTrue => passed,
            Break::Always => true,
            Break::Never => false,
        };
        if breaks && self.tracing {
            let kind = StepKind::Stopped { breaks: condition.breaks };
            self.step(depth, &condition.place, kind);
        }
        breaks
    }

    /// Time first, then the set of `<regex>` or the field: the later one decides whether the
    /// extension counts as matched, either is enough for the actions.
    async fn test(
        &mut self,
        condition: &'a Condition,
        proceed: bool,
        depth: usize,
    ) -> ConditionVerdict {
        let mut verdict = ConditionVerdict { passed: false, proceed, captures: None };
        let timed = condition.time.as_deref();
        if let Some(spec) = timed {
            verdict.passed = self.time(spec, &condition.place, None, condition.breaks, depth);
            verdict.proceed = verdict.passed;
        }
        match &condition.test {
            Test::Multi(mode, regexes) => {
                self.multi(*mode, regexes, condition, &mut verdict, depth).await;
            }
            Test::Field(test) => {
                let compared = self.compare(test, None, condition.breaks, depth).await;
                verdict.proceed = compared.matched;
                verdict.passed |= compared.matched;
                verdict.captures = compared.captures;
            }
            Test::Absolute if timed.is_none() => {
                self.absolute(&condition.place, None, depth);
                verdict.passed = true;
                verdict.proceed = true;
            }
            Test::Absolute => {}
        }
        verdict
    }

    async fn multi(
        &mut self,
        mode: RegexMode,
        regexes: &'a [RegexTest],
        condition: &Condition,
        verdict: &mut ConditionVerdict,
        depth: usize,
    ) {
        self.host.clear_variables("DP_REGEX_MATCH");
        let (mut passes, mut fails) = (0_usize, 0_usize);
        for (number, regex) in (1_usize..).zip(regexes) {
            let compared = self.regex(regex, mode, condition.breaks, depth).await;
            let matched = compared.matched;
            verdict.proceed = matched;
            passes += usize::from(matched);
            fails += usize::from(!matched);
            let stop = match mode {
                RegexMode::Any => matched,
                RegexMode::All => !matched,
                RegexMode::Xor => false,
            };
            if let Some(captures) = compared.captures {
                if !stop {
                    let name = format!("DP_REGEX_MATCH_{number}");
                    captures.groups.iter().for_each(|g| self.host.push_variable(&name, g));
                }
                // With `any`, an expression made for this call leaves no captures behind.
                let kept = mode != RegexMode::Any || matched && !compared.dynamic;
                if kept {
                    verdict.captures = Some(captures);
                }
            }
            if stop {
                break;
            }
        }
        let passed = match mode {
            RegexMode::All => fails == 0,
            RegexMode::Any => passes > 0,
            RegexMode::Xor => passes == 1,
        };
        verdict.passed |= passed;
        if self.tracing {
            self.step(depth, &condition.place, StepKind::Set { mode, passed });
        }
    }

    async fn regex(
        &mut self,
        regex: &'a RegexTest,
        mode: RegexMode,
        breaks: Break,
        depth: usize,
    ) -> Compared {
        let timed = regex.time.as_deref();
        let time = timed.map(|spec| self.time(spec, &regex.place, Some(mode), breaks, depth));
        match &regex.test {
            Some(test) => self.compare(test, Some(mode), breaks, depth).await,
            None => {
                if time.is_none() {
                    self.absolute(&regex.place, Some(mode), depth);
                }
                Compared { matched: time.unwrap_or(true), captures: None, dynamic: false }
            }
        }
    }

    fn time(
        &mut self,
        spec: &TimeSpec,
        place: &Place,
        part_of: Option<RegexMode>,
        breaks: Break,
        depth: usize,
    ) -> bool {
        let failed = time::failure(spec, self.host, &self.dialplan.zones);
        let passed = failed.is_none();
        if self.debug {
            let line = logging::time(&self.channel(), self.extension, passed, breaks, depth);
            self.host.log(LogLevel::Debug, line);
        }
        if self.tracing {
            self.step(depth, place, StepKind::Time { passed, failed, part_of });
        }
        passed
    }

    fn absolute(&mut self, place: &Place, part_of: Option<RegexMode>, depth: usize) {
        if self.debug {
            let line = logging::absolute(&self.channel(), self.extension, depth);
            self.host.log(LogLevel::Debug, line);
        }
        if self.tracing {
            self.step(depth, place, StepKind::Absolute { part_of });
        }
    }

    async fn compare(
        &mut self,
        test: &'a FieldTest,
        part_of: Option<RegexMode>,
        breaks: Break,
        depth: usize,
    ) -> Compared {
        let value = self.field_value(test).await;
        let expanded: String;
        let made: Pattern;
        let (pattern, text, has_groups, dynamic) = match &test.expression {
            Expression::Fixed { pattern, text, captures } => {
                (Ok(pattern), &**text, *captures, false)
            }
            Expression::Bad { error, captures } => {
                (Err(error.clone()), &*error.expression, *captures, false)
            }
            Expression::Dynamic(template) => {
                let template = expand_async(template, self.host).await;
                expanded = far::in_pattern(&template).into_owned();
                self.forget_fields();
                let pattern = match Pattern::cached(&expanded) {
                    Ok(pattern) => {
                        made = pattern;
                        Ok(&made)
                    }
                    Err(error) => Err(error),
                };
                (pattern, &*expanded, expanded.contains('('), true)
            }
        };
        let (matched, captures) = match &pattern {
            Ok(pattern) if has_groups => {
                let captures = pattern.captures_marked(&value);
                (captures.is_some(), Some(captures.unwrap_or_default()))
            }
            Ok(pattern) => (pattern.is_match(&far::plain(&value)), None),
            Err(error) => {
                self.host.log(LogLevel::Error, error.to_string());
                (false, has_groups.then(Captures::default))
            }
        };
        if self.debug {
            let chan = self.channel();
            let value = far::plain(&value);
            let seen = (&*test.written, &*value, text);
            let line =
                logging::compared(&chan, self.extension, seen, matched, part_of, breaks, depth);
            self.host.log(LogLevel::Debug, line);
        }
        if self.tracing {
            let kind = StepKind::Field {
                field: test.written.to_string(),
                value: far::plain(&value).into_owned(),
                expression: text.to_owned(),
                matched,
                captures: captures.as_ref().map_or_else(Vec::new, |c| {
                    c.groups.iter().map(|group| far::plain(group).into_owned()).collect()
                }),
                error: pattern.err().map(|e| e.message),
                part_of,
                breaks,
            };
            self.step(depth, &test.place, kind);
        }
        Compared { matched, captures, dynamic }
    }

    async fn field_value(&mut self, test: &FieldTest) -> Arc<str> {
        let Field::Profile(id) = test.field else {
            let value = expand_async(&test.written, self.host).await;
            self.forget_fields();
            return value.into();
        };
        if let Some(Some(known)) = self.fields.get(id) {
            return known.clone();
        }
        let name = self.dialplan.fields.get(id).map_or("", |n| n);
        let value: Arc<str> = self.host.field(name).unwrap_or_default().into();
        if let Some(slot) = self.fields.get_mut(id) {
            *slot = Some(value.clone());
        }
        value
    }

    /// An API command or an application ran: what was read before may have changed.
    fn forget_fields(&mut self) {
        self.fields.fill(None);
    }

    /// Sets `DP_MATCH` to the groups of the condition that passed.
    fn publish_match(&mut self, captures: &Captures) {
        self.host.set_variable("DP_MATCH", None);
        for group in &captures.groups {
            self.host.push_variable("DP_MATCH", group);
        }
    }

    async fn act(
        &mut self,
        item: &Item,
        condition: &Place,
        captures: Option<&Captures>,
        depth: usize,
    ) {
        if self.routed.extension.is_none() {
            self.routed.extension = Some(logging::nested_name(self.extension, depth).into());
        }
        let data: Arc<str> = match captures {
            Some(captures) if item.data.contains('$') => substitute(&item.data, captures).into(),
            _ => item.data.clone(),
        };
        let application = item.application.clone();
        if data.contains("\\'") {
            let line = logging::refused(&data);
            self.host.log(LogLevel::Warning, line);
            if self.tracing {
                self.step(depth, &item.place, StepKind::Refused { application, data });
            }
            return;
        }
        if self.debug {
            let line = logging::action(&self.channel(), item, &data, depth);
            self.host.log(LogLevel::Debug, line);
        }
        if self.tracing {
            let (inline, anti, loops) = (item.inline, item.anti, item.loops);
            let application = application.clone();
            let data = data.clone();
            let kind = StepKind::Action { application, data, inline, anti, loops };
            self.step(depth, &item.place, kind);
        }
        for _ in 0..item.loops {
            if item.inline {
                self.host.run_inline(&application, &data).await;
                self.forget_fields();
            } else if self.routed.actions.len() < MAX_ACTIONS {
                self.routed.actions.push(Action {
                    application: application.clone(),
                    data: data.clone(),
                    anti: item.anti,
                    place: item.place.clone(),
                    condition: condition.clone(),
                });
            }
        }
    }

    fn channel(&self) -> String {
        self.host.channel_name()
    }

    fn step(&mut self, depth: usize, place: &Place, kind: StepKind) {
        self.routed.trace.push(Step { depth, place: place.clone(), kind });
    }
}
