//! The Event Socket: the language in which a switch tells programs what happens to its calls, and
//! in which those programs tell the switch what to do.
//!
//! What is here: [`event`] (what is said), [`bus`] and [`log`] (who hears it), [`switch`] (the
//! traits through which this crate reaches calls and commands). What is not: calls, SIP, RTP and
//! configuration files; this crate knows none of them.
//!
//! Reference behaviour honoured throughout: FreeSWITCH 1.10.12, `mod_event_socket`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bus;
pub mod client;
pub mod clients;
mod connection;
pub mod console;
mod door;
pub mod event;
pub mod frame;
#[cfg(feature = "fs_cli")]
pub mod fs_cli;
pub mod log;
pub mod outbound;
mod pace;
mod queue;
pub mod server;
mod session;
pub mod switch;

pub use bus::{CoreInfo, EventBus, EventSink, Subscription};
pub use event::{Caller, Event, EventName, Format, Headers, Value, Vars};
pub use log::{Level, LogHub, LogLine, LogSubscription, TextChannel};
pub use switch::{
    ApiReply, ApiRequest, BoxFuture, CallControl, CallMessage, EslUser, InlineCall, QueueFull,
    Switch,
};
