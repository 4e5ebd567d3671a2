//! What is done with records that are stored: export to files, and the end of old ones.
//!
//! Works on the databases that `cdr_sqlite.conf` and `cdr_pg_csv.conf` name, whether or not the switch runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use database::{Arg, Database, Row, args};
use dialplan_xml::Node;
use switch_core::clock;
use switch_core::text::is_true;

use crate::pg;
use crate::settings::Templates;
use crate::sqlite;

/// Rows removed in one transaction, so that calls that end meanwhile do not wait.
const BATCH: i64 = 5_000;
/// Longest time a record may be kept, days.
const LONGEST: u32 = 36_500;

/// Why records cannot be exported or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The configuration names no database of records.
    #[error("no database of call records: neither cdr_sqlite.conf nor cdr_pg_csv.conf is there")]
    NoSource,
    /// The file is not there.
    #[error("{0}: there is no such database yet")]
    NoFile(PathBuf),
    /// The configuration of a database cannot be used.
    #[error("{0}: {1}")]
    Configuration(&'static str, String),
    /// The table is none of the database's, or has no column that says when a call began.
    #[error("{0}: {1}")]
    Table(String, &'static str),
    /// What the database says.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The output cannot be written.
    #[error("the output: {0}")]
    Output(#[from] std::io::Error),
}

/// A database of call records.
#[derive(Clone)]
pub struct Source {
    /// The module that fills it.
    pub module: &'static str,
    /// Data source name; may hold a password.
    name: String,
    /// File, where it is one.
    file: Option<PathBuf>,
    /// Tables, each with the column that says when a call began.
    tables: Vec<(String, String)>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma separated values with a line of names (RFC 4180).
    Csv,
    /// CSV whose values no spreadsheet reads as a formula: those that begin like one get a `'` in front.
    Spreadsheet,
    /// A JSON object per line.
    Lines,
}

/// Calls that began in this time, microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Not before.
    pub from: Option<i64>,
    /// Before.
    pub to: Option<i64>,
}

impl Source {
    /// The databases the configuration names. `document` gives a configuration file's element.
    ///
    /// # Errors
    /// [`KeepError::NoSource`], [`KeepError::Configuration`].
    pub fn all<'t>(
        document: impl Fn(&str) -> Option<Node<'t>>,
        db_dir: &Path,
        log_dir: &Path,
    ) -> Result<Vec<Self>, KeepError> {
        let mut all = Vec::new();
        if let Some(conf) = document("cdr_sqlite.conf") {
            all.push(Self::sqlite(conf, db_dir, log_dir));
        }
        if let Some(conf) = document("cdr_pg_csv.conf") {
            all.push(Self::postgres(conf, log_dir)?);
        }
        if all.is_empty() { Err(KeepError::NoSource) } else { Ok(all) }
    }

    pub(crate) fn sqlite(conf: Node<'_>, db_dir: &Path, log_dir: &Path) -> Self {
        let settings = Templates::read(Some(conf), log_dir);
        let file = sqlite::file(&settings, db_dir, log_dir);
        Self {
            module: "mod_cdr_sqlite",
            name: format!("sqlite://{}", file.display()),
            file: Some(file),
            tables: vec![
                (settings.table, "start_stamp".to_owned()),
                ("call_logs".to_owned(), "start_time".to_owned()),
            ],
        }
    }

    pub(crate) fn postgres(conf: Node<'_>, log_dir: &Path) -> Result<Self, KeepError> {
        let wrong = |error: String| KeepError::Configuration("cdr_pg_csv.conf", error);
        let (name, table, column) =
            pg::place(conf, log_dir).map_err(|error| wrong(error.to_string()))?;
        let mut tables = vec![("call_logs".to_owned(), "start_time".to_owned())];
        if let Some(column) = column {
            tables.insert(0, (table, column));
        }
        Ok(Self { module: "mod_cdr_pg_csv", name, file: None, tables })
    }

    /// Data source name; may hold a password.
    pub(crate) fn data_source(&self) -> &str {
        &self.name
    }

    /// Names of its tables, that of the records first.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// Whether its file is there; a server is taken to be.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.exists())
    }

    async fn open(&self) -> Result<Database, KeepError> {
        if let Some(file) = &self.file
            && !tokio::fs::try_exists(file).await.unwrap_or(false)
        {
            return Err(KeepError::NoFile(file.clone()));
        }
        Ok(Database::open(&self.name, Path::new("")).await?)
    }

    /// Writes the rows of a table (the first one, if none is named) in the order in which calls began. How many.
    ///
    /// # Errors
    /// [`KeepError`].
    pub async fn export(
        &self,
        table: Option<&str>,
        span: Span,
        format: Format,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, KeepError> {
        let named = |name: &&str| self.tables.iter().position(|(own, _)| own == name);
        let at = match table {
            Some(table) => named(&table)
                .ok_or_else(|| KeepError::Table(table.to_owned(), "no table of call records"))?,
            None => 0,
        };
        let (table, column) = &self.tables[at];
        let database = self.open().await?;
        let (condition, arguments) = condition(&database, column, span);
        let columns = columns(&database, table).await?;
        let order = quoted(column);
        let statement =
            format!("select {columns} from {} where {condition} order by {order}", quoted(table));
        let mut rows = database.stream(&statement, arguments);
        let mut count = 0;
        while let Some(row) = rows.recv().await {
            let row = row?;
            if count == 0 && format != Format::Lines {
                let names: Vec<&str> = row.pairs().map(|(name, _)| name).collect();
                writeln!(out, "{}\r", csv_line(names.into_iter(), false))?;
            }
            match format {
                Format::Lines => writeln!(out, "{}", json_line(&row))?,
                csv => {
                    let values = row.pairs().map(|(_, value)| value.unwrap_or_default());
                    writeln!(out, "{}\r", csv_line(values, csv == Format::Spreadsheet))?;
                }
            }
            count += 1;
        }
        out.flush()?;
        Ok(count)
    }

    /// Removes the records of calls that began before a time (microseconds since the epoch), a few thousand at once; with
    /// `dry` none. Names of tables, and how many rows each lost or would lose.
    ///
    /// # Errors
    /// [`KeepError`]; what was removed before it stays removed.
    pub async fn purge(&self, before: i64, dry: bool) -> Result<Vec<(String, u64)>, KeepError> {
        let database = self.open().await?;
        let span = Span { from: None, to: Some(before) };
        let mut done = Vec::new();
        for (table, column) in &self.tables {
            let (condition, arguments) = condition(&database, column, span);
            let table_name = quoted(table);
            let mut removed = 0;
            if dry {
                let statement = format!("select count(*) from {table_name} where {condition}");
                let row = database.row(&statement, arguments).await?;
                removed = row.map_or(0, |row| u64::try_from(row.int(0)).unwrap_or(0));
            } else {
                let old = |id: &str| {
                    format!("select {id} from {table_name} where {condition} limit {BATCH}")
                };
                let statement = if database.is_server() {
                    format!("delete from {table_name} where ctid = any (array({}))", old("ctid"))
                } else {
                    format!("delete from {table_name} where rowid in ({})", old("rowid"))
                };
                loop {
                    let now = database.execute(&statement, arguments.clone()).await?;
                    removed += now;
                    if now == 0 {
                        break;
                    }
                }
            }
            done.push((table.clone(), removed));
        }
        Ok(done)
    }
}

