//! Filters: which of the events asked for are delivered.

use pcre2::bytes::{Regex, RegexBuilder};

use crate::event::Event;

/// The filters of one connection, in the order they were added.
///
/// Without any, everything passes. With some, an event passes when a positive one matches and no
/// negative one does; so only negative filters let nothing through.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<Filter>);

#[derive(Debug)]
struct Filter {
    header: String,
    /// As the client wrote it; `filter delete` compares this.
    value: String,
    test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    Equals {
        negative: bool,
        text: String,
    },
    /// `/re/`: only when the very first character is the slash, so never negative.
    Matches(Option<Regex>),
}

impl Filters {
    /// Adds a filter; an empty value takes away those on that header instead.
    pub(crate) fn add(&mut self, header: &str, value: &str) {
        if value.is_empty() {
            return self.delete(header, None);
        }
        self.0.push(Filter {
            header: header.to_owned(),
            value: value.to_owned(),
            test: Test::parse(value),
        });
    }

    /// Deletes the filters on a header, or the one with exactly that value.
    pub(crate) fn delete(&mut self, header: &str, value: Option<&str>) {
        self.0.retain(|f| {
            !f.header.eq_ignore_ascii_case(header) || value.is_some_and(|value| value != f.value)
        });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn admit(&self, event: &Event) -> bool {
        let mut admitted = self.0.is_empty();
        for filter in &self.0 {
            let negative = filter.test.is_negative();
            if admitted && !negative {
                continue;
            }
            let Some(value) = event.get(&filter.header) else {
                continue;
            };
            if filter.test.matches(&value) {
                if negative {
                    return false;
                }
                admitted = true;
            }
        }
        admitted
    }
}

impl Test {
    pub(super) fn parse(value: &str) -> Self {
        if let Some(pattern) = value.strip_prefix('/') {
            return Self::Matches(pattern_of(pattern));
        }
        let text = value.trim_start_matches(['+', '-', ' ']);
        let signs = &value[..value.len() - text.len()];
        let negative = signs.rfind(['+', '-']).is_some_and(|at| signs[at..].starts_with('-'));
        Self::Equals { negative, text: text.to_owned() }
    }

    pub(super) const fn is_negative(&self) -> bool {
        matches!(self, Self::Equals { negative: true, .. })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Equals { text, .. } => text.eq_ignore_ascii_case(value),
            Self::Matches(regex) => regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value.as_bytes()).unwrap_or(false)),
        }
    }
}

/// Bounds the steps of one match, so that a client's pattern cannot hold up its connection's thread.
const STEP_LIMIT: &str = "(*LIMIT_MATCH=100000)";

/// Compiles what follows the first slash: `re/`, `re/i`, `re/s`. One without its second slash, or
/// that does not compile, never matches.
fn pattern_of(text: &str) -> Option<Regex> {
    let (pattern, flags) = text.rsplit_once('/')?;
    RegexBuilder::new()
        .caseless(flags.contains('i'))
        .dotall(flags.contains('s'))
        .utf(false)
        .jit_if_available(true)
        .build(&format!("{STEP_LIMIT}{pattern}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventName;

    fn passes(filters: &[(&str, &str)], headers: &[(&'static str, &str)]) -> bool {
        let mut all = Filters::default();
        for (header, value) in filters {
            all.add(header, value);
        }
        let mut event = Event::new(EventName::General);
        for &(name, value) in headers {
            event.push(name, value);
        }
        all.admit(&event)
    }

    #[test]
    fn positives_are_alternatives_and_a_negative_vetoes() {
        assert!(passes(&[], &[]));
        assert!(!passes(&[("A", "x")], &[]));
        assert!(passes(&[("A", "x"), ("A", "Y")], &[("a", "y")]));
        assert!(!passes(&[("A", "y"), ("B", "-z")], &[("A", "y"), ("B", "z")]));
        assert!(
            !passes(&[("B", "-z")], &[("B", "other")]),
            "only negative filters let nothing through"
        );
        assert!(passes(&[("A", "- +y")], &[("A", "y")]), "the last sign counts");
    }

    #[test]
    fn slashes_make_a_pattern_only_in_front() {
        assert!(passes(&[("A", "/^p/")], &[("A", "pear")]));
        assert!(!passes(&[("A", "/^P/")], &[("A", "pear")]));
        assert!(passes(&[("A", "/^P/i")], &[("A", "pear")]));
        assert!(!passes(&[("A", "/(/")], &[("A", "(")]));
        assert!(!passes(&[("A", "/pear")], &[("A", "pear")]), "no second slash");
        let hopeless = "a".repeat(40);
        assert!(
            !passes(&[("A", "/^(a+)+$b/")], &[("A", &hopeless)]),
            "gives up instead of trying 2^40 ways"
        );
        assert!(passes(&[("A", "+/^p/")], &[("A", "/^p/")]));
    }

    #[test]
    fn deleting_compares_values_exactly() {
        let mut filters = Filters::default();
        filters.add("A", "x");
        filters.add("a", "y");
        filters.delete("A", Some("X"));
        assert_eq!(filters.0.len(), 2);
        filters.delete("A", Some("x"));
        assert_eq!(filters.0.len(), 1);
        filters.delete("A", None);
        assert!(filters.0.is_empty());
    }
}
