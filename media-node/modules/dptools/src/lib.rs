//! Applications, commands and endpoints of mod_dptools and its small companions.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod answer;
pub mod attended;
pub mod audio;
pub mod bridge;
pub mod chat;
mod comfort;
mod declared;
pub mod digit_action;
pub mod digit_filter;
pub mod digit_machine;
pub mod digits;
pub mod eavesdrop;
pub mod endpoint;
pub mod esf;
pub mod flow;
pub mod hold;
pub mod idle;
pub mod info;
pub mod intercept;
pub mod ivr;
pub mod jitter;
pub mod machine;
pub mod media_state;
pub mod meta;
pub mod meta_keys;
mod module;
pub mod mutex;
pub mod observer;
pub mod page;
pub mod phone_features;
pub mod phrase;
pub mod playback;
pub mod record;
pub mod record_file;
pub mod record_hooks;
pub mod respond;
pub mod say;
pub mod schedule;
pub mod tone;
pub mod turns;
pub mod unicast;
pub mod uuid_record;
pub mod valet;
mod valet_presence;
pub mod variables;

pub use module::MODULES;

use switch_core::app::{App, Flags, play, ringback};
