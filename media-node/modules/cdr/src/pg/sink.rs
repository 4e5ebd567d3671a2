//! From the journal into the database, in batches.
//!
//! A batch is one transaction: the rows, the rows of `call_logs`, and the position behind them. When a connection breaks
//! while a transaction commits it is unknown whether it did; the next one looks at the position first and stores only what
//! lies behind it.

use std::sync::Arc;
use std::time::Duration;

use database::Refusal;
use records::delivery::Deed;
use records::{Entry, Position, Sink, SinkError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use super::settings::Settings;
use super::{NAME, spool, sql};
use crate::logged::Logged;

/// For one batch. A database that takes longer is left, and asked again.
const BATCH: Duration = Duration::from_secs(20);

/// The tables of one database.
pub(super) struct Table {
    settings: Arc<Settings>,
    /// Which journal positions belong to.
    journal: String,
    open: Option<Open>,
}

/// A connection, and what the table's columns are.
struct Open {
    connection: PgConnection,
    types: Vec<String>,
}

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the table {0} has no column {1}")]
    NoColumn(String, String),
    #[error("rows that the database refuses cannot be filed: {0}")]
    Spool(#[from] std::io::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Trouble {
    /// The database refuses what is in a row: data that does not fit its column, a constraint, a trigger.
    fn is_about_a_row(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().and_then(|code| Refusal::of_state(&code)) == Some(Refusal::Row)
    }
}

impl Sink for Table {
    fn name(&self) -> &str {
        NAME
    }

    fn keeps_position(&self) -> bool {
        true
    }

    fn position(&mut self) -> Deed<'_, Result<Option<Position>, SinkError>> {
        Box::pin(async {
            let open = self.open().await.map_err(told)?;
            let journal = open.1;
            stored(&mut open.0.connection, journal).await.map_err(told)
        })
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let done = match timeout(BATCH, self.store(entries, after)).await {
                Ok(done) => done,
                Err(_) => Err(Trouble::Late(BATCH)),
            };
            if done.is_err() {
                // The next try begins with a fresh connection.
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

impl Table {
    pub(super) const fn new(settings: Arc<Settings>, journal: String) -> Self {
        Self { settings, journal, open: None }
    }

    async fn open(&mut self) -> Result<(&mut Open, &str), Trouble> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let within = self.settings.connect_timeout;
                timeout(within, connect(&self.settings))
                    .await
                    .map_err(|_| Trouble::Late(within))??
            }
        };
        Ok((self.open.insert(open), &self.journal))
    }

    async fn store(
        &mut self,
        entries: &[(Position, Entry)],
        after: Position,
    ) -> Result<(), Trouble> {
        let settings = Arc::clone(&self.settings);
        let (Open { connection, types }, journal) = self.open().await?;
        let batch = Batch { settings: &settings, types, journal, entries, after };
        match batch.store(connection, None).await {
            Err(trouble) if trouble.is_about_a_row() => {
                // One of them: each is tried by itself, and those that are refused are filed.
                let mut refused = Vec::new();
                batch.store(connection, Some(&mut refused)).await
            }
            done => done,
        }
    }
}

async fn connect(settings: &Settings) -> Result<Open, Trouble> {
    let mut connection = settings.connect.connect().await?;
    // Stamps are local times without a zone; the library would have them read as UTC.
    let zone = sql::literal(&switch_core::clock::zone_name());
    let zone = format!("SET TIME ZONE {zone}; SET standard_conforming_strings = on");
    sqlx::raw_sql(AssertSqlSafe(zone)).execute(&mut connection).await?;
    migrate(&mut connection).await?;
    let create = sql::create(&settings.table, &settings.fields);
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(sql::name(&settings.table))
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
    }
    let types = types(&mut connection, settings).await?;
    Ok(Open { connection, types })
}

