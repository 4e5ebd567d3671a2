//! What a call is made of, as plain data: [`state`] has the channel's and the call's states, [`profile`] who calls whom.
//!
//! Nothing here acts: the core's tasks do.

pub mod profile;
pub mod state;
