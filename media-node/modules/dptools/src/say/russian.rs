//! Russian (mod_say_ru). Numbers have forms by gender and case; those the reference has files for are here, and others are
//! said as the cardinal in the nominative.

use jiff::Zoned;

use super::grammar::{Currency, Grammar, How, Measure, Part, Unit, Words};
use super::{Asked, Choices, Gender, Method, Moment, Near, Script, Spelling, groups, numbers};

/// The words of a form: what a number ends in.
#[derive(Debug)]
struct Form {
    /// 0 to 5, and what stands before and after higher ones.
    ones: [&'static str; 6],
    around: (&'static str, &'static str),
    thousands: Scale,
    millions: Scale,
}

/// One to five of a scale with the name of the scale, that name for any more, and what stands around those.
#[derive(Debug)]
struct Scale {
    ones: [(&'static str, &'static str); 5],
    around: (&'static str, &'static str),
}

const THOUSANDS: Scale = Scale {
    ones: [
        ("1f", "thousand"),
        ("2f", "thousands-i"),
        ("3", "thousands-i"),
        ("4", "thousands-i"),
        ("5", "thousands"),
    ],
    around: ("", ""),
};

/// Millions; `one` is said before a single one.
const fn millions(one: &'static str) -> Scale {
    Scale {
        ones: [
            (one, "million"),
            ("2", "million-a"),
            ("3", "million-a"),
            ("4", "million-a"),
            ("5", "millions"),
        ],
        around: ("", ""),
    }
}

const MALE: Form = Form {
    ones: ["0", "1", "2", "3", "4", "5"],
    around: ("", ""),
    thousands: THOUSANDS,
    millions: millions("1"),
};

const NEUTER: Form = Form { ones: ["0", "1n", "2", "3", "4", "5"], millions: millions(""), ..MALE };

const FEMALE: Form = Form { ones: ["0", "1f", "2f", "3", "4", "5"], ..MALE };

/// Ordinals.
const MALE_ORDINAL: Form = Form {
    ones: ["h-0m", "h-1m", "h-2m", "h-3m", "h-4m", "h-5m"],
    around: ("h-", "m"),
    thousands: THOUSANDS,
    millions: millions(""),
};

const FEMALE_ORDINAL: Form = Form {
    ones: ["h-0f", "h-1f", "h-2f", "h-3f", "h-4f", "h-5f"],
    around: ("h-", "f"),
    thousands: THOUSANDS,
    millions: millions("1"),
};

const FEMALE_GENITIVE: Form = Form {
    ones: ["0", "h-1xx", "h-2xx", "h-3xx", "h-4xx", "h-5xx"],
    around: ("h-", "xx"),
    thousands: Scale {
        ones: [
            ("1xx", "thousands-i"),
            ("h-2xx", "thousands"),
            ("h-3xx", "thousands"),
            ("h-4xx", "thousands"),
            ("h-5xx", "thousands"),
        ],
        around: ("h-", "xx"),
    },
    millions: Scale {
        ones: [
            ("1x", "million-a"),
            ("h-2xx", "millions"),
            ("h-3xx", "millions"),
            ("h-4xx", "millions"),
            ("h-5xx", "millions"),
        ],
        around: ("h-", "xx"),
    },
};

/// Ordinals in the genitive: days of the month and years.
const MALE_ORDINAL_GENITIVE: Form = Form {
    ones: ["h-0x", "h-1x", "h-2x", "h-3x", "h-4x", "h-5x"],
    around: ("h-", "x"),
    thousands: Scale {
        ones: [
            ("", "h-thousandx"),
            ("h-2xx", "h-thousandx"),
            ("h-3xx", "h-thousandx"),
            ("h-4xx", "h-thousandx"),
            ("h-5xx", "h-thousandx"),
        ],
        around: ("h-", "xx"),
    },
    millions: Scale {
        ones: [
            ("", "h-millionx"),
            ("h-2xx", "h-millionx"),
            ("h-3xx", "h-millionx"),
            ("h-4xx", "h-millionx"),
            ("h-5xx", "h-millionx"),
        ],
        around: ("h-", "xx"),
    },
};

/// The form the dialplan chose; Russian and English words name gender and case.
fn chosen(choices: &Choices) -> &'static Form {
    let genitive = matches!(choices.cases.as_str(), "genitivus" | "родительный");
    match (choices.gender.as_str(), genitive) {
        ("it" | "средний" | "it_h" | "средний_порядковый", false) => {
            &NEUTER
        }
        ("female" | "женский", false) => &FEMALE,
        ("female" | "женский", true) => &FEMALE_GENITIVE,
        ("male_h" | "мужской_порядковый", false) => &MALE_ORDINAL,
        ("male_h" | "мужской_порядковый", true) => &MALE_ORDINAL_GENITIVE,
        ("female_h" | "женский_порядковый", false) => &FEMALE_ORDINAL,
        _ => &MALE,
    }
}

pub(super) struct Russian;

