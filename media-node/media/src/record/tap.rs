//! The worker's side of a recording: collects what a leg says and hears, frame by frame, and hands
//! it to the file thread through a ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use rtrb::Producer;

use super::{RecordMix, RecordSpec, SilenceStop};
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
    /// For a program that answers: what is said goes on as it arrives.
    live: Option<Live>,
}

/// How a tap without delay goes about it.
#[derive(Debug)]
enum Live {
    /// What is said goes straight on; silence after some intervals without any.
    Said { idle: u8 },
    /// Both sides, brought together by the clock.
    Both,
}

/// Intervals without a packet after which a live tap gives silence.
const LIVE_IDLE: u8 = 3;
/// Milliseconds a live tap holds for a program that does not take them; more is lost, and counted.
const LIVE_RING_MS: usize = 500;

/// How the worker tells the file thread that nothing more will come.
#[derive(Debug, Default)]
pub(crate) struct TapEnd {
    reason: AtomicU8,
    pub(crate) lost: AtomicU64,
    /// Set by the file thread: it cannot write.
    pub(crate) failed: AtomicBool,
    /// A sound above the threshold was heard.
    pub(crate) spoke: AtomicBool,
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
        let fifo = || Fifo::new(rate as usize / 1000 * 20 * (MOST + 4));
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
            live: None,
        };
        (Box::new(tap), consumer, end)
    }

    /// Both ends of a live tap: what is said, or both sides in turn.
    pub(crate) fn live(id: RecordId, both: bool, rate: u32) -> (Box<Self>, rtrb::Consumer<i16>) {
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
            live: Some(if both { Live::Both } else { Live::Said { idle: 0 } }),
        };
        (Box::new(tap), consumer)
    }

    /// Audio the leg said.
    pub(crate) fn said(&mut self, pcm: &[i16]) {
        if let Some(Live::Said { idle }) = &mut self.live {
            *idle = 0;
            return self.send_on(pcm);
        }
        self.said.push(pcm);
    }

    /// Audio the leg heard.
    pub(crate) fn heard(&mut self, pcm: &[i16]) {
        if matches!(self.live, Some(Live::Said { .. })) {
            return;
        }
        self.heard.push(pcm);
    }

    fn send_on(&mut self, pcm: &[i16]) {
        if self.ring.push_entire_slice(pcm).is_err() {
            self.end.lost.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    /// An interval of a tap that passes on what is said: silence where nothing comes.
    fn idle_tick(&mut self, frame: &mut [i16]) {
        if let Some(Live::Said { idle }) = &mut self.live {
            *idle = idle.saturating_add(1);
            if *idle > LIVE_IDLE {
                frame.fill(0);
                self.send_on(frame);
            }
        }
    }

    /// One frame of `frame` samples has passed. `two` is scratch space of at least twice that.
    /// Gives the reason when the recording ends by itself.
    pub(crate) fn tick(&mut self, frame: usize, two: &mut [i16]) -> Option<RecordEnd> {
        if self.end.failed.load(Ordering::Relaxed) {
            return Some(RecordEnd::Stopped);
        }
        let (said, rest) = two.split_at_mut_checked(frame)?;
        let heard = rest.get_mut(..frame)?;
        if matches!(self.live, Some(Live::Said { .. })) {
            self.idle_tick(said);
            return None;
        }
        let cushion = if self.live.is_some() { LIVE_CUSHION } else { CUSHION };
        self.said.pull_with(said, cushion);
        self.heard.pull_with(heard, cushion);
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
        self.pull_with(out, CUSHION);
    }

    /// [`Fifo::pull`] with a cushion of so many frames.
    fn pull_with(&mut self, out: &mut [i16], cushion: usize) {
        if self.len > out.len() * MOST {
            let surplus = self.len - out.len() * cushion;
            self.drop_front(surplus);
        }
        if self.filling && self.len < out.len() * cushion {
            out.fill(0);
            return;
        }
        let n = self.take(out);
        out[n..].fill(0);
        self.filling = n < out.len();
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
