//! The switch's clockwork: counters every second, memory given back, HEARTBEAT every `event-heartbeat-interval`, the core's tasks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dialplan_xml::Globals;
use esl_server::CoreInfo;
use esl_server::event::{Event, EventName};
use media::overload::{Change, OverloadWatch};
use parking_lot::Mutex;

use crate::clock;
use crate::config::Config;
use crate::schedule::Job;
use crate::switch::{Peaks, Switch, tick};
use base::machine::Machine;
use base::memory::Tidy;
use base::version::COMPATIBLE_FULL;

/// Seconds between looks at the machine's name and addresses.
const CHECK_IP: u32 = 60;

/// Starts everything that goes by the clock.
pub fn start(switch: &Arc<Switch>) {
    let seconds = switch.config.load().switch.event_heartbeat_interval.max(1);
    let heartbeat = Job::new("heartbeat", "core", Some(seconds), |switch| {
        fire(&switch);
        std::future::ready(())
    });
    let seen = Seen::now();
    let check_ip = Job::new("check_ip", "core", Some(CHECK_IP), move |switch| {
        check_machine(&switch, &seen);
        std::future::ready(())
    });
    switch.scheduler.add(switch, clock::now_secs(), heartbeat);
    switch.scheduler.add(switch, clock::now_secs() + i64::from(CHECK_IP), check_ip);
    let switch = Arc::clone(switch);
    crate::tasks::keep_running("The switch's clock", move || run(Arc::clone(&switch)));
}

async fn run(switch: Arc<Switch>) {
    let history = Mutex::new(Peaks::default());
    let mut tidy = Tidy::default();
    let mut media = OverloadWatch::default();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        tick(&switch, &history);
        look_at_media(&switch, &mut media);
        tidy.look();
    }
}

/// Refuses new calls while the media threads are overloaded.
fn look_at_media(switch: &Switch, watch: &mut OverloadWatch) {
    let (change, lost) = watch.look(&switch.media.load());
    switch.counters.media_full.store(watch.is_full(), Ordering::Relaxed);
    match change {
        Some(Change::Full) => {
            tracing::error!(fs_level = "CRIT", "The media threads are busy: new calls are refused");
        }
        Some(Change::Free) => {
            tracing::warn!("The media threads have time again: new calls are taken");
        }
        None => {}
    }
    if let Some(lost) = lost {
        tracing::warn!("The media threads are behind: {lost} packets were too old to be sent on");
    }
}

/// Fires HEARTBEAT.
pub fn fire(switch: &Switch) {
    if !switch.bus.wants(EventName::Heartbeat) {
        switch.bus.skip();
        return;
    }
    let counters = &switch.counters;
    let count = |value: &std::sync::atomic::AtomicU32| value.load(Ordering::Relaxed).to_string();
    let uptime = uptime_us(switch);
    let mut event = Event::new(EventName::Heartbeat);
    event.push("Event-Info", "System Ready");
    event.push("Up-Time", clock::duration_text(uptime));
    event.push("FreeSWITCH-Version", COMPATIBLE_FULL);
    event.push("Uptime-msec", (uptime / 1000).to_string());
    event.push("Session-Count", switch.channel_count().to_string());
    event.push("Max-Sessions", count(&counters.max_sessions));
    event.push("Session-Per-Sec", count(&counters.sps_limit));
    event.push("Session-Per-Sec-Last", count(&counters.last_second));
    event.push("Session-Per-Sec-Max", count(&counters.sps_peak));
    event.push("Session-Per-Sec-FiveMin", count(&counters.sps_peak_five_minutes));
    event.push("Session-Since-Startup", counters.total.load(Ordering::Relaxed).to_string());
    event.push("Session-Peak-Max", count(&counters.peak));
    event.push("Session-Peak-FiveMin", count(&counters.peak_five_minutes));
    event.push("Idle-CPU", format!("{:.6}", switch_log::idle_cpu()));
    esl_server::fire!(switch.bus, event);
}

/// The machine as it was last seen.
#[derive(Clone, Debug)]
pub struct Seen(Arc<Mutex<Machine>>);

impl Seen {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        Self(Arc::new(Mutex::new(Machine::now())))
    }
}

/// Looks whether the machine has got another name or address, and tells (TRAP) if so.
pub fn check_machine(switch: &Switch, seen: &Seen) {
    let now = Machine::now();
    let before = std::mem::replace(&mut *seen.0.lock(), now.clone());
    let changed = before.changed(&now);
    if changed.is_empty() {
        return;
    }
    for (name, value) in changed {
        tracing::info!("{name} is now {value}");
        switch.set_global(name, &value);
    }
    let core_uuid = switch.global("core_uuid").unwrap_or_default();
    let info = core_info(&core_uuid, &switch.config.load(), &switch.globals());
    switch.bus.set_core_info(info);
    if before.hostname != now.hostname {
        let mut event = Event::new(EventName::Trap);
        event.push("condition", "hostname-change");
        event.push("old-hostname", before.hostname.as_str());
        event.push("new-hostname", now.hostname.as_str());
        esl_server::fire!(switch.bus, event);
    }
    let addresses = [("v4", before.v4, now.v4), ("v6", before.v6, now.v6)];
    if addresses.iter().any(|(_, old, new)| old != new) {
        let mut event = Event::new(EventName::Trap);
        event.push("condition", "network-address-change");
        for (family, old, new) in addresses.iter().filter(|(_, old, new)| old != new) {
            event.push(format!("network-address-previous-{family}"), old.to_string());
            event.push(format!("network-address-change-{family}"), new.to_string());
        }
        esl_server::fire!(switch.bus, event);
    }
}

/// Microseconds since the switch started.
#[must_use]
pub fn uptime_us(switch: &Switch) -> i64 {
    i64::try_from(switch.started.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// What every event says about the switch.
#[must_use]
pub fn core_info(core_uuid: &str, conf: &Config, globals: &Globals) -> CoreInfo {
    let hostname = globals.get("hostname").unwrap_or("localhost").to_owned();
    CoreInfo {
        core_uuid: core_uuid.to_owned(),
        switchname: conf.switch.switchname.clone().unwrap_or_else(|| hostname.clone()),
        hostname,
        ipv4: globals.get("local_ip_v4").unwrap_or("127.0.0.1").to_owned(),
        ipv6: globals.get("local_ip_v6").unwrap_or("::1").to_owned(),
    }
}
