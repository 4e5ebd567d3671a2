//! What can be played: files, tones, silence and sequences of them, opened into a [`PlayPlan`].

use std::path::PathBuf;

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
}

impl SourceOptions {
    /// Options for a leg at `rate`, with names relative to `sound_prefix`.
    pub fn new(rate: u32, sound_prefix: impl Into<PathBuf>) -> Self {
        Self {
            rate,
            sound_prefix: sound_prefix.into(),
            native_extension: None,
            backup_extension: "wav".to_owned(),
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
    /// The prefix before `://` is none of ours.
    #[error("no such file format: {scheme}")]
    UnknownScheme {
        /// What stood before `://`.
        scheme: String,
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

/// Something ready to be played: no file is read and nothing is allocated from here on.
#[derive(Debug, Default)]
pub struct PlayPlan {
    rate: u32,
}

impl PlayPlan {
    /// Samples per second of the plan.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Total length in samples, if it has an end that is known.
    pub fn len_samples(&self) -> Option<u64> {
        None
    }

    /// The parameters written in braces before the name, in order.
    pub fn params(&self) -> &[(String, String)] {
        &[]
    }

    /// Plays the plan `times` times; `None` = for ever.
    #[must_use]
    pub fn repeated(self, times: Option<u32>) -> Self {
        let _ = times;
        self
    }

    /// Starts `samples` into the plan.
    #[must_use]
    pub fn starting_at(self, samples: u64) -> Self {
        let _ = samples;
        self
    }
}

/// Opens what `text` names: `tone_stream://`, `silence_stream://`, `file_string://`, a file name,
/// with `{params}` before and `@@samples` after. Reads files: call it off the media threads, from
/// a blocking task.
///
/// # Errors
/// When something named is missing, unreadable or misspelt.
pub fn open(text: &str, options: &SourceOptions) -> Result<PlayPlan, SourceError> {
    Err(SourceError::NotFound { path: options.sound_prefix.join(text) })
}
