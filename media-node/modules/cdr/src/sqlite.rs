//! mod_cdr_sqlite: a row per call. A row and the position it was read from are stored in one transaction, so that a
//! record is there once, whatever happens in between.
//!
//! A template is a list of values (`"${caller_id_name}","${uuid}"`); each is bound as a parameter, so that nothing a
//! far end says is read as SQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use records::csv;
use records::delivery::Deed;
use records::record::Line;
use records::{Entry, Position, Sink, SinkError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::active;
use super::logged::Logged;
use super::record::Recorder;
use super::settings::Templates;
use switch_core::call::Channel;
use switch_core::host;
use switch_core::switch::Switch;

const NAME: &str = "mod_cdr_sqlite";

/// Columns of the reference's default table.
const COLUMNS: &str = "caller_id_name VARCHAR, caller_id_number VARCHAR, destination_number VARCHAR, context VARCHAR, \
     start_stamp DATETIME, answer_stamp DATETIME, end_stamp DATETIME, duration INTEGER, billsec INTEGER, \
     hangup_cause VARCHAR, uuid VARCHAR, bleg_uuid VARCHAR, accountcode VARCHAR";

/// Rows of one statement: the number of values in one is bounded.
const ROWS: usize = 32;

const POSITION: &str =
    "CREATE TABLE IF NOT EXISTS journal_position (sink VARCHAR PRIMARY KEY, position VARCHAR)";

/// One row per answered or failed call, as dashboards of menus and agents read it.
const CALL_LOGS: &str = "CREATE TABLE IF NOT EXISTS call_logs (call_id VARCHAR PRIMARY KEY, from_number VARCHAR, \
     to_number VARCHAR, status VARCHAR, start_time DATETIME, end_time DATETIME, duration INTEGER, recording_url VARCHAR)";

/// The module's two halves.
pub(super) fn make(switch: &Arc<Switch>) -> (Arc<dyn Recorder>, Box<dyn Sink>) {
    let config = switch.config.load_full();
    let conf = config.document("cdr_sqlite.conf");
    let settings = Templates::read(conf, &switch.dirs.log_dir);
    let file = file(&settings, &switch.dirs.db_dir, &switch.dirs.log_dir);
    let sink = Table { file, table: settings.table.clone(), open: None };
    (Arc::new(Rows { settings }), Box::new(sink))
}

/// The file these settings name.
pub(crate) fn file(settings: &Templates, db_dir: &Path, log_dir: &Path) -> PathBuf {
    if settings.base == log_dir.join("cdr-csv") {
        return database(db_dir, Path::new("cdr"));
    }
    database(db_dir, &settings.base)
}

/// `db-name` as a file: a name lies in the folder of databases, a path is a path.
fn database(folder: &Path, name: &Path) -> PathBuf {
    if name.is_absolute() || name.extension().is_some() {
        folder.join(name)
    } else {
        folder.join(name).with_extension("db")
    }
}

struct Rows {
    settings: Templates,
}

impl Recorder for Rows {
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()> {
        Box::pin(async move {
            let a_leg = channel.with(|data| data.originator_profile.is_none());
            if !self.settings.legs.want(a_leg) {
                return;
            }
            let account = channel.lookup("accountcode").unwrap_or_default();
            let mut values = Vec::new();
            for column in csv::columns(self.settings.of_account(&account)) {
                values.push(match column.as_str() {
                    "${bleg_uuid}" => channel.field("bleg_uuid").unwrap_or_default(),
                    column => {
                        let switch = channel.switch();
                        let value = host::expand_for(switch, Some(channel), column).await;
                        base::far::into_plain(value)
                    }
                });
            }
            entry.lines.push(Line { sink: NAME.into(), target: String::new(), values });
            entry.sinks.push(NAME.into());
        })
    }
}

struct Table {
    file: PathBuf,
    table: String,
    open: Option<SqliteConnection>,
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
            let connection = self.connection().await.map_err(told)?;
            let row = sqlx::query("SELECT position FROM journal_position WHERE sink = ?")
                .bind(NAME)
                .fetch_optional(connection)
                .await
                .map_err(told)?;
            Ok(row.and_then(|row| row.try_get::<String, _>(0).ok()?.parse().ok()))
        })
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let done = self.store(entries, after).await;
            if done.is_err() {
                // The next try begins with a fresh connection.
                self.open = None;
            }
            done.map_err(told)
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: sqlx::Error) -> SinkError {
    SinkError(error.to_string())
}

