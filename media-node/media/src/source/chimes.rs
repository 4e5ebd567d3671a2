//! Chimes of music on hold: sounds heard in place of the music from time to time. The music goes on meanwhile, unheard.

use std::sync::Arc;

/// Sounds in turn, with a pause before each.
#[derive(Debug)]
pub(super) struct Chimes {
    sounds: Vec<Arc<[i16]>>,
    /// Samples before each sound.
    pause: u64,
    /// Samples of a sound that are heard at most.
    most: Option<u64>,
    /// Samples from the beginning of the first pause, within one round.
    at: u64,
}

impl Chimes {
    /// `at` samples after they began. `None` without a sound.
    pub(super) fn new(
        sounds: Vec<Arc<[i16]>>,
        pause: u64,
        most: Option<u64>,
        at: u64,
    ) -> Option<Self> {
        let sounds: Vec<_> = sounds.into_iter().filter(|sound| !sound.is_empty()).collect();
        let chimes = Self { sounds, pause, most, at: 0 };
        let at = at.checked_rem(chimes.round())?;
        Some(Self { at, ..chimes })
    }

    fn heard(&self, sound: &[i16]) -> u64 {
        self.most.unwrap_or(u64::MAX).min(sound.len() as u64)
    }

    /// Samples of all pauses and sounds, once; 0 without sounds.
    fn round(&self) -> u64 {
        self.sounds.iter().map(|sound| self.pause + self.heard(sound)).sum()
    }

    /// Puts chimes in the place of music; time passes by as much.
    pub(super) fn ring(&mut self, music: &mut [i16]) {
        let mut rest = music;
        while !rest.is_empty() {
            let mut from = 0;
            let mut due = None;
            for sound in &self.sounds {
                let end = from + self.pause + self.heard(sound);
                if self.at < end {
                    due = Some((sound, from));
                    break;
                }
                from = end;
            }
            let Some((sound, from)) = due else {
                self.at = 0;
                continue;
            };
            let into = self.at - from;
            let (left, samples) = match into.checked_sub(self.pause) {
                None => (self.pause - into, None),
                Some(played) => {
                    (self.heard(sound) - played, sound.get(usize::try_from(played).unwrap_or(0)..))
                }
            };
            let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at_mut(n);
            if let Some(samples) = samples {
                now.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
            }
            self.at += n as u64;
            rest = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(values: &[i16]) -> Arc<[i16]> {
        values.into()
    }

    fn rung(mut chimes: Chimes, frames: usize) -> Vec<i16> {
        let mut all = Vec::new();
        for _ in 0..frames {
            let mut frame = [0; 3];
            chimes.ring(&mut frame);
            all.extend(frame);
        }
        all
    }

    #[test]
    fn they_come_in_turn_after_their_pauses() {
        let sounds = || vec![sound(&[1, 2]), sound(&[3])];
        let chimes = Chimes::new(sounds(), 2, None, 0).unwrap();
        assert_eq!(rung(chimes, 5), [0, 0, 1, 2, 0, 0, 3, 0, 0, 1, 2, 0, 0, 3, 0]);
        let later = Chimes::new(sounds(), 2, None, 7 * 100 + 3).unwrap();
        assert_eq!(rung(later, 2), [2, 0, 0, 3, 0, 0], "who comes in hears what all hear");
    }

    #[test]
    fn a_long_one_is_cut_and_none_is_none() {
        let chimes = Chimes::new(vec![sound(&[1, 2, 3, 4])], 1, Some(2), 0).unwrap();
        assert_eq!(rung(chimes, 2), [0, 1, 2, 0, 1, 2]);
        assert!(Chimes::new(vec![], 1, None, 0).is_none());
        assert!(Chimes::new(vec![sound(&[])], 1, None, 0).is_none());
    }
}
