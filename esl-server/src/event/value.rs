//! One header value: a text, or an array of texts.

use std::borrow::Cow;
use std::fmt;

use smol_str::SmolStr;

/// The value of a header or variable.
///
/// Arrays have an internal text form, `ARRAY::a|:b|:c`, which is also what plain events carry.
///
/// A call has some eighty variables on each leg, most of them shorter than 24 bytes: those need no allocation, and copies
/// of longer ones share their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A single text.
    One(SmolStr),
    /// Several, in order. JSON shows an array even when only one element is left.
    #[allow(
        clippy::box_collection,
        reason = "arrays are rare; a vector in place would make every value larger"
    )]
    Array(Box<Vec<SmolStr>>),
}

/// Starts the text form of an array.
const ARRAY_MARK: &str = "ARRAY::";
/// Stands between the elements in the text form of an array.
const ARRAY_SEPARATOR: &str = "|:";
/// Highest element a client may address, as in the reference; bounds what `x[4000]` allocates.
pub const MAX_ARRAY_INDEX: usize = 4000;

impl Value {
    /// Reads a text the way a header assignment does: `ARRAY::` makes an array.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix(ARRAY_MARK) {
            Some(list) => Self::Array(
                list.split(ARRAY_SEPARATOR)
                    .take(MAX_ARRAY_INDEX + 1)
                    .map(SmolStr::from)
                    .collect::<Vec<_>>()
                    .into(),
            ),
            None => Self::One(text.into()),
        }
    }

    /// Whether assigning this value deletes the header instead.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::One(text) => text.is_empty(),
            Self::Array(items) => items.is_empty(),
        }
    }

    /// About how many bytes the text form has.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::One(text) => text.len(),
            Self::Array(items) => items.iter().map(|item| item.len() + ARRAY_SEPARATOR.len()).sum(),
        }
    }

    /// The text form: the text itself, or `ARRAY::a|:b`; an array of one is that one.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::One(text) => Cow::Borrowed(text),
            Self::Array(items) => match items.as_slice() {
                [] => Cow::Borrowed(""),
                [one] => Cow::Borrowed(one),
                many => Cow::Owned(format!("{ARRAY_MARK}{}", many.join(ARRAY_SEPARATOR))),
            },
        }
    }

    /// The elements: one for a single text.
    pub fn items(&self) -> &[SmolStr] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Array(items) => items,
        }
    }

    /// Adds an element at the end, turning a text into an array. Ignored past [`MAX_ARRAY_INDEX`].
    pub fn push(&mut self, item: &str) {
        let items = self.make_array();
        if items.len() <= MAX_ARRAY_INDEX {
            items.push(item.into());
        }
    }

    /// The value without the marks of what a far end said ([`base::far`]).
    #[must_use]
    pub fn as_meant(self) -> Self {
        if !self.items().iter().any(|item| base::far::is_marked(item)) {
            return self;
        }
        let plain = |item: &str| SmolStr::from(base::far::plain(item));
        match &self {
            Self::One(text) => Self::One(plain(text)),
            Self::Array(items) => {
                Self::Array(Box::new(items.iter().map(|item| plain(item)).collect()))
            }
        }
    }

    /// Adds an element in front, turning a text into an array. Ignored past [`MAX_ARRAY_INDEX`].
    pub fn unshift(&mut self, item: &str) {
        let items = self.make_array();
        if items.len() <= MAX_ARRAY_INDEX {
            items.insert(0, item.into());
        }
    }

    /// Sets one element, filling any gap with empty ones. Ignored past [`MAX_ARRAY_INDEX`].
    pub fn set_item(&mut self, index: usize, item: &str) {
        if index > MAX_ARRAY_INDEX {
            return;
        }
        let items = self.make_array();
        if items.len() <= index {
            items.resize(index + 1, SmolStr::default());
        }
        if let Some(slot) = items.get_mut(index) {
            *slot = item.into();
        }
    }

    fn make_array(&mut self) -> &mut Vec<SmolStr> {
        if let Self::One(text) = self {
            *self = Self::Array(Box::new(vec![std::mem::take(text)]));
        }
        match self {
            Self::Array(items) => items,
            Self::One(_) => unreachable!("was just made an array"),
        }
    }
}

/// Splits `name[3]` into `name` and 3. Any other text is a plain name.
pub(super) fn split_index(name: &str) -> (&str, Option<usize>) {
    let parsed = name
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
        .and_then(|(base, digits)| Some((base, digits.parse().ok()?)));
    match parsed {
        Some((base, index)) if !base.is_empty() => (base, Some(index)),
        _ => (name, None),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::parse(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        if text.starts_with(ARRAY_MARK) { Self::parse(&text) } else { Self::One(text.into()) }
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::One(if yes { "true" } else { "false" }.into())
    }
}

macro_rules! from_number {
    ($($number:ty),+) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::One(smol_str::format_smolstr!("{number}"))
            }
        }
    )+};
}

from_number!(u8, u16, u32, u64, usize, i32, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_read_and_print_their_text_form() {
        let value = Value::from("ARRAY::a|:b|:c");
        assert_eq!(value.items().len(), 3);
        assert_eq!(value.text(), "ARRAY::a|:b|:c");
        assert_eq!(Value::from("ARRAY::a").text(), "a");
    }

    #[test]
    fn elements_are_added_at_both_ends_and_by_index() {
        let mut value = Value::from("b");
        value.push("c");
        value.unshift("a");
        value.set_item(4, "e");
        assert_eq!(value.text(), "ARRAY::a|:b|:c|:|:e");
        value.set_item(MAX_ARRAY_INDEX + 1, "never");
        assert_eq!(value.items().len(), 5);
    }

    #[test]
    fn an_index_is_split_off_a_name_only_when_it_is_one() {
        assert_eq!(split_index("foo[3]"), ("foo", Some(3)));
        for plain in ["foo", "foo[x]", "foo[]", "[3]", "foo[3", "foo[-1]"] {
            assert_eq!(split_index(plain), (plain, None));
        }
    }
}
