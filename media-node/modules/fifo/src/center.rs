//! The fifos of a switch: their state behind its lock, the file, the clock of members, and what is written behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::Database;
use parking_lot::{Mutex, RwLock};
use switch_core::call::{Cause, Channel};
use switch_core::contract::NotLoaded;
use switch_core::switch::Switch;
use switch_core::{clock, xml};
use tokio::task::JoinHandle;

use crate::settings::{Conf, MANUAL, Settings, Strategy};
use crate::state::{State, Waiting};
use crate::{events, members, store};

pub(crate) const FILE: &str = "fifo.conf";
/// Nothing is kept beyond the run.
const IN_MEMORY: &str = ":memory:";
/// How often members are looked for.
const TURN: Duration = Duration::from_secs(1);
/// How often what changed is written.
const WRITE: Duration = Duration::from_millis(250);

/// A slot of the switch.
#[derive(Default)]
pub(crate) struct Fifos {
    pub(crate) state: Mutex<State>,
    pub(crate) settings: RwLock<Settings>,
    running: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    database: RwLock<Option<Database>>,
}

/// What a leg is to a fifo.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// It waits as a caller.
    pub(crate) waits: bool,
    /// A consumer who hears music until a caller comes.
    pub(crate) idles: bool,
    /// A consumer in a call: its key that ends it.
    pub(crate) talks: Option<char>,
    /// It is tracked as a manual call: whose.
    pub(crate) tracked: Option<String>,
    /// A tracked call is bridged.
    pub(crate) manual_bridge: bool,
}

pub(crate) fn of(switch: &Switch) -> Arc<Fifos> {
    switch.module::<Fifos>()
}

/// Local time, as variables have it.
pub(crate) fn stamp() -> String {
    clock::local_stamp(clock::now_us())
}

async fn configuration(switch: &Arc<Switch>) -> Option<Conf> {
    let read =
        xml::read_configuration(switch, FILE, None, |node| node.map(Conf::read)).await.ok()?;
    if read.is_none() {
        tracing::error!("Open of {FILE} failed");
    }
    read
}

/// The name of this switch in rows of members.
pub(crate) fn hostname(switch: &Switch) -> String {
    switch.global("switchname").or_else(|| switch.global("hostname")).unwrap_or_default()
}