/// A name of a table or column; `schema.table` is two names.
fn quoted(name: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// What of a table is within a time. A row that does not say when it began is within none that has a bound.
fn condition(database: &Database, column: &str, span: Span) -> (String, Vec<Arg>) {
    let column = quoted(column);
    let (mut parts, mut arguments) = (vec!["1 = 1".to_owned()], Vec::new());
    for (bound, sign) in [(span.from, ">="), (span.to, "<")] {
        let Some(at) = bound else { continue };
        let number = arguments.len() + 1;
        if database.is_server() {
            parts.push(format!(
                "cast(nullif(cast({column} as text), '') as timestamptz) {sign} to_timestamp(cast(${number} as double precision))"
            ));
            arguments.push(Arg::Real(at as f64 / 1e6));
        } else {
            parts.push(format!("{column} <> '' and {column} {sign} ${number}"));
            arguments.push(Arg::from(stamp(at)));
        }
    }
    (parts.join(" and "), arguments)
}

/// As SQLite has it: local time to the second.
fn stamp(at: i64) -> String {
    clock::local_stamp(at).chars().take(19).collect()
}

/// The columns of a table, all as text.
async fn columns(database: &Database, table: &str) -> Result<String, KeepError> {
    if !database.is_server() {
        return Ok("*".to_owned());
    }
    let (schema, name) = table.rsplit_once('.').map_or((None, table), |(s, n)| (Some(s), n));
    let mut statement =
        "select cast(column_name as text) from information_schema.columns where table_name = $1"
            .to_owned();
    let mut arguments = args![name];
    if let Some(schema) = schema {
        statement.push_str(" and table_schema = $2");
        arguments.push(Arg::from(schema));
    } else {
        statement.push_str(" and table_schema = any (current_schemas(false))");
    }
    statement.push_str(" order by ordinal_position");
    let rows = database.rows(&statement, arguments).await?;
    if rows.is_empty() {
        return Err(KeepError::Table(table.to_owned(), "there is no such table yet"));
    }
    let cast = |row: &Row| {
        let name = quoted(&row.text(0).replace('.', "\u{0}")).replace('\u{0}', ".");
        format!("cast({name} as text) as {name}")
    };
    Ok(rows.iter().map(cast).collect::<Vec<_>>().join(", "))
}

fn csv_line<'v>(values: impl Iterator<Item = &'v str>, guarded: bool) -> String {
    let field = |value: &str| {
        let formula = guarded && value.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let text = if formula { format!("'{value}") } else { value.to_owned() };
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    };
    values.map(field).collect::<Vec<_>>().join(",")
}

