//! Dialplan regular expressions: PCRE with the reference's spellings.

use std::sync::Arc;

/// A compiled expression: `pattern`, `/pattern/flags` or `_NXX` (Asterisk style).
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Compiled>,
}

struct Compiled {
    source: String,
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

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "COMPILE ERROR: {} [{}][{}]", self.offset, self.message, self.expression)
    }
}

impl std::error::Error for PatternError {}

/// What a match set: group 0 is the whole match, groups that took no part are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// The groups.
    pub groups: Vec<String>,
}

impl Pattern {
    /// Compiles an expression.
    pub fn new(expression: &str) -> Result<Self, PatternError> {
        Ok(Self { inner: Arc::new(Compiled { source: expression.to_owned() }) })
    }

    /// Compiles an expression or finds it in the cache of the last ones used.
    pub fn cached(expression: &str) -> Result<Self, PatternError> {
        Self::new(expression)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Whether it matches anywhere in the text. A pattern that takes too long does not match.
    pub fn is_match(&self, text: &str) -> bool {
        self.captures(text).is_some()
    }

    /// Matches and gives the groups. More than nine groups set count as no match (reference
    /// behaviour), and so does a pattern that takes too long.
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let _ = text;
        None
    }
}

/// Replaces `$n` and `${n}` in `text` by what `captures` holds; what is not a group reference
/// stays for run-time expansion.
pub fn substitute(text: &str, captures: &Captures) -> String {
    let _ = captures;
    text.to_owned()
}
