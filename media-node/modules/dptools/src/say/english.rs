//! English (mod_say_en).

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Words, by_groups, unit};
use super::{Gender, Method, Moment, Near, Script, Spelling, numbers};

pub(super) struct English;

const SCALES: [&str; 3] = ["digits/billion", "digits/million", "digits/thousand"];

const WORDS: Words = Words {
    most: (12, 12),
    currency: Currency {
        negative: "currency/negative",
        whole: unit("currency/dollar", "currency/dollars"),
        and: Some("currency/and"),
        part: unit("currency/cent", "currency/cents"),
        says_part: Part::IfAny,
        as_asked: false,
    },
    measure: Measure {
        units: [
            unit("time/hour", "time/hours"),
            unit("time/minute", "time/minutes"),
            unit("time/second", "time/seconds"),
        ],
        and: None,
        says_seconds: Part::Always,
    },
    at: Some("time/at"),
    knows_near_days: true,
};

const PLAIN: How = How { method: Method::Pronounced, gender: Gender::Unsaid };

impl Grammar for English {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        if how.method == Method::Year && year(out, value) {
            return;
        }
        by_groups(out, value, how, SCALES, group);
    }

    /// Every character is said, of a telephone number too.
    fn spelled(&self, out: &mut Script, text: &str, spelling: Spelling) {
        let spelling = if spelling == Spelling::Digits { Spelling::Plain } else { spelling };
        out.characters(text.trim(), spelling);
    }

    /// Days to come in this year need no year.
    fn near(&self, time: &Zoned, now: &Zoned) -> Near {
        match Near::days_between(time, now) {
            0 => Near::Today,
            1 => Near::Yesterday,
            2..=5 => Near::Weekday,
            _ if time.year() == now.year() => Near::ThisYear,
            _ => Near::Far,
        }
    }

    fn date(&self, out: &mut Script, time: &Zoned, what: Moment, year: bool) {
        let (day, number, ..) = numbers(time);
        if what != Moment::Short {
            out.weekday(time);
        }
        out.month(time);
        self.number(out, day, How::counted(Gender::Unsaid));
        if year {
            self.number(out, number, How { method: Method::Year, gender: Gender::Unsaid });
        }
    }

    fn time(&self, out: &mut Script, time: &Zoned, _what: Moment, _gender: Gender) {
        let (.., hour, minute) = numbers(time);
        self.number(out, if hour.is_multiple_of(12) { 12 } else { hour % 12 }, PLAIN);
        match minute {
            0 => out.file("time/oclock"),
            _ => {
                if minute < 10 {
                    out.file("time/oh");
                }
                self.number(out, minute, PLAIN);
            }
        }
        out.file(if hour >= 12 { "time/p-m" } else { "time/a-m" });
    }
}

fn group(out: &mut Script, value: u64, how: How, scale: Option<&'static str>) {
    let ordinal = if how.method == Method::Counted && scale.is_none() { "h-" } else { "" };
    let (hundreds, rest) = (value / 100, value % 100);
    if hundreds > 0 {
        out.file(format!("digits/{hundreds}"));
        let last = if rest == 0 { ordinal } else { "" };
        out.file(format!("digits/{last}hundred"));
    }
    match (rest / 10, rest % 10) {
        (0, 0) => {}
        (0, _) | (1, _) => out.file(format!("digits/{ordinal}{rest}")),
        (tens, 0) => out.file(format!("digits/{ordinal}{tens}0")),
        (tens, ones) => {
            out.file(format!("digits/{tens}0"));
            out.file(format!("digits/{ordinal}{ones}"));
        }
    }
    out.scale(value, scale);
}

fn year(out: &mut Script, value: u64) -> bool {
    if value.is_multiple_of(100) || (value / 100).is_multiple_of(10) {
        return false;
    }
    English.number(out, value / 100, PLAIN);
    if value % 100 < 10 {
        out.file("digits/0");
    }
    English.number(out, value % 100, PLAIN);
    true
}
