//! An ordered list of headers in which names may repeat.

use std::borrow::Cow;

use super::value::{Value, split_index};

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it was spelt when it was set.
    pub name: Cow<'static, str>,
    /// The value, not encoded.
    pub value: Value,
}

/// Headers as a client sends them: ordered, repeated names kept, looked up in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header the way the reference does: an empty value deletes every header of that
    /// name, `name[3]` sets one element, `ARRAY::` starts an array.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.remove(&name);
            return;
        }
        if let (base, Some(index)) = split_index(&name) {
            let base = base.to_owned();
            self.set_item(base, index, &value.text());
            return;
        }
        self.0.push(Header { name, value });
    }

    fn set_item(&mut self, name: String, index: usize, item: &str) {
        if let Some(header) = self.0.iter_mut().find(|h| h.name.eq_ignore_ascii_case(&name)) {
            header.value.set_item(index, item);
            return;
        }
        let mut value = Value::Array(Box::default());
        value.set_item(index, item);
        if !value.is_empty() {
            self.0.push(Header { name: name.into(), value });
        }
    }

    /// Replaces every header of that name by one at the end; an empty value only deletes.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.remove(&name);
        self.push(name, value);
    }

    /// The first value of that name, in any case.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(Value::text)
    }

    /// The first value of that name, in any case, with its array structure.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| &h.value)
    }

    /// Every value of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.0.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.text())
    }

    /// Deletes every header of that name; true when there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|h| !h.name.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// All headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Headers {
    type Item = Header;
    type IntoIter = std::vec::IntoIter<Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_keep_their_order_and_an_empty_value_deletes_them() {
        let mut headers = Headers::new();
        headers.push("application", "answer");
        headers.push("Application", "park");
        assert_eq!(headers.all("APPLICATION").collect::<Vec<_>>(), ["answer", "park"]);
        headers.push("application", "");
        assert!(headers.is_empty());
    }

    #[test]
    fn indexed_names_build_an_array() {
        let mut headers = Headers::new();
        headers.push("foo[1]", "b");
        headers.push("FOO[0]", "a");
        assert_eq!(headers.get("foo").as_deref(), Some("ARRAY::a|:b"));
        assert_eq!(headers.len(), 1);
    }
}
