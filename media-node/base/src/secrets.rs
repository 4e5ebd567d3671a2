//! Secrets in what is written to logs: passwords in addresses, tokens, keys, headers with them.
//!
//! Arguments of applications and commands are logged as they are, and an administrator may have written a token into one.
//! What is masked here is masked for readers of logs only; events and variables keep it.

use std::borrow::Cow;

/// What stands in a secret's place.
pub(crate) const MASK: &str = "***";
/// Names of values that are secret, at the end of whatever name has them. `key` alone is none: it names files.
const NAMES: &[&str] = &[
    "token",
    "password",
    "passwd",
    "pwd",
    "secret",
    "api_key",
    "apikey",
    "api-key",
    "authorization",
    "access_key",
    "private_key",
    "credentials",
    "signature",
    "headers",
    "auth_key",
    "jwt",
];
/// Words before a secret in headers.
const SCHEMES: &[&str] = &["bearer ", "basic "];
/// Longest name that is looked at.
const LONGEST: usize = 16;

/// The text with its secrets masked.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut kept, mut at) = (0, 0);
    while at < bytes.len() {
        let secret = match bytes[at] {
            b'=' | b':' => value(text, at).or_else(|| userinfo(text, at)),
            b' ' => scheme(text, at),
            _ => None,
        };
        match secret {
            Some((from, to)) if from < to => {
                let out = out.get_or_insert_default();
                out.push_str(&text[kept..from]);
                out.push_str(MASK);
                (kept, at) = (to, to);
            }
            _ => at += 1,
        }
    }
    match out {
        Some(mut out) => {
            out.push_str(&text[kept..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// Where the value of a secret name is that a separator at `at` stands behind.
fn value(text: &str, at: usize) -> Option<(usize, usize)> {
    let quotes: &[char] = &['"', '\'', ']', ' ', '\\'];
    let before = text[..at].trim_end_matches(quotes);
    let start = before.char_indices().rev().take(LONGEST).last().map_or(0, |(start, _)| start);
    let name = before[start..].to_ascii_lowercase();
    NAMES.iter().find(|own| name.ends_with(*own))?;
    let rest = &text[at + 1..];
    let skipped = rest.len() - rest.trim_start_matches([' ', '[']).len();
    let from = at + 1 + skipped;
    let rest = &text[from..];
    Some(match rest.chars().next()? {
        quote @ ('"' | '\'') => {
            let inside = &rest[1..];
            (from + 1, from + 1 + closing(inside, quote))
        }
        '{' => (from, from + braces(rest)),
        _ if rest.starts_with("${") => return None,
        _ => {
            let scheme = SCHEMES.iter().find(|own| starts_with(rest, own));
            let word = from + scheme.map_or(0, |scheme| scheme.len());
            (from, word + word_end(&text[word..]))
        }
    })
}

/// Where a password in an address is whose scheme ends at `at`: `scheme://user:password@host`.
fn userinfo(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text[at..].strip_prefix("://")?;
    let end = rest.find(|c: char| "/?#\"'<> ,|".contains(c)).unwrap_or(rest.len());
    let (user, _) = rest[..end].rsplit_once('@')?;
    let from = at + 3 + user.find(':').map_or(0, |colon| colon + 1);
    Some((from, at + 3 + user.len()))
}

/// Where the word behind `Bearer` or `Basic` is, if one of them ends at the blank `at`.
fn scheme(text: &str, at: usize) -> Option<(usize, usize)> {
    let before = &text[..=at];
    let known = SCHEMES.iter().any(|own| {
        let start = before.len().checked_sub(own.len());
        start.and_then(|start| before.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(own))
    });
    let end = at + 1 + word_end(&text[at + 1..]);
    // Shorter words than any secret are text.
    (known && end - at > 8).then_some((at + 1, end))
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn word_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || "&,|;\"'}])".contains(c)).unwrap_or(text.len())
}

/// The quote that closes; escaped ones do not.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// The end of an object in braces.
fn braces(text: &str) -> usize {
    let mut deep = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => deep += 1,
            '}' if deep <= 1 => return at + 1,
            '}' => deep -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let cases = [
            (
                "wss://bot/x dialect=twilio token=abc.def barge_in=true",
                "wss://bot/x dialect=twilio token=*** barge_in=true",
            ),
            ("wss://h/x?api_key=abc&room=7 x", "wss://h/x?api_key=***&room=7 x"),
            ("http://user:pa:ss@h/x", "http://user:***@h/x"),
            ("http://token@h/x", "http://***@h/x"),
            (
                r#"u start ws://h mono 8k b {"token":"a\"b","n":1}"#,
                r#"u start ws://h mono 8k b {"token":"***","n":1}"#,
            ),
            (r#"headers={"X-Any":"hush","Y":"z"} mix=mono"#, "headers=*** mix=mono"),
            (
                "http://h/ content-type x headers Authorization: Bearer abc post",
                "http://h/ content-type x headers Authorization: *** post",
            ),
            ("x Bearer abcdefghij y", "x Bearer *** y"),
            ("SET c [STREAM_EXTRA_HEADERS]=[{\"A\":\"b\"}]", "SET c [STREAM_EXTRA_HEADERS]=[***]"),
            ("{sip_auth_password=x,a=b}sofia/x", "{sip_auth_password=***,a=b}sofia/x"),
            ("{'token': 'abc'}", "{'token': '***'}"),
            ("STREAM_OPENAI_API_KEY=sk-1", "STREAM_OPENAI_API_KEY=***"),
            ("MOD_AUDIO_BASIC_AUTH_PASSWORD=ü", "MOD_AUDIO_BASIC_AUTH_PASSWORD=***"),
        ];
        for (given, expected) in cases {
            assert_eq!(masked(given), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "",
            "a=b",
            "sofia/gateway/x/1000",
            "http://h:80/x@y",
            "sip:1000@h",
            "basic rights and bearer bonds",
            "token=",
            "token",
            "key=/etc/x.pem",
            "token=${token}",
            "é=:=é",
            "12:30:45",
            "tone_stream://%(1,2,3);loops=-1",
        ] {
            assert!(matches!(masked(text), Cow::Borrowed(_)), "{text} -> {}", masked(text));
        }
        let _no_panic = masked(&format!("{}token={{{}", "é".repeat(50), "{".repeat(5000)));
    }
}
