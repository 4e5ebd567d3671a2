//! The encodings of the three event formats, byte by byte.

use super::value::Value;

/// Bytes sent as they are; every other byte becomes `%XX`.
const LITERAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = true;
        b += 1;
    }
    let unsafe_bytes = b"\"#%&+:;<=>?@[\\]^`{|}";
    let mut i = 0;
    while i < unsafe_bytes.len() {
        table[unsafe_bytes[i] as usize] = false;
        i += 1;
    }
    table
};

/// Printed for a header whose value has become empty.
const UNDEFINED: &[u8] = b"_undef_";

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` in the URL encoding of plain and XML events.
///
/// What already is the encoding of a character, with upper-case digits, is passed through: the
/// reference never encodes twice, and clients compare. It passes `%E9` too, though that is half a
/// character, and ends clients that decode it; here such a `%` is encoded.
pub(super) fn url(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| !LITERAL[b as usize]) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let encoded = encoded_character(tail);
        let (done, tail) = tail.split_at(encoded.max(1));
        match done {
            [byte] => out.extend_from_slice(&[
                b'%',
                HEX_UPPER[usize::from(byte >> 4)],
                HEX_UPPER[usize::from(byte & 15)],
            ]),
            character => out.extend_from_slice(character),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// The URL encoding of plain events, of call records and of HTTP lookups: what already is the encoding of a character
/// stays.
#[must_use]
pub fn url_encode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    url(&mut out, text.as_bytes());
    // Only ASCII was written: everything beyond it is encoded.
    String::from_utf8_lossy(&out).into_owned()
}

/// The URL encoding of a text that may hold encodings of its own: each `%` is encoded, too.
#[must_use]
pub fn url_encode_whole(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for &byte in text.as_bytes() {
        if LITERAL[usize::from(byte)] {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// How many bytes of `text`, which is not empty, are the encoding of its first character; 0 when
/// they are none.
fn encoded_character(text: &[u8]) -> usize {
    let mut bytes = [0; 4];
    for (at, escape) in text.chunks(3).take(4).enumerate() {
        let [b'%', high, low] = *escape else { return 0 };
        let (Some(high), Some(low)) = (upper_hex(high), upper_hex(low)) else { return 0 };
        bytes[at] = high << 4 | low;
        if std::str::from_utf8(&bytes[..=at]).is_ok() {
            return 3 * (at + 1);
        }
    }
    0
}

const fn upper_hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// Undoes the URL encoding of events: `%XX` in either case becomes the byte, anything else stays.
pub fn url_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let pair = match (first, tail) {
            (b'%', [a, b, ..]) => hex(*a).zip(hex(*b)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Appends `name: encoded\n`.
pub(super) fn plain_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if value.is_empty() {
        out.extend_from_slice(UNDEFINED);
    } else {
        url(out, value.as_bytes());
    }
    out.push(b'\n');
}

/// Appends a JSON string with its quotes.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    json_inner(out, text);
    out.push(b'"');
}

/// Appends a value: a string, or an array of strings.
pub(super) fn json_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::One(text) => json(out, text.as_bytes()),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json(out, item.as_bytes());
            }
            out.push(b']');
        }
    }
}

/// Appends what stands between the quotes of a JSON string.
pub(super) fn json_inner(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some(&b) = tail.first() {
            match b {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0c => out.extend_from_slice(b"\\f"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                _ => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[
                        HEX_LOWER[usize::from(b >> 4)],
                        HEX_LOWER[usize::from(b & 15)],
                    ]);
                }
            }
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Appends `text` escaped as XML character data; code points beyond ASCII become `&#xHEX;`.
pub(super) fn xml_text(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '\r' => out.extend_from_slice(b"&#xD;"),
            c if c.is_ascii() => out.push(c as u8),
            c => out.extend_from_slice(format!("&#x{:X};", u32::from(c)).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        let mut out = Vec::new();
        url(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn url_encoding_matches_the_reference_table() {
        for (raw, wire) in [
            ("+OK\n", "%2BOK%0A"),
            ("::1", "%3A%3A1"),
            ("Tue, 05 Mar 2024 10:11:12 GMT", "Tue,%2005%20Mar%202024%2010%3A11%3A12%20GMT"),
            (
                "sip:1000@10.0.0.1:5060;transport=udp",
                "sip%3A1000%4010.0.0.1%3A5060%3Btransport%3Dudp",
            ),
            ("é", "%C3%A9"),
            ("50%", "50%25"),
            ("a%41b", "a%41b"),
            ("a%e9b", "a%25e9b"),
            ("%4", "%254"),
            ("%C3%A9%20", "%C3%A9%20"),
            ("%E9", "%25E9"),
            ("%C3é", "%25C3%C3%A9"),
            ("%E9%C3%A9%", "%25E9%C3%A9%25"),
            ("%F0%9F%98%80x", "%F0%9F%98%80x"),
            ("", ""),
            ("!$'()*,-./_~", "!$'()*,-./_~"),
            ("\"#&<>?[\\]^`{|}\x7f", "%22%23%26%3C%3E%3F%5B%5C%5D%5E%60%7B%7C%7D%7F"),
        ] {
            assert_eq!(encoded(raw), wire, "{raw:?}");
        }
    }

    #[test]
    fn decoding_leaves_malformed_escapes_alone() {
        assert_eq!(url_decode(b"a%20b%3a%"), b"a b:%");
        assert_eq!(url_decode(b"%zz%4"), b"%zz%4");
    }

    #[test]
    fn json_escapes_only_what_it_must() {
        let mut out = Vec::new();
        json(&mut out, "a\"b\\c/\u{8}\u{c}\n\r\t\u{1}é\u{7f}".as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001é\u{7f}\""
        );
    }
}
