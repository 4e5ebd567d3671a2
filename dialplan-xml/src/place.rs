//! Where something was written.

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

    /// The files read, in the order they were opened.
    pub fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.iter().map(|(name, _)| name)
    }
}

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
