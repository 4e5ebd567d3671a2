//! The times of a call as its record tells them: variables that programs read at its end.

use base::clock;
use esl_server::event::Vars;

use crate::profile::Times;

/// Times of day and since the epoch, in the order the reference assigns them. `holds`: on and off times in µs.
pub fn stamps(vars: &mut Vars, times: &Times, end: i64, holds: &[(i64, i64)]) {
    let mut stamp = |name: &'static str, time: i64| {
        if time != 0 {
            vars.set(name, clock::local_stamp(time));
        }
    };
    stamp("start_stamp", times.created);
    stamp("profile_start_stamp", times.profile_created);
    stamp("answer_stamp", times.answered);
    stamp("bridge_stamp", times.bridged);
    stamp("hold_stamp", times.last_hold);
    stamp("resurrect_stamp", times.resurrected);
    stamp("progress_stamp", times.progress);
    stamp("progress_media_stamp", times.progress_media);
    if !holds.is_empty() {
        let list: Vec<String> =
            holds.iter().rev().map(|(on, off)| format!("{{{on},{off}}}")).collect();
        vars.set("hold_events", format!("{{{}}}", list.join(",")));
    }
    let mut stamp = |name: &'static str, time: i64| vars.set(name, clock::local_stamp(time));
    stamp("end_stamp", end);
    let mut epoch = |seconds: &'static str, micros: &'static str, time: i64| {
        vars.set(seconds, (time / 1_000_000).to_string());
        vars.set(micros, time.to_string());
    };
    epoch("start_epoch", "start_uepoch", times.created);
    epoch("profile_start_epoch", "profile_start_uepoch", times.profile_created);
    epoch("answer_epoch", "answer_uepoch", times.answered);
    epoch("bridge_epoch", "bridge_uepoch", times.bridged);
    epoch("last_hold_epoch", "last_hold_uepoch", times.last_hold);
    vars.set("hold_accum_seconds", (times.hold_accum / 1_000_000).to_string());
    vars.set("hold_accum_usec", times.hold_accum.to_string());
    vars.set("hold_accum_ms", (times.hold_accum / 1000).to_string());
    let mut epoch = |seconds: &'static str, micros: &'static str, time: i64| {
        vars.set(seconds, (time / 1_000_000).to_string());
        vars.set(micros, time.to_string());
    };
    epoch("resurrect_epoch", "resurrect_uepoch", times.resurrected);
    epoch("progress_epoch", "progress_uepoch", times.progress);
    epoch("progress_media_epoch", "progress_media_uepoch", times.progress_media);
    epoch("end_epoch", "end_uepoch", end);
}

/// Durations in seconds (differences of whole seconds, as the reference counts), milliseconds and microseconds.
pub fn durations(vars: &mut Vars, times: &Times, end: i64) {
    let since = |from: i64, to: i64| if from == 0 || to == 0 { 0 } else { (to - from).max(0) };
    let seconds = |from: i64, to: i64| {
        if from == 0 || to == 0 { 0 } else { to / 1_000_000 - from / 1_000_000 }
    };
    let answered = times.answered != 0;
    let spans = [
        (times.created, end, true),
        (times.answered, end, true),
        (times.created, times.progress, true),
        (times.created, times.answered, true),
        (times.created, times.bridged, true),
        (times.created, times.progress_media, true),
        (times.created, end, answered),
    ];
    let names = [
        [
            "duration",
            "billsec",
            "progresssec",
            "answersec",
            "waitsec",
            "progress_mediasec",
            "flow_billsec",
        ],
        [
            "mduration",
            "billmsec",
            "progressmsec",
            "answermsec",
            "waitmsec",
            "progress_mediamsec",
            "flow_billmsec",
        ],
        [
            "uduration",
            "billusec",
            "progressusec",
            "answerusec",
            "waitusec",
            "progress_mediausec",
            "flow_billusec",
        ],
    ];
    for (unit, names) in names.iter().enumerate() {
        for (name, &(from, to, counts)) in names.iter().zip(&spans) {
            let value = match (counts, unit) {
                (false, _) => 0,
                (true, 0) => seconds(from, to),
                (true, 1) => since(from, to) / 1000,
                (true, _) => since(from, to),
            };
            vars.set(*name, value.to_string());
        }
    }
}
