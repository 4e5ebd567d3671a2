//! How far a leg has come: ringing, early media, the answer.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far a leg has come. It never goes back; what was passed on the way is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was signalled yet.
    #[default]
    Begun,
    /// Ringing (180).
    Ringing,
    /// Early media (183 with a description).
    EarlyMedia {
        /// It rang before, or ringing was heard in the early media.
        rang: bool,
    },
    /// Answered (200).
    Answered {
        /// It rang before.
        rang: bool,
        /// There was early media before.
        early: bool,
    },
}

impl Progress {
    /// Was ringing signalled?
    #[must_use]
    pub const fn rang(self) -> bool {
        match self {
            Self::Begun => false,
            Self::Ringing => true,
            Self::EarlyMedia { rang } | Self::Answered { rang, .. } => rang,
        }
    }

    /// Was there early media, now or before the answer?
    #[must_use]
    pub const fn had_early_media(self) -> bool {
        matches!(self, Self::EarlyMedia { .. } | Self::Answered { early: true, .. })
    }

    /// Answered?
    #[must_use]
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::Answered { .. })
    }

    /// Answered or in early media: audio can flow.
    #[must_use]
    pub const fn has_media(self) -> bool {
        matches!(self, Self::EarlyMedia { .. } | Self::Answered { .. })
    }

    /// Ringing is signalled. `None` when it was, or the leg is past that.
    #[must_use]
    pub const fn ring(self) -> Option<Self> {
        match self {
            Self::Begun => Some(Self::Ringing),
            _ => None,
        }
    }

    /// Ringing is heard in the early media.
    #[must_use]
    pub const fn hear_ringing(self) -> Option<Self> {
        match self {
            Self::Begun | Self::Ringing => Some(Self::Ringing),
            Self::EarlyMedia { .. } => Some(Self::EarlyMedia { rang: true }),
            Self::Answered { early, .. } => Some(Self::Answered { rang: true, early }),
        }
    }

    /// Early media begins. `None` when it has, or the leg is answered.
    #[must_use]
    pub const fn begin_media(self) -> Option<Self> {
        match self {
            Self::Begun | Self::Ringing => Some(Self::EarlyMedia { rang: self.rang() }),
            _ => None,
        }
    }

    /// The answer. `None` when it was given.
    #[must_use]
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::Answered { .. } => None,
            _ => Some(Self::Answered { rang: self.rang(), early: self.had_early_media() }),
        }
    }

    const fn pack(self) -> u8 {
        match self {
            Self::Begun => 0,
            Self::Ringing => 1,
            Self::EarlyMedia { rang } => 2 + rang as u8,
            Self::Answered { rang, early } => 4 + rang as u8 + 2 * early as u8,
        }
    }

    const fn unpack(packed: u8) -> Self {
        match packed {
            0 => Self::Begun,
            1 => Self::Ringing,
            2 | 3 => Self::EarlyMedia { rang: packed == 3 },
            _ => Self::Answered { rang: packed % 2 == 1, early: packed >= 6 },
        }
    }
}

/// The progress of a leg that several tasks look at.
#[derive(Debug, Default)]
pub struct ProgressCell(AtomicU8);

impl ProgressCell {
    /// How far the leg is.
    #[must_use]
    pub fn get(&self) -> Progress {
        Progress::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Takes a step ([`Progress::ring`] and so on); false when the leg was past it. Of two at once, one succeeds.
    pub fn advance(&self, step: impl Fn(Progress) -> Option<Progress>) -> bool {
        let packed = |before| step(Progress::unpack(before)).map(Progress::pack);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, packed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_passes_each_step_once_and_remembers_what_it_passed() {
        let cell = ProgressCell::default();
        assert!(cell.advance(Progress::ring) && !cell.advance(Progress::ring));
        assert!(cell.advance(Progress::begin_media) && !cell.advance(Progress::begin_media));
        assert_eq!(cell.get(), Progress::EarlyMedia { rang: true });
        assert!(!cell.advance(Progress::ring));
        assert!(cell.advance(Progress::answer) && !cell.advance(Progress::answer));
        assert_eq!(cell.get(), Progress::Answered { rang: true, early: true });
        assert!(!cell.advance(Progress::begin_media));
    }

    #[test]
    fn ringing_may_be_heard_in_early_media() {
        let early = Progress::Begun.begin_media().and_then(Progress::hear_ringing);
        assert_eq!(early, Some(Progress::EarlyMedia { rang: true }));
    }

    #[test]
    fn each_progress_survives_packing() {
        for packed in 0..8 {
            assert_eq!(Progress::unpack(packed).pack(), packed);
        }
    }
}
