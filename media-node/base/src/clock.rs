//! Wall-clock times as events and records show them, and fresh UUIDs.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static SIMULATED: Cell<Option<fn() -> i64>> = const { Cell::new(None) };
}

/// From now on this thread's clock shows what `now` says, in microseconds since the epoch: for tests in simulated time.
pub fn simulate(now: fn() -> i64) {
    SIMULATED.set(Some(now));
}

/// Microseconds since the epoch.
#[must_use]
pub fn now_us() -> i64 {
    if let Some(now) = SIMULATED.get() {
        return now();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The same as a point in time.
#[must_use]
pub fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(now_us()).unwrap_or_default()
}

/// Seconds since the epoch.
#[must_use]
pub fn now_secs() -> i64 {
    now_us() / 1_000_000
}

/// `YYYY-MM-DD HH:MM:SS` in the server's zone.
#[must_use]
pub fn local_stamp(us: i64) -> String {
    let timestamp = jiff::Timestamp::from_microsecond(us).unwrap_or_default();
    let zoned = timestamp.to_zoned(zone());
    let (date, time) = (zoned.date(), zoned.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The server's zone, read once.
#[must_use]
pub fn zone() -> jiff::tz::TimeZone {
    static ZONE: std::sync::OnceLock<jiff::tz::TimeZone> = std::sync::OnceLock::new();
    ZONE.get_or_init(jiff::tz::TimeZone::system).clone()
}

/// The zone as databases take it: its name, or a POSIX text of the offset now (`<+0230>-02:30`).
#[must_use]
pub fn zone_name() -> String {
    let zone = zone();
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let seconds = zone.to_offset(jiff::Timestamp::now()).seconds();
    let (sign, inverse) = if seconds < 0 { ('-', '+') } else { ('+', '-') };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    format!("<{sign}{hours:02}{minutes:02}>{inverse}{hours:02}:{minutes:02}")
}

/// A random UUID in the usual text form.
#[must_use]
pub fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Microseconds as the reference prints how long it runs: `0 years, 0 days, 0 hours, 5 minutes, 1 second, …`.
#[must_use]
pub fn duration_text(us: i64) -> String {
    let us = us.max(0);
    let seconds = us / 1_000_000;
    let days = seconds / 86_400;
    let parts = [
        (days / 365, "year"),
        (days % 365, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
        (us / 1000 % 1000, "millisecond"),
        (us % 1000, "microsecond"),
    ];
    let words: Vec<String> = parts
        .iter()
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    words.join(", ")
}
