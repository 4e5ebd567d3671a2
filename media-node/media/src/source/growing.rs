//! Audio that is played while it is still being made: speech whose engine hands it over piece by piece.
//!
//! A maker adds samples, listeners play them; nothing locks, so that the media threads never wait for an engine. A clip
//! has the name of the file that will hold it: one who opens that file meanwhile plays what there is of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI16, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Samples of the first bucket; each one after it holds as many as all before it.
const FIRST: usize = 8192;
const BUCKETS: usize = 14;
/// Most samples of a clip: more than two hours at 8 kHz.
const MOST: usize = FIRST << (BUCKETS - 1);
/// Audio that must be there before a listener hears it, at the beginning and when the maker fell behind.
const AHEAD_MS: usize = 60;
/// How long a file that was promised may take to be opened.
const PROMISE: Duration = Duration::from_secs(60);

/// Clips being made, by the files they become.
static MAKING: LazyLock<Mutex<HashMap<PathBuf, Arc<Clip>>>> = LazyLock::new(Mutex::default);

fn making() -> MutexGuard<'static, HashMap<PathBuf, Arc<Clip>>> {
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Clip {
    rate: u32,
    buckets: [OnceLock<Box<[AtomicI16]>>; BUCKETS],
    /// Samples that may be read.
    len: AtomicUsize,
    over: AtomicBool,
    /// Why it ended before it was whole.
    failure: OnceLock<String>,
    listeners: AtomicUsize,
    /// Files promised and not opened yet, and since when the last was.
    promises: Mutex<(usize, Option<Instant>)>,
}

/// The bucket of a sample, and its place there.
fn place(at: usize) -> (usize, usize) {
    if at < FIRST {
        return (0, at);
    }
    let bucket = (at / FIRST).ilog2() as usize + 1;
    (bucket, at - (FIRST << (bucket - 1)))
}

fn bucket_len(bucket: usize) -> usize {
    FIRST << bucket.saturating_sub(1)
}

impl Clip {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            buckets: Default::default(),
            len: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            failure: OnceLock::new(),
            listeners: AtomicUsize::new(0),
            promises: Mutex::default(),
        }
    }

    /// Copies samples from `at` on; returns how many there were.
    fn read(&self, at: usize, out: &mut [i16]) -> usize {
        let there = self.len.load(Ordering::Acquire).saturating_sub(at).min(out.len());
        let mut done = 0;
        while done < there {
            let (bucket, from) = place(at + done);
            let Some(samples) = self.buckets.get(bucket).and_then(OnceLock::get) else { break };
            let rest = samples.get(from..).unwrap_or_default();
            let n = rest.len().min(there - done);
            for (to, sample) in out[done..done + n].iter_mut().zip(rest) {
                *to = sample.load(Ordering::Relaxed);
            }
            done += n;
        }
        done
    }

    /// Adds samples; false when some found no room.
    fn push(&self, samples: &[i16]) -> bool {
        let mut at = self.len.load(Ordering::Relaxed);
        let fits = samples.len() <= MOST - at;
        let mut left = &samples[..samples.len().min(MOST - at)];
        while !left.is_empty() {
            let (bucket, from) = place(at);
            let Some(cell) = self.buckets.get(bucket) else { break };
            let room =
                cell.get_or_init(|| (0..bucket_len(bucket)).map(|_| AtomicI16::new(0)).collect());
            let n = left.len().min(room.len() - from);
            let (now, rest) = left.split_at(n);
            for (to, sample) in room[from..].iter().zip(now) {
                to.store(*sample, Ordering::Relaxed);
            }
            at += n;
            left = rest;
        }
        self.len.store(at, Ordering::Release);
        fits
    }

    fn promises(&self) -> MutexGuard<'_, (usize, Option<Instant>)> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears a clip, or waits for it to be heard. While there is one, the clip is wanted.
#[derive(Debug)]
pub struct Listener {
    clip: Arc<Clip>,
    /// What is there is not enough to begin with.
    waits: bool,
}

impl Listener {
    fn new(clip: Arc<Clip>) -> Self {
        clip.listeners.fetch_add(1, Ordering::AcqRel);
        Self { clip, waits: true }
    }

    /// Samples per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.clip.rate
    }

    /// Whether there is enough of it to be heard, or nothing more will come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.is_over() || self.clip.len.load(Ordering::Acquire) >= self.ahead()
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.clip.over.load(Ordering::Acquire)
    }

    /// Why it ended before it was whole.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.clip.failure.get().map(String::as_str)
    }

    /// Its file will be opened soon, and the clip is wanted until then.
    pub fn promise(self) {
        let mut promises = self.clip.promises();
        *promises = (promises.0 + 1, Some(Instant::now()));
    }

    fn ahead(&self) -> usize {
        self.clip.rate as usize * AHEAD_MS / 1000
    }

    /// Length in samples, once it is known.
    pub(super) fn len(&self) -> Option<u64> {
        self.is_over().then(|| self.clip.len.load(Ordering::Acquire) as u64)
    }

    /// Fills `out` from sample `at` on; returns how much of it was written, and how much of that is of the clip: the
    /// rest is silence, until more of it comes.
    pub(super) fn fill(&mut self, at: u64, out: &mut [i16]) -> (usize, usize) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        // Asked first: what was added before the end is then seen.
        let over = self.is_over();
        let there = self.clip.len.load(Ordering::Acquire).saturating_sub(at);
        if !over && self.waits && there < self.ahead() {
            out.fill(0);
            return (out.len(), 0);
        }
        let n = self.clip.read(at, out);
        if over {
            return (n, n);
        }
        self.waits = n < out.len();
        out[n..].fill(0);
        (out.len(), n)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.clip.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Adds to a clip. Dropped, it ends the clip where it is.
