//! The statements. Names are quoted; values of calls are parameters, or literals in spooled rows.

use super::settings::Field;
use crate::active;

/// What the database keeps beside the rows, version by version. Each is applied once, in a transaction.
pub(super) const MIGRATIONS: [&str; 3] = [
    "\
    CREATE TABLE call_logs (call_id varchar PRIMARY KEY, from_number varchar, to_number varchar, status varchar, \
        start_time timestamptz, end_time timestamptz, duration integer, recording_url varchar);\
    CREATE INDEX call_logs_start_time ON call_logs (start_time);\
    CREATE TABLE journal_position (journal varchar, sink varchar, segment bigint NOT NULL, position bigint NOT NULL, \
        PRIMARY KEY (journal, sink))",
    active::TABLE_PG,
    active::EXTENSIONS,
];

/// Remembers which migrations were applied.
pub(super) const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS switch_migrations (version integer PRIMARY KEY, \
     applied timestamptz NOT NULL DEFAULT now())";

/// Several switches may start at once: one of them migrates.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7305413041)";

/// Adds so many rows to `call_logs`; a call that has one keeps it.
pub(super) fn call_logs(rows: usize) -> String {
    let row = |first: usize| {
        let at = |n: usize| first + n;
        format!(
            "(${}, ${}, ${}, ${}, to_timestamp(${}), to_timestamp(${}), ${}, ${})",
            at(1),
            at(2),
            at(3),
            at(4),
            at(5),
            at(6),
            at(7),
            at(8)
        )
    };
    let rows: Vec<String> = (0..rows).map(|n| row(n * 8)).collect();
    format!(
        "INSERT INTO call_logs (call_id, from_number, to_number, status, start_time, end_time, duration, recording_url) \
         VALUES {} ON CONFLICT (call_id) DO NOTHING",
        rows.join(", ")
    )
}

/// A name of a table or column; `schema.table` is two names.
pub(super) fn name(text: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    text.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A value as a literal (`standard_conforming_strings`).
pub(crate) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\0', "").replace('\'', "''"))
}

/// A table for the fields, where there is none yet.
pub(super) fn create(table: &str, fields: &[Field]) -> String {
    let column = |field: &Field| {
        let kind = match field.variable.as_str() {
            "start_stamp"
            | "answer_stamp"
            | "end_stamp"
            | "progress_stamp"
            | "progress_media_stamp" => "timestamptz",
            "duration" | "billsec" | "progresssec" | "answersec" | "waitsec" => "integer",
            _ => "varchar",
        };
        format!("{} {kind}", name(&field.column))
    };
    let columns: Vec<String> = fields.iter().map(column).collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({})", name(table), columns.join(", "))
}

/// An insertion of so many rows. Parameters are text and become what their column is.
pub(super) fn insert(table: &str, fields: &[Field], types: &[String], rows: usize) -> String {
    let columns: Vec<String> = fields.iter().map(|field| name(&field.column)).collect();
    let mut number = 0;
    let row = |_| {
        let value = |kind: &String| {
            number += 1;
            format!("CAST(CAST(${number} AS text) AS {kind})")
        };
        format!("({})", types.iter().map(value).collect::<Vec<_>>().join(", "))
    };
    let values: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO {} ({}) VALUES {}", name(table), columns.join(", "), values.join(", "))
}

/// The values of a row as the reference spools them.
pub(super) fn spooled_values(fields: &[Field], values: &[String]) -> String {
    let value = |(field, value): (&Field, &String)| match value.as_str() {
        "" if !field.not_null => "null".to_owned(),
        // Unquoted, a far end's words would be SQL once the file is fed to a database.
        text if !field.quote && text.parse::<f64>().is_ok() => text.to_owned(),
        text => literal(text),
    };
    fields.iter().zip(values).map(value).collect::<Vec<_>>().join(",")
}

/// The statement of a row as the reference spools it.
pub(super) fn spooled_statement(table: &str, fields: &[Field], values: &[String]) -> String {
    let columns: Vec<&str> = fields.iter().map(|field| field.column.as_str()).collect();
    let values = spooled_values(fields, values);
    format!("INSERT INTO {table} ({}) VALUES ({values});", columns.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let field = |name: &str, quote| Field {
            variable: name.into(),
            column: name.into(),
            not_null: false,
            quote,
        };
        vec![field("uuid", true), field("billsec", false)]
    }

    #[test]
    fn parameters_become_what_their_columns_are() {
        let types = ["uuid".to_owned(), "integer".to_owned()];
        assert_eq!(
            insert("billing.cdr", &fields(), &types, 2),
            "INSERT INTO \"billing\".\"cdr\" (\"uuid\", \"billsec\") VALUES \
             (CAST(CAST($1 AS text) AS uuid), CAST(CAST($2 AS text) AS integer)), \
             (CAST(CAST($3 AS text) AS uuid), CAST(CAST($4 AS text) AS integer))"
        );
    }

    #[test]
    fn spooled_rows_are_literals_whatever_they_hold() {
        let row = |a: &str, b: &str| spooled_values(&fields(), &[a.to_owned(), b.to_owned()]);
        assert_eq!(row("it's", "12"), "'it''s',12");
        assert_eq!(row("", "1); DROP TABLE cdr; --"), "null,'1); DROP TABLE cdr; --'");
    }
}
