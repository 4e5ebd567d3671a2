//! Words and lists as the reference reads them.

pub use base::text::{int as leading_integer, is_false, is_number, is_true};

/// Splits a list the way every list argument of the reference is split: `^^X` at the start changes
/// the delimiter, single quotes protect it, backslash escapes, blanks around fields are trimmed, and
/// the last of `max` fields takes the unsplit rest.
pub fn split(text: &str, delimiter: char, max: usize) -> Vec<String> {
    let (text, delimiter) = chosen_delimiter(text, delimiter);
    if delimiter == ' ' { split_blank(text, max) } else { split_char(text, delimiter, max) }
}

/// Honours a leading `^^X`, which makes `X` the delimiter.
pub fn chosen_delimiter(text: &str, default: char) -> (&str, char) {
    if let Some(rest) = text.strip_prefix("^^") {
        let mut chars = rest.chars();
        if let Some(chosen) = chars.next()
            && !chars.as_str().is_empty()
        {
            return (chars.as_str(), chosen);
        }
    }
    (text, default)
}

fn split_char(text: &str, delimiter: char, max: usize) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && fields.len() < max {
        let last = fields.len() + 1 == max;
        let end = if last { None } else { find_delimiter(rest, delimiter) };
        let field = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        fields.push(clean(field, Some(delimiter)));
        rest = match end {
            Some(end) => rest.get(end + delimiter.len_utf8()..).unwrap_or_default(),
            None => "",
        };
    }
    fields
}

/// The first delimiter that neither a backslash nor quotes protect.
fn find_delimiter(text: &str, delimiter: char) -> Option<usize> {
    let last_quote = text.rfind('\'');
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == '\'' && (quoted || last_quote.is_some_and(|q| q > at)) {
            quoted = !quoted;
        } else if c == delimiter && !quoted {
            return Some(at);
        }
    }
    None
}

fn split_blank(text: &str, max: usize) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    if rest.is_empty() && !text.is_empty() && max > 0 {
        return vec![String::new()];
    }
    while !rest.is_empty() && fields.len() < max {
        let last = fields.len() + 1 == max;
        let end = if last { rest.len() } else { find_blank(rest) };
        fields.push(clean(rest.get(..end).unwrap_or_default(), None));
        rest = rest.get(end..).unwrap_or_default().trim_start_matches(' ');
    }
    fields
}

fn find_blank(text: &str) -> usize {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' => quoted = !quoted,
            ' ' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// Removes quotes, escapes and the blanks around one field.
fn clean(field: &str, delimiter: Option<char>) -> String {
    let field = field.trim_start_matches(' ');
    let last_quote = field.rfind('\'');
    let mut out = String::with_capacity(field.len());
    let mut keep = 0;
    let mut quoted = false;
    let mut chars = field.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\'
            && let Some(&(_, next)) = chars.peek()
            && let Some(meant) = unescape(next, delimiter)
        {
            chars.next();
            out.push(meant);
            keep = out.len();
        } else if c == '\'' && (quoted || last_quote.is_some_and(|q| q > at)) {
            quoted = !quoted;
            keep = keep.max(if quoted { keep } else { out.len() });
        } else {
            out.push(c);
            if c != ' ' || quoted {
                keep = out.len();
            }
        }
    }
    out.truncate(keep);
    out
}

fn unescape(next: char, delimiter: Option<char>) -> Option<char> {
    match next {
        '\'' | '"' | '\\' => Some(next),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        's' => Some(' '),
        c if Some(c) == delimiter => Some(c),
        _ => None,
    }
}
