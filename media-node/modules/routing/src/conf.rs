//! Configuration documents as a binding or the files have them, and databases they name.

use std::sync::Arc;

use database::Database;
use dialplan_xml::Node;
use switch_core::switch::Switch;
use switch_core::xml;

/// What is read out of a document; `None` without one, which is said in the log.
pub(crate) async fn with<T>(
    switch: &Arc<Switch>,
    name: &str,
    read: impl FnOnce(Node<'_>) -> T,
) -> Option<T> {
    let read = xml::read_configuration(switch, name, None, |node| node.map(read)).await.ok()?;
    if read.is_none() {
        tracing::error!("open of {name} failed");
    }
    read
}

/// Opens the database a parameter names; says in the log why it cannot be.
pub(crate) async fn open(switch: &Switch, of: &str, dsn: &str) -> Option<Database> {
    match Database::open(dsn, &switch.dirs.db_dir).await {
        Ok(open) => Some(open),
        Err(error) => {
            tracing::error!(fs_level = "CRIT", "{of}: Cannot Open Database! {error}");
            None
        }
    }
}

/// A statement an administrator wrote for one argument: `%s` and `%q` become `$1`, whether or not quotes stand around
/// them, `%%` a percent sign.
pub(crate) fn with_arguments(statement: &str) -> (String, usize) {
    let mut text = String::with_capacity(statement.len());
    let mut count = 0;
    let mut rest = statement;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        let kind = after.chars().nth(1);
        match kind {
            Some('s' | 'q') => {
                count += 1;
                let quoted = before.ends_with('\'') && after.get(2..3) == Some("'");
                text.push_str(if quoted { &before[..before.len() - 1] } else { before });
                text.push_str(&format!("${count}"));
                rest = &after[if quoted { 3 } else { 2 }..];
            }
            Some('%') => {
                text.push_str(before);
                text.push('%');
                rest = &after[2..];
            }
            _ => {
                text.push_str(before);
                text.push('%');
                rest = &after[1..];
            }
        }
    }
    text.push_str(rest);
    (text, count)
}

#[cfg(test)]
mod tests {
    use super::with_arguments;

    #[test]
    fn arguments_are_bound_whether_or_not_they_stand_in_quotes() {
        let (text, count) =
            with_arguments("select a from t where n = '%q' or m = %s and p like '5%%'");
        assert_eq!(text, "select a from t where n = $1 or m = $2 and p like '5%'");
        assert_eq!(count, 2);
        assert_eq!(with_arguments("select 100 % 3"), ("select 100 % 3".to_owned(), 0));
        assert_eq!(with_arguments("%"), ("%".to_owned(), 0));
    }
}
