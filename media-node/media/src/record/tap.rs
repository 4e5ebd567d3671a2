//! The worker's side of a recording: collects what a leg says and hears, frame by frame, and hands
//! it to the file thread through a ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use rtrb::Producer;

use super::pace::Pace;
use super::redact::Redactor;
use super::{MAX_LEAD, RecordMix, RecordSpec, Redaction, SilenceStop};
use crate::event::RecordEnd;
use crate::leg::RecordId;

/// Seconds of audio the ring holds while the disk is slow; beyond that samples are lost, and counted.
const RING_SECONDS: usize = 4;
/// Frames kept back to even out the arrival of packets.
const CUSHION: usize = 2;
/// The same for those who answer what they hear.
const LIVE_CUSHION: usize = 1;
/// Frames waiting beyond which the oldest are thrown away.
const MOST: usize = 12;

/// Cuts that wait for the file thread; the oldest go first.
const MOST_CUTS: usize = 64;

/// One recording of one leg.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) id: RecordId,
    mix: RecordMix,
    said: Fifo,
    heard: Fifo,
    ring: Producer<i16>,
    end: Arc<TapEnd>,
    limit: Option<u64>,
    silence: Option<SilenceStop>,
    quiet_ms: u32,
    pub(crate) paused: bool,
    pub(crate) masked: bool,
    samples: u64,
    rate: u32,
    /// Samples of an interval.
    frame: usize,
    /// For a program that answers: what is said goes on as it arrives.
    live: Option<Live>,
    /// Noise in place of what was not said, and its state.
    fill: Option<u32>,
    noise: u32,
    /// Noise sent to the leg meanwhile.
    pub(crate) waste: Option<u32>,
    /// Frames kept back, and those still to wait before the first is written.
    lead: usize,
    waits: usize,
    /// Keeps pressed keys out.
    redact: Option<Box<Redactor>>,
    /// Packets of the leg's codec as they come, each with its length before it.
    frames: Option<Producer<u8>>,
}

/// How a tap without delay goes about it.
#[derive(Debug)]
enum Live {
    /// What is said goes straight on.
    Said(Pace),
    /// Both sides, brought together by the clock.
    Both,
}

/// Milliseconds a live tap holds for a program that does not take them; more is lost, and counted.
const LIVE_RING_MS: usize = 500;
/// Octets of packets it holds: half a second of the largest Opus makes of speech, and more.
const FRAME_RING: usize = 32 * 1024;

/// How the worker tells the file thread that nothing more will come.
#[derive(Debug)]
pub(crate) struct TapEnd {
    reason: AtomicU8,
    pub(crate) lost: AtomicU64,
    /// Set by the file thread: it cannot write.
    pub(crate) failed: AtomicBool,
    /// A sound above the threshold was heard.
    pub(crate) spoke: AtomicBool,
    /// What of it, written already, is to be silence.
    pub(crate) cuts: ArrayQueue<Cut>,
}

/// Audio of a recording that is to be silence: samples of a channel since its beginning, at the leg's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Of what the leg hears, not of what it says.
    pub(crate) heard: bool,
}

impl Default for TapEnd {
    fn default() -> Self {
        Self {
            reason: AtomicU8::default(),
            lost: AtomicU64::default(),
            failed: AtomicBool::default(),
            spoke: AtomicBool::default(),
            cuts: ArrayQueue::new(MOST_CUTS),
        }
    }
}

impl TapEnd {
    pub(crate) fn reason(&self) -> Option<RecordEnd> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(RecordEnd::Stopped),
            2 => Some(RecordEnd::Limit),
            3 => Some(RecordEnd::Silence),
            4 => Some(RecordEnd::Closed),
            5 => Some(RecordEnd::NoInput),
            _ => None,
        }
    }

    pub(crate) fn finish(&self, reason: &RecordEnd) {
        let code = match reason {
            RecordEnd::Limit => 2,
            RecordEnd::Silence => 3,
            RecordEnd::Closed => 4,
            RecordEnd::NoInput => 5,
            _ => 1,
        };
        // The first reason stays.
        let _ = self.reason.compare_exchange(0, code, Ordering::Release, Ordering::Relaxed);
    }
}

