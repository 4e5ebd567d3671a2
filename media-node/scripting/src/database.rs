//! Databases behind `freeswitch.Dbh`: connections that are kept for the next script, and queries as text.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::database::conninfo;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use sqlx::Either;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Row as _, ValueRef as _, raw_sql};

use ::database::odbc::Target;

use crate::scripts::Script;

/// SQLite waits so long for another writer.
const BUSY: Duration = Duration::from_secs(10);
/// Connections of one database that are kept.
const KEPT: usize = 32;
/// Most bytes one query may bring.
const MAX_ANSWER: usize = 64 << 20;

/// A connection.
pub enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// SQLite asks whether a statement may go on after so many steps of its machine: some hundred microseconds.
const STEPS: i32 = 10_000;

impl Connection {
    /// From now on it works for that script: a long statement of SQLite ends when the script has to. PostgreSQL's server notices
    /// that nobody waits when it sends the next rows.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn works_for(&mut self, script: &Arc<Script>) -> Result<(), Trouble> {
        if let Self::Sqlite(connection) = self {
            let script = Arc::downgrade(script);
            // One that is gone has left its statement behind; the next to use the connection says so before.
            let goes_on = move || script.upgrade().is_some_and(|script| !script.is_killed());
            connection.lock_handle().await?.set_progress_handler(STEPS, goes_on);
        }
        Ok(())
    }
}

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Words(#[from] conninfo::Invalid),
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
}

impl Trouble {
    /// As the database tells it.
    pub fn told(&self) -> String {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.message().to_owned(),
            other => other.to_string(),
        }
    }

    /// May the connection be used again? After a statement that the database refused it may.
    pub fn keeps_connection(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(_)))
    }
}

/// Connections that no script uses now.
#[derive(Default)]
pub struct Handles(Mutex<HashMap<String, Vec<Connection>>>);

impl Handles {
    pub fn take(&self, name: &str) -> Option<Connection> {
        self.0.lock().get_mut(name)?.pop()
    }

    pub fn give(&self, name: &str, connection: Connection) {
        let mut all = self.0.lock();
        let kept = all.entry(name.to_owned()).or_default();
        if kept.len() < KEPT {
            kept.push(connection);
        }
    }
}

/// One row: names of columns and values, NULL being none.
pub type Row = Vec<(Arc<str>, Option<Vec<u8>>)>;

/// What a query brought.
#[derive(Default)]
pub struct Answer {
    pub rows: Vec<Row>,
    pub affected: u64,
}

/// Connects for a script.
pub async fn connect(target: &Target, script: &Arc<Script>) -> Result<Connection, Trouble> {
    let mut connection = match target {
        Target::Sqlite(path) => {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .busy_timeout(BUSY)
                .disable_statement_logging();
            Connection::Sqlite(in_time(conninfo::TIMEOUT, options.connect()).await?)
        }
        Target::Postgres(words) => {
            let (options, within) = conninfo::read(words)?;
            Connection::Postgres(in_time(within, options.connect()).await?)
        }
    };
    connection.works_for(script).await?;
    Ok(connection)
}

async fn in_time<T>(
    within: Duration,
    connecting: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Trouble> {
    let done = tokio::time::timeout(within, connecting).await;
    Ok(done.map_err(|_| Trouble::Late(within))??)
}

/// Runs statements; their rows are read if they are wanted.
pub async fn query(
    connection: &mut Connection,
    sql: &str,
    wants_rows: bool,
) -> Result<Answer, Trouble> {
    let mut answer = Answer::default();
    let mut size = 0;
    let statements = raw_sql(AssertSqlSafe(sql));
    match connection {
        Connection::Sqlite(connection) => {
            let mut results = statements.fetch_many(connection);
            while let Some(result) = results.next().await {
                match result? {
                    Either::Left(done) => answer.affected = done.rows_affected(),
                    Either::Right(row) if wants_rows => answer.add(sqlite_row(&row)?, &mut size)?,
                    Either::Right(_) => {}
                }
            }
        }
        Connection::Postgres(connection) => {
            let mut results = statements.fetch_many(connection);
            while let Some(result) = results.next().await {
                match result? {
                    Either::Left(done) => answer.affected = done.rows_affected(),
                    Either::Right(row) if wants_rows => {
                        answer.add(postgres_row(&row)?, &mut size)?
                    }
                    Either::Right(_) => {}
                }
            }
        }
    }
    Ok(answer)
}

impl Answer {
    fn add(&mut self, row: Row, size: &mut usize) -> Result<(), Trouble> {
        *size +=
            row.iter().map(|(_, value)| 32 + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        if *size > MAX_ANSWER {
            return Err(Trouble::TooLong);
        }
        self.rows.push(row);
        Ok(())
    }
}

/// SQLite turns values of any type into text.
fn sqlite_row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let value = |at: usize| match row.try_get_unchecked::<Option<String>, _>(at) {
        Ok(text) => Ok(text.map(String::into_bytes)),
        // Text that is not UTF-8.
        Err(_) => row.try_get_unchecked::<Option<Vec<u8>>, _>(at),
    };
    row.columns()
        .iter()
        .enumerate()
        .map(|(at, column)| Ok((column.name().into(), value(at)?)))
        .collect()
}

/// The simple protocol brings text.
fn postgres_row(row: &PgRow) -> Result<Row, sqlx::Error> {
    let value = |at: usize| {
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(None);
        }
        let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
        Ok::<_, sqlx::Error>(Some(bytes.to_vec()))
    };
    row.columns()
        .iter()
        .enumerate()
        .map(|(at, column)| Ok((column.name().into(), value(at)?)))
        .collect()
}
