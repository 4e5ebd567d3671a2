//! `;name=value` lists, as in URIs and in headers.

use crate::message::scan::{find_outside, trim};

/// A borrowed `;a=b;c` list. Names compare without regard to case (RFC 3261 §7.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// A view of the text; a leading `;` is optional.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text as it stands.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// All parameters in order: name and, when there is a `=`, the value (quotes kept).
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (piece, after) = match find_outside(rest, b';') {
                    Some(at) => (rest.get(..at).unwrap_or(""), rest.get(at + 1..).unwrap_or("")),
                    None => (rest, ""),
                };
                rest = after;
                let piece = trim(piece);
                if !piece.is_empty() {
                    return Some(match piece.split_once('=') {
                        Some((name, value)) => (trim(name), Some(trim(value))),
                        None => (piece, None),
                    });
                }
            }
            None
        })
    }

    /// Value of the first parameter of this name; `Some("")` when it has none.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.unwrap_or(""))
    }

    /// True when the parameter is there, with or without value.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The list without the parameters for which `drop` says true, each with a leading `;`.
    pub fn without(self, drop: impl Fn(&str) -> bool) -> String {
        let mut out = String::with_capacity(self.0.len());
        for (name, value) in self.iter().filter(|(name, _)| !drop(name)) {
            out.push(';');
            out.push_str(name);
            if let Some(value) = value {
                out.push('=');
                out.push_str(value);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_order_and_quotes() {
        let params = Params::new(r#";a;B = "x;y" ; c=1"#);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("a", None), ("B", Some(r#""x;y""#)), ("c", Some("1"))]);
        assert_eq!(params.get("b"), Some(r#""x;y""#));
        assert_eq!(params.without(|n| n == "B"), ";a;c=1");
    }
}
