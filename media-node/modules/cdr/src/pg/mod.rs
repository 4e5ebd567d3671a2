//! mod_cdr_pg_csv: a row per call in PostgreSQL, in the columns its `<schema>` names, and one in `call_logs`.
//!
//! The reference inserts while the call ends and files what fails. Here rows come from the journal in batches: rows and the
//! position they were read from are stored in one transaction, so that each record is there once, whatever happens to
//! either side ([`sink`]). A row the database refuses for its content is filed in `spool-dir`, as there ([`spool`]).

mod settings;
mod sink;
mod spool;
pub(crate) mod sql;

use std::path::Path;
use std::sync::Arc;

use esl_server::CallControl as _;
use esl_server::event::Format;
use records::record::Line;
use records::{Entry, Journal, Sink};
use switch_core::call::Channel;
use switch_core::call::control::Control;
use switch_core::switch::Switch;

use super::record::Recorder;
use settings::Settings;

const NAME: &str = "mod_cdr_pg_csv";

/// The module's two halves; `None`, with the reason logged, if its settings cannot be used.
pub(super) async fn make(
    switch: &Arc<Switch>,
    journal: &Arc<Journal>,
) -> Option<(Arc<dyn Recorder>, Box<dyn Sink>)> {
    let config = switch.config.load_full();
    let conf = config.document("cdr_pg_csv.conf");
    let settings = Settings::read(conf, &switch.dirs.log_dir)
        .inspect_err(|error| tracing::error!("cdr_pg_csv.conf: {error}"))
        .ok()?;
    let identity = crate::journal_identity(journal, NAME).await?;
    let settings = Arc::new(settings);
    let sink = sink::Table::new(Arc::clone(&settings), identity);
    Some((Arc::new(Rows { settings }), Box::new(sink)))
}

/// Where the rows are: data source name, table, and the column that says when a call began, if one does.
pub(crate) fn place(
    conf: dialplan_xml::Node<'_>,
    log_dir: &Path,
) -> Result<(String, String, Option<String>), database::conninfo::Invalid> {
    let settings = Settings::read(Some(conf), log_dir)?;
    let column = |stamp: &str| {
        let field = settings.fields.iter().find(|field| field.variable == stamp);
        field.map(|field| field.column.clone())
    };
    let column = column("start_stamp").or_else(|| column("end_stamp"));
    let name = match settings.info.contains("://") {
        true => settings.info,
        false => format!("pgsql://{}", settings.info),
    };
    Ok((name, settings.table, column))
}

struct Rows {
    settings: Arc<Settings>,
}

impl Rows {
    /// Adds the call's row to the entry, if this leg is wanted.
    fn add(&self, channel: &Arc<Channel>, entry: &mut Entry) {
        let a_leg = channel.with(|data| data.originator_profile.is_none());
        if !self.settings.legs.want(a_leg) {
            return;
        }
        if self.settings.debug {
            let event = Control(Arc::clone(channel)).channel_data();
            let text = event.message(Format::Plain);
            tracing::info!("CHANNEL_DATA:\n{}", String::from_utf8_lossy(&text));
        }
        let value = |name: &str| match name {
            "bleg_uuid" => channel.field("bleg_uuid").unwrap_or_default(),
            name => channel.var(name).unwrap_or_default(),
        };
        let values = self.settings.fields.iter().map(|field| value(&field.variable)).collect();
        entry.lines.push(Line { sink: NAME.into(), target: String::new(), values });
        entry.sinks.push(NAME.into());
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

    fn rotate(&self) {
        if self.settings.rotate_on_hup {
            spool::rotate(&self.settings);
        }
    }
}
