//! Audio that code outside the engine hands in while it is played, on top of whatever a leg hears.
//!
//! The ring between them is the only thing both sides touch: the worker takes a frame when it sends one and counts what
//! has gone, so that the feeding side knows which sample has left for the far end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rtrb::{Consumer, Producer};

use super::Leg;
use crate::error::LegError;
use crate::leg::PlayId;
use crate::shared::Op;

/// Audio that may wait in the engine. The feeding side keeps the rest.
const RING_MS: usize = 250;
/// Length of the fade at a cut.
const FADE_MS: usize = 10;
/// Octets of frames that may wait beside the audio.
const FRAME_RING: usize = 24 * 1024;
/// Octets of the longest such frame, and of what stands before each: its position and its length.
const LONGEST_FRAME: usize = 1276;
const FRAME_HEAD: usize = 10;

/// Counters both sides see. Positions are samples since the beginning, at the leg's rate.
#[derive(Debug)]
struct Counters {
    /// Everything before this is thrown away.
    cut: AtomicU64,
    /// Taken by the worker: sent, or thrown away.
    passed: AtomicU64,
    /// Of these, sent.
    heard: AtomicU64,
    /// Frames that found less than they needed after something was heard.
    underruns: AtomicU64,
    /// Times that audio which had begun was missing when a frame was due.
    dry: AtomicU64,
    held: AtomicBool,
    /// Level of everything else meanwhile, in percent.
    duck: AtomicU32,
}

/// The feeding side of a playout. Dropping it ends the playout once the worker is told ([`Leg::end_playout`]).
#[derive(Debug)]
pub struct Playout {
    id: PlayId,
    rate: u32,
    ring: Producer<i16>,
    frames: Producer<u8>,
    pushed: u64,
    counters: Arc<Counters>,
}

impl Playout {
    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Samples waiting in the engine.
    pub fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    /// Adds samples; those that find no room are not taken. Returns how many were.
    pub fn push(&mut self, samples: &[i16]) -> usize {
        let n = samples.len().min(self.ring.slots());
        let _fits = self.ring.push_entire_slice(&samples[..n]);
        self.pushed += n as u64;
        n
    }

    /// The samples from position `at` on are those of this frame of the leg's codec: it is sent in their place where
    /// nothing else is heard with them. One that finds no room is left out, as all are without room for any
    /// ([`Leg::playout`]).
    pub fn original(&mut self, at: u64, frame: &[u8]) {
        let Ok(length) = u16::try_from(frame.len()) else { return };
        let room = self.frames.slots() >= FRAME_HEAD + frame.len();
        if !room || frame.is_empty() || frame.len() > LONGEST_FRAME {
            return;
        }
        let head = at.to_le_bytes().into_iter().chain(length.to_le_bytes());
        if let Ok(chunk) = self.frames.write_chunk_uninit(FRAME_HEAD + frame.len()) {
            chunk.fill_from_iter(head.chain(frame.iter().copied()));
        }
    }

    /// Samples pushed so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Samples that have left the engine: sent to the far end, or thrown away.
    pub fn passed(&self) -> u64 {
        self.counters.passed.load(Ordering::Acquire)
    }

    /// Samples sent to the far end.
    pub fn heard(&self) -> u64 {
        self.counters.heard.load(Ordering::Acquire)
    }

    /// Frames that were not full although the playout had begun.
    pub fn underruns(&self) -> u64 {
        self.counters.underruns.load(Ordering::Relaxed)
    }

    /// Times that there was less than a frame after full ones: the audio was over, or late.
    pub fn dry(&self) -> u64 {
        self.counters.dry.load(Ordering::Acquire)
    }

    /// Throws away what was pushed so far; 10 ms of it are faded out.
    pub fn cut(&self) {
        self.counters.cut.store(self.pushed, Ordering::Release);
    }

    /// Keeps what waits, or lets it go on.
    pub fn hold(&self, on: bool) {
        self.counters.held.store(on, Ordering::Relaxed);
    }

    /// Level of everything else while this is heard, in percent.
    pub fn duck(&self, percent: u32) {
        self.counters.duck.store(percent.min(100), Ordering::Relaxed);
    }

    /// Whether the leg still takes anything.
    pub fn is_open(&self) -> bool {
        !self.ring.is_abandoned()
    }
}

/// The worker's side.
#[derive(Debug)]
pub(crate) struct PlayoutEnd {
    pub(crate) id: PlayId,
    rate: u32,
    ring: Consumer<i16>,
    frames: Consumer<u8>,
    /// The next frame beside the audio: its position and length, and what is in it.
    next: Option<(u64, usize)>,
    frame: Box<[u8]>,
    /// The audio mixed last was that of the frame, and nothing else.
    is_frame: bool,
    counters: Arc<Counters>,
    passed: u64,
    heard: u64,
    /// The last frame was full.
    flowing: bool,
}

