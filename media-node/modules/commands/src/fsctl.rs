//! `fsctl`: the switch's own switches.

use std::sync::atomic::{AtomicU32, Ordering};

use esl_server::{Event, EventName, Level};

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::{Cause, Direction};
use crate::contract::{self, Effect};
use crate::switch::{Stop, Switch};
use crate::text;
use switch_core::store::tuning::Tuning;
use switch_log as log;

const SYNTAX: &str = "[api_expansion [on|off]|recover|send_sighup|hupall|pause [inbound|outbound]|resume [inbound|outbound]|\
shutdown [cancel|elegant|asap|now|restart]|sps|sps_peak_reset|sync_clock|sync_clock_when_idle|reclaim_mem|max_sessions|\
min_dtmf_duration [num]|max_dtmf_duration [num]|default_dtmf_duration [num]|min_idle_cpu|loglevel [level]|\
debug_level [level]|mdns_resolve [enable|disable]]";

/// Highest `debug_level` there is.
const MAX_DEBUG_LEVEL: u32 = 10;

/// Verbs that are accepted and do nothing.
pub(crate) const IDLE: &[(&str, &str)] = &[
    ("fsctl calibrate_clock", "the system's clock needs none"),
    ("fsctl debug_level", "the number is kept; nothing depends on it"),
    ("fsctl debug_sql", "calls and channels are kept without SQL"),
    ("fsctl flush_db_handles", "calls and channels are kept without SQL"),
    ("fsctl mdns_resolve", "names ending in .local are asked for as any other"),
    ("fsctl recover", "no call outlives the process"),
    ("fsctl save_history", "fs_cli keeps its own history"),
    ("fsctl sql", "calls and channels are kept without SQL"),
    ("fsctl sync_clock", "the system's clock is used as it is"),
    ("fsctl sync_clock_when_idle", "the system's clock is used as it is"),
    ("fsctl threaded_system_exec", "programs always run beside the switch"),
];

/// The family.
pub const APIS: &[Api] = &[
    api!("fsctl", "mod_commands", SYNTAX, "FS control messages", run),
    api!("shutdown", "mod_commands", "", "Shutdown", shutdown_now),
];

fn shutdown_now(call: &ApiCall) -> String {
    call.switch.stop(Stop::Now);
    "+OK\n".into()
}

fn run(call: &ApiCall) -> String {
    let words = call.words(6);
    let Some(command) = words.first() else { return usage(SYNTAX) };
    let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let idle = |(name, _): &&(&str, &str)| {
        name.strip_prefix("fsctl ").is_some_and(|verb| verb.eq_ignore_ascii_case(command))
    };
    if let Some((name, why)) = IDLE.iter().find(idle) {
        contract::warn_idle("command", name, Effect::NoEffect(why));
    }
    if command.eq_ignore_ascii_case("shutdown") && ends_elegantly(&rest) {
        announce_end(call, &rest);
    }
    act(&call.switch, &command.to_ascii_lowercase(), &rest)
        .unwrap_or_else(|| format!("-ERR Invalid command\nUSAGE: fsctl {SYNTAX}\n"))
}

fn ok() -> Option<String> {
    Some("+OK\n".into())
}

