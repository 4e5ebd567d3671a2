//! The process: the wiring, the list of modules, and what can be said about a configuration without running it.
//!
//! [`run`] wires the core ([`switch_core`]) and the modules of [`mod@linked`] together; [`offline`] is `check`, `explain` and
//! `dialplan test`; [`declarations`] gathers what modules declare.

#![deny(unsafe_code)]

pub mod built_in;
pub mod declarations;
pub mod foreground;
#[cfg(test)]
mod honest;
pub mod linked;
pub mod offline;
pub mod reference;
#[cfg(test)]
mod shipped;
mod shout;
mod stored;

mod run;

pub use run::run;