impl PlayoutEnd {
    /// Whether there is something to be heard now.
    pub(crate) fn sounds(&self) -> bool {
        let cut = || self.counters.cut.load(Ordering::Acquire) > self.passed;
        self.ring.slots() > 0 && (!self.counters.held.load(Ordering::Relaxed) || cut())
    }

    /// A frame is due: notes when audio that had begun is missing. Whether there is something to be heard.
    pub(crate) fn look(&mut self) -> bool {
        if self.flowing && self.ring.slots() == 0 && !self.counters.held.load(Ordering::Relaxed) {
            self.flowing = false;
            self.counters.dry.fetch_add(1, Ordering::Release);
        }
        self.sounds()
    }

    /// The level of everything else, in percent.
    pub(crate) fn duck(&self) -> u32 {
        self.counters.duck.load(Ordering::Relaxed)
    }

    /// Adds a frame to `pcm`, which is the audio of a leg at `rate`.
    pub(crate) fn mix(&mut self, pcm: &mut [i16], rate: u32) {
        self.is_frame = false;
        let begins = self.passed;
        let at = self.fade_cut(pcm);
        if self.counters.held.load(Ordering::Relaxed) {
            return self.publish();
        }
        // A leg that changed its rate is fed anew at once by its owner; what is left of the old rate is not worth converting.
        let room = if rate == self.rate { pcm.get_mut(at..).unwrap_or_default() } else { &mut [] };
        let wanted = room.len();
        let n = wanted.min(self.ring.slots());
        if let Ok(chunk) = self.ring.read_chunk(n) {
            for (sample, add) in room.iter_mut().zip(chunk) {
                *sample = sample.saturating_add(add);
            }
        }
        self.passed += n as u64;
        self.heard += n as u64;
        if self.flowing && n < wanted && at == 0 {
            self.counters.underruns.fetch_add(1, Ordering::Relaxed);
            self.counters.dry.fetch_add(1, Ordering::Release);
        }
        self.flowing = n == wanted;
        self.is_frame = self.seek_frame(begins) && at == 0 && self.flowing && n > 0;
        self.publish();
    }

    /// The frame whose samples were mixed last, where they were all of it.
    pub(crate) fn frame(&self) -> Option<&[u8]> {
        let (_, length) = self.next.filter(|_| self.is_frame)?;
        self.frame.get(..length)
    }

    /// Goes on to the frame that begins at that sample; false when there is none.
    fn seek_frame(&mut self, at: u64) -> bool {
        loop {
            if self.next.is_none() {
                self.next = self.read_frame();
            }
            match self.next {
                None => return false,
                Some((begins, _)) if begins < at => self.next = None,
                Some((begins, _)) => return begins == at,
            }
        }
    }

    fn read_frame(&mut self) -> Option<(u64, usize)> {
        let mut head = [0; FRAME_HEAD];
        self.frames.pop_entire_slice(&mut head).ok()?;
        let [a, b, c, d, e, f, g, h, l0, l1] = head;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        self.frames.pop_entire_slice(self.frame.get_mut(..length)?).ok()?;
        Some((u64::from_le_bytes([a, b, c, d, e, f, g, h]), length))
    }

    /// Fades out what lies before a cut and throws the rest away; returns the samples written.
    fn fade_cut(&mut self, pcm: &mut [i16]) -> usize {
        let cut = self.counters.cut.load(Ordering::Acquire);
        let left = usize::try_from(cut.saturating_sub(self.passed)).unwrap_or(usize::MAX);
        let left = left.min(self.ring.slots());
        if left == 0 {
            return 0;
        }
        let fade = left.min(pcm.len()).min(self.rate as usize * FADE_MS / 1000);
        if let Ok(chunk) = self.ring.read_chunk(fade) {
            for (n, (sample, add)) in pcm.iter_mut().zip(chunk).enumerate() {
                let faded = i32::from(add) * (fade - n) as i32 / fade.max(1) as i32;
                *sample = sample.saturating_add(faded as i16);
            }
        }
        if let Ok(rest) = self.ring.read_chunk(left - fade) {
            rest.commit_all();
        }
        self.passed += left as u64;
        self.heard += fade as u64;
        self.flowing = false;
        fade
    }

