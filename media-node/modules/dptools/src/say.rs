//! `say` and `say_string`: numbers, times, names … as prompts (mod_say_en).

use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::{Timestamp, Zoned};

use super::play::{Ended, Keys, Play, terminators};
use super::{App, Flags};
use crate::api::{Api, ApiCall, usage};
use crate::call::{AppResult, Channel, Interrupt, Session};
use crate::{api, app, clock, text};

/// The family.
pub const APPS: &[App] = &[app!(
    "say",
    "mod_dptools",
    Flags::NONE,
    "<module_name>[:<lang>] <say_type> <say_method> [<say_gender>] <text>",
    "say",
    say
)];

/// The family's command.
pub const APIS: &[Api] = &[api!("say_string", "mod_commands", SAY_STRING, "", say_string)];

const SAY_STRING: &str =
    "<module_name>[.<ext>] <lang>[.<ext>] <say_type> <say_method> [<say_gender>] <text>";

/// How a number is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Pronounced,
    Iterated,
    Counted,
    Year,
}

impl Method {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "PRONOUNCED" => Self::Pronounced,
            "ITERATED" => Self::Iterated,
            "COUNTED" => Self::Counted,
            "PRONOUNCED_YEAR" => Self::Year,
            _ => return None,
        })
    }
}

/// The files that say something, in order, without extension.
#[derive(Default)]
struct Script(Vec<String>);

impl Script {
    fn file(&mut self, name: impl Into<String>) {
        self.0.push(name.into());
    }

    /// A group of three digits; `scale` names it (`thousand`).
    fn group(&mut self, group: u64, method: Method, scale: Option<&str>) {
        let ordinal = if method == Method::Counted && scale.is_none() { "h-" } else { "" };
        let (hundreds, rest) = (group / 100, group % 100);
        if hundreds > 0 {
            self.file(format!("digits/{hundreds}"));
            let last = if rest == 0 { ordinal } else { "" };
            self.file(format!("digits/{last}hundred"));
        }
        match (rest / 10, rest % 10) {
            (0, 0) => {}
            (0, _) | (1, _) => self.file(format!("digits/{ordinal}{rest}")),
            (tens, 0) => self.file(format!("digits/{ordinal}{tens}0")),
            (tens, ones) => {
                self.file(format!("digits/{tens}0"));
                self.file(format!("digits/{ordinal}{ones}"));
            }
        }
        if let Some(scale) = scale.filter(|_| group > 0) {
            self.file(format!("digits/{scale}"));
        }
    }

    fn number(&mut self, number: u64, method: Method) {
        match method {
            Method::Iterated => self.spell(&number.to_string(), false),
            Method::Year if !number.is_multiple_of(100) && !(number / 100).is_multiple_of(10) => {
                self.number(number / 100, Method::Pronounced);
                if number % 100 < 10 {
                    self.file("digits/0");
                }
                self.number(number % 100, Method::Pronounced);
            }
            _ if number == 0 => self.file("digits/0"),
            _ => {
                let part = |divisor: u64| number / divisor % 1000;
                self.group(part(1_000_000_000), Method::Pronounced, Some("billion"));
                self.group(part(1_000_000), Method::Pronounced, Some("million"));
                self.group(part(1000), Method::Pronounced, Some("thousand"));
                self.group(part(1), method, None);
            }
        }
    }

    /// Characters one by one.
    fn spell(&mut self, text: &str, phonetic: bool) {
        for c in text.chars().filter(char::is_ascii) {
            match c.to_ascii_lowercase() {
                digit if digit.is_ascii_digit() => self.file(format!("digits/{digit}")),
                c if phonetic && c.is_ascii_alphabetic() => {
                    self.file(format!("phonetic-ascii/{}", u32::from(c)));
                }
                c => self.file(format!("ascii/{}", u32::from(c))),
            }
        }
    }

    fn counted_unit(&mut self, count: u64, one: &str, many: &str) {
        self.number(count, Method::Pronounced);
        self.file(if count == 1 { one } else { many });
    }

    fn money(&mut self, text: &str) -> Option<()> {
        let text = text.trim();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let dollars = digits_of(whole)?;
        let cents = match part.len() {
            0 => 0,
            1 => digits_of(part)? * 10,
            _ => digits_of(part.get(..2)?)?,
        };
        if negative {
            self.file("currency/negative");
        }
        self.counted_unit(dollars, "currency/dollar", "currency/dollars");
        if cents > 0 {
            self.file("currency/and");
            self.counted_unit(cents, "currency/cent", "currency/cents");
        }
        Some(())
    }

