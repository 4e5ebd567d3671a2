//! A switch, its phones and its time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Globals;
use dialplan_xml::catalogue::Catalogue;
use esl_server::event::EventName;
use esl_server::{CoreInfo, EventBus, LogHub, Subscription};
use media::EngineConfig;
use media::sim::Sim;
use parking_lot::Mutex;
use switch_core::call::{Cause, Channel};
use switch_core::config::Config;
use switch_core::contract::{Linked, Module};
use switch_core::store::Stores;
use switch_core::switch::{Parts, Switch};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::ear::{Heard, Voice};
use crate::phone::{self, Phone, Phones};
use crate::record::Record;

/// What a simulation is made of.
#[derive(Clone, Default)]
pub struct Setup {
    modules: Vec<&'static [&'static dyn Module]>,
    dialplan: String,
    directory: String,
    configuration: String,
    languages: String,
    globals: Vec<(String, String)>,
    silent: bool,
    listens: Option<&'static [EventName]>,
}

impl Setup {
    /// A switch with those modules.
    #[must_use]
    pub fn new(modules: &[&'static [&'static dyn Module]]) -> Self {
        Self { modules: modules.to_vec(), ..Self::default() }
    }

    /// Extensions of the context `default`, or whole `<context>` elements.
    #[must_use]
    pub fn dialplan(mut self, xml: &str) -> Self {
        self.dialplan = match xml.contains("<context") {
            true => xml.to_owned(),
            false => format!(r#"<context name="default">{xml}</context>"#),
        };
        self
    }

    /// Domains of the directory.
    #[must_use]
    pub fn directory(mut self, xml: &str) -> Self {
        self.directory = xml.to_owned();
        self
    }

    /// Further `<configuration>` elements.
    #[must_use]
    pub fn configuration(mut self, xml: &str) -> Self {
        self.configuration = xml.to_owned();
        self
    }

    /// Languages with their phrase macros.
    #[must_use]
    pub fn languages(mut self, xml: &str) -> Self {
        self.languages = xml.to_owned();
        self
    }

    /// A global variable.
    #[must_use]
    pub fn global(mut self, name: &str, value: &str) -> Self {
        self.globals.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Phones without media: what is played is not heard, and simulated time costs nothing.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Only these events are made; without this, all of them are.
    #[must_use]
    pub fn listening_to(mut self, names: &'static [EventName]) -> Self {
        self.listens = Some(names);
        self
    }

    fn document(&self) -> String {
        let Self { dialplan, directory, configuration, languages, .. } = self;
        format!(
            r#"<document type="freeswitch/xml">
  <section name="configuration">
    <configuration name="switch.conf"><settings>
      <param name="sessions-per-second" value="1000000"/>
      <param name="max-sessions" value="100000"/>
    </settings></configuration>
    {configuration}
  </section>
  <section name="dialplan">{dialplan}</section>
  <section name="directory">{directory}</section>
  <section name="languages">{languages}</section>
</document>"#
        )
    }
}

/// Tells the story of one simulation and checks, when it is over, that nothing is left of its calls.
///
/// # Panics
/// When the story does, when something is left, or when no runtime can be made.
pub fn run(setup: Setup, story: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        crate::clock::begin();
        let world = World::start(&setup).await;
        story(&world).await;
        world.finish().await;
    });
}

/// A switch with phones.
pub struct World {
    /// The switch.
    pub switch: Arc<Switch>,
    wires: Option<Arc<Wires>>,
    events: Mutex<(Subscription, Record)>,
    /// Tasks that belong to the switch and not to calls.
    tasks: usize,
    driver: Option<tokio::task::JoinHandle<()>>,
    /// Where modules store what outlives a call; gone with the world.
    _storage: tempfile::TempDir,
}

/// Events a story may fire before they are looked at.
const EVENTS: usize = 1 << 20;

/// How often the media engine works: once for each frame.
const STEP: Duration = Duration::from_millis(20);