fn act(switch: &Switch, command: &str, rest: &[&str]) -> Option<String> {
    let counters = &switch.counters;
    let tuning = &switch.stores.tuning;
    let first = rest.first().copied();
    match command {
        "hupall" => {
            let cause = first.map_or(Cause::MANAGER_REQUEST, Cause::parse);
            switch.channels().iter().for_each(|channel| channel.hangup(cause));
            ok()
        }
        "pause" | "resume" => {
            let pause = command == "pause";
            if first != Some("outbound") {
                counters.paused_inbound.store(pause, Ordering::Relaxed);
            }
            if first != Some("inbound") {
                counters.paused_outbound.store(pause, Ordering::Relaxed);
            }
            ok()
        }
        "pause_check" => {
            let inbound = counters.paused_inbound.load(Ordering::Relaxed);
            let outbound = counters.paused_outbound.load(Ordering::Relaxed);
            let paused = match first {
                Some("inbound") => inbound,
                Some("outbound") => outbound,
                _ => inbound && outbound,
            };
            Some(paused.to_string())
        }
        "ready_check" => Some(switch.admit(Direction::Inbound).is_ok().to_string()),
        "shutdown_check" => Some((counters.ending.load(Ordering::Relaxed) > 0).to_string()),
        "shutdown" => {
            shutdown(switch, rest);
            ok()
        }
        "send_sighup" => {
            let _sent = nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP);
            ok()
        }
        "reclaim_mem" => {
            tokio::task::spawn_blocking(crate::memory::give_back);
            ok()
        }
        "flush_db_handles" | "calibrate_clock" | "save_history" => ok(),
        // Without a word the reference answers nothing at all.
        "sql" => first.map_or_else(|| Some(String::new()), |_| ok()),
        "mdns_resolve" => match first.map(str::to_ascii_lowercase).as_deref() {
            Some("enable" | "disable") => ok(),
            _ => None,
        },
        "recover" => Some("+OK 0 session(s) recovered in total\n".into()),
        "sync_clock" => Some("+OK clock synchronized\n".into()),
        "sync_clock_when_idle" => {
            Some("+OK clock will synchronize when there are no more calls\n".into())
        }
        "max_sessions" => {
            Some(format!("+OK max sessions: {}\n", changed(&counters.max_sessions, first)))
        }
        "sps" => {
            Some(format!("+OK sessions per second: {}\n", changed(&counters.sps_limit, first)))
        }
        "last_sps" => Some(format!(
            "+OK last sessions per second: {}\n",
            counters.last_second.load(Ordering::Relaxed)
        )),
        "sps_peak_reset" => {
            counters.sps_peak.store(0, Ordering::Relaxed);
            Some("+OK max sessions per second counter reset\n".into())
        }
        "min_idle_cpu" => Some(min_idle_cpu(tuning, first)),
        "max_dtmf_duration" => Some(dtmf("max", &tuning.max_dtmf, first)),
        "min_dtmf_duration" => Some(dtmf("min", &tuning.min_dtmf, first)),
        "default_dtmf_duration" => Some(dtmf("default", &tuning.default_dtmf, first)),
        "loglevel" => Some(loglevel(first)),
        "debug_level" => {
            let level = first.and_then(|word| u32::try_from(text::int(word)).ok());
            if let Some(level) = level {
                tuning.debug_level.store(level.min(MAX_DEBUG_LEVEL), Ordering::Relaxed);
            }
            Some(format!("+OK DEBUG level: {}\n", tuning.debug_level.load(Ordering::Relaxed)))
        }
        "verbose_events" => {
            if let Some(word) = first {
                switch.set_verbose_events(text::is_true(word));
            }
            Some(format!("+OK verbose_events is {} \n", on_off(switch.verbose_events())))
        }
        "api_expansion" => {
            if let Some(word) = first {
                tuning.api_expansion.store(text::is_true(word), Ordering::Relaxed);
            }
            Some(format!(
                "+OK api_expansion is {} \n",
                on_off(tuning.api_expansion.load(Ordering::Relaxed))
            ))
        }
        "threaded_system_exec" => Some("+OK threaded_system_exec is true \n".into()),
        "debug_sql" => Some("+OK SQL DEBUG [off]\n".into()),
        _ => None,
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Takes a new value, if one is given, and tells the one that counts. 0 is a question, not a value.
fn changed(value: &AtomicU32, given: Option<&str>) -> u32 {
    let number = given.and_then(|word| u32::try_from(text::int(word)).ok());
    if let Some(number) = number.filter(|number| *number > 0) {
        value.store(number, Ordering::Relaxed);
    }
    value.load(Ordering::Relaxed)
}

fn dtmf(which: &str, value: &AtomicU32, given: Option<&str>) -> String {
    let given = given.filter(|word| (400..=192_000).contains(&text::int(word)));
    format!("+OK {which} dtmf duration: {}\n", changed(value, given))
}

fn min_idle_cpu(tuning: &Tuning, given: Option<&str>) -> String {
    if let Some(percent) = given.and_then(|word| word.parse().ok()) {
        tuning.set_min_idle_cpu(percent);
    }
    let percent = tuning.min_idle_cpu();
    if percent > 0.0 {
        format!("+OK min idle cpu: {percent:.2}%\n")
    } else {
        "+OK min idle cpu: DISABLED\n".into()
    }
}

fn loglevel(given: Option<&str>) -> String {
    let Some(word) = given else { return "+OK log level: DISABLE [-1]\n".into() };
    let level = Level::parse(word).or_else(|| Level::from_number(word.parse().ok()?));
    let Some(level) = level else { return "-ERR syntax error, log level not set!\n".into() };
    if let Some(control) = log::control() {
        control.set_core_level(level);
    }
    format!("+OK log level: {level} [{}]\n", level as u8)
}

/// Whether an end is asked for that waits for calls.
fn ends_elegantly(words: &[&str]) -> bool {
    !says(words, "cancel") && !says(words, "now") && (says(words, "elegant") || says(words, "asap"))
}

fn says(words: &[&str], word: &str) -> bool {
    words.iter().any(|said| said.eq_ignore_ascii_case(word))
}

fn announce_end(call: &ApiCall, words: &[&str]) {
    esl_server::fire!(call.switch.bus, {
        let mut event = Event::new(EventName::ShutdownRequested);
        event.push("Event-Info", if says(words, "asap") { "ASAP" } else { "elegant" });
        event
    });
}

/// The words stand in any order; `cancel` goes before all others.
fn shutdown(switch: &Switch, words: &[&str]) {
    let restart = says(words, "restart") || says(words, "reincarnate");
    if says(words, "cancel") {
        switch.cancel_stop();
    } else if !ends_elegantly(words) {
        switch.stop(if restart { Stop::Restart } else { Stop::Now });
    } else if says(words, "asap") {
        switch.stop(if restart { Stop::RestartElegant } else { Stop::Elegant });
    } else {
        switch.stop_when_idle(restart);
    }
}
