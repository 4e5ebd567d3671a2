//! The commands of mod_commands, mod_console and mod_expr: one file per family.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod audit;
pub mod console;
pub mod control;
pub mod directory;
pub mod explain;
mod explain_media;
pub mod expr;
pub mod fsctl;
pub mod guesses;
pub mod json;
mod module;
pub mod modules;
pub mod net;
pub mod offline_api;
pub mod originate;
pub mod regex;
pub mod sched;
pub mod show;
pub mod status;
pub mod strings;
pub mod system;
pub mod time;
pub mod uuid;
pub mod vars;
pub mod why;

pub use module::MODULES;

use switch_core::api::{Api, ApiCall, Registry, usage};
