//! Scripts in Lua (mod_lua): the `lua` application and command, `luarun`, the `LUA` dialplan, XML from a script.
//!
//! Each script runs on a thread of its own ([`scripting`]) with an interpreter of its own ([`engine`]). What it asks of a
//! call runs in that call's task ([`scripting::line`]); what else it waits for, it waits for through [`context::Context::wait`], so
//! that a script can be ended whatever it does.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod application;
mod argument;
mod command;
mod consumer;
mod context;
mod dbh;
mod declared;
mod dialplan;
mod engine;
mod event;
mod functions;
mod json;
mod language;
mod menu;
mod module;
mod session;
mod stream;

pub use module::MODULE;
