//! Small readings of text that the whole switch shares with the reference.

pub use esl_server::switch::is_true;
pub use esl_server::switch::leading_number as int;

/// Does the text say no (`no off false f disabled inactive disallow`, or 0)?
#[must_use]
pub fn is_false(text: &str) -> bool {
    const NO: [&str; 7] = ["no", "off", "false", "f", "disabled", "inactive", "disallow"];
    let text = text.trim();
    NO.iter().any(|no| text.eq_ignore_ascii_case(no)) || text.parse::<i64>() == Ok(0)
}

/// Splits at spaces the way commands read their arguments: `'…'` holds together, at most `most` parts.
///
/// The last part takes the rest of the text.
#[must_use]
pub fn words(text: &str, most: usize) -> Vec<String> {
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

/// Splits at a separator, `'…'` holding together, at most `most` parts; the last takes the rest.
#[must_use]
pub fn separated(text: &str, separator: char, most: usize) -> Vec<String> {
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
    fn integers_read_as_far_as_they_go() {
        assert_eq!((int("12ab"), int("-3"), int("x"), int("+7")), (12, -3, 0, 7));
    }
}
