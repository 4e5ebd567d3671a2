//! Databases of modules: one SQLite file or one PostgreSQL server, named by a data source name (`odbc-dsn`, `dbname`).
//!
//! Statements write their arguments as `$1`, `$2`, …, which both kinds understand, and are never put together from what
//! a far end said. Rows come back as text, as the reference's callbacks see them.

#![deny(unsafe_code)]

mod columns;
pub mod conninfo;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _};

/// Connections to one PostgreSQL server.
const CONNECTIONS: u32 = 8;
/// How long one waits for another user of a SQLite file.
const BUSY: Duration = Duration::from_secs(5);

/// Why something cannot be had of a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is of a kind that is not available.
    #[error("{0} names an ODBC source; there are sqlite:// and pgsql:// only")]
    Odbc(String),
    /// A connection string that cannot be read.
    #[error(transparent)]
    Name(#[from] conninfo::Invalid),
    /// What the database says.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The work was given up, as the process ends.
    #[error("the database is being closed")]
    Closed,
}

/// An argument of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// Nothing.
    Null,
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Arg {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

/// Arguments: `args![user, 5]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::Arg::from($value)),*] };
}

/// A row, its columns as text.
#[derive(Clone, Debug)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Option<String>>,
}

impl Row {
    /// The column at a place, empty for NULL and for a place beyond the last.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        self.get(index).unwrap_or_default()
    }

    /// The column at a place; `None` for NULL.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    /// The column at a place as a whole number; 0 where it is none.
    #[must_use]
    pub fn int(&self, index: usize) -> i64 {
        let text = self.text(index);
        text.parse().or_else(|_| text.parse::<f64>().map(|n| n as i64)).unwrap_or(0)
    }

    /// The column of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        let index = self.names.iter().position(|own| own.eq_ignore_ascii_case(name))?;
        self.get(index)
    }

    /// Names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().map(Option::as_deref))
    }
}

/// A database that is open.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What a data source name stands for.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Server(String),
}

impl Source {
    /// `pgsql://…`, `postgresql://…`, `sqlite://file`, a path, or the bare name of a file in the folder of databases.
    fn read(name: &str, folder: &Path) -> Result<Self, Error> {
        let name = name.trim();
        if ["pgsql://", "postgresql://", "postgres://"].iter().any(|p| name.starts_with(p)) {
            return Ok(Self::Server(name.to_owned()));
        }
        let (explicit, path) = match name.strip_prefix("sqlite://") {
            Some(path) => (true, path),
            None => (false, name),
        };
        if name.starts_with("odbc://") || (!explicit && path.contains(':')) {
            // What follows the first colon may be a password.
            let source = name.trim_start_matches("odbc://").split(':').next().unwrap_or_default();
            return Err(Error::Odbc(source.to_owned()));
        }
        let file = Path::new(path);
        if file.is_absolute() {
            return Ok(Self::File(file.to_owned()));
        }
        let ending = if path.ends_with(".db") { "" } else { ".db" };
        Ok(Self::File(folder.join(format!("{path}{ending}"))))
    }
}

impl Database {
    /// Opens what a data source name stands for; a file is made where there is none. `folder` is where bare names are.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        match Source::read(name, folder)? {
            Source::File(file) => {
                let pool = ours(open_file(file)).await?;
                Ok(Self { pool: Pool::Sqlite(pool) })
            }
            Source::Server(text) => {
                let (options, timeout) = conninfo::read(&text)?;
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(timeout)
                    .connect_with(options)
                    .await?;
                Ok(Self { pool: Pool::Postgres(pool) })
            }
        }
    }

    /// Is it a PostgreSQL server?
    #[must_use]
    pub const fn is_server(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Runs a statement; how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execute(&self, statement: &str, args: Vec<Arg>) -> Result<u64, Error> {
        let changed = self.execute_all(vec![(statement.to_owned(), args)]).await?;
        Ok(changed.into_iter().sum())
    }

    /// Runs statements in one transaction: all of them or none. How many rows each changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execute_all(&self, all: Vec<(String, Vec<Arg>)>) -> Result<Vec<u64>, Error> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let pool = pool.clone();
                ours(async move {
                    let mut changed = Vec::new();
                    let mut transaction = pool.begin().await?;
                    for (statement, args) in all {
                        let query = sqlx::query_with(AssertSqlSafe(statement), to_sqlite(args)?);
                        changed.push(query.execute(&mut *transaction).await?.rows_affected());
                    }
                    transaction.commit().await?;
                    Ok(changed)
                })
                .await
            }
            Pool::Postgres(pool) => {
                let mut changed = Vec::new();
                let mut transaction = pool.begin().await?;
                for (statement, args) in all {
                    let query = sqlx::query_with(AssertSqlSafe(statement), to_postgres(args)?);
                    changed.push(query.execute(&mut *transaction).await?.rows_affected());
                }
                transaction.commit().await?;
                Ok(changed)
            }
        }
    }

    /// The rows a statement gives.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rows(&self, statement: &str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        let statement = AssertSqlSafe(statement.to_owned());
        match &self.pool {
            Pool::Sqlite(pool) => {
                let pool = pool.clone();
                ours(async move {
                    let query = sqlx::query_with(statement, to_sqlite(args)?);
                    let rows = query.fetch_all(&pool).await?;
                    rows_of(&rows, columns::sqlite)
                })
                .await
            }
            Pool::Postgres(pool) => {
                let query = sqlx::query_with(statement, to_postgres(args)?);
                let rows = query.fetch_all(pool).await?;
                rows_of(&rows, columns::postgres)
            }
        }
    }

    /// The first row a statement gives.
    ///
    /// # Errors
    /// What the database says.
    pub async fn row(&self, statement: &str, args: Vec<Arg>) -> Result<Option<Row>, Error> {
        Ok(self.rows(statement, args).await?.into_iter().next())
    }
}

