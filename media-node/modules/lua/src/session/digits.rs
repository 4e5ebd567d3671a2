//! Keys: `read`, `playAndGetDigits`, `getDigits`, `collectDigits`, `flushDigits`.

use mlua::UserDataMethods;

use super::Call;
use crate::app::digits::{Entry, MAX_ENTRY, Terminators, millis};
use crate::argument::{Int, Text};
use scripting::digits::{self, Count, Question};

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
            let got =
                this.run(lua, "digits", move |session| Box::pin(digits::get(session, wanted)))?;
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
            Box::pin(async move { digits::collect(session, millis(between), millis(all)).await })
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
        Box::pin(async move { digits::read(session, &prompt, &entry).await })
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
