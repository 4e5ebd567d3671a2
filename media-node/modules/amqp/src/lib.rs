//! Events and commands over AMQP 0-9-1 (mod_amqp), as RabbitMQ speaks it.
//!
//! `amqp.conf` as the reference has it: **producers** publish events with routing keys made of their headers, **commands**
//! run what arrives in a queue, **logging** publishes log lines. Beside them the **voice bus** ([`bus`]): a few messages per
//! call in versioned JSON, for systems that do not want to learn events.
//!
//! Producers and the bus write what they say into a spool on disk first ([`spool`]); a publisher ([`publisher`]) sends it
//! with confirms and forgets it when the broker has it. A broker that is away delays messages, never calls.

#![deny(unsafe_code)]

mod bus;
mod commands;
mod connection;
mod events;
mod logging;
mod parameters;
mod publisher;
mod routing;
mod settings;
mod spool;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::reading::Reading;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use settings::Settings;

const NAME: &str = "mod_amqp";
/// For each profile to deliver what it has when it ends. The rest stays in its spool.
const GOODBYE: Duration = Duration::from_secs(2);

/// mod_amqp.
pub struct Amqp;

const APIS: &[Api] = &[api!("amqp", "mod_amqp", "syntax", "amqp API", async reload)];

/// Its profiles that run.
#[derive(Default)]
struct Profiles(Mutex<Vec<Profile>>);

/// A running profile.
struct Profile {
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a profile did, for the metrics page.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// `producer`, `commands`, `logging`, `bus`.
    kind: &'static str,
    name: String,
    connected: AtomicBool,
    /// Messages the broker has confirmed, or commands it has brought.
    done: AtomicU64,
    /// Messages that did not fit.
    dropped: AtomicU64,
    /// Bytes that wait on disk.
    waiting: AtomicU64,
}

impl Module for Amqp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn provides(&self) -> Provides {
        Provides {
            commands: &[APIS],
            parameters: parameters::PARAMETERS,
            readings: &[readings],
            ..Provides::NOTHING
        }
    }

    /// Only with a configuration file of its own.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("amqp.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move { if begin(switch) { Ok(()) } else { Err(NotLoaded) } })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(end(switch))
    }
}

/// `amqp`: reads the configuration anew, whatever is said (reference behaviour).
async fn reload(call: ApiCall) -> String {
    end(&call.switch).await;
    if begin(&call.switch) { "+OK\n".into() } else { "-ERR amqp.conf cannot be used\n".into() }
}

/// Starts the profiles of `amqp.conf`. False, with the reason logged, if there is none that can be used.
fn begin(switch: &Arc<Switch>) -> bool {
    let config = switch.config.load_full();
    let Some(conf) = config.document("amqp.conf") else {
        tracing::error!("open of amqp.conf.xml failed");
        return false;
    };
    let settings = match Settings::read(conf) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("amqp.conf: {error}");
            return false;
        }
    };
    let mut running = Vec::new();
    let mut add = |kind: &'static str, name: &str, start: &mut Start<'_>| {
        let stats = Arc::new(Stats { kind, name: name.to_owned(), ..Stats::default() });
        let (stop, stopped) = watch::channel(false);
        match start(&stats, &stopped) {
            Ok(tasks) => running.push(Profile { stats, stop, tasks }),
            Err(error) => tracing::error!("amqp.conf: profile {name}: {error}"),
        }
    };
    for producer in &settings.producers {
        add("producer", &producer.name, &mut |stats, stopped| {
            events::start(switch, producer, stats, stopped)
        });
    }
    for bus in &settings.buses {
        add("bus", &bus.name, &mut |stats, stopped| bus::start(switch, bus, stats, stopped));
    }
    for profile in &settings.commands {
        add("commands", &profile.name, &mut |stats, stopped| {
            Ok(vec![commands::start(switch, profile, stats, stopped)])
        });
    }
    for profile in &settings.logging {
        add("logging", &profile.name, &mut |stats, stopped| {
            Ok(vec![logging::start(switch, profile, stats, stopped)])
        });
    }
    *switch.module::<Profiles>().0.lock() = running;
    true
}

/// How a profile starts: its tasks, or why there are none.
type Start<'a> = dyn FnMut(&Arc<Stats>, &watch::Receiver<bool>) -> Result<Vec<JoinHandle<()>>, spool::SpoolError>
    + 'a;

/// Ends all profiles.
async fn end(switch: &Arc<Switch>) {
    let running = std::mem::take(&mut *switch.module::<Profiles>().0.lock());
    for profile in &running {
        profile.stop.send_replace(true);
    }
    for profile in running {
        for task in profile.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(GOODBYE, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let profiles = switch.module::<Profiles>();
    let profiles = profiles.0.lock();
    let of = |profile: &Profile| {
        let stats = &profile.stats;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let connected = f64::from(u8::from(stats.connected.load(Ordering::Relaxed)));
        let label = |reading: Reading| reading.of("kind", stats.kind).of("profile", &stats.name);
        [
            Reading::gauge("amqp_connected", "1 while a profile has a connection.", connected),
            Reading::counter(
                "amqp_messages_total",
                "Messages the broker has confirmed; for commands, messages it has brought.",
                read(&stats.done),
            ),
            Reading::counter(
                "amqp_dropped_total",
                "Messages that did not fit into the queue or the spool.",
                read(&stats.dropped),
            ),
            Reading::gauge(
                "amqp_spool_bytes",
                "Bytes of messages that wait on disk for the broker.",
                read(&stats.waiting) as f64,
            ),
        ]
        .map(label)
    };
    profiles.iter().flat_map(of).collect()
}
