//! What is told of one recognition, and when it is over: timers and states, without a clock of its own.

use std::time::Duration;

use tokio::time::Instant;
use voice::speech::Words;

/// How long the engine may take for its result once it was asked to come to an end.
const FLUSHED: Duration = Duration::from_millis(1500);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Silence after which the result is no input.
    pub(crate) no_input: Option<Duration>,
    /// Longest time of speech.
    pub(crate) speech: Option<Duration>,
    /// Silence that ends it, where the engine has not found out.
    pub(crate) complete: Option<Duration>,
    /// The time for silence begins with the recognition; else when it is told to.
    pub(crate) timers: bool,
    /// Sound is speech; else words are.
    pub(crate) by_voice: bool,
    /// Words that may still change are told.
    pub(crate) partials: bool,
    /// It goes on after a result.
    pub(crate) continuous: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            no_input: None,
            speech: Some(Duration::from_secs(20)),
            complete: None,
            timers: true,
            by_voice: false,
            partials: false,
            continuous: true,
        }
    }
}

/// What is to be told, or done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Speech begins.
    Begins,
    Partial(Words),
    /// The result.
    Final(Words),
    /// There was none.
    NoInput,
    /// The engine is to come to an end.
    Flush,
}

/// One recognition.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) rules: Rules,
    active: bool,
    /// Since when silence counts.
    silent_since: Option<Instant>,
    begun: Option<Instant>,
    quiet_since: Option<Instant>,
    flushed: Option<Instant>,
    last: Words,
}

impl Turn {
    pub(crate) fn new(rules: Rules, now: Instant) -> Self {
        let mut turn = Self {
            rules,
            active: true,
            silent_since: None,
            begun: None,
            quiet_since: None,
            flushed: None,
            last: Words::default(),
        };
        turn.resume(now);
        turn
    }

