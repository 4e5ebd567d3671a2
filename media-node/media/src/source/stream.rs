//! `local_stream://`: folders of music that play on whether anybody listens or not. Who comes in
//! hears what everybody else hears at that moment.

use std::fs;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use super::chimes::Chimes;
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
    /// Heard in place of the music from time to time (`chime-list`), in turn.
    pub chimes: Vec<String>,
    /// Seconds of music between two chimes (`chime-freq`).
    pub chime_pause: u32,
    /// Seconds of a chime that are heard at most (`chime-max`); 0 = all of it.
    pub chime_most: u32,
}

impl Stream {
    /// A stream without chimes.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, shuffle: bool) -> Self {
        let (name, path) = (name.into(), path.into());
        Self { name, path, shuffle, chimes: Vec::new(), chime_pause: 30, chime_most: 0 }
    }

    /// A stream as the parameters of its `directory` in `local_stream.conf` have it.
    pub fn read<'p>(name: &str, path: &str, param: impl Fn(&str) -> Option<&'p str>) -> Self {
        let seconds = |name: &str| {
            let given = param(name).map(base::text::int).filter(|seconds| *seconds > 1);
            given.and_then(|seconds| u32::try_from(seconds).ok())
        };
        let usual = Self::new(name, path, param("shuffle").is_some_and(base::text::is_true));
        let chimes = param("chime-list").unwrap_or_default().split(',').map(str::trim);
        Self {
            chimes: chimes.filter(|chime| !chime.is_empty()).map(str::to_owned).collect(),
            chime_pause: seconds("chime-freq").unwrap_or(usual.chime_pause),
            chime_most: seconds("chime-max").unwrap_or(usual.chime_most),
            ..usual
        }
    }
}

/// Most chimes of a stream.
const MAX_CHIMES: usize = 100;

/// Since when all streams play, and the order of those that are shuffled.
static BEGUN: LazyLock<(Instant, std::hash::RandomState)> =
    LazyLock::new(|| (Instant::now(), std::hash::RandomState::new()));

/// The chimes of the stream `name`, at the moment they are at now. `None` without any.
pub(super) fn chimes(name: &str, options: &SourceOptions) -> Option<Chimes> {
    let stream = find(name, options)?;
    let list = stream.chimes.iter().take(MAX_CHIMES);
    let sounds = list.filter_map(|name| file::load(name, options).ok()).collect();
    let samples = |seconds: u32| u64::from(seconds) * u64::from(options.rate);
    let most = Some(samples(stream.chime_most)).filter(|most| *most > 0);
    Chimes::new(sounds, samples(stream.chime_pause.max(1)), most, passed(options.rate))
}

/// Samples that have passed since all streams began.
fn passed(rate: u32) -> u64 {
    u64::try_from(BEGUN.0.elapsed().as_millis() * u128::from(rate) / 1000).unwrap_or(u64::MAX)
}

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
    Ok(passed(options.rate) % len)
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
        Stream::new(name, name, false)
    }

    #[test]
    fn parameters_say_what_rings_and_how_often() {
        let given = [("chime-list", "a.wav, b.wav"), ("chime-freq", "10"), ("chime-max", "0")];
        let stream = Stream::read("moh", "/music", |name| {
            given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        });
        assert_eq!((stream.chimes.len(), stream.chime_pause, stream.chime_most), (2, 10, 0));
        assert_eq!(Stream::read("x", "/x", |_| None), Stream::new("x", "/x", false));
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
