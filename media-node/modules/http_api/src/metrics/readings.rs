//! Numbers read at each look: the switch's own, the media engine's, the process's, and those of other modules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::reading::{Kind, Reading};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use switch_core::guesses::Door;
use switch_core::switch::Switch;

use super::PREFIX;

/// Series of one name that are shown; more are left out, and counted.
const MOST_SERIES: usize = 512;

/// All of them.
pub(super) fn families(switch: &Arc<Switch>) -> Vec<MetricFamily> {
    let mut readings = of_switch(switch);
    readings.extend(of_media(switch));
    readings.extend(of_process());
    for module in switch.linked().iter() {
        readings.extend(module.provides().readings.iter().flat_map(|take| take(switch)));
    }
    as_families(readings)
}

fn as_families(readings: Vec<Reading>) -> Vec<MetricFamily> {
    let mut by_name: BTreeMap<&'static str, MetricFamily> = BTreeMap::new();
    let mut left_out = 0u64;
    let own = || {
        let help = "Series left out because one metric had too many.";
        Reading::counter("series_left_out", help, 0)
    };
    for reading in readings {
        let family = by_name.entry(reading.name).or_insert_with(|| family(&reading));
        if family.get_metric().len() < MOST_SERIES {
            family.mut_metric().push(metric(&reading));
        } else {
            left_out += 1;
        }
    }
    let left_out = Reading { value: left_out as f64, kind: Kind::Gauge, ..own() };
    let mut last = family(&left_out);
    last.mut_metric().push(metric(&left_out));
    by_name.into_values().chain([last]).collect()
}

fn family(reading: &Reading) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{}", reading.name));
    family.set_help(reading.help.to_owned());
    family.set_field_type(match reading.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    family
}

fn metric(reading: &Reading) -> Metric {
    let mut metric = Metric::default();
    let label = |(name, value): &(&'static str, String)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value(value.clone());
        label
    };
    let mut labels: Vec<LabelPair> = reading.labels.iter().map(label).collect();
    labels.sort_by(|a, b| a.name().cmp(b.name()));
    metric.set_label(labels);
    match reading.kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(reading.value);
            metric.set_counter(counter);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(reading.value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn of_switch(switch: &Arc<Switch>) -> Vec<Reading> {
    let counters = &switch.counters;
    let small = |counter: &std::sync::atomic::AtomicU32| f64::from(counter.load(Ordering::Relaxed));
    let mut all = vec![
        Reading::gauge("build_info", "1; the labels say what runs.", 1.0)
            .of("version", env!("CARGO_PKG_VERSION"))
            .of("compatible", base::version::COMPATIBLE_SHORT),
        Reading::gauge(
            "start_time_seconds",
            "When the process started, seconds since the epoch.",
            switch.started_us as f64 / 1e6,
        ),
        Reading::counter(
            "legs_started_total",
            "Call legs begun: attempts, both directions.",
            counters.total.load(Ordering::Relaxed),
        ),
        Reading::gauge(
            "legs_per_second",
            "Call legs begun in the last second.",
            small(&counters.last_second),
        ),
        Reading::gauge(
            "legs_per_second_peak",
            "Most call legs begun in one second since the start.",
            small(&counters.sps_peak),
        ),
        Reading::gauge("legs_limit", "Call legs allowed at once.", small(&counters.max_sessions)),
        Reading::gauge(
            "legs_peak",
            "Most call legs at once since the start.",
            small(&counters.peak),
        ),
        Reading::gauge(
            "ready",
            "1 while new calls are taken.",
            f64::from(u8::from(crate::health::reasons(switch).is_empty())),
        ),
    ];
    let help = "Call legs now, by direction and whether they are answered.";
    let mut legs = BTreeMap::new();
    for direction in ["inbound", "outbound"] {
        for answered in ["false", "true"] {
            legs.insert((direction, answered), 0u32);
        }
    }
    for channel in switch.channels() {
        let answered = if channel.is_answered() { "true" } else { "false" };
        *legs.entry((channel.direction().name(), answered)).or_default() += 1;
    }
    all.extend(legs.into_iter().map(|((direction, answered), count)| {
        let reading = Reading::gauge("legs", help, f64::from(count));
        reading.of("direction", direction).of("answered", answered)
    }));
    for door in Door::ALL {
        let counts = switch.guesses.at(door).counts();
        let help = "Wrong passwords and unknown accounts.";
        let failed = Reading::counter("auth_failures_total", help, counts.failed);
        let help = "Attempts to log in that were refused unread, because of wrong ones before.";
        let held_back = Reading::counter("auth_held_back_total", help, counts.held_back);
        all.extend([failed, held_back].map(|reading| reading.of("door", door.name())));
    }
    all
}

fn of_media(switch: &Switch) -> Vec<Reading> {
    let mut all = Vec::new();
    for (index, load) in switch.media.load().into_iter().enumerate() {
        let own = [
            Reading::gauge("media_legs", "Legs on a media thread.", load.legs as f64),
            Reading::gauge(
                "media_busy_ratio",
                "Share of the last second a media thread worked, 0 to 1.",
                load.busy_permille as f64 / 1000.0,
            ),
            Reading::counter(
                "media_late_frames_total",
                "Frames a media thread skipped because it was late.",
                load.late_frames as u64,
            ),
            Reading::counter(
                "media_dropped_packets_total",
                "Packets dropped because they had waited too long to be read.",
                load.dropped_packets as u64,
            ),
        ];
        all.extend(own.map(|reading| reading.of("worker", index.to_string())));
    }
    let (used, pairs) = switch.media.port_pairs();
    all.extend([
        Reading::gauge("rtp_port_pairs_used", "RTP port pairs in use.", used as f64),
        Reading::gauge("rtp_port_pairs", "RTP port pairs of the range.", pairs as f64),
        Reading::counter(
            "media_refused_total",
            "Calls refused because the media threads were busy.",
            switch.counters.media_refused.load(Ordering::Relaxed),
        ),
    ]);
    all
}

fn of_process() -> Vec<Reading> {
    let mut all = Vec::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    if let Some(kilobytes) = kilobytes {
        let bytes = kilobytes * 1024.0;
        all.push(Reading::gauge("process_resident_bytes", "Memory in use.", bytes));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let count = open.count() as f64;
        all.push(Reading::gauge("process_open_files", "Open files and sockets.", count));
    }
    all.push(Reading::gauge(
        "idle_cpu_ratio",
        "Share of the machine's processors that is idle, 0 to 1.",
        switch_log::idle_cpu() / 100.0,
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_bounded_and_what_is_left_out_is_counted() {
        let reading = |n: usize| Reading::gauge("many", "Many.", 1.0).of("n", n.to_string());
        let families = as_families((0..MOST_SERIES + 3).map(reading).collect());
        assert_eq!(families[0].get_metric().len(), MOST_SERIES);
        assert_eq!(families[1].get_metric()[0].get_gauge().get_value(), 3.0);
    }

    #[test]
    fn the_process_is_measured() {
        let readings = of_process();
        assert!(readings.iter().any(|r| r.name == "process_resident_bytes" && r.value > 1e5));
    }
}
