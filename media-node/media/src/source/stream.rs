//! `local_stream://`: folders of music that play on whether anybody listens or not. Who comes in
//! hears what everybody else hears at that moment.

use std::fs;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use super::plan::Piece;
use super::{MAX_ITEMS, SourceError, SourceOptions, file};

/// Where names that are not configured lead.
const DEFAULT: &str = "default";

/// A configured stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name: `moh`, or `moh/16000` for listeners at that rate.
    pub name: String,
    /// A folder, or a text file with one name of a sound a line.
    pub path: PathBuf,
    /// Whether the sounds come in an order of their own.
    pub shuffle: bool,
}

/// Since when all streams play, and the order of those that are shuffled.
static BEGUN: LazyLock<(Instant, std::hash::RandomState)> =
    LazyLock::new(|| (Instant::now(), std::hash::RandomState::new()));

/// Adds the sounds of the stream `name`; gives the position it is at now.
pub(super) fn add(
    name: &str,
    options: &SourceOptions,
    pieces: &mut Vec<Piece>,
) -> Result<u64, SourceError> {
    let stream =
        find(name, options).ok_or_else(|| SourceError::UnknownStream { name: name.to_owned() })?;
    let mut names = sounds(&stream.path, options.rate)?;
    if stream.shuffle {
        names.sort_by_key(|name| BEGUN.1.hash_one(name));
    }
    let before = pieces.len();
    for name in names.into_iter().take(MAX_ITEMS) {
        // A file that cannot be played does not silence the others.
        if let Some(Ok(pcm)) = name.to_str().map(|name| file::load(name, options)) {
            pieces.push(Piece::Pcm(pcm));
        }
    }
    let len: u64 = pieces.iter().skip(before).filter_map(Piece::len).sum();
    if len == 0 {
        return Err(SourceError::NotFound { path: stream.path.clone() });
    }
    let passed = BEGUN.0.elapsed().as_millis() * u128::from(options.rate) / 1000;
    Ok((passed % u128::from(len)) as u64)
}

/// The stream of that name for the leg's rate, the one of that name, or the default.
fn find<'a>(name: &str, options: &'a SourceOptions) -> Option<&'a Stream> {
    let at_rate = |name: &str| format!("{name}/{}", options.rate);
    let exactly = |name: &str| options.streams.iter().find(|s| s.name == name);
    let named = |name: &str| exactly(&at_rate(name)).or_else(|| exactly(name));
    named(name).or_else(|| named(DEFAULT))
}

/// The sounds of a folder by name, or those a list names.
fn sounds(path: &Path, rate: u32) -> Result<Vec<PathBuf>, SourceError> {
    let not_found = |_| SourceError::NotFound { path: path.to_owned() };
    if path.is_file() {
        let list = fs::read_to_string(path).map_err(not_found)?;
        let lines = list.lines().map(str::trim);
        return Ok(lines
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(Into::into)
            .collect());
    }
    let at_rate = path.join(rate.to_string());
    let folder = if at_rate.is_dir() { &at_rate } else { path };
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(not_found)?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str) -> Stream {
        Stream { name: name.to_owned(), path: PathBuf::from(name), shuffle: false }
    }

    #[test]
    fn a_stream_of_the_rate_comes_before_one_of_the_name_and_before_the_default() {
        let mut options = SourceOptions::new(16_000, "/");
        options.streams = ["default", "moh", "moh/8000", "moh/16000", "jazz"].map(stream).into();
        let name = |name: &str| find(name, &options).map(|s| s.name.as_str());
        assert_eq!(name("moh"), Some("moh/16000"));
        assert_eq!(name("moh/8000"), Some("moh/8000"));
        assert_eq!(name("jazz"), Some("jazz"));
        assert_eq!(name("unheard of"), Some("default"));
        assert_eq!(find("x", &SourceOptions::new(8000, "/")), None);
    }
}
