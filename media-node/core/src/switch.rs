//! The switch: everything calls share, behind one handle.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use dialplan_xml::catalogue::Catalogue;
use dialplan_xml::config::SwitchConf;
use dialplan_xml::{Globals, PreprocessorCommand};
use esl_server::event::{Event, EventName};
use esl_server::log::Level;
use esl_server::{EventBus, LogHub};
use parking_lot::{Mutex, RwLock};

mod globals;

pub use call_model::counters::{Counters, Peaks};

use crate::api::{self, ApiCall};
use crate::app;
use crate::call::command::{COMMAND_QUEUE, Inbox};
use crate::call::dialstring::{DialLeg, Variables};
use crate::call::index::{Index, Key};
use crate::call::{Cause, Channel, Direction, Endpoint};
use crate::clock;
use crate::config::Config;
use crate::contract::{CallObserver, Linked, Module, Provides, Resolver, SwitchSlots};
use crate::store::Stores;

/// What a call needs of the world around it.
pub struct Switch {
    /// Events.
    pub bus: Arc<EventBus>,
    /// Log lines.
    pub logs: Arc<LogHub>,
    /// The media engine.
    pub media: media::Engine,
    /// Dialplan applications.
    pub apps: app::Registry,
    /// API commands.
    pub apis: api::Registry,
    /// The configuration that serves now.
    pub config: ArcSwap<Config>,
    /// What loading complained about last; locked while the configuration is being replaced.
    pub reloading: tokio::sync::Mutex<BTreeSet<String>>,
    /// Registrations, records, settings.
    pub stores: Stores,
    /// Sources of XML beside the files.
    pub xml: crate::xml::Sources,
    /// Who guesses passwords.
    pub guesses: crate::guesses::Guesses,
    /// Timed jobs.
    pub scheduler: crate::schedule::Scheduler,
    /// Session counters and limits.
    pub counters: Counters,
    /// Whether anybody from outside is answered yet.
    pub serving: Serving,
    /// Where things live on disk.
    pub dirs: base::dirs::Dirs,
    /// Preprocessor commands that may be run.
    pub allow_preprocess: BTreeSet<PreprocessorCommand>,
    /// Registrations are not kept on disk (`-nosql`).
    pub no_sql: bool,
    /// Since when.
    pub started: Instant,
    /// Since when, µs since the epoch.
    pub started_us: i64,
    globals: RwLock<Globals>,
    /// Which parts of global variables came from a far end, by name in lower case.
    far_globals: RwLock<HashMap<String, base::far::Spans>>,
    channels: RwLock<HashMap<Arc<str>, Arc<Channel>>>,
    /// Legs by what they are looked for.
    pub index: Index,
    endpoints: RwLock<HashMap<&'static str, Arc<dyn Endpoint>>>,
    /// Names and parameters that are honoured, for what is said of a configuration.
    pub known: Arc<Catalogue>,
    linked: Linked,
    modules: crate::modules::Modules,
    slots: SwitchSlots,
    observers: Vec<&'static dyn CallObserver>,
    verbose_events: AtomicBool,
    stop: tokio::sync::watch::Sender<Option<Stop>>,
}

/// How the switch is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Hang everything up and go.
    Now,
    /// Take no new calls, go when the last one ended.
    Elegant,
    /// As [`Stop::Now`], but start again afterwards.
    Restart,
    /// As [`Stop::Elegant`], but start again afterwards.
    RestartElegant,
}

/// Values of `counters.ending`.
const ENDS_EMPTY: u8 = 1;
const RESTARTS_EMPTY: u8 = 2;

/// Ports are bound while the process may still be root; requests are not answered before it has given that up.
#[derive(Debug)]
pub struct Serving(tokio::sync::watch::Sender<bool>);

impl Default for Serving {
    fn default() -> Self {
        Self(tokio::sync::watch::Sender::new(false))
    }
}

