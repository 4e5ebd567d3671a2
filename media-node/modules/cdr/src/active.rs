//! `active_calls`: the calls there are now, for dashboards that read the database of call records.
//!
//! Written behind: events only say which calls have changed, and twice a second those are written as they are then, all in
//! one transaction. Nothing of it is kept for a database that is away: when it is back, this node's rows are written anew
//! from the calls there are. So it is at the start, too, which takes away what a node that was killed left behind.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use database::{Arg, Database, Missing};
use esl_server::Subscription;
use esl_server::event::EventName;
use switch_core::call::{CallState, Channel};
use switch_core::clock;
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Events that may wait while the database is slow; what is lost has all rows written anew.
const QUEUE: usize = 4_096;
/// Changed calls that are written one by one at most; with more of them all rows are written anew.
const CHANGED: usize = 2_000;
/// What changes within so long is written together.
const PAUSE: Duration = Duration::from_millis(500);
/// Between tries to reach a database.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries in which the table may be missing without a word.
const TRIES: u32 = 10;
/// For one transaction.
const PATIENCE: Duration = Duration::from_secs(20);
/// For the rows to be taken away when the module goes.
const GOODBYE: Duration = Duration::from_secs(3);
/// Rows of one statement.
const ROWS: usize = 32;

/// Events after which a row is another one.
const EVENTS: [EventName; 5] = [
    EventName::ChannelCreate,
    EventName::ChannelAnswer,
    EventName::ChannelHold,
    EventName::ChannelUnhold,
    EventName::ChannelHangup,
];

/// The table, as PostgreSQL has it.
pub(crate) const TABLE_PG: &str = "CREATE TABLE active_calls (call_id varchar PRIMARY KEY, from_number varchar, to_number varchar, \
     status varchar NOT NULL, start_time timestamptz NOT NULL, answer_time timestamptz, node varchar NOT NULL)";

/// The table, as SQLite has it.
pub(crate) const TABLE_SQLITE: &str = "CREATE TABLE IF NOT EXISTS active_calls (call_id VARCHAR PRIMARY KEY, \
     from_number VARCHAR, to_number VARCHAR, status VARCHAR NOT NULL, start_time DATETIME NOT NULL, \
     answer_time DATETIME, node VARCHAR NOT NULL)";

/// Users that another program, or `seed_sip_users.sql`, keeps; read by `extensions-dsn` of `http_api.conf`. One that is
/// there already stays as it is.
pub(crate) const EXTENSIONS: &str = "CREATE TABLE IF NOT EXISTS extensions (extension varchar NOT NULL, \
     domain varchar NOT NULL DEFAULT '', password varchar, a1_hash varchar, caller_id_name varchar, \
     caller_id_number varchar, outbound_caller_id_name varchar, outbound_caller_id_number varchar, context varchar, \
     vm_password varchar, email varchar, accountcode varchar, toll_allow varchar, \
     enabled boolean NOT NULL DEFAULT true, PRIMARY KEY (extension, domain))";

/// What keeps the rows of one database. Ends, and takes its rows away, when it is told to.
pub(crate) struct Task {
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

impl Task {
    /// Starts to write the calls there are into the database of that data source name.
    pub(crate) fn start(switch: &Arc<Switch>, module: &'static str, name: String) -> Self {
        let (stop, stopped) = watch::channel(false);
        let writer = Writer {
            switch: Arc::clone(switch),
            module,
            name,
            folder: switch.dirs.db_dir.clone(),
            node: switch.name().to_string(),
            open: None,
            in_trouble: false,
            tries: 0,
        };
        Self { stop, done: tokio::spawn(writer.run(stopped)) }
    }

    /// Ends it. Its rows go, if the database takes part.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        if timeout(GOODBYE, &mut self.done).await.is_err() {
            self.done.abort();
        }
    }
}

/// One row.
#[derive(Debug, PartialEq)]
struct Row {
    call: String,
    from: String,
    to: String,
    status: &'static str,
    start_us: i64,
    answer_us: Option<i64>,
}

impl Row {
    /// The row of a leg as it is now; `None` where it has none: a B-leg, and one that has ended.
    fn of(channel: &Channel) -> Option<Self> {
        if !channel.is_up() {
            return None;
        }
        let answered = channel.is_answered();
        let call = channel.uuid().to_string();
        let start_us = channel.created();
        channel.with(|data| {
            if data.originator_profile.is_some() {
                return None;
            }
            // The number that was dialled first: where a transfer leads is for the record.
            let mut profiles = data.past_profiles.iter().chain(&data.profile);
            let answer_us =
                profiles.clone().map(|profile| profile.times.answered).find(|at| *at > 0);
            let first = profiles.next();
            let text = |text: &str| base::far::plain(text).into_owned();
            Some(Self {
                call,
                from: first.map(|first| text(&first.caller_id_number)).unwrap_or_default(),
                to: first.map(|first| text(&first.destination_number)).unwrap_or_default(),
                status: match (answered, data.call_state) {
                    (false, _) => "ringing",
                    (true, CallState::Held) => "held",
                    (true, _) => "answered",
                },
                start_us,
                answer_us: answer_us.filter(|_| answered),
            })
        })
    }
}

