//! Keys in and out: collecting an entry, reading digits that are to be sent.

use std::time::Duration;

use media::dtmf::{self, DigitStep};
use tokio::time::Instant;

use super::play::{Keys, Play};
use crate::call::{Channel, Digit, DigitSource, Interrupt, Session, Wake};
use crate::text;

/// Digits one entry may have.
pub const MAX_ENTRY: i64 = 128;

/// What an entry of digits is to look like.
#[derive(Debug)]
pub struct Entry {
    /// Fewest digits that are a success.
    pub min: usize,
    /// Most digits.
    pub max: usize,
    /// Wait for the first key.
    pub timeout: Duration,
    /// Wait for each further key.
    pub digit_timeout: Duration,
    /// Keys that end it.
    pub terminators: Terminators,
}

/// Keys that end an entry.
#[derive(Debug, Default)]
pub struct Terminators {
    /// They end it and are not part of it.
    plain: String,
    /// They end it and are its last digit (`+k`).
    kept: String,
    /// They end it, are its last digit, and no second try follows (`xk`).
    last: String,
    /// One of them must be pressed (`=`).
    required: bool,
}

/// What was entered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// The digits.
    pub digits: String,
    /// The key that ended it.
    pub terminator: Option<char>,
    /// No key came in time.
    pub timed_out: bool,
    /// No second try follows.
    pub give_up: bool,
}

impl Terminators {
    /// Reads a list of keys; `none` is none, the prefixes are those of the fields.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '=' if all.plain.is_empty() => all.required = true,
                '+' => all.kept.extend(chars.next()),
                'x' => all.last.extend(chars.next()),
                c => all.plain.push(c),
            }
        }
        if all.plain.eq_ignore_ascii_case("none") {
            all.plain.clear();
        }
        all
    }
}

impl Entry {
    /// Takes one digit; true when the entry is complete.
    fn take(&self, digit: char, entered: &mut Entered) -> bool {
        if self.terminators.plain.contains(digit) {
            entered.terminator = Some(digit);
            return true;
        }
        entered.digits.push(digit);
        let last = self.terminators.last.contains(digit);
        if last || self.terminators.kept.contains(digit) {
            entered.terminator = Some(digit);
            entered.give_up = last;
            return true;
        }
        entered.digits.len() >= self.max
            && (!self.terminators.required || entered.digits.len() > self.max)
    }

    /// `success`, `failure` or `timeout`.
    #[must_use]
    pub fn result(&self, entered: &Entered) -> &'static str {
        if entered.digits.len() < self.min
            || (self.terminators.required && entered.terminator.is_none())
        {
            "failure"
        } else if entered.timed_out {
            "timeout"
        } else {
            "success"
        }
    }
}

impl Session {
    /// Plays the prompt until the first key, then collects keys until the entry is complete.
    ///
    /// # Errors
    /// [`Interrupt`] when the call ended or moved.
    pub async fn collect_digits(
        &mut self,
        prompt: &str,
        entry: &Entry,
    ) -> Result<Entered, Interrupt> {
        if !prompt.is_empty() && !prompt.eq_ignore_ascii_case("silence") {
            self.play(Play::once(prompt, Keys::Any)).await?;
        }
        let mut entered = Entered::default();
        let mut until = Instant::now() + entry.timeout;
        loop {
            while let Some(digit) = self.take_digit() {
                if entry.take(digit.digit, &mut entered) {
                    return Ok(entered);
                }
                until = Instant::now() + entry.digit_timeout;
            }
            match self.wait(Some(until)).await? {
                Wake::Timeout => {
                    entered.timed_out = true;
                    return Ok(entered);
                }
                Wake::Broken => return Ok(entered),
                _ => {}
            }
        }
    }
}

/// Asks for between `min` and `max` keys, `#` ending them; empty when too few came in time. Times in milliseconds:
/// for the first key, and between keys.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn collect(
    session: &mut Session,
    prompt: &str,
    (min, max): (i64, i64),
    (timeout_ms, digit_timeout_ms): (i64, i64),
) -> Result<String, Interrupt> {
    let (min, max) = (min.clamp(0, MAX_ENTRY), max.clamp(1, MAX_ENTRY));
    let entry = Entry {
        min: min as usize,
        max: max as usize,
        timeout: millis(timeout_ms),
        digit_timeout: millis(digit_timeout_ms),
        terminators: Terminators::parse("#"),
    };
    let entered = session.collect_digits(prompt, &entry).await?;
    Ok(if entry.result(&entered) == "failure" { String::new() } else { entered.digits })
}

