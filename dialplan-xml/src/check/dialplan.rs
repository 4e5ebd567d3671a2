//! Conditions that cannot match, attributes that do nothing, actions that are never run.

use std::collections::HashMap;

use super::Subject;
use crate::dialplan::{Break, PROFILE_FIELDS};
use crate::expand::has_references;
use crate::regex::Pattern;
use crate::text::{is_false, is_true, leading_integer};
use crate::{Diagnostic, Node, Place};

/// Applications of the reference that may run while the dialplan is searched.
const INLINE: [&str; 22] = [
    "check_acl",
    "verbose_events",
    "novideo",
    "cng_plc",
    "early_hangup",
    "eval",
    "set_media_stats",
    "stop",
    "set_zombie_exec",
    "presence",
    "log",
    "info",
    "event",
    "export",
    "bridge_export",
    "set",
    "multiset",
    "push",
    "unshift",
    "set_global",
    "set_profile_var",
    "unset",
];
const INLINE_ELSEWHERE: [&str; 9] = [
    "multiunset",
    "set_user",
    "lua",
    "curl",
    "cidlookup",
    "lcr",
    "enum",
    "easyroute",
    "nibblebill",
];

pub(super) fn check(subject: &mut Subject<'_>) {
    let section = subject.tree.section("dialplan");
    for context in section.into_iter().flat_map(|s| s.children_named("context")) {
        let extensions: Vec<_> = context.children_named("extension").collect();
        super::reach::check(subject, context);
        duplicates(subject, &extensions);
        for extension in extensions {
            self::extension(subject, extension);
        }
    }
}

fn duplicates(subject: &mut Subject<'_>, extensions: &[Node<'_>]) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for extension in extensions {
        let Some(name) = extension.attr("name") else { continue };
        if let Some(first) = seen.get(name) {
            let message = format!("another extension of this context is called \"{name}\"");
            let place = Some(extension.attr_place("name"));
            let found = Diagnostic::info("extension-duplicate", message, place);
            subject.say(found.with_related(first.clone(), "the other one"));
        } else {
            seen.insert(name, extension.attr_place("name"));
        }
    }
}

fn extension(subject: &mut Subject<'_>, extension: Node<'_>) {
    let name = extension.attr("name").unwrap_or("UNKNOWN");
    if extension.child("condition").is_none() {
        let message = format!("extension \"{name}\" has no condition and never matches");
        let found = Diagnostic::warning("extension-no-condition", message, Some(extension.place()));
        subject.say(found.with_hint("an empty <condition> around the actions matches every call"));
    }
    for child in extension.children() {
        if matches!(child.name(), "action" | "anti-action") {
            let message = "an action outside a condition is never run";
            let found = Diagnostic::warning("action-outside", message, Some(child.place()));
            subject.say(found.with_hint("move it into a <condition>"));
        }
    }
    for node in extension.descendants() {
        match node.name() {
            "condition" => condition(subject, node),
            "regex" => test(subject, node),
            "action" | "anti-action" => action(subject, node),
            _ => {}
        }
    }
}

fn condition(subject: &mut Subject<'_>, node: Node<'_>) {
    if let Some(word) = node.attr("break") {
        let known = Break::parse(Some(word));
        if !word.eq_ignore_ascii_case(known.as_str()) {
            let message = format!("break=\"{word}\" means nothing and counts as on-false");
            let place = Some(node.attr_place("break"));
            let found = Diagnostic::warning("break-unknown", message, place);
            let words = ["on-false", "on-true", "always", "never"];
            let near = crate::catalogue::nearest(word, words);
            subject.say(found.with_hint(match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "on-false, on-true, always or never".to_owned(),
            }));
        }
    }
    if let Some(mode) = node.attr("regex") {
        if !["all", "any", "xor"].iter().any(|m| m.eq_ignore_ascii_case(mode)) {
            let message = format!("regex=\"{mode}\" means nothing and counts as any");
            let place = Some(node.attr_place("regex"));
            let found = Diagnostic::warning("regex-mode-unknown", message, place);
            subject.say(found.with_hint("all, any or xor"));
        }
        if node.attr("field").is_some() {
            let message = "the field of a condition with regex= is not looked at";
            let place = Some(node.attr_place("field"));
            subject.say(Diagnostic::warning("field-ignored", message, place));
        }
    } else {
        test(subject, node);
    }
    captures(subject, node);
}

