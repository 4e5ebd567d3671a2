//! Decoded files, kept while there is room: a prompt is read and converted once per rate however
//! many calls play it, and a file too long to keep once for all who play it at the same time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

/// Samples kept in all (64 MB).
const MOST: usize = 32 * 1024 * 1024;
/// Samples of the longest file worth keeping (8 MB, nine minutes at 8 kHz).
const LONGEST: usize = 4 * 1024 * 1024;

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Cache {
    files: HashMap<(PathBuf, u32), CachedFile>,
    /// Files that are not kept, for as long as they are played.
    played: HashMap<(PathBuf, u32), (Stamp, Weak<[i16]>)>,
    samples: usize,
    clock: u64,
}

struct CachedFile {
    stamp: Stamp,
    pcm: Arc<[i16]>,
    used: u64,
}

/// What tells that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) modified: Option<SystemTime>,
    pub(super) len: u64,
}

/// The file at `rate`, if it is kept and unchanged.
pub(super) fn get(path: &Path, rate: u32, stamp: Stamp) -> Option<Arc<[i16]>> {
    lock().get(path, rate, stamp)
}

/// Keeps a file, making room by forgetting those not played for longest.
pub(super) fn put(path: &Path, rate: u32, stamp: Stamp, pcm: &Arc<[i16]>) {
    lock().put(path, rate, stamp, pcm);
}

fn lock() -> MutexGuard<'static, Cache> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    fn get(&mut self, path: &Path, rate: u32, stamp: Stamp) -> Option<Arc<[i16]>> {
        self.clock += 1;
        let key = (path.to_owned(), rate);
        let Some(entry) = self.files.get_mut(&key) else {
            let (played, pcm) = self.played.get(&key)?;
            return pcm.upgrade().filter(|_| *played == stamp);
        };
        entry.used = self.clock;
        (entry.stamp == stamp).then(|| Arc::clone(&entry.pcm))
    }

    fn put(&mut self, path: &Path, rate: u32, stamp: Stamp, pcm: &Arc<[i16]>) {
        if pcm.len() > LONGEST {
            self.played.retain(|_, (_, pcm)| pcm.strong_count() > 0);
            self.played.insert((path.to_owned(), rate), (stamp, Arc::downgrade(pcm)));
            return;
        }
        self.clock += 1;
        let entry = CachedFile { stamp, pcm: Arc::clone(pcm), used: self.clock };
        if let Some(old) = self.files.insert((path.to_owned(), rate), entry) {
            self.samples -= old.pcm.len();
        }
        self.samples += pcm.len();
        while self.samples > MOST {
            let oldest = self.files.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| k.clone());
            let Some(gone) = oldest.and_then(|k| self.files.remove(&k)) else { break };
            self.samples -= gone.pcm.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { modified: None, len: 1 };

    #[test]
    fn a_changed_file_is_not_taken_from_the_cache() {
        let mut cache = Cache::default();
        let pcm: Arc<[i16]> = vec![1; 10].into();
        cache.put(Path::new("a"), 8000, STAMP, &pcm);
        assert!(cache.get(Path::new("a"), 8000, STAMP).is_some());
        assert!(cache.get(Path::new("a"), 16_000, STAMP).is_none());
        assert!(cache.get(Path::new("a"), 8000, Stamp { len: 2, ..STAMP }).is_none());
    }

    #[test]
    fn a_file_too_long_to_keep_is_shared_while_it_is_played() {
        let mut cache = Cache::default();
        let pcm: Arc<[i16]> = vec![0; LONGEST + 1].into();
        cache.put(Path::new("long"), 8000, STAMP, &pcm);
        assert_eq!(cache.samples, 0);
        assert!(cache.get(Path::new("long"), 8000, STAMP).is_some_and(|c| Arc::ptr_eq(&c, &pcm)));
        assert!(cache.get(Path::new("long"), 8000, Stamp { len: 2, ..STAMP }).is_none());
        drop(pcm);
        assert!(cache.get(Path::new("long"), 8000, STAMP).is_none());
    }

    #[test]
    fn what_was_not_played_for_longest_makes_room() {
        let mut cache = Cache::default();
        let pcm: Arc<[i16]> = vec![0; LONGEST].into();
        for n in 0..MOST / LONGEST {
            cache.put(Path::new(&n.to_string()), 8000, STAMP, &pcm);
        }
        assert!(cache.get(Path::new("0"), 8000, STAMP).is_some());
        cache.put(Path::new("new"), 8000, STAMP, &pcm);
        assert!(cache.get(Path::new("0"), 8000, STAMP).is_some());
        assert!(cache.get(Path::new("1"), 8000, STAMP).is_none());
        assert!(cache.samples <= MOST);
    }
}
