//! Dialplan regular expressions: PCRE with the reference's spellings, byte-oriented, unanchored.

mod prefix;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use base::far;
use pcre2::bytes::{Regex, RegexBuilder};

/// How many steps a match may take before it counts as no match. A step takes some 10 ns compiled and
/// some 50 ns interpreted; the reference allows twenty times as many, which every call of the thread
/// would feel.
const MATCH_LIMIT: &str = "(*LIMIT_MATCH=500000)";
/// Most groups, the whole match included, a match may set (reference behaviour).
const MAX_GROUPS: usize = 10;
/// How many expressions the shared cache holds before it starts over.
const CACHE_SIZE: usize = 2048;
/// Longest Asterisk pattern, expanded.
const MAX_ASTERISK: usize = 255;

/// A compiled expression: `pattern`, `/pattern/flags` or `_NXX` (Asterisk style). Cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Compiled>,
}

struct Compiled {
    source: Box<str>,
    engine: Engine,
}

enum Engine {
    /// The empty expression.
    Anything,
    /// `^word$` without special characters: comparing is enough.
    Exactly(Box<str>),
    /// Anything else.
    Pcre(Box<Pcre>),
}

struct Pcre {
    /// Compiled to machine code where that is possible.
    fast: Regex,
    /// Interpreted: for the rare subject the machine code has no stack for. Made when first needed.
    slow: OnceLock<Option<Regex>>,
    caseless: bool,
    dotall: bool,
    /// The expression with its limit in front.
    limited: Box<str>,
    /// The text every match starts with.
    prefix: Box<str>,
}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Byte offset in the expression, where known.
    pub offset: usize,
    /// What PCRE says.
    pub message: String,
    /// The expression.
    pub expression: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "COMPILE ERROR: {} [{}][{}]", self.offset, self.message, self.expression)
    }
}

impl std::error::Error for PatternError {}

/// What a match set: group 0 is the whole match, groups that took no part are empty, and the list
/// ends with the last group that did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// The groups.
    pub groups: Vec<String>,
}

impl Pattern {
    /// Compiles an expression.
    pub fn new(expression: &str) -> Result<Self, PatternError> {
        let engine = compile(expression)?;
        Ok(Self { inner: Arc::new(Compiled { source: expression.into(), engine }) })
    }

    /// Compiles an expression or finds it in the cache of those used before.
    pub fn cached(expression: &str) -> Result<Self, PatternError> {
        static CACHE: LazyLock<Mutex<HashMap<Box<str>, Result<Pattern, PatternError>>>> =
            LazyLock::new(Mutex::default);
        let lock = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(expression) {
            return known.clone();
        }
        let made = Self::new(expression);
        let mut cache = lock();
        if cache.len() >= CACHE_SIZE {
            cache.clear();
        }
        cache.insert(expression.into(), made.clone());
        made
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// How many groups it has, the whole match not counted.
    pub fn groups(&self) -> usize {
        match &self.inner.engine {
            Engine::Anything | Engine::Exactly(_) => 0,
            Engine::Pcre(pcre) => pcre.fast.captures_len().saturating_sub(1),
        }
    }

    /// Whether it matches anywhere in the text. A pattern that takes too long does not match.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.inner.engine {
            Engine::Anything => true,
            Engine::Exactly(word) => exactly(word, text),
            // Nearly every pattern has few groups, and then no count is needed.
            Engine::Pcre(pcre) if pcre.fast.captures_len() <= MAX_GROUPS => pcre.matches(text),
            Engine::Pcre(_) => self.captures(text).is_some(),
        }
    }

    /// Matches and gives the groups. More than nine groups set count as no match (reference
    /// behaviour), and so does a pattern that takes too long.
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let pcre = match &self.inner.engine {
            Engine::Anything => return Some(Captures { groups: vec![String::new()] }),
            Engine::Exactly(word) => {
                return exactly(word, text).then(|| Captures { groups: vec![word.to_string()] });
            }
            Engine::Pcre(pcre) => pcre,
        };
        // Most conditions do not match: find that out before making room for groups.
        if !pcre.matches(text) {
            return None;
        }
        let found = pcre.captures(text)?;
        let last = (0..found.len()).rev().find(|&n| found.get(n).is_some())?;
        if last >= MAX_GROUPS {
            return None;
        }
        let group = |n| {
            found
                .get(n)
                .map_or_else(String::new, |m| String::from_utf8_lossy(m.as_bytes()).into_owned())
        };
        Some(Captures { groups: (0..=last).map(group).collect() })
    }

    /// [`Pattern::captures`] of a text that may be marked ([`base::far`]): what is meant by it is matched, and the groups
    /// keep the marks.
    pub fn captures_marked(&self, text: &str) -> Option<Captures> {
        let plain = match far::plain(text) {
            Cow::Borrowed(text) => return self.captures(text),
            Cow::Owned(plain) => plain,
        };
        let groups = self.captures(&plain)?.groups;
        let Engine::Pcre(pcre) = &self.inner.engine else {
            let groups = groups.iter().map(|group| far::mark(group)).collect();
            return Some(Captures { groups });
        };
        let found = pcre.captures(&plain)?;
        let group = |n: usize| {
            found.get(n).map_or_else(String::new, |m| far::slice(text, m.start()..m.end()))
        };
        Some(Captures { groups: (0..groups.len()).map(group).collect() })
    }
}

