//! The call centre of a switch: the dispatcher behind its lock, its clock, and what is done about what it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use database::Database;
use parking_lot::{Mutex, RwLock};
use switch_core::call::{Cause, Channel};
use switch_core::contract::NotLoaded;
use switch_core::switch::Switch;
use switch_core::{clock, xml};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::dispatch::{AgentKey, CancelReason, Dispatcher, Output, Queue, Refused, Setup, TierKey};
use crate::settings::{AgentConf, Conf, Settings, TierConf};
use crate::{events, member, offer, store};

/// The file.
pub(crate) const FILE: &str = "callcenter.conf";
/// How often agents are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between looks at who has waited too long.
const WATCH_TICKS: u64 = 5;
/// Nothing is kept beyond the run (SQLite's name for a database in memory).
const IN_MEMORY: &str = ":memory:";
/// Changes are gathered that long before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// A database that refuses is asked again after that time.
const RETRY: Duration = Duration::from_secs(2);
/// Statements kept for a database that refuses; older state is lost beyond.
const MAX_KEPT: usize = 200_000;

/// A slot of the switch.
pub(crate) struct Center {
    pub(crate) dispatcher: Mutex<Dispatcher>,
    running: watch::Sender<bool>,
    /// Callers wait: the dispatcher's clock has to run.
    someone: Notify,
    /// There may be changes to write.
    changed: Notify,
    stale: AtomicBool,
    /// What changes is written to a database.
    keeps: AtomicBool,
    originate_timeout: AtomicU64,
    database: RwLock<Option<Database>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Queues that are being looked for.
    loading: Mutex<BTreeSet<Arc<str>>>,
}

impl Default for Center {
    fn default() -> Self {
        Self {
            dispatcher: Mutex::default(),
            running: watch::Sender::new(false),
            someone: Notify::new(),
            changed: Notify::new(),
            stale: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            originate_timeout: AtomicU64::new(60),
            database: RwLock::default(),
            tasks: Mutex::default(),
            loading: Mutex::default(),
        }
    }
}

/// The call centre of a switch.
pub(crate) fn of(switch: &Switch) -> Arc<Center> {
    switch.module::<Center>()
}

/// The file as it is now, from a binding or from disk; `queue` is told to bindings. `None` without one.
pub(crate) async fn configuration(switch: &Arc<Switch>, queue: Option<&str>) -> Option<Conf> {
    let fill = |event: &mut esl_server::event::Event| {
        if let Some(queue) = queue {
            event.push("CC-Queue", queue);
        }
    };
    let fill: Option<&(dyn Fn(&mut esl_server::event::Event) + Sync)> = match queue {
        Some(_) => Some(&fill),
        None => None,
    };
    let read =
        xml::read_configuration(switch, FILE, fill, |node| node.map(Conf::read)).await.ok()?;
    if read.is_none() {
        tracing::error!("Open of {FILE} failed");
    }
    read
}