    fn measured_time(&mut self, text: &str) -> Option<()> {
        let parts: Option<Vec<u64>> = text.split(':').map(|part| digits_of(part.trim())).collect();
        let seconds = match parts?.as_slice() {
            [hours, minutes, seconds] => hours
                .checked_mul(3600)?
                .checked_add(minutes.checked_mul(60)?)?
                .checked_add(*seconds)?,
            [minutes, seconds] => minutes.checked_mul(60)?.checked_add(*seconds)?,
            [seconds] => *seconds,
            _ => return None,
        };
        self.counted_unit(seconds / 3600, "time/hour", "time/hours");
        self.counted_unit(seconds / 60 % 60, "time/minute", "time/minutes");
        self.counted_unit(seconds % 60, "time/second", "time/seconds");
        Some(())
    }

    fn weekday(&mut self, day: Weekday) {
        self.file(format!("time/day-{}", day.to_sunday_zero_offset()));
    }

    fn month_and_day(&mut self, time: &Zoned) {
        self.file(format!("time/mon-{}", time.month() - 1));
        self.number(u64::try_from(time.day()).unwrap_or(1), Method::Counted);
    }

    fn date(&mut self, time: &Zoned) {
        self.weekday(time.weekday());
        self.month_and_day(time);
        self.number(u64::try_from(time.year()).unwrap_or(0), Method::Year);
    }

    fn time_of_day(&mut self, time: &Zoned) {
        let hour = match time.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        self.number(u64::try_from(hour).unwrap_or(12), Method::Pronounced);
        match u64::try_from(time.minute()).unwrap_or(0) {
            0 => self.file("time/oclock"),
            minute => {
                if minute < 10 {
                    self.file("time/oh");
                }
                self.number(minute, Method::Pronounced);
            }
        }
        self.file(if time.hour() >= 12 { "time/p-m" } else { "time/a-m" });
    }

    /// Near days by their relation to today, others by date.
    fn short_date_time(&mut self, time: &Zoned, now: &Zoned) {
        let days =
            now.date().since(time.date()).map_or(i64::MAX, |span| i64::from(span.get_days()));
        match days {
            0 => self.file("time/today"),
            1 => self.file("time/yesterday"),
            2..=5 => self.weekday(time.weekday()),
            _ => {
                self.month_and_day(time);
                if time.year() != now.year() {
                    self.number(u64::try_from(time.year()).unwrap_or(0), Method::Year);
                }
            }
        }
        self.file("time/at");
        self.time_of_day(time);
    }
}

/// A number of at most twelve digits, thousands' commas allowed.
fn digits_of(text: &str) -> Option<u64> {
    let plain: String = text.chars().filter(|c| *c != ',').collect();
    if plain.is_empty() {
        return Some(0);
    }
    if plain.len() > 12 || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    plain.parse().ok()
}

/// The moment a text names: seconds since the epoch, a date and time, or now.
fn moment(text: &str, now: &Zoned) -> Zoned {
    let text = text.trim();
    if let Ok(civil) = text.replacen(' ', "T", 1).parse::<jiff::civil::DateTime>()
        && let Ok(time) = civil.to_zoned(now.time_zone().clone())
    {
        return time;
    }
    match text::int(text) {
        0 => now.clone(),
        seconds => Timestamp::from_second(seconds)
            .map_or_else(|_| now.clone(), |time| time.to_zoned(now.time_zone().clone())),
    }
}

