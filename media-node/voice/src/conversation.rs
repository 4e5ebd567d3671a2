//! Who talks how much on a call, into whom, and how long an answer takes. Without input or output.

use crate::vad::{Detector, Settings, Voice};

/// Silence that ends a turn, so that pauses between words are no answers, milliseconds.
const TURN_MS: u32 = 500;
/// Answers later than this are no answers.
const LATEST_MS: u64 = 20_000;
/// Turns that are remembered for a side file.
const MOST_TURNS: usize = 20_000;

/// One party without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnOf {
    /// The far end of the leg, or the party it hears.
    pub far: bool,
    /// Milliseconds since the beginning.
    pub from: u64,
    /// Its end.
    pub to: u64,
    /// It began while the other spoke.
    pub interrupts: bool,
}

/// What came of it, in milliseconds but for counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How long was listened.
    pub total: u64,
    /// The far end spoke.
    pub far: u64,
    /// It heard speech.
    pub near: u64,
    /// Both did.
    pub both: u64,
    /// Neither did, and the call was not on hold.
    pub silence: u64,
    /// One party had the other on hold: what was heard then is no talk.
    pub hold: u64,
    /// Turns of each.
    pub far_turns: u64,
    /// Turns of each.
    pub near_turns: u64,
    /// Turns that began while the other spoke.
    pub far_interrupts: u64,
    /// Turns that began while the other spoke.
    pub near_interrupts: u64,
    /// From the end of what the far end said to the answer it heard: their sum, count, and the longest.
    pub answers: (u64, u64, u64),
}

impl Figures {
    /// The mean time of an answer.
    #[must_use]
    pub fn answer(&self) -> Option<u64> {
        (self.answers.1 > 0).then(|| self.answers.0 / self.answers.1)
    }
}

/// Both parties of a leg.
#[derive(Debug)]
pub struct Conversation {
    sides: [Side; 2],
    at_us: u64,
    figures: Figures,
    /// When the far end ended its last turn, until it is answered.
    asked: Option<u64>,
    turns: Vec<TurnOf>,
}

#[derive(Debug)]
struct Side {
    detector: Detector,
    /// Since when it speaks, and whether into the other.
    speaks: Option<(u64, bool)>,
}

impl Side {
    fn new() -> Self {
        let settings = Settings { end_ms: TURN_MS, min_ms: 60, ..Settings::default() };
        Self { detector: Detector::new(settings), speaks: None }
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            sides: [Side::new(), Side::new()],
            at_us: 0,
            figures: Figures::default(),
            asked: None,
            turns: Vec::new(),
        }
    }
}

impl Conversation {
    /// Hears samples of both sides in turn, the far end's first.
    pub fn hear(&mut self, pairs: &[i16], rate: u32) {
        let step = (rate / 100).max(1) as usize * 2;
        for piece in pairs.chunks(step) {
            let frames = piece.len() as u64 / 2;
            let before = self.at_us / 1000;
            self.at_us += frames * 1_000_000 / u64::from(rate.max(1));
            let now = self.at_us / 1000;
            // Of pieces shorter than a millisecond nothing is lost.
            let ms = now - before;
            for side in 0..2 {
                let samples = piece.iter().copied().skip(side).step_by(2);
                let mut news = None;
                self.sides[side].detector.hear(samples, rate, |voice| news = Some(voice));
                match news {
                    Some(Voice::Begins) => self.begins(side, now),
                    Some(Voice::Ends) => self.ends(side, now),
                    None => {}
                }
            }
            self.count(ms);
        }
    }

    /// Takes as many samples of both sides in turn while the call is on hold: time passes, and turns are over.
    pub fn hold(&mut self, samples: usize, rate: u32) {
        let before = self.at_us / 1000;
        for side in 0..2 {
            self.ends(side, before);
            self.sides[side] = Side::new();
        }
        self.asked = None;
        self.at_us += samples as u64 / 2 * 1_000_000 / u64::from(rate.max(1));
        let ms = self.at_us / 1000 - before;
        self.figures.total += ms;
        self.figures.hold += ms;
    }

    fn count(&mut self, ms: u64) {
        let talks = |side: usize| {
            // The silence after which a turn is over is none of it.
            self.sides[side].speaks.is_some() && self.sides[side].detector.quiet_ms() < 100
        };
        let (far, near) = (talks(0), talks(1));
        let figures = &mut self.figures;
        figures.total += ms;
        figures.far += if far { ms } else { 0 };
        figures.near += if near { ms } else { 0 };
        figures.both += if far && near { ms } else { 0 };
        figures.silence += if far || near { 0 } else { ms };
    }

