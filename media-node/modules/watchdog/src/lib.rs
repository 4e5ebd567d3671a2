//! Legs that do not go on (mod_watchdog): named in `show stuck`, an event and a metric, and ended if the settings say so.
//!
//! A leg is stuck when it was hung up and is still there after `ending-seconds`, or when it neither rang nor was
//! answered within `setup-seconds`. Long calls are no fault and never named.

#![deny(unsafe_code)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base::reading::Reading;
use dialplan_xml::Node;
use esl_server::event::{Event, EventName};
use parking_lot::Mutex;
use serde_json::{Value, json};
use switch_core::BoxFuture;
use switch_core::call::{Cause, Channel};
use switch_core::clock;
use switch_core::contract::declare::{EventKind, Parameters, Value as Kind, event, param};
use switch_core::contract::{Change, JsonKind, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use tokio::task::JoinHandle;

/// Subclass of the event that names a stuck leg.
const EVENT: &str = "ferroswitch::stuck";

/// mod_watchdog.
pub struct Watchdog;

/// The module.
pub const MODULE: Watchdog = Watchdog;

const PARAMETERS: &[Parameters] = &[Parameters {
    file: "watchdog.conf",
    scope: "",
    list: &[
        param("interval", Kind::Number(1, 3600), "15", "Seconds between looks"),
        param(
            "ending-seconds",
            Kind::Number(1, 86_400),
            "30",
            "How long the end of a leg may take",
        ),
        param(
            "setup-seconds",
            Kind::Number(1, 86_400),
            "180",
            "How long a leg may neither ring nor be answered",
        ),
        param("end-setup", Kind::Bool, "false", "Legs stuck in their setup are hung up"),
    ],
}];

const EVENTS: &[EventKind] = &[event(EVENT, "A leg does not go on")];

/// Its state for a switch.
#[derive(Default)]
struct Watching {
    settings: Mutex<Settings>,
    /// Legs that were told of.
    told: Mutex<HashSet<String>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// `watchdog.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    interval: u64,
    ending: i64,
    setup: i64,
    end_setup: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: 15, ending: 30, setup: 180, end_setup: false }
    }
}

impl Settings {
    fn read(conf: Option<Node<'_>>) -> Self {
        let mut read = Self::default();
        for param in &dialplan_xml::config::settings(conf) {
            let number = || param.value.parse::<u32>().ok().filter(|number| *number > 0);
            match param.name.to_ascii_lowercase().as_str() {
                "interval" => read.interval = number().map_or(read.interval, u64::from),
                "ending-seconds" => read.ending = number().map_or(read.ending, i64::from),
                "setup-seconds" => read.setup = number().map_or(read.setup, i64::from),
                "end-setup" => read.end_setup = switch_core::text::is_true(&param.value),
                _ => {}
            }
        }
        read
    }
}

impl Module for Watchdog {
    fn name(&self) -> &'static str {
        "mod_watchdog"
    }

    fn provides(&self) -> Provides {
        Provides {
            json: &[JsonKind {
                name: "watchdog.stuck",
                answer: |switch, _| Ok(look(switch).iter().map(Stuck::row).collect()),
            }],
            parameters: PARAMETERS,
            events: &[EVENTS],
            readings: &[readings],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        configure(switch);
        Box::pin(std::future::ready(Ok(())))
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let watching = switch.module::<Watching>();
        let (switch, state) = (Arc::downgrade(switch), Arc::downgrade(&watching));
        let task = base::tasks::look_again(
            "Watchdog",
            move || Some(Duration::from_secs(state.upgrade()?.settings.lock().interval)),
            move |_| {
                let Some(switch) = switch.upgrade() else { return false };
                watch(&switch);
                true
            },
        );
        *watching.task.lock() = Some(task);
        Box::pin(std::future::ready(()))
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            configure(switch);
        }
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let task = switch.module::<Watching>().task.lock().take();
        if let Some(task) = task {
            task.abort();
        }
        Box::pin(std::future::ready(()))
    }
}

fn configure(switch: &Switch) {
    let config = switch.config.load_full();
    let settings = Settings::read(config.document("watchdog.conf"));
    *switch.module::<Watching>().settings.lock() = settings;
}

/// Why a leg counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Its end takes too long.
    Ending,
    /// It neither rang nor was answered.
    Setup,
}

impl Reason {
    const ALL: [Self; 2] = [Self::Ending, Self::Setup];

    const fn name(self) -> &'static str {
        match self {
            Self::Ending => "ending",
            Self::Setup => "setup",
        }
    }
}

/// What is looked at of a leg. Times are microseconds since the epoch, 0 for what did not happen.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    up: bool,
    created: i64,
    rang: i64,
    answered: i64,
    hungup: i64,
}

