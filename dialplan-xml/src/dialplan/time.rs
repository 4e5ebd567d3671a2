//! Time attributes of conditions.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Dst, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::config::TimezonesConf;
use crate::text::{is_number, is_true, leading_integer};
use crate::{Host, LogLevel, Node};

/// The time attributes of one element, in the order they are looked at.
pub(super) struct TimeSpec {
    tests: Vec<(Attribute, Box<str>)>,
}

#[derive(Clone, Copy)]
enum Attribute {
    TzOffset,
    Dst,
    DateTime,
    Year,
    Yday,
    Mon,
    Mday,
    Week,
    Mweek,
    Wday,
    Hour,
    Minute,
    MinuteOfDay,
    TimeOfDay,
}

/// In the order of evaluation: the first that fails ends it.
const ATTRIBUTES: [(Attribute, &str); 14] = [
    (Attribute::TzOffset, "tz-offset"),
    (Attribute::Dst, "dst"),
    (Attribute::DateTime, "date-time"),
    (Attribute::Year, "year"),
    (Attribute::Yday, "yday"),
    (Attribute::Mon, "mon"),
    (Attribute::Mday, "mday"),
    (Attribute::Week, "week"),
    (Attribute::Mweek, "mweek"),
    (Attribute::Wday, "wday"),
    (Attribute::Hour, "hour"),
    (Attribute::Minute, "minute"),
    (Attribute::MinuteOfDay, "minute-of-day"),
    (Attribute::TimeOfDay, "time-of-day"),
];

impl Attribute {
    fn name(self) -> &'static str {
        ATTRIBUTES[self as usize].1
    }
}

impl TimeSpec {
    /// The time attributes of an element, if it has any.
    pub(super) fn read(node: Node<'_>) -> Option<Box<Self>> {
        let tests: Vec<_> = ATTRIBUTES
            .iter()
            .filter_map(|&(attribute, name)| Some((attribute, node.attr(name)?.into())))
            .collect();
        (!tests.is_empty()).then(|| Box::new(Self { tests }))
    }
}

/// The first attribute that does not fit: its name, what it wants, what the clock says.
pub(super) fn failure(
    spec: &TimeSpec,
    host: &mut dyn Host,
    zones: &TimezonesConf,
) -> Option<(&'static str, String, String)> {
    let now = host.now();
    let local = host.local_zone();
    let (clock, offset) = call_clock(now, &local, host, zones);
    spec.tests.iter().find_map(|(attribute, wanted)| {
        let (fits, actual) = check(*attribute, wanted, &clock, offset, now, &local);
        (!fits).then(|| (attribute.name(), wanted.to_string(), actual))
    })
}

/// The call's idea of local time: `tod_tz_offset`, else `timezone`, else the server's. With it the
/// offset in whole hours.
fn call_clock(
    now: Timestamp,
    local: &TimeZone,
    host: &mut dyn Host,
    zones: &TimezonesConf,
) -> (Zoned, i64) {
    if let Some(hours) = host.variable("tod_tz_offset").filter(|v| is_number(v)) {
        let hours = leading_integer(&hours);
        if let Ok(offset) = i8::try_from(hours)
            .map_err(drop)
            .and_then(|h| jiff::tz::Offset::from_hours(h).map_err(drop))
        {
            return (now.to_zoned(TimeZone::fixed(offset)), hours);
        }
    }
    let zone = match host.variable("timezone") {
        Some(name) => zones.zone(&name).unwrap_or_else(|| {
            let line = format!("Timezone '{name}' not found!");
            host.log(LogLevel::Error, line);
            local.clone()
        }),
        None => local.clone(),
    };
    let clock = now.to_zoned(zone);
    let offset = i64::from(clock.offset().seconds() / 3600);
    (clock, offset)
}

