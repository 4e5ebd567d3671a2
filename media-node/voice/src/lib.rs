//! What programs and the switch say to each other about a call's audio, without input or output of its own: a
//! [`Dialect`] turns what happens into [`Action`]s; [`playout`] is the one queue behind all of them, [`capture`] what goes
//! out, [`vad`] who speaks. Everything a program sends is bounded here.

#![forbid(unsafe_code)]

pub mod answer;
pub mod audio;
pub mod beep;
pub mod capture;
pub mod conversation;
mod dialect;
pub mod dialects;
pub mod opus;
pub mod playout;
pub mod speech;
pub mod target;
pub mod vad;

pub use dialect::{Action, Actions, Clip, Dialect, End, Input, Wanted};