/// The files that say `text`; `Err` explains why there are none.
fn script(kind: &str, method: &str, text: &str, now: &Zoned) -> Result<Vec<String>, String> {
    let kind = kind.to_ascii_uppercase();
    let method = Method::parse(method).ok_or_else(|| format!("Unknown say method [{method}]"))?;
    let parse_error = || "Parse Error!".to_owned();
    let mut script = Script::default();
    match kind.as_str() {
        "NUMBER" | "ITEMS" | "PERSONS" | "MESSAGES" if method == Method::Iterated => {
            digits_of(text.trim()).ok_or_else(parse_error)?;
            script.spell(&text.trim().replace(',', ""), false);
        }
        "NUMBER" | "ITEMS" | "PERSONS" | "MESSAGES" => {
            script.number(digits_of(text.trim()).ok_or_else(parse_error)?, method);
        }
        "CURRENCY" => script.money(text).ok_or_else(parse_error)?,
        "TIME_MEASUREMENT" => script.measured_time(text).ok_or_else(parse_error)?,
        "CURRENT_DATE" => script.date(&moment(text, now)),
        "CURRENT_TIME" => script.time_of_day(&moment(text, now)),
        "CURRENT_DATE_TIME" => {
            let time = moment(text, now);
            script.date(&time);
            script.file("time/at");
            script.time_of_day(&time);
        }
        "SHORT_DATE_TIME" => script.short_date_time(&moment(text, now), now),
        "IP_ADDRESS" => {
            let octets: Option<Vec<u64>> = text.trim().split('.').map(digits_of).collect();
            let octets = octets.filter(|octets| octets.len() == 4).ok_or_else(parse_error)?;
            for (at, octet) in octets.into_iter().enumerate() {
                if at > 0 {
                    script.file("digits/dot");
                }
                script.number(octet, method);
            }
        }
        "NAME_PHONETIC" => script.spell(text, true),
        "NAME_SPELLED"
        | "TELEPHONE_NUMBER"
        | "TELEPHONE_EXTENSION"
        | "URL"
        | "EMAIL_ADDRESS"
        | "POSTAL_ADDRESS"
        | "ACCOUNT_NUMBER" => script.spell(text, false),
        _ => return Err(format!("Unknown Say type=[{kind}]")),
    }
    Ok(script.0)
}

/// `script` as one playable string, `file_string://a.wav!b.wav`.
fn playable(files: &[String], extension: &str) -> String {
    let files: Vec<String> = files.iter().map(|file| format!("{file}.{extension}")).collect();
    format!("file_string://{}", files.join("!"))
}

fn now_for(channel: Option<&Channel>) -> Zoned {
    let zone = channel.and_then(|channel| {
        let name = channel.var("timezone")?;
        let config = channel.switch().config.load();
        dialplan_xml::config::TimezonesConf::read(config.tree.configuration("timezones.conf"))
            .zone(&name)
    });
    Timestamp::now().to_zoned(zone.unwrap_or_else(clock::zone))
}

/// What is to be said.
#[derive(Debug)]
pub struct Saying<'a> {
    /// `en`.
    pub language: &'a str,
    /// `NUMBER`, `CURRENT_TIME`, …
    pub kind: &'a str,
    /// `PRONOUNCED`, …
    pub method: &'a str,
    pub text: &'a str,
}

/// Says something.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn speak(
    session: &mut Session,
    saying: &Saying<'_>,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let channel = Arc::clone(session.channel());
    if !saying.language.is_empty() && !saying.language.to_ascii_lowercase().starts_with("en") {
        tracing::error!(uuid = %channel.uuid(), "Invalid SAY Interface [{}]!", saying.language);
        return Ok(Ended::Failed);
    }
    let now = now_for(Some(&channel));
    match script(saying.kind, saying.method, saying.text, &now) {
        Ok(files) if files.is_empty() => Ok(Ended::Done),
        Ok(files) => session.play(Play::once(&playable(&files, "wav"), keys)).await,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "{error}");
            Ok(Ended::Failed)
        }
    }
}

fn is_gender(word: &str) -> bool {
    ["MASCULINE", "FEMININE", "NEUTER"].iter().any(|gender| gender.eq_ignore_ascii_case(word))
}

/// Type, method and text behind the language; the gender, if there is one, says nothing in English.
fn what(words: &[String]) -> Option<(&str, &str, String)> {
    let (kind, method) = (words.first()?, words.get(1)?);
    let rest = words.get(2..)?;
    let rest = match rest.split_first() {
        Some((gender, text)) if is_gender(gender) && !text.is_empty() => text,
        _ => rest,
    };
    (!rest.is_empty()).then(|| (kind.as_str(), method.as_str(), rest.join(" ")))
}

