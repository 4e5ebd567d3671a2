//! Global variables.

/// Global variables: names case-insensitive, in insertion order.
///
/// Setting replaces (the entry moves to the end), an empty value deletes, and every `${` in a value
/// becomes `%{`, as in the reference.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    entries: Vec<GlobalEntry>,
}

#[derive(Clone, Debug)]
struct GlobalEntry {
    name: String,
    value: String,
}

impl Globals {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a variable. `name[n]` reads slot `n` of an array value.
    pub fn get(&self, name: &str) -> Option<&str> {
        if let Some(entry) = self.entry(name) {
            return Some(&entry.value);
        }
        let (base, index) = name.strip_suffix(']')?.split_once('[')?;
        let items = self.entry(base)?.value.strip_prefix("ARRAY::")?;
        items.split("|:").nth(index.parse().ok()?)
    }

    /// Sets a variable, or deletes it when the value is empty.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        if !value.is_empty() {
            self.entries
                .push(GlobalEntry { name: name.to_owned(), value: value.replace("${", "%{") });
        }
    }

    /// Deletes a variable.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|e| !e.name.eq_ignore_ascii_case(name));
    }

    /// Names and values in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|e| (e.name.as_str(), e.value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, name: &str) -> Option<&GlobalEntry> {
        self.entries.iter().find(|e| e.name.eq_ignore_ascii_case(name))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Globals {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut globals = Self::new();
        for (name, value) in pairs {
            globals.set(name.as_ref(), value.as_ref());
        }
        globals
    }
}
