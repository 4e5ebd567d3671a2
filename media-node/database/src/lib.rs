//! Databases of modules: one SQLite file or one PostgreSQL server, named by a data source name (`odbc-dsn`, `dbname`).
//!
//! Statements write their arguments as `$1`, `$2`, …, which both kinds understand, and are never put together from what
//! a far end said. Rows come back as text, as the reference's callbacks see them.

#![deny(unsafe_code)]

mod columns;
pub mod conninfo;
pub mod odbc;
mod refusal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _};

pub use refusal::Refusal;

/// Connections to one PostgreSQL server.
const CONNECTIONS: u32 = 8;
/// Rows read ahead of the reader.
const AHEAD: usize = 256;
/// How long one waits for another user of a SQLite file.
const BUSY: Duration = Duration::from_secs(5);

/// Why something cannot be had of a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of an ODBC source that stands for no database.
    #[error(transparent)]
    Odbc(#[from] odbc::Unknown),
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

/// What a statement names and the database does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A table.
    Table,
    /// A column of a table.
    Column,
}

impl Error {
    /// Does the database lack what the statement names? `None` for every other failure: a lost connection, a lock, a denied
    /// permission.
    #[must_use]
    pub fn missing(&self) -> Option<Missing> {
        let Self::Database(sqlx::Error::Database(error)) = self else { return None };
        let message = error.message();
        // PostgreSQL has a SQLSTATE for each; SQLite has code 1 for all faulty statements, and its own two sentences.
        match error.code().as_deref() {
            Some("42P01") => Some(Missing::Table),
            Some("42703") => Some(Missing::Column),
            Some("1") if message.starts_with("no such table") => Some(Missing::Table),
            Some("1") if message.starts_with("no such column") => Some(Missing::Column),
            _ => None,
        }
    }
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
    /// [`Source::read`] with the files of ODBC.
    async fn find(name: &str, folder: &Path) -> Result<Self, Error> {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        let read = move || Self::read(&name, &folder, odbc::system_ini);
        tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)?
    }

    /// `pgsql://…`, `postgresql://…`, `sqlite://file`, a path, or the bare name of a file in the folder of databases.
    /// `odbc://DSN:USER:PASSWORD` and `DSN:USER:PASSWORD` are what ODBC's file says of them; `ini` gives its text.
    fn read(name: &str, folder: &Path, ini: impl FnOnce() -> String) -> Result<Self, Error> {
        let name = name.trim();
        if ["pgsql://", "postgresql://", "postgres://"].iter().any(|p| name.starts_with(p)) {
            return Ok(Self::Server(name.to_owned()));
        }
        let (explicit, path) = match name.strip_prefix("sqlite://") {
            Some(path) => (true, path),
            None => (false, name),
        };
        if name.starts_with("odbc://") || (!explicit && path.contains(':')) {
            let section = name.strip_prefix("odbc://").unwrap_or(name);
            return Ok(match odbc::of_section(section, &ini(), folder)? {
                odbc::Target::Sqlite(file) => Self::File(file),
                odbc::Target::Postgres(words) => Self::Server(format!("pgsql://{words}")),
            });
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
    /// Whether a data source name can be used, whether or not its database answers now.
    ///
    /// # Errors
    /// [`Error::Odbc`], [`Error::Name`].
    pub async fn check_name(name: &str, folder: &Path) -> Result<(), Error> {
        match Source::find(name, folder).await? {
            Source::File(_) => Ok(()),
            Source::Server(text) => Ok(conninfo::read(&text).map(|_| ())?),
        }
    }

    /// Opens what a data source name stands for; a file is made where there is none. `folder` is where bare names are.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        match Source::find(name, folder).await? {
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

    /// The rows a statement gives, one after the other as they are taken: for more than memory is meant to hold.
    /// After an error there are no more.
    #[must_use]
    pub fn stream(
        &self,
        statement: &str,
        args: Vec<Arg>,
    ) -> tokio::sync::mpsc::Receiver<Result<Row, Error>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        let statement = AssertSqlSafe(statement.to_owned());
        match self.pool.clone() {
            Pool::Sqlite(pool) => {
                let failed = sender.clone();
                tokio::spawn(async move {
                    let done = ours(async move {
                        let query = sqlx::query_with(statement, to_sqlite(args)?);
                        pass_on(query.fetch(&pool), columns::sqlite, &sender).await
                    });
                    tell(&failed, done.await).await;
                });
            }
            Pool::Postgres(pool) => {
                tokio::spawn(async move {
                    let done = async {
                        let query = sqlx::query_with(statement, to_postgres(args)?);
                        pass_on(query.fetch(&pool), columns::postgres, &sender).await
                    };
                    let done = done.await;
                    tell(&sender, done).await;
                });
            }
        }
        receiver
    }

    /// The first row a statement gives.
    ///
    /// # Errors
    /// What the database says.
    pub async fn row(&self, statement: &str, args: Vec<Arg>) -> Result<Option<Row>, Error> {
        Ok(self.rows(statement, args).await?.into_iter().next())
    }
}