async fn say(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 32);
    let channel = Arc::clone(session.channel());
    let Some((kind, method, text)) = words.get(1..).and_then(what) else {
        tracing::error!(uuid = %channel.uuid(), "Usage: <module_name>[:<lang>] <say_type> <say_method> [<say_gender>] <text>");
        return Ok(());
    };
    let module = words[0].split(':').next().unwrap_or_default();
    let keys = terminators(&channel);
    let saying = Saying { language: module, kind, method, text: &text };
    if let Ended::Key(Some(key)) = speak(session, &saying, Keys::Stop(&keys)).await? {
        channel.set_var("playback_terminator_used", key.to_string());
    }
    Ok(())
}

fn say_string(call: &ApiCall) -> String {
    let words = call.words(32);
    let Some((kind, method, text)) = words.get(2..).and_then(what) else {
        return usage(SAY_STRING);
    };
    let (module, extension) = words[0].split_once('.').unwrap_or((&words[0], "wav"));
    if !module.eq_ignore_ascii_case("en") {
        tracing::error!("Invalid SAY Interface [{module}]!");
        return String::new();
    }
    match script(kind, method, &text, &now_for(call.channel.as_deref())) {
        Ok(files) if !files.is_empty() => playable(&files, extension),
        Ok(_) => String::new(),
        Err(error) => {
            tracing::error!("{error}");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap()
    }

    fn said(kind: &str, method: &str, text: &str) -> String {
        script(kind, method, text, &at("2026-11-20T18:05:00")).unwrap().join(" ")
    }

    #[test]
    fn numbers_are_said_in_groups() {
        assert_eq!(said("number", "pronounced", "12"), "digits/12");
        assert_eq!(
            said("NUMBER", "PRONOUNCED", "1,123"),
            "digits/1 digits/thousand digits/1 digits/hundred digits/20 digits/3"
        );
        assert_eq!(said("NUMBER", "PRONOUNCED", "0"), "digits/0");
        assert_eq!(said("NUMBER", "ITERATED", "102"), "digits/1 digits/0 digits/2");
        assert_eq!(said("NUMBER", "COUNTED", "21"), "digits/20 digits/h-1");
        assert_eq!(said("NUMBER", "PRONOUNCED_YEAR", "1999"), "digits/19 digits/90 digits/9");
    }

    #[test]
    fn money_and_time_have_their_units() {
        assert_eq!(
            said("CURRENCY", "PRONOUNCED", "-1.50"),
            "currency/negative digits/1 currency/dollar currency/and digits/50 currency/cents"
        );
        assert_eq!(
            said("TIME_MEASUREMENT", "PRONOUNCED", "1:02:01"),
            "digits/1 time/hour digits/2 time/minutes digits/1 time/second"
        );
    }

    #[test]
    fn moments_are_said_by_clock_and_calendar() {
        assert_eq!(said("CURRENT_TIME", "PRONOUNCED", ""), "digits/6 time/oh digits/5 time/p-m");
        assert_eq!(
            said("CURRENT_DATE", "PRONOUNCED", "2026-01-02 00:00:00"),
            "time/day-5 time/mon-0 digits/h-2 digits/2 digits/thousand digits/20 digits/6"
        );
        assert_eq!(
            said("SHORT_DATE_TIME", "PRONOUNCED", "2026-11-19 12:00:00"),
            "time/yesterday time/at digits/12 time/oclock time/p-m"
        );
    }

    #[test]
    fn names_are_spelled() {
        assert_eq!(said("NAME_SPELLED", "PRONOUNCED", "a1"), "ascii/97 digits/1");
        assert_eq!(said("NAME_PHONETIC", "PRONOUNCED", "B"), "phonetic-ascii/98");
        assert_eq!(
            said("IP_ADDRESS", "ITERATED", "10.0.0.1"),
            "digits/1 digits/0 digits/dot digits/0 digits/dot digits/0 digits/dot digits/1"
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let now = at("2026-11-20T18:05:00");
        assert!(script("NUMBER", "PRONOUNCED", "x", &now).is_err());
        assert!(script("SONG", "PRONOUNCED", "1", &now).is_err());
        assert!(script("NUMBER", "SUNG", "1", &now).is_err());
        assert!(script("TIME_MEASUREMENT", "PRONOUNCED", "99999999999:1:1", &now).is_ok());
    }

    #[test]
    fn a_script_is_one_playable_string() {
        assert_eq!(playable(&["digits/12".into()], "wav"), "file_string://digits/12.wav");
    }
}
