//! Users, trunks and routes that programs make: kept in a database (SQLite or PostgreSQL), checked before they are kept,
//! and turned into the XML of the directory, of SIP profiles and of the dialplan.
//!
//! [`Store`] is the database, [`Snapshot`] what was last read of it: calls and registrations are answered from the
//! snapshot, so that a database that is down keeps no user from calling. [`xml`] adds a snapshot to the XML of files,
//! which always comes first: a user of the files hides one of the database, and a route applies to what no extension takes.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod checks;
mod route;
mod store;
mod trunk;
mod user;
pub mod xml;

pub use route::{Route, Target, Transfer};
pub use store::{Snapshot, Store};
pub use trunk::Trunk;
pub use user::User;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a resource cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that cannot be used: the field, and what it must be.
    #[error("{0}: {1}")]
    Unusable(&'static str, String),
    /// There is one of that id.
    #[error("there is one of that id")]
    Exists,
    /// As many as are kept.
    #[error("there are {0} already, which is as many as are kept")]
    Full(usize),
    /// What the database says.
    #[error(transparent)]
    Database(#[from] database::Error),
}

impl Error {
    fn unusable(field: &'static str, why: impl Into<String>) -> Self {
        Self::Unusable(field, why.into())
    }
}

/// One kind of thing that is kept.
pub trait Resource:
    Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static
{
    /// Its table.
    const TABLE: &'static str;
    /// What one is called in messages.
    const NAME: &'static str;
    /// How many are kept at most, of all domains and contexts.
    const MOST: usize;
    /// How many of them may belong together: users of a domain, routes of a context.
    const OF_ONE: usize;
    /// Fields that are written and never shown.
    const SECRETS: &'static [&'static str];

    /// What it is known by; the same for two that must not be there at once.
    fn id(&self) -> String;

    /// Is it usable?
    ///
    /// # Errors
    /// [`Error::Unusable`] with the field that is not.
    fn check(&self) -> Result<(), Error>;

    /// How many there are of its domain or context.
    fn beside(&self, all: &Snapshot) -> usize;
}
