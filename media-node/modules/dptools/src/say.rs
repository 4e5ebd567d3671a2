//! `say` and `say_string`: numbers, times, names … as prompts, in the languages below (mod_say_en and its kin).

mod dutch;
mod english;
mod french;
mod german;
mod grammar;
mod russian;
mod spanish;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{Timestamp, Zoned};

use self::grammar::Grammar;
use super::play::{Ended, Keys, Play, terminators};
use super::{App, Flags};
use crate::api::{Api, ApiCall, usage};
use crate::call::{AppResult, Channel, Interrupt, Session};
use crate::switch::Switch;
use crate::{api, app, clock, text};

/// The family.
pub const APPS: &[App] = &[app!(
    "say",
    "mod_dptools",
    Flags::NONE,
    "<module_name>[:<lang>] <say_type> <say_method> [<say_gender>] <text>",
    "say",
    say
)
.marked()];

/// The family's command.
pub const APIS: &[Api] = &[api!("say_string", "mod_commands", SAY_STRING, "", say_string)];

const SAY_STRING: &str =
    "<module_name>[.<ext>] <lang>[.<ext>] <say_type> <say_method> [<say_gender>] <text>";

/// A language.
struct Language {
    /// `en`; the module is called mod_say_en.
    name: &'static str,
    grammar: &'static dyn Grammar,
}

const LANGUAGES: &[Language] = &[
    Language { name: "en", grammar: &english::English },
    Language { name: "de", grammar: &german::German },
    Language { name: "es", grammar: &spanish::Spanish },
    Language { name: "fr", grammar: &french::French },
    Language { name: "nl", grammar: &dutch::Dutch },
    Language { name: "ru", grammar: &russian::Russian },
];

/// The language of that name, while its module is loaded; a region (`en-US`, `de_AT`) is left off. English for none.
fn language(switch: &Switch, name: &str) -> Option<&'static Language> {
    let name = name.split(['-', '_']).next().unwrap_or(name);
    let name = if name.is_empty() { "en" } else { name };
    let found = LANGUAGES.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
    // English needs no `load` in the configuration.
    let there = || switch.modules().is_loaded(&format!("mod_say_{}", found.name));
    (found.name == "en" || there()).then_some(found)
}

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

/// The gender of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gender {
    Masculine,
    Feminine,
    Neuter,
    /// A phrase that does not say.
    Unsaid,
}

/// What is said of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Date,
    Time,
    DateAndTime,
    /// Near days by their relation to today.
    Short,
}

/// How characters are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Plain,
    Phonetic,
    /// Digits alone.
    Digits,
}

/// What kind of thing a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number; of messages, perhaps.
    Count {
        messages: bool,
    },
    Money,
    Measure,
    Moment(Moment),
    /// An IP address.
    Address,
    Spelled(Spelling),
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "NUMBER" | "ITEMS" | "PERSONS" => Self::Count { messages: false },
            "MESSAGES" => Self::Count { messages: true },
            "CURRENCY" => Self::Money,
            "TIME_MEASUREMENT" => Self::Measure,
            "CURRENT_DATE" => Self::Moment(Moment::Date),
            "CURRENT_TIME" => Self::Moment(Moment::Time),
            "CURRENT_DATE_TIME" => Self::Moment(Moment::DateAndTime),
            "SHORT_DATE_TIME" => Self::Moment(Moment::Short),
            "IP_ADDRESS" => Self::Address,
            "NAME_PHONETIC" => Self::Spelled(Spelling::Phonetic),
            "NAME_SPELLED" => Self::Spelled(Spelling::Plain),
            "TELEPHONE_NUMBER"
            | "TELEPHONE_EXTENSION"
            | "URL"
            | "EMAIL_ADDRESS"
            | "POSTAL_ADDRESS"
            | "ACCOUNT_NUMBER" => Self::Spelled(Spelling::Digits),
            _ => return None,
        })
    }
}

/// What Russian lets the dialplan choose, by channel variables of the reference's names.
#[derive(Clone, Debug, Default)]
struct Choices {
    gender: String,
    cases: String,
    currency: String,
}

impl Choices {
    fn of(channel: Option<&Channel>) -> Self {
        let text = |name: &str| channel.and_then(|channel| channel.var(name)).unwrap_or_default();
        Self { gender: text("gender"), cases: text("cases"), currency: text("currency") }
    }
}

/// What is to be said, read.
struct Asked<'a> {
    kind: Kind,
    method: Method,
    gender: Gender,
    text: &'a str,
    choices: Choices,
}

/// An amount of money.
#[derive(Debug, PartialEq, Eq)]
struct Money {
    negative: bool,
    whole: u64,
    /// Hundredths, if they were written.
    part: Option<u64>,
}