impl Tap {
    /// Both ends of a recording of a leg at `rate`.
    pub(crate) fn new(
        id: RecordId,
        spec: &RecordSpec,
        rate: u32,
    ) -> (Box<Self>, rtrb::Consumer<i16>, Arc<TapEnd>) {
        let channels = usize::from(spec.mix.channels());
        let (ring, consumer) = rtrb::RingBuffer::new(rate as usize * channels * RING_SECONDS);
        let end = Arc::new(TapEnd::default());
        let lead = spec.lead.min(MAX_LEAD) as usize;
        let fifo = || Fifo::new(rate as usize / 1000 * 20 * (lead + MOST + 4));
        let tap = Self {
            id,
            mix: spec.mix,
            said: fifo(),
            heard: fifo(),
            ring,
            end: Arc::clone(&end),
            limit: spec.limit_ms.map(|ms| ms.saturating_mul(u64::from(rate)) / 1000),
            silence: spec.silence,
            quiet_ms: 0,
            paused: false,
            masked: false,
            samples: 0,
            rate,
            frame: rate as usize / 50,
            live: None,
            fill: spec.fill,
            noise: 1,
            waste: spec.waste,
            lead,
            waits: lead,
            redact: spec.redact.map(|asked| Redactor::new(asked, rate)),
            frames: None,
        };
        (Box::new(tap), consumer, end)
    }

    /// Both ends of a live tap: what is said, or both sides in turn.
    pub(crate) fn live(
        id: RecordId,
        both: bool,
        redact: Option<Redaction>,
        rate: u32,
    ) -> (Box<Self>, rtrb::Consumer<i16>) {
        let channels = if both { 2 } else { 1 };
        let (ring, consumer) =
            rtrb::RingBuffer::new(rate as usize / 1000 * LIVE_RING_MS * channels);
        let fifo = || Fifo::new(if both { rate as usize / 1000 * 20 * (MOST + 4) } else { 1 });
        let tap = Self {
            id,
            mix: if both { RecordMix::Stereo } else { RecordMix::ReadOnly },
            said: fifo(),
            heard: fifo(),
            ring,
            end: Arc::default(),
            limit: None,
            silence: None,
            quiet_ms: 0,
            paused: false,
            masked: false,
            samples: 0,
            rate,
            frame: rate as usize / 50,
            live: Some(if both { Live::Both } else { Live::Said(Pace::default()) }),
            fill: None,
            noise: 1,
            waste: None,
            lead: 0,
            waits: 0,
            redact: redact.map(|asked| Redactor::new(asked, rate)),
            frames: None,
        };
        (Box::new(tap), consumer)
    }

    /// The same tap, which is shown packets besides.
    pub(crate) fn with_frames(mut self: Box<Self>) -> (Box<Self>, rtrb::Consumer<u8>) {
        let (frames, consumer) = rtrb::RingBuffer::new(FRAME_RING);
        self.frames = Some(frames);
        (self, consumer)
    }

