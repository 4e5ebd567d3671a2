//! Scripts in JavaScript (mod_v8): the application `javascript`, `jsapi`, `jsrun`, XML from a script. The interpreter is QuickJS.
//!
//! Each script runs on a thread of its own ([`scripting`]) with an interpreter of its own ([`engine`]). The classes scripts know
//! are written in JavaScript (`classes.js`) over a few functions of ours ([`natives`]): an object of the switch is a function
//! that takes the name of an operation and its arguments, so that it lives as long as the interpreter holds it.

#![forbid(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod application;
mod command;
mod context;
mod databases;
mod declared;
mod engine;
mod events;
mod files;
mod handlers;
mod language;
mod module;
mod natives;
mod requests;
mod session;
mod sockets;
mod values;
mod web;
mod xml;

pub use module::MODULE;
