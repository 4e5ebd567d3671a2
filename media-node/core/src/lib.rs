//! The core of the switch: channels, their tasks and states, the ways they are made, joined, moved and ended; the
//! configuration that serves; and the contract by which modules take part ([`contract`]).
//!
//! Map: [`call`] is the channel and what happens to it; [`switch`] what all calls share; [`contract`] what a module
//! provides and is told, [`modules`] which are loaded; [`mod@app`] and [`mod@api`] what applications and commands are;
//! [`config`] the snapshot of the XML files, [`xml`] where XML comes from; [`host`] expansion on behalf of a call;
//! [`schedule`] timed jobs, [`heartbeat`] what goes by the clock; [`store`] what outlives a call.

#![deny(unsafe_code)]

pub use base::{BoxFuture, clock, foreign, memory, stun, text};
pub use switch_log::{
    level_or_debug, log_alert, log_clean, log_console, log_crit, log_line, log_notice, parse_level,
};

pub mod api;
pub mod app;
pub mod call;
pub mod config;
pub mod contract;
pub mod guesses;
pub mod heartbeat;
pub mod host;
pub mod modules;
pub mod schedule;
pub mod store;
pub mod switch;
pub use base::tasks;
pub mod xml;
