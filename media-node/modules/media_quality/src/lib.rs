//! The audio of calls, watched (mod_media_quality): legs that are degraded, one-way or silent are told of in an event and
//! counted; what was measured is in the variables of every leg that ends.

#![deny(unsafe_code)]

mod judge;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::reading::Reading;
use dialplan_xml::Node;
use media::stats::{Quality, Stats, Way};
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::call::{Channel, Session, bypass};
use switch_core::contract::declare::{
    EventKind, Parameters, Value as Kind, Variable, event, param, sets,
};
use switch_core::contract::{CallObserver, Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use tokio::task::JoinHandle;

use judge::{Follower, Limits, Seen, State, judge};

/// Subclass of the event about a leg whose audio is in another state.
const EVENT: &str = "ferroswitch::media_quality";

/// mod_media_quality.
pub struct MediaQuality;

/// The module.
pub const MODULE: MediaQuality = MediaQuality;

const PARAMETERS: &[Parameters] = &[Parameters {
    file: "media_quality.conf",
    scope: "",
    list: &[
        param("interval", Kind::Number(1, 60), "5", "Seconds between looks"),
        param(
            "loss-percent",
            Kind::Number(0, 100),
            "5",
            "Degraded above this share of packets lost",
        ),
        param("jitter-ms", Kind::Number(1, 10_000), "80", "Degraded above this jitter"),
        param("round-trip-ms", Kind::Number(1, 60_000), "800", "Degraded above this round trip"),
        param("mos", Kind::Text, "3.1", "Degraded below this mean opinion score"),
        param(
            "silent-seconds",
            Kind::Number(1, 3600),
            "10",
            "Seconds without packets until a leg is one-way or silent",
        ),
    ],
}];

const EVENTS: &[EventKind] =
    &[event(EVENT, "A leg's audio became degraded, one-way, silent, or good again")];

const VARIABLES: &[Variable] = &[
    sets("media_quality", "Worst state of the leg's audio: good, degraded, one-way, silent"),
    sets("media_quality_degraded_seconds", "How long it was degraded"),
    sets("media_quality_one_way_seconds", "How long packets came or went one way only"),
    sets("media_quality_silent_seconds", "How long there were none"),
    sets("media_quality_in_lost", "Packets of the far end that were lost"),
    sets("media_quality_in_loss_percent", "Their share"),
    sets("media_quality_in_jitter_ms", "Interarrival jitter of what came last"),
    sets("media_quality_in_mos", "Mean opinion score of what came"),
    sets("media_quality_out_lost", "Packets to the far end that it reports lost"),
    sets("media_quality_out_loss_percent", "Their share"),
    sets("media_quality_out_jitter_ms", "Jitter as the far end reports it"),
    sets("media_quality_out_mos", "Mean opinion score of what was sent"),
    sets("media_quality_round_trip_ms", "Round trip by RTCP"),
];

/// Its state for a switch.
#[derive(Default)]
struct Watching {
    settings: Mutex<Settings>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// How often legs came into each state, in the order of [`State::ALL`].
    entered: [AtomicU64; 4],
}

/// `media_quality.conf`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    interval: u64,
    limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: 5, limits: Limits::default() }
    }
}

impl Settings {
    fn read(conf: Option<Node<'_>>) -> Self {
        let mut read = Self::default();
        for param in &dialplan_xml::config::settings(conf) {
            let number = |range: std::ops::RangeInclusive<f64>| {
                param.value.trim().parse::<f64>().ok().filter(|number| range.contains(number))
            };
            let limits = &mut read.limits;
            let (place, range) = match param.name.to_ascii_lowercase().as_str() {
                "interval" => {
                    read.interval = number(1.0..=60.0).map_or(read.interval, |n| n as u64);
                    continue;
                }
                "silent-seconds" => {
                    limits.silent_seconds =
                        number(1.0..=3600.0).map_or(limits.silent_seconds, |n| n as u64);
                    continue;
                }
                "loss-percent" => (&mut limits.loss_percent, 0.0..=100.0),
                "jitter-ms" => (&mut limits.jitter_ms, 1.0..=10_000.0),
                "round-trip-ms" => (&mut limits.round_trip_ms, 1.0..=60_000.0),
                "mos" => (&mut limits.mos, 1.0..=4.5),
                _ => continue,
            };
            *place = number(range).unwrap_or(*place);
        }
        read
    }
}

