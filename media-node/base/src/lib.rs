//! The lowest layer: small parts that every crate of the switch may use. Nothing here knows of calls, SIP, the Event
//! Socket or configuration.
#![forbid(unsafe_code)]

pub mod guess_guard;