/// Columns that are numbers in JSON.
const NUMBERS: [&str; 6] =
    ["duration", "billsec", "mduration", "billmsec", "progresssec", "answersec"];

fn json_line(row: &Row) -> String {
    let value = |name: &str, value: Option<&str>| match value {
        None => serde_json::Value::Null,
        Some(text) => match text.parse::<i64>() {
            Ok(number) if NUMBERS.contains(&name) => number.into(),
            _ => text.into(),
        },
    };
    let object = row.pairs().map(|(name, text)| (name.to_owned(), value(name, text))).collect();
    serde_json::Value::Object(object).to_string()
}

/// Between two looks for records that are too old, and before the first.
const PAUSES: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(30));

/// Removes records that are older than `keep-days` says, again and again.
pub(crate) async fn keep(source: Source, days: u32) {
    let (pause, first) = PAUSES;
    tokio::time::sleep(first).await;
    loop {
        match source.purge(days_ago(days), false).await {
            Ok(done) => {
                for (table, count) in done.into_iter().filter(|(_, count)| *count > 0) {
                    tracing::info!(
                        "{}: {count} rows of {table} were older than {days} days",
                        source.module
                    );
                }
            }
            Err(KeepError::NoFile(_)) => {}
            Err(error) => tracing::error!("{}: keep-days: {error}", source.module),
        }
        tokio::time::sleep(pause).await;
    }
}

/// `keep-days`; `None` where records are kept without end.
pub(crate) fn keep_days(conf: Option<Node<'_>>) -> Option<u32> {
    let days = dialplan_xml::config::settings(conf).last("keep-days")?.trim().parse().ok()?;
    (1..=LONGEST).contains(&days).then_some(days)
}

/// `active-calls`: whether the calls there are now stand in the database, too.
pub(crate) fn shows_active_calls(conf: Node<'_>) -> bool {
    dialplan_xml::config::settings(Some(conf))
        .last("active-calls")
        .is_some_and(|value| is_true(value.trim()))
}