/// Brings the tables beside the rows up to date.
async fn migrate(connection: &mut PgConnection) -> Result<(), Trouble> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(sql::LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql(sql::VERSIONS).execute(&mut *transaction).await?;
    let done: Option<i32> = sqlx::query_scalar("SELECT max(version) FROM switch_migrations")
        .fetch_one(&mut *transaction)
        .await?;
    for (version, statements) in (1i32..).zip(sql::MIGRATIONS) {
        if version > done.unwrap_or(0) {
            sqlx::raw_sql(statements).execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO switch_migrations (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *transaction)
                .await?;
            tracing::info!("{NAME}: the database was brought to version {version}");
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// What each field's column is, as SQL names it: without its length, to which a cast would cut a text. One that is too long
/// is refused instead. (-1 and not NULL: with that, `char(n)` would be `character`, which is one character.)
async fn types(connection: &mut PgConnection, settings: &Settings) -> Result<Vec<String>, Trouble> {
    let rows: Vec<PgRow> = sqlx::query(
        "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    )
    .bind(sql::name(&settings.table))
    .fetch_all(connection)
    .await?;
    let mut types = Vec::new();
    for field in &settings.fields {
        let kind = rows.iter().find_map(|row| {
            let name: String = row.try_get(0).ok()?;
            // The reference does not quote columns, so the database folds their case.
            let own = name == field.column || name == field.column.to_lowercase();
            own.then(|| row.try_get::<String, _>(1).ok())?
        });
        let missing = || Trouble::NoColumn(settings.table.clone(), field.column.clone());
        types.push(kind.ok_or_else(missing)?);
    }
    Ok(types)
}

/// Where the database's knowledge of a journal ends.
async fn stored(connection: &mut PgConnection, journal: &str) -> Result<Option<Position>, Trouble> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "SELECT segment, position FROM journal_position WHERE journal = $1 AND sink = $2 FOR UPDATE",
    )
    .bind(journal)
    .bind(NAME)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(segment, offset)| Position {
        segment: segment.unsigned_abs(),
        offset: offset.unsigned_abs(),
    }))
}

/// Entries on their way into the database.
struct Batch<'a> {
    settings: &'a Settings,
    types: &'a [String],
    journal: &'a str,
    entries: &'a [(Position, Entry)],
    after: Position,
}

impl Batch<'_> {
    /// Stores the batch in one transaction. With `refused`, row by row: those the database refuses are filed.
    async fn store(
        &self,
        connection: &mut PgConnection,
        refused: Option<&mut Vec<Vec<String>>>,
    ) -> Result<(), Trouble> {
        let mut transaction = connection.begin().await?;
        let known = stored(&mut transaction, self.journal).await?.unwrap_or_default();
        let entries: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|(position, _)| *position > known)
            .map(|(_, entry)| entry)
            .collect();
        let rows: Vec<&Vec<String>> = entries
            .iter()
            .flat_map(|entry| &entry.lines)
            .filter(|line| line.sink == NAME && line.values.len() == self.settings.fields.len())
            .map(|line| &line.values)
            .collect();
        match refused {
            None if rows.is_empty() => {}
            None => self.insert(&mut transaction, &rows).await?,
            Some(refused) => {
                for row in rows {
                    let mut savepoint = transaction.begin().await?;
                    match self.insert(&mut savepoint, &[row]).await {
                        Ok(()) => savepoint.commit().await?,
                        Err(trouble) if trouble.is_about_a_row() => {
                            savepoint.rollback().await?;
                            tracing::error!(
                                fs_level = "CRIT",
                                "{NAME}: a row is filed, not stored: {trouble}"
                            );
                            refused.push(row.clone());
                        }
                        Err(trouble) => return Err(trouble),
                    }
                }
                if !refused.is_empty() {
                    spool::append(self.settings, refused)?;
                }
            }
        }
        let calls: Vec<Logged> = entries
            .iter()
            .filter(|entry| entry.record.a_leg)
            .map(|entry| Logged::of(&entry.record))
            .collect();
        if !calls.is_empty() {
            log_calls(&mut transaction, &calls).await?;
        }
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO journal_position (journal, sink, segment, position) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (journal, sink) DO UPDATE SET segment = $3, position = $4",
        )
        .bind(self.journal)
        .bind(NAME)
        .bind(number(self.after.segment))
        .bind(number(self.after.offset))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn insert(
        &self,
        connection: &mut PgConnection,
        rows: &[&Vec<String>],
    ) -> Result<(), Trouble> {
        let Settings { table, fields, .. } = self.settings;
        let statement = sql::insert(table, fields, self.types, rows.len());
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for row in rows {
            for (field, value) in fields.iter().zip(row.iter()) {
                // A text cannot hold NUL there.
                let value = value.replace('\0', "");
                query = query.bind((field.not_null || !value.is_empty()).then_some(value));
            }
        }
        query.execute(connection).await?;
        Ok(())
    }
}

async fn log_calls(connection: &mut PgConnection, calls: &[Logged]) -> Result<(), Trouble> {
    let clean = |text: &str| text.replace('\0', "");
    let mut query = sqlx::query(AssertSqlSafe(sql::call_logs(calls.len())));
    for logged in calls {
        query = query
            .bind(clean(&logged.call_id))
            .bind(clean(&logged.from))
            .bind(clean(&logged.to))
            .bind(clean(&logged.status))
            .bind(logged.start_us.map(|at| at as f64 / 1e6))
            .bind(logged.end_us.map(|at| at as f64 / 1e6))
            .bind(i32::try_from(logged.seconds).unwrap_or(i32::MAX))
            .bind(logged.recording.as_deref().map(clean));
    }
    query.execute(connection).await?;
    Ok(())
}
