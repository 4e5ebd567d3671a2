//! Recordings: what to write and when to stop by itself.

pub mod live;
pub(crate) mod recorder;
pub(crate) mod tap;

use std::path::PathBuf;

pub use recorder::check_form;

/// Which audio goes into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordMix {
    /// What the leg says and hears, added up into one channel.
    #[default]
    Mono,
    /// What the leg says on the left, what it hears on the right.
    Stereo,
    /// Stereo with the sides exchanged.
    StereoSwapped,
    /// Only what the leg says.
    ReadOnly,
    /// Only what the leg hears.
    WriteOnly,
}

impl RecordMix {
    /// Channels of the file.
    pub fn channels(self) -> u16 {
        match self {
            Self::Stereo | Self::StereoSwapped => 2,
            _ => 1,
        }
    }
}

/// When a recording ends for silence. Levels are the mean absolute sample of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilenceStop {
    /// A frame below this is silent.
    pub threshold: u32,
    /// Milliseconds of silence after a sound that end the recording; 0 = none do.
    pub after_ms: u32,
    /// The same before the first sound, which ends it as [`crate::RecordEnd::NoInput`]. `None` =
    /// `after_ms` counts from the start.
    pub before_ms: Option<u32>,
}

/// Tags for the file's information chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// `RECORD_TITLE`.
    pub title: String,
    /// `RECORD_COPYRIGHT`.
    pub copyright: String,
    /// `RECORD_SOFTWARE`.
    pub software: String,
    /// `RECORD_ARTIST`.
    pub artist: String,
    /// `RECORD_COMMENT`.
    pub comment: String,
    /// `RECORD_DATE`.
    pub date: String,
}

/// One recording to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpec {
    /// Where to write; the extension chooses the format (`wav`, `raw`, `ul`, `al`, `PCMU`,
    /// `PCMA`, `L16`; anything else is refused: see [`check_form`]).
    pub path: PathBuf,
    /// Samples per second of the file; `None` = the leg's.
    pub rate: Option<u32>,
    /// Which audio.
    pub mix: RecordMix,
    /// Longest length in milliseconds.
    pub limit_ms: Option<u64>,
    /// End for silence.
    pub silence: Option<SilenceStop>,
    /// Continue an existing file instead of replacing it.
    pub append: bool,
    /// Tags for the file.
    pub tags: Tags,
    /// Goes to the file twice a second instead of in large pieces, so that a process that is killed loses no more.
    pub prompt: bool,
}

impl RecordSpec {
    /// A mono recording of both directions, without limits.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rate: None,
            mix: RecordMix::Mono,
            limit_ms: None,
            silence: None,
            append: false,
            tags: Tags::default(),
            prompt: false,
        }
    }
}
