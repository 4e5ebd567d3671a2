//! mod_cdr_csv's templates and files.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The reference's built-in template of the name `default`.
pub const BUILT_IN: &str = concat!(
    "\"${caller_id_name}\",\"${caller_id_number}\",\"${destination_number}\",\"${context}\",",
    "\"${start_stamp}\",\"${answer_stamp}\",\"${end_stamp}\",\"${duration}\",\"${billsec}\",",
    "\"${hangup_cause}\",\"${uuid}\",\"${bleg_uuid}\", \"${accountcode}\""
);

/// What is written where the configured template does not exist.
pub const NO_TEMPLATE: &str = concat!(
    "\"${accountcode}\",\"${caller_id_number}\",\"${destination_number}\",\"${context}\",",
    "\"${caller_id}\",\"${channel_name}\",\"${bridge_channel}\",\"${last_app}\",\"${last_arg}\",",
    "\"${start_stamp}\",\"${answer_stamp}\",\"${end_stamp}\",\"${duration}\",\"${billsec}\",",
    "\"${hangup_cause}\",\"${amaflags}\",\"${uuid}\",\"${userfield}\";"
);

/// A template's columns: it is split at commas outside quotes; quotes around a column and blanks beside it go.
///
/// Templates of SQL sinks are lists of values; each is bound as one parameter, whatever a far end put into it.
#[must_use]
pub fn columns(template: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quote = None;
    for c in template.trim().trim_end_matches(';').chars() {
        match (c, quote) {
            (',', None) => columns.push(String::new()),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => {
                if let Some(last) = columns.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    columns.iter().map(|column| column.trim().to_owned()).collect()
}

/// An account code as a file name: what would leave the folder becomes `_`.
#[must_use]
pub fn file_name(account: &str) -> String {
    let safe: String = account
        .chars()
        .map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c })
        .collect();
    match safe.trim_matches('.') {
        "" => "_.csv".to_owned(),
        _ if safe.starts_with('.') => format!("_{safe}.csv"),
        _ => format!("{safe}.csv"),
    }
}

/// Lengths of the files before a batch is appended. After a crash the sink truncates the files to these lengths and
/// appends the batch again, so that no line is written twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Intent {
    /// File and its length in bytes and its inode, before.
    pub files: BTreeMap<PathBuf, (u64, u64)>,
}

impl Intent {
    /// Where each of the files ends now.
    #[must_use]
    pub fn of<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        let files = paths
            .map(|path| {
                let now = std::fs::metadata(path).map_or((0, 0), |meta| (meta.len(), inode(&meta)));
                (path.to_owned(), now)
            })
            .collect();
        Self { files }
    }

    /// Cuts the files back to where they ended. A file that was rotated meanwhile is another file and stays.
    ///
    /// # Errors
    /// A file that cannot be cut.
    pub fn undo(&self) -> std::io::Result<()> {
        for (path, (length, number)) in &self.files {
            let Ok(meta) = std::fs::metadata(path) else { continue };
            let same = *number == 0 || inode(&meta) == *number;
            if same && meta.len() > *length {
                OpenOptions::new().write(true).open(path)?.set_len(*length)?;
            }
        }
        Ok(())
    }
}

fn inode(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

/// Appends lines to files, which are opened anew each time, so that a rotated file is left alone; folders are made.
///
/// # Errors
/// The file that cannot be written, and why.
pub fn append(lines: &[(&Path, &str)]) -> Result<(), (PathBuf, std::io::Error)> {
    let mut open: BTreeMap<&Path, File> = BTreeMap::new();
    for (path, line) in lines {
        let failed = |error| (path.to_path_buf(), error);
        if !open.contains_key(path) {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            let mut file =
                OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
            open.insert(path, file);
        }
        if let Some(file) = open.get_mut(path) {
            let mut text = (*line).to_owned();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            file.write_all(text.as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_split_into_columns() {
        assert_eq!(columns("\"${a}\",'${b,c}', ${d} ;"), ["${a}", "${b,c}", "${d}"]);
        assert_eq!(columns(BUILT_IN).len(), 13);
        assert_eq!(columns(NO_TEMPLATE).len(), 18);
    }

    #[test]
    fn an_account_code_stays_in_its_folder() {
        assert_eq!(file_name("1000"), "1000.csv");
        assert_eq!(file_name("../../etc/passwd"), "_.._.._etc_passwd.csv");
        assert_eq!(file_name(".."), "_.csv");
        assert_eq!(file_name("a/b\nc"), "a_b_c.csv");
    }

    #[test]
    fn a_batch_that_was_half_written_is_undone() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("a/Master.csv"), dir.path().join("two.csv"));
        append(&[(&one, "first"), (&one, "second\n")]).unwrap();
        let intent = Intent::of([one.as_path(), two.as_path()].into_iter());
        append(&[(&one, "third"), (&two, "third")]).unwrap();
        intent.undo().unwrap();
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "first\nsecond\n");
        assert_eq!(std::fs::read_to_string(&two).unwrap(), "");
        // A rotated file is not the one that was written to.
        std::fs::rename(&one, dir.path().join("rotated")).unwrap();
        append(&[(&one, "a new file, longer than the old one was")]).unwrap();
        intent.undo().unwrap();
        assert!(std::fs::read_to_string(&one).unwrap().starts_with("a new file"));
    }
}
