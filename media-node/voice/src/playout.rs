//! The one playout behind all dialects: audio of any rate in pieces of any size, marks between them, paced out into the
//! media engine a little ahead of the phone's clock.
//!
//! Marks lie beside the audio, by position: no sample stands for one. One is heard when the engine has sent every sample
//! before it.

use std::collections::VecDeque;

use media::resample::{Converter, to_i16};

/// The engine is kept this far ahead.
const AHEAD_MS: u64 = 120;
/// Audio waits until there is this much of it, a packet, or for as long; longer for programs that fall behind the clock.
const FIRST_WAIT_MS: u64 = 20;
const LONGEST_WAIT_MS: u64 = 160;
const WAIT_STEP_MS: u64 = 20;
/// So much audio on end that was never late takes a step back.
const STEADY_MS: u64 = 30_000;
/// An engine that says nothing of frames it could not fill has run dry after this time.
const SILENT_MS: u64 = 100;
/// A queue that runs dry and is filled again within this time was late, not over.
const LATE_MS: u64 = 300;
/// Pieces that wait. Audio is bounded by its time, in which single samples of rates in turn would be millions of pieces.
const MOST_ITEMS: usize = 16_384;
/// Samples of a piece that others are joined to.
const JOINED: usize = 4096;
/// Shares of the bound at which a program is told to wait and to go on.
const FULL: (u64, u64) = (75, 50);

/// Where audio goes: the ring into the media engine.
pub trait Sink {
    /// Samples per second.
    fn rate(&self) -> u32;
    /// Samples that wait in it.
    fn waiting(&self) -> usize;
    /// The samples from position `at` on, pushed next, are those of this frame of Opus, which may be sent in their place.
    fn original(&mut self, _at: u64, _frame: &[u8]) {}
    /// Adds samples; returns how many found room.
    fn push(&mut self, samples: &[i16]) -> usize;
    /// Samples pushed so far.
    fn pushed(&self) -> u64;
    /// Samples that have left it, heard or not.
    fn passed(&self) -> u64;
    /// Samples heard.
    fn heard(&self) -> u64;
    /// Times that a frame was due and audio that had begun was missing.
    fn dry(&self) -> u64;
    /// Throws away what waits.
    fn cut(&mut self);
}

impl Sink for media::Playout {
    fn rate(&self) -> u32 {
        Self::rate(self)
    }
    fn waiting(&self) -> usize {
        Self::waiting(self)
    }
    fn original(&mut self, at: u64, frame: &[u8]) {
        Self::original(self, at, frame);
    }
    fn push(&mut self, samples: &[i16]) -> usize {
        Self::push(self, samples)
    }
    fn pushed(&self) -> u64 {
        Self::pushed(self)
    }
    fn passed(&self) -> u64 {
        Self::passed(self)
    }
    fn heard(&self) -> u64 {
        Self::heard(self)
    }
    fn dry(&self) -> u64 {
        Self::dry(self)
    }
    fn cut(&mut self) {
        Self::cut(self);
    }
}

/// What became of something queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The audio before the mark has left for the phone.
    Heard(String),
    /// The mark was thrown away with it.
    Cleared(String),
    /// All has left; milliseconds heard since the last time.
    Drained(u64),
    /// Audio was thrown away: milliseconds of it heard, and not heard.
    Cut(u64, u64),
    /// The queue is long, or short again.
    Full(bool),
}

#[derive(Debug)]
enum Item {
    Audio {
        rate: u32,
        samples: Vec<i16>,
        at: usize,
        /// Frames of Opus the samples were made of, and where they begin.
        frames: VecDeque<(usize, Box<[u8]>)>,
    },
    Mark(String),
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    items: VecDeque<Item>,
    /// Microseconds of audio in `items`.
    queued_us: u64,
    most_us: u64,
    most_marks: usize,
    marks: usize,
    /// Marks whose audio is in the engine, with the position it ends at.
    sent: VecDeque<(u64, String)>,
    converter: Option<Converter>,
    /// Samples that went into the converter and came out of it.
    converted: (u64, u64),
    /// Since when audio waits for more of it; `None` = it flows, or there is none.
    waits_since: Option<u64>,
    flows: bool,
    /// Audio to be waited for: grows when it was late, shrinks when it was not for long.
    wait_ms: u64,
    least_ms: u64,
    /// Milliseconds heard since it was late, or since the last step back.
    steady_ms: u64,
    /// The engine's count of frames it could not fill.
    dry: u64,
    /// Since when nothing is left.
    empty_since: Option<u64>,
    dry_since: Option<u64>,
    full: bool,
    /// The engine's count when the talking began, and how much of the talking was thrown away unheard.
    heard_before: u64,
    /// Silence goes out in the place of what is queued, which takes its time all the same.
    muted: bool,
    scratch: Vec<i16>,
}

