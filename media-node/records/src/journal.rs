//! An append-only journal in segments.
//!
//! A frame is `length (u32) | CRC-32 of the body (u32) | body`, little endian. One thread writes: what waits is written
//! in one go and, as the policy says, synchronised once for all of it. After `kill -9` everything acknowledged is there,
//! since it was handed to the kernel; after a power cut, everything up to the last synchronisation. A frame that was cut
//! short is removed when the journal is opened again.
//!
//! While the disk refuses (full, read-only), entries are kept in memory, [`WAITING`] at most, and tried again each
//! second; the caller is told that its entry is not on disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

/// Longest body of an entry, bytes.
pub const LONGEST: usize = 4 << 20;
/// Entries kept in memory while the disk refuses.
pub const WAITING: usize = 10_000;
/// Appends that may wait for the writer.
const QUEUE: usize = 4096;
const HEADER: usize = 8;
/// Between two tries while the disk refuses.
const RETRY: Duration = Duration::from_secs(1);

/// A place in the journal: the end of an entry, or the beginning of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (segment, offset) = text.trim().split_once(':').ok_or(())?;
        Ok(Self {
            segment: segment.parse().map_err(|_| ())?,
            offset: offset.parse().map_err(|_| ())?,
        })
    }
}

/// When entries are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Never: the kernel decides. Survives `kill -9`, not a power cut.
    Never,
    /// At most so long after an entry was written.
    Every(Duration),
    /// Before it is acknowledged; entries that wait together share one synchronisation.
    Always,
}

/// How the journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When entries are forced to the disk.
    pub sync: Sync,
    /// A new segment begins after so many bytes.
    pub segment_bytes: u64,
    /// What entries are, for the log.
    pub content: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: Sync::Every(Duration::from_secs(1)),
            segment_bytes: 64 << 20,
            content: "call records",
        }
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refuses. The entry is kept in memory and will be tried again.
    #[error("{path}: {source}")]
    Disk {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The entry is longer than [`LONGEST`].
    #[error("an entry of {0} bytes is longer than {LONGEST}")]
    TooLong(usize),
    /// More entries wait than the writer may hold. This one is lost.
    #[error("the journal's queue is full")]
    Full,
    /// A frame in the middle of the journal cannot be read.
    #[error("{path}: damaged at byte {offset}")]
    Damaged {
        /// Segment.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
}

struct Append {
    body: Vec<u8>,
    done: Option<oneshot::Sender<Result<Position, JournalError>>>,
}

/// Counters, for status and metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries written.
    pub written: AtomicU64,
    /// Entries that wait in memory for the disk.
    pub waiting: AtomicU64,
    /// Entries lost, because more than [`WAITING`] waited.
    pub lost: AtomicU64,
}