const fn unit(forms: [&'static str; 3], gender: Gender) -> Unit {
    Unit { forms, single: None, gender }
}

const RUBLES: Currency = Currency {
    negative: "currency/minus",
    whole: unit(["currency/ruble", "currency/ruble-a", "currency/rubles"], Gender::Masculine),
    and: None,
    part: unit(["currency/kopeck", "currency/kopeck-i", "currency/kopecks"], Gender::Feminine),
    says_part: Part::Always,
    as_asked: false,
};

const DOLLARS: Currency = Currency {
    whole: unit(["currency/dollar", "currency/dollara", "currency/dollars"], Gender::Masculine),
    part: unit(["currency/cent", "currency/centa", "currency/centov"], Gender::Masculine),
    ..RUBLES
};

const WORDS: Words = Words {
    most: (9, 18),
    currency: RUBLES,
    measure: Measure {
        units: [
            unit(["time/hour", "time/hours-a", "time/hours"], Gender::Masculine),
            unit(["time/minute", "time/minutes-i", "time/minutes"], Gender::Feminine),
            unit(["time/second", "time/seconds-i", "time/seconds"], Gender::Feminine),
        ],
        and: None,
        says_seconds: Part::IfAny,
    },
    at: Some("time/at"),
    knows_near_days: true,
};

impl Grammar for Russian {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn number(&self, out: &mut Script, value: u64, how: How) {
        let form = match how.gender {
            Gender::Feminine => &FEMALE,
            Gender::Neuter => &NEUTER,
            Gender::Masculine | Gender::Unsaid => &MALE,
        };
        number_in(out, value, form);
    }

    fn count(&self, out: &mut Script, asked: &Asked<'_>, messages: bool) -> Option<()> {
        let form = if messages { &NEUTER } else { chosen(&asked.choices) };
        asked.count(out, WORDS.most, |out, value| number_in(out, value, form))
    }

    fn octet(&self, out: &mut Script, value: u64, asked: &Asked<'_>) {
        match asked.method {
            Method::Iterated => out.characters(&value.to_string(), Spelling::Plain),
            _ => number_in(out, value, &MALE),
        }
    }

    fn form(&self, value: u64) -> usize {
        match (value % 100, value % 10) {
            (11..=14, _) => 2,
            (_, 1) => 0,
            (_, 2..=4) => 1,
            _ => 2,
        }
    }

    fn currency(&self, asked: &Asked<'_>) -> &'static Currency {
        match asked.choices.currency.as_str() {
            "dollar" | "доллар" => &DOLLARS,
            _ => &WORDS.currency,
        }
    }

    fn says_at(&self, near: Option<Near>) -> bool {
        !matches!(near, Some(Near::Today | Near::Yesterday))
    }

    fn date(&self, out: &mut Script, time: &Zoned, _what: Moment, year: bool) {
        let (day, number, ..) = numbers(time);
        if !year {
            out.weekday(time);
        }
        number_in(out, day, &MALE_ORDINAL_GENITIVE);
        out.month(time);
        if year {
            number_in(out, number, &MALE_ORDINAL_GENITIVE);
            out.file("time/h-year");
        }
    }

    fn time(&self, out: &mut Script, time: &Zoned, what: Moment, gender: Gender) {
        let (.., hour, minute) = numbers(time);
        let seconds = match what {
            Moment::Short => 0,
            _ => u64::try_from(time.second()).unwrap_or(0),
        };
        self.length(out, (hour, minute, seconds), gender);
    }
}

fn number_in(out: &mut Script, value: u64, form: &Form) {
    let [millions, thousands, rest] = groups(value);
    if value == 0 {
        out.file(format!("digits/{}", form.ones[0]));
        return;
    }
    // What is not the end of a number is a cardinal in the nominative.
    let inner = if value.is_multiple_of(1_000_000) { form } else { &MALE };
    scaled(out, millions, &inner.millions);
    let inner = if value.is_multiple_of(1000) { form } else { &MALE };
    scaled(out, thousands, &inner.thousands);
    plain(out, rest, form);
}

/// Hundreds and tens that something follows; what is the end, as a number: 7, 13, 40, 300.
fn leading(out: &mut Script, value: u64) -> u64 {
    let (hundreds, rest) = (value / 100, value % 100);
    if hundreds > 0 && rest > 0 {
        out.file(format!("digits/{hundreds}00"));
    }
    match rest {
        0 => value,
        1..=19 => rest,
        _ if rest.is_multiple_of(10) => rest,
        _ => {
            out.file(format!("digits/{}0", rest / 10));
            rest % 10
        }
    }
}

fn plain(out: &mut Script, value: u64, form: &Form) {
    if value == 0 {
        return;
    }
    let end = leading(out, value);
    match usize::try_from(end).ok().and_then(|end| form.ones.get(end)) {
        Some(word) => out.file(format!("digits/{word}")),
        None => out.file(format!("digits/{}{end}{}", form.around.0, form.around.1)),
    }
}

fn scaled(out: &mut Script, value: u64, scale: &Scale) {
    if value == 0 {
        return;
    }
    let end = leading(out, value);
    let word = usize::try_from(end).ok().and_then(|end| scale.ones.get(end.checked_sub(1)?));
    match word {
        Some((word, name)) => {
            if !word.is_empty() {
                out.file(format!("digits/{word}"));
            }
            out.file(format!("digits/{name}"));
        }
        None => {
            out.file(format!("digits/{}{end}{}", scale.around.0, scale.around.1));
            out.file(format!("digits/{}", scale.ones[4].1));
        }
    }
}
