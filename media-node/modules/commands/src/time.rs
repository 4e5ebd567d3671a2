//! Time: `strftime`, `strepoch`, `msleep` and the commands that measure waiting.

use std::time::{Duration, Instant};

use dialplan_xml::config::TimezonesConf;
use jiff::{Timestamp, Zoned};

use super::{Api, ApiCall, usage};
use crate::{api, clock, text};

/// The family.
pub const APIS: &[Api] = &[
    api!("msleep", "mod_commands", MSLEEP, "Sleep N milliseconds", async msleep),
    api!("strepoch", "mod_commands", "<string>", "Convert a date string into epoch time", strepoch),
    api!("strftime", "mod_commands", "<format_string>", "strftime", strftime),
    api!(
        "strftime_tz",
        "mod_commands",
        "<timezone_name> [<epoch>|][format string]",
        "Display formatted time of timezone",
        strftime_tz
    ),
    api!(
        "strmicroepoch",
        "mod_commands",
        "<string>",
        "Convert a date string into micoepoch time",
        strmicroepoch
    ),
    api!("time_test", "mod_commands", TIME_TEST, "Show time jitter", async time_test),
    api!("timer_test", "mod_commands", TIMER_TEST, "Exercise FS timer", async timer_test),
];

const MSLEEP: &str = "<number of millis to sleep>";
const TIME_TEST: &str = "<mss> [count]";
const TIMER_TEST: &str = "<10|20|40|60|120> [<1..200>] [<timer_name>]";
const DEFAULT_FORMAT: &str = "%Y-%m-%d %T";
/// Longer sleeps would only hold a connection.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Formats a time; `None` if the format cannot be used.
fn formatted(format: &str, time: &Zoned) -> Option<String> {
    jiff::fmt::strtime::format(format, time).ok()
}

fn now() -> Zoned {
    Timestamp::now().to_zoned(clock::zone())
}

fn strftime(call: &ApiCall) -> String {
    strftime_at(&call.args, now())
}

/// `strftime` at another moment than now.
pub(crate) fn strftime_at(args: &str, now: Zoned) -> String {
    let args = args.trim();
    let (time, format) = match args.split_once('|') {
        // The reference starts reading the format one character late here; clients have adapted.
        Some((epoch, format)) => {
            let time = Timestamp::from_second(text::int(epoch)).unwrap_or_default();
            let time = time.to_zoned(now.time_zone().clone());
            (time, format.get(1..).unwrap_or_default())
        }
        None => (now, args),
    };
    let format = if format.is_empty() { DEFAULT_FORMAT } else { format };
    formatted(format, &time).unwrap_or_else(|| "-ERR".into())
}

fn strftime_tz(call: &ApiCall) -> String {
    let config = call.switch.config.load();
    strftime_tz_at(&call.args, now(), &TimezonesConf::read(config.document("timezones.conf")))
}

/// `strftime_tz` at another moment than now.
pub(crate) fn strftime_tz_at(args: &str, now: Zoned, zones: &TimezonesConf) -> String {
    let args = args.trim();
    let (zone, rest) = args.split_once(' ').unwrap_or((args, ""));
    let (epoch, format) =
        rest.split_once('|').map_or((0, rest), |(epoch, format)| (text::int(epoch), format));
    let format = if format.is_empty() { DEFAULT_FORMAT } else { format };
    let time = if epoch == 0 {
        now.timestamp()
    } else {
        Timestamp::from_second(epoch).unwrap_or_default()
    };
    let zone = if zone.is_empty() { Some(now.time_zone().clone()) } else { zones.zone(zone) };
    zone.and_then(|zone| formatted(format, &time.to_zoned(zone)))
        .unwrap_or_else(|| "-ERR Invalid timezone/format\n".into())
}

/// `YYYY-MM-DD HH:MM:SS` in the server's zone, missing ends are zero; µs since the epoch.
fn parsed(text: &str) -> Option<i64> {
    let mut numbers = text.split(['-', ' ', ':', 'T']).map(|part| part.parse::<i64>().ok());
    let year = i16::try_from(numbers.next()??).ok()?;
    let mut small = |least: i8| match numbers.next() {
        Some(number) => i8::try_from(number?).ok(),
        None => Some(least),
    };
    let date = jiff::civil::Date::new(year, small(1)?, small(1)?).ok()?;
    let time = jiff::civil::Time::new(small(0)?, small(0)?, small(0)?, 0).ok()?;
    Some(date.to_datetime(time).to_zoned(clock::zone()).ok()?.timestamp().as_microsecond())
}

fn strepoch(call: &ApiCall) -> String {
    micro(call).div_euclid(1_000_000).to_string()
}

fn strmicroepoch(call: &ApiCall) -> String {
    micro(call).to_string()
}

fn micro(call: &ApiCall) -> i64 {
    let text = call.args.trim();
    if text.is_empty() { clock::now_us() } else { parsed(text).unwrap_or(0) }
}

async fn msleep(call: ApiCall) -> String {
    let ms = text::int(&call.args);
    if call.args.trim().is_empty() || ms < 0 {
        return usage(MSLEEP);
    }
    let wanted = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    tokio::time::sleep(wanted.min(LONGEST_SLEEP)).await;
    "+OK".into()
}

async fn time_test(call: ApiCall) -> String {
    let words = call.words(2);
    let us = words.first().map_or(0, |word| text::int(word));
    if us <= 0 || us > 1_000_000 {
        return usage(TIME_TEST);
    }
    let count = words.get(1).map_or(10, |word| text::int(word)).clamp(1, 100);
    let (mut out, mut sum) = (String::new(), 0);
    for turn in 1..=count {
        let started = Instant::now();
        tokio::time::sleep(Duration::from_micros(us.unsigned_abs())).await;
        let took = started.elapsed().as_micros();
        sum += took;
        out.push_str(&format!("test {turn} sleep {us} {took}\n"));
    }
    out + &format!("avg {}\n", sum / u128::try_from(count).unwrap_or(1))
}

async fn timer_test(call: ApiCall) -> String {
    let words = call.words(3);
    let ms = words.first().map_or(20, |word| text::int(word));
    if !matches!(ms, 10 | 20 | 40 | 60 | 120) {
        return usage(TIMER_TEST);
    }
    let count =
        u32::try_from(words.get(1).map_or(1, |word| text::int(word)).clamp(1, 200)).unwrap_or(1);
    let mut ticks = tokio::time::interval(Duration::from_millis(ms.unsigned_abs()));
    ticks.tick().await;
    let started = Instant::now();
    for _ in 0..count {
        ticks.tick().await;
    }
    let total = started.elapsed().as_secs_f64() * 1000.0;
    format!("Avg: {:.3}ms Total Time: {total:.3}ms\n", total / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_may_stop_early() {
        let day = parsed("1970-01-02 00:00:00");
        assert_eq!(parsed("1970-01-02"), day);
        assert_eq!(
            parsed("1970-01-02 00:01").zip(day).map(|(later, day)| later - day),
            Some(60_000_000)
        );
        assert_eq!(parsed("yesterday"), None);
        assert_eq!(parsed("1970-13-40"), None);
    }
}
