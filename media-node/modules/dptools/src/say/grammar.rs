//! What languages have in common: a number is said by groups of three digits, an amount with its units, a moment as a date and
//! a time. A language is a table of words and what it says in its own order.

use jiff::Zoned;

use super::{Asked, Gender, Kind, Method, Moment, Money, Near, Script, Spelling};

/// How a number is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct How {
    pub(super) method: Method,
    pub(super) gender: Gender,
}

impl How {
    pub(super) fn of(asked: &Asked<'_>) -> Self {
        Self { method: asked.method, gender: asked.gender }
    }

    pub(super) fn pronounced(gender: Gender) -> Self {
        Self { method: Method::Pronounced, gender }
    }

    pub(super) fn counted(gender: Gender) -> Self {
        Self { method: Method::Counted, gender }
    }
}

/// What is counted: hours, cents.
#[derive(Debug)]
pub(super) struct Unit {
    /// For one, for a few (Russian: 2 to 4), for any more.
    pub(super) forms: [&'static str; 3],
    /// What is said for a single one in place of the number.
    pub(super) single: Option<&'static str>,
    /// What was asked for holds where the unit has none.
    pub(super) gender: Gender,
}

impl Unit {
    fn how(&self, asked: Gender) -> How {
        How::pronounced(if self.gender == Gender::Unsaid { asked } else { self.gender })
    }
}

/// A unit with a form for one and a form for any more.
pub(super) const fn unit(one: &'static str, many: &'static str) -> Unit {
    Unit { forms: [one, many, many], single: None, gender: Gender::Unsaid }
}

/// Whether the small part of an amount, or of a time, is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Always,
    /// Where it is not zero.
    IfAny,
    /// Where it was written; else as zero, without a word between.
    IfWritten,
    Never,
}

/// How amounts of money are said.
#[derive(Debug)]
pub(super) struct Currency {
    pub(super) negative: &'static str,
    pub(super) whole: Unit,
    pub(super) and: Option<&'static str>,
    pub(super) part: Unit,
    pub(super) says_part: Part,
    /// The number is said as it was asked for, not always pronounced.
    pub(super) as_asked: bool,
}

/// How lengths of time are said.
#[derive(Debug)]
pub(super) struct Measure {
    /// Hours, minutes, seconds.
    pub(super) units: [Unit; 3],
    /// Before seconds.
    pub(super) and: Option<&'static str>,
    pub(super) says_seconds: Part,
}

/// A language's words.
#[derive(Debug)]
pub(super) struct Words {
    /// Digits of the largest number, of one that is iterated.
    pub(super) most: (usize, usize),
    pub(super) currency: Currency,
    pub(super) measure: Measure,
    /// Between a date and a time.
    pub(super) at: Option<&'static str>,
    /// Days near today have words of their own (`SHORT_DATE_TIME`); the reference lacks them in some languages.
    pub(super) knows_near_days: bool,
}

/// A language.
pub(super) trait Grammar: Sync {
    fn words(&self) -> &'static Words;

    fn number(&self, out: &mut Script, value: u64, how: How);

    /// The day a moment is on. `year` where it is to be said.
    fn date(&self, out: &mut Script, time: &Zoned, what: Moment, year: bool);

    /// The time of day; `gender` is what was asked for, unless a date stands before.
    fn time(&self, out: &mut Script, time: &Zoned, what: Moment, gender: Gender);

    /// Which of a unit's forms a number takes.
    fn form(&self, value: u64) -> usize {
        if value == 1 { 0 } else { 2 }
    }

    fn near(&self, time: &Zoned, now: &Zoned) -> Near {
        Near::of(time, now)
    }

    /// Is that word said between a date of this kind and the time?
    fn says_at(&self, _near: Option<Near>) -> bool {
        true
    }

    fn count(&self, out: &mut Script, asked: &Asked<'_>, _messages: bool) -> Option<()> {
        asked.count(out, self.words().most, |out, value| self.number(out, value, How::of(asked)))
    }

    fn octet(&self, out: &mut Script, value: u64, asked: &Asked<'_>) {
        self.number(out, value, How::of(asked));
    }

    fn spelled(&self, out: &mut Script, text: &str, spelling: Spelling) {
        out.characters(text, spelling);
    }

    /// A number of units.
    fn counted(&self, out: &mut Script, value: u64, unit: &Unit, how: How) {
        match unit.single.filter(|_| value == 1) {
            Some(one) => out.file(one),
            None => self.number(out, value, how),
        }
        out.file(unit.forms[self.form(value)]);
    }

