//! Legs by what they are looked for: the Call-ID of a dialog, the key of a pickup. Found without looking through all calls.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// What a leg is looked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The Call-ID of its SIP dialog.
    CallId(Box<str>),
    /// The key it waits under to be picked up.
    Pickup(Box<str>),
}

/// UUIDs of legs by key, in the order in which they were entered. As many as there are legs, with a key or two each.
#[derive(Debug, Default)]
pub struct Index(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    legs: HashMap<Key, Vec<Arc<str>>>,
    keys: HashMap<Arc<str>, Vec<Key>>,
}

impl Index {
    /// From now on the leg is found by that key, until [`Index::remove`].
    pub fn enter(&self, key: Key, leg: &Arc<str>) {
        let mut maps = self.0.write();
        let legs = maps.legs.entry(key.clone()).or_default();
        if legs.contains(leg) {
            return;
        }
        legs.push(Arc::clone(leg));
        maps.keys.entry(Arc::clone(leg)).or_default().push(key);
    }

    /// The leg is gone.
    pub fn remove(&self, leg: &str) {
        let mut maps = self.0.write();
        for key in maps.keys.remove(leg).unwrap_or_default() {
            if let Some(legs) = maps.legs.get_mut(&key) {
                legs.retain(|other| &**other != leg);
                if legs.is_empty() {
                    maps.legs.remove(&key);
                }
            }
        }
    }

    /// The legs of that key, the first entered first.
    #[must_use]
    pub fn find(&self, key: &Key) -> Vec<Arc<str>> {
        self.0.read().legs.get(key).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_found_by_its_keys_until_it_is_gone() {
        let (index, one, two): (Index, Arc<str>, Arc<str>) =
            (Index::default(), "one".into(), "two".into());
        let (id, key) = (Key::CallId("x".into()), Key::Pickup("x".into()));
        index.enter(id.clone(), &one);
        index.enter(id.clone(), &one);
        index.enter(key.clone(), &two);
        index.enter(key.clone(), &one);
        assert_eq!(index.find(&id), [Arc::clone(&one)]);
        assert_eq!(index.find(&key), [Arc::clone(&two), Arc::clone(&one)]);
        index.remove("one");
        assert!(index.find(&id).is_empty());
        assert_eq!(index.find(&key), [two]);
        index.remove("two");
        assert!(index.0.read().legs.is_empty() && index.0.read().keys.is_empty());
    }
}
