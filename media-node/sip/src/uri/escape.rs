//! `%HH` escaping (RFC 3261 §19.1.2).

use std::borrow::Cow;

/// Replaces `%HH` by the byte; a `%` without two digits stays. Bytes that are not UTF-8 become U+FFFD.
pub fn unescape(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Escapes what may not stand in the user part of a SIP URI. What is an escape already stays one.
pub fn escape_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(&escape(plain, is_user_byte));
        let digits = tail.as_bytes().get(1..3);
        let escaped = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if escaped { "%" } else { "%25" });
        rest = tail.get(1..).unwrap_or("");
    }
    out.push_str(&escape(rest, is_user_byte));
    out
}

/// The user part of an address in its plain form: escapes of characters that may stand there unescaped are undone,
/// the others (`%23`, `%20`, `%40`) stay, in capitals. So `%2B1202` is `+1202` and `%2A97` is `*97`, as sofia reads them.
pub(super) fn plain_user(text: &str) -> Cow<'_, str> {
    plain(text, is_user_byte)
}

/// [`plain_user`] for a password.
pub(super) fn plain_password(text: &str) -> Cow<'_, str> {
    plain(text, |b| is_unreserved(b) || b"&=+$,".contains(&b))
}

fn plain(text: &str, stands_plain: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let byte = match tail.as_bytes() {
            [_, high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let taken = match byte {
            Some(byte) if stands_plain(byte) => {
                out.push(char::from(byte));
                3
            }
            Some(_) => {
                out.push_str(&tail.get(..3).unwrap_or("").to_ascii_uppercase());
                3
            }
            None => {
                out.push('%');
                1
            }
        };
        rest = tail.get(taken..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

/// What stands unescaped in a user part (RFC 3261 §25.1, `user`).
fn is_user_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"&=+$,;?/".contains(&byte)
}

/// Escapes as the reference does for a URI carried inside a parameter (`fs_path`): everything but
/// letters, digits and a few marks.
pub fn escape_param(text: &str) -> String {
    escape(text, is_unreserved)
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(DIGITS.get(usize::from(nibble)).map_or('0', |d| char::from(*d)));
            }
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescape_leaves_stray_percents() {
        assert_eq!(unescape("a%20b%2"), "a b%2");
        assert_eq!(unescape("%zz%00"), "%zz\0");
        assert_eq!(unescape("%E2%82%AC%FF"), "€\u{FFFD}");
    }

    #[test]
    fn a_user_part_is_escaped_once() {
        for (text, escaped) in [
            ("+1 202", "+1%20202"),
            ("9#1", "9%231"),
            ("9%231", "9%231"),
            ("100%", "100%25"),
            ("a@b:c", "a%40b%3Ac"),
            ("é", "%C3%A9"),
            ("*97;x=1", "*97;x=1"),
        ] {
            assert_eq!(escape_user(text), escaped, "{text}");
            assert_eq!(escape_user(&escape_user(text)), escaped, "{text}");
        }
    }

    #[test]
    fn what_may_stand_plain_is_unescaped() {
        for (text, plain) in [
            ("%2B12025550199", "+12025550199"),
            ("%2a97", "*97"),
            ("8%3024", "8024"),
            ("9%23", "9%23"),
            ("a%20b%c3%a9", "a%20b%C3%A9"),
            ("x%3bpar%3D1", "x;par=1"),
            ("50%%", "50%%"),
            ("%é1", "%é1"),
            ("%00", "%00"),
        ] {
            assert_eq!(plain_user(text), plain, "{text}");
        }
        assert_eq!(plain_password("%3b%41"), "%3BA");
    }

    #[test]
    fn a_uri_survives_a_parameter() {
        let uri = "sip:1000@198.51.100.7:5062;transport=udp";
        let escaped = escape_param(uri);
        assert!(escaped.starts_with("sip%3A1000%40198.51.100.7%3A5062"), "{escaped}");
        assert_eq!(unescape(&escaped), uri);
    }
}
