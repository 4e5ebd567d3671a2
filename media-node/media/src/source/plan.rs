//! Audio ready to be played, as a list of pieces.

use std::sync::Arc;

use super::chimes::Chimes;
use super::growing::Listener;
use crate::tone::Generator;

/// Something ready to be played: no file is read and nothing is allocated from here on.
#[derive(Debug)]
pub struct PlayPlan {
    rate: u32,
    pieces: Vec<Piece>,
    params: Vec<(String, String)>,
    index: usize,
    /// Samples of the current piece that were played.
    at: u64,
    /// Passes still to come after this one; `None` = no end.
    passes_left: Option<u32>,
    noise: u32,
    chimes: Option<Box<Chimes>>,
}

#[derive(Debug)]
pub(crate) enum Piece {
    /// Decoded audio, shared with everybody who plays it.
    Pcm(Arc<[i16]>),
    Tone(Box<Generator>),
    /// Live audio of another leg; silence while none has come. It has no end of its own.
    Stream(Box<Live>),
    /// Audio that is still being made.
    Growing(Box<Listener>),
    /// Silence, or noise when `divisor` is not zero (the larger, the quieter).
    Silence {
        samples: Option<u64>,
        divisor: u32,
    },
}

/// The receiving end of another leg's audio.
pub(crate) struct Live {
    ring: rtrb::Consumer<i16>,
    /// Samples waiting beyond which the oldest are skipped: live audio must not fall behind.
    most: usize,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Live({} waiting)", self.ring.slots())
    }
}

impl Live {
    fn fill(&mut self, out: &mut [i16]) {
        let waiting = self.ring.slots();
        if waiting > self.most
            && let Ok(old) = self.ring.read_chunk(waiting - self.most / 4)
        {
            old.commit_all();
        }
        let (_, silent) = self.ring.pop_partial_slice(out);
        silent.fill(0);
    }
}

impl Piece {
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Pcm(pcm) => Some(pcm.len() as u64),
            Self::Tone(generator) => generator.len_samples(),
            Self::Silence { samples, .. } => *samples,
            Self::Stream(_) => None,
            Self::Growing(clip) => clip.len(),
        }
    }
}

impl PlayPlan {
    pub(crate) fn new(rate: u32, pieces: Vec<Piece>) -> Self {
        Self {
            rate,
            pieces,
            params: Vec::new(),
            index: 0,
            at: 0,
            passes_left: Some(0),
            noise: 1,
            chimes: None,
        }
    }

    /// A plan of samples in memory.
    pub fn from_samples(rate: u32, samples: Arc<[i16]>) -> Self {
        Self::new(rate, vec![Piece::Pcm(samples)])
    }

    /// Live audio from `ring`, at most 160 ms behind.
    pub(crate) fn live(rate: u32, ring: rtrb::Consumer<i16>) -> Self {
        let most = rate as usize / 1000 * 160;
        Self::new(rate, vec![Piece::Stream(Box::new(Live { ring, most }))])
    }

    pub(crate) fn with_params(mut self, params: Vec<(String, String)>) -> Self {
        self.params = params;
        self
    }

    /// With sounds that are heard in the place of others from time to time.
    pub(super) fn with_chimes(mut self, chimes: Option<Chimes>) -> Self {
        self.chimes = chimes.map(Box::new);
        self
    }

    /// Samples per second of the plan.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Length of one pass in samples, if it has an end.
    pub fn len_samples(&self) -> Option<u64> {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// The parameters written in braces before the name, in order.
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// Whether the last sample has been given out.
    pub fn is_finished(&self) -> bool {
        if self.passes_left != Some(0) {
            return false;
        }
        let at_end = match self.pieces.get(self.index) {
            Some(Piece::Tone(generator)) => generator.is_finished(),
            Some(piece) => piece.len().is_some_and(|len| self.at >= len),
            None => true,
        };
        at_end && self.index + 1 >= self.pieces.len()
    }

    /// Plays the plan `times` times; `None` = without limit.
    #[must_use]
    pub fn repeated(mut self, times: Option<u32>) -> Self {
        self.passes_left = times.map(|t| t.saturating_sub(1));
        self
    }

    /// Starts `samples` into the plan.
    #[must_use]
    pub fn starting_at(mut self, samples: u64) -> Self {
        self.seek(i64::try_from(samples).unwrap_or(i64::MAX), false);
        self
    }

    /// Samples from the start of this pass to what is played next.
    pub fn position(&self) -> u64 {
        let before: u64 = self.pieces.iter().take(self.index).filter_map(Piece::len).sum();
        before + self.at
    }

    /// Moves to `position` samples from the start, or by that many. Beyond the end is the end.
    pub fn seek(&mut self, position: i64, relative: bool) {
        let from = if relative { self.position() } else { 0 };
        let mut left = from.saturating_add_signed(position);
        for piece in &mut self.pieces {
            if let Piece::Tone(generator) = piece {
                generator.rewind();
            }
        }
        for index in 0..self.pieces.len() {
            let len = self.pieces.get(index).and_then(Piece::len);
            if len.is_none_or(|l| left < l) {
                self.enter(index, left);
                return;
            }
            left -= len.unwrap_or(0);
        }
        (self.index, self.at) = (self.pieces.len(), 0);
    }

    fn enter(&mut self, index: usize, at: u64) {
        (self.index, self.at) = (index, at);
        if let Some(Piece::Tone(generator)) = self.pieces.get_mut(index) {
            // Tones have no index to jump to: what lies before is generated and forgotten.
            let mut skip = [0; 512];
            let mut left = usize::try_from(at).unwrap_or(usize::MAX);
            while left > 0 {
                let want = left.min(skip.len());
                let got = generator.fill(&mut skip[..want]);
                left = if got < want { 0 } else { left - got };
            }
        }
    }

    /// Writes samples to `out`; fewer than asked for means the end of the last pass.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let written = self.fill_plain(out);
        if let (Some(chimes), Some(out)) = (&mut self.chimes, out.get_mut(..written)) {
            chimes.ring(out);
        }
        written
    }

