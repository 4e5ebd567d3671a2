//! What loaded modules brought, by name.

use std::collections::HashMap;

use parking_lot::RwLock;

/// Entries of a registry: applications, commands.
pub trait Named: 'static {
    /// The name it is found by, in any case.
    fn name(&self) -> &'static str;
    /// The module it belongs to.
    fn module(&self) -> &'static str;
}

/// What loaded modules brought, by name.
pub struct Registry<T: 'static> {
    by_name: RwLock<HashMap<&'static str, &'static T>>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { by_name: RwLock::default() }
    }
}

impl<T: Named> Registry<T> {
    /// Everything that is in these families, whatever its module: for tools that work without a switch.
    #[must_use]
    pub fn of(families: impl IntoIterator<Item = &'static [T]>) -> Self {
        let entries = families.into_iter().flatten().map(|entry| (entry.name(), entry));
        Self { by_name: RwLock::new(entries.collect()) }
    }

    /// Takes up the entries of these families that belong to a module.
    pub fn add(&self, module: &str, families: impl IntoIterator<Item = &'static [T]>) {
        let entries = families.into_iter().flatten().filter(|entry| entry.module() == module);
        self.by_name.write().extend(entries.map(|entry| (entry.name(), entry)));
    }

    /// Gives up those entries of a module that the administrator's list does not permit, and says so.
    pub fn keep(&self, module: &str, kind: &str, permitted: impl Fn(&str) -> bool) {
        self.by_name.write().retain(|name, entry| {
            let keeps = entry.module() != module || permitted(name);
            if !keeps {
                tracing::warn!(
                    "Skipping {kind} '{name}' from {module}: not permitted by interface allowlist"
                );
            }
            keeps
        });
    }

    /// Gives up the entries of a module.
    pub fn remove(&self, module: &str) {
        self.by_name.write().retain(|_, entry| entry.module() != module);
    }

    /// The entry of that name, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static T> {
        let by_name = self.by_name.read();
        by_name.get(name).or_else(|| by_name.get(name.to_ascii_lowercase().as_str())).copied()
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<&'static T> {
        let mut all: Vec<_> = self.by_name.read().values().copied().collect();
        all.sort_by_key(|entry| entry.name());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_holds_what_belongs_to_loaded_modules() {
        struct Entry(&'static str, &'static str);
        impl Named for Entry {
            fn name(&self) -> &'static str {
                self.0
            }
            fn module(&self) -> &'static str {
                self.1
            }
        }
        static FAMILY: [Entry; 3] =
            [Entry("b", "mod_one"), Entry("a", "mod_one"), Entry("c", "mod_two")];
        let registry = Registry::default();
        registry.add("mod_one", [&FAMILY[..]]);
        let names = |registry: &Registry<Entry>| {
            registry.all().iter().map(|entry| entry.0).collect::<Vec<_>>()
        };
        assert_eq!(names(&registry), ["a", "b"]);
        assert!(registry.find("A").is_some() && registry.find("c").is_none());
        registry.add("mod_two", [&FAMILY[..]]);
        registry.remove("mod_one");
        assert_eq!(names(&registry), ["c"]);
    }
}
