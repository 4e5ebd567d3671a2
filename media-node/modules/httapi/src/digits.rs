//! Bindings of an action: digit strings and patterns, decided digit by digit as the reference's digit machine does.

use std::time::Duration;

use dialplan_xml::regex::{Pattern, substitute};
use tokio::time::Instant;

/// Digits held at most where a pattern is bound.
const MOST: usize = 511;
/// Bindings of one action.
const BINDINGS: usize = 256;

/// A digit string, or a pattern, as it is written in `<bind>`: `=` in front takes the first match, `~` begins a pattern,
/// `~pattern~~text` hands on the text with what the pattern captured.
#[derive(Clone, Debug)]
struct Binding {
    digits: String,
    pattern: bool,
    first: bool,
    replacement: Option<String>,
}

impl Binding {
    fn parse(text: &str) -> Self {
        let (first, text) = text.strip_prefix('=').map_or((false, text), |text| (true, text));
        let (pattern, text) = text.strip_prefix('~').map_or((false, text), |text| (true, text));
        let (digits, replacement) = match text.split_once("~~").filter(|_| pattern) {
            Some((digits, replacement)) => (digits, Some(replacement.to_owned())),
            None => (text, None),
        };
        Self { digits: digits.to_owned(), pattern, first, replacement }
    }

    /// The digits handed on when the pattern matches.
    fn matched(&self, typed: &str) -> Option<String> {
        let captures = Pattern::cached(&self.digits).ok()?.captures(typed)?;
        Some(match &self.replacement {
            Some(replacement) => substitute(replacement, &captures),
            None => typed.to_owned(),
        })
    }
}

/// What came of a digit, or of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A binding, by its place in the list, and the digits.
    Found(usize, String),
    /// What was typed cannot be any of them.
    Invalid,
    /// More digits than any binding has.
    Overflow,
}

enum Verdict {
    Open,
    Never,
    /// Sure, or only if nothing follows.
    Exact(usize, String),
}

/// Bindings and what was typed so far.
#[derive(Debug)]
pub(crate) struct Machine {
    bindings: Vec<Binding>,
    terminators: String,
    timeout: Duration,
    longest: usize,
    typed: String,
    /// Digits taken; a terminator that was cut off counts.
    count: usize,
    last: Option<Instant>,
}

