//! What can be played: files, tones, silence and sequences of them, opened into a [`PlayPlan`].

mod cache;
mod chimes;
mod compressed;
mod file;
pub mod growing;
mod plan;
mod stream;

use std::path::PathBuf;

use crate::tone::{Generator, Loops, Tones};
use plan::Piece;

pub use plan::PlayPlan;
pub(crate) use plan::noise;
pub use stream::Stream;

/// How to resolve and open what a playback string names.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Rate of the leg it will be played to.
    pub rate: u32,
    /// Folder relative names start from (`sound_prefix`).
    pub sound_prefix: PathBuf,
    /// Extension tried first when a name has none: the leg's codec (`PCMU`).
    pub native_extension: Option<String>,
    /// Extension tried next (`wav`).
    pub backup_extension: String,
    /// What `local_stream://` names lead to.
    pub streams: Vec<Stream>,
}

impl SourceOptions {
    /// Options for a leg at `rate`, with names relative to `sound_prefix`.
    pub fn new(rate: u32, sound_prefix: impl Into<PathBuf>) -> Self {
        Self {
            rate,
            sound_prefix: sound_prefix.into(),
            native_extension: None,
            backup_extension: "wav".to_owned(),
            streams: Vec::new(),
        }
    }
}

/// Why something cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No such file.
    #[error("{path}: file not found")]
    NotFound {
        /// As resolved.
        path: PathBuf,
    },
    /// The file exists but cannot be read or understood.
    #[error("{path}: {reason}")]
    Unreadable {
        /// As resolved.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A break came before it was there.
    #[error("broken off")]
    Broken,
    /// The prefix before `://` is none of ours.
    #[error("no such file format: {scheme}")]
    UnknownScheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// No such stream, and no default one.
    #[error("local_stream://{name}: no stream of that name, and none named default")]
    UnknownStream {
        /// After `local_stream://`.
        name: String,
    },
    /// A tone description with a mistake.
    #[error("tone `{text}`: {reason}")]
    Tone {
        /// The description.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

/// Items one `file_string://` may have.
const MAX_ITEMS: usize = 256;
/// Depth of lists within lists.
const MAX_DEPTH: u32 = 4;

/// Opens what `text` names: `tone_stream://`, `silence_stream://`, `file_string://`, a file name,
/// with `{params}` before and `@@samples` after. Reads files: call it off the media threads, from
/// a blocking task.
///
/// # Errors
/// When something named is missing, unreadable or misspelt.
pub fn open(text: &str, options: &SourceOptions) -> Result<PlayPlan, SourceError> {
    let (params, text) = split_params(text.trim());
    let (text, offset) = split_offset(text);
    let mut pieces = Vec::new();
    let mut stream_at = None;
    add_pieces(text, options, 0, &mut pieces, &mut stream_at)?;
    let plan = PlayPlan::new(options.rate, pieces).with_params(params);
    let plan = plan.with_chimes(music(text).and_then(|name| stream::chimes(name, options)));
    let plan = if stream_at.is_some() { plan.repeated(None) } else { plan };
    let from = if offset > 0 { offset } else { stream_at.unwrap_or(0) };
    Ok(if from > 0 { plan.starting_at(from) } else { plan })
}

/// The stream a name stands for, if it is one.
fn music(text: &str) -> Option<&str> {
    text.strip_prefix("local_stream://")?.split('?').next()
}

/// The parameters in braces before a name, and the name: `{a=1,b=2}file`.
pub fn split_params(text: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    let mut rest = text;
    while let Some((inside, after)) = rest.strip_prefix('{').and_then(|t| t.split_once('}')) {
        for pair in inside.split(',') {
            if let Some((name, value)) = pair.split_once('=') {
                params.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        rest = after.trim_start();
    }
    (params, rest)
}

fn split_offset(text: &str) -> (&str, u64) {
    match text.rsplit_once("@@") {
        Some((name, samples)) => match samples.trim().parse() {
            Ok(samples) => (name, samples),
            Err(_) => (text, 0),
        },
        None => (text, 0),
    }
}

fn add_pieces(
    text: &str,
    options: &SourceOptions,
    depth: u32,
    pieces: &mut Vec<Piece>,
    stream_at: &mut Option<u64>,
) -> Result<(), SourceError> {
    let (_, text) = split_params(text.trim());
    let Some((scheme, rest)) = text.split_once("://") else {
        pieces.push(sound(text, options)?);
        return Ok(());
    };
    match scheme {
        "file" => pieces.push(sound(rest, options)?),
        "tone_stream" => pieces.push(tones(rest, options)?),
        "silence_stream" => pieces.push(silence(rest, options.rate)),
        "local_stream" => {
            // What follows a question mark is for the reference's own.
            let name = music(text).unwrap_or(rest);
            let at = stream::add(name, options, pieces)?;
            // Within a list the stream begins where the list has it begin.
            *stream_at = Some(if depth == 0 { at } else { 0 });
        }
        "file_string" if depth < MAX_DEPTH => {
            for item in rest.split('!').filter(|i| !i.trim().is_empty()).take(MAX_ITEMS) {
                add_pieces(item, options, depth + 1, pieces, stream_at)?;
            }
        }
        _ => return Err(SourceError::UnknownScheme { scheme: scheme.to_owned() }),
    }
    Ok(())
}

/// A file, or what there is of one that is being made.
fn sound(name: &str, options: &SourceOptions) -> Result<Piece, SourceError> {
    let path = options.sound_prefix.join(name);
    if let Some(listener) = growing::open(&path, options.rate) {
        return Ok(Piece::Growing(Box::new(listener)));
    }
    Ok(Piece::Pcm(file::load(name, options)?))
}

/// `TGML[;loops=n]` or `path=file[;loops=n]`.
fn tones(text: &str, options: &SourceOptions) -> Result<Piece, SourceError> {
    let (body, loops) = match text.rsplit_once(";loops=") {
        Some((body, n)) => (body, n.trim().trim_end_matches(';').parse::<i64>().ok()),
        None => (text, None),
    };
    let read;
    let body = match body.strip_prefix("path=") {
        Some(name) => {
            let path = options.sound_prefix.join(name.trim_end_matches(';'));
            read = std::fs::read_to_string(&path)
                .map_err(|_| SourceError::NotFound { path: path.clone() })?;
            read.trim()
        }
        None => body,
    };
    let tones = Tones::parse(body)
        .map_err(|e| SourceError::Tone { text: body.to_owned(), reason: e.to_string() })?;
    let tones = match loops {
        Some(n) if n < 0 => tones.looped(Loops::Endless),
        Some(n) => tones.looped(Loops::Times(u32::try_from(n.max(1)).unwrap_or(u32::MAX))),
        None => tones,
    };
    Ok(Piece::Tone(Box::new(Generator::new(tones, options.rate))))
}

/// `ms[,divisor]`; a negative length has no end.
fn silence(text: &str, rate: u32) -> Piece {
    let (ms, divisor) = text.split_once(',').unwrap_or((text, ""));
    let divisor = divisor.trim().parse::<i64>().map_or(0, |d| d.clamp(0, 0x7fff_ffff) as u32);
    let samples = match ms.trim().parse::<i64>().unwrap_or(0) {
        ms if ms < 0 => None,
        ms => Some((ms as u64).saturating_mul(u64::from(rate)) / 1000),
    };
    Piece::Silence { samples, divisor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("media-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn wav(&self, name: &str, rate: u32, samples: &[i16]) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let header = crate::wav::Header { rate, channels: 1 };
            let mut bytes = header.bytes(samples.len() as u64 * 2, 0).to_vec();
            bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
            fs::write(path, bytes).unwrap();
        }

        fn open(&self, text: &str) -> Result<PlayPlan, SourceError> {
            let mut options = SourceOptions::new(8000, &self.0);
            options.native_extension = Some("PCMU".to_owned());
            let path = self.0.join("music");
            options.streams.push(Stream::new("moh", path, false));
            open(text, &options)
        }

        fn play(&self, text: &str) -> Vec<i16> {
            let mut plan = self.open(text).unwrap();
            let mut out = vec![0; 4096];
            let n = plan.fill(&mut out);
            out.truncate(n);
            out
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_are_found_by_extension_and_rate() {
        let folder = Folder::new("names");
        folder.wav("ivr/hello.wav", 8000, &[1, 2, 3]);
        folder.wav("ivr/16000/rated.wav", 8000, &[16]);
        folder.wav("ivr/8000/rated.wav", 8000, &[8]);
        folder.wav("ivr/rated.wav", 8000, &[0]);
        fs::write(folder.0.join("native.PCMU"), [0xff, 0x80]).unwrap();
        fs::write(folder.0.join("big.l16"), [1, 2]).unwrap();
        assert_eq!(folder.play("ivr/hello.wav"), [1, 2, 3]);
        assert_eq!(folder.play("ivr/hello"), [1, 2, 3]);
        assert_eq!(folder.play("ivr/rated.wav"), [8]);
        assert_eq!(folder.play("native"), [0, 32_124]);
        assert_eq!(folder.play("big.l16"), [0x0102]);
        let absolute = folder.0.join("ivr/hello.wav");
        assert_eq!(folder.play(&format!("file://{}", absolute.display())), [1, 2, 3]);
    }

    #[test]
    fn lists_offsets_and_parameters() {
        let folder = Folder::new("lists");
        folder.wav("a.wav", 8000, &[1, 2]);
        folder.wav("b.wav", 8000, &[3, 4]);
        assert_eq!(folder.play("file_string://a.wav!{x=y}b.wav!silence_stream://1"), {
            let mut expected = vec![1, 2, 3, 4];
            expected.resize(12, 0);
            expected
        });
        assert_eq!(folder.play("a.wav@@1"), [2]);
        let plan = folder.open("{timeout=5,vol=-1}a.wav").unwrap();
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(plan.params(), [pair("timeout", "5"), pair("vol", "-1")]);
    }

    #[test]
    fn tones_loop_as_told_and_come_from_files_too() {
        let folder = Folder::new("tones");
        fs::write(folder.0.join("ring.ttml"), "%(10,10,440)\n").unwrap();
        let len = |text: &str| folder.open(text).unwrap().len_samples();
        assert_eq!(len("tone_stream://%(10,10,440);loops=3"), Some(480));
        assert_eq!(len("tone_stream://L=2;%(10,10,440)"), Some(320));
        assert_eq!(len("tone_stream://path=ring.ttml;loops=2"), Some(320));
        assert_eq!(len("tone_stream://%(10,10,440);loops=-1"), None);
        assert_eq!(len("silence_stream://-1,1400"), None);
        assert_eq!(len("silence_stream://100"), Some(800));
    }

    #[test]
    fn a_local_stream_plays_its_folder_round_and_round() {
        let folder = Folder::new("stream");
        folder.wav("music/1.wav", 8000, &[1]);
        folder.wav("music/2.wav", 8000, &[2]);
        assert_eq!(folder.play("local_stream://moh")[..5], [1, 2, 1, 2, 1]);
        assert!(folder.open("local_stream://none").is_err());
    }

    #[test]
    fn a_stream_with_chimes_rings_them() {
        let folder = Folder::new("chimes");
        folder.wav("music/1.wav", 8000, &[1; 80]);
        folder.wav("ding.wav", 8000, &[9; 80]);
        let mut options = SourceOptions::new(8000, &folder.0);
        let mut stream = Stream::new("moh", folder.0.join("music"), false);
        (stream.chimes, stream.chime_pause) = (vec!["ding.wav".into(), "gone.wav".into()], 1);
        options.streams.push(stream);
        let mut plan = open("local_stream://moh", &options).unwrap();
        let mut heard = vec![0; 8080 * 2];
        assert_eq!(plan.fill(&mut heard), heard.len());
        assert_eq!(heard.iter().filter(|sample| **sample == 9).count(), 160, "twice in two rounds");
        assert!(heard.iter().all(|sample| [1, 9].contains(sample)));
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        let folder = Folder::new("errors");
        fs::write(folder.0.join("bad.wav"), "no").unwrap();
        assert!(matches!(folder.open("gone.wav"), Err(SourceError::NotFound { .. })));
        assert!(matches!(folder.open("bad.wav"), Err(SourceError::Unreadable { .. })));
        assert!(matches!(folder.open("x://y"), Err(SourceError::UnknownScheme { .. })));
        assert!(matches!(folder.open("tone_stream://%(1"), Err(SourceError::Tone { .. })));
        let nested = "file_string://".repeat(10);
        assert!(folder.open(&nested).is_err());
    }
}
