//! Call records: what a record is, how it is kept until every receiver has it, and the shapes it is handed on in.
//!
//! [`journal`] is an append-only file of checksummed entries: a record is in it before the end of its call is shown.
//! [`delivery`] hands entries to sinks in order, each sink with a position of its own. [`record`] is the record itself;
//! [`json`], [`xml`] and [`csv`] are FreeSWITCH's documents and lines.
//!
//! Nothing here knows channels, SIP or configuration files.

pub mod csv;
pub mod delivery;
pub mod journal;
pub mod json;
pub mod record;
pub mod xml;

pub use delivery::{Delivery, Sink, SinkError};
pub use journal::{Journal, JournalError, Position};
pub use record::{CallRecord, Entry};