    fn publish(&self) {
        self.counters.heard.store(self.heard, Ordering::Release);
        self.counters.passed.store(self.passed, Ordering::Release);
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Leg {
    /// Begins a playout at the leg's rate; several may run at once. Undone with [`Leg::end_playout`].
    pub fn playout(&self) -> Result<Playout, LegError> {
        self.begin_playout(false)
    }

    /// [`Leg::playout`] that takes frames of the leg's codec beside the audio ([`Playout::original`]).
    pub fn playout_with_frames(&self) -> Result<Playout, LegError> {
        self.begin_playout(true)
    }

    fn begin_playout(&self, with_frames: bool) -> Result<Playout, LegError> {
        let rate = self.codec().rate();
        let (playout, end) = pair(PlayId(self.new_id()), rate, with_frames);
        self.post(Op::Playout(Box::new(end)))?;
        Ok(playout)
    }

    /// Ends what [`Leg::playout`] began; what waits is not heard.
    pub fn end_playout(&self, playout: &Playout) -> Result<(), LegError> {
        self.post(Op::EndPlayout(playout.id))
    }
}

fn pair(id: PlayId, rate: u32, with_frames: bool) -> (Playout, PlayoutEnd) {
    let (producer, consumer) = rtrb::RingBuffer::new(rate as usize / 1000 * RING_MS);
    let (ring, longest) = if with_frames { (FRAME_RING, LONGEST_FRAME) } else { (0, 0) };
    let (frames, frames_out) = rtrb::RingBuffer::new(ring);
    let counters = Arc::new(Counters {
        cut: AtomicU64::new(0),
        passed: AtomicU64::new(0),
        heard: AtomicU64::new(0),
        underruns: AtomicU64::new(0),
        dry: AtomicU64::new(0),
        held: AtomicBool::new(false),
        duck: AtomicU32::new(100),
    });
    let end = PlayoutEnd {
        id,
        rate,
        ring: consumer,
        frames: frames_out,
        next: None,
        frame: vec![0; longest].into(),
        is_frame: false,
        counters: Arc::clone(&counters),
        passed: 0,
        heard: 0,
        flowing: false,
    };
    (Playout { id, rate, ring: producer, frames, pushed: 0, counters }, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_fades_out_and_what_comes_after_it_is_heard() {
        let (mut playout, mut end) = pair(PlayId(1), 8000, false);
        playout.push(&[1000; 800]);
        let mut frame = [0; 160];
        end.mix(&mut frame, 8000);
        assert_eq!((frame, playout.heard()), ([1000; 160], 160));
        playout.cut();
        playout.push(&[7; 160]);
        let mut frame = [0; 160];
        end.mix(&mut frame, 8000);
        assert_eq!((frame[0], frame[40], frame[79]), (1000, 500, 12));
        assert_eq!(frame[80..], [7; 80]);
        assert_eq!((playout.passed(), playout.heard()), (800 + 80, 160 + 80 + 80));
    }

    #[test]
    fn what_is_held_waits_and_what_runs_dry_is_counted() {
        let (mut playout, mut end) = pair(PlayId(1), 8000, false);
        playout.push(&[5; 200]);
        playout.hold(true);
        let mut frame = [1; 160];
        end.mix(&mut frame, 8000);
        assert_eq!((frame, end.sounds()), ([1; 160], false));
        playout.hold(false);
        end.mix(&mut frame, 8000);
        assert_eq!(frame, [6; 160]);
        end.mix(&mut frame, 8000);
        assert_eq!((frame[39], frame[40]), (11, 6));
        assert_eq!((playout.underruns(), playout.passed(), playout.waiting()), (1, 200, 0));
        assert_eq!((end.look(), playout.dry()), (false, 1), "told once");
        playout.push(&[5; 160]);
        end.mix(&mut frame, 8000);
        assert_eq!((end.look(), end.look(), playout.dry()), (false, false, 2));
    }

    #[test]
    fn a_frame_stands_for_its_samples_and_for_no_others() {
        let (mut playout, mut end) = pair(PlayId(1), 8000, true);
        for n in 0..3_u8 {
            playout.original(u64::from(n) * 160, &[n; 40]);
            playout.push(&[i16::from(n); 160]);
        }
        let mut frame = [0; 160];
        end.mix(&mut frame, 8000);
        assert_eq!(end.frame(), Some(&[0; 40][..]));
        end.mix(&mut frame, 8000);
        assert_eq!(end.frame(), Some(&[1; 40][..]));
        // Half of one is heard with half of the next: neither stands for it.
        end.mix(&mut frame[..80], 8000);
        playout.original(480, &[3; 40]);
        playout.push(&[3; 160]);
        end.mix(&mut frame, 8000);
        assert_eq!(end.frame(), None);
        playout.cut();
        end.mix(&mut frame, 8000);
        assert_eq!(end.frame(), None);
        playout.original(640, &[9; 2000]);
        playout.push(&[9; 160]);
        end.mix(&mut frame, 8000);
        assert_eq!(end.frame(), None, "too long to be one");
    }

    #[test]
    fn no_more_than_the_ring_holds_is_taken() {
        let (mut playout, end) = pair(PlayId(1), 8000, true);
        assert_eq!(playout.push(&[0; 4000]), 2000);
        assert_eq!(playout.push(&[0; 10]), 0);
        drop(end);
        assert!(!playout.is_open());
    }
}
