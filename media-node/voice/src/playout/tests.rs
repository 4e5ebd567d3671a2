use super::*;

/// A phone at 8 kHz that takes a frame every 20 ms.
#[derive(Default)]
struct Phone {
    ring: VecDeque<i16>,
    pushed: u64,
    passed: u64,
    heard: Vec<i16>,
    cut: usize,
    originals: Vec<(u64, Vec<u8>)>,
    flowing: bool,
    dry: u64,
}

impl Sink for Phone {
    fn rate(&self) -> u32 {
        8000
    }
    fn waiting(&self) -> usize {
        self.ring.len()
    }
    fn original(&mut self, at: u64, frame: &[u8]) {
        assert!(at >= self.pushed, "told before the samples");
        self.originals.push((at, frame.to_vec()));
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
    fn dry(&self) -> u64 {
        self.dry
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
        self.dry += u64::from(self.flowing && n < 160 - fade && fade == 0);
        self.flowing = n == 160 - fade;
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
fn one_packet_is_enough_unless_more_is_asked_for() {
    let run = |queue| {
        let mut bench = Bench { queue, ..Bench::new(60_000) };
        bench.say(8000, vec![700; 160]);
        bench.run(10);
        bench.phone.pushed()
    };
    let queue = || Queue::new(60_000, 8);
    assert_eq!((run(queue()), run(queue().beginning_after(40))), (160, 0));
}

/// A program that sends a packet every 20 ms, `late` milliseconds after it is due, for a minute. Gives the longest
/// time from a packet to the phone's frame that carries it, how often the phone ran dry, and the most that was waited for.
fn paced(late: impl Fn(u64) -> u64) -> (u64, u64, u64) {
    let mut bench = Bench::new(60_000);
    let (mut sent, mut worst) = (Vec::new(), 0);
    let mut due: VecDeque<(u64, u64)> = (0..3000).map(|n| (n * 20 + 5 + late(n), n)).collect();
    let (mut heard, mut waits) = (0, 0);
    for now in 0..62_000 {
        bench.now = now;
        waits = waits.max(bench.queue.waits_for_ms());
        let mut news = Vec::new();
        while due.front().is_some_and(|(at, _)| *at <= now) {
            let (_, n) = due.pop_front().unwrap();
            sent.push(now);
            bench.queue.push(8000, vec![n as i16 + 1; 160], now);
            bench.queue.tick(&mut bench.phone, now, &mut news);
        }
        if now % 10 == 7 {
            bench.queue.tick(&mut bench.phone, now, &mut news);
        }
        if now % 20 == 0 {
            bench.phone.take();
            while heard < bench.phone.heard.len() / 160 {
                worst = worst.max(now - sent[heard]);
                heard += 1;
            }
        }
    }
    let whole: Vec<i16> = (0..3000).flat_map(|n| [n + 1; 160]).collect();
    assert!(bench.phone.heard == whole, "nothing is lost or made up");
    (worst, bench.phone.dry, waits)
}

#[test]
fn a_program_that_keeps_the_clock_is_heard_within_a_packet_and_ten_milliseconds() {
    let (worst, dry, waits) = paced(|_| 0);
    assert!(worst <= 30, "{worst} ms");
    assert_eq!((dry, waits), (1, 20), "it ends once, and was never late");
    // Some are late, but none by so much that its frame is missed.
    let (worst, dry, waits) = paced(|n| n % 7 * 2);
    assert!(worst <= 30, "{worst} ms");
    assert_eq!((dry, waits), (1, 20));
}

#[test]
fn a_program_that_is_late_is_given_just_as_much_as_it_needs() {
    let (worst, dry, waits) = paced(|n| if n % 50 == 49 { 45 } else { 0 });
    assert!((2..=4).contains(&dry), "{dry} gaps: each taught something");
    assert!((40..=80).contains(&waits) && worst <= 130, "waits for {waits} ms, worst {worst} ms");
}

#[test]
fn what_was_learnt_is_forgotten_when_nothing_was_late_for_long() {
    let mut bench = Bench::new(60_000);
    for _ in 0..4 {
        bench.say(8000, vec![1; 800]);
        bench.run(200);
    }
    let learnt = bench.queue.waits_for_ms();
    assert!(learnt > 20, "{learnt}");
    for _ in 0..10 {
        bench.say(8000, vec![1; 80_000]);
        bench.run(15_000);
    }
    assert!(bench.queue.waits_for_ms() < learnt);
}

#[test]
fn frames_go_beside_their_samples_as_long_as_these_are_not_converted() {
    let mut bench = Bench::new(60_000);
    for n in 0..20_u8 {
        bench.queue.push_frame(8000, vec![i16::from(n); 160], Some(vec![n]), 0);
    }
    bench.run(1000);
    let all: Vec<_> = (0..20).map(|n| (u64::from(n) * 160, vec![n])).collect();
    assert_eq!(bench.phone.originals, all);
    let mut bench = Bench::new(60_000);
    bench.queue.push_frame(16_000, vec![7; 320], Some(vec![1]), 0);
    bench.run(100);
    assert!(bench.phone.originals.is_empty());
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

#[test]
fn single_samples_of_rates_in_turn_are_not_kept_without_end() {
    let mut queue = Queue::new(60_000, 10);
    let refused = (0..100_000).filter(|n| !queue.push(390_000 + n % 2, vec![1], 0)).count();
    assert!(refused > 10_000 && queue.items.len() == MOST_ITEMS, "{refused} refused");
    let mut phone = Phone::default();
    queue.clear(&mut phone, &mut Vec::new());
    assert!(queue.push(8000, vec![1; 160], 0), "there is room again");
}

#[test]
fn what_is_muted_takes_its_time_and_is_not_heard() {
    let mut bench = Bench::new(60_000);
    bench.say(8000, vec![900; 8000]);
    bench.queue.mark("end".into());
    bench.run(300);
    bench.queue.mute(true);
    bench.run(400);
    bench.queue.mute(false);
    bench.run(600);
    let heard = &bench.phone.heard;
    assert_eq!(heard.len(), 8000, "every sample has its time");
    let first = heard.iter().position(|sample| *sample == 0).expect("silence");
    let silent = heard.iter().filter(|sample| **sample == 0).count();
    assert!(first <= 8 * (300 + 140), "at most what the engine had is heard: {first}");
    assert!((8 * 380..=8 * 420).contains(&silent), "{silent}");
    assert_eq!(heard.last(), Some(&900));
    assert!(bench.news.iter().any(|(_, news)| *news == News::Heard("end".into())));
}