/// Exactly `length` keys of any kind, as far as they come within `timeout` of each other.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn typed(
    session: &mut Session,
    prompt: &str,
    length: usize,
    timeout: Duration,
) -> Result<String, Interrupt> {
    let entry = Entry {
        min: length,
        max: length.max(1),
        timeout,
        digit_timeout: timeout,
        terminators: Terminators::default(),
    };
    Ok(session.collect_digits(prompt, &entry).await?.digits)
}

/// Milliseconds as applications give them: none below zero, a day at most.
#[must_use]
pub fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.clamp(0, 86_400_000).unsigned_abs())
}

/// Reads `digits[@ms]` with the channel's default length.
#[must_use]
pub fn parse(channel: &Channel, argument: &str) -> Vec<Digit> {
    let tuning = &channel.switch().stores.tuning;
    let default = channel
        .variable("dtmf_duration")
        .and_then(|d| u32::try_from(text::int(&d)).ok())
        .filter(|d| *d > 0)
        .unwrap_or_else(|| tuning.default_dtmf.load(std::sync::atomic::Ordering::Relaxed));
    dtmf::parse_digits(argument, default)
        .into_iter()
        .map(|step| match step {
            DigitStep::Press { digit, duration } => {
                let duration = tuning.digit_duration(duration);
                Digit { digit: digit.as_char(), duration, source: DigitSource::App }
            }
            DigitStep::Pause { ms } => {
                let digit = if ms >= 1000 { 'W' } else { 'w' };
                Digit { digit, duration: ms * 8, source: DigitSource::App }
            }
        })
        .collect()
}

/// Digits as the media leg sends them.
#[must_use]
pub fn steps(digits: &[Digit]) -> Vec<DigitStep> {
    let step = |d: &Digit| match d.digit {
        'w' => Some(DigitStep::Pause { ms: 500 }),
        'W' => Some(DigitStep::Pause { ms: 1000 }),
        c => dtmf::Digit::new(c).map(|digit| {
            let duration = dtmf::clamp_duration(d.duration);
            DigitStep::Press { digit, duration }
        }),
    };
    digits.iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(min: usize, max: usize, terminators: &str) -> Entry {
        let terminators = Terminators::parse(terminators);
        Entry { min, max, timeout: millis(1000), digit_timeout: millis(1000), terminators }
    }

    fn typed(entry: &Entry, digits: &str) -> (Entered, bool) {
        let mut entered = Entered::default();
        let done = digits.chars().any(|d| entry.take(d, &mut entered));
        (entered, done)
    }

    #[test]
    fn an_entry_ends_when_full_or_with_its_terminator() {
        let e = entry(2, 4, "#");
        assert_eq!(typed(&e, "12345").0.digits, "1234");
        let (entered, done) = typed(&e, "12#");
        assert!(done);
        assert_eq!((entered.digits.as_str(), entered.terminator), ("12", Some('#')));
        assert_eq!(e.result(&entered), "success");
    }

    #[test]
    fn too_few_digits_fail_and_enough_in_too_long_a_time_is_a_timeout() {
        let e = entry(2, 4, "#");
        assert_eq!(e.result(&typed(&e, "1").0), "failure");
        let late = Entered { digits: "123".to_owned(), timed_out: true, ..Entered::default() };
        assert_eq!(e.result(&late), "timeout");
    }

    #[test]
    fn some_terminators_are_kept_and_some_end_all_tries() {
        let e = entry(1, 9, "#+*x0");
        assert_eq!(typed(&e, "12*").0.digits, "12*");
        let (entered, _) = typed(&e, "10");
        assert_eq!((entered.digits.as_str(), entered.give_up), ("10", true));
        assert!(!typed(&entry(1, 2, "=#"), "12").1, "the terminator is still to come");
    }
}
