//! The `include` directive.

use std::path::{Path, PathBuf};

use super::{Current, MAX_FILES_OPENED, MAX_INCLUDE_DEPTH, Pass, glob};
use crate::Diagnostic;

impl Pass<'_> {
    pub(super) fn include(&mut self, current: &Current<'_>, pattern: &str, column: usize) {
        let absolute = pattern.starts_with('/') || pattern.contains("://");
        let path = if absolute { PathBuf::from(pattern) } else { current.base.join(pattern) };
        let shown = path.to_string_lossy().into_owned();
        let place = Some(current.place(column));
        match glob::matches(&shown) {
            Ok(files) if files.is_empty() => {
                let message = format!("No files to include at {shown}");
                // A pattern may well match nothing; a name was meant.
                let found = if glob::is_pattern(pattern) {
                    Diagnostic::info("include-empty", message, place)
                } else {
                    Diagnostic::warning("include-missing", message, place)
                };
                self.say(found.with_focus(pattern, 0));
            }
            Ok(files) => {
                for file in files {
                    if self.full {
                        return;
                    }
                    self.include_file(current, &file, column);
                }
            }
            Err(reason) => {
                let message = format!("Error including {shown} ({reason})");
                let found = Diagnostic::error("include-failed", message, place);
                self.say(found.with_focus(pattern, 0));
            }
        }
    }

    fn include_file(&mut self, current: &Current<'_>, file: &str, column: usize) {
        let place = Some(current.place(column));
        self.opened += 1;
        if self.opened > MAX_FILES_OPENED {
            let message = format!("Error including {file} (more than {MAX_FILES_OPENED} files)");
            self.full = true;
            return self.say(Diagnostic::error("include-too-many", message, place));
        }
        if current.depth >= MAX_INCLUDE_DEPTH {
            let message = format!("Error including {file} (Maximum recursion limit reached)");
            return self.say(Diagnostic::error("include-too-deep", message, place));
        }
        match read(Path::new(file), self.options.max_bytes) {
            Ok(bytes) => {
                let base = Path::new(file).parent().unwrap_or(Path::new(""));
                self.file(&bytes, file, base, current.depth + 1);
            }
            Err(reason) => {
                let message = format!("Couldn't open {file} ({reason})");
                self.say(Diagnostic::error("include-unreadable", message, place));
            }
        }
    }
}

/// Reads a file of bounded size.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(path).map_err(|e| reason(&e))?;
    if !meta.is_file() {
        return Err("Is not a file".to_owned());
    }
    if usize::try_from(meta.len()).map_or(true, |len| len > limit) {
        return Err(format!("larger than {limit} bytes"));
    }
    std::fs::read(path).map_err(|e| reason(&e))
}

/// The system's words for an error, without the number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