    fn currency(&self, _asked: &Asked<'_>) -> &'static Currency {
        &self.words().currency
    }

    fn money(&self, out: &mut Script, money: &Money, asked: &Asked<'_>) {
        let currency = self.currency(asked);
        let how = |unit: &Unit| match currency.as_asked {
            true => How::of(asked),
            false => unit.how(asked.gender),
        };
        if money.negative {
            out.file(currency.negative);
        }
        self.counted(out, money.whole, &currency.whole, how(&currency.whole));
        let part = match (currency.says_part, money.part) {
            (Part::Always, part) => part.unwrap_or(0),
            (Part::IfAny, Some(part @ 1..)) | (Part::IfWritten, Some(part)) => part,
            (Part::IfWritten, None) => {
                return self.counted(out, 0, &currency.part, how(&currency.part));
            }
            (Part::IfAny | Part::Never, _) => return,
        };
        if let Some(and) = currency.and {
            out.file(and);
        }
        self.counted(out, part, &currency.part, how(&currency.part));
    }

    /// Hours, minutes and seconds.
    fn length(&self, out: &mut Script, (hours, minutes, seconds): (u64, u64, u64), gender: Gender) {
        let measure = &self.words().measure;
        let [hour, minute, second] = &measure.units;
        for (value, unit) in [(hours, hour), (minutes, minute)] {
            self.counted(out, value, unit, unit.how(gender));
        }
        if measure.says_seconds == Part::Never
            || measure.says_seconds == Part::IfAny && seconds == 0
        {
            return;
        }
        if let Some(and) = measure.and {
            out.file(and);
        }
        self.counted(out, seconds, second, second.how(gender));
    }

    fn moment(
        &self,
        out: &mut Script,
        what: Moment,
        (time, now): (&Zoned, &Zoned),
        gender: Gender,
    ) {
        let words = self.words();
        let near = self.near(time, now);
        let short = (what == Moment::Short && words.knows_near_days).then_some(near);
        let mut dated = false;
        match short {
            _ if what == Moment::Time => {}
            Some(Near::Today) => out.file("time/today"),
            Some(Near::Yesterday) => out.file("time/yesterday"),
            Some(Near::Weekday) => out.weekday(time),
            Some(Near::ThisYear) => {
                self.date(out, time, what, false);
                dated = true;
            }
            Some(Near::Far) | None => {
                self.date(out, time, what, true);
                dated = true;
            }
        }
        if what == Moment::Date {
            return;
        }
        if let Some(at) = words.at.filter(|_| what != Moment::Time && self.says_at(short)) {
            out.file(at);
        }
        self.time(out, time, what, if dated { Gender::Neuter } else { gender });
    }

    /// The files that say it; `None` for what cannot be read.
    fn say(&self, asked: &Asked<'_>, now: &Zoned) -> Option<Script> {
        let mut script = Script::default();
        let out = &mut script;
        match asked.kind {
            Kind::Count { messages } => self.count(out, asked, messages)?,
            Kind::Money => self.money(out, &asked.money(self.words().most.0)?, asked),
            Kind::Measure => self.length(out, asked.measure()?, asked.gender),
            Kind::Moment(what) => {
                self.moment(out, what, (&asked.moment(now), now), asked.gender);
            }
            Kind::Address => asked.address(out, |out, octet| self.octet(out, octet, asked))?,
            Kind::Spelled(spelling) => self.spelled(out, asked.text, spelling),
        }
        Some(script)
    }
}

/// A group of three digits; the scale names it (`digits/thousand`), the last has none.
pub(super) type Group = fn(&mut Script, u64, How, Option<&'static str>);

/// Says a number by its groups of three digits. `scales` are thousands of millions, millions and thousands.
pub(super) fn by_groups(
    out: &mut Script,
    value: u64,
    how: How,
    scales: [&'static str; 3],
    group: Group,
) {
    match how.method {
        _ if value == 0 => out.file("digits/0"),
        Method::Iterated => out.characters(&value.to_string(), Spelling::Plain),
        _ => {
            let inner = How::pronounced(how.gender);
            for (divisor, scale) in [1_000_000_000, 1_000_000, 1000].into_iter().zip(scales) {
                group(out, value / divisor % 1000, inner, Some(scale));
            }
            group(out, value % 1000, how, None);
        }
    }
}
