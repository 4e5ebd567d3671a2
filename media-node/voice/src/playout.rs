//! The one playout behind all dialects: audio of any rate in pieces of any size, marks between them, paced out into the
//! media engine a little ahead of the phone's clock.
//!
//! Marks lie beside the audio, by position: no sample stands for one. One is heard when the engine has sent every sample
//! before it.

use std::collections::VecDeque;

use media::resample::{Converter, to_i16};

/// The engine is kept this far ahead.
const AHEAD_MS: u64 = 120;
/// Audio waits until there is this much of it, or for as long; longer for programs that fall behind the clock.
const FIRST_WAIT_MS: u64 = 40;
const LONGEST_WAIT_MS: u64 = 160;
const WAIT_STEP_MS: u64 = 20;
/// A queue that runs dry and is filled again within this time was late, not over.
const LATE_MS: u64 = 300;
/// Shares of the bound at which a program is told to wait and to go on.
const FULL: (u64, u64) = (75, 50);

/// Where audio goes: the ring into the media engine.
pub trait Sink {
    /// Samples per second.
    fn rate(&self) -> u32;
    /// Samples that wait in it.
    fn waiting(&self) -> usize;
    /// Adds samples; returns how many found room.
    fn push(&mut self, samples: &[i16]) -> usize;
    /// Samples pushed so far.
    fn pushed(&self) -> u64;
    /// Samples that have left it, heard or not.
    fn passed(&self) -> u64;
    /// Samples heard.
    fn heard(&self) -> u64;
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
    Audio { rate: u32, samples: Vec<i16>, at: usize },
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
    wait_ms: u64,
    dry_since: Option<u64>,
    full: bool,
    /// The engine's count when the talking began, and how much of the talking was thrown away unheard.
    heard_before: u64,
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
            dry_since: None,
            full: false,
            heard_before: 0,
            scratch: Vec::new(),
        }
    }

    /// Milliseconds of audio that wait here.
    #[must_use]
    pub fn queued_ms(&self) -> u64 {
        self.queued_us / 1000
    }

    /// Is anything left to be heard, or a mark to be told?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.items.is_empty() && self.sent.is_empty() && !self.flows
    }

    /// Queues audio. False when some of it found no room: the newest is left out.
    pub fn push(&mut self, rate: u32, mut samples: Vec<i16>, now_ms: u64) -> bool {
        if samples.is_empty() || !(1000..=400_000).contains(&rate) {
            return true;
        }
        let room = self.most_us.saturating_sub(self.queued_us) * u64::from(rate) / 1_000_000;
        let fits = samples.len() as u64 <= room;
        samples.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        if !self.flows && self.waits_since.is_none() {
            if self.dry_since.is_some_and(|at| now_ms.saturating_sub(at) < LATE_MS) {
                self.wait_ms = (self.wait_ms + WAIT_STEP_MS).min(LONGEST_WAIT_MS);
            }
            self.waits_since = Some(now_ms);
        }
        self.queued_us += us(samples.len(), rate);
        match self.items.back_mut() {
            // Small pieces are joined: a queue of single samples would cost many times their size.
            Some(Item::Audio { rate: last, samples: before, .. })
                if *last == rate && before.len() < 4096 =>
            {
                before.append(&mut samples);
            }
            _ => self.items.push_back(Item::Audio { rate, samples, at: 0 }),
        }
        fits
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
    }

    /// The engine's end is another one: what waited in the old one is lost.
    pub fn renew(&mut self, sink: &dyn Sink) {
        for (at, _) in &mut self.sent {
            *at = 0;
        }
        self.converter = None;
        self.converted = (0, 0);
        self.heard_before = sink.heard();
    }

    /// Lets time pass: feeds the engine, and tells what was heard. To be called every 10 ms or so.
    pub fn tick(&mut self, sink: &mut dyn Sink, now_ms: u64, news: &mut Vec<News>) {
        self.tell_heard(sink, news);
        self.begin(now_ms);
        if self.flows || self.queued_us == 0 {
            self.feed(sink);
            self.tell_heard(sink, news);
        }
        self.tell_level(news);
        if self.flows && self.items.is_empty() && self.pending() == 0 && sink.waiting() == 0 {
            self.flows = false;
            self.dry_since = Some(now_ms);
            let heard = sink.heard().saturating_sub(self.heard_before);
            self.heard_before = sink.heard();
            news.push(News::Drained(heard * 1000 / u64::from(sink.rate().max(1))));
        }
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
            let Item::Audio { rate: from, samples, at } = item else {
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
            *at += n;
            self.scratch.clear();
            if from == rate {
                self.scratch.extend_from_slice(piece);
            } else {
                convert(&mut self.converter, (from, rate), piece, &mut self.scratch);
                self.converted.0 += n as u64;
                self.converted.1 += self.scratch.len() as u64;
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
mod tests {
    use super::*;

    /// A phone at 8 kHz that takes a frame every 20 ms.
    #[derive(Default)]
    struct Phone {
        ring: VecDeque<i16>,
        pushed: u64,
        passed: u64,
        heard: Vec<i16>,
        cut: usize,
    }

    impl Sink for Phone {
        fn rate(&self) -> u32 {
            8000
        }
        fn waiting(&self) -> usize {
            self.ring.len()
        }
        fn push(&mut self, samples: &[i16]) -> usize {
            assert!(self.ring.len() + samples.len() <= 2000, "the engine's ring is not overrun");
            self.ring.extend(samples);
            self.pushed += samples.len() as u64;
            samples.len()
        }
        fn pushed(&self) -> u64 {
            self.pushed
        }
        fn passed(&self) -> u64 {
            self.passed
        }
        fn heard(&self) -> u64 {
            self.heard.len() as u64
        }
        fn cut(&mut self) {
            self.cut = self.ring.len();
        }
    }

    impl Phone {
        fn take(&mut self) {
            let fade = self.cut.min(80);
            self.heard.extend(self.ring.drain(..fade));
            self.ring.drain(..self.cut - fade);
            self.passed += self.cut as u64;
            self.cut = 0;
            let n = self.ring.len().min(160 - fade);
            self.heard.extend(self.ring.drain(..n));
            self.passed += n as u64;
        }
    }

    struct Bench {
        queue: Queue,
        phone: Phone,
        now: u64,
        news: Vec<(u64, News)>,
    }

    impl Bench {
        fn new(most_ms: u64) -> Self {
            let queue = Queue::new(most_ms, 30);
            Self { queue, phone: Phone::default(), now: 0, news: Vec::new() }
        }

        fn run(&mut self, ms: u64) {
            for _ in 0..ms / 10 {
                self.now += 10;
                let mut news = Vec::new();
                self.queue.tick(&mut self.phone, self.now, &mut news);
                self.news.extend(news.into_iter().map(|n| (self.now, n)));
                if self.now.is_multiple_of(20) {
                    self.phone.take();
                }
            }
        }

        fn say(&mut self, rate: u32, samples: Vec<i16>) -> bool {
            self.queue.push(rate, samples, self.now)
        }
    }

    #[test]
    fn ten_seconds_in_one_burst_are_heard_whole_and_marks_when_they_are_due() {
        let mut bench = Bench::new(60_000);
        let words: Vec<i16> = (0..80_000).map(|n| (n % 20_000) as i16).collect();
        bench.say(8000, words[..40_000].to_vec());
        bench.queue.mark("half".into());
        bench.say(8000, words[40_000..].to_vec());
        bench.queue.mark("end".into());
        bench.run(11_000);
        assert!(bench.phone.heard == words);
        let told: Vec<_> = bench.news.iter().map(|(at, news)| (*at, news.clone())).collect();
        let [(half, News::Heard(a)), (end, News::Heard(b)), (_, News::Drained(heard))] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!((a.as_str(), b.as_str(), *heard), ("half", "end", 10_000));
        assert!((5000..5060).contains(half) && (10_000..10_060).contains(end), "{half} {end}");
    }

    #[test]
    fn another_rate_keeps_its_length_and_pitch() {
        for rate in [16_000, 24_000, 48_000] {
            let mut bench = Bench::new(60_000);
            let step = 440.0 * std::f64::consts::TAU / f64::from(rate);
            let tone: Vec<i16> =
                (0..rate).map(|n| ((f64::from(n) * step).sin() * 9000.0) as i16).collect();
            for piece in tone.chunks(777) {
                bench.say(rate, piece.to_vec());
            }
            bench.queue.mark("end".into());
            bench.run(1500);
            let heard = &bench.phone.heard;
            assert!((8000..8100).contains(&heard.len()), "{rate}: {}", heard.len());
            let crossings = heard.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
            assert!((876..=886).contains(&crossings), "{rate}: {crossings}");
            assert!(bench.news.iter().any(|(_, news)| *news == News::Heard("end".into())));
        }
    }

    #[test]
    fn a_program_slower_than_the_clock_is_given_more_room_each_time() {
        let mut bench = Bench::new(60_000);
        let mut sent = 0;
        for n in 0..200_u64 {
            // Every tenth piece is 80 ms late.
            bench.run(if n % 10 == 9 { 100 } else { 10 });
            bench.say(8000, vec![7; 160]);
            sent += 160;
        }
        bench.run(5000);
        assert_eq!(bench.phone.heard, vec![7; sent], "nothing is lost or made up");
        let dry = bench.news.iter().filter(|(_, n)| matches!(n, News::Drained(_))).count();
        assert!(dry <= 4, "{dry}");
    }

    #[test]
    fn a_clear_says_how_much_was_heard_and_gives_marks_back() {
        let mut bench = Bench::new(60_000);
        bench.say(8000, vec![9; 16_000]);
        bench.queue.mark("one".into());
        bench.queue.mark("two".into());
        bench.run(500);
        let mut news = Vec::new();
        bench.queue.clear(&mut bench.phone, &mut news);
        let [News::Cleared(a), News::Cleared(b), News::Cut(heard, lost)] = &news[..] else {
            panic!("{news:?}")
        };
        assert_eq!((a.as_str(), b.as_str(), heard + lost), ("one", "two", 2000));
        let before = *heard;
        bench.run(500);
        assert_eq!(bench.phone.heard.len() as u64 / 8, before);
        assert!(bench.queue.is_idle() && bench.news.is_empty(), "{:?}", bench.news);
    }

    #[test]
    fn a_mark_with_nothing_before_it_is_heard_at_once_and_more_than_allowed_are_refused() {
        let mut bench = Bench::new(60_000);
        bench.queue.mark("now".into());
        bench.run(10);
        assert_eq!(bench.news, [(10, News::Heard("now".into()))]);
        bench.say(8000, vec![1; 8000]);
        let taken = (0..31).filter(|n| bench.queue.mark(n.to_string())).count();
        assert_eq!(taken, 30);
        bench.queue.forget_marks();
        assert!(bench.queue.mark("again".into()));
    }

    #[test]
    fn dropped_audio_leaves_its_marks_to_be_heard() {
        let mut bench = Bench::new(60_000);
        bench.say(8000, vec![1; 80_000]);
        bench.queue.mark("end".into());
        bench.run(200);
        let mut news = Vec::new();
        bench.queue.drop_audio(&mut bench.phone, &mut news);
        bench.run(60);
        assert!(bench.news.iter().any(|(_, news)| *news == News::Heard("end".into())));
    }

    #[test]
    fn what_finds_no_room_is_refused_and_the_program_told_to_wait_before() {
        let mut bench = Bench::new(1000);
        assert!(bench.say(8000, vec![1; 7000]));
        bench.run(20);
        assert_eq!(bench.news, [(20, News::Full(true))].map(|(_, n)| (bench.news[0].0, n)));
        assert!(!bench.say(8000, vec![1; 8000]));
        bench.run(2000);
        assert!(bench.news.iter().any(|(_, news)| *news == News::Full(false)));
        assert!(bench.phone.heard.len() <= 8000 + 960, "{}", bench.phone.heard.len());
    }
}
