//! What scripts hand over, read as the reference's binding reads it.

use mlua::{FromLua, Lua, Result, Value};

/// A text: numbers count as such, nil and what is missing is none.
pub(crate) struct Text(pub(crate) Option<String>);

impl Text {
    /// The text; empty if there is none.
    pub(crate) fn or_empty(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The text unless it is empty.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl FromLua for Text {
    fn from_lua(value: Value, lua: &Lua) -> Result<Self> {
        match value {
            Value::Nil => Ok(Self(None)),
            Value::String(text) => Ok(Self(Some(text.to_string_lossy()))),
            Value::Integer(_) | Value::Number(_) => {
                Ok(Self(lua.coerce_string(value)?.map(|text| text.to_string_lossy())))
            }
            other => Err(wrong(lua, "char *", &other)),
        }
    }
}

/// A whole number: fractions are cut off, texts that are numbers count, nil and what is missing is none.
#[derive(Clone, Copy)]
pub(crate) struct Int(pub(crate) Option<i64>);

impl Int {
    pub(crate) fn or(self, default: i64) -> i64 {
        self.0.unwrap_or(default)
    }
}

impl FromLua for Int {
    fn from_lua(value: Value, lua: &Lua) -> Result<Self> {
        if value.is_nil() {
            return Ok(Self(None));
        }
        match lua.coerce_number(value.clone())? {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "numbers out of range become the nearest one"
            )]
            Some(number) => Ok(Self(Some(number as i64))),
            None => Err(wrong(lua, "int", &value)),
        }
    }
}

/// An argument of a wrong type, with the place in the script.
fn wrong(lua: &Lua, expected: &str, got: &Value) -> mlua::Error {
    error(lua, &format!("expected '{expected}' got '{}'", got.type_name()))
}

/// A Lua error that names the line of the script that called.
pub(crate) fn error(lua: &Lua, text: &str) -> mlua::Error {
    let place = lua.inspect_stack(1, |debug| {
        let source = debug.source().short_src.map(std::borrow::Cow::into_owned);
        source.filter(|_| debug.current_line().is_some()).zip(debug.current_line())
    });
    match place.flatten() {
        Some((source, line)) => mlua::Error::RuntimeError(format!("{source}:{line}: {text}")),
        None => mlua::Error::RuntimeError(text.to_owned()),
    }
}

/// A number as the reference's binding gives numbers to scripts: always a float (`1.0`).
pub(crate) fn number(value: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "scripts know no other numbers")]
    let value = value as f64;
    value
}
