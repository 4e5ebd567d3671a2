//! Call records on their way out: mod_cdr_csv, mod_cdr_pg_csv, mod_cdr_sqlite, mod_format_cdr, mod_json_cdr, mod_odbc_cdr,
//! mod_webhook, mod_xml_cdr.
//!
//! When a call has ended its record goes into the journal, with the names of the modules that want it; each module has
//! a sink that receives it from there. A web server or a disk in trouble delays records, never calls.

mod active;
mod csv;
mod declared;
mod deliveries;
mod format;
pub mod keeping;
mod logged;
mod nested;
mod odbc;
mod parameters;
mod pg;
mod post;
mod record;
mod settings;
mod sqlite;
mod webhook;

use std::sync::Arc;

use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::contract::{CallObserver, Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;

use deliveries::Records;

/// The modules of this folder.
pub const MODULES: &[&dyn Module] = &[
    &Cdr("mod_cdr_csv"),
    &Cdr("mod_cdr_pg_csv"),
    &Cdr("mod_cdr_sqlite"),
    &Cdr("mod_format_cdr"),
    &Cdr("mod_json_cdr"),
    &Cdr("mod_odbc_cdr"),
    &Cdr("mod_webhook"),
    &Cdr("mod_xml_cdr"),
];

/// A module that receives call records.
struct Cdr(&'static str);

impl Module for Cdr {
    fn name(&self) -> &'static str {
        self.0
    }

    /// Only with a configuration file of its own: no record files appear unasked.
    fn is_default(&self, switch: &Switch) -> bool {
        let file = format!("{}.conf", self.0.trim_start_matches("mod_"));
        switch.config.load().tree.configuration(&file).is_some()
    }

    /// One of them is told of every call that ends, for all.
    fn provides(&self) -> Provides {
        match self.0 {
            "mod_cdr_sqlite" => Provides { parameters: parameters::SQLITE, ..Provides::NOTHING },
            "mod_format_cdr" => Provides { parameters: parameters::FORMAT, ..Provides::NOTHING },
            "mod_json_cdr" => Provides { parameters: parameters::JSON, ..Provides::NOTHING },
            "mod_odbc_cdr" => Provides {
                parameters: parameters::ODBC,
                variables: &[declared::ODBC],
                ..Provides::NOTHING
            },
            "mod_webhook" => Provides { parameters: parameters::WEBHOOK, ..Provides::NOTHING },
            "mod_xml_cdr" => Provides { parameters: parameters::XML, ..Provides::NOTHING },
            "mod_cdr_csv" => Provides {
                observers: &[&Ends],
                parameters: parameters::CSV,
                variables: &[declared::VARIABLES],
                readings: &[|switch| switch.module::<Records>().readings()],
                ..Provides::NOTHING
            },
            "mod_cdr_pg_csv" => Provides { parameters: parameters::PG, ..Provides::NOTHING },
            _ => Provides::NOTHING,
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(start(switch, self.0))
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // One of them asks all.
            if change == Change::Hangup && self.0 == "mod_cdr_csv" {
                let records = switch.module::<Records>();
                let _rotated = tokio::task::spawn_blocking(move || records.rotate()).await;
            }
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move { switch.module::<Records>().remove(self.0).await })
    }
}

/// Sees calls end.
struct Ends;

impl CallObserver for Ends {
    fn bridged(&self, channel: &Channel) {
        nested::expect(channel);
    }

    fn reported<'a>(&'a self, channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            nested::hand_over(channel);
            nested::wait(channel).await;
            channel.switch().module::<Records>().report(channel).await;
        })
    }

    fn document(&self, channel: &Channel) -> Option<String> {
        channel
            .is_true("hangup_complete_with_xml")
            .then(|| ::records::xml::element(&record::of(channel)))
    }
}

/// Names this switch's journal among those that fill the same database. Made once, kept beside the journal. `None`, with
/// the reason logged, if it can be neither read nor written.
async fn journal_identity(journal: &records::Journal, module: &str) -> Option<String> {
    let file = journal.cursor_path("journal").with_extension("id");
    let read_or_made = move || match std::fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => {
            let made = switch_core::clock::new_uuid();
            std::fs::write(&file, &made).map(|()| made)
        }
    };
    tokio::task::spawn_blocking(read_or_made)
        .await
        .ok()?
        .inspect_err(|error| tracing::error!("{module}: the journal's identity: {error}"))
        .ok()
}

/// Has the module read its settings and receive records from now on.
async fn start(switch: &Arc<Switch>, name: &'static str) -> Result<(), NotLoaded> {
    let records = switch.module::<Records>();
    records.remove(name).await;
    let journal = records.journal(&switch.dirs.db_dir).map_err(|error| {
        tracing::error!("{name}: {error}");
        NotLoaded
    })?;
    let (recorder, sink) = match name {
        "mod_cdr_csv" => csv::make(switch, &journal),
        "mod_cdr_pg_csv" => pg::make(switch, &journal).await.ok_or(NotLoaded)?,
        "mod_cdr_sqlite" => sqlite::make(switch),
        "mod_format_cdr" => format::make(switch).ok_or(NotLoaded)?,
        "mod_odbc_cdr" => odbc::make(switch, &journal).await.ok_or(NotLoaded)?,
        "mod_webhook" => webhook::make(switch).ok_or(NotLoaded)?,
        _ => post::make(switch, name).ok_or(NotLoaded)?,
    };
    records.add(name, recorder, &journal, sink);
    if let Some(keeper) = keeper(switch, name) {
        records.keep(name, tokio::spawn(keeper).abort_handle());
    }
    if let Some(task) = shown(switch, name) {
        records.show(name, task).await;
    }
    Ok(())
}

/// What removes a module's old records, where its settings say how long they are kept.
fn keeper(switch: &Arc<Switch>, name: &str) -> Option<impl Future<Output = ()> + use<>> {
    let (source, days) = of_database(switch, name, |conf| keeping::keep_days(Some(conf)))?;
    Some(keeping::keep(source, days))
}

/// What keeps `active_calls` in a module's database, where its settings ask for it.
fn shown(switch: &Arc<Switch>, name: &'static str) -> Option<active::Task> {
    let (source, ()) =
        of_database(switch, name, |conf| keeping::shows_active_calls(conf).then_some(()))?;
    Some(active::Task::start(switch, name, source.data_source().to_owned()))
}

/// The database of a module, and what is read from its settings.
fn of_database<T>(
    switch: &Switch,
    name: &str,
    read: impl FnOnce(dialplan_xml::Node<'_>) -> Option<T>,
) -> Option<(keeping::Source, T)> {
    let config = switch.config.load_full();
    let conf = config.document(&format!("{}.conf", name.trim_start_matches("mod_")))?;
    let read = read(conf)?;
    let dirs = &switch.dirs;
    let source = match name {
        "mod_cdr_sqlite" => keeping::Source::sqlite(conf, &dirs.db_dir, &dirs.log_dir),
        "mod_cdr_pg_csv" => keeping::Source::postgres(conf, &dirs.log_dir).ok()?,
        _ => return None,
    };
    Some((source, read))
}
