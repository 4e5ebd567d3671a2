//! Character classes and list splitting shared by the header parsers (RFC 3261 §25.1).

use memchr::{memchr, memchr2, memchr3};

/// True for a non-empty run of RFC 3261 token characters.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// One RFC 3261 token character.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Trims SIP linear white space, which folding may have left as CR or LF too.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// The byte offset of the first `wanted` byte outside quoted strings and angle brackets.
pub(crate) fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let found = at + memchr3(wanted, b'"', b'<', bytes.get(at..)?)?;
        at = match *bytes.get(found)? {
            byte if byte == wanted => return Some(found),
            b'"' => after_quoted(bytes, found + 1)?,
            _ => found + 1 + memchr(b'>', bytes.get(found + 1..)?)? + 1,
        };
    }
}

/// The offset after the quoted string whose text begins at `at`.
fn after_quoted(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match *bytes.get(found)? {
            b'"' => return Some(found + 1),
            _ => at = found + 2,
        }
    }
}

/// Splits at top-level commas; each piece is trimmed, empty pieces are skipped.
pub(crate) fn commas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let piece = match find_outside(text, b',') {
                Some(at) => {
                    rest = text.get(at + 1..);
                    text.get(..at).unwrap_or("")
                }
                None => {
                    rest = None;
                    text
                }
            };
            let piece = trim(piece);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    })
}

/// Removes the quotes and escapes of a quoted string; other text comes back trimmed.
pub(crate) fn unquote(text: &str) -> String {
    let text = trim(text);
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Puts text into a quoted string, escaping what must be.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // A line break inside a value would let a display name inject headers.
            '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// [`quote`] for text that may hold escaped characters: those stay as they are.
pub(crate) fn quote_once(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut chars = text.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c });
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.push(chars.next().unwrap_or('\\'));
            }
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        let pieces: Vec<_> = commas(r#""a, \"b" <sip:x,y@h>, <sip:z@h>;p="1,2",,q"#).collect();
        assert_eq!(pieces, [r#""a, \"b" <sip:x,y@h>"#, r#"<sip:z@h>;p="1,2""#, "q"]);
    }

    #[test]
    fn what_is_quoted_or_in_brackets_is_passed_over() {
        for (text, at) in [
            ("a;b", Some(1)),
            (r#""a;\";";b"#, Some(7)),
            ("<a;\"b>;c", Some(6)),
            ("a>;b", Some(2)),
            ("\"a;b", None),
            ("<a;b", None),
            ("\"a\\", None),
            ("", None),
        ] {
            assert_eq!(find_outside(text, b';'), at, "{text}");
        }
    }

    #[test]
    fn quoting_round_trips_and_cannot_inject_a_line() {
        assert_eq!(unquote(&quote(r#"a "b\" c"#)), r#"a "b\" c"#);
        assert_eq!(quote("x\r\nEvil: y"), "\"x  Evil: y\"");
        assert_eq!(quote_once(r#"a \"b\" c"d\"#), r#""a \"b\" c\"d\\""#);
        assert_eq!(quote_once("x\r\nEvil: y\\\r"), "\"x  Evil: y\\ \"");
    }
}