impl Machine {
    pub(crate) fn new<'t>(
        bindings: impl Iterator<Item = &'t str>,
        terminators: &str,
        timeout: Duration,
    ) -> Self {
        let bindings: Vec<Binding> = bindings.take(BINDINGS).map(Binding::parse).collect();
        let longest = |binding: &Binding| if binding.pattern { MOST } else { binding.digits.len() };
        Self {
            longest: bindings.iter().map(longest).max().unwrap_or(0).min(MOST),
            bindings,
            terminators: terminators.to_owned(),
            timeout,
            typed: String::new(),
            count: 0,
            last: None,
        }
    }

    /// Until when the next digit must come; `None` while none was typed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.last.filter(|_| self.count > 0).map(|last| last + self.timeout)
    }

    /// Takes a digit.
    pub(crate) fn feed(&mut self, digit: char) -> Option<Outcome> {
        if self.count >= self.longest {
            return Some(Outcome::Overflow);
        }
        self.typed.push(digit);
        self.count += 1;
        self.last = Some(Instant::now());
        self.decide(false)
    }

    /// The time for a further digit is over.
    pub(crate) fn expire(&mut self) -> Option<Outcome> {
        self.decide(true)
    }

    fn decide(&mut self, late: bool) -> Option<Outcome> {
        let verdict = self.check(late);
        let never = matches!(verdict, Verdict::Never);
        if self.typed.is_empty() && !late && !never {
            return None;
        }
        let outcome = match verdict {
            Verdict::Exact(at, digits) => Outcome::Found(at, digits),
            Verdict::Never => Outcome::Invalid,
            Verdict::Open if late => Outcome::Invalid,
            Verdict::Open => return None,
        };
        self.typed.clear();
        (self.count, self.last) = (0, None);
        Some(outcome)
    }

    fn check(&mut self, late: bool) -> Verdict {
        if self.count == 0 {
            return Verdict::Open;
        }
        let mut matched: Vec<Option<String>> = vec![None; self.bindings.len()];
        let (mut possible, mut patterns) = (false, false);
        for (binding, matched) in self.bindings.iter().zip(&mut matched) {
            if binding.pattern {
                *matched = binding.matched(&self.typed);
                (possible, patterns) = (true, true);
                if matched.is_some() && binding.first {
                    break;
                }
            } else {
                possible |= binding.digits.starts_with(&self.typed);
            }
        }
        let ended = self.terminators.chars().find_map(|end| self.typed.rfind(end));
        if let Some(at) = ended {
            self.typed.truncate(at);
        }
        let last = late || ended.is_some();
        if !possible {
            return Verdict::Never;
        }
        self.choose(&matched, patterns, last)
    }

    /// The binding that fits: a pattern alone at once, among others when no more digits come; digits when nothing longer
    /// begins with them.
    fn choose(&self, matched: &[Option<String>], patterns: bool, last: bool) -> Verdict {
        let alone = self.bindings.len() == 1;
        let (mut exact, mut longer_after) = (None, false);
        for (at, binding) in self.bindings.iter().enumerate() {
            if binding.pattern {
                if let Some(Some(digits)) = matched.get(at)
                    && (binding.first || last || alone)
                {
                    let digits = match binding.replacement {
                        Some(_) => digits.clone(),
                        None => self.typed.clone(),
                    };
                    return Verdict::Exact(at, digits);
                }
                continue;
            }
            let fits = binding.digits.starts_with(&self.typed);
            let same = binding.digits == self.typed;
            if exact.is_none() && same && (binding.first || !patterns || last) {
                exact = Some(at);
                longer_after = false;
                if binding.first || self.count == self.longest {
                    break;
                }
            }
            if fits && !same {
                longer_after = exact.is_some() || longer_after;
            }
        }
        match exact {
            Some(at) if !longer_after || last => Verdict::Exact(at, self.typed.clone()),
            _ => Verdict::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(bindings: &[&str], terminators: &str) -> Machine {
        Machine::new(bindings.iter().copied(), terminators, Duration::from_millis(1500))
    }

    fn typed(machine: &mut Machine, digits: &str) -> Vec<Option<Outcome>> {
        digits.chars().map(|digit| machine.feed(digit)).collect()
    }

    fn found(at: usize, digits: &str) -> Option<Outcome> {
        Some(Outcome::Found(at, digits.to_owned()))
    }

    #[test]
    fn a_pattern_alone_is_found_with_the_digit_that_completes_it() {
        let mut one = machine(&["~\\d{2}#"], "");
        assert_eq!(typed(&mut one, "42#"), [None, None, found(0, "42#")]);
        assert_eq!(one.deadline(), None);
    }

    #[test]
    fn a_pattern_among_others_waits_for_the_end() {
        let mut two = machine(&["~^1\\d+$", "~^2\\d+$"], "");
        assert_eq!(typed(&mut two, "123"), [None, None, None]);
        assert!(two.deadline().is_some());
        assert_eq!(two.expire(), found(0, "123"));
        let mut ended = machine(&["~^1\\d+", "~^2\\d+"], "#");
        assert_eq!(typed(&mut ended, "15#"), [None, None, found(0, "15")]);
        let mut first = machine(&["=~^1\\d$", "~^1\\d+$"], "");
        assert_eq!(typed(&mut first, "15"), [None, found(0, "15")]);
    }

    #[test]
    fn digits_that_may_grow_wait_and_those_that_cannot_do_not() {
        let mut two = machine(&["1", "12"], "");
        assert_eq!(typed(&mut two, "1"), [None]);
        assert_eq!(two.expire(), found(0, "1"));
        assert_eq!(typed(&mut two, "12"), [None, found(1, "12")]);
        assert_eq!(typed(&mut two, "3"), [Some(Outcome::Invalid)]);
        let mut other = machine(&["12", "3"], "");
        assert_eq!(typed(&mut other, "3"), [found(1, "3")]);
        assert_eq!(typed(&mut other, "1"), [None]);
        assert_eq!(other.expire(), Some(Outcome::Invalid));
    }

    #[test]
    fn what_a_pattern_captures_may_be_handed_on() {
        let mut one = machine(&["~^(\\d{2})#$~~<$1>"], "");
        assert_eq!(typed(&mut one, "42#"), [None, None, found(0, "<42>")]);
    }

    #[test]
    fn more_digits_than_a_pattern_may_have_are_too_many() {
        let mut one = machine(&["~x"], "");
        let typed = typed(&mut one, &"1".repeat(MOST + 1));
        assert_eq!(typed.last(), Some(&Some(Outcome::Overflow)));
        assert!(typed[..MOST].iter().all(Option::is_none));
    }
}
