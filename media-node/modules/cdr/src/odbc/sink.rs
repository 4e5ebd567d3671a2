//! From the journal into the database, in batches: rows and the position behind them in one transaction.
//!
//! The position is kept in `odbc_cdr_position` of the same database. One that gives the switch no right to make that table
//! has the position beside the journal instead; then the rows of a batch may come twice after a crash.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use database::{Arg, Database, Refusal, args};
use records::delivery::Deed;
use records::{Entry, Position, Sink, SinkError};
use tokio::time::timeout;

use super::NAME;
use super::row::{Row, name};
use super::settings::{Settings, WriteCsv};

/// For one batch. A database that takes longer is left, and asked again.
const BATCH: Duration = Duration::from_secs(20);

const POSITIONS: &str = "CREATE TABLE IF NOT EXISTS odbc_cdr_position (journal varchar(64) NOT NULL PRIMARY KEY, position varchar(64) NOT NULL)";
const STORED: &str = "SELECT position FROM odbc_cdr_position WHERE journal = $1";
const STORE: &str = "INSERT INTO odbc_cdr_position (journal, position) VALUES ($1, $2) ON CONFLICT (journal) DO UPDATE SET position = excluded.position";
/// Names and types of a table's columns, the types without their length, to which a cast would cut a text. One that is too
/// long is refused instead. (-1 and not NULL: with that, `char(n)` would be `character`, which is one character.)
const TYPES: &str = "SELECT CAST(attname AS text), format_type(atttypid, -1) FROM pg_attribute \
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// Columns of a table with their types.
type Columns = Arc<[(String, String)]>;

/// A database that is open.
struct Open {
    database: Database,
    /// The position is kept in it.
    keeps_position: bool,
    types: HashMap<String, Columns>,
}

/// The tables of the settings.
pub(super) struct Tables {
    settings: Arc<Settings>,
    db_dir: PathBuf,
    /// Which journal positions belong to.
    journal: String,
    open: Option<Open>,
}

/// A row with what it is filed as.
struct Pending<'e> {
    entry: &'e Entry,
    table: &'e str,
    row: Row,
    statement: (String, Vec<Arg>),
}

impl Sink for Tables {
    fn name(&self) -> &str {
        NAME
    }

    fn keeps_position(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.keeps_position)
    }

    fn position(&mut self) -> Deed<'_, Result<Option<Position>, SinkError>> {
        Box::pin(async {
            let journal = self.journal.clone();
            let known = async {
                let open = self.open().await?;
                stored(open, &journal).await
            };
            timeout(BATCH, known).await.unwrap_or(Err(Trouble::Late(BATCH))).map_err(told)
        })
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let stored = timeout(BATCH, self.store(entries, after)).await;
            let done = stored.unwrap_or(Err(Trouble::Late(BATCH)));
            if done.is_err() {
                // The next try begins with a fresh connection, and reads the tables' columns anew.
                self.open = None;
            }
            done.map_err(told)
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(trouble: Trouble) -> SinkError {
    SinkError(trouble.to_string())
}

impl Tables {
    pub(super) const fn new(settings: Arc<Settings>, db_dir: PathBuf, journal: String) -> Self {
        Self { settings, db_dir, journal, open: None }
    }