impl Fifos {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) async fn load(&self, switch: &Arc<Switch>) -> Result<(), NotLoaded> {
        let conf = configuration(switch).await.ok_or(NotLoaded)?;
        let database = self.open_tables(switch, &conf.settings).await?;
        *self.database.write() = database;
        let mut state = self.state.lock();
        state.strategy = conf.settings.strategy;
        state.delete_members(conf.settings.delete_members_on_startup);
        state.make(MANUAL, 0);
        for fifo in &conf.fifos {
            state.configure(fifo, &hostname(switch));
            tracing::info!("{} configured", fifo.name);
        }
        drop(state);
        *self.settings.write() = conf.settings;
        Ok(())
    }

    async fn open_tables(
        &self,
        switch: &Switch,
        settings: &Settings,
    ) -> Result<Option<Database>, NotLoaded> {
        *self.state.lock() = State::default();
        if settings.dsn == IN_MEMORY {
            return Ok(None);
        }
        let opened = async {
            let database = store::open(&settings.dsn, &switch.dirs.db_dir).await?;
            let members = store::members(&database).await?;
            Ok::<_, database::Error>((database, members))
        };
        let (database, members) = opened.await.map_err(|error| {
            tracing::error!(fs_level = "CRIT", "Cannot open DB! {FILE}: {error}");
            NotLoaded
        })?;
        let mut state = self.state.lock();
        members.into_iter().for_each(|member| state.add_member(member));
        Ok(Some(database))
    }

    /// `fifo reparse`: fifos of the file that are not in it any more go, callers and all.
    pub(crate) async fn reparse(&self, switch: &Arc<Switch>, delete_all: bool) {
        let Some(conf) = configuration(switch).await else { return };
        let gone = {
            let mut state = self.state.lock();
            state.strategy = conf.settings.strategy;
            state.delete_members(delete_all);
            let configured = |name: &str| conf.fifos.iter().any(|fifo| fifo.name == name);
            let old = state.ordered().into_iter().filter(|n| n.is_static && !configured(&n.name));
            let old: Vec<_> = old.map(|node| node.name.clone()).collect();
            for fifo in &conf.fifos {
                state.configure(fifo, &hostname(switch));
            }
            old.iter().filter_map(|name| state.remove(name)).collect::<Vec<_>>()
        };
        for node in gone {
            tracing::info!(fs_level = "NOTICE", "{} removed.", node.name);
            for waiting in node.slots.iter().flatten() {
                if let Waiting::Call(uuid) = waiting
                    && let Some(channel) = switch.channel(uuid)
                {
                    channel.hangup(Cause::MANAGER_REQUEST);
                }
            }
        }
        *self.settings.write() = conf.settings;
    }

    pub(crate) fn start(self: &Arc<Self>, switch: &Arc<Switch>) {
        if self.running.swap(true, Ordering::Relaxed) {
            return;
        }
        let (own, owner) = (Arc::clone(self), Arc::clone(switch));
        let clock = tokio::spawn(async move {
            loop {
                tokio::time::sleep(TURN).await;
                let turn = async { members::look_for_members(&owner, &own) };
                switch_core::tasks::step("fifo members", turn).await;
            }
        });
        self.tasks.lock().push(clock);
        if self.database.read().is_some() {
            let (own, owner) = (Arc::clone(self), Arc::clone(switch));
            self.tasks.lock().push(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(WRITE).await;
                    own.write(&owner).await;
                }
            }));
        }
    }

    pub(crate) async fn stop(&self, switch: &Switch) {
        self.running.store(false, Ordering::Relaxed);
        self.tasks.lock().drain(..).for_each(|task| task.abort());
        // Those who wait are let go, as after a key of theirs.
        for (_, uuid) in self.state.lock().callers() {
            if let Some(channel) = switch.channel(&uuid) {
                channel.break_media();
            }
        }
        self.write(switch).await;
        *self.database.write() = None;
    }

    async fn write(&self, switch: &Switch) {
        let statements = {
            let mut state = self.state.lock();
            store::statements(switch, &mut state)
        };
        let database = self.database.read().clone();
        let (Some(database), false) = (database, statements.is_empty()) else { return };
        if let Err(error) = database.execute_all(statements).await {
            tracing::error!("The tables of mod_fifo: {error}");
        }
    }

    /// Wakes consumers who hear music: a caller has come.
    pub(crate) fn wake_consumers(&self, switch: &Switch, fifo: &str) {
        let consumers = match self.state.lock().node(fifo) {
            Some(node) => node.consumers.clone(),
            None => return,
        };
        for uuid in consumers {
            if let Some(channel) = switch.channel(&uuid)
                && channel.with(|data| data.slot::<Part>().idles)
            {
                channel.break_media();
            }
        }
    }

    /// Tells how many wait, and stops calls to members that are not needed any more.
    pub(crate) fn settled(&self, switch: &Switch, fifo: &str) {
        let state = self.state.lock();
        events::presence(switch, &state, fifo);
        let needless = state.node(fifo).is_some_and(|node| {
            node.strategy == Strategy::Enterprise && node.ringing > 0 && node.waiting() == 0
        });
        drop(state);
        if needless {
            hang_up_where(switch, "fifo_hangup_check", fifo, Cause::ORIGINATOR_CANCEL);
        }
    }

    /// Takes a caller out, and tells those behind where they are now.
    pub(crate) fn take_out(&self, switch: &Switch, fifo: &str, uuid: &str) {
        let moved = self.state.lock().take_out(fifo, uuid);
        note_places(switch, moved);
    }

    /// Forgets a fifo that is not needed any more (`fifo_destroy_after_use`).
    pub(crate) fn destroy_if_unused(&self, channel: &Channel, fifos: &[String]) {
        if !channel.is_true("fifo_destroy_after_use") {
            return;
        }
        let mut state = self.state.lock();
        for fifo in fifos {
            let unused = |node: &crate::state::Node| {
                node.ready == 1 && node.waiting() == 0 && node.consumers.is_empty()
            };
            if state.node(fifo).is_some_and(unused) {
                state.remove(fifo);
            }
        }
    }
}

/// Places of callers who moved up.
pub(crate) fn note_places(switch: &Switch, moved: Vec<(Arc<str>, usize)>) {
    for (uuid, place) in moved {
        if let Some(channel) = switch.channel(&uuid) {
            channel.set_var("fifo_position", place.to_string());
        }
    }
}

/// Hangs up legs with that variable.
pub(crate) fn hang_up_where(switch: &Switch, variable: &str, value: &str, cause: Cause) {
    for channel in switch.channels() {
        if channel.own_var(variable).as_deref() == Some(value) {
            channel.hangup(cause);
        }
    }
}