impl Serving {
    /// From now on requests are answered.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Becomes true when it begins.
    #[must_use]
    pub fn when(&self) -> tokio::sync::watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// What [`Switch::new`] is made of.
pub struct Parts {
    /// Events.
    pub bus: Arc<EventBus>,
    /// Log lines.
    pub logs: Arc<LogHub>,
    /// The media engine.
    pub media: media::Engine,
    /// The configuration.
    pub config: Config,
    /// Global variables.
    pub globals: Globals,
    /// Stores.
    pub stores: Stores,
    /// Directories.
    pub dirs: base::dirs::Dirs,
    /// Preprocessor commands that may be run.
    pub allow_preprocess: BTreeSet<PreprocessorCommand>,
    /// The modules that may be loaded.
    pub modules: Linked,
    /// Names and parameters that are honoured.
    pub known: Arc<Catalogue>,
    /// Registrations are not kept on disk (`-nosql`).
    pub no_sql: bool,
}

impl Switch {
    /// A switch without calls, none of whose modules is loaded.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let settings = parts.config.switch.clone();
        let switch = Arc::new(Self {
            bus: parts.bus,
            logs: parts.logs,
            media: parts.media,
            apps: app::Registry::default(),
            apis: api::Registry::default(),
            verbose_events: AtomicBool::default(),
            config: ArcSwap::from_pointee(parts.config),
            reloading: tokio::sync::Mutex::default(),
            stores: parts.stores,
            xml: crate::xml::Sources::default(),
            guesses: crate::guesses::Guesses::default(),
            scheduler: crate::schedule::Scheduler::default(),
            counters: Counters::default(),
            serving: Serving::default(),
            dirs: parts.dirs,
            allow_preprocess: parts.allow_preprocess,
            no_sql: parts.no_sql,
            started: Instant::now(),
            started_us: clock::now_us(),
            globals: RwLock::new(parts.globals),
            far_globals: RwLock::default(),
            channels: RwLock::default(),
            index: Index::default(),
            endpoints: RwLock::default(),
            observers: parts
                .modules
                .iter()
                .flat_map(|module| module.provides().observers)
                .copied()
                .collect(),
            known: parts.known,
            linked: parts.modules,
            modules: crate::modules::Modules::default(),
            slots: SwitchSlots::default(),
            stop: tokio::sync::watch::Sender::new(None),
        });
        crate::foreign::allow(switch.config.load().event_socket.allow_host_commands);
        switch.tune(&settings);
        switch
    }

    /// Takes over what `switch.conf` says about a running switch, its global variables included.
    pub fn tune(&self, conf: &SwitchConf) {
        self.counters.max_sessions.store(conf.max_sessions, Ordering::Relaxed);
        self.counters.sps_limit.store(conf.sessions_per_second, Ordering::Relaxed);
        self.stores.tuning.configure(conf);
        self.set_verbose_events(conf.verbose_channel_events);
        for variable in &conf.variables {
            self.set_global(&variable.name, &variable.value);
        }
        if let Some(control) = switch_log::control() {
            let level = conf.loglevel.and_then(Level::from_number);
            control.set_core_level(level.unwrap_or(Level::Console));
        }
    }

    /// A configuration serves from now on.
    pub(crate) fn adopt_config(&self, config: Arc<Config>) {
        crate::foreign::allow(config.event_socket.allow_host_commands);
        self.config.store(config);
    }

    // ---- channels ----

    /// A call leg by UUID.
    #[must_use]
    pub fn channel(&self, uuid: &str) -> Option<Arc<Channel>> {
        self.channels.read().get(uuid).cloned()
    }

    /// Call legs by what they are looked for, the first entered first.
    #[must_use]
    pub fn channels_by(&self, key: &Key) -> Vec<Arc<Channel>> {
        self.index.find(key).iter().filter_map(|uuid| self.channel(uuid)).collect()
    }