    async fn open(&mut self) -> Result<&mut Open, Trouble> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let database = Database::open(&self.settings.database, &self.db_dir).await?;
                let keeps_position = keeps_position(&database, &self.journal).await?;
                Open { database, keeps_position, types: HashMap::new() }
            }
        };
        Ok(self.open.insert(open))
    }

    async fn store(
        &mut self,
        entries: &[(Position, Entry)],
        after: Position,
    ) -> Result<(), Trouble> {
        let (settings, journal) = (Arc::clone(&self.settings), self.journal.clone());
        let open = self.open().await?;
        let known = stored(open, &journal).await?.unwrap_or_default();
        let mut rows = Vec::new();
        for (_, entry) in entries.iter().filter(|(position, _)| *position > known) {
            for line in entry.lines.iter().filter(|line| line.sink == NAME) {
                let types = open.types(&line.target).await?;
                let row = Row::from_values(&line.values);
                let statement = row.statement(&line.target, types.as_deref());
                rows.push(Pending { entry, table: &line.target, row, statement });
            }
        }
        if settings.csv == WriteCsv::Always {
            file(&settings.csv_dir, rows.iter()).await?;
        }
        match open.insert(&rows, &journal, after).await {
            Err(error) if error.refusal().is_some() => {
                open.types.clear();
                let statements = rows.iter().map(|row| row.statement.clone()).collect();
                let found = open.database.refusals(statements).await?;
                let (mut good, mut refused) = (Vec::new(), Vec::new());
                for (row, refusal) in rows.into_iter().zip(found) {
                    match refusal {
                        None => good.push(row),
                        Some(error) => refused.push((row, error)),
                    }
                }
                for (row, error) in &refused {
                    let statement = row.row.shown(row.table);
                    tracing::error!(
                        fs_level = "CRIT",
                        "Error executing query {statement}: {error}"
                    );
                }
                if settings.csv != WriteCsv::Never {
                    file(&settings.failed_dir, refused.iter().map(|(row, _)| row)).await?;
                }
                let of_statement = |(_, error): &(Pending<'_>, database::Error)| {
                    error.refusal() == Some(Refusal::Statement)
                };
                if settings.csv == WriteCsv::Never
                    && let Some(at) = refused.iter().position(of_statement)
                {
                    // A table that is not there may be made yet: its rows wait, and nothing is lost.
                    return Err(refused.swap_remove(at).1.into());
                }
                Ok(open.insert(&good, &journal, after).await?)
            }
            done => Ok(done?),
        }
    }
}

impl Open {
    /// What a table's columns are, where the database must be told.
    async fn types(&mut self, table: &str) -> Result<Option<Columns>, Trouble> {
        if !self.database.is_server() {
            return Ok(None);
        }
        if let Some(known) = self.types.get(table) {
            return Ok(Some(Arc::clone(known)));
        }
        let rows = self.database.rows(TYPES, args![name(table, true)]).await?;
        let read: Columns =
            rows.iter().map(|row| (row.text(0).to_owned(), row.text(1).to_owned())).collect();
        self.types.insert(table.to_owned(), Arc::clone(&read));
        Ok(Some(read))
    }

    async fn insert(
        &self,
        rows: &[Pending<'_>],
        journal: &str,
        after: Position,
    ) -> Result<(), database::Error> {
        let mut all: Vec<_> = rows.iter().map(|row| row.statement.clone()).collect();
        if self.keeps_position {
            all.push((STORE.to_owned(), args![journal, after.to_string()]));
        }
        self.database.execute_all(all).await.map(drop)
    }
}

/// Whether the position can be kept in the database. A table that is there is not made: PostgreSQL asks for the right to make
/// it before it looks whether it is there.
async fn keeps_position(database: &Database, journal: &str) -> Result<bool, Trouble> {
    if database.row(STORED, args![journal]).await.is_ok() {
        return Ok(true);
    }
    match database.execute(POSITIONS, args![]).await {
        Ok(_) => Ok(true),
        Err(error) if error.refusal() == Some(Refusal::Statement) => {
            tracing::warn!(
                "{NAME}: the position in the journal is not kept in the database: {error}"
            );
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the database's knowledge of a journal ends.
async fn stored(open: &Open, journal: &str) -> Result<Option<Position>, Trouble> {
    if !open.keeps_position {
        return Ok(None);
    }
    let row = open.database.row(STORED, args![journal]).await?;
    Ok(row.and_then(|row| row.text(0).parse().ok()))
}

/// Files rows as `UUID_TABLE.csv`, each in a file of its own, as the reference does. Written again it is the same file.
async fn file<'p>(
    folder: &Path,
    rows: impl Iterator<Item = &'p Pending<'p>>,
) -> Result<(), Trouble> {
    let mut made = false;
    for row in rows {
        if !made {
            let failed = |error| Trouble::File(folder.to_owned(), error);
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
            made = true;
        }
        let own = format!("{}_{}", row.entry.record.uuid, row.table);
        let path = folder.join(records::csv::file_name(&own));
        let text = row.row.line() + "\n";
        tokio::fs::write(&path, text).await.map_err(|error| Trouble::File(path, error))?;
    }
    Ok(())
}
