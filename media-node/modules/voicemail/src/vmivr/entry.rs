//! What keys mean while they come in: they are compared with the patterns a menu takes.
//!
//! A pattern is the keys themselves; `X` stands for a digit, `N` for one from 2 to 9, and a `.` at the end for any more
//! keys, at least one. The first pattern that fits to its end, and no other that still could, decides at once.

/// Keys typed for one question at most.
const MOST_KEYS: usize = 128;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More keys may come.
    #[default]
    Waiting,
    Found,
    Invalid,
    TimedOut,
}

/// The keys typed for one question.
#[derive(Debug, Default)]
pub(super) struct Entry {
    patterns: Vec<String>,
    terminator: Option<char>,
    pub(super) typed: String,
    pub(super) outcome: Outcome,
    /// A key came, or keys are waited for: nothing more is said.
    pub(super) quiet: bool,
    open: usize,
    complete: Option<usize>,
}

impl Entry {
    pub(super) fn new(patterns: Vec<String>, terminator: Option<char>) -> Self {
        Self { patterns, terminator, ..Self::default() }
    }

    /// The pattern that fits.
    pub(super) fn fits(&self) -> Option<&str> {
        self.complete.and_then(|index| self.patterns.get(index)).map(String::as_str)
    }

    /// A key came.
    pub(super) fn take(&mut self, key: char) {
        self.quiet = true;
        let ends = self.terminator == Some(key);
        if !ends {
            if self.typed.chars().count() >= MOST_KEYS {
                self.outcome = Outcome::Invalid;
                return;
            }
            self.typed.push(key);
        }
        self.compare();
        self.outcome = match (ends, self.open, self.complete) {
            (true, 1, Some(_)) => Outcome::Found,
            (true, ..) => Outcome::Invalid,
            (false, 0, Some(_)) => Outcome::Found,
            (false, 0, None) => Outcome::Invalid,
            (false, ..) => Outcome::Waiting,
        };
    }

    /// No key came in time.
    pub(super) fn time_out(&mut self) {
        let fits = self.open == 1 && self.complete.is_some();
        self.outcome = if fits { Outcome::Found } else { Outcome::TimedOut };
    }

    fn compare(&mut self) {
        (self.open, self.complete) = (0, None);
        let typed: Vec<char> = self.typed.chars().collect();
        if typed.is_empty() {
            return;
        }
        for (index, pattern) in self.patterns.iter().enumerate() {
            let pattern: Vec<char> = pattern.chars().collect();
            let more = pattern.last() == Some(&'.');
            let matches = |(at, key): (usize, &char)| match pattern.get(at) {
                Some('N') if ('2'..='9').contains(key) => true,
                Some('X') if key.is_ascii_digit() => true,
                Some(wanted) if wanted == key => true,
                _ => more && at + 1 >= pattern.len(),
            };
            if !typed.iter().enumerate().all(matches) {
                continue;
            }
            if more {
                if typed.len() >= pattern.len() {
                    self.complete = Some(index);
                }
                self.open += 1;
            } else if typed.len() == pattern.len() {
                self.complete = Some(index);
            } else {
                self.open += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_with_what_a_menu_takes() {
        use Outcome::{Found, Invalid, TimedOut, Waiting};
        // Patterns, terminator, keys (a `t` for the end of the time), what comes of it, what fits.
        let cases: &[(&[&str], Option<char>, &str, Outcome, Option<&str>)] = &[
            (&["1", "2", "#"], None, "1", Found, Some("1")),
            (&["1", "2", "#"], None, "#", Found, Some("#")),
            (&["1", "2"], None, "3", Invalid, None),
            (&["1", "12"], None, "1", Waiting, Some("1")),
            (&["1", "12"], None, "1t", Found, Some("1")),
            (&["1", "12"], None, "12", Found, Some("12")),
            (&["12"], None, "1t", TimedOut, None),
            (&["12"], None, "t", TimedOut, None),
            (&["#", "XXX."], Some('#'), "1234", Waiting, Some("XXX.")),
            (&["#", "XXX."], Some('#'), "1234#", Found, Some("XXX.")),
            (&["#", "XXX."], Some('#'), "12345t", Found, Some("XXX.")),
            (&["#", "XXX."], Some('#'), "123#", Invalid, None),
            (&["#", "X."], Some('#'), "#", Invalid, None),
            (&["#", "X."], Some('#'), "1t", TimedOut, None),
            (&["X"], None, "7", Found, Some("X")),
            (&["X"], None, "*", Invalid, None),
            (&["NX"], None, "1", Invalid, None),
            (&["NX"], None, "29", Found, Some("NX")),
        ];
        for (patterns, terminator, keys, outcome, fits) in cases {
            let patterns: Vec<_> = patterns.iter().map(|one| (*one).to_owned()).collect();
            let mut entry = Entry::new(patterns, *terminator);
            for key in keys.chars() {
                match key {
                    't' => entry.time_out(),
                    key => entry.take(key),
                }
            }
            assert_eq!(
                (entry.outcome, entry.fits()),
                (*outcome, *fits),
                "{keys} of {:?}",
                entry.patterns
            );
        }
    }

    #[test]
    fn keys_without_end_are_refused() {
        let mut entry = Entry::new(vec!["X.".to_owned()], None);
        for _ in 0..200 {
            entry.take('1');
        }
        assert_eq!((entry.outcome, entry.typed.len()), (Outcome::Invalid, MOST_KEYS));
    }
}
