//! Arguments as FreeSWITCH's own splitter takes them apart: programs depend on its oddities.

use base::far;

/// The parts of an argument, at most `most`; the last takes the rest. `^^` and a character make that the separator: empty
/// parts count then, but for an empty last one. What a far end said (a text may be marked) is part of one.
pub(crate) fn split(text: &str, most: usize) -> Vec<String> {
    let custom = text.strip_prefix("^^").and_then(|rest| {
        let separator = rest.chars().next()?;
        let rest = &rest[separator.len_utf8()..];
        (!rest.is_empty()).then_some((separator, rest))
    });
    let parts = match custom {
        Some((separator, rest)) => at_character(rest, separator, most),
        None => at_blanks(text, most),
    };
    let separator = custom.map(|(separator, _)| separator);
    parts.into_iter().map(|part| far::into_plain(clean(part, separator))).collect()
}

fn at_character(text: &str, separator: char, most: usize) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' if quoted || text[at + 1..].contains('\'') => quoted = !quoted,
            c if c == separator && !quoted && parts.len() + 1 < most => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

fn at_blanks(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        if parts.len() + 1 == most {
            parts.push(rest);
            break;
        }
        let (mut quoted, mut end) = (false, rest.len());
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '\'' => quoted = !quoted,
                ' ' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(' ');
    }
    parts
}

/// Blanks at the ends, quotes in pairs and escapes are taken out.
fn clean(part: &str, separator: Option<char>) -> String {
    let part = part.trim_start_matches(' ');
    let (mut out, mut end, mut quoted) = (String::with_capacity(part.len()), 0, false);
    let mut chars = part.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let escaped = match (c, next) {
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('s')) => Some(' '),
            ('\\', Some(next @ ('\'' | '"' | '\\'))) => Some(next),
            ('\\', Some(next)) if Some(next) == separator => Some(next),
            _ => None,
        };
        if let Some(escaped) = escaped {
            chars.next();
            out.push(escaped);
            end = out.len();
        } else if c == '\'' && (quoted || part[at + 1..].contains('\'')) {
            quoted = !quoted;
            if quoted {
                end = out.len();
            }
        } else {
            out.push(c);
            if c != ' ' || quoted {
                end = out.len();
            }
        }
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_separate_and_quotes_hold_together() {
        assert_eq!(split("u  send_text bug1 '{\"type\":\"dtmf\"}' x", 10).len(), 5);
        assert_eq!(split("u send_text 'a b'", 10)[2], "a b");
        assert_eq!(split("u start ws://x mono 8k {\"a\": 1}", 10)[5..], ["{\"a\":", "1}"]);
        assert_eq!(split("u start ws://x mono 8k {\"a\": 1} ", 6)[5], "{\"a\": 1}");
        assert_eq!(split("u send_text O'Brien is here", 6), ["u", "send_text", "O'Brien is here"]);
        assert_eq!(split("u send_text a'b'c", 6)[2], "abc");
        assert_eq!(split("", 3), [""; 0]);
    }

    #[test]
    fn a_separator_of_one_s_own_keeps_empty_parts_but_the_last() {
        let drachtio = "^^|u|start|wss://bot/x|mono|16000|bug1|'{\"a\":1}'|true|false|";
        assert_eq!(
            split(drachtio, 10),
            ["u", "start", "wss://bot/x", "mono", "16000", "bug1", "{\"a\":1}", "true", "false"]
        );
        let empty = "^^|u|start|ws://b|mono|8k|||true|true|16000";
        let parts = split(empty, 10);
        assert_eq!((parts.len(), parts[5].as_str(), parts[6].as_str()), (10, "", ""));
        assert_eq!(split("^^|u|O'Brien|x", 10), ["u", "O'Brien", "x"]);
        assert_eq!(split("^^|u|a|b|c", 3), ["u", "a", "b|c"]);
        assert_eq!(split("^^|", 3), ["^^|"]);
    }

    #[test]
    fn escapes_are_decoded() {
        assert_eq!(split(r#"u {\"a\":\"b\nc\s\"}"#, 3), ["u", "{\"a\":\"b\nc \"}"]);
        assert_eq!(split(r"^^|u|a\|b|c", 3), ["u", "a|b", "c"]);
    }

    #[test]
    fn what_a_far_end_says_is_one_part() {
        let said = far::mark("a stop b'");
        assert_eq!(split(&format!("u send_text {said}"), 3), ["u", "send_text", "a stop b'"]);
    }
}
