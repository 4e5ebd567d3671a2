//! Text inside XML, and documents written line by line.

use std::fmt::Write as _;

/// Appends a text with the characters XML reserves replaced. Anything beyond ASCII becomes a numeric reference, as the
/// reference prints it; control characters that no XML document may hold are left out.
pub fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' if attribute => out.push_str("&#xA;"),
            '\t' if attribute => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c if c.is_ascii() => out.push(c),
            c => {
                let _infallible = write!(out, "&#x{:X};", u32::from(c));
            }
        }
    }
}

/// A text for an element or an attribute in double quotes; what is beyond ASCII stays as it is.
#[must_use]
pub fn in_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => {}
            c => out.push(c),
        }
    }
    out
}

/// Writes elements one below the other, indented by two blanks: call records and records of conferences.
///
/// An element without children keeps its start and end tags, as the reference prints it.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    /// Goes on behind a text, such as an XML declaration.
    #[must_use]
    pub fn after(text: impl Into<String>) -> Self {
        Self { text: text.into(), depth: 0 }
    }

    /// Begins an element that has others in it.
    pub fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.text.push('\n');
        self.depth += 1;
    }

    /// Ends the element begun by [`Writer::open`].
    pub fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.end(name);
    }

    /// An element with nothing but attributes.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.end(name);
    }

    /// An element with a text in it.
    pub fn leaf(&mut self, name: &str, value: &str) {
        self.leaf_with(name, &[], value);
    }

    /// One that has attributes, too.
    pub fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], value: &str) {
        self.start(name, attributes);
        escape(&mut self.text, value, false);
        self.end(name);
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.text.push_str("  ");
        }
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.indent();
        let _infallible = write!(self.text, "<{name}");
        for (name, value) in attributes {
            let _infallible = write!(self.text, " {name}=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        self.text.push('>');
    }

    fn end(&mut self, name: &str) {
        let _infallible = writeln!(self.text, "</{name}>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_no_document_may_hold() {
        let mut out = String::new();
        escape(&mut out, "a\"<b>&\u{1}\u{e9}\n", false);
        assert_eq!(out, "a\"&lt;b&gt;&amp;&#xE9;\n");
        out.clear();
        escape(&mut out, "a\"\n", true);
        assert_eq!(out, "a&quot;&#xA;");
        assert_eq!(in_xml("<a \"\u{e9}\u{1}'>"), "&lt;a &quot;\u{e9}'&gt;");
    }

    #[test]
    fn documents_are_indented_and_escaped() {
        let mut out = Writer::after("<?xml version=\"1.0\"?>\n");
        out.open("a", &[("n", "\"1\"")]);
        out.leaf("b", "<\">");
        out.empty("c", &[]);
        out.leaf_with("d", &[("e", "2")], "3");
        out.close("a");
        assert_eq!(
            out.finish(),
            "<?xml version=\"1.0\"?>\n<a n=\"&quot;1&quot;\">\n  <b>&lt;\"&gt;</b>\n  <c></c>\n  <d e=\"2\">3</d>\n</a>\n"
        );
    }
}
