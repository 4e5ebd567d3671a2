//! What outlives a call: keys and values, limits, registrations, call records.

pub mod cdr;
pub mod console;
pub mod db;
pub mod hash;
pub mod limiting;
pub mod limits;
pub mod registrations;
pub mod tuning;
pub mod turns;

/// All stores of the switch.
#[derive(Default)]
pub struct Stores {
    /// Call records.
    pub cdr: cdr::Records,
    /// Aliases and completions of the console.
    pub console: console::Console,
    /// `db`, `group` and the `db` backend of `limit`.
    pub db: db::Db,
    /// `hash`.
    pub hash: hash::Hash,
    /// The `hash` backend of `limit`.
    pub limits: limits::Limits,
    /// Limits that are being given back in the database.
    pub limit_releases: limiting::Releases,
    /// Who is registered.
    pub registrations: registrations::Registrations,
    /// Settings of `fsctl`.
    pub tuning: tuning::Tuning,
    /// `mutex`.
    pub turns: turns::Turns,
}
