//! French (mod_say_fr). Seventies and nineties go on from sixty and eighty.

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Unit, Words, by_groups, unit};
use super::{Asked, Gender, Method, Moment, Script, numbers};

pub(super) struct French;

const fn feminine(name: &'static str) -> Unit {
    Unit { gender: Gender::Feminine, ..unit(name, name) }
}

const SCALES: [&str; 3] = ["digits/billion", "digits/million", "digits/thousand"];

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
        units: [feminine("time/hour"), feminine("time/minute"), feminine("time/second")],
        and: None,
        says_seconds: Part::Always,
    },
    at: Some("time/at"),
    knows_near_days: true,
};

impl Grammar for French {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        by_groups(out, value, how, SCALES, group);
    }

    fn count(&self, out: &mut Script, asked: &Asked<'_>, _messages: bool) -> Option<()> {
        let how = How::of(asked);
        asked.count(out, WORDS.most, |out, value| self.number(out, value, how))?;
        if how == (How { method: Method::Iterated, gender: Gender::Feminine }) {
            for file in out.0.iter_mut().filter(|file| *file == "digits/1") {
                file.push_str("_f");
            }
        }
        Some(())
    }

    fn date(&self, out: &mut Script, time: &Zoned, _what: Moment, year: bool) {
        let (day, number, ..) = numbers(time);
        if !year {
            out.weekday(time);
        }
        let how = match day {
            1 => How::counted(Gender::Masculine),
            _ => How::pronounced(Gender::Feminine),
        };
        self.number(out, day, how);
        out.month(time);
        if year {
            self.number(out, number, How::pronounced(Gender::Masculine));
        }
    }

    fn time(&self, out: &mut Script, time: &Zoned, _what: Moment, _gender: Gender) {
        let (.., hour, minute) = numbers(time);
        let how = How::pronounced(Gender::Feminine);
        self.number(out, hour, how);
        out.file("time/hour");
        if minute > 0 {
            self.number(out, minute, how);
        }
    }
}

fn group(out: &mut Script, value: u64, how: How, scale: Option<&'static str>) {
    let (hundreds, rest) = (value / 100, value % 100);
    let (tens, ones) = (rest / 10, rest % 10);
    if hundreds > 0 {
        if hundreds > 1 {
            out.file(format!("digits/{hundreds}"));
        }
        out.file("digits/hundred");
    }
    let prefix = if how.method == Method::Counted { "h-" } else { "" };
    let ending = match (how.method, how.gender) {
        (Method::Counted, _) => "",
        (_, Gender::Feminine) if tens != 1 && ones == 1 => "_f",
        _ => "",
    };
    match rest {
        0 => {}
        // One file each.
        1..=19 | 21 | 31 => out.file(format!("digits/{prefix}{rest}{ending}")),
        _ if ones == 0 => out.file(format!("digits/{prefix}{rest}")),
        70..=79 | 90..=99 => {
            out.file(format!("digits/{}0", tens - 1));
            out.file(format!("digits/{prefix}{}{ending}", ones + 10));
        }
        _ => {
            out.file(format!("digits/{tens}0"));
            out.file(format!("digits/{prefix}{ones}{ending}"));
        }
    }
    out.scale(value, scale);
}
