//! `%HH` escaping (RFC 3261 §19.1.2).

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

/// Escapes what may not stand in the user part of a SIP URI.
pub fn escape_user(text: &str) -> String {
    escape(text, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/#%".contains(&b))
}

/// Escapes as the reference does for a URI carried inside a parameter (`fs_path`): everything but
/// letters, digits and a few marks.
pub fn escape_param(text: &str) -> String {
    escape(text, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b))
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
    fn a_uri_survives_a_parameter() {
        let uri = "sip:1000@198.51.100.7:5062;transport=udp";
        let escaped = escape_param(uri);
        assert!(escaped.starts_with("sip%3A1000%40198.51.100.7%3A5062"), "{escaped}");
        assert_eq!(unescape(&escaped), uri);
    }
}