impl Queue {
    /// A queue of at most `most_ms` of audio and `most_marks` marks.
    #[must_use]
    pub fn new(most_ms: u64, most_marks: usize) -> Self {
        Self {
            items: VecDeque::new(),
            queued_us: 0,
            most_us: most_ms.saturating_mul(1000),
            most_marks,
            marks: 0,
            sent: VecDeque::new(),
            converter: None,
            converted: (0, 0),
            waits_since: None,
            flows: false,
            wait_ms: FIRST_WAIT_MS,
            least_ms: FIRST_WAIT_MS,
            steady_ms: 0,
            dry: 0,
            empty_since: None,
            dry_since: None,
            full: false,
            heard_before: 0,
            muted: false,
            scratch: Vec::new(),
        }
    }

    /// The same, which begins once there are that many milliseconds of audio, or have passed, and never with less. A
    /// program that falls behind is given more, as always.
    #[must_use]
    pub fn beginning_after(self, wait_ms: u64) -> Self {
        let wait_ms = wait_ms.clamp(WAIT_STEP_MS, LONGEST_WAIT_MS);
        Self { wait_ms, least_ms: wait_ms, ..self }
    }

    /// Milliseconds of audio that are waited for before it is heard, as they are now.
    #[must_use]
    pub fn waits_for_ms(&self) -> u64 {
        self.wait_ms
    }

    /// Milliseconds of audio that wait here.
    #[must_use]
    pub fn queued_ms(&self) -> u64 {
        self.queued_us / 1000
    }

