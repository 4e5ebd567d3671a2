//! SIP for Ferroswitch.
//!
//! [`message`], [`uri`] and [`digest`] read and write; [`endpoint`] is the user agent core
//! as state machines that know neither socket nor clock; [`stack`] is the thin tokio edge around it.

#![forbid(unsafe_code)]

mod dialog;
pub mod digest;
pub mod endpoint;
pub mod gateway;
pub mod message;
pub mod nat;
pub mod registrar;
pub mod stack;
mod token;
mod transaction;
pub mod transport;
pub mod uri;

pub use token::nonce;
