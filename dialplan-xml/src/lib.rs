//! The XML language of FreeSWITCH: files to tree to typed configuration, directory, access lists
//! and dialplan decisions.
//!
//! Pure: nothing here opens a socket or asks the time. Files are read by [`load`] alone; what a
//! decision needs from the outside (variables, API commands, the clock) comes through [`Host`].
//!
//! The way through the crate:
//!
//! 1. [`load`] reads a root file, runs the preprocessor and parses the result into a [`Tree`] whose
//!    nodes know the [`Place`] they came from. Problems are [`Diagnostic`]s, all of them at once.
//! 2. [`config`] turns sections of the tree into typed settings, [`directory::Directory`] and
//!    [`acl::AclSet`] into lookups, [`dialplan::Dialplan`] into compiled decisions.
//! 3. [`dialplan::Dialplan::route`] decides what a call does; [`expand::expand`] fills in `${…}`
//!    when an application runs.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod acl;
pub mod catalogue;
pub mod check;
pub mod config;
pub mod declare;
pub mod dialplan;
pub mod dialstring;
pub mod diff;
pub mod directory;
pub mod expand;
pub mod explain;
pub mod fixtures;
pub mod regex;
pub mod report;
pub mod simulate;
pub mod text;

mod codes;
mod diagnostic;
mod globals;
mod host;
mod load;
mod paint;
mod place;
mod preprocess;
mod redact;
mod tree;

pub use codes::{AUDIT_CODES, CODES};
pub use diagnostic::{Diagnostic, Severity};
pub use globals::Globals;
pub use host::{Host, Later, LogLevel, NoHost};
pub use load::{
    LoadOptions, Loaded, PreprocessorCommand, load, parse_document, parse_raw, parse_until_error,
};
pub use paint::Paint;
pub use place::{Place, Sources};
pub use tree::{Node, NodeId, Tree, print::Element};
