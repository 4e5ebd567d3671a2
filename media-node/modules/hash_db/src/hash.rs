//! `hash`: keys and values in memory, by realm.

use std::collections::BTreeMap;

use base::far;
use parking_lot::Mutex;

/// Entries kept; further ones are refused, so that a runaway dialplan cannot take all memory.
const MAX_ENTRIES: usize = 1_000_000;
/// Bytes of one value.
const MAX_VALUE: usize = 1 << 20;

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The key has a value.
    #[error("key already exists")]
    Exists,
    /// The key has no value.
    #[error("Not found")]
    NotFound,
    /// The value is another one.
    #[error("Doesn't match")]
    NoMatch,
    /// The store is full, or the value too long.
    #[error("No space left")]
    Full,
}

/// All realms.
#[derive(Default)]
pub struct Hash {
    entries: Mutex<BTreeMap<(String, String), String>>,
}

impl Hash {
    /// Sets a value; `if_empty` only where there is none.
    ///
    /// # Errors
    /// [`HashError::Exists`] with `if_empty`, [`HashError::Full`].
    pub fn insert(
        &self,
        realm: &str,
        key: &str,
        value: &str,
        if_empty: bool,
    ) -> Result<(), HashError> {
        let mut entries = self.entries.lock();
        let name = (realm.to_owned(), key.to_owned());
        if if_empty && entries.contains_key(&name) {
            return Err(HashError::Exists);
        }
        if value.len() > MAX_VALUE || (entries.len() >= MAX_ENTRIES && !entries.contains_key(&name))
        {
            return Err(HashError::Full);
        }
        entries.insert(name, value.to_owned());
        Ok(())
    }

    /// A value.
    #[must_use]
    pub fn get(&self, realm: &str, key: &str) -> Option<String> {
        self.entries.lock().get(&(realm.to_owned(), key.to_owned())).cloned()
    }

    /// Deletes a value; with `expected` only that one.
    ///
    /// # Errors
    /// [`HashError::NotFound`], [`HashError::NoMatch`].
    pub fn delete(&self, realm: &str, key: &str, expected: Option<&str>) -> Result<(), HashError> {
        let mut entries = self.entries.lock();
        let name = (realm.to_owned(), key.to_owned());
        let value = entries.get(&name).ok_or(HashError::NotFound)?;
        if expected.is_some_and(|expected| far::plain(expected) != far::plain(value)) {
            return Err(HashError::NoMatch);
        }
        entries.remove(&name);
        Ok(())
    }

    /// Realm, key and value of everything, or of one realm.
    #[must_use]
    pub fn all(&self, realm: Option<&str>) -> Vec<(String, String, String)> {
        let entries = self.entries.lock();
        entries
            .iter()
            .filter(|((known, _), _)| realm.is_none_or(|realm| realm == known))
            .map(|((realm, key), value)| (realm.clone(), key.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_kept() {
        let hash = Hash::default();
        assert_eq!(hash.insert("r", "k", "1", true), Ok(()));
        assert_eq!(hash.insert("r", "k", "2", true), Err(HashError::Exists));
        assert_eq!(hash.delete("r", "k", Some("2")), Err(HashError::NoMatch));
        assert_eq!(hash.get("r", "k").as_deref(), Some("1"));
        assert_eq!(hash.delete("r", "k", None), Ok(()));
        assert_eq!(hash.delete("r", "k", None), Err(HashError::NotFound));
    }

    #[test]
    fn one_realm_does_not_see_the_other() {
        let hash = Hash::default();
        hash.insert("a", "k", "1", false).unwrap_or_default();
        hash.insert("b", "k", "2", false).unwrap_or_default();
        assert_eq!(hash.all(Some("b")), [("b".into(), "k".into(), "2".into())]);
        assert_eq!(hash.all(None).len(), 2);
    }
}
