//! POSIX file name patterns: `*`, `?`, `[…]`, no braces, no tilde, no recursion. Names that start
//! with a dot need a dot in the pattern. Results are in byte order.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::include::reason;

/// How many files one pattern may name.
const MAX_MATCHES: usize = 20_000;

/// The existing paths a pattern names. An error is a directory that cannot be read.
pub(crate) fn matches(pattern: &str) -> Result<Vec<String>, String> {
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let mut found = vec![start];
    for component in pattern.split('/').filter(|c| !c.is_empty()) {
        if !is_pattern(component) {
            found.iter_mut().for_each(|path| path.push(unescape(component)));
            continue;
        }
        let mut next = Vec::new();
        for directory in found {
            scan(&directory, component, &mut next)?;
            if next.len() > MAX_MATCHES {
                return Err(format!("more than {MAX_MATCHES} files"));
            }
        }
        found = next;
    }
    found.retain(|path| path.exists());
    let mut names: Vec<String> =
        found.into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

fn scan(directory: &Path, pattern: &str, out: &mut Vec<PathBuf>) -> Result<(), String> {
    let listed = if directory == OsStr::new("") { Path::new(".") } else { directory };
    if listed.is_file() {
        return Ok(());
    }
    for entry in std::fs::read_dir(listed).map_err(|e| reason(&e))? {
        let name = entry.map_err(|e| reason(&e))?.file_name();
        if name_matches(pattern.as_bytes(), name.as_encoded_bytes()) {
            out.push(directory.join(name));
        }
    }
    Ok(())
}

/// Whether a name is a pattern.
pub(crate) fn is_pattern(component: &str) -> bool {
    component.contains(['*', '?', '['])
}

fn unescape(component: &str) -> String {
    let mut out = String::with_capacity(component.len());
    let mut chars = component.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// Whether a file name fits a pattern.
pub(crate) fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Greedy matching with one point to come back to: linear in practice, quadratic at worst.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(next) = one(pattern, p, name[n]) {
            p = next;
            n += 1;
            continue;
        }
        let Some((star_p, star_n)) = star else { return false };
        star = Some((star_p, star_n + 1));
        p = star_p + 1;
        n = star_n + 1;
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&b| b == b'*')
}

/// Matches one character; gives the position behind what matched it.
fn one(pattern: &[u8], at: usize, c: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match class(pattern, at, c) {
            Some((end, inside)) => inside.then_some(end),
            None => (c == b'[').then_some(at + 1),
        },
        b'\\' => (*pattern.get(at + 1)? == c).then_some(at + 2),
        literal => (literal == c).then_some(at + 1),
    }
}

/// A bracket expression: where it ends and whether it holds `c`. `None` when it never closes.
fn class(pattern: &[u8], at: usize, c: u8) -> Option<(usize, bool)> {
    let mut pos = at + 1;
    let negated = matches!(pattern.get(pos), Some(b'!' | b'^'));
    pos += usize::from(negated);
    let first = pos;
    let mut inside = false;
    loop {
        let low = *pattern.get(pos)?;
        if low == b']' && pos > first {
            return Some((pos + 1, inside != negated));
        }
        let high = match (pattern.get(pos + 1), pattern.get(pos + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                pos += 2;
                high
            }
            _ => low,
        };
        inside |= (low..=high).contains(&c);
        pos += 1;
    }
}
