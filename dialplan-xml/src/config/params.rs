//! Lists of `<param name= value=/>`.

use std::fmt;
use std::sync::Arc;

use crate::text::{is_number, is_true, leading_integer};
use crate::{Node, Place};

/// One `name`/`value` pair and where it is written.
#[derive(Clone, PartialEq, Eq)]
pub struct Param {
    /// Name as written.
    pub name: Arc<str>,
    /// Value as written.
    pub value: Arc<str>,
    /// Where the value is written.
    pub place: Place,
}

/// Pairs in document order. Names are matched without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    items: Vec<Param>,
}

impl Params {
    /// The pairs of every `<tag name= value=/>` directly in an element. Elements without a name are
    /// left out; a missing value is empty.
    pub fn read(parent: Option<Node<'_>>, tag: &str) -> Self {
        let mut items = Vec::new();
        for node in parent.into_iter().flat_map(|p| p.children_named(tag)) {
            if let Some(name) = node.attr("name") {
                let value = node.attr_or_empty("value").into();
                items.push(Param { name: name.into(), value, place: node.attr_place("value") });
            }
        }
        Self { items }
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.param(name).map(|p| &*p.value)
    }

    /// The last value of a name: what a reader that lets later settings win sees.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.items.iter().rfind(|p| p.name.eq_ignore_ascii_case(name)).map(|p| &*p.value)
    }

    /// Every value of a name, in document order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.items.iter().filter(move |p| p.name.eq_ignore_ascii_case(name)).map(|p| &*p.value)
    }

    /// The first pair of a name, with its place.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.items.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// Whether the first value of a name means yes; `None` when absent.
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.get(name).map(is_true)
    }

    /// The first value of a name as an integer; `None` when absent or not a number.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name).filter(|v| is_number(v)).map(leading_integer)
    }

    /// All pairs in document order.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.items.iter()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a pair.
    pub fn push(&mut self, param: Param) {
        self.items.push(param);
    }

    /// Appends the pairs of `other` whose names are not here yet.
    pub fn fill_from(&mut self, other: &Self) {
        for param in other {
            if self.param(&param.name).is_none() {
                self.items.push(param.clone());
            }
        }
    }
}

/// Values of params whose name says that they are secret are left out.
impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECRET: [&str; 5] = ["password", "passwd", "hash", "secret", "credentials"];
        let name = self.name.to_ascii_lowercase();
        let secret = SECRET.iter().any(|word| name.contains(word));
        let value = if secret { "…" } else { &*self.value };
        write!(f, "{}={value} at {}", self.name, self.place)
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a Param;
    type IntoIter = std::slice::Iter<'a, Param>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