/// What has to be written.
#[derive(Default)]
struct Changed {
    all: bool,
    calls: HashSet<String>,
}

impl Changed {
    fn call(&mut self, uuid: &str) {
        if !self.all {
            self.calls.insert(uuid.to_owned());
            if self.calls.len() > CHANGED {
                self.all();
            }
        }
    }

    fn all(&mut self) {
        self.all = true;
        self.calls.clear();
    }

    fn is_something(&self) -> bool {
        self.all || !self.calls.is_empty()
    }
}

struct Writer {
    switch: Arc<Switch>,
    module: &'static str,
    /// Data source name; may hold a password.
    name: String,
    folder: PathBuf,
    node: String,
    open: Option<Database>,
    /// The log has said that the rows cannot be written.
    in_trouble: bool,
    /// How often the table was not there.
    tries: u32,
}

impl Writer {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut subscription = subscribe(&self.switch);
        let (mut lost, mut changed) = (0, Changed::default());
        changed.all();
        let mut write_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                () = sleep_until(write_at), if changed.is_something() => {
                    let now = std::mem::take(&mut changed);
                    write_at = Instant::now() + match self.write(&now).await {
                        Ok(()) => PAUSE,
                        Err(error) => {
                            self.failed(&error);
                            changed.all();
                            AGAIN
                        }
                    };
                }
                event = subscription.recv() => {
                    if let Some(event) = event {
                        if let Some(uuid) = event.get("Unique-ID") {
                            changed.call(&uuid);
                        }
                    } else {
                        subscription = subscribe(&self.switch);
                        lost = 0;
                        changed.all();
                    }
                    let now = subscription.lost();
                    if now != lost {
                        lost = now;
                        changed.all();
                    }
                    write_at = write_at.max(Instant::now());
                }
            }
        }
        if let Some(open) = &self.open {
            let statement = "DELETE FROM active_calls WHERE node = $1";
            if let Err(error) = open.execute(statement, vec![Arg::from(&self.node)]).await {
                tracing::warn!("{}: rows of active_calls stay: {error}", self.module);
            }
        }
    }

    fn failed(&mut self, error: &Trouble) {
        // The table is made by the module's sink, which is about to. One that stays away is told of.
        if let Trouble::Database(error) = error
            && error.missing() == Some(Missing::Table)
            && self.tries < TRIES
        {
            self.tries += 1;
            return;
        }
        self.open = None;
        if !std::mem::replace(&mut self.in_trouble, true) {
            tracing::error!(
                "{}: active_calls cannot be written, and is when the database is back: {error}",
                self.module
            );
        }
    }

    /// Writes what has changed, as it is now.
    async fn write(&mut self, changed: &Changed) -> Result<(), Trouble> {
        let open = match &self.open {
            Some(open) => open.clone(),
            None => {
                let opened = timeout(PATIENCE, Database::open(&self.name, &self.folder)).await;
                let opened = opened.map_err(|_| Trouble::Late)??;
                self.open.insert(opened).clone()
            }
        };
        let rows: Vec<Row> = if changed.all {
            self.switch.channels().iter().filter_map(|channel| Row::of(channel)).collect()
        } else {
            let channels = changed.calls.iter().filter_map(|uuid| self.switch.channel(uuid));
            channels.filter_map(|channel| Row::of(&channel)).collect()
        };
        let statements = statements(changed, &rows, &self.node, open.is_server());
        timeout(PATIENCE, open.execute_all(statements)).await.map_err(|_| Trouble::Late)??;
        if std::mem::take(&mut self.in_trouble) {
            let count = rows.len();
            tracing::info!("{}: active_calls is written again, {count} calls now", self.module);
        }
        Ok(())
    }
}

/// Why the rows are not written.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

fn subscribe(switch: &Switch) -> Subscription {
    let subscription = switch.bus.subscribe(QUEUE);
    EVENTS.into_iter().for_each(|name| subscription.listen(name));
    subscription
}

