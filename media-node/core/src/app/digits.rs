//! Keys in and out: `read`, `play_and_get_digits`, `send_dtmf`, `queue_dtmf`, `flush_dtmf`.

use std::sync::Arc;
use std::time::Duration;

use media::dtmf::{self, DigitStep};
use tokio::time::Instant;

use super::play::{Keys, Play};
use super::{App, Flags};
use crate::app;
use crate::call::{
    AppResult, Channel, Digit, DigitSource, Indication, Interrupt, Session, Wake, digit_guard,
    transfer,
};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "read",
        "mod_dptools",
        Flags::NONE,
        "<min> <max> <file> <var_name> <timeout> <terminators> <digit_timeout>",
        "Read Digits",
        read
    ),
    app!(
        "play_and_get_digits",
        "mod_dptools",
        Flags::NONE,
        "\n\t<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var_name> <regexp> [<digit_timeout>] ['<failure_ext> [failure_dp [failure_context]]']",
        "Play and get Digits",
        play_and_get_digits
    ),
    app!("send_dtmf", "mod_dptools", Flags::NONE, "<dtmf_data>", "Send dtmf to be sent", send_dtmf),
    app!(
        "queue_dtmf",
        "mod_dptools",
        Flags::NONE,
        "<dtmf_data>",
        "Queue dtmf to be sent",
        queue_dtmf
    ),
    app!("flush_dtmf", "mod_dptools", Flags::NONE, "", "flush any queued dtmf", flush_dtmf),
    app!("block_dtmf", "mod_dptools", Flags::NO_MEDIA, "", "Block DTMF", block_dtmf),
    app!("unblock_dtmf", "mod_dptools", Flags::NO_MEDIA, "", "Stop blocking DTMF", unblock_dtmf),
];

/// Shortest wait for the first key, milliseconds.
const MIN_TIMEOUT: i64 = 1000;
/// Digits one entry may have.
const MAX_ENTRY: i64 = 128;

/// What an entry of digits is to look like.
#[derive(Debug)]
struct Entry {
    min: usize,
    max: usize,
    timeout: Duration,
    digit_timeout: Duration,
    terminators: Terminators,
}

/// Keys that end an entry.
#[derive(Debug, Default)]
struct Terminators {
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
struct Entered {
    digits: String,
    terminator: Option<char>,
    timed_out: bool,
    give_up: bool,
}

impl Terminators {
    fn parse(text: &str) -> Self {
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

    fn result(&self, entered: &Entered) -> &'static str {
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
    async fn collect_digits(&mut self, prompt: &str, entry: &Entry) -> Result<Entered, Interrupt> {
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

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.clamp(0, 86_400_000).unsigned_abs())
}

fn count(text: Option<&String>) -> i64 {
    text.map_or(0, |t| text::int(t)).clamp(0, MAX_ENTRY)
}

/// `<min> <max> <file> <var> <timeout> <terminators> [digit_timeout]`
async fn read(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 7);
    let channel = Arc::clone(session.channel());
    let min = count(words.first()).max(1);
    let max = count(words.get(1)).max(min);
    let prompt = words.get(2).cloned().unwrap_or_default();
    let variable = words.get(3).cloned().unwrap_or_default();
    let timeout = words.get(4).map_or(0, |t| text::int(t)).max(MIN_TIMEOUT);
    let digit_timeout = words.get(6).map_or(0, |t| text::int(t));
    let entry = Entry {
        min: min as usize,
        max: max as usize,
        timeout: millis(timeout),
        digit_timeout: millis(if digit_timeout > 0 { digit_timeout } else { timeout }),
        terminators: Terminators::parse(words.get(5).map_or("#", String::as_str)),
    };
    channel.unset_var("read_result");
    channel.unset_var("read_terminator_used");
    let entered = session.collect_digits(&prompt, &entry).await?;
    if let Some(key) = entered.terminator {
        channel.set_var("read_terminator_used", key.to_string());
    }
    channel.set_var("read_result", entry.result(&entered));
    if !variable.is_empty() {
        channel.set_var(variable, entered.digits);
    }
    Ok(())
}

/// `<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var> <regex> [digit_timeout]
/// ['ext [dialplan [context]]']`
async fn play_and_get_digits(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 11);
    let channel = Arc::clone(session.channel());
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    if words.len() < 8 {
        tracing::error!(uuid = %channel.uuid(), "play_and_get_digits: too few arguments");
        return Ok(());
    }
    let timeout = text::int(word(3)).max(MIN_TIMEOUT);
    let digit_timeout = text::int(word(9));
    let min = count(words.first());
    let entry = Entry {
        min: min as usize,
        max: count(words.get(1)).max(min).max(1) as usize,
        timeout: millis(timeout),
        digit_timeout: millis(if digit_timeout > 0 { digit_timeout } else { timeout }),
        terminators: Terminators::parse(word(4)),
    };
    let tries = text::int(word(2)).max(1);
    let variable = word(7).to_owned();
    channel.unset_var(&variable);
    channel.unset_var(&format!("{variable}_invalid"));
    for _ in 0..tries {
        channel.unset_var("read_result");
        channel.unset_var("read_terminator_used");
        let entered = session.collect_digits(word(5), &entry).await?;
        if let Some(key) = entered.terminator {
            channel.set_var("read_terminator_used", key.to_string());
        }
        let long_enough = entered.digits.len() >= entry.min && entry.result(&entered) != "failure";
        channel.set_var("read_result", if long_enough { "success" } else { "failure" });
        if long_enough {
            if matches_pattern(&channel, word(8), &entered.digits) {
                channel.set_var(variable, entered.digits);
                return Ok(());
            }
            channel.set_var(format!("{variable}_invalid"), entered.digits);
        }
        if entered.give_up {
            return Ok(());
        }
        if !word(6).is_empty() && !word(6).eq_ignore_ascii_case("silence") {
            session.play(Play::once(word(6), Keys::Any)).await?;
        }
        session.flush_digits();
    }
    let exit = text::words(word(10), 3);
    if let Some(exten) = exit.first() {
        let rest = |index: usize| exit.get(index).map(String::as_str);
        transfer::transfer(&channel, exten, rest(1), rest(2));
        return Err(Interrupt::Moved);
    }
    Ok(())
}

fn matches_pattern(channel: &Channel, pattern: &str, digits: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    match dialplan_xml::regex::Pattern::new(pattern) {
        Ok(pattern) => pattern.is_match(digits),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Bad pattern {pattern}: {error}");
            false
        }
    }
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

async fn send_dtmf(session: &mut Session, argument: &str) -> AppResult {
    let digits = parse(session.channel(), argument);
    if !digits.is_empty() && !session.indicate(Indication::Digits(digits)).await {
        tracing::warn!(uuid = %session.channel().uuid(), "Cannot send digits {argument}");
    }
    Ok(())
}

async fn queue_dtmf(session: &mut Session, argument: &str) -> AppResult {
    for digit in parse(session.channel(), argument) {
        session.channel().queue_digit(digit);
    }
    Ok(())
}

async fn flush_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    session.flush_digits();
    Ok(())
}

async fn block_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    digit_guard::block(session.channel(), true);
    Ok(())
}

async fn unblock_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    digit_guard::block(session.channel(), false);
    Ok(())
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