/// A field with an expression, and time attributes.
fn test(subject: &mut Subject<'_>, node: Node<'_>) {
    times(subject, node);
    let Some(field) = node.attr("field") else {
        if node.attr("expression").is_some() {
            let message = "an expression without a field is not looked at";
            let place = Some(node.attr_place("expression"));
            subject.say(Diagnostic::warning("expression-ignored", message, place));
        }
        return;
    };
    let known = PROFILE_FIELDS.iter().any(|f| f.eq_ignore_ascii_case(field));
    let child = node.child("expression");
    let expression = child.map_or_else(|| node.attr_or_empty("expression"), Node::text);
    anchors(subject, node, expression);
    if field.contains('$') || known {
        return;
    }
    let matches_empty = has_references(expression)
        || Pattern::cached(expression).is_ok_and(|pattern| pattern.is_match(""));
    let place = Some(node.attr_place("field"));
    let what = format!("\"{field}\" is not a field of the caller profile and is always empty");
    let found = if matches_empty {
        Diagnostic::warning("field-unknown", what, place)
    } else {
        Diagnostic::warning("condition-never", format!("{what}: this never matches"), place)
    };
    let value = is_true(field) || is_false(field) || field.is_empty();
    let hint = match crate::catalogue::nearest(field, PROFILE_FIELDS) {
        _ if value => {
            "a value stands where a name belongs: $${name} was replaced before; write ${name}"
                .to_owned()
        }
        Some(near) => {
            format!("did you mean \"{near}\"? A channel variable is written ${{{field}}}")
        }
        None if field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') => {
            format!("a channel variable is written ${{{field}}}")
        }
        None => "write the name of a field, or ${variable}".to_owned(),
    };
    subject.say(found.with_hint(hint));
}

/// Text wanted before the beginning or after the end.
fn anchors(subject: &mut Subject<'_>, node: Node<'_>, expression: &str) {
    let Some(at) = super::reach::misplaced_anchor(expression) else { return };
    if has_references(expression) {
        return;
    }
    let rest = expression.get(at..).unwrap_or_default();
    let (what, sign) = if rest.starts_with('^') { ("before", "^") } else { ("after", "$") };
    let message = format!("/{expression}/ never matches: nothing comes {what} {sign}");
    let child = node.child("expression");
    let place = child.map_or_else(|| node.attr_place("expression"), Node::place);
    let found = Diagnostic::warning("condition-never", message, Some(place));
    let group = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let hint = if group && sign == "$" {
        "$n is filled in where actions are, not in expressions".to_owned()
    } else {
        format!("a {sign} that is dialled is written \\{sign}")
    };
    subject.say(found.with_focus(rest, 0).with_hint(hint));
}

/// Time attributes that no moment satisfies.
fn times(subject: &mut Subject<'_>, node: Node<'_>) {
    const RANGES: [(&str, i64, i64); 9] = [
        ("mon", 1, 12),
        ("mday", 1, 31),
        ("yday", 1, 366),
        ("week", 1, 53),
        ("mweek", 1, 6),
        ("hour", 0, 23),
        ("minute", 0, 59),
        ("minute-of-day", 1, 1440),
        ("tz-offset", -12, 14),
    ];
    for (attribute, low, high) in RANGES {
        let Some(list) = node.attr(attribute) else { continue };
        let written = |item: &str| {
            let digits = |text: &str| {
                let text = text.strip_prefix('-').unwrap_or(text);
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
            };
            let at = item.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at);
            match at {
                Some(at) => digits(&item[..at]) && digits(&item[at + 1..]),
                None => digits(item),
            }
        };
        if let Some(item) = list.split(',').map(str::trim).find(|item| !written(item))
            && !list.contains('$')
        {
            let message = format!("{attribute}=\"{list}\": \"{item}\" is not a number or a range");
            let place = Some(node.attr_place(attribute));
            let found = Diagnostic::error("value-type", message, place).with_focus(item, 0);
            let hint = match attribute {
                "minute-of-day" => {
                    "minutes since midnight, such as 540-1080; time-of-day takes 09:00-18:00"
                }
                "mon" => "months are numbers from 1 to 12",
                _ => "such as 1, 1-5 or 1,3,5",
            };
            subject.say(found.with_hint(hint));
            continue;
        }
        let possible = list.split(',').any(|item| {
            let (from, to) = match item.trim().char_indices().skip(1).find(|(_, c)| *c == '-') {
                Some((at, _)) => item.trim().split_at(at),
                None => (item.trim(), ""),
            };
            let from = leading_integer(from);
            let to = to.strip_prefix('-').map_or(from, leading_integer);
            from > to || (from <= high && to >= low)
        });
        if !possible {
            let reason = format!("{attribute} runs from {low} to {high}");
            never(subject, node, attribute, list, &reason);
        }
    }
    if let Some(word) = node.attr("dst").filter(|w| !is_true(w)) {
        never(subject, node, "dst", word, "only dst=\"true\" can ever match");
    }
    let shaped = [
        ("date-time", '~', "a range is written from~to"),
        ("time-of-day", ':', "a range is written HH:MM-HH:MM"),
    ];
    for (attribute, needed, reason) in shaped {
        if let Some(list) = node.attr(attribute).filter(|l| !l.contains(needed)) {
            never(subject, node, attribute, list, reason);
        }
    }
    if let Some(list) = node.attr("wday") {
        let known = |day: &str| {
            let names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
            matches!(day, "1" | "2" | "3" | "4" | "5" | "6" | "7")
                || names.iter().any(|n| n.eq_ignore_ascii_case(day))
        };
        if let Some(day) = list.split([',', '-']).find(|day| !known(day)) {
            let message =
                format!("wday=\"{list}\": \"{day}\" is not a day; nothing after it counts");
            let found = Diagnostic::warning("wday-unknown", message, Some(node.attr_place("wday")));
            subject.say(found.with_hint("1 to 7 (1 is Sunday) or sun mon tue wed thu fri sat"));
        }
    }
}

