//! German (mod_say_de). Ones stand before tens; `1_n` is the one in front of another word, `1_f` the feminine one.

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Unit, Words, by_groups, unit};
use super::{Gender, Method, Moment, Script, numbers};

pub(super) struct German;

const fn with_one(one: &'static str, unit: Unit) -> Unit {
    Unit { single: Some(one), ..unit }
}

const SCALES: [&str; 3] = ["digits/billion", "digits/million", "digits/thousand"];

const WORDS: Words = Words {
    most: (9, 18),
    currency: Currency {
        negative: "currency/negative",
        whole: with_one("digits/1_n", unit("currency/dollar", "currency/dollars")),
        and: Some("currency/and"),
        part: with_one("digits/1_n", unit("currency/cent", "currency/cents")),
        says_part: Part::IfWritten,
        as_asked: false,
    },
    measure: Measure {
        units: [
            with_one("digits/1_n", unit("time/hour", "time/hours")),
            with_one("digits/1_f", unit("time/minute", "time/minutes")),
            with_one("digits/1_f", unit("time/second", "time/seconds")),
        ],
        and: Some("currency/and"),
        says_seconds: Part::Always,
    },
    at: Some("time/at"),
    knows_near_days: true,
};

impl Grammar for German {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        if how.method == Method::Year && year(out, value, how) {
            return;
        }
        by_groups(out, value, how, SCALES, group);
    }

    fn date(&self, out: &mut Script, time: &Zoned, _what: Moment, year: bool) {
        let (day, number, ..) = numbers(time);
        out.weekday(time);
        out.month(time);
        self.number(out, day, How::counted(Gender::Masculine));
        if year {
            self.number(out, number, How { method: Method::Year, gender: Gender::Neuter });
        }
    }

    fn time(&self, out: &mut Script, time: &Zoned, _what: Moment, gender: Gender) {
        let (.., hour, minute) = numbers(time);
        let how = How::pronounced(if hour == 1 { Gender::Neuter } else { gender });
        self.number(out, hour, how);
        out.file("time/oclock");
        if minute < 10 {
            out.file("digits/0");
        }
        self.number(out, minute, how);
    }
}

fn group(out: &mut Script, value: u64, how: How, scale: Option<&'static str>) {
    let How { method, gender } = how;
    let (hundreds, tens, ones) = (value / 100, value / 10 % 10, value % 10);
    let joined = |ones: u64| if ones == 1 { "digits/1_n".into() } else { format!("digits/{ones}") };
    let last = |word: u64| match (method, gender) {
        (Method::Counted, Gender::Masculine) => format!("digits/h-{word}_m"),
        (Method::Counted, Gender::Neuter) => format!("digits/h-{word}_n"),
        (Method::Counted, _) => format!("digits/h-{word}"),
        _ => format!("digits/{word}"),
    };
    let counted = method == Method::Counted;
    if hundreds > 0 {
        out.file(joined(hundreds));
        out.file("digits/hundred");
    }
    match (tens, ones) {
        (0, 0) => {}
        (0, 1) if !counted && gender == Gender::Feminine => out.file("digits/1_f"),
        (0, 1) if !counted && scale.is_some() => out.file("digits/1_n"),
        (0 | 1, _) => out.file(last(tens * 10 + ones)),
        _ => {
            if ones > 0 {
                out.file(joined(ones));
                out.file("currency/and");
            }
            out.file(last(tens * 10));
        }
    }
    out.scale(value, scale);
}

/// The reference says no year at all.
fn year(out: &mut Script, value: u64, how: How) -> bool {
    if !(1100..2000).contains(&value) {
        return false;
    }
    let how = How::pronounced(how.gender);
    German.number(out, value / 100, how);
    out.file("digits/hundred");
    if !value.is_multiple_of(100) {
        German.number(out, value % 100, how);
    }
    true
}
