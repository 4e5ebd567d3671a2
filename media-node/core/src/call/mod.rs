//! Calls: channels, their tasks, the ways they are made, joined and ended.
//!
//! [`Channel`] is what everybody sees of a leg; [`Session`] is its task; [`machine`] is the loop over its states.
//! [`originate`] makes legs, [`bridge`] joins two, [`transfer`] sends them elsewhere, [`hangup`] ends them.

pub mod audio;
pub mod bridge;
pub mod broadcast;
pub mod bypass;
pub mod channel;
pub mod command;
pub mod control;
pub mod description;
pub mod digit_guard;
pub mod display;
pub mod endpoint;
pub mod events;
pub mod exec;
pub mod hangup;
pub mod heartbeat;
pub mod hold;
pub mod hooks;
pub mod jitter;
pub mod links;
pub mod machine;
pub mod originate;
pub mod post_bridge;
pub mod presence;
pub mod session;
pub mod statistics;
pub mod tones;
pub mod transfer;
pub mod uuid_bridge;

pub use base::cause::{self, Cause};
pub use call_model::{index, plan, profile, progress, state, variables};
pub use channel::Channel;
pub use dialplan_xml::dialstring;
pub use endpoint::{
    Digit, DigitSource, Endpoint, EndpointLeg, Indication, LegEvent, OutgoingCall, Referral,
};
pub use negotiation::CodecInfo;
pub use plan::Extension;
pub use profile::CallerProfile;
pub use session::{AppResult, Interrupt, Session, Wake};
pub use state::{CallState, Direction, State};
