//! Who speaks on a stream's call, and when the far end's turn is over.

use voice::vad::{Detector, Settings, Voice};

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Speech began or ended, of the far end (`said`) or towards it.
    Voice { said: bool, begins: bool },
    /// Silence of the far end for as long as was asked for, after speech.
    TurnEnd { silence_ms: u64 },
}

/// What a stream wants to know of voices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActivityOptions {
    /// Speech is told.
    pub(crate) vad: bool,
    /// The far end's speech is told, and nothing else.
    pub(crate) said: bool,
    /// What is played ends when the far end speaks.
    pub(crate) barge_in: bool,
    /// Silence that ends a turn, milliseconds; 0 = turns are not told.
    pub(crate) turn_ms: u32,
    pub(crate) settings: Settings,
}

/// The detectors of one stream.
#[derive(Debug)]
pub(crate) struct Activity {
    activity: ActivityOptions,
    said: Detector,
    heard: Detector,
    /// The far end has spoken, and its turn has not been told as over.
    turn: bool,
}

impl Activity {
    pub(crate) fn new(activity: ActivityOptions) -> Self {
        let said = Detector::new(activity.settings);
        Self { activity, said, heard: Detector::new(activity.settings), turn: false }
    }

    pub(crate) fn barges_in(&self) -> bool {
        self.activity.barge_in
    }

    /// Is anything to be noticed at all?
    pub(crate) fn is_wanted(&self) -> bool {
        self.activity.vad
            || self.activity.said
            || self.activity.barge_in
            || self.activity.turn_ms > 0
    }

    /// Hears the call's audio; both sides in turn with `both`.
    pub(crate) fn hear(
        &mut self,
        samples: &[i16],
        both: bool,
        rate: u32,
        playing: bool,
    ) -> Vec<Heard> {
        let mut told = Vec::new();
        if !self.is_wanted() {
            return told;
        }
        let step = if both { 2 } else { 1 };
        self.said.guard_echo(playing);
        self.said.hear(samples.iter().copied().step_by(step), rate, |voice| {
            told.push(Heard::Voice { said: true, begins: voice == Voice::Begins });
        });
        if both && self.activity.vad {
            self.heard.hear(samples.iter().copied().skip(1).step_by(2), rate, |voice| {
                told.push(Heard::Voice { said: false, begins: voice == Voice::Begins });
            });
        }
        if !self.activity.vad {
            let begins = |one: &Heard| matches!(one, Heard::Voice { said: true, begins: true });
            self.turn |= told.iter().any(begins);
            if !self.activity.barge_in && !self.activity.said {
                told.clear();
            }
        } else {
            self.turn |= self.said.is_speaking();
        }
        let quiet = self.said.quiet_ms();
        if self.turn && self.activity.turn_ms > 0 && quiet >= self.activity.turn_ms {
            self.turn = false;
            told.push(Heard::TurnEnd { silence_ms: u64::from(quiet) });
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_over_after_the_silence_asked_for() {
        let activity = ActivityOptions { turn_ms: 700, vad: true, ..ActivityOptions::default() };
        let mut activity = Activity::new(activity);
        let mut told = Vec::new();
        for (frames, level) in [(10, 0), (30, 4000_i16), (20, 0), (20, 4000), (60, 0)] {
            for _ in 0..frames {
                let frame: Vec<i16> =
                    (0..160).map(|n| if n % 8 < 4 { level } else { -level }).collect();
                told.extend(activity.hear(&frame, false, 8000, false));
            }
        }
        let turns = told.iter().filter(|one| matches!(one, Heard::TurnEnd { .. })).count();
        assert_eq!((turns, told.len()), (1, 5), "{told:?}");
        assert_eq!(told[4], Heard::TurnEnd { silence_ms: 700 });
    }
}