fn never(subject: &mut Subject<'_>, node: Node<'_>, attribute: &str, value: &str, reason: &str) {
    let message = format!("{attribute}=\"{value}\" never matches");
    let place = Some(node.attr_place(attribute));
    subject.say(Diagnostic::warning("condition-never", message, place).with_hint(reason));
}

/// `$1` where the expression has no group, and `$2` where it has one.
fn captures(subject: &mut Subject<'_>, node: Node<'_>) {
    let expression = |node: Node<'_>| match node.child("expression") {
        Some(child) => child.text().to_owned(),
        None => node.attr_or_empty("expression").to_owned(),
    };
    let single = node.attr("regex").is_none();
    let tests: Vec<String> = if single {
        vec![expression(node)]
    } else {
        node.children_named("regex").map(expression).collect()
    };
    let mut groups = 0;
    for test in &tests {
        if has_references(test) {
            return;
        }
        let Ok(pattern) = Pattern::cached(test) else { return };
        groups = groups.max(pattern.groups());
    }
    for action in node.children_named("action") {
        let (data, place) = super::names::data(action);
        groups_missing(subject, groups, data, &place);
    }
}

/// The first `$n` of a text that no group of the expression before it fills.
pub(super) fn groups_missing(subject: &mut Subject<'_>, groups: usize, text: &str, place: &Place) {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('$') {
        let digits = bytes.get(at + 1..).unwrap_or_default();
        let digits: String =
            digits.iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        let Ok(number) = digits.parse::<usize>() else { continue };
        if groups > 0 && number <= groups {
            continue;
        }
        let message = match groups {
            0 => "a $n stays as it is: the condition's expression has no (group)".to_owned(),
            1 => format!("${number} is empty: the expression has one (group)"),
            n => format!("${number} is empty: the expression has {n} (groups)"),
        };
        let found = Diagnostic::warning("capture-missing", message, Some(place.clone()));
        subject.say(found.with_focus(format!("${digits}"), 0));
        return;
    }
}

fn action(subject: &mut Subject<'_>, node: Node<'_>) {
    let application = node.attr_or_empty("application");
    if application.is_empty() {
        let message = "an action without an application ends the call when it is run";
        let place = Some(node.place());
        subject.say(Diagnostic::error("action-nameless", message, place));
    }
    if let Some(loops) = node.attr("loop").filter(|l| leading_integer(l) <= 0) {
        let message = format!("loop=\"{loops}\" means that this action is never run");
        let place = Some(node.attr_place("loop"));
        subject.say(Diagnostic::warning("loop-zero", message, place));
    }
    let safe = INLINE.iter().chain(&INLINE_ELSEWHERE);
    let inline = node.attr("inline").is_some_and(is_true);
    if inline
        && !application.is_empty()
        && !safe.clone().any(|a| a.eq_ignore_ascii_case(application))
    {
        let message = format!("{application} cannot be executed inline and is left out");
        let place = Some(node.attr_place("inline"));
        subject.say(Diagnostic::error("inline-refused", message, place));
    }
    let (data, place) = super::names::data(node);
    if data.contains("\\'") {
        let message = "an action whose data holds \\' is left out";
        subject.say(Diagnostic::error("action-refused", message, Some(place)));
    }
}
