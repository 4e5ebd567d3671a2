//! A cache of speech that several switches share, for modules that do not know each other.
//!
//! Who makes speech asks here before an engine works; who has a server ([`SharedCache`]) says so. State of a switch by
//! type ([`crate::slots`]) holds the place.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::BoxFuture;

/// A place elsewhere that keeps speech by the hash of what it says.
pub trait SharedCache: Send + Sync {
    /// Most bytes of an entry; more are neither sent nor taken.
    fn largest(&self) -> usize;

    /// The entry, if it is there and comes in time: a call waits for this. The bytes are not looked at.
    fn get<'a>(&'a self, hash: &'a str) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// Keeps an entry, or does without.
    fn put<'a>(&'a self, hash: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, ()>;
}

/// The shared cache of a switch, while there is one.
#[derive(Default)]
pub struct SpeechCache(RwLock<Option<Arc<dyn SharedCache>>>);

impl SpeechCache {
    /// That cache is asked from now on; none with `None`.
    pub fn set(&self, cache: Option<Arc<dyn SharedCache>>) {
        *self.0.write() = cache;
    }

    /// The cache to ask.
    #[must_use]
    pub fn find(&self) -> Option<Arc<dyn SharedCache>> {
        self.0.read().clone()
    }
}
