//! What the switch says about itself: `status`, `version`, `uptime`, names, `memory`.

use std::sync::atomic::Ordering;

use super::{Api, ApiCall};
use crate::api;
use crate::clock::duration_text;
use crate::heartbeat::uptime_us;
use crate::switch::Switch;
use base::version::{COMPATIBLE_FULL, COMPATIBLE_REVISION, COMPATIBLE_SHORT, OWN};

/// The family.
pub const APIS: &[Api] = &[
    api!("banner", "mod_commands", "", "Return the system banner", banner),
    api!(
        "getcputime",
        "mod_commands",
        "[reset]",
        "Gets CPU time in milliseconds (user,kernel)",
        cpu_time
    ),
    api!("hostname", "mod_commands", "", "Return the system hostname", hostname),
    api!(
        "media_load",
        "mod_commands",
        "",
        "Show how busy the media threads are and what they lost",
        media_load
    ),
    api!("memory", "mod_commands", "", "Return memory usage", memory),
    api!("pool_stats", "mod_commands", "", "Core pool memory usage", pool_stats),
    api!("status", "mod_commands", "", "Show current status", status),
    api!("switchname", "mod_commands", "", "Return the switch name", switchname),
    api!(
        "uptime",
        "mod_commands",
        "[us|ms|s|m|h|d|microseconds|milliseconds|seconds|minutes|hours|days]",
        "Show uptime",
        uptime
    ),
    api!("version", "mod_commands", "[short]", "Version", version),
];

/// The reply to `status` and `show status`.
#[must_use]
pub fn status_text(switch: &Switch) -> String {
    let counters = &switch.counters;
    let paused = counters.paused_inbound.load(Ordering::Relaxed)
        || counters.paused_outbound.load(Ordering::Relaxed)
        || counters.draining.load(Ordering::Relaxed);
    let load = |value: &std::sync::atomic::AtomicU32| value.load(Ordering::Relaxed);
    let (stack, stack_max) = stack_kilobytes();
    format!(
        "UP {}\n\
         FreeSWITCH (Version {COMPATIBLE_SHORT} {COMPATIBLE_REVISION}) is {}\n\
         {} session(s) since startup\n\
         {} session(s) - peak {}, last 5min {} \n\
         {} session(s) per Sec out of max {}, peak {}, last 5min {} \n\
         {} session(s) max\n\
         min idle cpu {:.2}/{:.2}\n\
         Current Stack Size/Max {stack}K/{stack_max}K\n",
        duration_text(uptime_us(switch)),
        if paused { "not ready" } else { "ready" },
        counters.total.load(Ordering::Relaxed),
        switch.channel_count(),
        load(&counters.peak),
        load(&counters.peak_five_minutes),
        load(&counters.last_second),
        load(&counters.sps_limit),
        load(&counters.sps_peak),
        load(&counters.sps_peak_five_minutes),
        load(&counters.max_sessions),
        switch.stores.tuning.min_idle_cpu(),
        switch_log::idle_cpu(),
    )
}

fn media_load(call: &ApiCall) -> String {
    let counters = &call.switch.counters;
    let mut text = "thread,legs,busy,late,late_frames,dropped_packets\n".to_owned();
    for (thread, load) in call.switch.media.load().iter().enumerate() {
        let percent = |permille: usize| format!("{}.{}%", permille / 10, permille % 10);
        text.push_str(&format!(
            "{thread},{},{},{},{},{}\n",
            load.legs,
            percent(load.busy_permille),
            percent(load.late_permille),
            load.late_frames,
            load.dropped_packets
        ));
    }
    let full = counters.media_full.load(Ordering::Relaxed);
    let refused = counters.media_refused.load(Ordering::Relaxed);
    text.push_str(&format!(
        "\nnew calls {}, {refused} refused\n",
        if full { "refused" } else { "taken" }
    ));
    text
}

/// Kilobytes shown when the stack is not limited.
const USUAL_STACK: u64 = 8192;

/// The stack limits of the process in kilobytes, soft and hard.
#[must_use]
pub fn stack_kilobytes() -> (u64, u64) {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_STACK).unwrap_or_default();
    let finite =
        |limit: u64, otherwise: u64| if limit == RLIM_INFINITY { otherwise } else { limit / 1024 };
    let soft = finite(soft, USUAL_STACK);
    (soft, finite(hard, soft))
}

fn status(call: &ApiCall) -> String {
    status_text(&call.switch)
}

fn version(call: &ApiCall) -> String {
    if call.args.trim().eq_ignore_ascii_case("short") {
        return format!("{COMPATIBLE_SHORT}\n");
    }
    format!("FreeSWITCH Version {COMPATIBLE_FULL} ({COMPATIBLE_REVISION})\n")
}

fn banner(_call: &ApiCall) -> String {
    format!(
        "\nFerroswitch {OWN}\ncompatible with FreeSWITCH {COMPATIBLE_FULL} ({COMPATIBLE_REVISION})\n"
    )
}

fn hostname(call: &ApiCall) -> String {
    call.switch.global("hostname").unwrap_or_default()
}

fn switchname(call: &ApiCall) -> String {
    call.switch.config.load().switch.switchname.clone().unwrap_or_else(|| hostname(call))
}

fn uptime(call: &ApiCall) -> String {
    let us = uptime_us(&call.switch);
    let shown = match call.args.trim() {
        "us" | "microseconds" => us,
        "ms" | "milliseconds" => us / 1000,
        "m" | "minutes" => us / 60_000_000,
        "h" | "hours" => us / 3_600_000_000,
        "d" | "days" => us / 86_400_000_000,
        _ => us / 1_000_000,
    };
    format!("{shown}\n")
}

fn cpu_time(_call: &ApiCall) -> String {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| "-ERR".to_owned(),
        |usage| {
            format!(
                "{},{}",
                usage.user_time().num_milliseconds(),
                usage.system_time().num_milliseconds()
            )
        },
    )
}

/// Lines of `/proc/self/status` about memory: what an administrator wants to know of a process without pools.
fn memory(_call: &ApiCall) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut out = String::from("Memory Status:\n");
    for line in status.lines().filter(|line| {
        line.starts_with("Vm") || line.starts_with("Rss") || line.starts_with("Threads")
    }) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn pool_stats(_call: &ApiCall) -> String {
    "+OK no memory pools in this switch\n".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_unit_is_singular() {
        assert_eq!(
            duration_text(((365 + 2) * 86_400 + 3600 + 61) * 1_000_000 + 2_001),
            "1 year, 2 days, 1 hour, 1 minute, 1 second, 2 milliseconds, 1 microsecond"
        );
        assert_eq!(
            duration_text(454_482_931),
            "0 years, 0 days, 0 hours, 7 minutes, 34 seconds, 482 milliseconds, 931 microseconds"
        );
    }
}