    /// All call legs, oldest first.
    #[must_use]
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        let mut all: Vec<_> = self.channels.read().values().cloned().collect();
        all.sort_by_key(|channel| (channel.created(), channel.session_id()));
        all
    }

    /// How many call legs there are.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.read().len()
    }

    /// A new channel with its queue. It cannot be found before [`Switch::add_channel`].
    ///
    /// `uuid` is taken if it is free, else a new one is made (and the clash logged).
    ///
    /// # Errors
    /// The cause to refuse with when the switch is full or paused.
    pub fn new_channel(
        self: &Arc<Self>,
        direction: Direction,
        name: String,
        uuid: Option<&str>,
    ) -> Result<(Arc<Channel>, Inbox), Cause> {
        self.admit(direction)?;
        let uuid = match uuid {
            Some(wanted) if self.channel(wanted).is_none() => wanted.to_owned(),
            Some(taken) => {
                tracing::error!(fs_level = "CRIT", "Duplicate UUID! {taken}");
                clock::new_uuid()
            }
            None => clock::new_uuid(),
        };
        let id = self.counters.total.fetch_add(1, Ordering::Relaxed) + 1;
        self.counters.this_second.fetch_add(1, Ordering::Relaxed);
        let (sender, inbox) = base::queue::bounded(COMMAND_QUEUE);
        Ok((Channel::new(Arc::clone(self), uuid.into(), id, direction, name, sender), inbox))
    }

    /// May another session begin?
    ///
    /// # Errors
    /// The cause to refuse with.
    pub fn admit(&self, direction: Direction) -> Result<(), Cause> {
        let counters = &self.counters;
        let paused = match direction {
            Direction::Inbound => &counters.paused_inbound,
            Direction::Outbound => &counters.paused_outbound,
        };
        let full = self.channel_count() >= counters.max_sessions.load(Ordering::Relaxed) as usize;
        let fast = counters.this_second.load(Ordering::Relaxed)
            >= counters.sps_limit.load(Ordering::Relaxed);
        if paused.load(Ordering::Relaxed) || counters.draining.load(Ordering::Relaxed) {
            return Err(Cause::DESTINATION_OUT_OF_ORDER);
        }
        let least = self.stores.tuning.min_idle_cpu();
        if least > 0.0 && switch_log::idle_cpu() < least {
            tracing::error!(
                fs_level = "CRIT",
                "The system is too busy: less than {least:.2}% idle"
            );
            return Err(Cause::DESTINATION_OUT_OF_ORDER);
        }
        if full || fast {
            tracing::error!(
                fs_level = "CRIT",
                "{}",
                if full { "Over Session Limit!" } else { "Over Session Rate!" }
            );
            return Err(Cause::DESTINATION_OUT_OF_ORDER);
        }
        Ok(())
    }

    /// Makes a channel known.
    ///
    /// # Errors
    /// [`Cause::DESTINATION_OUT_OF_ORDER`] if its UUID was taken meanwhile.
    pub fn add_channel(&self, channel: &Arc<Channel>) -> Result<(), Cause> {
        let mut channels = self.channels.write();
        if channels.contains_key(channel.uuid()) {
            return Err(Cause::DESTINATION_OUT_OF_ORDER);
        }
        channels.insert(Arc::clone(channel.uuid()), Arc::clone(channel));
        let now = u32::try_from(channels.len()).unwrap_or(u32::MAX);
        self.counters.peak.fetch_max(now, Ordering::Relaxed);
        self.counters.peak_five_minutes.fetch_max(now, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets a channel.
    pub fn remove_channel(&self, channel: &Channel) {
        let left = {
            let mut channels = self.channels.write();
            channels.remove(channel.uuid());
            channels.len()
        };
        self.index.remove(channel.uuid());
        self.observers.iter().for_each(|observer| observer.gone(channel));
        self.scheduler.remove(self, channel.uuid());
        switch_log::calls::forget(channel.uuid());
        if left == 0 {
            self.end_if_due();
        }
    }

    /// Do all events of all channels carry variables?
    #[must_use]
    pub fn verbose_events(&self) -> bool {
        self.verbose_events.load(Ordering::Relaxed)
    }

    /// `fsctl verbose_events`.
    pub fn set_verbose_events(&self, on: bool) {
        self.verbose_events.store(on, Ordering::Relaxed);
    }

    // ---- endpoints and modules ----

    /// The state of a module for this switch, made at the first call.
    #[must_use]
    pub fn module<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.slots.get()
    }

    /// States of modules for this switch.
    #[must_use]
    pub fn slots(&self) -> &SwitchSlots {
        &self.slots
    }

    /// The modules that may be loaded.
    #[must_use]
    pub fn linked(&self) -> &Linked {
        &self.linked
    }

    /// The modules that are loaded, by name.
    #[must_use]
    pub fn loaded_modules(&self) -> Vec<&'static dyn Module> {
        self.linked.iter().filter(|module| self.modules.is_loaded(module.name())).collect()
    }

    /// Who is told what happens to calls.
    #[must_use]
    pub fn observers(&self) -> &[&'static dyn CallObserver] {
        &self.observers
    }

    /// What a loaded module provides can be found from now on.
    pub(crate) fn take_up(self: &Arc<Self>, module: &'static dyn Module) {
        let (name, provides) = (module.name(), module.provides());
        self.apps.add(name, self.linked.applications());
        self.apis.add(name, self.linked.commands());
        let config = self.config.load();
        let allowed = &config.switch.allowlist;
        self.apps.keep(name, "Application", |app| allowed.allows(name, app, "app"));
        self.apis.keep(name, "API", |api| allowed.allows(name, api, "api"));
        for kind in provides.endpoints {
            self.endpoints.write().insert(kind.name, (kind.make)(self));
        }
        for make in provides.xml_sources {
            self.xml.add(name, make(self));
        }
        self.stores.console.add_lines(provides.completions);
    }

    /// What a module provided is not found any more.
    pub(crate) fn give_up(&self, module: &'static dyn Module) {
        let name = module.name();
        self.apps.remove(name);
        self.apis.remove(name);
        self.endpoints.write().retain(|_, endpoint| endpoint.module() != name);
        self.xml.remove(name);
        module
            .provides()
            .completions
            .lines()
            .for_each(|l| self.stores.console.remove_completions(l));
    }

    /// What loaded modules provide of one kind.
    pub fn provided<T: 'static>(
        &self,
        kind: impl Fn(Provides) -> &'static [T],
    ) -> impl Iterator<Item = &'static T> {
        self.loaded_modules().into_iter().flat_map(move |module| kind(module.provides()))
    }

    /// The endpoint of that name, in any case.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<Arc<dyn Endpoint>> {
        self.endpoints.read().get(name.to_ascii_lowercase().as_str()).cloned()
    }

    /// The application of that name, in any case, if its module is loaded.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&'static app::App> {
        self.apps.find(name)
    }

    /// The API command of that name, in any case, if its module is loaded.
    #[must_use]
    pub fn api(&self, name: &str) -> Option<&'static api::Api> {
        self.apis.find(name)
    }

    /// Names and modules of all endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&'static str, &'static str)> {
        self.endpoints
            .read()
            .values()
            .map(|endpoint| (endpoint.name(), endpoint.module()))
            .collect()
    }

    /// Which modules are loaded.
    #[must_use]
    pub fn modules(&self) -> &crate::modules::Modules {
        &self.modules
    }

    /// Those who know what dial-string legs stand for. They are asked whether or not their modules are loaded.
    fn resolvers(&self) -> impl Iterator<Item = &'static dyn Resolver> {
        self.linked.iter().filter_map(|module| module.provides().resolver)
    }

    /// Groups of legs with one that stands alone for others in an order (`group/…`) replaced by the groups it stands for.
    ///
    /// # Errors
    /// The resolver's, for the only group that is not there.
    pub async fn expand_groups(
        self: &Arc<Self>,
        groups: &[Vec<DialLeg>],
        caller: Option<&Arc<Channel>>,
    ) -> Result<Vec<Vec<DialLeg>>, Cause> {
        let mut expanded = Vec::new();
        for group in groups {
            let orders = |one: &&dyn Resolver, leg: &DialLeg| {
                one.in_order().iter().any(|name| leg.endpoint.eq_ignore_ascii_case(name))
            };
            let alone = group.first().filter(|_| group.len() == 1);
            match alone.and_then(|leg| Some((leg, self.resolvers().find(|one| orders(one, leg))?)))
            {
                Some((leg, resolver)) => match resolver.groups(self, leg, caller).await {
                    Ok(inner) => expanded.extend(inner),
                    Err(cause) if groups.len() == 1 => return Err(cause),
                    Err(_) => {}
                },
                None => expanded.push(group.clone()),
            }
        }
        Ok(expanded)
    }

    /// Replaces legs that stand for others (`user/…`, `group/…`) by those they stand for.
    pub async fn resolve_legs(
        self: &Arc<Self>,
        group: &[DialLeg],
        global: &Variables,
        caller: Option<&Arc<Channel>>,
    ) -> Vec<Result<DialLeg, Cause>> {
        let mut legs: Vec<_> = group.iter().cloned().map(Ok).collect();
        for resolver in self.resolvers() {
            let mut stand_for = Vec::new();
            for leg in legs {
                match leg {
                    Ok(leg) => stand_for.extend(resolver.legs(self, &leg, global, caller).await),
                    lost => stand_for.push(lost),
                }
            }
            legs = stand_for;
        }
        legs
    }

    // ---- commands ----

    /// Runs an API command, on behalf of a call or not, and fires its API event. `None` if there is no such command; as
    /// in the reference that is announced too.
    ///
    /// Arguments may be marked ([`base::far`]); what a far end said is one value of them.
    pub async fn run_api(
        self: &Arc<Self>,
        command: &str,
        args: &str,
        channel: Option<Arc<Channel>>,
    ) -> Option<String> {
        self.run_api_at(command, args, channel, false).await
    }

    /// The same; `console` says that a person typed it.
    pub async fn run_api_at(
        self: &Arc<Self>,
        command: &str,
        args: &str,
        channel: Option<Arc<Channel>>,
        console: bool,
    ) -> Option<String> {
        self.run_command(command, args, channel, console).await.map(base::far::into_plain)
    }

    /// [`Switch::run_api`] for texts with a grammar: what the reply repeats of a far end's words is marked.
    pub async fn run_api_marked(
        self: &Arc<Self>,
        command: &str,
        args: &str,
        channel: Option<Arc<Channel>>,
    ) -> Option<String> {
        self.run_command(command, args, channel, false).await
    }

    async fn run_command(
        self: &Arc<Self>,
        command: &str,
        args: &str,
        channel: Option<Arc<Channel>>,
        console: bool,
    ) -> Option<String> {
        let api = self.api(command);
        if base::nesting::too_deep() {
            tracing::error!("{command}: commands run each other without end");
            return Some("-ERR Commands are nested too deep\n".to_owned());
        }
        // Created before the command runs, delivered after: events it causes carry higher sequence numbers.
        let event = self.bus.wants(EventName::Api).then(|| {
            let mut event = Event::new(EventName::Api);
            esl_server::stamp!(self.bus, &mut event);
            event.push("API-Command", command);
            event.push("API-Command-Argument", &*base::far::plain(args));
            event
        });
        if event.is_none() {
            self.bus.skip();
        }
        let output = match api {
            Some(api) => {
                let foreign = channel.as_ref().and_then(|channel| channel.foreign());
                let call = ApiCall::new(Arc::clone(self), command, args, channel);
                let call = ApiCall { console, ..call };
                let run = base::nesting::Nested::new(api.run(call));
                Some(crate::foreign::scope(move || foreign, run).await)
            }
            None => None,
        };
        if let Some(event) = event {
            self.bus.deliver(event);
        }
        output
    }

    /// Does an address pass an access list (or CIDR)?
    #[must_use]
    pub fn acl_allows(&self, list: &str, ip: IpAddr) -> bool {
        self.config.load().acl.check(list, ip)
    }

    /// Is it on an access list of a SIP profile, a registered phone's, or a gateway's?
    #[must_use]
    pub fn knows_peer(&self, ip: IpAddr) -> bool {
        self.stores.registrations.knows_peer(ip)
    }

    /// Does a node of the list, rather than its default, let the address in?
    #[must_use]
    pub fn acl_names(&self, list: &str, ip: IpAddr) -> bool {
        self.config.load().acl.names_peer(list, ip)
    }

    /// What an access list says of an address, and whose of the directory's users it is.
    #[must_use]
    pub fn acl_verdict(&self, list: &str, ip: IpAddr) -> dialplan_xml::acl::Verdict {
        self.config.load().acl.verdict(list, ip, None)
    }

    // ---- the end ----

    /// Asks the switch to stop.
    pub fn stop(&self, how: Stop) {
        if let Stop::Elegant | Stop::RestartElegant = how {
            self.counters.draining.store(true, Ordering::Relaxed);
            self.stop_when_idle(how == Stop::RestartElegant);
        } else {
            self.stop.send_replace(Some(how));
        }
    }

    /// Ends when there is no call; new ones are taken until then (`fsctl shutdown elegant`).
    pub fn stop_when_idle(&self, restart: bool) {
        let how = if restart { RESTARTS_EMPTY } else { ENDS_EMPTY };
        self.counters.ending.store(how, Ordering::Relaxed);
        if self.channel_count() == 0 {
            self.end_if_due();
        }
    }

    fn end_if_due(&self) {
        let how = match self.counters.ending.load(Ordering::Relaxed) {
            ENDS_EMPTY => Stop::Now,
            RESTARTS_EMPTY => Stop::Restart,
            _ => return,
        };
        self.counters.draining.store(true, Ordering::Relaxed);
        self.stop.send_replace(Some(how));
    }

    /// Takes back a stop that waits for calls to end.
    pub fn cancel_stop(&self) {
        self.counters.ending.store(0, Ordering::Relaxed);
        self.counters.draining.store(false, Ordering::Relaxed);
    }

    /// Resolves when the switch was asked to stop.
    pub async fn stopped(&self) -> Stop {
        let mut watch = self.stop.subscribe();
        loop {
            if let Some(how) = *watch.borrow_and_update() {
                return how;
            }
            if watch.changed().await.is_err() {
                return Stop::Now;
            }
        }
    }
}

/// Five minutes of peaks and the second's rates: called once a second.
pub fn tick(switch: &Switch, history: &Mutex<Peaks>) {
    let counters = &switch.counters;
    let rate = counters.this_second.swap(0, Ordering::Relaxed);
    counters.last_second.store(rate, Ordering::Relaxed);
    counters.sps_peak.fetch_max(rate, Ordering::Relaxed);
    let sessions = u32::try_from(switch.channel_count()).unwrap_or(u32::MAX);
    let mut history = history.lock();
    history.push(sessions, rate);
    counters.peak_five_minutes.store(history.sessions(), Ordering::Relaxed);
    counters.sps_peak_five_minutes.store(history.rate(), Ordering::Relaxed);
}
