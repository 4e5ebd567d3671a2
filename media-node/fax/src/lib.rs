//! Faxes: the protocol T.30 with its modems, by the library spandsp; UDPTL, the transport of T.38; and a look at the
//! TIFF files that are sent.
//!
//! spandsp is LGPL and is not linked: [`Library`] loads it where it is installed, and says which Debian package has it
//! where it is not. All of the unsafe code is in `library`, `callbacks`, `machine`, `gateway` and
//! `tones`; what they give is safe.
//!
//! [`Machine`] is one fax machine. Audio or T.38 packets go in and come out as time passes, and each [`FaxEvent`] says how
//! far it got. It works on the thread that made it and must not be fed from async code: it reads and writes files.
//!
//! [`Gateway`] passes the fax of others between audio and T.38. It reads and writes no files, and is of one thread too.
//!
//! [`Terminal`] stands between a fax application and the signalling of its leg, which are of modules that do not know
//! each other: it lies in a slot of the channel.

#![deny(unsafe_code)]

mod callbacks;
mod gateway;
mod library;
mod machine;
mod report;
mod terminal;
pub mod tiff;
mod tones;
pub mod udptl;

pub use gateway::{Gateway, GatewayReport, GatewaySetup};
pub use library::{Library, LoadError, PACKAGE};
pub use machine::{Machine, MachineError, Setup};
pub use report::{Code, FaxEvent, Report};
pub use terminal::{MediaChange, Offer, Terminal};
pub use tones::AnswerDetector;
