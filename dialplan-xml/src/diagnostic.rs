//! Problems found in a configuration, with the place, a snippet and a hint.

use std::fmt;

use crate::{AUDIT_CODES, CODES, Paint, Place, Sources};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Accepted, but probably not what was meant.
    Warning,
    /// Refused, or does not do what it says.
    Error,
}

impl Severity {
    /// The word used in text and JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable short name, such as `xml-unclosed-tag`.
    pub code: &'static str,
    /// One sentence, no full stop.
    pub message: String,
    /// Where it is.
    pub place: Option<Place>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that explain it, each with a word about what is there.
    pub related: Vec<(Place, String)>,
    /// What the caret is to point at, if that is not the very start of the place.
    focus: Option<Focus>,
}

/// A piece of the text at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Focus {
    /// Text to look for on the line.
    text: String,
    /// How many bytes of it come before what is meant.
    skip: usize,
}

impl Diagnostic {
    /// A problem of the given severity.
    pub fn new(
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
        place: Option<Place>,
    ) -> Self {
        debug_assert!(
            CODES.iter().chain(AUDIT_CODES).any(|(known, _)| *known == code),
            "{code} is not listed"
        );
        Self {
            severity,
            code,
            message: message.into(),
            place,
            hint: None,
            related: Vec::new(),
            focus: None,
        }
    }

    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>, place: Option<Place>) -> Self {
        Self::new(Severity::Error, code, message, place)
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>, place: Option<Place>) -> Self {
        Self::new(Severity::Warning, code, message, place)
    }

    /// A remark.
    pub fn info(code: &'static str, message: impl Into<String>, place: Option<Place>) -> Self {
        Self::new(Severity::Info, code, message, place)
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with one more related place.
    #[must_use]
    pub fn with_related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related.push((place, what.into()));
        self
    }

    /// The same about a piece of the text at its place: `text`, without its first `skip` bytes.
    #[must_use]
    pub fn with_focus(mut self, text: impl Into<String>, skip: usize) -> Self {
        self.focus = Some(Focus { text: text.into(), skip });
        self
    }

    /// Moves the place to what the problem is about: to the text itself, or to the line that gave
    /// that text to a `$${variable}`. Text that came out of an entity is not found.
    pub fn aim(&mut self, sources: &Sources) {
        let (Some(place), Some(focus)) = (&mut self.place, self.focus.take()) else { return };
        let Some(found) = sources.find(place, &focus.text, focus.skip) else { return };
        let elsewhere = found.file != place.file || found.line != place.line;
        let used = std::mem::replace(place, found);
        if elsewhere {
            self.related.push((used, "used here".to_owned()));
        }
    }

    /// The problem as text: message, place, the line with a caret under the column, hint.
    pub fn render(&self, sources: &Sources) -> String {
        self.render_in(sources, Paint::Off)
    }

    /// The same in colours.
    pub fn render_in(&self, sources: &Sources, paint: Paint) -> String {
        let kind = paint.severity(self.severity, &format!("{}[{}]", self.severity, self.code));
        let mut out = format!("{kind}: {}\n", paint.strong(&self.message));
        if let Some(place) = &self.place {
            self.snippet(&mut out, place, sources, paint);
        }
        for (place, what) in &self.related {
            out.push_str(&format!("  note: {what}: {place}\n"));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("  {} {hint}\n", paint.help("hint:")));
        }
        out
    }

    fn snippet(&self, out: &mut String, place: &Place, sources: &Sources, paint: Paint) {
        out.push_str(&format!("  {} {place}\n", paint.faint("-->")));
        let Some(line) = sources.line(&place.file, place.line) else { return };
        let line = &*crate::redact::redact(line);
        let column = usize::try_from(place.column).unwrap_or(0).saturating_sub(1);
        let column = floor_boundary(line, column);
        let far = column > SNIPPET_WIDTH;
        let start = if far { floor_boundary(line, column - SNIPPET_WIDTH / 2) } else { 0 };
        let end = floor_boundary(line, start.saturating_add(SNIPPET_WIDTH));
        let shown = line.get(start..end).unwrap_or_default().replace('\t', " ");
        let number = place.line.to_string();
        let empty = paint.faint(&format!(" {} |", " ".repeat(number.len())));
        let numbered = paint.faint(&format!(" {number} |"));
        out.push_str(&format!("{empty}\n{numbered} {}\n", shown.trim_end()));
        if place.column > 0 {
            let before = line.get(start..column).map_or(0, |s| s.chars().count());
            let caret = paint.severity(self.severity, "^");
            out.push_str(&format!("{empty} {}{caret}\n", " ".repeat(before)));
        }
    }

    /// The problem as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let place =
            |p: &Place| serde_json::json!({"file": &*p.file, "line": p.line, "column": p.column});
        let related: Vec<_> = self
            .related
            .iter()
            .map(|(p, what)| serde_json::json!({"place": place(p), "what": what}))
            .collect();
        serde_json::json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "message": self.message,
            "place": self.place.as_ref().map(place),
            "hint": self.hint,
            "related": related,
        })
    }
}

/// One line: `file:line:column: severity: message`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {} [{}]", self.severity, self.message, self.code)
    }
}

/// Longest line shown whole; longer ones are cut around the column.
const SNIPPET_WIDTH: usize = 120;

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
