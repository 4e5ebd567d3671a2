//! mod_odbc_cdr: rows in the tables and columns that `odbc_cdr.conf` names, in PostgreSQL or SQLite.
//!
//! The reference inserts while the call ends; here rows come from the journal, each once ([`sink`]). ODBC's own names
//! (`DSN:USER:PASSWORD`) stand for what `odbc.ini` says of them; no driver is loaded.

mod row;
mod settings;
mod sink;

use std::sync::Arc;

use records::record::Line;
use records::{Entry, Journal, Sink};
use switch_core::call::Channel;
use switch_core::switch::Switch;

use super::record::Recorder;
use row::Row;
use settings::Settings;

const NAME: &str = "mod_odbc_cdr";

/// The module's two halves; `None`, with the reason logged, if its settings cannot be used.
pub(super) async fn make(
    switch: &Arc<Switch>,
    journal: &Arc<Journal>,
) -> Option<(Arc<dyn Recorder>, Box<dyn Sink>)> {
    let config = switch.config.load_full();
    let settings = Settings::read(config.document("odbc_cdr.conf"), &switch.dirs.log_dir);
    let (settings, db_dir) = (Arc::new(settings), switch.dirs.db_dir.clone());
    if let Err(error) = database::Database::check_name(&settings.database, &db_dir).await {
        tracing::error!("odbc_cdr.conf: {error}");
        return None;
    }
    let identity = crate::journal_identity(journal, NAME).await?;
    let sink = sink::Tables::new(Arc::clone(&settings), db_dir, identity);
    Some((Arc::new(Rows { settings }), Box::new(sink)))
}

struct Rows {
    settings: Arc<Settings>,
}

impl Rows {
    /// Adds the leg's rows to the entry.
    fn add(&self, channel: &Channel, entry: &mut Entry) {
        let a_leg = channel.with(|data| data.originator_profile.is_none());
        if !self.settings.legs.want(a_leg) || channel.is_true("odbc-cdr-ignore-leg") {
            return;
        }
        for table in self.settings.tables.iter().filter(|table| table.legs.want(a_leg)) {
            let row = Row::of(table, |name| match name {
                "bleg_uuid" => channel.field("bleg_uuid"),
                name => channel.var(name),
            });
            if self.settings.debug {
                tracing::debug!(uuid = %channel.uuid(), "sql {}", row.shown(&table.name));
            }
            if row.0.is_empty() {
                continue;
            }
            entry.lines.push(Line {
                sink: NAME.into(),
                target: table.name.clone(),
                values: row.into_values(),
            });
        }
        if entry.lines.iter().any(|line| line.sink == NAME) {
            entry.sinks.push(NAME.into());
        }
    }
}

impl Recorder for Rows {
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()> {
        self.add(channel, entry);
        Box::pin(std::future::ready(()))
    }
}