    /// Listens, from the beginning.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.active = true;
        self.silent_since = self.rules.timers.then_some(now);
        (self.begun, self.quiet_since, self.flushed) = (None, None, None);
        self.last = Words::default();
    }

    /// Listens no more: what comes is left out.
    pub(crate) fn pause(&mut self) {
        self.active = false;
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Other rules from now on. Silence that counted from the start no longer does where they say otherwise.
    pub(crate) fn follow(&mut self, rules: Rules) {
        if self.rules.timers && !rules.timers {
            self.silent_since = None;
        }
        self.rules = rules;
    }

    /// Silence counts from now on, unless it does already.
    pub(crate) fn start_timers(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
    }

    /// Sound begins or ends.
    pub(crate) fn voice(&mut self, begins: bool, now: Instant) -> Vec<Outcome> {
        if !self.active {
            return Vec::new();
        }
        self.quiet_since = (!begins).then_some(now);
        if begins && self.rules.by_voice { self.begin(now) } else { Vec::new() }
    }

    fn begin(&mut self, now: Instant) -> Vec<Outcome> {
        if self.begun.is_some() {
            return Vec::new();
        }
        self.begun = Some(now);
        vec![Outcome::Begins]
    }

    pub(crate) fn partial(&mut self, words: Words, now: Instant) -> Vec<Outcome> {
        if !self.active || words.text.is_empty() {
            return Vec::new();
        }
        let mut told = self.begin(now);
        if self.rules.partials {
            told.push(Outcome::Partial(words.clone()));
        }
        self.last = words;
        told
    }

    pub(crate) fn result(&mut self, words: Words, now: Instant) -> Vec<Outcome> {
        // Silence is a result only where one was asked for.
        if !self.active || (words.text.is_empty() && self.flushed.is_none()) {
            return Vec::new();
        }
        let mut told = self.begin(now);
        told.push(self.over(words, now));
        told
    }

    fn over(&mut self, words: Words, now: Instant) -> Outcome {
        let continuous = self.rules.continuous;
        self.resume(now);
        self.active = continuous;
        Outcome::Final(words)
    }

    /// Time has passed.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Outcome> {
        if self.deadline()? > now {
            return None;
        }
        if self.flushed.is_some() {
            let last = std::mem::take(&mut self.last);
            return Some(self.over(last, now));
        }
        if self.begun.is_some() {
            self.flushed = Some(now);
            return Some(Outcome::Flush);
        }
        self.pause();
        Some(Outcome::NoInput)
    }

    /// When something will be due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.active {
            return None;
        }
        if let Some(flushed) = self.flushed {
            return Some(flushed + FLUSHED);
        }
        let Some(begun) = self.begun else {
            return Some(self.silent_since? + self.rules.no_input?);
        };
        let longest = self.rules.speech.map(|longest| begun + longest);
        let quiet = self.quiet_since.zip(self.rules.complete).map(|(since, most)| since + most);
        longest.into_iter().chain(quiet).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        Words { text: text.to_owned(), ..Words::default() }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn words_begin_speech_once_and_end_it_with_a_result() {
        let now = Instant::now();
        let mut turn = Turn::new(Rules { partials: true, ..Rules::default() }, now);
        assert_eq!(turn.partial(words(""), now), []);
        assert_eq!(turn.partial(words("a"), now), [Outcome::Begins, Outcome::Partial(words("a"))]);
        assert_eq!(turn.partial(words("ab"), now), [Outcome::Partial(words("ab"))]);
        assert_eq!(turn.result(words("abc"), now), [Outcome::Final(words("abc"))]);
        assert_eq!(turn.result(words("d"), now), [Outcome::Begins, Outcome::Final(words("d"))]);
        assert_eq!(turn.result(words(""), now), []);
    }

    #[test]
    fn one_result_is_all_unless_it_is_to_go_on_and_a_pause_hears_nothing() {
        let now = Instant::now();
        let mut turn = Turn::new(Rules { continuous: false, ..Rules::default() }, now);
        turn.result(words("a"), now);
        assert!(!turn.is_active());
        assert_eq!(turn.result(words("b"), now), []);
        turn.resume(now);
        turn.pause();
        assert_eq!(turn.voice(true, now), []);
        assert_eq!(turn.partial(words("b"), now), []);
        turn.resume(now);
        assert_eq!(turn.result(words("c"), now).len(), 2);
    }

    #[test]
    fn silence_counts_from_when_it_is_told_to_and_once() {
        let now = Instant::now();
        let rules = Rules { no_input: Some(ms(500)), timers: false, ..Rules::default() };
        let mut turn = Turn::new(rules, now);
        assert_eq!(turn.deadline(), None);
        turn.start_timers(now + ms(100));
        turn.start_timers(now + ms(300));
        assert_eq!(turn.due(now + ms(599)), None);
        assert_eq!(turn.due(now + ms(600)), Some(Outcome::NoInput));
        assert_eq!(turn.due(now + ms(9000)), None);
    }

    #[test]
    fn speech_that_does_not_end_is_cut_and_what_was_understood_is_the_result() {
        let now = Instant::now();
        let rules = Rules { no_input: Some(ms(100)), speech: Some(ms(1000)), ..Rules::default() };
        let mut turn = Turn::new(rules, now);
        turn.partial(words("so far"), now);
        assert_eq!(turn.due(now + ms(999)), None);
        assert_eq!(turn.due(now + ms(1000)), Some(Outcome::Flush));
        assert_eq!(turn.due(now + ms(2000)), None);
        assert_eq!(turn.due(now + ms(2500)), Some(Outcome::Final(words("so far"))));
    }

    #[test]
    fn silence_after_speech_ends_it_where_that_was_asked_for() {
        let now = Instant::now();
        let rules = Rules { complete: Some(ms(300)), by_voice: true, ..Rules::default() };
        let mut turn = Turn::new(rules, now);
        assert_eq!(turn.voice(true, now), [Outcome::Begins]);
        turn.voice(false, now + ms(500));
        turn.voice(true, now + ms(600));
        turn.voice(false, now + ms(700));
        assert_eq!(turn.due(now + ms(900)), None);
        assert_eq!(turn.due(now + ms(1000)), Some(Outcome::Flush));
        assert_eq!(turn.result(words(""), now + ms(1100)), [Outcome::Final(words(""))]);
    }
}