/// An open journal.
pub struct Journal {
    dir: PathBuf,
    segment_bytes: u64,
    queue: Mutex<Option<SyncSender<Append>>>,
    end: watch::Receiver<Position>,
    counters: Arc<Counters>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in `dir`, makes the folder if need be, removes a frame that was cut short.
    ///
    /// # Errors
    /// [`JournalError::Disk`] when the folder or its last segment cannot be used.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, JournalError> {
        std::fs::create_dir_all(dir).map_err(disk(dir))?;
        let segment = segments(dir)?.last().copied().unwrap_or(1);
        let file = Segment::open(dir, segment)?;
        let end_at = Position { segment, offset: file.len };
        let (queue, requests) = sync_channel(QUEUE);
        let (told, end) = watch::channel(end_at);
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            dir: dir.to_owned(),
            options,
            file,
            waiting: Vec::new(),
            told,
            counters: Arc::clone(&counters),
            unsynced: None,
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let mut writer = writer;
                // A bug costs the records at hand; those that come are written.
                while base::tasks::guarded("Call records", || writer.run(&requests)).is_none() {}
            })
            .map_err(disk(dir))?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes,
            queue: Mutex::new(Some(queue)),
            end,
            counters,
            writer: Mutex::new(Some(thread)),
        }))
    }

    /// Writes an entry and waits until it is written (and synchronised, if the policy says so). Gives the position after it.
    ///
    /// # Errors
    /// [`JournalError`]; after [`JournalError::Disk`] the entry waits in memory.
    pub async fn append(&self, body: Vec<u8>) -> Result<Position, JournalError> {
        if body.len() > LONGEST {
            return Err(JournalError::TooLong(body.len()));
        }
        let (done, answer) = oneshot::channel();
        let queue = self.queue.lock().clone().ok_or(JournalError::Closed)?;
        match queue.try_send(Append { body, done: Some(done) }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.counters.lost.fetch_add(1, Ordering::Relaxed);
                return Err(JournalError::Full);
            }
            Err(TrySendError::Disconnected(_)) => return Err(JournalError::Closed),
        }
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// The end of what is written; each append updates the watch channel.
    #[must_use]
    pub fn end(&self) -> watch::Receiver<Position> {
        self.end.clone()
    }

    /// Bytes between a position and the end, segments taken as full.
    #[must_use]
    pub fn behind(&self, position: Position) -> u64 {
        let end = *self.end.borrow();
        let segments = end.segment.saturating_sub(position.segment);
        (end.offset + segments * self.segment_bytes).saturating_sub(position.offset)
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The beginning of the oldest segment that is still there.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn beginning(&self) -> Result<Position, JournalError> {
        let segment = segments(&self.dir)?.first().copied().unwrap_or(1);
        Ok(Position { segment, offset: 0 })
    }

    /// Reads at most `count` entries from `from`, with the position after each. Blocking; an empty list at the end.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(
        &self,
        from: Position,
        count: usize,
    ) -> Result<Vec<(Position, Vec<u8>)>, JournalError> {
        let end = *self.end.borrow();
        let mut at = from;
        let mut entries = Vec::new();
        while at < end && entries.len() < count {
            let path = segment_path(&self.dir, at.segment);
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    // Purged, or never begun: the next one there is.
                    let next = segments(&self.dir)?.into_iter().find(|&n| n > at.segment);
                    let Some(segment) = next else { break };
                    at = Position { segment, offset: 0 };
                    continue;
                }
                Err(error) => return Err(disk(&path)(error)),
            };
            let length = file.metadata().map_err(disk(&path))?.len();
            file.seek(SeekFrom::Start(at.offset)).map_err(disk(&path))?;
            let mut file = std::io::BufReader::new(file);
            while entries.len() < count && at < end {
                match frame(&mut file, length - at.offset.min(length)).map_err(disk(&path))? {
                    Frame::Whole(body) => {
                        at.offset += (HEADER + body.len()) as u64;
                        entries.push((at, body));
                    }
                    Frame::End if at.segment < end.segment => {
                        at = Position { segment: at.segment + 1, offset: 0 };
                        break;
                    }
                    Frame::End => return Ok(entries),
                    Frame::Torn | Frame::Damaged => {
                        return Err(JournalError::Damaged { path, offset: at.offset });
                    }
                }
            }
        }
        Ok(entries)
    }

    /// Deletes segments that end before `position`: everybody has what is in them.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn release(&self, position: Position) -> Result<usize, JournalError> {
        let old: Vec<u64> =
            segments(&self.dir)?.into_iter().filter(|&n| n < position.segment).collect();
        for segment in &old {
            let path = segment_path(&self.dir, *segment);
            std::fs::remove_file(&path).map_err(disk(&path))?;
        }
        Ok(old.len())
    }

    /// Where a sink keeps its position.
    #[must_use]
    pub fn cursor_path(&self, sink: &str) -> PathBuf {
        self.dir.join(format!("{sink}.position"))
    }

    /// Writes what waits, synchronises, and ends the writer. Blocking.
    pub fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(writer) = self.writer.lock().take() {
            let _ended = writer.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

enum Frame {
    Whole(Vec<u8>),
    End,
    /// Shorter than it says.
    Torn,
    /// The checksum or the length is wrong.
    Damaged,
}

/// Reads the next frame of a file of which `left` bytes remain.
fn frame(from: &mut impl Read, left: u64) -> std::io::Result<Frame> {
    if left == 0 {
        return Ok(Frame::End);
    }
    let mut header = [0; HEADER];
    if left < HEADER as u64 {
        return Ok(Frame::Torn);
    }
    from.read_exact(&mut header)?;
    let [a, b, c, d, e, f, g, h] = header;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length as usize > LONGEST {
        return Ok(Frame::Damaged);
    }
    if left - (HEADER as u64) < u64::from(length) {
        return Ok(Frame::Torn);
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    let whole = crc32fast::hash(&body) == u32::from_le_bytes([e, f, g, h]);
    Ok(if whole { Frame::Whole(body) } else { Frame::Damaged })
}

struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    len: u64,
}

impl Segment {
    /// Opens a segment for appending; what follows its last whole frame is cut off.
    fn open(dir: &Path, number: u64) -> Result<Self, JournalError> {
        let path = segment_path(dir, number);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(disk(&path))?;
        let length = file.metadata().map_err(disk(&path))?.len();
        let mut good = 0;
        {
            let mut reader = std::io::BufReader::new(&mut file);
            while let Frame::Whole(body) = frame(&mut reader, length - good).map_err(disk(&path))? {
                good += (HEADER + body.len()) as u64;
            }
        }
        if good < length {
            tracing::warn!(
                "{}: {} bytes after the last whole record were cut off",
                path.display(),
                length - good
            );
            // Kept in a file of its own for diagnosis.
            let torn = path.with_extension("torn");
            let mut rest = Vec::new();
            file.seek(SeekFrom::Start(good)).map_err(disk(&path))?;
            file.read_to_end(&mut rest).map_err(disk(&path))?;
            std::fs::write(&torn, rest).map_err(disk(&torn))?;
            file.set_len(good).map_err(disk(&path))?;
        }
        file.seek(SeekFrom::Start(good)).map_err(disk(&path))?;
        Ok(Self { number, path, file, len: good })
    }
}

struct Writer {
    dir: PathBuf,
    options: Options,
    file: Segment,
    /// Bodies the disk refused.
    waiting: Vec<Vec<u8>>,
    told: watch::Sender<Position>,
    counters: Arc<Counters>,
    /// When the first entry was written that has not been synchronised.
    unsynced: Option<Instant>,
}

impl Writer {
    fn run(&mut self, requests: &Receiver<Append>) {
        loop {
            let first = match self.idle() {
                Some(time) => match requests.recv_timeout(time) {
                    Ok(first) => Some(first),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                None => match requests.recv() {
                    Ok(first) => Some(first),
                    Err(_) => break,
                },
            };
            let mut batch: Vec<Append> = first.into_iter().collect();
            batch.extend(requests.try_iter().take(QUEUE));
            self.take(batch);
            self.sync_if_due();
        }
        self.take(Vec::new());
        let _best_effort = self.file.file.sync_data();
    }

    /// How long nothing needs to be done.
    fn idle(&self) -> Option<Duration> {
        if !self.waiting.is_empty() {
            return Some(RETRY);
        }
        match (self.options.sync, self.unsynced) {
            (Sync::Every(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
            _ => None,
        }
    }

    fn take(&mut self, batch: Vec<Append>) {
        let waited = std::mem::take(&mut self.waiting);
        let all: Vec<Append> =
            waited.into_iter().map(|body| Append { body, done: None }).chain(batch).collect();
        if all.is_empty() {
            return;
        }
        match self.write(&all) {
            Ok(ends) => {
                self.counters.written.fetch_add(all.len() as u64, Ordering::Relaxed);
                self.counters.waiting.store(0, Ordering::Relaxed);
                for (append, end) in all.into_iter().zip(ends) {
                    if let Some(done) = append.done {
                        let _gone = done.send(Ok(end));
                    }
                }
            }
            Err(error) => {
                tracing::error!(
                    fs_level = "ALERT",
                    "{} cannot be written: {error}",
                    self.options.content
                );
                let kind = error.kind();
                let mut askers = Vec::new();
                for append in all {
                    askers.extend(append.done);
                    self.waiting.push(append.body);
                }
                let excess = self.waiting.len().saturating_sub(WAITING);
                if excess > 0 {
                    self.waiting.drain(..excess);
                    self.counters.lost.fetch_add(excess as u64, Ordering::Relaxed);
                    tracing::error!(
                        fs_level = "ALERT",
                        "{excess} {} are lost",
                        self.options.content
                    );
                }
                self.counters.waiting.store(self.waiting.len() as u64, Ordering::Relaxed);
                // The counters are right before those who wait hear of it.
                for done in askers {
                    let source = std::io::Error::new(kind, error.to_string());
                    let _gone = done.send(Err(disk(&self.file.path)(source)));
                }
            }
        }
    }

    /// Writes all or nothing.
    fn write(&mut self, all: &[Append]) -> std::io::Result<Vec<Position>> {
        if self.file.len >= self.options.segment_bytes {
            self.file.file.sync_data()?;
            self.file = Segment::open(&self.dir, self.file.number + 1)
                .map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        let before = self.file.len;
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(all.len());
        for append in all {
            let length = u32::try_from(append.body.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&crc32fast::hash(&append.body).to_le_bytes());
            bytes.extend_from_slice(&append.body);
            ends.push(Position { segment: self.file.number, offset: before + bytes.len() as u64 });
        }
        let file = &mut self.file.file;
        let written = file.write_all(&bytes).and_then(|()| match self.options.sync {
            Sync::Always => file.sync_data(),
            _ => Ok(()),
        });
        if let Err(error) = written {
            // A partial write is removed: none of these entries was acknowledged.
            let _best_effort = file.set_len(before);
            let _best_effort = file.seek(SeekFrom::Start(before));
            return Err(error);
        }
        self.file.len = before + bytes.len() as u64;
        if self.options.sync != Sync::Always && self.unsynced.is_none() {
            self.unsynced = Some(Instant::now());
        }
        self.told.send_replace(Position { segment: self.file.number, offset: self.file.len });
        Ok(ends)
    }

    fn sync_if_due(&mut self) {
        let Sync::Every(interval) = self.options.sync else { return };
        if self.unsynced.is_some_and(|since| since.elapsed() >= interval) {
            if let Err(error) = self.file.file.sync_data() {
                tracing::error!("{}: {error}", self.file.path.display());
            }
            self.unsynced = None;
        }
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.journal"))
}

/// Numbers of the segments in a folder, ascending.
fn segments(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(disk(dir))? {
        let name = entry.map_err(disk(dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Disk { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(journal: &Journal, from: Position) -> Vec<String> {
        let read = journal.read(from, usize::MAX).unwrap();
        read.into_iter().map(|(_, body)| String::from_utf8(body).unwrap()).collect()
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_read_again_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        let mut last = Position::default();
        for n in 0..50 {
            let at = journal.append(format!("entry {n}").into_bytes()).await.unwrap();
            assert!(at > last);
            last = at;
        }
        drop(journal);
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        let start = journal.beginning().unwrap();
        let read = entries(&journal, start);
        assert_eq!(read.len(), 50);
        assert_eq!(read[49], "entry 49");
        assert_eq!(*journal.end().borrow(), last);
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_removed_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        journal.append(b"first".to_vec()).await.unwrap();
        let good = journal.append(b"second".to_vec()).await.unwrap();
        journal.append(b"third, which is longer".to_vec()).await.unwrap();
        drop(journal);
        let path = segment_path(dir.path(), 1);
        let whole = std::fs::read(&path).unwrap();
        for cut in usize::try_from(good.offset).unwrap() + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::open(dir.path(), Options::default()).unwrap();
            assert_eq!(entries(&journal, Position { segment: 1, offset: 0 }), ["first", "second"]);
            let after = journal.append(b"again".to_vec()).await.unwrap();
            assert!(after > good);
            assert_eq!(entries(&journal, good), ["again"]);
        }
    }

    #[tokio::test]
    async fn a_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        journal.append(b"first".to_vec()).await.unwrap();
        journal.append(b"second".to_vec()).await.unwrap();
        let path = segment_path(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = journal.read(Position { segment: 1, offset: 0 }, 10).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { offset: 0, .. }), "{error}");
    }

    #[tokio::test]
    async fn segments_begin_and_are_released() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { sync: Sync::Always, segment_bytes: 40, ..Options::default() };
        let journal = Journal::open(dir.path(), options).unwrap();
        let mut last = Position::default();
        for n in 0..20 {
            last = journal.append(format!("entry number {n}").into_bytes()).await.unwrap();
        }
        assert!(last.segment > 5);
        let start = journal.beginning().unwrap();
        assert_eq!(entries(&journal, start).len(), 20);
        let released = journal.release(last).unwrap();
        assert_eq!(released as u64, last.segment - 1);
        // A position in a segment that is gone goes on with what is there.
        assert!(!entries(&journal, start).is_empty());
    }

    #[tokio::test]
    async fn a_disk_that_refuses_loses_nothing_it_can_keep() {
        let dir = tempfile::tempdir().unwrap();
        // A segment that is a folder cannot be opened: every write fails until it is gone.
        let options = Options { sync: Sync::Never, segment_bytes: 1, ..Options::default() };
        let journal = Journal::open(dir.path(), options).unwrap();
        journal.append(b"one".to_vec()).await.unwrap();
        let obstacle = segment_path(dir.path(), 2);
        std::fs::create_dir(&obstacle).unwrap();
        let error = journal.append(b"two".to_vec()).await.unwrap_err();
        assert!(matches!(error, JournalError::Disk { .. }), "{error}");
        assert_eq!(journal.counters().waiting.load(Ordering::Relaxed), 1);
        std::fs::remove_dir(&obstacle).unwrap();
        journal.append(b"three".to_vec()).await.unwrap();
        let start = journal.beginning().unwrap();
        assert_eq!(entries(&journal, start), ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn an_entry_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        let error = journal.append(vec![0; LONGEST + 1]).await.unwrap_err();
        assert!(matches!(error, JournalError::TooLong(_)), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn opening_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(segment_path(dir.path(), 1), bytes).unwrap();
            let journal = Journal::open(dir.path(), Options::default()).unwrap();
            let _whole = journal.read(Position { segment: 1, offset: 0 }, 10);
        }
    }
}