impl Module for MediaQuality {
    fn name(&self) -> &'static str {
        "mod_media_quality"
    }

    fn provides(&self) -> Provides {
        Provides {
            parameters: PARAMETERS,
            variables: &[VARIABLES],
            events: &[EVENTS],
            observers: &[&Observer],
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
            "Quality of media",
            move || Some(Duration::from_secs(state.upgrade()?.settings.lock().interval)),
            move |pause| {
                let Some(switch) = switch.upgrade() else { return false };
                look(&switch, pause.as_secs());
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
    let settings = Settings::read(config.document("media_quality.conf"));
    *switch.module::<Watching>().settings.lock() = settings;
}

/// What is kept of a leg.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// The counters at the last look.
    before: Option<Stats>,
    follower: Follower,
}

/// Looks at every leg.
fn look(switch: &Arc<Switch>, seconds: u64) {
    let watching = switch.module::<Watching>();
    let limits = watching.settings.lock().limits;
    for channel in switch.channels() {
        if let Some(change) = look_at(&channel, seconds, &limits) {
            watching.entered[change.state as usize].fetch_add(1, Ordering::Relaxed);
            tell(&channel, &change);
        }
    }
}

/// A leg's audio is in another state.
struct Changed {
    state: State,
    left: State,
    reason: &'static str,
    quality: Quality,
}

fn look_at(channel: &Channel, seconds: u64, limits: &Limits) -> Option<Changed> {
    let leg = channel.media().filter(|_| channel.is_up() && channel.is_answered())?;
    let now = leg.stats();
    let expected = expected(channel);
    channel.with(|data| {
        let watched: &mut Watched = data.slot();
        let before = watched.before.replace(now);
        let (Some(before), Some((expects_in, expects_out))) = (before, expected) else {
            watched.follower.pause();
            return None;
        };
        let seen = Seen {
            expects_in,
            expects_out,
            packets_in: now.inbound.packet_count.saturating_sub(before.inbound.packet_count),
            packets_out: now.outbound.packet_count.saturating_sub(before.outbound.packet_count),
            quality: now.quality(leg.codec(), Some(&before)),
        };
        let (state, reason) = judge(&seen, limits);
        let left = watched.follower.take(state, seconds, limits)?;
        Some(Changed { state, left, reason, quality: seen.quality })
    })
}

/// Whether packets are to be expected from the far end, and of ours; `None` while a leg is held or its media is elsewhere.
fn expected(channel: &Channel) -> Option<(bool, bool)> {
    if bypass::is_on(channel) || channel.flags.held.load(Ordering::Relaxed) {
        return None;
    }
    let (receives, sends) = match channel.var("audio_media_flow").as_deref() {
        Some("inactive") => return None,
        Some("recvonly") => (true, false),
        Some("sendonly") => (false, true),
        _ => (true, true),
    };
    Some((receives, sends && channel.partner().is_some()))
}

fn tell(channel: &Channel, change: &Changed) {
    let Changed { state, left, reason, quality } = change;
    let (uuid, name) = (channel.uuid(), channel.name());
    if *state == State::Good {
        tracing::info!(%uuid, "{name}: audio is good again");
    } else {
        tracing::warn!(%uuid, "{name}: audio is {} ({reason})", state.name());
    }
    let figures = figures(quality);
    channel.fire_custom(
        EVENT,
        |event| {
            event.push("Media-Quality", state.name());
            event.push("Media-Quality-Before", left.name());
            if !reason.is_empty() {
                event.push("Media-Quality-Reason", *reason);
            }
            for (header, _, value) in &figures {
                event.push(*header, value.as_str());
            }
        },
        |_| {},
    );
}

/// The figures that are known: header, variable, value.
fn figures(quality: &Quality) -> Vec<(&'static str, &'static str, String)> {
    let mut all = Vec::with_capacity(9);
    let of = |way: &Way| {
        let two = |value: f64| format!("{value:.2}");
        [way.lost.to_string(), two(way.loss_percent), two(way.jitter_ms), two(way.mos)]
    };
    const IN: [(&str, &str); 4] = [
        ("In-Lost", "media_quality_in_lost"),
        ("In-Loss-Percent", "media_quality_in_loss_percent"),
        ("In-Jitter-MS", "media_quality_in_jitter_ms"),
        ("In-MOS", "media_quality_in_mos"),
    ];
    const OUT: [(&str, &str); 4] = [
        ("Out-Lost", "media_quality_out_lost"),
        ("Out-Loss-Percent", "media_quality_out_loss_percent"),
        ("Out-Jitter-MS", "media_quality_out_jitter_ms"),
        ("Out-MOS", "media_quality_out_mos"),
    ];
    for (way, names) in [(&quality.inbound, IN), (&quality.outbound, OUT)] {
        let values = way.iter().flat_map(of);
        all.extend(names.into_iter().zip(values).map(|((head, name), value)| (head, name, value)));
    }
    if let Some(ms) = quality.round_trip_ms {
        all.push(("Round-Trip-MS", "media_quality_round_trip_ms", format!("{ms:.2}")));
    }
    all
}

/// Sets the variables of legs that end.
struct Observer;

impl CallObserver for Observer {
    fn hung_up<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, ()> {
        sum_up(session.channel());
        Box::pin(std::future::ready(()))
    }
}

fn sum_up(channel: &Channel) {
    let loaded = channel.switch().modules().is_loaded(MODULE.name());
    let Some(leg) = channel.media().filter(|_| loaded && channel.has_media()) else { return };
    let watched = channel.with(|data| data.find_slot::<Watched>().copied()).unwrap_or_default();
    let follower = &watched.follower;
    channel.set_var("media_quality", follower.worst().name());
    for (state, name) in [
        (State::Degraded, "media_quality_degraded_seconds"),
        (State::OneWay, "media_quality_one_way_seconds"),
        (State::Silent, "media_quality_silent_seconds"),
    ] {
        let seconds = follower.seconds(state);
        if seconds > 0 {
            channel.set_var(name, seconds.to_string());
        }
    }
    let figures = figures(&leg.stats().quality(leg.codec(), None));
    channel.set_vars(figures.into_iter().map(|(_, name, value)| (name, value)));
}

fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let watching = switch.module::<Watching>();
    let mut now = [0_u64; 4];
    for channel in switch.channels() {
        let found = channel.with(|data| data.find_slot::<Watched>().map(|w| w.follower.state()));
        if let Some(state) = found.filter(|_| channel.is_up()) {
            now[state as usize] += 1;
        }
    }
    let mut all = Vec::with_capacity(8);
    for state in State::ALL {
        let legs = now[state as usize] as f64;
        all.push(
            Reading::gauge(
                "media_quality_legs",
                "Answered call legs now, by the state of their audio.",
                legs,
            )
            .of("state", state.name()),
        );
    }
    for state in State::ALL {
        let entered = watching.entered[state as usize].load(Ordering::Relaxed);
        all.push(
            Reading::counter(
                "media_quality_changes_total",
                "Times a leg's audio came into a state.",
                entered,
            )
            .of("state", state.name()),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        assert!(figures(&Quality::default()).is_empty());
        let way = Way { packets: 90, lost: 10, loss_percent: 10.0, jitter_ms: 1.5, mos: 3.2 };
        let quality = Quality { inbound: Some(way), outbound: None, round_trip_ms: Some(12.0) };
        let told: Vec<_> =
            figures(&quality).into_iter().map(|(head, _, value)| (head, value)).collect();
        assert_eq!(told[1], ("In-Loss-Percent", "10.00".to_owned()));
        assert_eq!(told.last().unwrap(), &("Round-Trip-MS", "12.00".to_owned()));
        assert_eq!(told.len(), 5);
    }
}
