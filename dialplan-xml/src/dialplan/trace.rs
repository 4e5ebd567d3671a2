//! What a decision looked at.

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {}
