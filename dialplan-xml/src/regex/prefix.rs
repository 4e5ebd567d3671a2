//! The fixed text an anchored expression starts with. Dialplans are long lists of `^1234(\d+)$`:
//! comparing the start rejects nearly all of them without running PCRE.

/// The text every match of `body` starts with, or an empty string when that is not plain to see.
pub(super) fn required(body: &str) -> String {
    let Some(rest) = body.strip_prefix('^') else { return String::new() };
    if rest.contains("\\Q") || rest.contains("(?#") || has_bar_outside_groups(rest) {
        return String::new();
    }
    let mut out = Vec::new();
    collect(rest.as_bytes(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn collect(bytes: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let (literal, next) = match b {
            b'(' => {
                if !is_mandatory_group(bytes, at) {
                    return;
                }
                at += 1;
                continue;
            }
            b')' => {
                at += 1;
                continue;
            }
            b'\\' => match bytes.get(at + 1) {
                Some(&c) if c.is_ascii_punctuation() => (c, at + 2),
                _ => return,
            },
            b'[' | b'.' | b'$' | b'^' | b'|' | b'*' | b'+' | b'?' | b'{' => return,
            c if c.is_ascii() => (c, at + 1),
            _ => return,
        };
        match bytes.get(next) {
            Some(b'?' | b'*' | b'{') => return,
            Some(b'+') => {
                out.push(literal);
                return;
            }
            _ => out.push(literal),
        }
        at = next;
    }
}

/// A capturing group without alternatives that must take part in the match once.
fn is_mandatory_group(bytes: &[u8], open: usize) -> bool {
    if matches!(bytes.get(open + 1), Some(b'?' | b'*')) {
        return false;
    }
    let Some((close, has_bar)) = group_end(bytes, open) else { return false };
    !has_bar && !matches!(bytes.get(close + 1), Some(b'?' | b'*' | b'{' | b'+'))
}

/// Where the group that opens at `open` closes, and whether there is any `|` inside.
fn group_end(bytes: &[u8], open: usize) -> Option<(usize, bool)> {
    let mut depth = 0_usize;
    let mut has_bar = false;
    let mut at = open;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 1,
            b'[' => at = class_end(bytes, at)?,
            b'(' => depth += 1,
            b'|' => has_bar = true,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some((at, has_bar));
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where a bracket class closes.
fn class_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    at += usize::from(bytes.get(at) == Some(&b'^'));
    at += usize::from(bytes.get(at) == Some(&b']'));
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 1,
            // `[:alpha:]` inside a class.
            b'[' if bytes.get(at + 1) == Some(&b':') => {
                at += bytes.get(at..)?.windows(2).position(|w| w == b":]")? + 1;
            }
            b']' => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Whether a `|` stands outside every group, or the groups cannot be told apart.
fn has_bar_outside_groups(body: &str) -> bool {
    let bytes = body.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'|' => return true,
            b'\\' => at += 1,
            b'[' | b'(' => {
                let end = if b == b'[' {
                    class_end(bytes, at)
                } else {
                    group_end(bytes, at).map(|(end, _)| end)
                };
                let Some(end) = end else { return true };
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::required;

    #[test]
    fn only_text_every_match_must_start_with_is_required() {
        for (body, prefix) in [
            ("^1234$", "1234"),
            ("^(1234)$", "1234"),
            (r"^12(\d+)$", "12"),
            (r"^\+1(\d{10})$", "+1"),
            ("^\\*98$", "*98"),
            ("^12?3", "1"),
            ("^12*3", "1"),
            ("^12{2}3", "1"),
            ("^12+3", "12"),
            ("^(12)?3", ""),
            ("^(12)+3", ""),
            ("^1(2|3)4", "1"),
            ("^1|2", ""),
            ("^(1|2)|3", ""),
            ("^(1)(2)3", "123"),
            ("^(?:12)3", ""),
            ("^((?!6000)60)", ""),
            ("^[12]3", ""),
            ("^1[)|]2(3)", "1"),
            ("1234", ""),
            ("^", ""),
            (r"^1\Q|2\E", ""),
            ("^(1", ""),
            (r"^1\d", "1"),
        ] {
            assert_eq!(required(body), prefix, "{body}");
        }
    }
}
