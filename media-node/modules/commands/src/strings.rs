//! Commands that turn text into text: `replace`, `md5`, `url_encode`, `cond`, …

use std::fmt::Write as _;

use md5::{Digest, Md5};

use super::{Api, ApiCall};
use crate::api;

/// The family.
pub const APIS: &[Api] = &[
    api!(
        "coalesce",
        "mod_commands",
        "[^^<delim>]<value1>,<value2>,...",
        "Return first nonempty parameter",
        text coalesce
    )
    .marked(),
    api!(
        "cond",
        "mod_commands",
        "<expr> ? <true val> : <false val>",
        "Evaluate a conditional",
        text cond
    )
    .marked(),
    api!("echo", "mod_commands", "<data>", "Echo", text echo).marked(),
    api!("escape", "mod_commands", "<data>", "Escape a string", text escape),
    api!("md5", "mod_commands", "<data>", "Return md5 hash", text md5),
    api!(
        "quote_shell_arg",
        "mod_commands",
        "<data>",
        "Quote/escape a string for use on shell command line",
        text quote_shell_arg
    )
    .marked(),
    api!("replace", "mod_commands", "<data>|<string1>|<string2>", "Replace a string", text replace),
    api!(
        "sql_escape",
        "mod_commands",
        "<string>",
        "Escape a string to prevent sql injection",
        text sql_escape
    ),
    api!("tolower", "mod_commands", "<string>", "Lower Case a string", text tolower).marked(),
    api!("toupper", "mod_commands", "<string>", "Upper Case a string", text toupper).marked(),
    api!("url_decode", "mod_commands", "<string>", "Url decode a string", text url_decode),
    api!("url_encode", "mod_commands", "<string>", "Url encode a string", text url_encode),
    api!("xml_wrap", "mod_commands", "<command> <args>", "Wrap another api command in xml", async xml_wrap),
];

fn echo(args: &str) -> String {
    args.to_owned()
}

fn toupper(args: &str) -> String {
    args.to_ascii_uppercase()
}

fn tolower(args: &str) -> String {
    args.to_ascii_lowercase()
}

fn coalesce(args: &str) -> String {
    let (delimiter, text) =
        match args.strip_prefix("^^").and_then(|rest| Some((rest.chars().next()?, rest))) {
            Some((delimiter, rest)) => (delimiter, &rest[delimiter.len_utf8()..]),
            None => (',', args),
        };
    text.split(delimiter).find(|part| !part.is_empty()).unwrap_or_default().to_owned()
}

fn sql_escape(args: &str) -> String {
    args.replace('\'', "''")
}

fn quote_shell_arg(args: &str) -> String {
    // What a far end said stays marked: the code that runs the line quotes it once more where needed.
    format!("'{}'", args.replace('\'', "'\\''"))
}

fn md5(args: &str) -> String {
    if args.is_empty() {
        return "!err!".into();
    }
    hex(&Md5::digest(args.as_bytes()))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn escape(args: &str) -> String {
    let mut out = String::with_capacity(args.len());
    for c in args.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' | '?' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn url_encode(args: &str) -> String {
    esl_server::event::url_encode_whole(args)
}

fn url_decode(args: &str) -> String {
    decoded(args)
}

/// `%xx` undone.
#[must_use]
pub fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&esl_server::event::url_decode(text.as_bytes())).into_owned()
}

fn replace(args: &str) -> String {
    let (delimiter, text) = delimited(args);
    let parts: Vec<&str> = text.splitn(3, delimiter).collect();
    match parts[..] {
        [data, old, new] if !old.is_empty() => data.replace(old, new),
        _ => "-ERR".into(),
    }
}

/// `m:~…` chooses the delimiter, `|` otherwise.
fn delimited(text: &str) -> (char, &str) {
    match text.strip_prefix("m:").and_then(|rest| Some((rest.chars().next()?, rest))) {
        Some((delimiter, rest)) => (delimiter, &rest[delimiter.len_utf8()..]),
        None => ('|', text),
    }
}

async fn xml_wrap(call: ApiCall) -> String {
    let (command, args) = call.marked.split_once(' ').unwrap_or((&call.marked, ""));
    let output = Box::pin(call.switch.run_api_marked(command, args, call.channel.clone())).await;
    let output = output.unwrap_or_else(|| "INVALID COMMAND!\n".into());
    format!("<result>\n  <row id=\"1\">\n    <data>{output}</data>\n  </row>\n</result>\n")
}

fn cond(args: &str) -> String {
    evaluate(args).unwrap_or_else(|| "-ERR".into())
}

/// `a op b ? x : y`; `None` where the grammar is not met.
fn evaluate(text: &str) -> Option<String> {
    let (condition, choices) = split_outside_quotes(text, "?")?;
    let (operator, left, right) = ["==", "!=", ">=", "<=", ">", "<"]
        .iter()
        .filter_map(|operator| {
            let (left, right) = split_outside_quotes(condition, operator)?;
            Some((*operator, left, right))
        })
        .min_by_key(|(operator, left, _)| (left.len(), std::cmp::Reverse(operator.len())))?;
    let (yes, no) = split_outside_quotes(choices, ":").unwrap_or((choices, ""));
    let holds = compare(operator, left.trim(), right.trim());
    Some(unquoted(if holds { yes } else { no }.trim()).to_owned())
}

fn split_outside_quotes<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        if c == '\'' {
            quoted = !quoted;
        } else if !quoted && text[at..].starts_with(separator) {
            return Some((&text[..at], &text[at + separator.len()..]));
        }
    }
    None
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(text)
}

/// Numbers by value; otherwise equality by text and order by length, as in the reference.
fn compare(operator: &str, left: &str, right: &str) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (left, right) = (&*base::far::plain(left), &*base::far::plain(right));
    let number = |text: &str| if text.starts_with('\'') { None } else { text.parse::<f64>().ok() };
    let order = match (number(left), number(right)) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => {
            let (left, right) = (unquoted(left), unquoted(right));
            match operator {
                "==" | "!=" => Some(left.cmp(right)),
                _ => Some(left.len().cmp(&right.len())),
            }
        }
    };
    match operator {
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        ">" => order == Some(Greater),
        ">=" => matches!(order, Some(Greater | Equal)),
        "<" => order == Some(Less),
        _ => matches!(order, Some(Less | Equal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_numbers_by_value_and_text_by_itself() {
        let eval = |text: &str| evaluate(text).unwrap_or_else(|| "-ERR".into());
        assert_eq!(eval("5 > 12 ? yes : no"), "no");
        assert_eq!(eval("'5' > '12' ? longer : shorter"), "shorter");
        assert_eq!(eval("abc==abc ? same : other"), "same");
        assert_eq!(eval("1 != 2 ? 'a b' : c"), "a b");
        assert_eq!(eval("10 >= 10 ? 1 : 0"), "1");
        assert_eq!(eval("1 == 2 ? yes"), "");
        assert_eq!(eval("1 2 3"), "-ERR");
        assert_eq!(eval("'a?b' == 'a?b' ? ja : nein"), "ja");
    }

    #[test]
    fn digests_are_written_in_lower_case() {
        assert_eq!(hex(&Md5::digest(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
