//! Channel variables the reference reads or sets, and what their values are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What a variable's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VariableKind {
    /// Yes or no.
    Bool,
    /// A number.
    Number,
    /// Yes, no, or hangup causes.
    Causes,
    /// Codec names.
    Codecs,
    /// Something else.
    Any,
}

/// What the value of a variable is, if the reference knows the variable.
pub(crate) fn variable(name: &str) -> Option<VariableKind> {
    VARIABLES.get(&*name.to_ascii_lowercase()).copied()
}

/// All names, in lower case.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.keys().map(String::as_str)
}

/// Prefixes of variables that anybody may name.
const FREE: [&str; 17] = [
    "sip_h_",
    "sip_rh_",
    "sip_ph_",
    "sip_bye_h_",
    "sip_nobye_h_",
    "sip_i_",
    "sip_a_",
    "sip_x_",
    "execute_on_",
    "api_on_",
    "array",
    "regex_",
    "dp_match",
    "dp_regex",
    "verto_svar_",
    "json_",
    "x_",
];

/// Whether variables of this name are made up by those who use them.
pub(crate) fn is_free(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FREE.iter().any(|prefix| name.starts_with(prefix))
}

static VARIABLES: LazyLock<BTreeMap<String, VariableKind>> = LazyLock::new(|| {
    let groups: BTreeMap<&str, BTreeSet<&str>> = super::groups(include_str!("variables.txt"));
    let kind = |group: &str| match group {
        "bool" => VariableKind::Bool,
        "number" => VariableKind::Number,
        "causes" => VariableKind::Causes,
        "codecs" => VariableKind::Codecs,
        _ => VariableKind::Any,
    };
    let named = groups.into_iter().flat_map(|(group, names)| {
        names.into_iter().map(move |name| (name.to_ascii_lowercase(), kind(group)))
    });
    named.collect()
});