impl Asked<'_> {
    /// The moment the text names.
    fn moment(&self, now: &Zoned) -> Zoned {
        moment(self.text, now)
    }

    /// The parts of an IP address, dots between.
    fn address(&self, out: &mut Script, mut say: impl FnMut(&mut Script, u64)) -> Option<()> {
        let octets: Option<Vec<u64>> =
            self.text.trim().split('.').map(|octet| digits_of(octet, 9)).collect();
        let octets = octets.filter(|octets| octets.len() == 4)?;
        for (at, octet) in octets.into_iter().enumerate() {
            if at > 0 {
                out.file("digits/dot");
            }
            say(out, octet);
        }
        Some(())
    }

    /// An amount of at most so many digits.
    fn money(&self, most: usize) -> Option<Money> {
        let kept = |c: &char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
        let text: String = self.text.chars().filter(kept).collect();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let (whole, part) = match text.split_once('.') {
            Some((whole, part)) => (whole, Some(part)),
            None => (text, None),
        };
        let part = match part {
            None => None,
            Some("") => Some(0),
            Some(part) if part.len() == 1 => Some(digits_of(part, most)? * 10),
            Some(part) => Some(digits_of(part.get(..2)?, most)?),
        };
        Some(Money { negative, whole: digits_of(whole, most)?, part })
    }

    /// Hours, minutes and seconds: `h:m:s`, `m:s` or seconds.
    fn measure(&self) -> Option<(u64, u64, u64)> {
        let parts: Option<Vec<u64>> =
            self.text.trim().split(':').map(|part| digits_of(part.trim(), 12)).collect();
        let seconds = match parts?.as_slice() {
            [hours, minutes, seconds] => hours
                .checked_mul(3600)?
                .checked_add(minutes.checked_mul(60)?)?
                .checked_add(*seconds)?,
            [minutes, seconds] => minutes.checked_mul(60)?.checked_add(*seconds)?,
            [seconds] => *seconds,
            _ => return None,
        };
        Some((seconds / 3600, seconds / 60 % 60, seconds % 60))
    }

    /// A number: digit by digit where it is iterated, else by `say`. `most` is how many digits it may have, and how many when
    /// it is iterated.
    fn count(
        &self,
        out: &mut Script,
        most: (usize, usize),
        say: impl FnOnce(&mut Script, u64),
    ) -> Option<()> {
        let text = self.text.trim();
        let number =
            digits_of(text, if self.method == Method::Iterated { most.1 } else { most.0 })?;
        if self.method == Method::Iterated {
            for digit in text.chars().filter(char::is_ascii_digit) {
                out.file(format!("digits/{digit}"));
            }
        } else {
            say(out, number);
        }
        Some(())
    }
}

/// Which of the words for days a moment near now gets, and whether it needs its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    Today,
    Yesterday,
    /// Within the last five days.
    Weekday,
    ThisYear,
    /// Another year, or a day to come.
    Far,
}

impl Near {
    fn of(time: &Zoned, now: &Zoned) -> Self {
        let days = Self::days_between(time, now);
        match days {
            0 => Self::Today,
            _ if days < 0 || time.year() != now.year() => Self::Far,
            1 => Self::Yesterday,
            2..=5 => Self::Weekday,
            _ => Self::ThisYear,
        }
    }

    /// Days from `time` to `now`.
    fn days_between(time: &Zoned, now: &Zoned) -> i64 {
        now.date().since(time.date()).map_or(i64::MAX, |span| i64::from(span.get_days()))
    }
}

/// The files that say something, in order, without extension.
#[derive(Debug, Default)]
struct Script(Vec<String>);

impl Script {
    fn file(&mut self, name: impl Into<String>) {
        self.0.push(name.into());
    }

    /// Characters one by one.
    fn characters(&mut self, text: &str, spelling: Spelling) {
        for c in text.chars().filter(char::is_ascii) {
            match (c.to_ascii_lowercase(), spelling) {
                (digit, _) if digit.is_ascii_digit() => self.file(format!("digits/{digit}")),
                (_, Spelling::Digits) => {}
                (c, Spelling::Phonetic) if c.is_ascii_alphabetic() => {
                    self.file(format!("phonetic-ascii/{}", u32::from(c)));
                }
                (c, _) => self.file(format!("ascii/{}", u32::from(c))),
            }
        }
    }

    /// The name of a group of digits, unless the group is empty.
    fn scale(&mut self, group: u64, name: Option<&'static str>) {
        if let Some(name) = name.filter(|_| group > 0) {
            self.file(name);
        }
    }

    /// `time/day-0` is Sunday.
    fn weekday(&mut self, time: &Zoned) {
        self.file(format!("time/day-{}", time.weekday().to_sunday_zero_offset()));
    }