type Told = tokio::sync::mpsc::Sender<Result<Row, Error>>;

async fn tell(to: &Told, done: Result<(), Error>) {
    if let Err(error) = done {
        // A reader that is gone needs no error.
        let _gone = to.send(Err(error)).await;
    }
}

/// Gives rows on as they come, until there are no more or the reader is gone.
async fn pass_on<R: sqlx::Row>(
    mut rows: impl futures_util::Stream<Item = Result<R, sqlx::Error>> + Unpin,
    read: impl Fn(&R, usize) -> Result<Option<String>, sqlx::Error>,
    to: &Told,
) -> Result<(), Error> {
    let mut names: Option<Arc<[String]>> = None;
    while let Some(row) = rows.try_next().await? {
        let own = || row.columns().iter().map(|c| c.name().to_owned()).collect();
        let names = Arc::clone(names.get_or_insert_with(own));
        let values = (0..names.len()).map(|at| read(&row, at)).collect::<Result<_, _>>()?;
        if to.send(Ok(Row { names, values })).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
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
        let ini = "[pbx]\nDriver=PostgreSQL\nServername=h\n[lite]\nDriver=SQLite3\nDatabase=x\n";
        let read = |name| Source::read(name, Path::new("/db"), || ini.to_owned());
        let file = |path: &str| Source::File(path.into());
        assert_eq!(read("voicemail_default").unwrap(), file("/db/voicemail_default.db"));
        assert_eq!(read("lists.db").unwrap(), file("/db/lists.db"));
        assert_eq!(read("/var/x").unwrap(), file("/var/x"));
        assert_eq!(read("sqlite:///var/x").unwrap(), file("/var/x"));
        assert_eq!(read("pgsql://host=h").unwrap(), Source::Server("pgsql://host=h".into()));
        let server = Source::Server("pgsql://host='h' user='me' password='secret'".into());
        assert_eq!(read("pbx:me:secret").unwrap(), server);
        assert_eq!(read("odbc://pbx:me:secret").unwrap(), server);
        assert_eq!(read("odbc://lite").unwrap(), file("/db/x.db"));
        let refused = read("dsn:user:secret").unwrap_err().to_string();
        assert_eq!(refused, "odbc.ini has no section dsn");
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
    async fn what_is_missing_is_told_apart_from_what_fails() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("test", folder.path()).await?;
        // An integer overflow, when it is read.
        open.execute("CREATE VIEW v AS SELECT abs(-9223372036854775808) AS a", args![]).await?;
        for (statement, missing) in [
            ("SELECT b FROM v", Some(Missing::Column)),
            ("SELECT a FROM w", Some(Missing::Table)),
            ("SELECT a FROM v", None),
            ("SELEKT", None),
        ] {
            let error = open.rows(statement, args![]).await.unwrap_err();
            assert_eq!(error.missing(), missing, "{statement}: {error}");
        }
        assert_eq!(Error::Closed.missing(), None);
        Ok(())
    }

    #[tokio::test]
    async fn rows_come_one_after_the_other_and_errors_last() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("test", folder.path()).await?;
        open.execute("CREATE TABLE t (a INTEGER)", args![]).await?;
        let many = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 1000) INSERT INTO t SELECT a FROM n";
        open.execute(many, args![]).await?;
        let mut rows = open.stream("SELECT a FROM t WHERE a > $1 ORDER BY a", args![10_i64]);
        let (mut count, mut last) = (0, 0);
        while let Some(row) = rows.recv().await {
            count += 1;
            last = row?.int(0);
        }
        assert_eq!((count, last), (990, 1000));
        // One that is not read to its end holds nothing up.
        drop(open.stream("SELECT a FROM t", args![]));
        let mut none = open.stream("SELECT b FROM nothing", args![]);
        assert!(none.recv().await.is_some_and(|row| row.is_err()));
        assert!(none.recv().await.is_none());
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
