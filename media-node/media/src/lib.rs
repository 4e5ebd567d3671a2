//! The RTP engine: worker threads that own sockets, codecs, files, tones and digits.
//!
//! A [`Leg`] is one party's media: an RTP socket pair, one end of an in-memory pair, or nothing at
//! all. Callers hold the control handle; a worker thread holds the leg itself. Every method of the
//! handle posts one message to that worker's bounded queue and returns at once; what happens comes
//! back as [`LegEvent`]s. Nothing in this crate knows about calls, SIP or channels.
//!
//! Layers, top down: [`engine`] and [`leg`] (handles) over `worker` (the loop and its legs) over
//! `io` (sockets, or an in-memory network for tests), with the sans-IO parts beside them: `rtp`,
//! `rtcp`, [`srtp`], [`dtmf`], `jitter`, [`conceal`], [`codec`], `tone`, `wav`, [`source`], [`record`].
//!
//! Invariant: a worker never allocates per packet, never takes a lock another thread can hold for
//! long, never logs and never touches a file.

#![forbid(unsafe_code)]

pub mod codec;
pub mod conceal;
pub mod dtmf;
pub mod engine;
pub mod error;
pub mod event;
pub mod io;
pub mod jitter;
pub mod latch;
pub mod leg;
pub mod overload;
pub mod params;
pub mod picture;
mod ports;
pub mod record;
pub mod resample;
pub mod rtcp;
pub mod rtp;
mod service;
mod shared;
pub mod side_channel;
pub mod sim;
pub mod source;
pub mod srtp;
pub mod stats;
pub mod tone;
pub mod wav;
mod worker;

pub use codec::Codec;
pub use engine::{Engine, EngineConfig};
pub use error::{LegError, OpenError};
pub use event::{DigitSource, LegEvent, LegEvents, PlayEnd, RecordEnd, RecordReport};
pub use leg::{BridgeOptions, Leg, LegId, MemberOptions, PlayId, Playout, RecordId};
pub use params::{
    Direction, Handling, JitterSpec, PairSpec, PathSpec, ProtectionSpec, RtpParams, RtpSpec,
};
pub use record::RecordSpec;
pub use side_channel::{Datagram, SideChannel};
pub use source::PlayPlan;
pub use stats::Stats;
