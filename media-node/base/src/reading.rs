//! Numbers that parts of the switch have at hand, as a metrics page shows them. Taken when asked for, never pushed.

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process. Its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One number now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The metric's name without the program's prefix: `media_legs`.
    pub name: &'static str,
    /// One sentence about it.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Names and values of labels. Values come from configuration, never from a far end: their number stays bounded.
    pub labels: Vec<(&'static str, String)>,
    /// The number, in the base unit its name says (seconds, bytes, a ratio from 0 to 1).
    pub value: f64,
}

impl Reading {
    /// A number that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: Kind::Gauge, labels: Vec::new(), value }
    }

    /// A number that only grows.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: Kind::Counter, labels: Vec::new(), value: value as f64 }
    }

    /// The same with a label.
    #[must_use]
    pub fn of(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}
