//! `${…}`: variables, slices, array slots, API calls.
//!
//! The scanner follows the reference character by character, quirks included: `\$` hides a
//! reference, `\'` vanishes, the character behind a reference's `}` is copied as it is.
//!
//! What a host says came from a far end stays marked ([`base::far`]) in the result: it is never expanded again, and
//! a parser of the result does not take it for syntax.

use base::far;

use crate::Host;
use crate::text::{chosen_delimiter, leading_integer, split};

/// How deep values may refer to values; below that the text stays as it is (reference: 100).
const MAX_DEPTH: usize = 100;
/// How many references one expansion may follow. The reference has no such limit.
const MAX_REFERENCES: usize = 10_000;
/// How much text one expansion may produce, in bytes. The reference has no such limit.
const MAX_OUTPUT: usize = 4 << 20;

/// Expands every reference in `text` for a call. Text without a reference is returned as it is. Values that the host
/// marks as a far end's stay marked.
pub fn expand(text: &str, host: &mut dyn Host) -> String {
    Expander { host, kind: Kind::Call, references: 0, produced: 0 }.expand(text, 0)
}

/// Expands for an event instead of a call (`eval`, hangup hooks, dynamic URLs): lookups see
/// [`Host::variable`] and [`Host::global`] only, `$${x}` sees globals only, and values of variables
/// are not expanded again.
pub fn expand_event(text: &str, host: &mut dyn Host) -> String {
    Expander { host, kind: Kind::Event, references: 0, produced: 0 }.expand(text, 0)
}

/// Whether [`expand`] would look at the text at all.
pub fn has_references(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'$', b'\\', bytes).any(|at| {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        match bytes.get(at) {
            Some(b'$') => rest.iter().find(|&&b| b != b'\\') == Some(&b'{'),
            _ => matches!(rest.first(), Some(b'\\' | b'n' | b's' | b't' | b'\'')),
        }
    })
}

/// Splits leading scope variables, `%[a=1,b=2]` or `%;[a=1;b=2]`, from application data that was
/// already expanded.
pub fn scope_variables(data: &str) -> (Vec<(String, String)>, &str) {
    let parsed = || {
        let rest = data.strip_prefix('%')?;
        let mut chars = rest.chars();
        let (delimiter, inside) = match chars.next()? {
            '[' => (',', chars.as_str()),
            other => (other, chars.as_str().strip_prefix('[')?),
        };
        let end = matching(inside, '[', ']', 1)?;
        Some((delimiter, inside.get(..end)?, inside.get(end + 1..)?))
    };
    let Some((delimiter, list, rest)) = parsed() else { return (Vec::new(), data) };
    let (list, delimiter) = chosen_delimiter(list, delimiter);
    let pairs = split(list, delimiter, usize::MAX).into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    (pairs.collect(), rest)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    Event,
}

struct Expander<'h> {
    host: &'h mut dyn Host,
    kind: Kind,
    references: usize,
    produced: usize,
}

impl Expander<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> String {
        if depth > MAX_DEPTH || !has_references(text) {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = memchr::memchr2(b'$', b'\\', rest.as_bytes()) {
            out.push_str(rest.get(..at).unwrap_or_default());
            rest = rest.get(at..).unwrap_or_default();
            rest = self.special(&mut out, rest, depth);
        }
        out.push_str(rest);
        out
    }

