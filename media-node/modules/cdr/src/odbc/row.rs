//! A row on its way: what the journal keeps of it, its statement, and its line in a file.

use database::Arg;

use super::settings::{Field, Table};
use crate::pg::sql::literal;

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, whatever it holds.
    Text(String),
    /// A number.
    Number(String),
    /// SQL of the configuration: the default of a field that is not quoted.
    Sql(String),
}

/// Columns with their values; those of a leg without the variable are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(String, Value)>);

impl Row {
    /// The row of a leg whose variables `lookup` tells.
    pub(super) fn of(table: &Table, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = |field: &Field| {
            let said = lookup(&field.variable).filter(|said| !said.is_empty());
            match (said, &field.default) {
                // Where the reference would put a far end's words into the statement, they stay a text.
                (Some(said), _) if field.quote || !is_number(&said) => Some(Value::Text(said)),
                (Some(said), _) => Some(Value::Number(said)),
                (None, Some(default)) if field.quote => Some(Value::Text(default.clone())),
                (None, Some(default)) => Some(Value::Sql(default.clone())),
                (None, None) => None,
            }
        };
        let fields = table.fields.iter();
        Self(fields.filter_map(|field| Some((field.column.clone(), value(field)?))).collect())
    }

    /// As the journal has it: kind, column and value of each.
    pub(super) fn into_values(self) -> Vec<String> {
        let words = |(column, value)| {
            let (kind, value) = match value {
                Value::Text(value) => ("text", value),
                Value::Number(value) => ("number", value),
                Value::Sql(value) => ("sql", value),
            };
            [kind.to_owned(), column, value]
        };
        self.0.into_iter().flat_map(words).collect()
    }

    /// The same, read.
    pub(super) fn from_values(values: &[String]) -> Self {
        let read = |words: &[String]| match words {
            [kind, column, value] => Some((
                column.clone(),
                match kind.as_str() {
                    "number" => Value::Number(value.clone()),
                    "sql" => Value::Sql(value.clone()),
                    _ => Value::Text(value.clone()),
                },
            )),
            _ => None,
        };
        Self(values.chunks(3).filter_map(read).collect())
    }

    /// The values as the reference files them: SQL literals with commas between.
    pub(super) fn line(&self) -> String {
        let shown = |(_, value): &(String, Value)| match value {
            Value::Text(text) => literal(text),
            Value::Number(text) | Value::Sql(text) => text.clone(),
        };
        self.0.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// The statement with its values in it, to be read.
    pub(super) fn shown(&self, table: &str) -> String {
        let columns: Vec<_> = self.0.iter().map(|(column, _)| column.as_str()).collect();
        format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), self.line())
    }

    /// The statement and its arguments. `types` are those of a PostgreSQL table's columns; SQLite converts by itself.
    pub(super) fn statement(
        &self,
        table: &str,
        types: Option<&[(String, String)]>,
    ) -> (String, Vec<Arg>) {
        let (mut columns, mut values, mut args) = (Vec::new(), Vec::new(), Vec::new());
        for (column, value) in &self.0 {
            columns.push(name(column, types.is_some()));
            let text = match value {
                Value::Sql(sql) => {
                    values.push(sql.clone());
                    continue;
                }
                Value::Text(text) | Value::Number(text) => text,
            };
            let number = args.len() + 1;
            let kind = types.and_then(|types| {
                // Columns are not quoted, so the database folds their case.
                let own = |known: &str| known == column || known == column.to_lowercase();
                types.iter().find(|(known, _)| own(known)).map(|(_, kind)| kind)
            });
            match kind {
                Some(kind) => values.push(format!("CAST(CAST(${number} AS text) AS {kind})")),
                None => values.push(format!("${number}")),
            }
            args.push(match value {
                Value::Number(text) if types.is_none() => as_number(text),
                _ => Arg::from(text),
            });
        }
        let table = name(table, types.is_some());
        let text =
            format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", "));
        (text, args)
    }
}

fn is_number(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(plain) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn as_number(text: &str) -> Arg {
    text.parse::<i64>().map_or_else(|_| text.parse::<f64>().map_or(Arg::Null, Arg::Real), Arg::Int)
}

/// A table or column as the administrator wrote it. PostgreSQL folds the case of names without quotes, and the reference
/// writes none; what could not stand without is quoted. `schema.table` is two names.
pub(super) fn name(text: &str, folds: bool) -> String {
    let plain = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let part = |part: &str| match folds && plain(part) {
        true => part.to_owned(),
        false => format!("\"{}\"", part.replace('"', "\"\"")),
    };
    text.split('.').map(part).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Legs;

    fn table() -> Table {
        let field = |column: &str, variable: &str, default: Option<&str>, quote| Field {
            column: column.into(),
            variable: variable.into(),
            default: default.map(str::to_owned),
            quote,
        };
        let fields = vec![
            field("CallId", "uuid", None, true),
            field("seconds", "billsec", None, false),
            field("made", "none", Some("CURRENT_TIMESTAMP"), false),
            field("who", "none", Some("it's"), true),
            field("gone", "none", None, true),
        ];
        Table { name: "billing.Calls".into(), legs: Legs { a: true, b: true }, fields }
    }

    fn row(seconds: &'static str) -> Row {
        Row::of(&table(), |name| match name {
            "uuid" => Some("a'b".to_owned()),
            "billsec" => Some(seconds.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn rows_are_statements_and_lines_whatever_far_ends_say() {
        let good = row("12");
        assert_eq!(good.line(), "'a''b', 12, CURRENT_TIMESTAMP, 'it''s'");
        assert_eq!(Row::from_values(&good.clone().into_values()), good);
        let (text, args) = good.statement("billing.Calls", None);
        assert_eq!(
            text,
            "INSERT INTO \"billing\".\"Calls\" (\"CallId\", \"seconds\", \"made\", \"who\") VALUES ($1, $2, CURRENT_TIMESTAMP, $3)"
        );
        assert_eq!(args, [Arg::from("a'b"), Arg::Int(12), Arg::from("it's")]);
        let hostile = row("1); DROP TABLE calls; --");
        assert_eq!(hostile.0[1].1, Value::Text("1); DROP TABLE calls; --".into()));
        assert!(!hostile.statement("t", None).0.contains("DROP"));
    }

    #[test]
    fn a_server_folds_names_and_is_told_the_columns_types() {
        let types =
            [("callid".to_owned(), "uuid".to_owned()), ("seconds".into(), "integer".into())];
        let (text, args) = row("12").statement("billing.Calls", Some(&types));
        assert_eq!(
            text,
            "INSERT INTO billing.Calls (CallId, seconds, made, who) VALUES (CAST(CAST($1 AS text) AS uuid), \
             CAST(CAST($2 AS text) AS integer), CURRENT_TIMESTAMP, $3)"
        );
        assert_eq!(args, [Arg::from("a'b"), Arg::from("12"), Arg::from("it's")]);
        assert_eq!(name("odd name", true), "\"odd name\"");
    }
}
