//! The compiled form of a dialplan.

use std::sync::Arc;

use super::time::TimeSpec;
use crate::Place;
use crate::regex::{Pattern, PatternError};

pub(super) struct Context {
    pub(super) name: Arc<str>,
    pub(super) extensions: Vec<Extension>,
}

pub(super) struct Extension {
    pub(super) name: Option<Arc<str>>,
    /// `continue` as written.
    pub(super) continue_text: Option<Box<str>>,
    pub(super) continues: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) place: Place,
}

impl Extension {
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("UNKNOWN")
    }
}

pub(super) struct Condition {
    pub(super) breaks: Break,
    pub(super) time: Option<Box<TimeSpec>>,
    pub(super) test: Test,
    pub(super) actions: Box<[Item]>,
    pub(super) anti: Box<[Item]>,
    pub(super) nested: Vec<Self>,
    pub(super) require_nested: bool,
    pub(super) place: Place,
}

/// When the conditions that follow in an extension are not looked at any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    /// When this one fails (the default).
    #[default]
    OnFalse,
    /// When this one passes.
    OnTrue,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

impl Break {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnFalse => "on-false",
            Self::OnTrue => "on-true",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Reads the word; anything unknown is `on-false` (reference behaviour).
    pub fn parse(word: Option<&str>) -> Self {
        let known = [Self::OnTrue, Self::Always, Self::Never];
        let fits = |b: &Self| word.is_some_and(|w| w.eq_ignore_ascii_case(b.as_str()));
        known.into_iter().find(fits).unwrap_or_default()
    }
}

pub(super) enum Test {
    /// Neither field nor regex: passes, unless a time test decides.
    Absolute,
    Field(FieldTest),
    Multi(RegexMode, Vec<RegexTest>),
}

/// How several `<regex>` make one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegexMode {
    /// All must match.
    All,
    /// One is enough.
    Any,
    /// Exactly one must match.
    Xor,
}

impl RegexMode {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Any => "any",
            Self::Xor => "xor",
        }
    }

    /// Reads the word; anything unknown is `any` (reference behaviour).
    pub(super) fn parse(word: &str) -> Self {
        if word.eq_ignore_ascii_case("all") {
            Self::All
        } else if word.eq_ignore_ascii_case("xor") {
            Self::Xor
        } else {
            Self::Any
        }
    }
}

pub(super) struct RegexTest {
    pub(super) time: Option<Box<TimeSpec>>,
    pub(super) test: Option<FieldTest>,
    pub(super) place: Place,
}

pub(super) struct FieldTest {
    /// As written.
    pub(super) written: Box<str>,
    pub(super) field: Field,
    pub(super) expression: Expression,
    pub(super) place: Place,
}

pub(super) enum Field {
    /// A field of the caller profile, by number in the dialplan's list.
    Profile(usize),
    /// Text to expand.
    Template,
}

pub(super) enum Expression {
    /// Known when the dialplan was compiled.
    Fixed { pattern: Pattern, text: Box<str>, captures: bool },
    /// Refused when the dialplan was compiled.
    Bad { error: PatternError, captures: bool },
    /// To be expanded for each call.
    Dynamic(Box<str>),
}

pub(super) struct Item {
    pub(super) application: Arc<str>,
    pub(super) data: Arc<str>,
    pub(super) inline: bool,
    pub(super) loops: u32,
    pub(super) anti: bool,
    pub(super) place: Place,
}

/// Names of the caller profile's fields, as conditions spell them.
pub const PROFILE_FIELDS: [&str; 37] = [
    "dialplan",
    "username",
    "caller_id_name",
    "caller_id_number",
    "orig_caller_id_name",
    "orig_caller_id_number",
    "callee_id_name",
    "callee_id_number",
    "ani",
    "aniii",
    "network_addr",
    "rdnis",
    "destination_number",
    "uuid",
    "source",
    "transfer_source",
    "context",
    "chan_name",
    "profile_index",
    "caller_ton",
    "caller_numplan",
    "destination_number_ton",
    "destination_number_numplan",
    "ani_ton",
    "ani_numplan",
    "rdnis_ton",
    "rdnis_numplan",
    "screen_bit",
    "privacy_hide_name",
    "privacy_hide_number",
    "profile_created_time",
    "created_time",
    "answered_time",
    "progress_time",
    "progress_media_time",
    "hungup_time",
    "transferred_time",
];