    fn begins(&mut self, side: usize, now: u64) {
        let other = &self.sides[1 - side];
        let interrupts = other.speaks.is_some() && other.detector.quiet_ms() < 100;
        self.sides[side].speaks = Some((now, interrupts));
        let figures = &mut self.figures;
        if side == 0 {
            figures.far_turns += 1;
            figures.far_interrupts += u64::from(interrupts);
            self.asked = None;
        } else {
            figures.near_turns += 1;
            figures.near_interrupts += u64::from(interrupts);
            let asked = self.asked.take();
            if let Some(took) = asked.map(|asked| now.saturating_sub(asked))
                && took <= LATEST_MS
            {
                let (sum, count, longest) = figures.answers;
                figures.answers = (sum + took, count + 1, longest.max(took));
            }
        }
    }

    fn ends(&mut self, side: usize, now: u64) {
        let Some((from, interrupts)) = self.sides[side].speaks.take() else { return };
        let to = now.saturating_sub(u64::from(self.sides[side].detector.quiet_ms()));
        if side == 0 && self.sides[1].speaks.is_none() {
            self.asked = Some(to);
        }
        if self.turns.len() < MOST_TURNS {
            self.turns.push(TurnOf { far: side == 0, from, to, interrupts });
        }
    }

    /// What came of it so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Turns that are over, in the order of their ends.
    #[must_use]
    pub fn turns(&self) -> &[TurnOf] {
        &self.turns
    }

    /// The conversation is over: turns that go on end now.
    pub fn finish(&mut self) {
        for side in 0..2 {
            self.ends(side, self.at_us / 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of audio with one level per side.
    fn run(parts: &[(usize, i16, i16)]) -> Conversation {
        let mut conversation = Conversation::default();
        for (ms, far, near) in parts {
            let pairs: Vec<i16> = (0..ms * 8)
                .flat_map(|n| {
                    let sign = if n % 8 < 4 { 1 } else { -1 };
                    [far * sign, near * sign]
                })
                .collect();
            pairs.chunks(334).for_each(|piece| conversation.hear(piece, 8000));
        }
        conversation.finish();
        conversation
    }

    fn near(value: u64, expected: u64) -> bool {
        value.abs_diff(expected) <= 140
    }

    #[test]
    fn a_question_and_its_answer_are_told_apart_and_the_time_between_them_taken() {
        let told = run(&[(300, 0, 0), (1000, 3000, 0), (800, 0, 0), (2000, 0, 3000), (900, 0, 0)]);
        let figures = told.figures();
        assert!(near(figures.far, 1000) && near(figures.near, 2000), "{figures:?}");
        assert!(near(figures.answer().unwrap(), 800), "{figures:?}");
        assert_eq!((figures.far_turns, figures.near_turns, figures.far_interrupts), (1, 1, 0));
        assert_eq!(figures.both, 0);
        assert!(near(figures.total, 5000) && near(figures.silence, 2000), "{figures:?}");
        assert_eq!(told.turns().iter().map(|turn| turn.far).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn music_on_hold_is_neither_talk_nor_an_answer() {
        let pairs = |far: i16, near: i16| -> Vec<i16> {
            (0..8000).flat_map(|n| [far, near].map(|l| if n % 8 < 4 { l } else { -l })).collect()
        };
        let mut conversation = Conversation::default();
        conversation.hear(&pairs(3000, 0), 8000);
        for _ in 0..30 {
            conversation.hold(1600, 8000);
        }
        conversation.hear(&pairs(0, 3000), 8000);
        conversation.finish();
        let figures = conversation.figures();
        assert_eq!((figures.hold, figures.total, figures.answer()), (3000, 5000, None));
        assert!(near(figures.far, 1000) && near(figures.near, 1000), "{figures:?}");
        assert!(figures.silence <= 280 && figures.near_turns == 1, "{figures:?}");
    }

    #[test]
    fn who_speaks_into_the_other_interrupts() {
        let told =
            run(&[(200, 0, 0), (1500, 0, 3000), (500, 3000, 3000), (1000, 3000, 0), (900, 0, 0)]);
        let figures = told.figures();
        assert_eq!((figures.far_interrupts, figures.near_interrupts), (1, 0), "{figures:?}");
        assert!(near(figures.both, 500), "{figures:?}");
        assert_eq!(figures.answer(), None);
    }
}
