//! Where something was written.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A position in a configuration file, counted through includes and `$${}` expansion: it names the
/// file an administrator edits, not the merged document the parser sees.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// File name as it was opened.
    pub file: Arc<str>,
    /// Line, from 1. Zero when only the file is known.
    pub line: u32,
    /// Column in bytes, from 1. Zero when only the line is known.
    pub column: u32,
}

impl Place {
    /// A place from its parts.
    pub fn new(file: impl Into<Arc<str>>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of every file a load read, kept so that diagnostics can show the line they are about.
/// Drop it once the diagnostics are rendered; the tree does not need it.
#[derive(Clone, Default)]
pub struct Sources {
    files: Vec<(Arc<str>, Arc<str>)>,
    /// Where global variables got their last value, by lower-case name.
    defined: HashMap<String, Place>,
}

impl Sources {
    /// Remembers the text of a file. The first text of a name is kept.
    pub fn insert(&mut self, file: Arc<str>, text: Arc<str>) {
        if self.text(&file).is_none() {
            self.files.push((file, text));
        }
    }

    /// The text of a file, if it was read.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| **name == *file).map(|(_, text)| &**text)
    }

    /// One line of a file, from 1, without its line end.
    pub fn line(&self, file: &str, line: u32) -> Option<&str> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let (_, line) = crate::preprocess::lines(self.text(file)?).nth(index)?;
        Some(line.trim_end_matches(['\n', '\r']))
    }

    /// Remembers where the value of a global variable is written.
    pub fn define(&mut self, name: &str, place: Place) {
        self.defined.insert(name.trim().to_ascii_lowercase(), place);
    }

    /// Where a text is written that stands at a place or came there out of a `$${variable}`: the same
    /// place moved to the text, or the line that gave the variable its value. `skip` bytes of the text
    /// come before what is meant.
    pub fn find(&self, place: &Place, text: &str, skip: usize) -> Option<Place> {
        self.find_within(place, text, skip, MAX_VARIABLES)
    }

    fn find_within(&self, place: &Place, text: &str, skip: usize, left: usize) -> Option<Place> {
        let start = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let rest = self.line(&place.file, place.line)?.get(start..)?;
        if let Some(at) = rest.find(text).filter(|_| !text.is_empty()) {
            let column = u32::try_from(start + at + skip + 1).ok()?;
            return Some(Place { column, ..place.clone() });
        }
        let left = left.checked_sub(1)?;
        let value = rest.split('"').next().unwrap_or_default();
        value.split("$${").skip(1).find_map(|after| {
            let name = after.split('}').next()?.to_ascii_lowercase();
            self.find_within(self.defined.get(&name)?, text, skip, left)
        })
    }

    /// The files read, in the order they were opened.
    pub fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.iter().map(|(name, _)| name)
    }
}

/// How many variables in one another's values are followed.
const MAX_VARIABLES: usize = 5;

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn lines_are_counted_as_they_are_when_files_are_read() {
        let mut sources = Sources::default();
        sources.insert("a".into(), "one\r\ntwo\rthree\n\nfive".into());
        let line = |number| sources.line("a", number);
        assert_eq!([1, 2, 3, 4, 5].map(line), ["one", "two", "three", "", "five"].map(Some));
        assert_eq!((line(0), line(6)), (None, None));
    }
}