impl World {
    async fn start(setup: &Setup) -> Self {
        let globals: Globals =
            setup.globals.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let loaded = dialplan_xml::parse_raw(&setup.document(), "simulation.xml");
        let tree = loaded.tree.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let (config, diagnostics) = Config::compile(tree, &globals);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let (engine, sim) = Sim::start(&EngineConfig {
            workers: Some(1),
            port_min: 10_000,
            port_max: 60_000,
            ..EngineConfig::default()
        });
        let mut modules = setup.modules.clone();
        modules.push(&[&phone::MODULE]);
        let bus = EventBus::new(CoreInfo {
            core_uuid: "simulation".into(),
            hostname: "here".into(),
            switchname: "here".into(),
            ipv4: String::new(),
            ipv6: String::new(),
        });
        let subscription = bus.subscribe(EVENTS);
        for name in setup.listens.unwrap_or(&[EventName::All]) {
            subscription.listen(*name);
        }
        let storage = tempfile::tempdir().expect("a temporary folder");
        let switch = Switch::new(Parts {
            bus,
            logs: LogHub::new(),
            media: engine,
            config,
            globals,
            stores: Stores::default(),
            dirs: directories(storage.path()),
            allow_preprocess: BTreeSet::new(),
            no_sql: true,
            modules: Linked::new(&modules),
            known: Arc::new(Catalogue::default()),
        });
        let names: Vec<_> = switch.linked().names().into_iter().collect();
        for name in names {
            assert!(switch_core::modules::load(&switch, name).await, "{name} cannot be loaded");
        }
        switch.serving.begin();
        switch_core::modules::start_all(&switch).await;
        let (wires, driver) = if setup.silent {
            (None, None)
        } else {
            let wires = Arc::new(Wires { sim: Mutex::new(sim), voices: Mutex::default() });
            switch.module::<Phones>().wire(Arc::clone(&wires));
            let driven = Arc::clone(&wires);
            let driver = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(STEP).await;
                    driven.step();
                }
            });
            (Some(wires), Some(driver))
        };
        tokio::time::sleep(STEP).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        let events = Mutex::new((subscription, Record::default()));
        Self { switch, wires, events, tasks, driver, _storage: storage }
    }

    /// The phone of that name.
    #[must_use]
    pub fn phone(&self, name: &str) -> Arc<Phone> {
        Phones::get(&self.switch, name)
    }

    /// Lets time pass.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets seconds pass.
    pub async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Lets everything that is under way happen: a tenth of a second.
    pub async fn settle(&self) {
        tokio::time::sleep(5 * STEP).await;
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// When it is not so after five minutes; shows the events then.
    pub async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(300);
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}\n{:?}", self.events());
            tokio::time::sleep(STEP).await;
        }
    }

    /// Waits until the call is over and its record complete.
    pub async fn ended(&self, call: &crate::Call) {
        self.until("the call has ended", || self.switch.channel(call.uuid()).is_none()).await;
    }

    /// Runs an API command; what it prints.
    ///
    /// # Panics
    /// When there is no such command.
    pub async fn api(&self, line: &str) -> String {
        let (command, args) = line.split_once(' ').unwrap_or((line, ""));
        let reply = self.switch.run_api(command, args, None).await;
        reply.unwrap_or_else(|| panic!("no command {command}"))
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Record {
        let mut events = self.events.lock();
        let (subscription, record) = &mut *events;
        while let Some(event) = subscription.try_recv() {
            record.0.push(event);
        }
        record.clone()
    }

    /// Events of one call so far.
    #[must_use]
    pub fn events_of(&self, call: &crate::Call) -> Record {
        self.events().of(call.uuid())
    }

    /// Forgets the events so far.
    pub fn forget_events(&self) {
        let _all = self.events();
        self.events.lock().1.0.clear();
    }

    /// The channels there are, oldest first.
    #[must_use]
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        self.switch.channels()
    }

    /// Lets all phones speak for a fifth of a second: what each of them hears then.
    ///
    /// # Panics
    /// In a silent world.
    pub async fn listen(&self) -> Heard {
        let wires = self.wires.as_ref().expect("a world that is not silent");
        for round in 0..10 {
            if round == 7 {
                // Only what comes from now on counts.
                wires.voices.lock().iter().flatten().for_each(Voice::forget);
            }
            wires.voices.lock().iter_mut().flatten().for_each(Voice::speak);
            tokio::time::sleep(STEP).await;
        }
        Heard::read(&wires.voices.lock())
    }

    /// Ends what is still up and checks that nothing is left: no channel, no task, no media leg; each call ended once.
    ///
    /// # Panics
    /// When something is left.
    pub async fn finish(&self) {
        for channel in self.channels() {
            channel.hangup(Cause::NORMAL_CLEARING);
        }
        let mut patience = 0;
        while self.switch.channel_count() > 0 || self.left_tasks() > 0 {
            patience += 1;
            let left: Vec<_> = self.channels().iter().map(|channel| channel.name()).collect();
            assert!(
                patience < 200,
                "left: channels {left:?}, tasks {}\n{:?}",
                self.left_tasks(),
                self.events()
            );
            // Most is over at once; some tasks wait for a timer.
            let pause = if patience < 20 { STEP } else { Duration::from_secs(5) };
            tokio::time::sleep(pause).await;
        }
        if let Err(wrong) = self.events().check() {
            panic!("{wrong}\n{:?}", self.events());
        }
        if self.wires.is_some() {
            tokio::time::sleep(5 * STEP).await;
            let legs: usize = self.switch.media.load().iter().map(|worker| worker.legs).sum();
            assert_eq!(legs, 0, "media legs are left");
        }
        Phones::forget(&self.switch);
    }

    fn left_tasks(&self) -> usize {
        Handle::current().metrics().num_alive_tasks().saturating_sub(self.tasks)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// The simulated network with the phones on it.
pub(crate) struct Wires {
    sim: Mutex<Sim>,
    voices: Mutex<Vec<Option<Voice>>>,
}

impl Wires {
    fn step(&self) {
        let mut sim = self.sim.lock();
        sim.net.advance_us(20_000);
        sim.settle();
    }

    /// Puts a phone on the network; returns its place.
    pub(crate) fn connect(&self, of: &str, server_port: u16) -> usize {
        let mut voices = self.voices.lock();
        let free = voices.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            voices.push(None);
            voices.len() - 1
        });
        voices[place] = Some(Voice::new(&self.sim.lock(), of, place, server_port));
        place
    }

    pub(crate) fn disconnect(&self, place: usize) {
        if let Some(voice) = self.voices.lock().get_mut(place) {
            *voice = None;
        }
    }

    pub(crate) fn address(&self, place: usize) -> Option<SocketAddr> {
        Some(self.voices.lock().get(place)?.as_ref()?.address())
    }
}

/// Directories that are not there, but for the one modules store in: as root a process would make the others, and a test would pass
/// for root only.
fn directories(storage: &std::path::Path) -> base::dirs::Dirs {
    let dir = |name: &str| std::path::PathBuf::from(format!("/nonexistent/{name}"));
    base::dirs::Dirs {
        base_dir: dir(""),
        conf_dir: dir("conf"),
        log_dir: dir("log"),
        run_dir: dir("run"),
        db_dir: dir("db"),
        mod_dir: dir("mod"),
        htdocs_dir: dir("htdocs"),
        script_dir: dir("scripts"),
        temp_dir: std::env::temp_dir(),
        grammar_dir: dir("grammar"),
        fonts_dir: dir("fonts"),
        images_dir: dir("images"),
        certs_dir: dir("tls"),
        storage_dir: storage.to_owned(),
        cache_dir: dir("cache"),
        recordings_dir: dir("recordings"),
        sounds_dir: dir("sounds"),
        data_dir: dir("data"),
        localstate_dir: dir("state"),
        root_file: "freeswitch.xml".into(),
    }
}
