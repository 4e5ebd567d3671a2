//! Declarations: what a switch honours, said where it is honoured.
//!
//! Code that reads a parameter or a channel variable, or fires an event, has a table beside it that declares it. From these
//! tables come what `check` knows, the compatibility report and the tables in `docs/`. What is accepted and does nothing
//! is declared as [`Effect::NoEffect`], with the reason.

use std::fmt;

/// What comes of using something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// What it does in the reference.
    #[default]
    Honoured,
    /// Nothing: it is accepted, answers success where it answers at all, and changes nothing. The text says why, as a
    /// clause: `there is one clock`.
    NoEffect(&'static str),
}

impl Effect {
    /// Why there is no effect; `None` where there is one.
    pub const fn why_none(self) -> Option<&'static str> {
        match self {
            Self::Honoured => None,
            Self::NoEffect(why) => Some(why),
        }
    }
}

/// What the value of a parameter or variable may be. `check` refuses others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Anything.
    Text,
    /// Yes or no, in any of the reference's words.
    Bool,
    /// Yes, no, or one of these words.
    BoolOr(&'static [&'static str]),
    /// Yes, no, or a number.
    BoolOrNumber,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas or bars.
    Words(&'static [&'static str]),
    /// A whole number in this range.
    Number(i64, i64),
    /// A whole number that is brought into this range in silence.
    Clamped(i64, i64),
    /// Seconds, from 0 to a thousand days.
    Seconds,
    /// Milliseconds, from 0 to a day.
    Millis,
    /// A port from 1 to 65535.
    Port,
    /// A port, or `auto`.
    SipPort,
    /// An address of this machine, or `auto`.
    Address,
    /// An address others see, or a word that says how it is found.
    Public,
    /// A log level, by name or number.
    Level,
    /// Codecs, separated by commas.
    Codecs,
    /// Yes, no, or hangup causes separated by commas.
    Causes,
    /// The name of an access list, or a network in CIDR form.
    AccessList,
    /// A file or a folder.
    Path,
    /// A password or another secret: never shown.
    Secret,
}

/// Most of a number that counts seconds or milliseconds.
pub(crate) const LONGEST: i64 = 86_400_000;

/// As the tables in `docs/` say it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Bool => f.write_str("true, false"),
            Self::BoolOr(words) => write!(f, "true, false, {}", words.join(", ")),
            Self::BoolOrNumber => f.write_str("true, false, number"),
            Self::Word(words) => f.write_str(&words.join(", ")),
            Self::Words(words) => write!(f, "some of {}", words.join(", ")),
            Self::Number(low, high) | Self::Clamped(low, high) if *high >= u32::MAX.into() => {
                write!(f, "number from {low}")
            }
            Self::Number(low, high) | Self::Clamped(low, high) => write!(f, "{low} to {high}"),
            Self::Seconds => f.write_str("seconds"),
            Self::Millis => f.write_str("milliseconds"),
            Self::Port => f.write_str("port"),
            Self::SipPort => f.write_str("port, auto"),
            Self::Address => f.write_str("own address, auto"),
            Self::Public => f.write_str("address, auto, auto-nat, stun:SERVER, host:NAME"),
            Self::Level => f.write_str("log level"),
            Self::Codecs => f.write_str("codecs"),
            Self::Causes => f.write_str("true, false, causes"),
            Self::AccessList => f.write_str("access list"),
            Self::Path => f.write_str("path"),
            Self::Secret => f.write_str("secret"),
        }
    }
}

/// A configuration parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, in the reference's usual spelling.
    pub name: &'static str,
    /// What its value may be.
    pub value: Value,
    /// What holds where it is not written; empty where nothing does.
    pub default: &'static str,
    /// What it changes, in one sentence without a full stop.
    pub doc: &'static str,
    /// Whether it changes anything.
    pub effect: Effect,
}

/// A [`Parameter`] that is honoured: name, value, default, what it changes.
pub const fn param(
    name: &'static str,
    value: Value,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter { name, value, default, doc, effect: Effect::Honoured }
}

impl Parameter {
    /// The same, accepted without effect, and why.
    #[must_use]
    pub const fn no_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::NoEffect(why), ..self }
    }
}

/// The parameters of one kind of element of a file.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The file's name: `sofia.conf`.
    pub file: &'static str,
    /// The kind of element where a file has several (`global`, `profile`, `gateway` of `sofia.conf`); empty elsewhere.
    pub scope: &'static str,
    /// The parameters, in the order in which `docs/` lists them.
    pub list: &'static [Parameter],
}

/// Who writes a channel variable, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The dialplan or a client writes it, the switch reads it.
    Read,
    /// The switch writes it for dialplans, clients and records.
    Set,
    /// Both.
    Both,
}

impl Access {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Set => "set",
            Self::Both => "read, set",
        }
    }
}

/// A channel variable. A name that ends in `*` stands for all that begin so.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads and writes it.
    pub access: Access,
    /// What its value may be.
    pub value: Value,
    /// What it changes or tells, in one sentence without a full stop.
    pub doc: &'static str,
    /// Whether it changes anything.
    pub effect: Effect,
}

/// A variable the switch reads: name, value, what it changes.
pub const fn reads(name: &'static str, value: Value, doc: &'static str) -> Variable {
    Variable { name, access: Access::Read, value, doc, effect: Effect::Honoured }
}

/// A variable the switch sets: name, what it tells.
pub const fn sets(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, access: Access::Set, value: Value::Text, doc, effect: Effect::Honoured }
}

/// A variable the switch sets and reads: name, value, what it tells and changes.
pub const fn keeps(name: &'static str, value: Value, doc: &'static str) -> Variable {
    Variable { name, access: Access::Both, value, doc, effect: Effect::Honoured }
}

impl Variable {
    /// The same, accepted without effect, and why.
    #[must_use]
    pub const fn no_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::NoEffect(why), ..self }
    }
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub struct EventKind {
    /// Its name on the wire; for a `CUSTOM` event the subclass (`sofia::register`).
    pub name: &'static str,
    /// When it is fired, in one sentence without a full stop.
    pub doc: &'static str,
}

/// An [`EventKind`]: name or subclass, and when it is fired.
pub const fn event(name: &'static str, doc: &'static str) -> EventKind {
    EventKind { name, doc }
}
