//! What scripts hand over. `classes.js` has made texts and whole numbers of it where those are wanted.

use rquickjs::function::Rest;
use rquickjs::{Coerced, Ctx, Error, Exception, Function, IntoJs, Object, Value};

/// The arguments of an operation.
pub(crate) struct Given<'js>(pub(crate) Rest<Value<'js>>);

impl<'js> Given<'js> {
    /// A text; empty where there is none.
    pub(crate) fn text(&self, at: usize) -> String {
        let value = self.0.0.get(at).filter(|value| !value.is_undefined() && !value.is_null());
        value
            .and_then(|value| value.get::<Coerced<String>>().ok())
            .map(|text| text.0)
            .unwrap_or_default()
    }

    /// The text, unless it is empty.
    pub(crate) fn filled(&self, at: usize) -> Option<String> {
        Some(self.text(at)).filter(|text| !text.is_empty())
    }

    /// A whole number; 0 where there is none.
    pub(crate) fn int(&self, at: usize) -> i64 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "numbers out of range become the nearest one"
        )]
        let number = |number: f64| number as i64;
        self.0.0.get(at).and_then(Value::as_number).map_or(0, number)
    }

    /// A whole number that is not negative; 0 where there is none.
    pub(crate) fn whole(&self, at: usize) -> u64 {
        u64::try_from(self.int(at)).unwrap_or(0)
    }

    /// The number of an object.
    pub(crate) fn id(&self, at: usize) -> u32 {
        u32::try_from(self.int(at)).unwrap_or(0)
    }

    pub(crate) fn is_true(&self, at: usize) -> bool {
        self.0.0.get(at).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A function of the script, if one is given.
    pub(crate) fn function(&self, at: usize) -> Option<Function<'js>> {
        self.0.0.get(at).and_then(Value::as_function).cloned()
    }
}

/// What an operation answers.
pub(crate) enum Answer<'js> {
    Nothing,
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Function(Function<'js>),
    Object(Object<'js>),
    Value(Value<'js>),
}

impl<'js> IntoJs<'js> for Answer<'js> {
    fn into_js(self, ctx: &Ctx<'js>) -> rquickjs::Result<Value<'js>> {
        match self {
            Self::Nothing => Ok(Value::new_undefined(ctx.clone())),
            Self::Null => Ok(Value::new_null(ctx.clone())),
            Self::Bool(on) => on.into_js(ctx),
            #[allow(clippy::cast_precision_loss, reason = "scripts know no other numbers")]
            Self::Int(number) => Ok(Value::new_number(ctx.clone(), number as f64)),
            Self::Text(text) => text.into_js(ctx),
            Self::Function(function) => Ok(function.into_value()),
            Self::Object(object) => Ok(object.into_value()),
            Self::Value(value) => Ok(value),
        }
    }
}

impl From<Option<String>> for Answer<'_> {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// An operation that is not there: a mistake of `classes.js`.
pub(crate) fn unknown(ctx: &Ctx<'_>, operation: &str) -> Error {
    Exception::throw_internal(ctx, &format!("no operation {operation}"))
}

/// An object of the switch as a function of an operation's name and arguments.
pub(crate) fn object<'js>(
    ctx: &Ctx<'js>,
    run: impl Fn(&Ctx<'js>, &str, &Given<'js>) -> rquickjs::Result<Answer<'js>> + 'js,
) -> rquickjs::Result<Function<'js>> {
    Function::new(ctx.clone(), move |ctx: Ctx<'js>, operation: String, given: Rest<Value<'js>>| {
        run(&ctx, &operation, &Given(given))
    })
}
