//! Character classes and list splitting shared by the header parsers (RFC 3261 §25.1).

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
pub(crate) fn find_outside(text: &str, wanted: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if !angle && wanted.contains(&byte) {
            return Some(at);
        } else {
            match byte {
                b'"' if !angle => quoted = true,
                b'<' => angle = true,
                b'>' => angle = false,
                _ => {}
            }
        }
    }
    None
}

/// Splits at top-level commas; each piece is trimmed, empty pieces are skipped.
pub(crate) fn commas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let piece = match find_outside(text, b",") {
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
    fn quoting_round_trips_and_cannot_inject_a_line() {
        assert_eq!(unquote(&quote(r#"a "b\" c"#)), r#"a "b\" c"#);
        assert_eq!(quote("x\r\nEvil: y"), "\"x  Evil: y\"");
        assert_eq!(quote_once(r#"a \"b\" c"d\"#), r#""a \"b\" c\"d\\""#);
        assert_eq!(quote_once("x\r\nEvil: y\\\r"), "\"x  Evil: y\\ \"");
    }
}
