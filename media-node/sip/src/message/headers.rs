//! The header section of a message: every header, in order, spelt as it arrived.
//!
//! All text lives in one string; a header is four offsets into it. Reading a message therefore costs
//! three allocations however many headers it has, and adding a header appends to the same string.

use smallvec::SmallVec;

use super::name::Name;
use super::scan::{commas, trim};

/// Room for headers made at once where a message is read; most have no more.
const USUAL: usize = 24;

#[derive(Clone, Copy, Debug)]
struct HeaderLine {
    name: Name,
    name_at: (u32, u32),
    value_at: (u32, u32),
}

/// An ordered list of headers, small where there are none: a call keeps several lists that are nearly always empty.
/// Lookups by [`Name`] compare one byte; unknown headers are found by
/// their text, ignoring case.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    text: String,
    entries: Vec<HeaderLine>,
}

impl Headers {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adopts the text of a parsed header section; [`Headers::adopt`] then names the pieces.
    pub(crate) fn over(text: String) -> Self {
        Self { text, entries: Vec::with_capacity(USUAL) }
    }

    /// The text the offsets of [`Headers::adopt`] refer to.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Adds a header that already stands in the text. The caller checked the offsets.
    pub(crate) fn adopt(&mut self, name: Name, name_at: (u32, u32), value_at: (u32, u32)) {
        self.entries.push(HeaderLine { name, name_at, value_at });
    }

    /// As [`Headers::adopt`], for a value that had to be rewritten (unfolded).
    pub(crate) fn adopt_appended(&mut self, name: Name, name_at: (u32, u32), value: &str) {
        let value_at = self.append(value);
        self.entries.push(HeaderLine { name, name_at, value_at });
    }

    /// Gives back room for more headers, of a list that is kept.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Number of header lines.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is no header at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Value of the first header of this name.
    pub fn get(&self, name: Name) -> Option<&str> {
        self.entries.iter().find(|e| e.name == name).map(|e| self.slice(e.value_at))
    }

