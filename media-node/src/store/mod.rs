//! What outlives a call: keys and values, limits, registrations, call records.

pub mod cdr;
pub mod limits;

/// All stores of the switch.
#[derive(Default)]
pub struct Stores {
    /// Call records.
    pub cdr: cdr::Records,
    /// `limit`.
    pub limits: limits::Limits,
}
