//! The switch: calls, applications, API commands, and the wiring that makes one process of it.
//!
//! Map: [`run`] wires it; [`call`] is the channel and what happens to it;
//! [`mod@app`] the dialplan applications; [`mod@api`] the commands; [`endpoint`] the ways to call that need no network;
//! [`store`] what outlives a call; [`config`] the snapshot of the XML files.

#![deny(unsafe_code)]

pub use base::{BoxFuture, clock, memory, stun, text};
pub use switch_log::{log_alert, log_clean, log_console, log_crit, log_notice};

pub mod api;
pub mod app;
pub mod call;
pub mod catalogue;
pub mod conference;
pub mod config;
pub mod contract;
pub mod endpoint;
pub mod enum_lookup;
pub mod event_socket;
pub mod guesses;
pub mod hash_db;
pub mod heartbeat;
pub mod host;
pub mod linked;
pub mod loopback;
pub mod modules;
pub mod offline;
pub mod paper;
pub mod schedule;
#[cfg(test)]
mod shipped;
pub mod sofia;
pub mod store;
pub mod switch;
pub mod xml;
pub mod xml_curl;

mod run;

pub use run::run;
