//! Backends of `limit` that modules bring: where calls of several switches are counted together.
//!
//! mod_hash counts in memory and mod_db in its database; what else counts is in the list here, so that neither module
//! knows the other. State of a switch by type ([`crate::slots`]) holds the list.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::BoxFuture;

/// What a call may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Most calls, or most calls per interval; `None` only counts.
    pub max: Option<u32>,
    /// Seconds; 0 limits calls at once instead of calls per time.
    pub interval: u32,
}

/// What became of a call's request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the call may go on.
    pub granted: bool,
    /// Channel variables that say more.
    pub variables: Vec<(&'static str, String)>,
}

/// A place where usage is counted.
pub trait Backend: Send + Sync {
    /// Its name, the first argument of `limit`.
    fn name(&self) -> &'static str;

    /// Takes a resource for a call, counting it once more.
    fn take<'a>(
        &'a self,
        uuid: &'a str,
        realm: &'a str,
        id: &'a str,
        allowed: Allowance,
    ) -> BoxFuture<'a, Outcome>;

    /// Gives back what a call holds: everything, or one resource.
    fn release<'a>(&'a self, uuid: &'a str, only: Option<(&'a str, &'a str)>) -> BoxFuture<'a, ()>;

    /// Whether a call holds anything.
    fn holds(&self, uuid: &str) -> bool;

    /// How many hold a resource; -1 if that cannot be told.
    fn usage<'a>(&'a self, realm: &'a str, id: &'a str) -> BoxFuture<'a, i64>;

    /// What `limit_status` replies.
    fn status(&self) -> String;

    /// What is logged for `limit_reset` and `limit_interval_reset`, which these backends refuse.
    fn cannot_reset(&self) -> &'static str;
}

/// The backends of a switch.
#[derive(Default)]
pub struct Backends(RwLock<Vec<Entry>>);

struct Entry {
    backend: Arc<dyn Backend>,
    /// Its module is loaded. One that is not still takes back what calls hold.
    serves: bool,
}

impl Backends {
    /// A backend serves from now on, in place of one of its name.
    pub fn add(&self, backend: Arc<dyn Backend>) {
        let mut all = self.0.write();
        all.retain(|entry| entry.backend.name() != backend.name());
        all.push(Entry { backend, serves: true });
    }

    /// A backend is asked for nothing new.
    pub fn retire(&self, name: &str) {
        let mut all = self.0.write();
        all.iter_mut().filter(|e| e.backend.name() == name).for_each(|entry| entry.serves = false);
    }

    /// The backend of that name, in any case, that serves.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<dyn Backend>> {
        let all = self.0.read();
        let mut serving = all.iter().filter(|entry| entry.serves);
        serving
            .find(|entry| entry.backend.name().eq_ignore_ascii_case(name))
            .map(|entry| Arc::clone(&entry.backend))
    }

    /// The backends of which a call holds something.
    #[must_use]
    pub fn holding(&self, uuid: &str) -> Vec<Arc<dyn Backend>> {
        let all = self.0.read();
        all.iter().filter(|e| e.backend.holds(uuid)).map(|e| Arc::clone(&e.backend)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Backend for One {
        fn name(&self) -> &'static str {
            "one"
        }

        fn take<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a str,
            _: Allowance,
        ) -> BoxFuture<'a, Outcome> {
            Box::pin(std::future::ready(Outcome::default()))
        }

        fn release<'a>(&'a self, _: &'a str, _: Option<(&'a str, &'a str)>) -> BoxFuture<'a, ()> {
            Box::pin(std::future::ready(()))
        }

        fn holds(&self, uuid: &str) -> bool {
            uuid == "holder"
        }

        fn usage<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, i64> {
            Box::pin(std::future::ready(-1))
        }

        fn status(&self) -> String {
            String::new()
        }

        fn cannot_reset(&self) -> &'static str {
            ""
        }
    }

    #[test]
    fn a_retired_backend_takes_back_and_gives_nothing() {
        let backends = Backends::default();
        backends.add(Arc::new(One));
        assert!(backends.find("ONE").is_some() && backends.find("two").is_none());
        backends.retire("one");
        assert!(backends.find("one").is_none());
        assert_eq!((backends.holding("holder").len(), backends.holding("other").len()), (1, 0));
        backends.add(Arc::new(One));
        assert_eq!(backends.holding("holder").len(), 1);
    }
}