impl Pcre {
    fn matches(&self, text: &str) -> bool {
        text.starts_with(&*self.prefix)
            && self.run(|regex| regex.is_match(text.as_bytes())) == Some(true)
    }

    fn captures<'t>(&self, text: &'t str) -> Option<pcre2::bytes::Captures<'t>> {
        self.run(|regex| regex.captures(text.as_bytes())).flatten()
    }

    /// `None` when the engine gave up.
    fn run<T>(&self, ask: impl Fn(&Regex) -> Result<T, pcre2::Error>) -> Option<T> {
        /// PCRE2_ERROR_JIT_STACKLIMIT.
        const NO_STACK: i32 = -46;
        match ask(&self.fast) {
            Ok(answer) => Some(answer),
            Err(error) if error.code() == NO_STACK => {
                let slow = self.slow.get_or_init(|| {
                    let mut builder = RegexBuilder::new();
                    builder.caseless(self.caseless).dotall(self.dotall);
                    builder.build(&self.limited).ok()
                });
                ask(slow.as_ref()?).ok()
            }
            Err(_) => None,
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source())
    }
}

fn exactly(word: &str, text: &str) -> bool {
    // `$` also matches before a line end that ends the text.
    text.strip_suffix('\n').unwrap_or(text) == word
}

fn compile(expression: &str) -> Result<Engine, PatternError> {
    let refused = |offset, message: &str| PatternError {
        offset,
        message: message.to_owned(),
        expression: expression.to_owned(),
    };
    let (mut caseless, mut dotall) = (false, false);
    let (start, body) = if let Some(inside) = expression.strip_prefix('/') {
        let Some((body, flags)) = inside.rsplit_once('/') else {
            return Err(refused(0, "no closing /"));
        };
        (caseless, dotall) = (flags.contains('i'), flags.contains('s'));
        (1, body.to_owned())
    } else if let Some(pattern) = expression.strip_prefix('_') {
        (0, asterisk(pattern).ok_or_else(|| refused(0, "Asterisk pattern is too long"))?)
    } else {
        (0, expression.to_owned())
    };
    if body.is_empty() {
        return Ok(Engine::Anything);
    }
    if start == 0
        && let Some(word) = literal(&body)
    {
        return Ok(Engine::Exactly(word.into()));
    }
    let limited = format!("{MATCH_LIMIT}{body}");
    let plain = start == 0;
    let prefix = if plain { prefix::required(&body) } else { String::new() };
    let mut builder = RegexBuilder::new();
    builder.jit_if_available(true).caseless(caseless).dotall(dotall);
    let made = builder.build(&limited).map(|fast| {
        let (slow, prefix) = (OnceLock::new(), prefix.into());
        let limited = limited.as_str().into();
        Engine::Pcre(Box::new(Pcre { fast, slow, caseless, dotall, limited, prefix }))
    });
    made.map_err(|error| {
        let offset = error.offset().unwrap_or(0).saturating_sub(MATCH_LIMIT.len()) + start;
        let message = error.to_string();
        let message = message.rsplit_once(": ").map_or(&*message, |(_, m)| m);
        refused(offset, message)
    })
}

/// The word of `^word$`, when comparing says the same as matching.
fn literal(body: &str) -> Option<&str> {
    let word = body.strip_prefix('^')?.strip_suffix('$')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'@' | b'/' | b'=');
    (!word.is_empty() && word.bytes().all(plain)).then_some(word)
}

fn asterisk(pattern: &str) -> Option<String> {
    let mut out = String::from("^");
    for c in pattern.chars() {
        match c {
            'N' => out.push_str("[2-9]"),
            'X' => out.push_str("[0-9]"),
            'Z' => out.push_str("[1-9]"),
            '.' => out.push_str(".*"),
            c => out.push(c),
        }
    }
    out.push('$');
    (out.len() <= MAX_ASTERISK).then_some(out)
}

/// Replaces `$n` and `${n}` in `text` by what `captures` holds; what is not a group reference
/// stays for run-time expansion.
pub fn substitute(text: &str, captures: &Captures) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let body = rest.get(1..).unwrap_or_default();
        let inside = body.strip_prefix('{').unwrap_or(body);
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            out.push('$');
            rest = body;
            continue;
        }
        let after = inside.get(digits..).unwrap_or_default();
        if inside.len() == body.len() {
            push_group(&mut out, inside.get(..digits), captures);
            rest = after;
        } else if let Some(closed) = after.strip_prefix('}') {
            push_group(&mut out, inside.get(..digits), captures);
            rest = closed;
        } else {
            // A malformed brace loses its `${` (reference behaviour).
            rest = inside;
        }
    }
    out.push_str(rest);
    out
}

fn push_group(out: &mut String, digits: Option<&str>, captures: &Captures) {
    let number = digits.and_then(|d| d.parse::<usize>().ok()).unwrap_or(usize::MAX);
    out.push_str(captures.groups.get(number).map_or("", |g| g));
}