#[derive(Debug)]
pub struct Maker {
    clip: Arc<Clip>,
    path: PathBuf,
}

impl Maker {
    /// Adds samples; false when some found no room (a clip has room for more than two hours at 8 kHz).
    pub fn push(&self, samples: &[i16]) -> bool {
        self.clip.push(samples)
    }

    /// Whether there is any audio yet.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.clip.len.load(Ordering::Acquire) > 0
    }

    /// Whether anyone listens, or will.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        if self.clip.listeners.load(Ordering::Acquire) > 0 {
            return true;
        }
        let promises = self.clip.promises();
        promises.0 > 0 && promises.1.is_some_and(|since| since.elapsed() < PROMISE)
    }

    /// The clip is whole, and its file is there.
    pub fn finish(self) {}

    /// The clip ends here, and why.
    pub fn fail(self, why: &str) {
        let _the_first = self.clip.failure.set(why.to_owned());
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // Over before it is forgotten: one who finds no clip under this name finds its file, if there is one.
        self.clip.over.store(true, Ordering::Release);
        making().remove(&self.path);
    }
}

/// Listens to the clip that becomes the file `path`. The first to come makes it, at `rate`.
#[must_use]
pub fn join(path: &Path, rate: u32) -> (Listener, Option<Maker>) {
    let mut making = making();
    if let Some(clip) = making.get(path) {
        return (Listener::new(Arc::clone(clip)), None);
    }
    let clip = Arc::new(Clip::new(rate));
    making.insert(path.to_owned(), Arc::clone(&clip));
    let maker = Maker { clip: Arc::clone(&clip), path: path.to_owned() };
    (Listener::new(clip), Some(maker))
}

/// The clip that becomes the file `path`, for a leg at `rate`. One of another rate is waited for until its file is whole.
/// Blocks then: not for media threads.
pub(super) fn open(path: &Path, rate: u32) -> Option<Listener> {
    let clip = Arc::clone(making().get(path)?);
    let listener = Listener::new(clip);
    {
        let mut promises = listener.clip.promises();
        promises.0 = promises.0.saturating_sub(1);
    }
    if listener.rate() == rate {
        return Some(listener);
    }
    let until = Instant::now() + PROMISE;
    while !listener.is_over() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{SourceOptions, open as open_plan};
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("growing-{name}-{}.wav", std::process::id()))
    }

    #[test]
    fn every_sample_has_its_place() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(FIRST - 1), (0, FIRST - 1));
        let mut at = FIRST;
        for bucket in 1..BUCKETS {
            assert_eq!(place(at), (bucket, 0));
            at += bucket_len(bucket);
            assert_eq!(place(at - 1), (bucket, bucket_len(bucket) - 1));
        }
        assert_eq!(at, MOST);
        let (listener, maker) = join(&path("places"), 8000);
        let maker = maker.unwrap();
        let samples: Vec<i16> = (0..50_000).map(|n| (n % 30_011) as i16).collect();
        samples.chunks(777).for_each(|piece| assert!(maker.push(piece)));
        let mut out = vec![0; 60_000];
        assert_eq!(listener.clip.read(0, &mut out), 50_000);
        assert_eq!(out[..50_000], samples);
        assert_eq!(listener.clip.read(49_999, &mut out), 1);
        assert_eq!(listener.clip.read(70_000, &mut out), 0);
    }

    #[test]
    fn what_is_made_is_heard_as_it_comes_and_gaps_are_silence() {
        let name = path("heard");
        let (waiting, maker) = join(&name, 8000);
        let maker = maker.unwrap();
        let mut plan = open_plan(&name.to_string_lossy(), &SourceOptions::new(8000, "/")).unwrap();
        let mut frame = [1; 160];
        maker.push(&[7; 160]);
        assert_eq!((plan.fill(&mut frame), frame), (160, [0; 160]), "too little to begin with");
        assert!(!waiting.has_begun());
        maker.push(&[7; 330]);
        assert!(waiting.has_begun());
        for _ in 0..3 {
            assert_eq!((plan.fill(&mut frame), frame), (160, [7; 160]));
        }
        // Ten are left, and then nothing for a while: nothing is lost of what comes after.
        assert_eq!((plan.fill(&mut frame), frame[9], frame[10]), (160, 7, 0));
        maker.push(&[9; 100]);
        assert_eq!((plan.fill(&mut frame), frame), (160, [0; 160]));
        assert_eq!((plan.position(), plan.is_finished()), (490, false));
        assert!(maker.is_wanted());
        maker.finish();
        assert_eq!((plan.fill(&mut frame), frame[0], plan.is_finished()), (100, 9, true));
        assert_eq!((plan.len_samples(), waiting.failure()), (Some(590), None));
    }

    #[test]
    fn a_clip_that_failed_ends_and_says_why() {
        let name = path("failed");
        let (listener, maker) = join(&name, 8000);
        let (second, none) = join(&name, 8000);
        assert!(none.is_none() && !second.is_over());
        maker.unwrap().fail("no more");
        assert_eq!((listener.has_begun(), second.failure()), (true, Some("no more")));
        assert!(open(&name, 8000).is_none(), "its name is free");
    }

    #[test]
    fn a_clip_is_wanted_as_long_as_anyone_listens_or_will() {
        let name = path("wanted");
        let (first, maker) = join(&name, 8000);
        let maker = maker.unwrap();
        assert!(maker.is_wanted());
        first.promise();
        assert!(maker.is_wanted(), "its file will be opened");
        let heard = open(&name, 8000).unwrap();
        assert!(maker.is_wanted());
        drop(heard);
        assert!(!maker.is_wanted());
    }
}
