//! The process: the wiring, the list of modules, and what can be said about a configuration without running it.
//!
//! [`run`] wires the core ([`switch_core`]) and the modules of [`mod@linked`] together; [`offline`] is `check`, `explain` and
//! `dialplan test`; [`catalogue`] which names and parameters are honoured.

#![deny(unsafe_code)]

pub mod catalogue;
pub mod foreground;
pub mod linked;
pub mod offline;
#[cfg(test)]
mod shipped;

mod run;

pub use run::run;