    /// Handles the `$` or `\` that `rest` starts with; gives what follows.
    fn special<'t>(&mut self, out: &mut String, rest: &'t str, depth: usize) -> &'t str {
        let bytes = rest.as_bytes();
        let skip = |n| rest.get(n..).unwrap_or_default();
        match (bytes.first(), bytes.get(1), bytes.get(2)) {
            (Some(b'\\'), Some(b'$'), third) => {
                out.push('$');
                skip(if third == Some(&b'$') { 3 } else { 2 })
            }
            (Some(b'\\'), Some(b'\''), _) => skip(2),
            (Some(b'\\'), Some(b'\\'), _) => {
                out.push('\\');
                skip(2)
            }
            (Some(b'\\'), ..) => {
                out.push('\\');
                skip(1)
            }
            (_, Some(b'{'), _) => self.reference(out, skip(2), false, depth),
            (_, Some(b'$'), Some(b'{')) => self.reference(out, skip(3), true, depth),
            (_, second, _) => {
                out.push('$');
                skip(if second == Some(&b'$') { 2 } else { 1 })
            }
        }
    }

    /// Handles a reference whose body starts `rest`; gives what follows it.
    fn reference<'t>(
        &mut self,
        out: &mut String,
        rest: &'t str,
        global: bool,
        depth: usize,
    ) -> &'t str {
        // A brace right behind `${` does not count.
        let counted = rest.chars().next().map_or(0, char::len_utf8);
        let end = match rest.strip_prefix('}') {
            Some(_) => Some(0),
            None => matching(rest.get(counted..).unwrap_or_default(), '{', '}', 1)
                .map(|at| at + counted),
        };
        let body = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.references += 1;
        if self.references <= MAX_REFERENCES && self.produced < MAX_OUTPUT {
            let value = self.value(body, global, depth);
            self.produced = self.produced.saturating_add(value.len());
            out.push_str(&value);
        }
        let after = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        let mut chars = after.chars();
        match chars.next() {
            Some(c) if c != '$' => {
                out.push(c);
                chars.as_str()
            }
            _ => after,
        }
    }

    fn value(&mut self, body: &str, global: bool, depth: usize) -> String {
        match body.find([' ', '(']) {
            Some(at) => self.api(body, at, depth),
            None => self.variable(body, global, depth),
        }
    }

    fn api(&mut self, body: &str, at: usize, depth: usize) -> String {
        let arg = body.get(at + 1..).unwrap_or_default();
        let open = usize::from(body.as_bytes().get(at) == Some(&b'('));
        let end = matching(arg, '(', ')', open).unwrap_or(arg.len());
        let command = self.expand(body.get(..at).unwrap_or_default(), depth + 1);
        let arg = self.expand(arg.get(..end).unwrap_or_default(), depth + 1);
        let mut reply = self.host.api(&far::plain(command.trim()), arg.trim()).unwrap_or_default();
        truncate(&mut reply, MAX_OUTPUT);
        reply
    }

    fn variable(&mut self, body: &str, global: bool, depth: usize) -> String {
        let body = self.expand(body, depth + 1);
        let (name, slice) = match body.split_once(':') {
            Some((name, slice)) => (name, Some(slice)),
            None => (&*body, None),
        };
        let (name, index) = match name.split_once('[') {
            Some((base, index)) if index.contains(']') => (base, Some(leading_integer(index))),
            _ => (name, None),
        };
        let value = self.lookup(&far::plain(name), index, global, depth);
        match slice {
            Some(slice) => cut(&value, slice),
            None => value,
        }
    }

    fn lookup(&mut self, name: &str, index: Option<i64>, global: bool, depth: usize) -> String {
        let slot = index.and_then(|i| usize::try_from(i).ok());
        if self.kind == Kind::Event {
            if !global && let Some(value) = self.host_variable(name, slot) {
                return value;
            }
        } else if let Some(value) = self.host_variable(name, slot).or_else(|| self.host.field(name))
        {
            return self.expand(&value, depth + 1);
        }
        match self.host.global(name) {
            Some(value) => self.expand(&value, depth + 1),
            None => String::new(),
        }
    }

    fn host_variable(&mut self, name: &str, slot: Option<usize>) -> Option<String> {
        match slot {
            Some(slot) => self.host.element(name, slot),
            None => self.host.variable(name),
        }
    }
}

/// Where the bracket that closes the first open one is. `depth` counts those open already.
fn matching(text: &str, open: char, close: char, mut depth: usize) -> Option<usize> {
    let (open, close) = (open as u8, close as u8);
    for at in memchr::memchr2_iter(open, close, text.as_bytes()) {
        if text.as_bytes().get(at) == Some(&open) {
            depth += 1;
        } else if depth == 1 {
            return Some(at);
        } else {
            depth = depth.saturating_sub(1);
        }
    }
    None
}

/// `offset[:length]` of a value, in bytes, with the reference's idea of what is out of range.
fn cut(value: &str, slice: &str) -> String {
    let (offset, length) = match slice.split_once(':') {
        Some((offset, length)) => (leading_integer(offset), leading_integer(length)),
        None => (leading_integer(slice), 0),
    };
    let whole = far::plain(value).len();
    let distance = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let start = match offset {
        0.. if distance > whole => whole,
        0.. => distance,
        _ if distance <= whole => whole - distance,
        _ => 0,
    };
    let length = usize::try_from(length).unwrap_or(0);
    let end = if length > 0 { start.saturating_add(length) } else { usize::MAX };
    far::slice(value, start..end)
}

fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
