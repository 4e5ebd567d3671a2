//! What a call is made of, as plain data: [`state`] has the channel's and the call's states, [`progress`] how far a leg has come,
//! [`profile`] who calls whom, [`plan`] what runs next, [`bridge`] and [`link`] how legs belong to each other, [`index`] what
//! they are found by, [`record`] the times of a call as its record tells them, [`argument`] what applications take.
//!
//! Nothing here acts: the core's tasks do.

pub mod argument;
pub mod bridge;
pub mod counters;
pub mod events;
pub mod index;
pub mod link;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod record;
pub mod state;
pub mod variables;
