//! Recordings: what to write and when to stop by itself.

pub mod live;
mod mp3;
mod pace;
pub(crate) mod recorder;
pub mod redact;
pub(crate) mod tap;

use std::path::PathBuf;

pub use mp3::{Mp3Settings, check_mp3, set_mp3};
pub use recorder::check_form;
pub use redact::Redaction;

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

/// Most frames of [`RecordSpec::lead`].
pub const MAX_LEAD: u32 = 100;

/// What noise is divided by unless a variable says otherwise.
pub const NOISE: u32 = 1400;

/// The noise a variable asks for: `true`, or a number white noise is divided by. `None` for none.
pub fn noise_level(text: &str) -> Option<u32> {
    if text.eq_ignore_ascii_case("true") {
        return Some(NOISE);
    }
    u32::try_from(base::text::int(text)).ok().filter(|level| *level > 0)
}

/// One recording to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpec {
    /// Where to write; the extension chooses the format (`wav`, `raw`, `ul`, `al`, `PCMU`,
    /// `PCMA`, `L16`, `mp3`; anything else is refused: see [`check_form`]).
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
    /// Write over the beginning of an existing file; what is left of it stays (`RECORD_WRITE_OVER`).
    pub over: bool,
    /// Noise in place of what the leg did not say: white noise divided by this. `None` = silence
    /// (`record_fill_cng`).
    pub fill: Option<u32>,
    /// Noise sent to the leg while nothing else is, divided by this, so that its stream stays open
    /// (`record_waste_resources`). `None` = nothing is sent.
    pub waste: Option<u32>,
    /// Frames that may wait before the first is written, so that packets that come late find their
    /// place; at most [`MAX_LEAD`] (`RECORD_PRE_BUFFER_FRAMES`). 0 = the two of every recording.
    pub lead: u32,
    /// Tags for the file.
    pub tags: Tags,
    /// Goes to the file twice a second instead of in large pieces, so that a process that is killed loses no more.
    pub prompt: bool,
    /// Pressed keys are silence in it.
    pub redact: Option<Redaction>,
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
            over: false,
            fill: None,
            waste: None,
            lead: 0,
            tags: Tags::default(),
            prompt: false,
            redact: None,
        }
    }
}