    /// A packet of what the leg said.
    pub(crate) fn frame(&mut self, payload: &[u8]) {
        let (Some(frames), Ok(length)) = (&mut self.frames, u16::try_from(payload.len())) else {
            return;
        };
        let octets = length.to_le_bytes().into_iter().chain(payload.iter().copied());
        match frames.write_chunk_uninit(payload.len() + 2) {
            Ok(chunk) => {
                chunk.fill_from_iter(octets);
            }
            Err(_) => {
                self.end.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Audio the leg said.
    pub(crate) fn said(&mut self, pcm: &[i16]) {
        if matches!(self.live, Some(Live::Said(_))) {
            return self.send_on(pcm);
        }
        self.said.push(pcm);
    }

    /// Audio the leg heard.
    pub(crate) fn heard(&mut self, pcm: &[i16]) {
        if matches!(self.live, Some(Live::Said(_))) {
            return;
        }
        self.heard.push(pcm);
    }

    /// The leg's far end presses a key, which comes beside the audio.
    pub(crate) fn pressed(&mut self) {
        if let Some(redact) = &mut self.redact {
            redact.said.pressed();
        }
    }

    /// Silences what was said, or heard, between so many milliseconds ago, where pressed keys are kept out: what is written
    /// already, and what still waits to be.
    pub(crate) fn silence(&mut self, from_ms: u32, to_ms: u32, heard: bool) {
        let Some(redact) = self.redact.as_mut().filter(|_| self.live.is_none()) else { return };
        let (side, waits) = match heard {
            true => (&mut redact.heard, self.heard.len()),
            false => (&mut redact.said, self.said.len()),
        };
        // What is said at this moment will stand behind all that waits and is held back; after a pause, as much waits again.
        let waits = waits.max(if self.lead > 0 { 0 } else { CUSHION * self.frame });
        let now = self.samples + (waits + side.held_back()) as u64;
        let at = |ms: u32| now.saturating_sub(u64::from(ms) * u64::from(self.rate) / 1000);
        let (from, to) = (at(from_ms), at(to_ms));
        side.silence_next(usize::try_from(to.saturating_sub(self.samples)).unwrap_or(0));
        let _the_oldest = self.end.cuts.force_push(Cut { from, to, heard });
    }

    /// The same of a conference's mix that is written already; a member's audio is in it `later` samples after it was heard.
    pub(crate) fn silence_mix(&self, from_ms: u32, to_ms: u32, later: usize) {
        let waits = self.said.len().max(CUSHION * self.frame);
        let now = self.samples + (waits + later) as u64;
        let at = |ms: u32| now.saturating_sub(u64::from(ms) * u64::from(self.rate) / 1000);
        let cut = Cut { from: at(from_ms), to: at(to_ms).min(self.samples), heard: false };
        if self.live.is_none() && cut.from < cut.to {
            let _the_oldest = self.end.cuts.force_push(cut);
        }
    }

    fn send_on(&mut self, pcm: &[i16]) {
        let Some(redact) = &mut self.redact else { return self.give(pcm) };
        let mut piece = [0; 160];
        for samples in pcm.chunks(piece.len()) {
            let Some(piece) = piece.get_mut(..samples.len()) else { return };
            piece.copy_from_slice(samples);
            redact.said.pass(piece);
            if self.ring.push_entire_slice(piece).is_err() {
                self.end.lost.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
    }

    fn give(&mut self, pcm: &[i16]) {
        if self.ring.push_entire_slice(pcm).is_err() {
            self.end.lost.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    /// An interval of a tap that passes on what is said: silence where nothing comes.
    fn idle_tick(&mut self, frame: &mut [i16]) {
        if let Some(Live::Said(pace)) = &mut self.live
            && pace.idles(frame.len())
        {
            match &mut self.redact {
                Some(redact) => redact.said.idle(frame),
                None => frame.fill(0),
            }
            self.give(frame);
        }
    }

    /// What is said next begins `pause` samples behind the end of what was said before; `None` where that is not known.
    pub(crate) fn resumes(&mut self, pause: Option<usize>) {
        let Some(Live::Said(pace)) = &mut self.live else { return };
        let mut missing = pace.resumes(pause, self.frame);
        let silence = [0; 160];
        while let Some(piece) = silence.get(..missing.min(silence.len())).filter(|_| missing > 0) {
            missing -= piece.len();
            self.send_on(piece);
        }
    }

    /// One frame of `frame` samples has passed. `two` is scratch space of at least twice that.
    /// Gives the reason when the recording ends by itself.
    pub(crate) fn tick(&mut self, frame: usize, two: &mut [i16]) -> Option<RecordEnd> {
        if self.end.failed.load(Ordering::Relaxed) {
            return Some(RecordEnd::Stopped);
        }
        self.frame = frame;
        let (said, rest) = two.split_at_mut_checked(frame)?;
        let heard = rest.get_mut(..frame)?;
        if matches!(self.live, Some(Live::Said(_))) {
            self.idle_tick(said);
            return None;
        }
        if self.waits > 0 {
            // Both sides wait alike: nothing is left out, it is only written later.
            self.waits -= 1;
            return None;
        }
        let cushion = match &self.live {
            Some(_) => LIVE_CUSHION,
            None if self.lead > 0 => 0,
            None => CUSHION,
        };
        let spoke = self.said.pull_with(said, cushion, self.lead + MOST);
        self.heard.pull_with(heard, cushion, self.lead + MOST);
        if let Some(redact) = &mut self.redact {
            if spoke {
                redact.said.pass(said)
            } else {
                redact.said.idle(said)
            }
            redact.heard.pass(heard);
        }
        if let Some(level) = self.fill.filter(|_| !spoke) {
            crate::source::noise(said, level, &mut self.noise);
        }
        if self.paused {
            return None;
        }
        // What is listened to for silence is what is written.
        let level = match self.mix {
            RecordMix::ReadOnly => score(said),
            RecordMix::WriteOnly => score(heard),
            _ => score(said).max(score(heard)),
        };
        if self.masked {
            said.fill(0);
            heard.fill(0);
        }
        self.write(said, heard);
        self.samples += frame as u64;
        if self.limit.is_some_and(|limit| self.samples >= limit) {
            return Some(RecordEnd::Limit);
        }
        let ms = (frame as u64 * 1000 / u64::from(self.rate.max(1))) as u32;
        self.silent_too_long(level, ms)
    }

    /// Writes what was kept back, in frames of `frame` samples: the recording ends. `two` as in [`Tap::tick`].
    pub(crate) fn drain(&mut self, frame: usize, two: &mut [i16]) {
        if self.lead == 0 || frame == 0 {
            return;
        }
        self.waits = 0;
        let frames = self.said.len().max(self.heard.len()).div_ceil(frame);
        for _ in 0..frames.min(self.lead + MOST) {
            if self.tick(frame, two).is_some() {
                return;
            }
        }
    }

    /// Counts `ms` milliseconds of that level as sound or silence.
    fn silent_too_long(&mut self, level: u32, ms: u32) -> Option<RecordEnd> {
        let stop = self.silence?;
        if level >= stop.threshold {
            self.quiet_ms = 0;
            self.end.spoke.store(true, Ordering::Relaxed);
            return None;
        }
        self.quiet_ms = self.quiet_ms.saturating_add(ms);
        let (limit, end) = match stop.before_ms {
            Some(before) if !self.end.spoke.load(Ordering::Relaxed) => (before, RecordEnd::NoInput),
            _ => (stop.after_ms, RecordEnd::Silence),
        };
        (limit > 0 && self.quiet_ms >= limit).then_some(end)
    }

    fn write(&mut self, said: &mut [i16], heard: &[i16]) {
        let whole = match self.mix {
            RecordMix::ReadOnly => self.ring.push_entire_slice(said),
            RecordMix::WriteOnly => self.ring.push_entire_slice(heard),
            RecordMix::Mono => {
                for (s, h) in said.iter_mut().zip(heard) {
                    *s = s.saturating_add(*h);
                }
                self.ring.push_entire_slice(said)
            }
            RecordMix::Stereo => interleave(&mut self.ring, said, heard),
            RecordMix::StereoSwapped => interleave(&mut self.ring, heard, said),
        };
        if whole.is_err() {
            self.end.lost.fetch_add(said.len() as u64, Ordering::Relaxed);
        }
    }

    /// Nothing more will come.
    pub(crate) fn finish(&self, reason: &RecordEnd) {
        self.end.finish(reason);
    }
}

fn interleave(
    ring: &mut Producer<i16>,
    left: &[i16],
    right: &[i16],
) -> Result<(), rtrb::chunks::ChunkError> {
    let chunk = ring.write_chunk_uninit(left.len() * 2)?;
    chunk.fill_from_iter(left.iter().zip(right).flat_map(|(l, r)| [*l, *r]));
    Ok(())
}

/// Mean absolute sample, the measure of the reference's silence thresholds.
pub(crate) fn score(pcm: &[i16]) -> u32 {
    let sum: u64 = pcm.iter().map(|s| u64::from(s.unsigned_abs())).sum();
    sum.checked_div(pcm.len() as u64).unwrap_or(0) as u32
}

/// Samples on their way from packet time to frame time.
#[derive(Debug)]
pub(crate) struct Fifo {
    samples: Box<[i16]>,
    start: usize,
    len: usize,
    filling: bool,
}

impl Fifo {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            samples: vec![0; capacity.max(1)].into_boxed_slice(),
            start: 0,
            len: 0,
            filling: true,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.drop_front(self.len);
    }

    pub(crate) fn push(&mut self, pcm: &[i16]) {
        let capacity = self.samples.len();
        for sample in pcm {
            if self.len == capacity {
                self.drop_front(1);
            }
            let at = (self.start + self.len) % capacity;
            self.samples[at] = *sample;
            self.len += 1;
        }
    }

    fn drop_front(&mut self, n: usize) {
        self.start = (self.start + n) % self.samples.len();
        self.len -= n;
    }

    /// Takes what there is, up to a frame; returns how much.
    pub(crate) fn take(&mut self, out: &mut [i16]) -> usize {
        let n = self.len.min(out.len());
        for (i, sample) in out.iter_mut().take(n).enumerate() {
            *sample = self.samples[(self.start + i) % self.samples.len()];
        }
        self.drop_front(n);
        n
    }

    /// Takes a frame at frame time: keeps a cushion against uneven arrival, gives silence when
    /// there is nothing, and throws the oldest away when far too much waits.
    pub(crate) fn pull(&mut self, out: &mut [i16]) {
        self.pull_with(out, CUSHION, MOST);
    }

    /// [`Fifo::pull`] with a cushion of so many frames, and `most` that may wait. False when it is all silence.
    fn pull_with(&mut self, out: &mut [i16], cushion: usize, most: usize) -> bool {
        if self.len > out.len() * most {
            let surplus = self.len - out.len() * cushion;
            self.drop_front(surplus);
        }
        if self.filling && self.len < out.len() * cushion {
            out.fill(0);
            return false;
        }
        let n = self.take(out);
        out[n..].fill(0);
        self.filling = n < out.len();
        n > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ring: &mut rtrb::Consumer<i16>) -> Vec<i16> {
        std::iter::from_fn(|| ring.pop().ok()).collect()
    }

    fn tap(mix: RecordMix, edit: impl Fn(&mut RecordSpec)) -> (Box<Tap>, rtrb::Consumer<i16>) {
        let mut spec = RecordSpec { mix, ..RecordSpec::new("x.wav") };
        edit(&mut spec);
        let (tap, ring, _) = Tap::new(RecordId(1), &spec, 8000);
        (tap, ring)
    }

    #[test]
    fn both_sides_are_mixed_or_kept_apart() {
        for (mix, expected) in [
            (RecordMix::Mono, vec![11, 22]),
            (RecordMix::Stereo, vec![1, 10, 2, 20]),
            (RecordMix::StereoSwapped, vec![10, 1, 20, 2]),
            (RecordMix::ReadOnly, vec![1, 2]),
            (RecordMix::WriteOnly, vec![10, 20]),
        ] {
            let (mut tap, mut ring) = tap(mix, |_| {});
            tap.said(&[1, 2, 0, 0]);
            tap.heard(&[10, 20, 0, 0]);
            assert_eq!(tap.tick(2, &mut [0; 4]), None);
            assert_eq!(drain(&mut ring), expected, "{mix:?}");
        }
    }

    #[test]
    fn pause_leaves_time_out_and_mask_silences_it() {
        let (mut tap, mut ring) = tap(RecordMix::ReadOnly, |_| {});
        tap.said(&[1, 2, 3, 4, 5, 6, 7, 8]);
        tap.paused = true;
        tap.tick(2, &mut [0; 4]);
        (tap.paused, tap.masked) = (false, true);
        tap.tick(2, &mut [0; 4]);
        tap.masked = false;
        tap.tick(2, &mut [0; 4]);
        assert_eq!(drain(&mut ring), [0, 0, 5, 6]);
    }

    #[test]
    fn what_was_not_said_is_noise_where_that_is_asked_for() {
        let (mut tap, mut ring) = tap(RecordMix::ReadOnly, |s| s.fill = Some(1400));
        tap.said(&[1000; 480]);
        (0..3).for_each(|_| assert_eq!(tap.tick(160, &mut [0; 320]), None));
        tap.tick(160, &mut [0; 320]);
        let all = drain(&mut ring);
        assert!(all[..480].iter().all(|sample| *sample == 1000), "what was said stays as it is");
        assert!(all[480..].iter().any(|sample| *sample != 0));
        assert!(all[480..].iter().all(|sample| sample.unsigned_abs() <= 24));
    }

    #[test]
    fn late_packets_find_their_place_with_a_lead_and_the_rest_is_written_at_the_end() {
        let (mut tap, mut ring) = tap(RecordMix::ReadOnly, |s| s.lead = 4);
        let frame = |value: i16| vec![value; 160];
        // Four packets come at once after 60 ms without one.
        (1..=2).for_each(|n| {
            tap.said(&frame(n));
            tap.tick(160, &mut [0; 320]);
        });
        (0..3).for_each(|_| assert_eq!(tap.tick(160, &mut [0; 320]), None));
        (3..=6).for_each(|n| tap.said(&frame(n)));
        tap.tick(160, &mut [0; 320]);
        tap.drain(160, &mut [0; 320]);
        let all = drain(&mut ring);
        assert_eq!(all, (1..=6).flat_map(frame).collect::<Vec<_>>());
    }

    #[test]
    fn spoken_digits_are_silenced_though_they_wait_to_be_written() {
        let (mut tap, mut ring) = tap(RecordMix::ReadOnly, |s| {
            (s.lead, s.redact) = (50, Some(Redaction::default()));
        });
        for _ in 0..50 {
            tap.said(&[1000; 160]);
            tap.tick(160, &mut [0; 320]);
        }
        tap.silence(600, 400, false);
        tap.drain(160, &mut [0; 320]);
        let all = drain(&mut ring);
        // 60 ms of it are held back; up to 400 ms ago it is silent.
        let until = 480 + (1000 - 400) * 8;
        assert!(all[..until].iter().all(|sample| *sample == 0));
        assert!(all.len() > until && all[until..].iter().all(|sample| *sample == 1000));
    }

    #[test]
    fn limits_end_it() {
        let (mut tap, _ring) = tap(RecordMix::ReadOnly, |s| s.limit_ms = Some(40));
        assert_eq!(tap.tick(160, &mut [0; 320]), None);
        assert_eq!(tap.tick(160, &mut [0; 320]), Some(RecordEnd::Limit));
    }

    #[test]
    fn before_the_first_sound_another_time_counts_if_there_is_one() {
        let run = |before_ms: u32, spoken: usize| {
            let silence = SilenceStop { threshold: 100, after_ms: 40, before_ms: Some(before_ms) };
            let (mut tap, _ring) = tap(RecordMix::ReadOnly, |s| s.silence = Some(silence));
            tap.said(&vec![1000; spoken * 160]);
            (1..20).find_map(|n| Some((n, tap.tick(160, &mut [0; 320])?)))
        };
        assert_eq!(run(100, 0), Some((5, RecordEnd::NoInput)));
        assert_eq!(run(100, 3), Some((5, RecordEnd::Silence)));
        assert_eq!(run(0, 0), None, "0 is for ever");
    }

    #[test]
    fn silence_ends_it_once_it_has_lasted() {
        let silence = SilenceStop { threshold: 100, after_ms: 60, before_ms: None };
        let (mut tap, _ring) = tap(RecordMix::ReadOnly, |s| s.silence = Some(silence));
        tap.said(&[1000; 480]);
        let ends: Vec<_> = (0..6).map(|_| tap.tick(160, &mut [0; 320])).collect();
        assert_eq!(ends[..5], [None, None, None, None, None]);
        assert_eq!(ends[5], Some(RecordEnd::Silence));
    }
}