fn rows_of<R: sqlx::Row>(
    rows: &[R],
    read: impl Fn(&R, usize) -> Result<Option<String>, sqlx::Error>,
) -> Result<Vec<Row>, Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let names: Arc<[String]> = first.columns().iter().map(|c| c.name().to_owned()).collect();
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let values = (0..names.len()).map(|index| read(row, index)).collect::<Result<_, _>>()?;
        all.push(Row { names: Arc::clone(&names), values });
    }
    Ok(all)
}

async fn open_file(file: PathBuf) -> Result<SqlitePool, Error> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(sqlx::Error::Io)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    // One connection: writers of SQLite wait for each other in any case.
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Work on a file, away from the threads that serve calls. In simulated time the clock stands still meanwhile.
async fn ours<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    done.unwrap_or(Err(Error::Closed))
}

fn to_sqlite(args: Vec<Arg>) -> Result<SqliteArguments, sqlx::Error> {
    use sqlx::Arguments as _;
    let mut all = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => all.add(text),
            Arg::Int(number) => all.add(number),
            Arg::Real(number) => all.add(number),
            Arg::Null => all.add(None::<String>),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(all)
}

fn to_postgres(args: Vec<Arg>) -> Result<PgArguments, sqlx::Error> {
    use sqlx::Arguments as _;
    let mut all = PgArguments::default();
    for arg in args {
        match arg {
            // NUL is no character of a text there.
            Arg::Text(text) => all.add(text.replace('\0', "")),
            Arg::Int(number) => all.add(number),
            Arg::Real(number) => all.add(number),
            Arg::Null => all.add(None::<String>),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_files_and_servers() {
        let read = |name| Source::read(name, Path::new("/db"));
        let file = |path: &str| Source::File(path.into());
        assert_eq!(read("voicemail_default").unwrap(), file("/db/voicemail_default.db"));
        assert_eq!(read("lists.db").unwrap(), file("/db/lists.db"));
        assert_eq!(read("/var/x").unwrap(), file("/var/x"));
        assert_eq!(read("sqlite:///var/x").unwrap(), file("/var/x"));
        assert_eq!(read("pgsql://host=h").unwrap(), Source::Server("pgsql://host=h".into()));
        let refused = read("dsn:user:secret").unwrap_err().to_string();
        assert!(refused.starts_with("dsn names an ODBC source"), "{refused}");
        assert!(read("odbc://dsn:u:secret").unwrap_err().to_string().starts_with("dsn names"));
    }

    #[tokio::test]
    async fn rows_come_back_as_text_and_arguments_stay_data() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("test", folder.path()).await?;
        open.execute("CREATE TABLE t (a INTEGER, b VARCHAR(9), c REAL)", args![]).await?;
        let hostile = "'; DROP TABLE t; --\n\"";
        let insert = "INSERT INTO t (b, a, c) VALUES ($2, $1, $3)";
        assert_eq!(open.execute(insert, args![7_i64, hostile, 1.5]).await?, 1);
        open.execute(insert, vec![Arg::Null, Arg::Null, Arg::Null]).await?;
        let rows = open.rows("SELECT a, b, c, count(*) OVER () AS n FROM t", args![]).await?;
        assert_eq!((rows[0].text(0), rows[0].text(1), rows[0].text(2)), ("7", hostile, "1.5"));
        assert_eq!((rows[0].int(0), rows[0].named("N"), rows[1].get(1)), (7, Some("2"), None));
        assert!(!open.is_server());
        Ok(())
    }

    #[tokio::test]
    async fn several_statements_are_all_done_or_none() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("test", folder.path()).await?;
        open.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", args![]).await?;
        let insert = "INSERT INTO t VALUES ($1)".to_owned();
        let twice = vec![(insert.clone(), args![1_i64]), (insert, args![1_i64])];
        assert!(open.execute_all(twice).await.is_err());
        assert_eq!(open.row("SELECT count(*) FROM t", args![]).await?.unwrap().int(0), 0);
        Ok(())
    }
}
