//! Unreachable extensions, and conditions that shut each other out.

use super::Subject;
use crate::dialplan::{Break, PROFILE_FIELDS};
use crate::expand::has_references;
use crate::regex::Pattern;
use crate::text::is_true;
use crate::{Diagnostic, Node, Place};

pub(super) fn check(subject: &mut Subject<'_>, context: Node<'_>) {
    let extensions: Vec<_> = context.children_named("extension").collect();
    let catch_all = extensions.iter().position(|e| always_matches(*e));
    let reached = catch_all.map_or(&*extensions, |at| extensions.get(..=at).unwrap_or_default());
    // Otherwise the same field may have another value at the next condition.
    if !changes_profile(context) {
        shadowed(subject, reached);
        extensions.iter().for_each(|extension| contradictions(subject, *extension));
    }
    behind(subject, &extensions, catch_all);
}

/// What follows an extension that always matches and does not continue.
fn behind(subject: &mut Subject<'_>, extensions: &[Node<'_>], catch_all: Option<usize>) {
    let Some((before, rest)) =
        catch_all.and_then(|at| extensions.get(at..)).and_then(<[_]>::split_first)
    else {
        return;
    };
    let Some(first) = rest.first() else { return };
    let others = match rest.len() - 1 {
        0 => String::new(),
        1 => " (nor is the one after it)".to_owned(),
        n => format!(" (nor are the {n} after it)"),
    };
    let message = format!("extension \"{}\" is never reached{others}", label(*first));
    let related = format!("\"{}\" matches every call and does not continue", label(*before));
    let found = Diagnostic::warning("extension-unreachable", message, Some(first.place()));
    subject.say(
        found
            .with_related(before.place(), related)
            .with_hint("put continue=\"true\" on it, or move it to the end"),
    );
}

fn label(extension: Node<'_>) -> &str {
    extension.attr("name").unwrap_or("UNKNOWN")
}

fn always_matches(extension: Node<'_>) -> bool {
    let mut conditions = extension.children_named("condition").peekable();
    conditions.peek().is_some()
        && !extension.attr("continue").is_some_and(is_true)
        && conditions.all(always_passes)
}

fn always_passes(condition: Node<'_>) -> bool {
    let simple = condition.attrs().all(|(n, _)| matches!(n, "field" | "expression" | "break"));
    let nested = condition.child("condition").is_some() || condition.child("expression").is_some();
    let anything = match condition.attr("field") {
        None => true,
        Some(_) => matches!(
            condition.attr_or_empty("expression"),
            "" | ".*" | "^.*" | ".*$" | "^.*$" | "(.*)" | "^(.*)" | "(.*)$" | "^(.*)$"
        ),
    };
    simple && !nested && anything
}

fn changes_profile(context: Node<'_>) -> bool {
    context.descendants().any(|node| {
        node.attr_or_empty("application").eq_ignore_ascii_case("set_profile_var")
            && node.attr("inline").is_some_and(is_true)
    })
}

/// A comparison of a caller-profile field with an expression that is the same for every call.
struct Comparison<'t> {
    field: String,
    expression: &'t str,
    place: Place,
}

impl<'t> Comparison<'t> {
    fn read(condition: Node<'t>) -> Option<Self> {
        let field = condition.attr("field")?.to_ascii_lowercase();
        let expression = condition.attr("expression")?;
        let only = condition.attrs().all(|(n, _)| matches!(n, "field" | "expression" | "break"));
        let plain = only
            && PROFILE_FIELDS.contains(&&*field)
            && condition.child("expression").is_none()
            && !has_references(expression);
        plain.then(|| Self { field, expression, place: condition.attr_place("expression") })
    }

    /// Whether whatever `other` matches, this one matches too.
    fn covers(&self, other: &Self) -> bool {
        self.field == other.field
            && (self.expression == other.expression
                || literals(other.expression).is_some_and(|all| {
                    Pattern::cached(self.expression)
                        .is_ok_and(|pattern| all.iter().all(|text| pattern.is_match(text)))
                }))
    }
}

/// The conditions of an extension that matches only if all of them pass, as far as they are plain;
/// and whether they all are.
fn comparisons(extension: Node<'_>) -> Option<(Vec<Comparison<'_>>, bool)> {
    let conditions: Vec<_> = extension.children_named("condition").collect();
    let strict = conditions.iter().all(|c| {
        Break::parse(c.attr("break")) == Break::OnFalse
            && c.child("condition").is_none()
            && c.child("anti-action").is_none()
    });
    let all: Vec<_> = conditions.iter().filter_map(|c| Comparison::read(*c)).collect();
    let plain = all.len() == conditions.len() && !all.is_empty();
    strict.then_some((all, plain))
}

