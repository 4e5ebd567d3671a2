//! Keys: `read`, `playAndGetDigits`, `getDigits`, `collectDigits`, `flushDigits`.

use std::time::Duration;

use dialplan_xml::regex::Pattern;
use mlua::UserDataMethods;
use tokio::time::Instant;

use super::Call;
use crate::app::digits::{Entry, MAX_ENTRY, Terminators, millis};
use crate::app::play::{Keys, Play};
use crate::argument::{Int, Text};
use crate::call::{Interrupt, Session, Wake, transfer};
use crate::text;

/// What `getDigits` waits for.
struct Count {
    most: usize,
    terminators: String,
    first: Duration,
    next: Duration,
    all: Option<Duration>,
}

/// What `playAndGetDigits` asks for.
struct Question {
    entry: Entry,
    tries: i64,
    prompt: String,
    wrong: String,
    pattern: Option<String>,
    variable: Option<String>,
    failing: Option<String>,
}

fn count(value: Int) -> usize {
    usize::try_from(value.or(0).clamp(0, MAX_ENTRY)).unwrap_or(0)
}

pub(super) fn add<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method(
        "getDigits",
        |lua, this, (most, terminators, first, next, all): (Int, Text, Int, Int, Int)| {
            if this.sane().is_none() {
                return Ok(String::new());
            }
            let first_ms = first.or(0);
            let next_ms = Some(next.or(0)).filter(|ms| *ms > 0).unwrap_or(first_ms);
            let wanted = Count {
                most: count(most).max(1),
                terminators: terminators.or_empty().to_owned(),
                first: millis(first_ms),
                next: millis(next_ms),
                all: Some(all.or(0)).filter(|ms| *ms > 0).map(millis),
            };
            let got = this.run(lua, "digits", move |session| Box::pin(get(session, wanted)))?;
            Ok(got.unwrap_or_default())
        },
    );
    methods.add_method("read", read);
    methods.add_method("playAndGetDigits", play_and_get);
    methods.add_method("collectDigits", |lua, this, (one, two): (Int, Int)| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        let (between, all) = two.0.map_or((0, one.or(0)), |all| (one.or(0), all));
        this.run_heard(lua, "digits", move |session| {
            Box::pin(async move { collect(session, millis(between), millis(all)).await })
        })?;
        Ok(0.0)
    });
    methods.add_method("flushDigits", |_, this, ()| {
        let Some(channel) = this.sane() else { return Ok(-1.0) };
        channel.with(|data| data.digits.clear());
        Ok(0.0)
    });
}

type ReadArguments = (Int, Int, Text, Int, Text, Int);

#[allow(clippy::needless_pass_by_value, reason = "as the library calls it")]
fn read(
    lua: &mlua::Lua,
    this: &Call,
    (min, max, prompt, timeout, terminators, between): ReadArguments,
) -> mlua::Result<String> {
    if this.sane().is_none() {
        return Ok(String::new());
    }
    let min = count(min).max(1);
    let timeout_ms = timeout.or(0).max(1);
    let between_ms = Some(between.or(0)).filter(|ms| *ms > 0).unwrap_or(timeout_ms);
    let entry = Entry {
        min,
        max: count(max).max(1),
        timeout: millis(timeout_ms),
        digit_timeout: millis(between_ms),
        terminators: Terminators::parse(terminators.or_empty()),
    };
    let prompt = prompt.or_empty().to_owned();
    let typed = this.run(lua, "digits", move |session| {
        Box::pin(async move {
            let channel = std::sync::Arc::clone(session.channel());
            channel.unset_var("read_result");
            channel.unset_var("read_terminator_used");
            let Ok(entered) = session.collect_digits(&prompt, &entry).await else {
                return String::new();
            };
            if let Some(key) = entered.terminator {
                channel.set_var("read_terminator_used", key.to_string());
            }
            channel.set_var("read_result", entry.result(&entered));
            entered.digits
        })
    })?;
    Ok(typed.unwrap_or_default())
}

type GetArguments = (Int, Int, Int, Int, Text, Text, Text, Text, Text, Int, Text);

#[allow(clippy::needless_pass_by_value, reason = "as the library calls it")]
fn play_and_get(lua: &mlua::Lua, this: &Call, given: GetArguments) -> mlua::Result<String> {
    if this.sane().is_none() {
        return Ok(String::new());
    }
    let (min, max, tries, timeout, terminators, prompt, wrong, pattern, variable, between, failing) =
        given;
    let (min, timeout_ms) = (count(min), timeout.or(0).max(1));
    let between_ms = Some(between.or(0)).filter(|ms| *ms > 0).unwrap_or(timeout_ms);
    let filled = |text: Text| text.0.filter(|text| !text.is_empty());
    let question = Question {
        entry: Entry {
            min,
            max: count(max).max(min).max(1),
            timeout: millis(timeout_ms),
            digit_timeout: millis(between_ms),
            terminators: Terminators::parse(terminators.or_empty()),
        },
        tries: tries.or(1).max(1),
        prompt: prompt.or_empty().to_owned(),
        wrong: wrong.or_empty().to_owned(),
        pattern: filled(pattern),
        variable: filled(variable),
        failing: filled(failing),
    };
    let digits = this.run(lua, "digits", move |session| {
        Box::pin(async move { question.ask(session).await.unwrap_or_default() })
    })?;
    Ok(digits.unwrap_or_default())
}

impl Question {
    async fn ask(&self, session: &mut Session) -> Result<String, Interrupt> {
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
async fn get(session: &mut Session, wanted: Count) -> String {
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
async fn collect(session: &mut Session, between: Duration, all: Duration) {
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
