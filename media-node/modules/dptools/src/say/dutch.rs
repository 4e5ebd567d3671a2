//! Dutch (mod_say_nl). Ones stand before tens, as one file with `en` (`digits/3-en`).

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Words, by_groups, unit};
use super::{Gender, Method, Moment, Script, numbers};

pub(super) struct Dutch;

const SCALES: [&str; 3] = ["digits/miljard", "digits/miljoen", "digits/duizend"];

const WORDS: Words = Words {
    most: (9, 18),
    currency: Currency {
        negative: "currency/min",
        whole: unit("currency/euro", "currency/euro"),
        and: Some("currency/en"),
        part: unit("currency/cent", "currency/cent"),
        says_part: Part::Always,
        as_asked: true,
    },
    measure: Measure {
        units: [
            unit("time/uur", "time/uur"),
            unit("time/minuut", "time/minuten"),
            unit("time/seconde", "time/seconden"),
        ],
        and: None,
        says_seconds: Part::Never,
    },
    at: Some("time/om"),
    // The reference knows no short form, and says nothing then.
    knows_near_days: false,
};

const PLAIN: How = How { method: Method::Pronounced, gender: Gender::Unsaid };

impl Grammar for Dutch {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        by_groups(out, value, how, SCALES, group);
    }

    fn date(&self, out: &mut Script, time: &Zoned, _what: Moment, _year: bool) {
        out.weekday(time);
        self.number(out, numbers(time).0, How::counted(Gender::Unsaid));
        out.month(time);
    }

    fn time(&self, out: &mut Script, time: &Zoned, _what: Moment, _gender: Gender) {
        let (.., hour, minute) = numbers(time);
        self.number(out, hour, PLAIN);
        out.file("time/uur");
        self.number(out, minute, PLAIN);
    }
}

fn group(out: &mut Script, value: u64, how: How, scale: Option<&'static str>) {
    let (hundreds, tens, ones) = (value / 100, value / 10 % 10, value % 10);
    if hundreds > 0 {
        out.file(format!("digits/{hundreds}"));
        out.file("digits/honderd");
    }
    match (tens, ones) {
        (0, 0) => {}
        (0, _) if how.method == Method::Counted => out.file(format!("digits/h-{ones}")),
        (0 | 1, _) => out.file(format!("digits/{}", tens * 10 + ones)),
        _ => {
            if ones > 0 {
                out.file(format!("digits/{ones}-en"));
            }
            out.file(format!("digits/{tens}0"));
        }
    }
    out.scale(value, scale);
}
