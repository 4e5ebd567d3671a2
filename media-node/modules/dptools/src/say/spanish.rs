//! Spanish (mod_say_es).

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Words, by_groups, unit};
use super::{Gender, Method, Moment, Script, numbers};

pub(super) struct Spanish;

const MILLIONS: &str = "digits/millions";

const SCALES: [&str; 3] = ["digits/billions", MILLIONS, "digits/thousand"];

const WORDS: Words = Words {
    most: (9, 18),
    currency: Currency {
        negative: "currency/negative",
        whole: unit("currency/dollar", "currency/dollars"),
        and: Some("currency/and"),
        part: unit("currency/cent", "currency/cents"),
        says_part: Part::Always,
        as_asked: true,
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
    at: None,
    // The reference knows no short form, and says nothing then.
    knows_near_days: false,
};

const PLAIN: How = How { method: Method::Pronounced, gender: Gender::Unsaid };

impl Grammar for Spanish {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        by_groups(out, value, how, SCALES, group);
    }

    fn date(&self, out: &mut Script, time: &Zoned, _what: Moment, _year: bool) {
        let (day, year, ..) = numbers(time);
        out.weekday(time);
        self.number(out, day, PLAIN);
        out.file("time/of");
        out.month(time);
        out.file("time/of");
        self.number(out, year, PLAIN);
    }

    fn time(&self, out: &mut Script, time: &Zoned, _what: Moment, _gender: Gender) {
        let (.., hour, minute) = numbers(time);
        self.number(out, if hour.is_multiple_of(12) { 12 } else { hour % 12 }, PLAIN);
        if minute > 0 {
            out.file("currency/and");
            self.number(out, minute, PLAIN);
        } else {
            out.file("time/oclock");
        }
        out.file(if hour >= 12 { "time/p-m" } else { "time/a-m" });
    }
}

fn group(out: &mut Script, value: u64, how: How, scale: Option<&'static str>) {
    if (value, scale) == (1, Some(MILLIONS)) {
        out.file("digits/un");
        return out.file("digits/million");
    }
    let (hundreds, rest) = (value / 100, value % 100);
    let (tens, ones) = (rest / 10, rest % 10);
    match hundreds {
        0 => {}
        1 => out.file(if rest > 0 { "digits/hundred" } else { "digits/100" }),
        5 | 7 | 9 => out.file(format!("digits/{hundreds}00")),
        _ => {
            out.file(format!("digits/{hundreds}"));
            out.file("digits/hundreds");
        }
    }
    let counted = how.method == Method::Counted;
    match tens {
        0 => {}
        1 => out.file(format!("digits/{rest}")),
        2 if !counted => out.file(if ones > 0 { "digits/veinti" } else { "digits/20" }),
        2 | 3 if counted => out.file(format!("digits/h-{tens}0")),
        _ => {
            out.file(format!("digits/{tens}0"));
            if ones > 0 {
                out.file("currency/and");
            }
        }
    }
    if ones > 0 && tens != 1 {
        out.file(format!("digits/{}{ones}", if counted { "h-" } else { "" }));
    }
    out.scale(value, scale);
}