fn check(
    attribute: Attribute,
    wanted: &str,
    clock: &Zoned,
    offset: i64,
    now: Timestamp,
    local: &TimeZone,
) -> (bool, String) {
    let number = match attribute {
        Attribute::TzOffset => return (leading_integer(wanted) == offset, offset.to_string()),
        Attribute::Dst => {
            let active = local.to_offset_info(now).dst() == Dst::Yes;
            return (is_true(wanted) && active, active.to_string());
        }
        Attribute::DateTime => {
            let clock = now.to_zoned(local.clone());
            let shown = clock.strftime("%Y-%m-%d %H:%M:%S").to_string();
            return (in_date_ranges(wanted, now, local), shown);
        }
        Attribute::TimeOfDay => {
            let (h, m, s) = (clock.hour(), clock.minute(), clock.second());
            let seconds = i64::from(h) * 3600 + i64::from(m) * 60 + i64::from(s);
            return (in_day_ranges(wanted, seconds), format!("{h:02}:{m:02}:{s:02}"));
        }
        Attribute::Wday => {
            let day = i64::from(clock.weekday().to_sunday_one_offset());
            return (in_weekdays(wanted, day), day.to_string());
        }
        Attribute::Year => i64::from(clock.year()),
        Attribute::Yday => i64::from(clock.day_of_year()),
        Attribute::Mon => i64::from(clock.month()),
        Attribute::Mday => i64::from(clock.day()),
        Attribute::Week => i64::from(clock.day_of_year() - 1) / 7 + 1,
        Attribute::Mweek => {
            let first = i64::from(clock.date().first_of_month().weekday().to_sunday_zero_offset());
            (i64::from(clock.day()) - 1 + first) / 7 + 1
        }
        Attribute::Hour => i64::from(clock.hour()),
        Attribute::Minute => i64::from(clock.minute()),
        Attribute::MinuteOfDay => i64::from(clock.hour()) * 60 + i64::from(clock.minute()) + 1,
    };
    (in_numbers(wanted, number), number.to_string())
}

/// `1,3,5-9`; a range that runs backwards wraps. The empty text is 0.
fn in_numbers(list: &str, value: i64) -> bool {
    list.split(',').any(|item| {
        let item = item.trim();
        match item.char_indices().skip(1).find(|(_, c)| *c == '-') {
            Some((at, _)) => {
                let low = leading_integer(item.get(..at).unwrap_or_default());
                let high = leading_integer(item.get(at + 1..).unwrap_or_default());
                in_range(low, high, value)
            }
            None => leading_integer(item) == value,
        }
    })
}

fn in_range(low: i64, high: i64, value: i64) -> bool {
    if low <= high { (low..=high).contains(&value) } else { value >= low || value <= high }
}

/// `mon-fri,7`. What follows something that is not a day is not looked at.
fn in_weekdays(list: &str, value: i64) -> bool {
    let mut rest = list;
    loop {
        let Some((low, after)) = weekday(rest) else { return false };
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => match weekday(after) {
                Some(found) => found,
                None => return false,
            },
            None => (low, after),
        };
        if !after.is_empty() && !after.starts_with(',') {
            return false;
        }
        if in_range(low, high, value) {
            return true;
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

fn weekday(text: &str) -> Option<(i64, &str)> {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if let Some(digit @ b'1'..=b'7') = text.as_bytes().first() {
        return Some((i64::from(digit - b'0'), text.get(1..)?));
    }
    let (name, rest) = text.split_at_checked(3)?;
    let position = NAMES.iter().position(|n| n.eq_ignore_ascii_case(name))?;
    Some((i64::try_from(position).ok()? + 1, rest))
}

/// `HH:MM[:SS]-HH:MM[:SS]`, comma list, both ends inclusive, may wrap midnight.
fn in_day_ranges(list: &str, seconds: i64) -> bool {
    list.split(',').any(|item| {
        let Some((from, to)) = item.split_once('-') else { return false };
        match (seconds_of_day(from), seconds_of_day(to)) {
            (Some(from), Some(to)) => in_range(from, to, seconds),
            _ => false,
        }
    })
}

fn seconds_of_day(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let part = |text: &str| leading_integer(text).clamp(-1_000_000, 1_000_000);
    Some(part(hours) * 3600 + part(minutes) * 60 + part(seconds))
}

/// `date time~date time`, comma list, the end not included, in the server's zone.
fn in_date_ranges(list: &str, now: Timestamp, local: &TimeZone) -> bool {
    list.split(',').any(|item| {
        let Some((from, to)) = item.split_once('~') else { return false };
        match (moment(from, local), moment(to, local)) {
            (Some(from), Some(to)) => (from..to).contains(&now),
            _ => false,
        }
    })
}

/// `YYYY-MM-DD[ HH[:MM[:SS]]]`.
fn moment(text: &str, local: &TimeZone) -> Option<Timestamp> {
    let (date, time) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let mut parts = date.split('-').map(leading_integer);
    let year = i16::try_from(parts.next()?).ok()?;
    let month = i8::try_from(parts.next()?).ok()?;
    let day = i8::try_from(parts.next()?).ok()?;
    let mut clock = time.split(':').map(|p| i8::try_from(leading_integer(p)).unwrap_or(0));
    let mut next = || clock.next().unwrap_or(0);
    let time = Time::new(next(), next(), next(), 0).ok()?;
    let moment = DateTime::from_parts(Date::new(year, month, day).ok()?, time);
    local.to_ambiguous_zoned(moment).compatible().ok().map(|z| z.timestamp())
}
