//! `${…}`: variables, slices, array slots, API calls.
//!
//! The scanner follows the reference character by character, quirks included: `\$` hides a
//! reference, `\'` vanishes, the character behind a reference's `}` is copied as it is.
//!
//! What a host says came from a far end stays marked ([`base::far`]) in the result: it is never expanded again, and
//! a parser of the result does not take it for syntax.

use std::borrow::Cow;

use base::far;

use crate::host::{Host, Later};
use crate::text::{chosen_delimiter, leading_integer, split};

/// How deep values may refer to values; below that the text stays as it is (reference: 100).
const MAX_DEPTH: usize = 100;
/// How many references one expansion may follow. The reference has no such limit.
const MAX_REFERENCES: usize = 10_000;
/// How much text one expansion may produce, in bytes. The reference has no such limit.
const MAX_OUTPUT: usize = 4 << 20;

/// Expands every reference in `text` for a call. Text without a reference is returned as it is. Values that the host
/// marks as a far end's stay marked. A command that has to wait ([`Later::Wait`]) yields nothing here: callers that can
/// wait use [`expand_async`].
pub fn expand(text: &str, host: &mut dyn Host) -> String {
    at_once(Expansion::of_call(text), host)
}

/// Expands for an event instead of a call (`eval`, hangup hooks, dynamic URLs): lookups see
/// [`Host::variable`] and [`Host::global`] only, `$${x}` sees globals only, and values of variables
/// are not expanded again.
pub fn expand_event(text: &str, host: &mut dyn Host) -> String {
    at_once(Expansion::of_event(text), host)
}

/// [`expand`] that waits for commands.
pub async fn expand_async(text: &str, host: &mut dyn Host) -> String {
    waiting(Expansion::of_call(text), host).await
}

/// [`expand_event`] that waits for commands.
pub async fn expand_event_async(text: &str, host: &mut dyn Host) -> String {
    waiting(Expansion::of_event(text), host).await
}

fn at_once(mut expansion: Expansion<'_>, host: &mut dyn Host) -> String {
    loop {
        match expansion.run(host) {
            Progress::Done(text) => return text,
            Progress::Call { command, args } => {
                let reply = match host.api(&command, &args) {
                    Later::Now(reply) => reply,
                    Later::Wait(_) => None,
                };
                expansion.resume(reply);
            }
        }
    }
}

async fn waiting(mut expansion: Expansion<'_>, host: &mut dyn Host) -> String {
    loop {
        match expansion.run(host) {
            Progress::Done(text) => return text,
            Progress::Call { command, args } => {
                let reply = host.api(&command, &args).await;
                expansion.resume(reply);
            }
        }
    }
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

/// What an [`Expansion`] has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The whole text.
    Done(String),
    /// `${command(args)}`: to be run, and its reply given to [`Expansion::resume`].
    Call {
        /// The command's name.
        command: String,
        /// Its arguments; what a far end said in them is marked.
        args: String,
    },
}

/// An expansion under way. It stops at each command, whose reply may take its time, and goes on where it stopped.
///
/// Values refer to values, so it keeps a stack of texts: each frame is one text being expanded, and says what becomes
/// of the result.
pub struct Expansion<'t> {
    kind: Kind,
    frames: Vec<Frame<'t>>,
    references: usize,
    produced: usize,
}

/// One text being expanded.
struct Frame<'t> {
    text: Cow<'t, str>,
    /// How much of it has been read.
    at: usize,
    out: String,
    then: Then,
}

/// What becomes of an expanded text.
enum Then {
    /// It is the result.
    Result,
    /// It is a command's name; its arguments, not expanded yet, follow.
    Command { args: String },
    /// It is the arguments of a command.
    Arguments { command: String },
    /// It names a variable, perhaps with a slot and a slice.
    Name { global: bool },
    /// It is a variable's value, of which a slice may be wanted.
    Value { slice: Option<String> },
}

impl<'t> Expansion<'t> {
    /// Expands for a call, as [`expand`].
    pub fn of_call(text: &'t str) -> Self {
        Self::new(text, Kind::Call)
    }

    /// Expands for an event, as [`expand_event`].
    pub fn of_event(text: &'t str) -> Self {
        Self::new(text, Kind::Event)
    }

    fn new(text: &'t str, kind: Kind) -> Self {
        let mut expansion = Self { kind, frames: Vec::new(), references: 0, produced: 0 };
        expansion.push(Cow::Borrowed(text), Then::Result);
        expansion
    }

    /// Goes on until the text is complete or a command has to be run. Once [`Progress::Done`] was returned there is
    /// nothing more to do: further calls return an empty text.
    pub fn run(&mut self, host: &mut dyn Host) -> Progress {
        loop {
            let depth = self.frames.len();
            let Some(frame) = self.frames.last_mut() else { return Progress::Done(String::new()) };
            // Too deep, or nothing to expand: the text stays as it is.
            if frame.at == 0 && (depth > MAX_DEPTH + 1 || !has_references(&frame.text)) {
                frame.out = std::mem::take(&mut frame.text).into_owned();
            } else if let Some(reference) = frame.next_reference() {
                self.follow(reference);
                continue;
            }
            let Some(Frame { out, then, .. }) = self.frames.pop() else { continue };
            match then {
                Then::Result => return Progress::Done(out),
                Then::Command { args } => {
                    let command = far::plain(out.trim()).into_owned();
                    self.push(Cow::Owned(args), Then::Arguments { command });
                }
                Then::Arguments { command } => {
                    return Progress::Call { command, args: out.trim().to_owned() };
                }
                Then::Name { global } => self.look_up(&out, global, host),
                Then::Value { slice } => self.yield_value(&match slice {
                    Some(slice) => cut(&out, &slice),
                    None => out,
                }),
            }
        }
    }