    /// Values of all headers of this name, one per line, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |e| e.name == name).map(|e| self.slice(e.value_at))
    }

    /// The elements of a comma-separated header, across all its lines, in order.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(commas)
    }

    /// Value of the first header with this text name (full, compact, known or not; any case).
    pub fn named(&self, text: &str) -> Option<&str> {
        match Name::recognise(text) {
            Name::Other => self.iter().find(|h| h.text.eq_ignore_ascii_case(text)).map(|h| h.value),
            name => self.get(name),
        }
    }

    /// Values of all headers with this text name (full or compact, any case), one per line, in order.
    pub fn all_named<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let known = Name::recognise(text);
        self.iter()
            .filter(move |h| match known {
                Name::Other => h.text.eq_ignore_ascii_case(text),
                name => h.name == name,
            })
            .map(|h| h.value)
    }

    /// The elements of a comma-separated header with this text name, across all its lines, in order.
    pub fn list_named<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.all_named(text).flat_map(commas)
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> {
        self.entries.iter().map(|e| Header {
            name: e.name,
            text: self.slice(e.name_at),
            value: self.slice(e.value_at),
        })
    }

    /// Appends a known header in its canonical spelling. Line breaks in the value become spaces, so
    /// that no value can add a header of its own.
    pub fn push(&mut self, name: Name, value: impl AsRef<str>) {
        self.push_named(name, name.as_str(), value.as_ref());
    }

    /// Appends a header by text; a known name is recognised, the spelling is kept.
    pub fn push_text(&mut self, text: &str, value: impl AsRef<str>) {
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
        self.push_named(Name::recognise(&text), &text, value.as_ref());
    }

    /// Replaces every header of this name by one with this value, at the place of the first.
    pub fn set(&mut self, name: Name, value: impl AsRef<str>) {
        let value_at = self.append_value(value.as_ref());
        let Some(first) = self.entries.iter().position(|e| e.name == name) else {
            let name_at = self.append(name.as_str());
            self.entries.push(HeaderLine { name, name_at, value_at });
            return;
        };
        if let Some(entry) = self.entries.get_mut(first) {
            entry.value_at = value_at;
        }
        let mut index = 0;
        self.entries.retain(|e| {
            index += 1;
            e.name != name || index - 1 == first
        });
    }

    /// Replaces the value of the first header of this name only, e.g. the topmost `Via`.
    pub fn set_first(&mut self, name: Name, value: impl AsRef<str>) {
        let value_at = self.append_value(value.as_ref());
        match self.entries.iter_mut().find(|e| e.name == name) {
            Some(entry) => entry.value_at = value_at,
            None => {
                let name_at = self.append(name.as_str());
                self.entries.push(HeaderLine { name, name_at, value_at });
            }
        }
    }

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: Name) {
        self.entries.retain(|e| e.name != name);
    }

    /// Removes all headers with this text name.
    pub fn remove_named(&mut self, text: &str) {
        match Name::recognise(text) {
            Name::Other => {
                let all = &self.text;
                self.entries.retain(|e| {
                    !all.get(e.name_at.0 as usize..e.name_at.1 as usize)
                        .is_some_and(|name| name.eq_ignore_ascii_case(text))
                });
            }
            name => self.remove(name),
        }
    }

    /// Copies a header of another message, keeping its spelling.
    pub fn push_header(&mut self, header: Header<'_>) {
        self.push_named(header.name, header.text, header.value);
    }

    fn push_named(&mut self, name: Name, text: &str, value: &str) {
        let name_at = self.append(text);
        let value_at = self.append_value(value);
        self.entries.push(HeaderLine { name, name_at, value_at });
    }

    fn append_value(&mut self, value: &str) -> (u32, u32) {
        let value = trim(value);
        if memchr::memchr3(b'\r', b'\n', 0, value.as_bytes()).is_none() {
            return self.append(value);
        }
        self.append(&value.replace(['\r', '\n', '\0'], " "))
    }

    fn append(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start, self.text.len() as u32)
    }

    fn slice(&self, at: (u32, u32)) -> &str {
        self.text.get(at.0 as usize..at.1 as usize).unwrap_or("")
    }

    /// Entry order on the wire: known headers by [`Name`], others last as added (stable).
    pub(crate) fn wire_order(&self) -> SmallVec<[u16; 32]> {
        let mut order: SmallVec<[u16; 32]> =
            (0..self.entries.len().min(u16::MAX.into()) as u16).collect();
        if !self.entries.is_sorted_by_key(|e| e.name) {
            order.sort_by_key(|&i| self.entries.get(usize::from(i)).map(|e| e.name));
        }
        order
    }

    pub(crate) fn at(&self, index: usize) -> Option<Header<'_>> {
        let entry = self.entries.get(index)?;
        Some(Header {
            name: entry.name,
            text: self.slice(entry.name_at),
            value: self.slice(entry.value_at),
        })
    }
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it is, when known.
    pub name: Name,
    /// The name as spelt.
    pub text: &'a str,
    /// The value, trimmed and unfolded.
    pub value: &'a str,
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.push_text(name.as_ref(), value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_keeps_the_place_of_the_first_and_drops_the_rest() {
        let mut h: Headers = [("Via", "a"), ("X-A", "1"), ("Via", "b")].into_iter().collect();
        h.set(Name::Via, "c");
        let seen: Vec<_> = h.iter().map(|h| (h.text, h.value)).collect();
        assert_eq!(seen, [("Via", "c"), ("X-A", "1")]);
    }

    #[test]
    fn a_value_cannot_smuggle_in_another_header() {
        let mut h = Headers::new();
        h.push_text("X-A", "one\r\nX-Evil: two");
        assert_eq!(h.named("x-a"), Some("one  X-Evil: two"));
        assert_eq!(h.len(), 1);
    }

    #[test]
    fn lists_run_across_lines() {
        let h: Headers =
            [("Route", "<sip:a>, <sip:b>"), ("Route", "<sip:c>")].into_iter().collect();
        assert_eq!(h.list(Name::Route).collect::<Vec<_>>(), ["<sip:a>", "<sip:b>", "<sip:c>"]);
    }
}
