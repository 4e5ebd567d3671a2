//! The `inline` dialplan: the actions are the destination.

use crate::text::split;

/// Most applications of one target (reference: 128).
const MAX_ITEMS: usize = 128;

/// One application of an inline target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineAction {
    /// Application name.
    pub application: String,
    /// Its argument.
    pub data: String,
}

/// Parses `app:data,app:data`. `m:X:` in front makes `X` the delimiter; quotes and backslashes
/// protect it.
pub fn parse_inline(target: &str) -> Vec<InlineAction> {
    let (list, delimiter) = chosen(target).unwrap_or((target, ','));
    let items = split(list, delimiter, MAX_ITEMS);
    items
        .into_iter()
        .map(|item| {
            let item = item.trim_start_matches(' ');
            let (application, data) = item.split_once(':').unwrap_or((item, ""));
            InlineAction { application: application.to_owned(), data: data.to_owned() }
        })
        .collect()
}

fn chosen(target: &str) -> Option<(&str, char)> {
    let rest = target.strip_prefix("m:")?;
    let delimiter = rest.chars().next()?;
    let list = rest.get(delimiter.len_utf8()..)?.strip_prefix(':')?;
    Some((list, delimiter))
}
