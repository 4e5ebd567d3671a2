//! Character and entity references, and the few declarations of an internal DTD that are honoured.

use std::collections::HashMap;

/// What an internal DTD declared.
#[derive(Default)]
pub(crate) struct Declarations {
    entities: HashMap<String, String>,
    /// Element name to default attributes.
    defaults: HashMap<String, Vec<(String, String)>>,
}

/// How deep entities may refer to entities.
const MAX_ENTITY_DEPTH: usize = 16;
/// How many bytes all entity references of a document may produce.
const MAX_ENTITY_BYTES: usize = 1 << 20;

/// Decodes references into an output buffer, within a budget for the whole document.
#[derive(Default)]
pub(crate) struct Decoder {
    pub(crate) declared: Declarations,
    spent: usize,
    /// Set when the budget ran out.
    pub(crate) exhausted: bool,
}

impl Decoder {
    /// Appends character data: line ends become LF, references are replaced, unknown ones kept.
    pub(crate) fn text(&mut self, out: &mut String, raw: &str) {
        self.decode(out, raw, false, 0);
    }

    /// Appends an attribute value: as text, and every white space becomes a blank.
    pub(crate) fn attribute(&mut self, out: &mut String, raw: &str) {
        self.decode(out, raw, true, 0);
    }

    fn decode(&mut self, out: &mut String, raw: &str, attribute: bool, depth: usize) {
        let mut rest = raw;
        while let Some(at) = rest.find(['&', '\r', '\n', '\t']) {
            out.push_str(rest.get(..at).unwrap_or_default());
            rest = rest.get(at..).unwrap_or_default();
            let (consumed, replacement) = match rest.as_bytes().first() {
                Some(b'\r') => (if rest.starts_with("\r\n") { 2 } else { 1 }, "\n"),
                Some(b'\n') => (1, "\n"),
                Some(b'\t') => (1, "\t"),
                _ => {
                    let used = self.reference(out, rest, attribute, depth);
                    rest = rest.get(used..).unwrap_or_default();
                    continue;
                }
            };
            out.push_str(if attribute { " " } else { replacement });
            rest = rest.get(consumed..).unwrap_or_default();
        }
        out.push_str(rest);
    }

    /// Handles the `&` at the start of `rest`; gives how many bytes were used.
    fn reference(&mut self, out: &mut String, rest: &str, attribute: bool, depth: usize) -> usize {
        let body = rest.get(1..).unwrap_or_default();
        let Some(end) = body.bytes().take(64).position(|b| b == b';') else {
            out.push('&');
            return 1;
        };
        let name = body.get(..end).unwrap_or_default();
        if let Some(c) = predefined(name).or_else(|| numeric(name)) {
            out.push(c);
            return end + 2;
        }
        if let Some(value) = self.declared.entities.get(name).cloned() {
            self.spent = self.spent.saturating_add(value.len());
            if depth < MAX_ENTITY_DEPTH && self.spent <= MAX_ENTITY_BYTES {
                self.decode(out, &value, attribute, depth + 1);
                return end + 2;
            }
            self.exhausted = true;
        }
        out.push('&');
        1
    }
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

fn numeric(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let code = match digits.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code).filter(|&c| c != '\0')
}

impl Declarations {
    /// Default attributes of an element.
    pub(crate) fn defaults(&self, element: &str) -> &[(String, String)] {
        self.defaults.get(element).map_or(&[], Vec::as_slice)
    }

    /// Reads the inside of `<!DOCTYPE … [ … ]>`. Gives the name of an entity that refers to itself.
    pub(crate) fn read(&mut self, mut subset: &str) -> Option<String> {
        while let Some(at) = subset.find("<!") {
            subset = subset.get(at + 2..).unwrap_or_default();
            let (declaration, rest) = declaration(subset);
            subset = rest;
            if let Some(body) = declaration.strip_prefix("ENTITY") {
                self.entity(body);
            } else if let Some(body) = declaration.strip_prefix("ATTLIST") {
                self.attlist(body);
            }
        }
        self.entities.keys().find(|name| self.is_circular(name)).cloned()
    }

    fn entity(&mut self, body: &str) {
        let mut words = Words(body);
        if let (Some(name), Some(value)) = (words.next(), words.next())
            && name != "%"
            && words.quoted(value)
        {
            self.entities.entry(name.to_owned()).or_insert_with(|| unquote(value).to_owned());
        }
    }

    fn attlist(&mut self, body: &str) {
        let mut words = Words(body);
        let Some(element) = words.next() else { return };
        while let (Some(name), Some(_kind)) = (words.next(), words.next()) {
            let Some(mut value) = words.next() else { return };
            if value == "#FIXED" {
                let Some(fixed) = words.next() else { return };
                value = fixed;
            }
            if words.quoted(value) {
                let pair = (name.to_owned(), unquote(value).to_owned());
                self.defaults.entry(element.to_owned()).or_default().push(pair);
            }
        }
    }

    fn is_circular(&self, name: &str) -> bool {
        let mut seen = vec![name];
        let mut todo = vec![name];
        while let Some(current) = todo.pop() {
            let Some(value) = self.entities.get(current) else { continue };
            for (at, _) in value.match_indices('&') {
                let reference = value.get(at + 1..).unwrap_or_default();
                let Some((inner, _)) = reference.split_once(';') else { continue };
                if inner == name {
                    return true;
                }
                if self.entities.contains_key(inner) && !seen.contains(&inner) {
                    seen.push(inner);
                    todo.push(inner);
                }
            }
        }
        false
    }
}

/// Cuts one declaration at its `>`, which quotes protect.
fn declaration(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, b) in text.bytes().enumerate() {
        match (quote, b) {
            (Some(q), b) if q == b => quote = None,
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b'>') => {
                return (
                    text.get(..at).unwrap_or_default(),
                    text.get(at + 1..).unwrap_or_default(),
                );
            }
            _ => {}
        }
    }
    (text, "")
}

fn unquote(word: &str) -> &str {
    word.get(1..word.len().saturating_sub(1)).unwrap_or_default()
}

/// Words of a declaration; quoted ones keep their quotes.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn quoted(&self, word: &str) -> bool {
        word.len() >= 2 && word.starts_with(['"', '\''])
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let first = text.chars().next()?;
        let end = match first {
            '"' | '\'' => text.get(1..)?.find(first)? + 2,
            '(' => text.find(')')? + 1,
            _ => text.find(char::is_whitespace).unwrap_or(text.len()),
        };
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}