impl Center {
    /// Runs something on the dispatcher, then does what it asks for.
    pub(crate) fn run<R>(
        self: &Arc<Self>,
        switch: &Arc<Switch>,
        work: impl FnOnce(&mut Dispatcher) -> R,
    ) -> R {
        let (result, outputs) = {
            let mut dispatcher = self.dispatcher.lock();
            let result = work(&mut dispatcher);
            if !self.keeps.load(Ordering::Relaxed) {
                dispatcher.forget_changes();
            } else if !self.stale.swap(true, Ordering::Relaxed) {
                self.changed.notify_one();
            }
            (result, dispatcher.outputs())
        };
        for output in outputs {
            self.carry_out(switch, output);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, switch: &Arc<Switch>, output: Output) {
        match output {
            Output::Notice(notice) => events::notice(switch, &notice),
            Output::Offer(made) => {
                if let Some(member) = switch.channel(&made.member.session_uuid) {
                    offer::note_choice(&member, &made);
                }
                let (switch, center) = (Arc::clone(switch), Arc::clone(self));
                tokio::spawn(async move { offer::run(&switch, &center, *made).await });
            }
            Output::Cancel(uuid, reason) => self.cancel(switch, &uuid, reason),
            Output::Announce(uuid, sound) => self.announce(switch, uuid, sound),
            Output::LoadQueue(name) => self.look_for_queue(switch, name),
            Output::HangUpCalled(uuid, won) => {
                let cause = if won { Cause::LOSE_RACE } else { Cause::ORIGINATOR_CANCEL };
                hang_up_called(switch, &uuid, cause);
            }
            Output::ForgetTier(uuid) => {
                if let Some(channel) = self.channel_of(switch, &uuid) {
                    channel.unset_var("cc_last_agent_tier_position");
                    channel.unset_var("cc_last_agent_tier_level");
                }
            }
        }
    }

    fn channel_of(&self, switch: &Switch, uuid: &str) -> Option<Arc<Channel>> {
        let session = self.dispatcher.lock().member(uuid)?.session_uuid.clone();
        switch.channel(&session)
    }

    fn cancel(&self, switch: &Switch, uuid: &str, reason: CancelReason) {
        // Looked up by variable where the dispatcher has forgotten the call already.
        let channel = self.channel_of(switch, uuid).or_else(|| {
            let mut all = switch.channels().into_iter();
            all.find(|c| c.own_var("cc_member_uuid").as_deref() == Some(uuid))
        });
        let Some(channel) = channel else { return };
        tracing::debug!(uuid = %channel.uuid(), "Member {uuid} has to leave its queue: {}", reason.name());
        channel.with(|data| data.slot::<member::Stay>().cancel = Some(reason));
        channel.break_media();
    }

    /// Plays an announcement over what the caller hears.
    fn announce(self: &Arc<Self>, switch: &Arc<Switch>, uuid: Arc<str>, sound: String) {
        let Some(channel) = self.channel_of(switch, &uuid) else { return };
        let (switch, center) = (Arc::clone(switch), Arc::clone(self));
        tokio::spawn(async move {
            let sound = switch_core::host::expand_for(&switch, Some(&channel), &sound).await;
            let session = channel.uuid();
            // One that still runs ends first.
            run_quietly(&switch, "uuid_displace", &format!("{session} stop '{sound}'")).await;
            channel.with(|data| {
                data.slot::<member::Stay>().announced = Some(sound.clone());
            });
            let reply =
                run_quietly(&switch, "uuid_displace", &format!("{session} start '{sound}'")).await;
            if !reply.starts_with("+OK") {
                tracing::warn!(uuid = %session, "Couldn't play announcement '{sound}'");
                center.dispatcher.lock().mute(&uuid);
            }
        });
    }

    /// Callers wait in a queue that is not loaded: it is read again, or its callers are let go.
    fn look_for_queue(self: &Arc<Self>, switch: &Arc<Switch>, name: Arc<str>) {
        if !self.loading.lock().insert(Arc::clone(&name)) {
            return;
        }
        let (switch, center) = (Arc::clone(switch), Arc::clone(self));
        tokio::spawn(async move {
            if !center.ensure_queue(&switch, &name).await {
                tracing::warn!("Queue {name} not found locally, delete this member");
                center.run(&switch, |d| d.drop_callers_of(&name, clock::now_secs()));
            }
            center.loading.lock().remove(&name);
        });
    }

    /// Seconds an agent's phone may ring.
    pub(crate) fn originate_timeout(&self) -> Duration {
        Duration::from_secs(self.originate_timeout.load(Ordering::Relaxed))
    }

    /// Becomes false when the module is unloaded.
    pub(crate) fn running(&self) -> watch::Receiver<bool> {
        self.running.subscribe()
    }

    /// Is the module loaded?
    pub(crate) fn is_running(&self) -> bool {
        *self.running.borrow()
    }

    /// A caller has come in: the clock runs.
    pub(crate) fn wake(&self) {
        self.someone.notify_one();
    }

    /// Tells others how many wait in a queue.
    pub(crate) fn tell_count(&self, switch: &Switch, queue: &str) {
        let (both, waiting) = self.dispatcher.lock().waiting(queue);
        events::members_count(switch, queue, both);
        events::presence(switch, queue, waiting);
    }

    // ---- configuration ----

    /// Is the queue loaded, or can it be? What is not loaded is read from the file.
    pub(crate) async fn ensure_queue(self: &Arc<Self>, switch: &Arc<Switch>, name: &str) -> bool {
        if self.dispatcher.lock().queue(name).is_some() {
            return true;
        }
        let Some(conf) = configuration(switch, Some(name)).await else { return false };
        self.take_queue(switch, &conf, name)
    }

    /// Loads a queue of the file. False if it is not in it.
    fn take_queue(self: &Arc<Self>, switch: &Arc<Switch>, conf: &Conf, name: &str) -> bool {
        let Some((_, settings)) = conf.queues.iter().find(|(queue, _)| queue == name) else {
            return false;
        };
        let queue = Queue::new(name, settings.clone());
        self.run(switch, |dispatcher| dispatcher.load_queue(queue));
        tracing::info!("Added queue {name}");
        true
    }

    /// `queue load`: the queue, all agents, all tiers.
    pub(crate) async fn load_queue(self: &Arc<Self>, switch: &Arc<Switch>, name: &str) -> bool {
        let Some(conf) = configuration(switch, Some(name)).await else { return false };
        if !self.take_queue(switch, &conf, name) {
            return false;
        }
        for agent in &conf.agents {
            self.take_agent(switch, agent);
        }
        self.take_tiers(switch, &conf.tiers, |_| true).await;
        true
    }

    /// `agent reload`. False without a file.
    pub(crate) async fn reload_agent(self: &Arc<Self>, switch: &Arc<Switch>, name: &str) -> bool {
        let Some(conf) = configuration(switch, None).await else { return false };
        for agent in conf.agents.iter().filter(|agent| agent.name == name) {
            self.take_agent(switch, agent);
        }
        true
    }

    /// `tier reload`. False without a file, or if no tier is meant.
    pub(crate) async fn reload_tiers(
        self: &Arc<Self>,
        switch: &Arc<Switch>,
        queue: &str,
        agent: &str,
    ) -> bool {
        let Some(conf) = configuration(switch, None).await else { return false };
        let all = queue.eq_ignore_ascii_case("all");
        let meant = |tier: &TierConf| {
            let of_queue = tier.queue.eq_ignore_ascii_case(queue);
            let of_agent = tier.agent.eq_ignore_ascii_case(agent);
            all || match (queue.is_empty(), agent.is_empty()) {
                (false, false) => of_queue && of_agent,
                (false, true) => of_queue,
                (true, false) => of_agent,
                (true, true) => false,
            }
        };
        self.take_tiers(switch, &conf.tiers, meant).await > 0
    }

    fn take_agent(self: &Arc<Self>, switch: &Arc<Switch>, agent: &AgentConf) {
        let Some(kind) = &agent.kind else { return };
        let now = clock::now_secs();
        self.run(switch, |dispatcher| {
            let added = dispatcher.add_agent(&agent.name, kind);
            if !matches!(added, Ok(()) | Err(Refused::AgentExists)) {
                tracing::error!("{FILE}: agent {}: {kind} is not a type of agent", agent.name);
                return;
            }
            for (key, value) in &agent.values {
                let Some(key) = AgentKey::parse(key) else { continue };
                if let Err(refused) = dispatcher.set_agent(key, &agent.name, value, now) {
                    tracing::error!("{FILE}: agent {}: {value}: {refused}", agent.name);
                }
            }
            if added.is_err() {
                let _known = dispatcher.set_agent(AgentKey::Type, &agent.name, kind, now);
            }
        });
    }

    async fn take_tiers(
        self: &Arc<Self>,
        switch: &Arc<Switch>,
        tiers: &[TierConf],
        meant: impl Fn(&TierConf) -> bool,
    ) -> usize {
        let mut taken = 0;
        for tier in tiers.iter().filter(|tier| meant(tier)) {
            taken += 1;
            if !self.ensure_queue(switch, &tier.queue).await {
                tracing::warn!("{FILE}: tier of {}: there is no queue {}", tier.agent, tier.queue);
                continue;
            }
            let number = |text: &Option<String>| text.as_deref().map_or(1, switch_core::text::int);
            let (level, position) = (number(&tier.level), number(&tier.position));
            let (queue, agent) = (&tier.queue, &tier.agent);
            let done = self.run(switch, |dispatcher| {
                if !dispatcher.has_tier(queue, agent) {
                    return dispatcher.add_tier(queue, agent, level, position);
                }
                dispatcher.set_tier(TierKey::Level, queue, agent, &level.to_string())?;
                dispatcher.set_tier(TierKey::Position, queue, agent, &position.to_string())
            });
            if let Err(refused) = done {
                tracing::warn!("{FILE}: tier of {agent} in {queue}: {refused}");
            }
        }
        taken
    }

    // ---- life ----

    /// Reads the file, opens the database and takes up what an earlier run left.
    pub(crate) async fn load(self: &Arc<Self>, switch: &Arc<Switch>) -> Result<(), NotLoaded> {
        let conf = configuration(switch, None).await.ok_or(NotLoaded)?;
        let settings = conf.settings.clone();
        let setup = Setup {
            instance_id: settings.instance_id.clone(),
            reserve_agents: settings.reserve_agents,
        };
        *self.dispatcher.lock() = Dispatcher::new(setup, clock::now_us().unsigned_abs());
        self.originate_timeout.store(settings.originate_timeout, Ordering::Relaxed);
        let database = self.open_tables(switch, &settings).await?;
        self.keeps.store(database.is_some(), Ordering::Relaxed);
        *self.database.write() = database;
        self.run(switch, |d| d.truncate(settings.truncate_agents, settings.truncate_tiers));
        for (name, _) in &conf.queues {
            self.take_queue(switch, &conf, name);
        }
        for agent in &conf.agents {
            self.take_agent(switch, agent);
        }
        self.take_tiers(switch, &conf.tiers, |_| true).await;
        Ok(())
    }

    /// Opens the tables and takes up what they hold; none where nothing is to be kept.
    async fn open_tables(
        &self,
        switch: &Switch,
        settings: &Settings,
    ) -> Result<Option<Database>, NotLoaded> {
        if settings.dsn == IN_MEMORY {
            return Ok(None);
        }
        let opened = store::open(&settings.dsn, &switch.dirs.db_dir).await;
        let database = opened.map_err(|error| {
            tracing::error!(fs_level = "CRIT", "Cannot open DB! {FILE}: {error}");
            NotLoaded
        })?;
        let now = clock::now_secs();
        let restored =
            store::restore(&database, &self.dispatcher, &settings.instance_id, now).await;
        restored.map_err(|error| {
            tracing::error!(fs_level = "CRIT", "The call centre's tables cannot be read: {error}");
            NotLoaded
        })?;
        Ok(Some(database))
    }

    /// Begins to look for agents, and to write.
    pub(crate) fn start(self: &Arc<Self>, switch: &Arc<Switch>) {
        if self.running.send_replace(true) {
            return;
        }
        let clock = tokio::spawn(Arc::clone(self).look_for_agents(Arc::clone(switch)));
        self.tasks.lock().push(clock);
        if self.database.read().is_some() {
            self.tasks.lock().push(tokio::spawn(Arc::clone(self).write_behind()));
        }
        tracing::info!("Agent Dispatch Thread Started");
        self.someone.notify_one();
    }

    /// Ends it: agents are called no more, and callers who wait are let go.
    pub(crate) async fn stop(self: &Arc<Self>, switch: &Arc<Switch>) {
        self.running.send_replace(false);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        let waiting: Vec<_> = {
            let dispatcher = self.dispatcher.lock();
            let here = dispatcher.members().filter(|member| !member.session_uuid.is_empty());
            here.map(|member| Arc::clone(&member.uuid)).collect()
        };
        for uuid in waiting {
            self.cancel(switch, &uuid, CancelReason::BreakOut);
        }
        let database = self.database.write().take();
        if let Some(database) = database {
            let changes = self.dispatcher.lock().changes();
            if let Err(error) = database.execute_all(store::statements(changes)).await {
                tracing::error!("The call centre's last changes are lost: {error}");
            }
        }
    }

    async fn look_for_agents(self: Arc<Self>, switch: Arc<Switch>) {
        let mut turn = 0_u64;
        loop {
            if self.dispatcher.lock().is_idle() {
                self.someone.notified().await;
                continue;
            }
            tokio::time::sleep(TICK).await;
            turn += 1;
            let now = clock::now_secs();
            let tick = async {
                self.run(&switch, |dispatcher| {
                    dispatcher.tick(now);
                    if turn.is_multiple_of(WATCH_TICKS) {
                        dispatcher.watch(now);
                    }
                });
            };
            switch_core::tasks::step("call centre", tick).await;
        }
    }

    async fn write_behind(self: Arc<Self>) {
        let mut kept = Vec::new();
        loop {
            if kept.is_empty() {
                self.changed.notified().await;
            }
            tokio::time::sleep(GATHER).await;
            self.stale.store(false, Ordering::Relaxed);
            let changes = self.dispatcher.lock().changes();
            kept.extend(store::statements(changes));
            if kept.is_empty() {
                continue;
            }
            let Some(database) = self.database.read().clone() else { return };
            match database.execute_all(kept.clone()).await {
                Ok(_) => kept.clear(),
                Err(error) => {
                    tracing::error!("The call centre's tables: {error}");
                    if kept.len() > MAX_KEPT {
                        tracing::error!("{} changes are given up", kept.len());
                        kept.clear();
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Hangs up the phones that ring for a caller.
pub(crate) fn hang_up_called(switch: &Switch, member: &str, cause: Cause) {
    for channel in switch.channels() {
        if channel.own_var("cc_member_pre_answer_uuid").as_deref() == Some(member) {
            channel.hangup(cause);
        }
    }
}

/// A caller leaves the queue: an announcement that still runs does not go with it.
pub(crate) fn stop_announcement(switch: &Arc<Switch>, channel: &Channel) {
    let sound = channel.with(|data| data.slot::<member::Stay>().announced.take());
    let Some(sound) = sound else { return };
    let (switch, args) = (Arc::clone(switch), format!("{} stop '{sound}'", channel.uuid()));
    tokio::spawn(async move {
        run_quietly(&switch, "uuid_displace", &args).await;
    });
}

/// Runs a command without the event that would tell of it.
pub(crate) async fn run_quietly(switch: &Arc<Switch>, command: &str, args: &str) -> String {
    match switch.api(command) {
        Some(api) => {
            let call = switch_core::api::ApiCall::new(Arc::clone(switch), command, args, None);
            api.run(call).await
        }
        None => "-ERR\n".to_owned(),
    }
}