/// Extensions whose calls an earlier one takes.
fn shadowed(subject: &mut Subject<'_>, extensions: &[Node<'_>]) {
    let mut taking: Vec<(Node<'_>, Vec<Comparison<'_>>)> = Vec::new();
    for extension in extensions {
        let Some((own, plain)) = comparisons(*extension) else { continue };
        let takes = |all: &Vec<Comparison<'_>>| all.iter().all(|c| own.iter().any(|o| c.covers(o)));
        if let Some((before, _)) = taking.iter().find(|(_, all)| takes(all)) {
            let message = format!("extension \"{}\" is never reached", label(*extension));
            let related = format!("\"{}\" takes every call that fits", label(*before));
            let found =
                Diagnostic::warning("extension-unreachable", message, Some(extension.place()));
            subject.say(
                found
                    .with_related(before.place(), related)
                    .with_hint("put continue=\"true\" on that one, or move this one before it"),
            );
        } else if plain && !extension.attr("continue").is_some_and(is_true) {
            taking.push((*extension, own));
        }
    }
}

/// Conditions of one extension that no value meets together.
fn contradictions(subject: &mut Subject<'_>, extension: Node<'_>) {
    let Some((all, _)) = comparisons(extension) else { return };
    for (at, later) in all.iter().enumerate() {
        let before = all.get(..at).unwrap_or_default().iter();
        for earlier in before.filter(|e| e.field == later.field) {
            let (narrow, wide) = match literals(earlier.expression) {
                Some(texts) => (texts, later),
                None => match literals(later.expression) {
                    Some(texts) => (texts, earlier),
                    None => continue,
                },
            };
            let Ok(pattern) = Pattern::cached(wide.expression) else { continue };
            if narrow.iter().any(|text| pattern.is_match(text)) {
                continue;
            }
            let message = format!(
                "{} cannot match /{}/ after /{}/: the extension never matches",
                later.field, later.expression, earlier.expression
            );
            let found = Diagnostic::warning("condition-never", message, Some(later.place.clone()));
            subject.say(found.with_related(earlier.place.clone(), "the condition before it"));
            return;
        }
    }
}

/// The texts an expression such as `^1000$` or `^(1000|1001)$` matches, if they can be listed.
fn literals(expression: &str) -> Option<Vec<String>> {
    let inside = expression.strip_prefix('^')?.strip_suffix('$')?;
    let list = match inside.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(group) => group.split('|').collect(),
        None => vec![inside],
    };
    list.into_iter().map(literal).collect()
}

fn literal(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@' | ' ' | '#') => {
                out.push(c);
            }
            _ => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Where an expression wants text before its beginning or after its end: such a one never matches.
pub(super) fn misplaced_anchor(expression: &str) -> Option<usize> {
    if expression.contains('|') || expression.contains("(?") {
        return None;
    }
    let bytes = expression.as_bytes();
    let (mut at, mut class) = (0, false);
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\\' => at += 1,
            b'[' if !class => class = true,
            b']' => class = false,
            b'^' if !class => {
                // Only groups may stand before it.
                let before = bytes.get(..at).unwrap_or_default();
                if before.iter().any(|b| *b != b'(') {
                    return Some(at);
                }
            }
            b'$' if !class => {
                let after = bytes.get(at + 1..).unwrap_or_default();
                if after.first().is_some_and(|b| !matches!(b, b'?' | b'*' | b'{'))
                    && after.iter().any(|b| *b != b')')
                {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{literals, misplaced_anchor};

    #[test]
    fn expressions_that_list_their_texts_are_read() {
        let texts = |expression| literals(expression).map(|all| all.join(","));
        assert_eq!(texts("^1000$").as_deref(), Some("1000"));
        assert_eq!(texts(r"^(\*97|98)$").as_deref(), Some("*97,98"));
        for open in ["1000", "^10[01]$", "^10+$", "^1000|1001$", "^$", "^(1000)(2)$"] {
            assert_eq!(texts(open), None, "{open}");
        }
    }

    #[test]
    fn anchors_in_the_middle_are_found() {
        assert_eq!(misplaced_anchor("^1000$"), None);
        assert_eq!(misplaced_anchor(r"^(\d+)$"), None);
        assert_eq!(misplaced_anchor("^((1|2))$"), None);
        assert_eq!(misplaced_anchor(r"^\$[$^]x$"), None);
        assert_eq!(misplaced_anchor("^(10$)"), None);
        assert_eq!(misplaced_anchor("((^10))"), None);
        assert_eq!(misplaced_anchor("^1000$1"), Some(5));
        assert_eq!(misplaced_anchor("1^0"), Some(1));
    }
}
