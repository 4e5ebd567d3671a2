//! What a decision looked at.

use std::sync::Arc;

use super::model::{Break, RegexMode};
use crate::Place;

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How deep in nested conditions; 0 in an extension's own ones.
    pub depth: usize,
    /// Where what was looked at is written.
    pub place: Place,
    /// What happened.
    pub kind: StepKind,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// An extension is looked at.
    Extension {
        /// Its name, or `UNKNOWN`.
        name: Arc<str>,
        /// Whether later extensions are looked at even when it matches.
        continues: bool,
    },
    /// A field was compared.
    Field {
        /// The field as written.
        field: String,
        /// The value seen.
        value: String,
        /// The expression after expansion.
        expression: String,
        /// Whether it matched.
        matched: bool,
        /// The groups it set; empty unless the expression has groups.
        captures: Vec<String>,
        /// Why the expression cannot match, if it was refused.
        error: Option<String>,
        /// The set it is part of, if it is a `<regex>`.
        part_of: Option<RegexMode>,
        /// When the following conditions are skipped.
        breaks: Break,
    },
    /// Time attributes were compared.
    Time {
        /// Whether all of them fit.
        passed: bool,
        /// The one that did not fit: attribute, what it wants, what the clock says.
        failed: Option<(&'static str, String, String)>,
        /// The set it is part of, if it belongs to a `<regex>`.
        part_of: Option<RegexMode>,
    },
    /// A condition (or `<regex>`) without field and time: passes.
    Absolute {
        /// The set it is part of, if it is a `<regex>`.
        part_of: Option<RegexMode>,
    },
    /// The verdict of a set of `<regex>`.
    Set {
        /// How they are combined.
        mode: RegexMode,
        /// The verdict.
        passed: bool,
    },
    /// An application was queued or, if inline, run.
    Action {
        /// Its name.
        application: Arc<str>,
        /// Its argument with captures filled in.
        data: Arc<str>,
        /// Run at once.
        inline: bool,
        /// From an `<anti-action>`.
        anti: bool,
        /// How many times.
        loops: u32,
    },
    /// An application was left out because its argument holds `\'`.
    Refused {
        /// Its name.
        application: Arc<str>,
        /// Its argument.
        data: Arc<str>,
    },
    /// The conditions that follow are not looked at.
    Stopped {
        /// The rule that says so.
        breaks: Break,
    },
    /// Nested conditions have been decided.
    Nested {
        /// What they said.
        matched: bool,
    },
    /// An extension has been decided.
    Decided {
        /// Its name.
        name: Arc<str>,
        /// Whether it matched.
        matched: bool,
        /// Whether the search ends here.
        last: bool,
    },
}
