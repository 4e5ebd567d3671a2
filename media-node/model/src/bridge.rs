//! A conversation of two legs ([`Bridge`]).

use std::sync::Arc;

/// A conversation of two legs, held by both while it lasts.
///
/// One of the two drives it: its task decides when it ends and says so, whatever the other leg's task does meanwhile.
/// Whether a leg still takes part is whether it still holds this very value.
#[derive(Debug)]
pub struct Bridge {
    driver: Arc<str>,
    other: Arc<str>,
    signal_only: bool,
}

impl Bridge {
    /// Of the originator and the other leg, by their UUIDs.
    #[must_use]
    pub fn new(driver: &Arc<str>, other: &Arc<str>) -> Arc<Self> {
        Self::of(driver, other, false)
    }

    /// One whose audio flows between the far ends, past the switch.
    #[must_use]
    pub fn signal_only(driver: &Arc<str>, other: &Arc<str>) -> Arc<Self> {
        Self::of(driver, other, true)
    }

    fn of(driver: &Arc<str>, other: &Arc<str>, signal_only: bool) -> Arc<Self> {
        Arc::new(Self { driver: Arc::clone(driver), other: Arc::clone(other), signal_only })
    }

    /// Does its audio flow past the switch?
    #[must_use]
    pub fn is_signal_only(&self) -> bool {
        self.signal_only
    }

    /// The UUID of the leg that one of the two is with.
    #[must_use]
    pub fn partner_of(&self, leg: &str) -> &Arc<str> {
        if *self.driver == *leg { &self.other } else { &self.driver }
    }

    /// Does that leg's task drive it?
    #[must_use]
    pub fn is_driven_by(&self, leg: &str) -> bool {
        *self.driver == *leg
    }
}
