//! `regex`: patterns from the command line and the dialplan.

use super::Api;
use crate::api;

/// The family.
pub const APIS: &[Api] = &[api!(
    "regex",
    "mod_commands",
    "<data>|<pattern>[|<subst string>][|n|b]",
    "Evaluate a regex",
    text run
)
.marked()];

fn run(args: &str) -> String {
    let (delimiter, text) = match args.strip_prefix("m:").and_then(|rest| {
        let delimiter = rest.chars().next()?;
        Some((delimiter, &rest[delimiter.len_utf8()..]))
    }) {
        Some(changed) => changed,
        None => ('|', args),
    };
    let parts: Vec<&str> = text.splitn(4, delimiter).collect();
    let (Some(data), Some(pattern)) = (parts.first(), parts.get(1)) else { return "-ERR".into() };
    let found = captures(pattern, data);
    match (parts.get(2), found) {
        (None, Some(_)) => "true".into(),
        (None, None) => "false".into(),
        (Some(template), Some(groups)) => substitute(template, &groups),
        (Some(_), None) => match parts.get(3).copied() {
            Some("n") => String::new(),
            Some("b") => "false".into(),
            _ => (*data).to_owned(),
        },
    }
}

/// The whole match and its groups, marked ([`base::far`]) as the data is; `None` when there is no match or the pattern is
/// broken.
fn captures(pattern: &str, data: &str) -> Option<Vec<String>> {
    let pattern = base::far::in_pattern(pattern);
    Some(dialplan_xml::regex::Pattern::cached(&pattern).ok()?.captures_marked(data)?.groups)
}

/// Replaces `%1`, `$1`, `${1}` by groups.
fn substitute(template: &str, groups: &[String]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if !matches!(c, '$' | '%') {
            out.push(c);
            continue;
        }
        let braced = chars.next_if_eq(&'{').is_some();
        let mut number = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            number.push(digit);
        }
        if number.is_empty() {
            out.push(c);
            if braced {
                out.push('{');
            }
            continue;
        }
        if braced {
            chars.next_if_eq(&'}');
        }
        if let Some(group) = number.parse::<usize>().ok().and_then(|at| groups.get(at)) {
            out.push_str(group);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_where_the_template_names_them() {
        let groups = ["whole".to_owned(), "one".to_owned()];
        assert_eq!(substitute("%1-$1-${1}x-$0-$9-50%", &groups), "one-one-onex-whole--50%");
    }
}