impl Table {
    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let fresh = match self.open.take() {
            Some(open) => open,
            None => {
                if let Some(folder) = self.file.parent() {
                    tokio::fs::create_dir_all(folder).await?;
                }
                let mut fresh = SqliteConnectOptions::new()
                    .filename(&self.file)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(Duration::from_secs(5))
                    .disable_statement_logging()
                    .connect()
                    .await?;
                let table =
                    format!("CREATE TABLE IF NOT EXISTS {} ({COLUMNS})", self.name_of_table());
                sqlx::query(AssertSqlSafe(table)).execute(&mut fresh).await?;
                sqlx::query(POSITION).execute(&mut fresh).await?;
                sqlx::query(CALL_LOGS).execute(&mut fresh).await?;
                sqlx::query(active::TABLE_SQLITE).execute(&mut fresh).await?;
                sqlx::query(active::EXTENSIONS).execute(&mut fresh).await?;
                fresh
            }
        };
        Ok(self.open.insert(fresh))
    }

    /// The administrator's word, quoted.
    fn name_of_table(&self) -> String {
        format!("\"{}\"", self.table.replace('"', "\"\""))
    }

    async fn store(
        &mut self,
        entries: &[(Position, Entry)],
        after: Position,
    ) -> Result<(), sqlx::Error> {
        let table = self.name_of_table();
        let connection = self.connection().await?;
        let mut transaction = connection.begin().await?;
        let lines: Vec<&Line> = entries
            .iter()
            .flat_map(|(_, entry)| &entry.lines)
            .filter(|line| line.sink == NAME)
            .collect();
        // Rows of one template follow each other: one statement for all of them.
        for rows in lines.chunk_by(|one, next| one.values.len() == next.values.len()) {
            for rows in rows.chunks(ROWS) {
                let marks = vec!["?"; rows.first().map_or(0, |row| row.values.len())].join(", ");
                let marks = vec![format!("({marks})"); rows.len()].join(", ");
                let statement = format!("INSERT INTO {table} VALUES {marks}");
                let mut query = sqlx::query(AssertSqlSafe(statement));
                for value in rows.iter().flat_map(|row| &row.values) {
                    query = query.bind(value);
                }
                query.execute(&mut *transaction).await?;
            }
        }
        let calls: Vec<&Entry> =
            entries.iter().map(|(_, entry)| entry).filter(|entry| entry.record.a_leg).collect();
        for calls in calls.chunks(ROWS) {
            log_calls(&mut transaction, calls).await?;
        }
        sqlx::query("INSERT OR REPLACE INTO journal_position (sink, position) VALUES (?, ?)")
            .bind(NAME)
            .bind(after.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

/// A row of `call_logs` for each of them.
async fn log_calls(
    connection: &mut SqliteConnection,
    entries: &[&Entry],
) -> Result<(), sqlx::Error> {
    let marks = vec!["(?, ?, ?, ?, ?, ?, ?, ?)"; entries.len()].join(", ");
    let statement = format!(
        "INSERT OR REPLACE INTO call_logs (call_id, from_number, to_number, status, start_time, end_time, duration, \
         recording_url) VALUES {marks}"
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for entry in entries {
        let logged = Logged::of(&entry.record);
        let stamp = |name: &str| entry.record.variable(name).unwrap_or_default().to_owned();
        query = query
            .bind(logged.call_id)
            .bind(logged.from)
            .bind(logged.to)
            .bind(logged.status)
            .bind(stamp("start_stamp"))
            .bind(stamp("end_stamp"))
            .bind(logged.seconds)
            .bind(logged.recording);
    }
    query.execute(connection).await?;
    Ok(())
}
