//! Text inside XML.

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
}
