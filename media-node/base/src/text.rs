//! Small readings of text that the whole switch shares with the reference.

use std::borrow::Cow;

use crate::far;

/// Whether a text means yes: one of `yes on true t enabled active allow` in any case, or a number that is not
/// zero.
#[must_use]
pub fn is_true(text: &str) -> bool {
    const WORDS: [&str; 7] = ["yes", "on", "true", "t", "enabled", "active", "allow"];
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) || (is_number(text) && int(text) != 0)
}

/// Whether a text is made of digits and dots only, after an optional sign.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// The number a text begins with, 0 when there is none, saturating.
#[must_use]
pub fn int(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let value = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -value } else { value }
}

/// Does the text say no (`no off false f disabled inactive disallow`, or 0)?
#[must_use]
pub fn is_false(text: &str) -> bool {
    const NO: [&str; 7] = ["no", "off", "false", "f", "disabled", "inactive", "disallow"];
    let text = text.trim();
    NO.iter().any(|no| text.eq_ignore_ascii_case(no)) || (is_number(text) && int(text) == 0)
}

/// Splits at spaces the way commands read their arguments: `'…'` holds together, at most `most` parts.
///
/// The last part takes the rest of the text. What a far end said (a text may be marked, see [`far`]) is part of one word,
/// and plain in the result.
#[must_use]
pub fn words(text: &str, most: usize) -> Vec<String> {
    words_marked(text, most).into_iter().map(far::into_plain).collect()
}

/// [`words`] that keep the marks, for words that have a grammar of their own.
#[must_use]
pub fn words_marked(text: &str, most: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if parts.len() + 1 == most {
            parts.push(unquoted(rest));
            break;
        }
        let (part, after) = first_word(rest);
        parts.push(part);
        rest = after.trim_start();
    }
    parts
}

/// Splits at a separator, `'…'` holding together, at most `most` parts; the last takes the rest. What a far end said is
/// part of one, and plain in the result.
#[must_use]
pub fn separated(text: &str, separator: char, most: usize) -> Vec<String> {
    separated_marked(text, separator, most).into_iter().map(far::into_plain).collect()
}

/// [`separated`] that keep the marks, for parts that have a grammar of their own.
#[must_use]
pub fn separated_marked(text: &str, separator: char, most: usize) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c == separator && !quoted && parts.len() + 1 < most => {
                parts.push(std::mem::take(&mut part));
            }
            c => part.push(c),
        }
    }
    if !(parts.is_empty() && part.is_empty()) {
        parts.push(part);
    }
    parts
}

/// Would expansion find a reference (`${…}`) in this text? Backslashes between the two characters count for nothing.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    memchr::memchr_iter(b'$', text.as_bytes()).any(|at| {
        let rest = text.as_bytes().get(at + 1..).unwrap_or_default();
        rest.iter().find(|byte| **byte != b'\\') == Some(&b'{')
    })
}

/// A text of a far end's making, fit to be put into other texts: no reference is left to be expanded, neither in it
/// nor together with what follows it (`$` at the end), and no control character.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    let ends_open = text.trim_end_matches('\\').ends_with('$');
    if !ends_open && !has_reference(text) && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let after = || text.get(at + 1..).unwrap_or_default().trim_start_matches('\\');
        match c {
            '$' if after().is_empty() || after().starts_with('{') => out.push('%'),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`harmless`] for a display name set by its owner. Dialplans put names into dial strings,
/// `{origination_caller_id_name='${caller_id_name}'}user/1000`: where they lose their mark as a far end's ([`far`]), they
/// still neither end the braces nor set other variables.
#[must_use]
pub fn harmless_name(name: &str) -> Cow<'_, str> {
    replaced(harmless(name), |c| match c {
        '{' | '[' | '<' => Some('('),
        '}' | ']' | '>' => Some(')'),
        '=' => Some('-'),
        _ => None,
    })
}

/// [`harmless`] for a number that is called or called from: nothing that separates in dial strings, no blanks, and no
/// `../` that would lead a file named after a caller out of its directory.
#[must_use]
pub fn harmless_number(number: &str) -> Cow<'_, str> {
    let climbs = number.contains("..");
    replaced(harmless(number), |c| match c {
        ',' | '|' | '{' | '}' | '[' | ']' | '<' | '>' | '"' | '`' | '\\' | ' ' => Some('_'),
        '/' if climbs => Some('_'),
        _ => None,
    })
}

fn replaced(text: Cow<'_, str>, by: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    if text.chars().all(|c| by(c).is_none()) {
        return text;
    }
    Cow::Owned(text.chars().map(|c| by(c).unwrap_or(c)).collect())
}

fn first_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let (mut quoted, mut whole) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => {
                // Quotes around a whole word vanish; quotes inside one (`{a='b c'}…`) belong to its own grammar.
                if at == 0 {
                    whole = true;
                } else if !(whole && quoted) {
                    word.push(c);
                }
                quoted = !quoted;
            }
            ' ' if !quoted => return (word, &text[at..]),
            '\\' if matches!(chars.peek(), Some((_, '\'' | '\\'))) => {
                if let Some((_, next)) = chars.next() {
                    word.push(next);
                }
            }
            _ => word.push(c),
        }
    }
    (word, "")
}

fn unquoted(text: &str) -> String {
    let trimmed = text.trim_end();
    match trimmed.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inside) if !inside.contains('\'') => inside.to_owned(),
        _ => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_quotes_together_and_the_last_takes_the_rest() {
        assert_eq!(words("a 'b c' d", 7), ["a", "b c", "d"]);
        assert_eq!(words("a b c d", 2), ["a", "b c d"]);
        assert_eq!(words("  ", 3), Vec::<String>::new());
        assert_eq!(words("x '&app(a b)' inline", 7), ["x", "&app(a b)", "inline"]);
        assert_eq!(
            words("{a='two words'}sofia/x/y &park", 7),
            ["{a='two words'}sofia/x/y", "&park"]
        );
    }

    #[test]
    fn a_separator_in_quotes_separates_nothing() {
        assert_eq!(separated("a,'b,c',d", ',', 5), ["a", "b,c", "d"]);
        assert_eq!(separated("a,b,c", ',', 2), ["a", "b,c"]);
        assert_eq!(separated("", ',', 2), Vec::<String>::new());
    }

    #[test]
    fn what_a_far_end_says_is_never_expanded() {
        for (said, kept) in [
            ("Alice", "Alice"),
            ("${system(id)}", "%{system(id)}"),
            ("$\\\\{x}", "%\\\\{x}"),
            ("$${x}", "$%{x}"),
            ("cheap$", "cheap%"),
            ("5$ {x}", "5$ {x}"),
            ("a\u{1b}[2J\u{9b}b", "a [2J b"),
        ] {
            assert_eq!(harmless(said), kept, "{said}");
            assert!(!has_reference(&harmless(said)), "{said}");
        }
        assert_eq!(harmless_number("../../etc/x"), ".._.._etc_x");
        assert_eq!(harmless_number("conf/12"), "conf/12");
        assert_eq!(harmless_number("+49-30;x=y*#"), "+49-30;x=y*#");
        assert_eq!(harmless_number("1,[a=b]null/x"), "1__a=b_null/x");
        assert_eq!(harmless_name("O'Brien, Pat (home)"), "O'Brien, Pat (home)");
        assert_eq!(harmless_name("x}null/1,a='b'"), "x)null/1,a-'b'");
    }

    #[test]
    fn integers_read_as_far_as_they_go() {
        assert_eq!((int("12ab"), int("-3"), int("x"), int("+7")), (12, -3, 0, 7));
    }
}