/// Whether a leg is stuck, and since when.
fn judge(moments: &Moments, settings: &Settings, now: i64) -> Option<(Reason, i64)> {
    let older = |since: i64, seconds: i64| since > 0 && now - since > seconds * 1_000_000;
    let Moments { up, created, rang, answered, hungup } = *moments;
    if !up {
        return older(hungup, settings.ending).then_some((Reason::Ending, hungup));
    }
    let quiet = rang == 0 && answered == 0;
    (quiet && older(created, settings.setup)).then_some((Reason::Setup, created))
}

/// A leg that does not go on.
struct Stuck {
    channel: Arc<Channel>,
    reason: Reason,
    since: i64,
    waits_for: String,
}

impl Stuck {
    fn row(&self) -> Value {
        let seconds = (clock::now_us() - self.since) / 1_000_000;
        json!({
            "uuid": self.channel.uuid().as_ref(),
            "name": self.channel.name(),
            "reason": self.reason.name(),
            "waits_for": self.waits_for,
            "since": clock::local_stamp(self.since),
            "seconds": seconds,
        })
    }
}

/// The legs that are stuck now.
fn look(switch: &Switch) -> Vec<Stuck> {
    let settings = switch
        .slots()
        .find::<Watching>()
        .map(|watching| *watching.settings.lock())
        .unwrap_or_default();
    let now = clock::now_us();
    let mut found = Vec::new();
    for channel in switch.channels() {
        let times = channel.profile().times;
        let first = |a: i64, b: i64| if a == 0 { b } else { a };
        let moments = Moments {
            up: channel.is_up(),
            created: channel.created(),
            rang: first(times.progress, times.progress_media),
            answered: times.answered,
            hungup: times.hungup,
        };
        let Some((reason, since)) = judge(&moments, &settings, now) else { continue };
        let state = channel.running();
        let running = channel.with(|data| data.app_log.last().cloned());
        let waits_for = match running {
            Some((name, argument, _)) if moments.up => format!("{name}({argument}) in {state:?}"),
            _ => format!("{state:?}"),
        };
        found.push(Stuck { channel, reason, since, waits_for });
    }
    found
}

/// Looks, tells of what is new, and ends what the settings say.
fn watch(switch: &Arc<Switch>) {
    let watching = switch.module::<Watching>();
    let end_setup = watching.settings.lock().end_setup;
    let stuck = look(switch);
    let mut told = watching.told.lock();
    told.retain(|uuid| stuck.iter().any(|leg| leg.channel.uuid().as_ref() == uuid));
    for leg in &stuck {
        if told.insert(leg.channel.uuid().to_string()) {
            tell(switch, leg);
        }
        if end_setup && leg.reason == Reason::Setup {
            leg.channel.hangup(Cause::RECOVERY_ON_TIMER_EXPIRE);
        }
    }
}

fn tell(switch: &Switch, leg: &Stuck) {
    let uuid = leg.channel.uuid();
    let since = clock::local_stamp(leg.since);
    tracing::warn!(%uuid, "{} is stuck since {since} ({}): {}", leg.channel.name(), leg.reason.name(), leg.waits_for);
    if !switch.bus.wants(EventName::Custom) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::custom(EVENT);
    event.push("Unique-ID", uuid.to_string());
    event.push("Channel-Name", leg.channel.name());
    event.push("Reason", leg.reason.name());
    event.push("Waits-For", leg.waits_for.as_str());
    event.push("Since", since);
    esl_server::fire!(switch.bus, event);
}

fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let stuck = look(switch);
    Reason::ALL
        .map(|reason| {
            let count = stuck.iter().filter(|leg| leg.reason == reason).count() as f64;
            Reading::gauge("stuck_legs", "Call legs that do not go on.", count)
                .of("reason", reason.name())
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn judged(moments: Moments, now: i64) -> Option<Reason> {
        judge(&moments, &Settings::default(), now * SECOND).map(|(reason, _)| reason)
    }

    #[test]
    fn a_leg_is_stuck_in_its_end_or_its_setup_and_never_in_its_conversation() {
        let new = Moments { up: true, created: SECOND, ..Moments::default() };
        assert_eq!(judged(new, 100), None);
        assert_eq!(judged(new, 182), Some(Reason::Setup));
        assert_eq!(judged(Moments { rang: 2 * SECOND, ..new }, 9000), None);
        assert_eq!(judged(Moments { answered: 2 * SECOND, ..new }, 900_000), None);
        let over = Moments { up: false, hungup: 100 * SECOND, answered: 2 * SECOND, ..new };
        assert_eq!(judged(over, 120), None);
        assert_eq!(judged(over, 131), Some(Reason::Ending));
    }
}