    /// The reply of the command [`Progress::Call`] asked for; `None` when there is no such command.
    pub fn resume(&mut self, reply: Option<String>) {
        let mut reply = reply.unwrap_or_default();
        truncate(&mut reply, MAX_OUTPUT);
        self.yield_value(&reply);
    }

    fn push(&mut self, text: Cow<'t, str>, then: Then) {
        let out = String::with_capacity(text.len());
        self.frames.push(Frame { text, at: 0, out, then });
    }

    fn follow(&mut self, Reference { body, global, follows }: Reference) {
        self.references += 1;
        if self.references > MAX_REFERENCES || self.produced >= MAX_OUTPUT {
            return self.yield_char(follows);
        }
        // What follows the reference is copied as it is, once its value is there.
        if let Some(frame) = self.frames.last_mut() {
            frame.at -= follows.map_or(0, char::len_utf8);
        }
        match body.find([' ', '(']) {
            Some(at) => {
                let arg = body.get(at + 1..).unwrap_or_default();
                let open = usize::from(body.as_bytes().get(at) == Some(&b'('));
                let end = matching(arg, '(', ')', open).unwrap_or(arg.len());
                let args = arg.get(..end).unwrap_or_default().to_owned();
                let command = body.get(..at).unwrap_or_default().to_owned();
                self.push(Cow::Owned(command), Then::Command { args });
            }
            None => self.push(Cow::Owned(body), Then::Name { global }),
        }
    }

    /// Adds a reference's value to the text it stands in, and what stands right behind the reference.
    fn yield_value(&mut self, value: &str) {
        self.produced = self.produced.saturating_add(value.len());
        let Some(frame) = self.frames.last_mut() else { return };
        frame.out.push_str(value);
        let follows = frame.rest().chars().next().filter(|c| *c != '$');
        frame.at += follows.map_or(0, char::len_utf8);
        self.yield_char(follows);
    }

    fn yield_char(&mut self, follows: Option<char>) {
        if let (Some(c), Some(frame)) = (follows, self.frames.last_mut()) {
            frame.out.push(c);
        }
    }

    fn look_up(&mut self, body: &str, global: bool, host: &mut dyn Host) {
        let (name, slice) = match body.split_once(':') {
            Some((name, slice)) => (name, Some(slice.to_owned())),
            None => (body, None),
        };
        let (name, index) = match name.split_once('[') {
            Some((base, index)) if index.contains(']') => (base, Some(leading_integer(index))),
            _ => (name, None),
        };
        let name = &*far::plain(name);
        let slot = index.and_then(|i| usize::try_from(i).ok());
        let variable = |host: &mut dyn Host| match slot {
            Some(slot) => host.element(name, slot),
            None => host.variable(name),
        };
        let mut known = None;
        if self.kind == Kind::Call {
            known = variable(host).or_else(|| host.field(name));
        } else if !global && let Some(value) = variable(host) {
            // An event's headers are not expanded again.
            return self.yield_value(&slice.map_or_else(|| value.clone(), |s| cut(&value, &s)));
        }
        let value = known.or_else(|| host.global(name)).unwrap_or_default();
        self.push(Cow::Owned(value), Then::Value { slice });
    }
}

/// A reference that was found in a text.
struct Reference {
    /// What stands between the braces.
    body: String,
    /// `$${…}`.
    global: bool,
    /// The character behind the reference, copied as it is unless it begins another one.
    follows: Option<char>,
}

impl Frame<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Copies text up to the next reference and reads that; `None` at the end of the text.
    fn next_reference(&mut self) -> Option<Reference> {
        while let Some(found) = memchr::memchr2(b'$', b'\\', self.rest().as_bytes()) {
            self.copy(found);
            let bytes = self.rest().as_bytes();
            // How much is read, and what is written for it.
            let (read, written) = match (bytes.first(), bytes.get(1), bytes.get(2)) {
                (Some(b'\\'), Some(b'$'), third) => {
                    (if third == Some(&b'$') { 3 } else { 2 }, Some('$'))
                }
                (Some(b'\\'), Some(b'\''), _) => (2, None),
                (Some(b'\\'), Some(b'\\'), _) => (2, Some('\\')),
                (Some(b'\\'), ..) => (1, Some('\\')),
                (_, Some(b'{'), _) => return Some(self.reference(2, false)),
                (_, Some(b'$'), Some(b'{')) => return Some(self.reference(3, true)),
                (_, second, _) => (if second == Some(&b'$') { 2 } else { 1 }, Some('$')),
            };
            self.at += read;
            self.out.extend(written);
        }
        self.copy(self.rest().len());
        None
    }

    fn copy(&mut self, length: usize) {
        let end = self.at + length;
        self.out.push_str(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    /// Reads a reference whose body begins `opening` bytes on.
    fn reference(&mut self, opening: usize, global: bool) -> Reference {
        let rest = self.text.get(self.at + opening..).unwrap_or_default();
        // A brace right behind `${` does not count.
        let counted = rest.chars().next().map_or(0, char::len_utf8);
        let end = match rest.strip_prefix('}') {
            Some(_) => Some(0),
            None => matching(rest.get(counted..).unwrap_or_default(), '{', '}', 1)
                .map(|at| at + counted),
        };
        let body = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_owned();
        let after = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        let follows = after.chars().next().filter(|c| *c != '$');
        self.at = self.text.len() - after.len() + follows.map_or(0, char::len_utf8);
        Reference { body, global, follows }
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
