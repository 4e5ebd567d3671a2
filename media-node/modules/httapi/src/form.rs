//! The fields of a request: ordered, each name once.

use std::fmt::Write as _;

use esl_server::event::url_encode;

/// Most fields kept of one call; what a server sets beyond them is left out.
const MOST: usize = 2_000;
/// Longest value kept, bytes: as long as an answer may be.
const LONGEST: usize = 1 << 20;

/// Names and values. A name, in any case, is there once: set anew it moves to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Sets a field at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        self.remove(name);
        if self.0.len() >= MOST || value.len() > LONGEST {
            tracing::warn!("httapi: field {name} is left out: too many or too long fields");
            return;
        }
        self.0.push((name.to_owned(), value));
    }

    /// Sets a field at the beginning.
    pub(crate) fn set_first(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.0.insert(0, (name.to_owned(), value.into()));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Sets all fields of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.set(name, value.as_str());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `name=value&…`, values percent-encoded as in the reference, names as they are. With `only`, these fields alone.
    pub(crate) fn encoded(&self, only: &[String]) -> String {
        let mut out = String::new();
        for (name, value) in self.iter() {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                let joiner = if out.is_empty() { "" } else { "&" };
                let _written = write!(out, "{joiner}{name}={}", url_encode(value));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_set_anew_moves_to_the_end() {
        let mut form = Form::default();
        form.set("url", "http://a/");
        form.set("mood", "fine");
        form.set("URL", "http://b/");
        form.set_first("session_id", "1");
        assert_eq!(form.encoded(&[]), "session_id=1&mood=fine&URL=http%3A//b/");
        assert_eq!(form.encoded(&["mood".into()]), "mood=fine");
        assert_eq!(form.get("Url"), Some("http://b/"));
    }

    #[test]
    fn a_server_cannot_fill_the_memory_with_fields() {
        let mut form = Form::default();
        for n in 0..MOST + 10 {
            form.set(&format!("f{n}"), "x");
        }
        assert_eq!(form.iter().count(), MOST);
        form.set("f1", "y".repeat(LONGEST + 1));
        assert_eq!(form.get("f1"), None);
    }
}
