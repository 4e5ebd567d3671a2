//! Passwords do not belong in reports that end up in the logs of a build.

use std::borrow::Cow;

/// Words in the names of what is secret.
const SECRET: [&str; 4] = ["password", "a1-hash", "credentials", "auth-pass"];

/// A line of a configuration with its passwords starred out, byte by byte, so that columns stay.
/// References to variables stay: they say where to look, and nothing else.
pub(crate) fn redact(line: &str) -> Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let mut stars: Vec<(usize, usize)> = Vec::new();
    for word in SECRET {
        let found = lower.match_indices(word).filter_map(|(at, _)| value(line, at + word.len()));
        stars.extend(found.filter(|(from, to)| {
            let text = line.get(*from..*to).unwrap_or_default();
            !text.is_empty() && !text.starts_with('$')
        }));
    }
    if stars.is_empty() {
        return Cow::Borrowed(line);
    }
    let hidden = |at: usize| stars.iter().any(|(from, to)| (*from..*to).contains(&at));
    let mut shown = String::with_capacity(line.len());
    for (at, c) in line.char_indices() {
        if hidden(at) {
            shown.push_str(&"*".repeat(c.len_utf8()));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Where the value begins and ends that follows a name: `name" value="…"`, or `name=…` in a `set`.
fn value(line: &str, after: usize) -> Option<(usize, usize)> {
    let rest = line.get(after..)?;
    if let Some(text) = rest.strip_prefix('=') {
        let end = text.find(['"', '\'']).unwrap_or(text.len());
        return Some((after + 1, after + 1 + end));
    }
    let (_, text) = rest.split_at(rest.find(['"', '\''])?);
    let text = text.get(1..)?.trim_start().strip_prefix("value")?.trim_start();
    let text = text.strip_prefix('=')?.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inside = text.get(1..)?;
    let start = line.len() - inside.len();
    Some((start, start + inside.find(quote).unwrap_or(inside.len())))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_starred_out_and_nothing_else() {
        for (line, shown) in [
            (
                r#"<param name="password" value="1234"/>"#,
                r#"<param name="password" value="****"/>"#,
            ),
            (
                r#"<param name="vm-password" value='99'/>"#,
                r#"<param name="vm-password" value='**'/>"#,
            ),
            (r#"<param name="a1-hash" value="c6é"/>"#, r#"<param name="a1-hash" value="****"/>"#),
            (r#"data="default_password=1234"/>"#, r#"data="default_password=****"/>"#),
            (
                r#"name="password" value="$${default_password}""#,
                r#"name="password" value="$${default_password}""#,
            ),
            (r#"<param name="realm" value="1234"/>"#, r#"<param name="realm" value="1234"/>"#),
            ("set your password here", "set your password here"),
            (r#"name="password" value="open"#, r#"name="password" value="****"#),
        ] {
            assert_eq!(redact(line), shown);
        }
    }
}