/// The time before which records of so many days ago began, microseconds since the epoch.
#[must_use]
pub fn days_ago(days: u32) -> i64 {
    clock::now_us() - i64::from(days.min(LONGEST)) * 86_400_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_within_their_field() {
        let line = |values: &[&str], guarded| csv_line(values.iter().copied(), guarded);
        assert_eq!(
            line(&["a", "b,c", "d\"e", "f\ng", ""], false),
            "a,\"b,c\",\"d\"\"e\",\"f\ng\","
        );
        assert_eq!(line(&["=1+1", "+49", "x"], true), "'=1+1,'+49,x");
        assert_eq!(line(&["+49"], false), "+49");
    }

    fn day(day: i64) -> i64 {
        day * 86_400_000_000
    }

    async fn filled(folder: &Path) -> Source {
        let tree = dialplan_xml::parse_raw(
            "<document><section name=\"configuration\"><configuration name=\"cdr_sqlite.conf\"/></section></document>",
            "test",
        );
        let tree = tree.tree.unwrap();
        let source = Source::sqlite(tree.configuration("cdr_sqlite.conf").unwrap(), folder, folder);
        let database = Database::open(&source.name, folder).await.unwrap();
        for statement in [
            "create table cdr (start_stamp varchar, caller_id_name varchar, duration integer)",
            "create table call_logs (call_id varchar, start_time varchar)",
        ] {
            database.execute(statement, args![]).await.unwrap();
        }
        for (at, name) in [(100, "o'b, \"x\""), (200, "=formula"), (300, "new")] {
            let insert = "insert into cdr values ($1, $2, 7)";
            database.execute(insert, args![stamp(day(at)), name]).await.unwrap();
            let insert = "insert into call_logs values ($2, $1)";
            database.execute(insert, args![stamp(day(at)), name]).await.unwrap();
        }
        database.execute("insert into cdr values ('', 'never', 0)", args![]).await.unwrap();
        source
    }

    #[tokio::test]
    async fn rows_are_written_as_csv_and_as_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let source = filled(folder.path()).await;
        let mut out = Vec::new();
        let span = Span { from: Some(day(100)), to: Some(day(250)) };
        assert_eq!(source.export(None, span, Format::Csv, &mut out).await.unwrap(), 2);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines[0], "start_stamp,caller_id_name,duration");
        assert!(lines[1].ends_with(",\"o'b, \"\"x\"\"\",7") && lines[2].ends_with(",=formula,7"));
        let mut out = Vec::new();
        source.export(Some("cdr"), Span::default(), Format::Lines, &mut out).await.unwrap();
        let first: Vec<serde_json::Value> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(first.len(), 4);
        assert_eq!(first[1]["caller_id_name"], "o'b, \"x\"");
        assert_eq!(first[1]["duration"], 7);
        let mut out = Vec::new();
        let nothing = source.export(Some("users"), Span::default(), Format::Csv, &mut out);
        assert!(matches!(nothing.await, Err(KeepError::Table(..))));
    }

    #[tokio::test]
    async fn old_records_go_and_those_without_a_time_stay() {
        let folder = tempfile::tempdir().unwrap();
        let source = filled(folder.path()).await;
        let counts =
            |done: Vec<(String, u64)>| done.into_iter().map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(counts(source.purge(day(250), true).await.unwrap()), [2, 2]);
        assert_eq!(counts(source.purge(day(250), false).await.unwrap()), [2, 2]);
        assert_eq!(counts(source.purge(day(250), false).await.unwrap()), [0, 0]);
        let mut out = Vec::new();
        let left = source.export(None, Span::default(), Format::Lines, &mut out).await.unwrap();
        assert_eq!(left, 2);
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let tree = dialplan_xml::parse_raw(
            "<document><section name=\"configuration\"><configuration name=\"cdr_sqlite.conf\"/></section></document>",
            "test",
        );
        let tree = tree.tree.unwrap();
        let conf = tree.configuration("cdr_sqlite.conf").unwrap();
        let source = Source::sqlite(conf, folder.path(), folder.path());
        assert!(matches!(source.purge(0, false).await, Err(KeepError::NoFile(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
