//! Names for time zones.

use jiff::tz::TimeZone;

use super::Params;
use crate::Node;

/// `timezones.conf`: names for zones, each with a POSIX rule.
#[derive(Clone, Debug, Default)]
pub struct TimezonesConf {
    zones: Params,
}

impl TimezonesConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        Self { zones: Params::read(conf.and_then(|c| c.child("timezones")), "zone") }
    }

    /// The zone of a name: as configured, else of the zone database.
    pub fn zone(&self, name: &str) -> Option<TimeZone> {
        let configured = self.zones.get(name).and_then(posix_zone);
        configured.or_else(|| TimeZone::get(name).ok())
    }

    /// Names and rules in document order.
    pub fn zones(&self) -> &Params {
        &self.zones
    }
}

/// The zone a POSIX rule such as `CET-1CEST,M3.5.0,M10.5.0/3` describes.
pub fn posix_zone(rule: &str) -> Option<TimeZone> {
    TimeZone::posix(rule).ok()
}