/// Brings the table to hold these rows, and none of the other calls that changed.
fn statements(
    changed: &Changed,
    rows: &[Row],
    node: &str,
    server: bool,
) -> Vec<(String, Vec<Arg>)> {
    let mut all = Vec::new();
    if changed.all {
        all.push(("DELETE FROM active_calls WHERE node = $1".to_owned(), vec![Arg::from(node)]));
    }
    let there: HashSet<&str> = rows.iter().map(|row| row.call.as_str()).collect();
    let ended: Vec<&String> =
        changed.calls.iter().filter(|call| !there.contains(call.as_str())).collect();
    for ended in ended.chunks(ROWS) {
        let marks: Vec<String> = (1..=ended.len()).map(|n| format!("${n}")).collect();
        let statement = format!("DELETE FROM active_calls WHERE call_id IN ({})", marks.join(", "));
        all.push((statement, ended.iter().map(|call| Arg::from(*call)).collect()));
    }
    for rows in rows.chunks(ROWS) {
        let (mut marks, mut arguments) = (Vec::new(), Vec::new());
        for row in rows {
            let n = arguments.len();
            // Always a text, so that a statement that is kept prepared goes on to fit.
            let time = |n: usize| match server {
                true => format!("to_timestamp(CAST(CAST(${n} AS text) AS double precision))"),
                false => format!("${n}"),
            };
            let (start, answer) = (time(n + 5), time(n + 6));
            marks.push(format!(
                "(${}, ${}, ${}, ${}, {start}, {answer}, ${})",
                n + 1,
                n + 2,
                n + 3,
                n + 4,
                n + 7
            ));
            let time = |at: i64| {
                Arg::Text(match server {
                    true => (at as f64 / 1e6).to_string(),
                    false => clock::local_stamp(at).chars().take(19).collect(),
                })
            };
            arguments.extend([
                Arg::from(&row.call),
                Arg::from(&row.from),
                Arg::from(&row.to),
                Arg::from(row.status),
                time(row.start_us),
                row.answer_us.map_or(Arg::Null, time),
                Arg::from(node),
            ]);
        }
        let statement = format!(
            "INSERT INTO active_calls (call_id, from_number, to_number, status, start_time, answer_time, node) \
             VALUES {} ON CONFLICT (call_id) DO UPDATE SET from_number = excluded.from_number, \
             to_number = excluded.to_number, status = excluded.status, start_time = excluded.start_time, \
             answer_time = excluded.answer_time, node = excluded.node",
            marks.join(", ")
        );
        all.push((statement, arguments));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(call: &str, answer_us: Option<i64>) -> Row {
        let status = if answer_us.is_some() { "answered" } else { "ringing" };
        Row {
            call: call.into(),
            from: "o'b'); --".into(),
            to: "100".into(),
            status,
            start_us: 1_700_000_000_250_000,
            answer_us,
        }
    }

    async fn stored(open: &Database) -> Vec<String> {
        let query = "SELECT call_id, status, coalesce(answer_time, '-') <> '-', node FROM active_calls ORDER BY call_id";
        let rows = open.rows(query, Vec::new()).await.expect("rows");
        let text = |row: &database::Row| (0..4).map(|n| row.text(n)).collect::<Vec<_>>().join(" ");
        rows.iter().map(text).collect()
    }

    #[tokio::test]
    async fn the_table_follows_calls_and_other_nodes_keep_theirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = Database::open("active", folder.path()).await.expect("a database");
        open.execute(TABLE_SQLITE, Vec::new()).await.expect("a table");
        let write = async |changed: &Changed, rows: &[Row], node: &str| {
            let done = open.execute_all(statements(changed, rows, node, false)).await;
            done.expect("written");
            stored(&open).await
        };
        let all = || Changed { all: true, calls: HashSet::new() };
        let some = |calls: &[&str]| Changed {
            all: false,
            calls: calls.iter().map(|&call| call.to_owned()).collect(),
        };
        let many: Vec<Row> = (0..70).map(|n| row(&format!("{n:02}"), None)).collect();
        assert_eq!(write(&all(), &many, "one").await.len(), 70);
        assert_eq!(write(&all(), &[row("x", Some(1))], "two").await.len(), 71);
        // A restart takes away what was left behind, and nothing of others.
        let left = write(&all(), &[row("00", None)], "one").await;
        assert_eq!(left, ["00 ringing 0 one", "x answered 1 two"]);
        let left = write(&some(&["00", "gone"]), &[row("00", Some(5))], "one").await;
        assert_eq!(left, ["00 answered 1 one", "x answered 1 two"]);
        assert_eq!(write(&some(&["00"]), &[], "one").await, ["x answered 1 two"]);
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let mut changed = Changed::default();
        assert!(!changed.is_something());
        (0..=CHANGED).for_each(|n| changed.call(&n.to_string()));
        assert!(changed.all && changed.calls.is_empty());
        changed.call("more");
        assert!(changed.calls.is_empty() && changed.is_something());
    }
}
