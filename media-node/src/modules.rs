//! Which of the reference's modules this switch stands in for, and which are loaded.

use parking_lot::RwLock;

/// The set of loaded modules, by FreeSWITCH's names.
#[derive(Default)]
pub struct Modules {
    loaded: RwLock<std::collections::BTreeSet<String>>,
}

impl Modules {
    /// Is it loaded?
    #[must_use]
    pub fn is_loaded(&self, name: &str) -> bool {
        self.loaded.read().contains(name)
    }

    /// Notes a module as loaded; false if it was already.
    pub fn load(&self, name: &str) -> bool {
        self.loaded.write().insert(name.to_owned())
    }

    /// Notes a module as gone; false if it was not loaded.
    pub fn unload(&self, name: &str) -> bool {
        self.loaded.write().remove(name)
    }
}