    fn fill_plain(&mut self, out: &mut [i16]) -> usize {
        let mut written = 0;
        let mut written_before_pass = None;
        while written < out.len() {
            let Some(piece) = self.pieces.get_mut(self.index) else {
                // A pass without a sample would go round without limit.
                if written_before_pass == Some(written) || !self.next_pass() {
                    break;
                }
                written_before_pass = Some(written);
                continue;
            };
            let room = &mut out[written..];
            let mut waits = 0;
            let got = match piece {
                Piece::Pcm(pcm) => {
                    let from = usize::try_from(self.at).unwrap_or(usize::MAX).min(pcm.len());
                    let n = (pcm.len() - from).min(room.len());
                    room[..n].copy_from_slice(&pcm[from..from + n]);
                    n
                }
                Piece::Tone(generator) => generator.fill(room),
                Piece::Stream(live) => {
                    live.fill(room);
                    room.len()
                }
                Piece::Growing(clip) => {
                    let (filled, of_it) = clip.fill(self.at, room);
                    waits = filled - of_it;
                    filled
                }
                Piece::Silence { samples, divisor } => {
                    let left = samples.map_or(u64::MAX, |s| s.saturating_sub(self.at));
                    let n = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    noise(&mut room[..n], *divisor, &mut self.noise);
                    n
                }
            };
            self.at += (got - waits) as u64;
            written += got;
            if written < out.len() {
                self.index += 1;
                self.at = 0;
            }
        }
        written
    }

    fn next_pass(&mut self) -> bool {
        match &mut self.passes_left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        (self.index, self.at) = (0, 0);
        for piece in &mut self.pieces {
            if let Piece::Tone(generator) = piece {
                generator.rewind();
            }
        }
        !self.pieces.is_empty()
    }
}

/// Fills with comfort noise of 16-bit white noise divided by `divisor`; 0 = silence.
pub(crate) fn noise(out: &mut [i16], divisor: u32, state: &mut u32) {
    if divisor == 0 {
        out.fill(0);
        return;
    }
    let divisor = i32::try_from(divisor).unwrap_or(i32::MAX);
    for sample in out {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = (*state >> 16) as i32 - 0x8000;
        *sample = (white / divisor).clamp(-0x8000, 0x7fff) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Tones;

    fn pcm(values: &[i16]) -> Piece {
        Piece::Pcm(values.into())
    }

    fn all(plan: &mut PlayPlan, frame: usize) -> Vec<i16> {
        let mut out = Vec::new();
        let mut buf = vec![0; frame];
        loop {
            let n = plan.fill(&mut buf);
            out.extend_from_slice(&buf[..n]);
            if n < frame {
                return out;
            }
        }
    }

    #[test]
    fn pieces_follow_each_other_without_a_gap() {
        let silence = Piece::Silence { samples: Some(2), divisor: 0 };
        let mut plan = PlayPlan::new(8000, vec![pcm(&[1, 2, 3]), silence, pcm(&[4])]);
        assert_eq!(plan.len_samples(), Some(6));
        assert_eq!(all(&mut plan, 4), [1, 2, 3, 0, 0, 4]);
    }

    #[test]
    fn repeats_and_seeks() {
        let pieces = || vec![pcm(&[1, 2]), pcm(&[3, 4])];
        let mut plan = PlayPlan::new(8000, pieces()).repeated(Some(2));
        assert_eq!(all(&mut plan, 3), [1, 2, 3, 4, 1, 2, 3, 4]);
        let mut plan = PlayPlan::new(8000, pieces()).starting_at(3);
        assert_eq!(plan.position(), 3);
        assert_eq!(all(&mut plan, 8), [4]);
        let mut plan = PlayPlan::new(8000, pieces());
        plan.fill(&mut [0; 3]);
        plan.seek(-2, true);
        assert_eq!(all(&mut plan, 8), [2, 3, 4]);
        let mut plan = PlayPlan::new(8000, pieces()).starting_at(100);
        assert_eq!(all(&mut plan, 8), [0i16; 0]);
    }

    #[test]
    fn an_empty_plan_repeated_for_ever_ends() {
        assert_eq!(PlayPlan::new(8000, vec![]).repeated(None).fill(&mut [0; 10]), 0);
        assert_eq!(PlayPlan::new(8000, vec![pcm(&[])]).repeated(None).fill(&mut [0; 10]), 0);
    }

    #[test]
    fn endless_pieces_and_plans_never_run_dry() {
        let silence = Piece::Silence { samples: None, divisor: 1400 };
        let mut plan = PlayPlan::new(8000, vec![silence]);
        let mut frame = [0; 160];
        assert_eq!(plan.fill(&mut frame), 160);
        assert!(frame.iter().any(|s| *s != 0));
        assert!(frame.iter().all(|s| s.unsigned_abs() <= 24));
        let mut plan = PlayPlan::new(8000, vec![pcm(&[7])]).repeated(None);
        assert_eq!(plan.fill(&mut frame), 160);
    }

    #[test]
    fn tones_start_over_with_each_pass() {
        let tone =
            || Piece::Tone(Box::new(Generator::new(Tones::parse("%(10,0,400)").unwrap(), 8000)));
        let once = all(&mut PlayPlan::new(8000, vec![tone()]), 160);
        let twice = all(&mut PlayPlan::new(8000, vec![tone()]).repeated(Some(2)), 160);
        assert_eq!(twice, [once.clone(), once].concat());
    }
}