    /// From now on what is queued is not heard, or is again. Marks and figures are as if it were. What the engine has
    /// already, at most 120 ms, is heard.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Is anything left to be heard, or a mark to be told?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.items.is_empty() && self.sent.is_empty() && !self.flows
    }

    /// Queues audio. False when some of it found no room: the newest is left out.
    pub fn push(&mut self, rate: u32, samples: Vec<i16>, now_ms: u64) -> bool {
        self.push_frame(rate, samples, None, now_ms)
    }

    /// The same with the frame of Opus the samples were made of, which may be sent as it is.
    pub fn push_frame(
        &mut self,
        rate: u32,
        mut samples: Vec<i16>,
        frame: Option<Vec<u8>>,
        now_ms: u64,
    ) -> bool {
        if samples.is_empty() || !(1000..=400_000).contains(&rate) {
            return true;
        }
        let joins = matches!(self.items.back(), Some(Item::Audio { rate: last, samples: before, .. })
            if *last == rate && before.len() < JOINED);
        if !joins && self.items.len() >= MOST_ITEMS {
            return false;
        }
        let room = self.most_us.saturating_sub(self.queued_us) * u64::from(rate) / 1_000_000;
        let fits = samples.len() as u64 <= room;
        samples.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let frame = frame.filter(|_| fits);
        if !self.flows && self.waits_since.is_none() {
            if self.dry_since.is_some_and(|at| now_ms.saturating_sub(at) < LATE_MS) {
                self.was_late();
            }
            self.waits_since = Some(now_ms);
        }
        self.queued_us += us(samples.len(), rate);
        match self.items.back_mut() {
            // Small pieces are joined: a queue of single samples would cost many times their size.
            Some(Item::Audio { rate: last, samples: before, frames, .. })
                if *last == rate && before.len() < JOINED =>
            {
                frames.extend(frame.map(|frame| (before.len(), frame.into())));
                before.append(&mut samples);
            }
            _ => {
                let frames = frame.into_iter().map(|frame| (0, frame.into())).collect();
                self.items.push_back(Item::Audio { rate, samples, at: 0, frames });
            }
        }
        fits
    }

    fn was_late(&mut self) {
        self.wait_ms = (self.wait_ms + WAIT_STEP_MS).min(LONGEST_WAIT_MS);
        self.steady_ms = 0;
    }

    /// Queues a mark; false when too many wait.
    pub fn mark(&mut self, name: String) -> bool {
        if self.marks >= self.most_marks {
            return false;
        }
        self.marks += 1;
        self.items.push_back(Item::Mark(name));
        true
    }

    /// Forgets all marks.
    pub fn forget_marks(&mut self) {
        self.items.retain(|item| matches!(item, Item::Audio { .. }));
        self.sent.clear();
        self.marks = 0;
    }

    /// Throws away audio and marks.
    pub fn clear(&mut self, sink: &mut dyn Sink, news: &mut Vec<News>) {
        let sent = std::mem::take(&mut self.sent);
        let items = std::mem::take(&mut self.items);
        let waiting = items.into_iter().filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio { .. } => None,
        });
        let all: Vec<_> = sent.into_iter().map(|(_, name)| name).chain(waiting).collect();
        news.extend(all.into_iter().map(News::Cleared));
        self.marks = 0;
        self.cut(sink, news);
    }

    /// Throws away audio; marks are heard then.
    pub fn drop_audio(&mut self, sink: &mut dyn Sink, news: &mut Vec<News>) {
        self.items.retain(|item| matches!(item, Item::Mark(_)));
        self.cut(sink, news);
    }

    fn cut(&mut self, sink: &mut dyn Sink, news: &mut Vec<News>) {
        let rate = sink.rate();
        let waiting = sink.waiting();
        let lost_us = self.queued_us + us(waiting, rate);
        // What the engine fades out is heard.
        let faded = waiting.min(rate as usize / 100);
        if lost_us > 0 {
            let heard = sink.heard().saturating_sub(self.heard_before) + faded as u64;
            let heard_ms = heard * 1000 / u64::from(rate.max(1));
            news.push(News::Cut(heard_ms, (lost_us - us(faded, rate)) / 1000));
            self.heard_before = sink.heard() + faded as u64;
        }
        sink.cut();
        self.queued_us = 0;
        self.converter = None;
        self.converted = (0, 0);
        (self.flows, self.waits_since, self.dry_since) = (false, None, None);
        self.empty_since = None;
    }

    /// The engine's end is another one: what waited in the old one is lost.
    pub fn renew(&mut self, sink: &dyn Sink) {
        for (at, _) in &mut self.sent {
            *at = 0;
        }
        self.converter = None;
        self.converted = (0, 0);
        self.heard_before = sink.heard();
        self.dry = sink.dry();
    }

    /// Lets time pass: feeds the engine, and tells what was heard. To be called every 10 ms or so.
    pub fn tick(&mut self, sink: &mut dyn Sink, now_ms: u64, news: &mut Vec<News>) {
        self.tell_heard(sink, news);
        self.look_at_engine(sink, now_ms, news);
        self.begin(now_ms);
        if self.flows || self.queued_us == 0 {
            self.feed(sink);
            self.tell_heard(sink, news);
        }
        self.tell_level(news);
        let empty = self.items.is_empty() && self.pending() == 0 && sink.waiting() == 0;
        if !self.flows || !empty {
            self.empty_since = None;
        } else if now_ms.saturating_sub(*self.empty_since.get_or_insert(now_ms)) >= SILENT_MS {
            self.ends(sink, now_ms, news);
        }
    }

    /// What the phone's clock has come to: a frame that could not be filled is the end of what was said, or a program
    /// that is late. That the queue is empty is neither: the next packet may come before the next frame is due.
    fn look_at_engine(&mut self, sink: &dyn Sink, now_ms: u64, news: &mut Vec<News>) {
        let dry = std::mem::replace(&mut self.dry, sink.dry());
        if dry == self.dry || !self.flows || sink.waiting() > 0 || self.pending() > 0 {
            return;
        }
        if self.items.is_empty() {
            return self.ends(sink, now_ms, news);
        }
        // It has come meanwhile.
        self.was_late();
        (self.flows, self.waits_since) = (false, Some(now_ms));
    }

    /// All was heard.
    fn ends(&mut self, sink: &dyn Sink, now_ms: u64, news: &mut Vec<News>) {
        (self.flows, self.empty_since, self.dry_since) = (false, None, Some(now_ms));
        let heard = sink.heard().saturating_sub(self.heard_before);
        self.heard_before = sink.heard();
        let heard_ms = heard * 1000 / u64::from(sink.rate().max(1));
        self.steady_ms += heard_ms;
        if self.steady_ms >= STEADY_MS {
            self.steady_ms = 0;
            self.wait_ms = self.wait_ms.saturating_sub(WAIT_STEP_MS).max(self.least_ms);
        }
        news.push(News::Drained(heard_ms));
    }

    fn begin(&mut self, now_ms: u64) {
        let Some(since) = self.waits_since else { return };
        let waited = now_ms.saturating_sub(since);
        if self.queued_us >= self.wait_ms * 1000 || waited >= self.wait_ms {
            (self.flows, self.waits_since) = (true, None);
        }
    }

    fn tell_heard(&mut self, sink: &dyn Sink, news: &mut Vec<News>) {
        while self.sent.front().is_some_and(|(at, _)| *at <= sink.passed()) {
            if let Some((_, name)) = self.sent.pop_front() {
                self.marks = self.marks.saturating_sub(1);
                news.push(News::Heard(name));
            }
        }
    }

    fn tell_level(&mut self, news: &mut Vec<News>) {
        let (high, low) = (self.most_us / 100 * FULL.0, self.most_us / 100 * FULL.1);
        if !self.full && self.queued_us > high {
            self.full = true;
            news.push(News::Full(true));
        } else if self.full && self.queued_us < low {
            self.full = false;
            news.push(News::Full(false));
        }
    }

    fn feed(&mut self, sink: &mut dyn Sink) {
        let rate = sink.rate();
        let ahead = (u64::from(rate) * AHEAD_MS / 1000) as usize;
        while let Some(item) = self.items.front_mut() {
            let room = ahead.saturating_sub(sink.waiting());
            let Item::Audio { rate: from, samples, at, frames } = item else {
                if let Some(Item::Mark(name)) = self.items.pop_front() {
                    let at = sink.pushed() + self.pending();
                    self.sent.push_back((at, name));
                }
                continue;
            };
            if room == 0 {
                return;
            }
            let from = *from;
            if self.converter.as_ref().is_some_and(|c| c.from_rate() != from || c.to_rate() != rate)
            {
                self.flush(sink);
                continue;
            }
            let wanted = (room as u64 * u64::from(from) / u64::from(rate)).max(1) as usize;
            let n = wanted.min(samples.len() - *at);
            let piece = &samples[*at..*at + n];
            while frames.front().is_some_and(|(begin, _)| *begin < *at + n) {
                if let Some((begin, frame)) = frames.pop_front()
                    && from == rate
                    && begin >= *at
                    && !self.muted
                {
                    sink.original(sink.pushed() + (begin - *at) as u64, &frame);
                }
            }
            *at += n;
            self.scratch.clear();
            if from == rate {
                self.scratch.extend_from_slice(piece);
            } else {
                convert(&mut self.converter, (from, rate), piece, &mut self.scratch);
                self.converted.0 += n as u64;
                self.converted.1 += self.scratch.len() as u64;
            }
            if self.muted {
                self.scratch.fill(0);
            }
            let done = *at >= samples.len();
            self.queued_us = self.queued_us.saturating_sub(us(n, from));
            sink.push(&self.scratch);
            if done {
                self.items.pop_front();
            }
        }
        self.queued_us = 0;
        // The last samples lie in the converter: they are pushed out only when no more come in time.
        if sink.waiting() <= rate as usize / 100 {
            self.flush(sink);
        }
    }

    /// Samples the converter still owes.
    fn pending(&self) -> u64 {
        let Some(converter) = &self.converter else { return 0 };
        let (from, to) = (u64::from(converter.from_rate()), u64::from(converter.to_rate()));
        let due = self.converted.0 * to / from.max(1) + converter.delay() as u64;
        due.saturating_sub(self.converted.1)
    }

    fn flush(&mut self, sink: &mut dyn Sink) {
        let owed = self.pending();
        if let Some(converter) = &mut self.converter {
            let (from, to) = (u64::from(converter.from_rate()), u64::from(converter.to_rate()));
            let zeros = vec![0; (owed * from / to.max(1)) as usize + 160];
            self.scratch.clear();
            let out = &mut self.scratch;
            converter.push(&zeros, |piece| out.extend(piece.iter().map(|s| to_i16(*s))));
            self.scratch.truncate(owed as usize);
            if self.muted {
                self.scratch.fill(0);
            }
            sink.push(&self.scratch);
        }
        self.converter = None;
        self.converted = (0, 0);
    }
}

fn us(samples: usize, rate: u32) -> u64 {
    samples as u64 * 1_000_000 / u64::from(rate.max(1))
}

fn convert(
    converter: &mut Option<Converter>,
    (from, to): (u32, u32),
    piece: &[i16],
    out: &mut Vec<i16>,
) {
    if converter.is_none() {
        *converter = Converter::new(from, to);
    }
    if let Some(converter) = converter {
        converter.push(piece, |piece| out.extend(piece.iter().map(|sample| to_i16(*sample))));
    }
}

#[cfg(test)]
mod tests;
