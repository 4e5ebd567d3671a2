//! The `inline` dialplan: the actions are the destination.

/// One application of an inline target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineAction {
    /// Application name.
    pub application: String,
    /// Its argument.
    pub data: String,
}

/// Parses `app:data,app:data` (`m:X:` first selects another delimiter).
pub fn parse_inline(target: &str) -> Vec<InlineAction> {
    let _ = target;
    Vec::new()
}
