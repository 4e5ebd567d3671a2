//! Keys that scripts wait for.

use std::time::Duration;

use dialplan_xml::regex::Pattern;
use tokio::time::Instant;

use crate::app::digits::Entry;
use crate::app::play::{Keys, Play};
use crate::call::{Interrupt, Session, Wake, transfer};
use crate::text;

/// What `getDigits` waits for.
pub struct Count {
    pub most: usize,
    pub terminators: String,
    pub first: Duration,
    pub next: Duration,
    pub all: Option<Duration>,
}

/// What `playAndGetDigits` asks for.
pub struct Question {
    pub entry: Entry,
    pub tries: i64,
    pub prompt: String,
    pub wrong: String,
    pub pattern: Option<String>,
    pub variable: Option<String>,
    pub failing: Option<String>,
}

impl Question {
    /// Plays the prompt and collects, until what came fits or the tries are over.
    ///
    /// # Errors
    /// When the session has to be left.
    pub async fn ask(&self, session: &mut Session) -> Result<String, Interrupt> {
        let channel = std::sync::Arc::clone(session.channel());
        if let Some(variable) = &self.variable {
            channel.unset_var(variable);
            channel.unset_var(&format!("{variable}_invalid"));
        }
        for _ in 0..self.tries {
            channel.unset_var("read_result");
            let entered = session.collect_digits(&self.prompt, &self.entry).await?;
            if let Some(key) = entered.terminator {
                channel.set_var("read_terminator_used", key.to_string());
            }
            let enough = self.entry.result(&entered) != "failure";
            channel.set_var("read_result", if enough { "success" } else { "failure" });
            if enough && self.fits(&entered.digits) {
                if let Some(variable) = &self.variable {
                    channel.set_var(variable.clone(), entered.digits.as_str());
                }
                return Ok(entered.digits);
            }
            if let Some(variable) = self.variable.as_ref().filter(|_| enough) {
                channel.set_var(format!("{variable}_invalid"), entered.digits);
            }
            if entered.give_up {
                break;
            }
            if !self.wrong.is_empty() && !self.wrong.eq_ignore_ascii_case("silence") {
                session.play(Play::once(&self.wrong, Keys::Any)).await?;
            }
            session.flush_digits();
        }
        if let Some(failing) = &self.failing {
            let words = text::words(failing, 3);
            let rest = |index: usize| words.get(index).map(String::as_str);
            if let Some(number) = rest(0) {
                transfer::transfer(&channel, number, rest(1), rest(2));
            }
        }
        Ok(String::new())
    }

    fn fits(&self, digits: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        match Pattern::cached(pattern) {
            Ok(pattern) => pattern.is_match(digits),
            Err(error) => {
                tracing::error!("Bad pattern {pattern}: {error}");
                false
            }
        }
    }
}

/// Keys until one of the terminators, the count, or a time is reached. A first time of 0 waits without limit.
pub async fn get(session: &mut Session, wanted: Count) -> String {
    let begun = Instant::now();
    let end = wanted.all.map(|all| begun + all);
    let after = |time: Duration| (!time.is_zero()).then(|| Instant::now() + time);
    let mut digits = String::new();
    let mut until = after(wanted.first);
    loop {
        while let Some(digit) = session.take_digit() {
            if wanted.terminators.contains(digit.digit) {
                return digits;
            }
            digits.push(digit.digit);
            if digits.len() >= wanted.most {
                return digits;
            }
            until = after(wanted.next);
        }
        let limit = match (until, end) {
            (Some(until), Some(end)) => Some(until.min(end)),
            (until, end) => until.or(end),
        };
        match session.wait(limit).await {
            Ok(Wake::Timeout | Wake::Broken) | Err(_) => return digits,
            Ok(_) => {}
        }
    }
}

/// Lets keys come until no more do, or the time for all is over; the script's function has them.
pub async fn collect(session: &mut Session, between: Duration, all: Duration) {
    let end = (!all.is_zero()).then(|| Instant::now() + all);
    let next = || (!between.is_zero()).then(|| Instant::now() + between);
    let mut until = next();
    loop {
        while session.take_digit().is_some() {
            until = next();
        }
        let limit = match (until, end) {
            (Some(until), Some(end)) => Some(until.min(end)),
            (until, end) => until.or(end),
        };
        match session.wait(limit).await {
            Ok(Wake::Timeout | Wake::Broken) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Plays a prompt and collects keys, with the variables `read_result` and `read_terminator_used`.
pub async fn read(session: &mut Session, prompt: &str, entry: &Entry) -> String {
    let channel = std::sync::Arc::clone(session.channel());
    channel.unset_var("read_result");
    channel.unset_var("read_terminator_used");
    let Ok(entered) = session.collect_digits(prompt, entry).await else {
        return String::new();
    };
    if let Some(key) = entered.terminator {
        channel.set_var("read_terminator_used", key.to_string());
    }
    channel.set_var("read_result", entry.result(&entered));
    entered.digits
}