    /// `time/mon-0` is January.
    fn month(&mut self, time: &Zoned) {
        self.file(format!("time/mon-{}", time.month() - 1));
    }
}

/// Fields of a moment as numbers: day of the month, year, hour, minute.
fn numbers(time: &Zoned) -> (u64, u64, u64, u64) {
    let small = |value: i8| u64::try_from(value).unwrap_or(0);
    let year = u64::try_from(time.year()).unwrap_or(0);
    (small(time.day()), year, small(time.hour()), small(time.minute()))
}

/// The groups of three digits of a number below a thousand millions: millions, thousands, the rest.
fn groups(number: u64) -> [u64; 3] {
    [number / 1_000_000 % 1000, number / 1000 % 1000, number % 1000]
}

/// A number of at most so many digits, thousands' commas allowed.
fn digits_of(text: &str, most: usize) -> Option<u64> {
    let plain: String = text.chars().filter(|c| *c != ',').collect();
    if plain.is_empty() {
        return Some(0);
    }
    if plain.len() > most || !plain.bytes().all(|b| b.is_ascii_digit()) {
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

/// The files that say something; `Err` explains why there are none.
fn script(
    language: &Language,
    saying: &Saying<'_>,
    choices: Choices,
    now: &Zoned,
) -> Result<Vec<String>, String> {
    let method = Method::parse(saying.method)
        .ok_or_else(|| format!("Unknown say method [{}]", saying.method))?;
    let kind = Kind::parse(saying.kind)
        .ok_or_else(|| format!("Unknown Say type=[{}]", saying.kind.to_ascii_uppercase()))?;
    let gender = match saying.gender.to_ascii_uppercase().as_str() {
        "MASCULINE" => Gender::Masculine,
        "FEMININE" => Gender::Feminine,
        "NEUTER" => Gender::Neuter,
        _ => Gender::Unsaid,
    };
    let asked = Asked { kind, method, gender, text: saying.text, choices };
    let said = language.grammar.say(&asked, now).ok_or_else(|| "Parse Error!".to_owned())?;
    Ok(said.0)
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
    /// `en`: the last part of the name of a say module.
    pub module: &'a str,
    /// `NUMBER`, `CURRENT_TIME`, …
    pub kind: &'a str,
    /// `PRONOUNCED`, …
    pub method: &'a str,
    /// `MASCULINE`, …; empty where it is not said.
    pub gender: &'a str,
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
    let Some(language) = language(session.switch(), saying.module) else {
        tracing::error!(uuid = %channel.uuid(), "Invalid SAY Interface [{}]!", saying.module);
        return Ok(Ended::Failed);
    };
    let now = now_for(Some(&channel));
    match script(language, saying, Choices::of(Some(&channel)), &now) {
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

/// Type, method, gender (masculine where there is none, as in the reference) and text behind the language.
fn what(words: &[String]) -> Option<(&str, &str, &str, String)> {
    let (kind, method) = (words.first()?, words.get(1)?);
    let rest = words.get(2..)?;
    let (gender, rest) = match rest.split_first() {
        Some((gender, text)) if is_gender(gender) && !text.is_empty() => (gender.as_str(), text),
        _ => ("MASCULINE", rest),
    };
    (!rest.is_empty()).then(|| (kind.as_str(), method.as_str(), gender, rest.join(" ")))
}

async fn say(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 32);
    let channel = Arc::clone(session.channel());
    let Some((kind, method, gender, text)) = words.get(1..).and_then(what) else {
        tracing::error!(uuid = %channel.uuid(), "Usage: <module_name>[:<lang>] <say_type> <say_method> [<say_gender>] <text>");
        return Ok(());
    };
    let module = words[0].split(':').next().unwrap_or_default();
    let keys = terminators(&channel);
    let saying = Saying { module, kind, method, gender, text: &text };
    if let Ended::Key(Some(key)) = speak(session, &saying, Keys::Stop(&keys)).await? {
        channel.set_var("playback_terminator_used", key.to_string());
    }
    Ok(())
}

fn say_string(call: &ApiCall) -> String {
    let words = call.words(32);
    let Some((kind, method, gender, text)) = words.get(2..).and_then(what) else {
        return usage(SAY_STRING);
    };
    let (module, extension) = words[0].split_once('.').unwrap_or((&words[0], "wav"));
    let Some(language) = language(&call.switch, module) else {
        tracing::error!("Invalid SAY Interface [{module}]!");
        return String::new();
    };
    let saying = Saying { module, kind, method, gender, text: &text };
    let channel = call.channel.as_deref();
    match script(language, &saying, Choices::of(channel), &now_for(channel)) {
        Ok(files) if !files.is_empty() => playable(&files, extension),
        Ok(_) => String::new(),
        Err(error) => {
            tracing::error!("{error}");
            String::new()
        }
    }
}
