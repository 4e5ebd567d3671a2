//! Log lines on their way to consoles and `log/data` messages.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::queue::{Item, Queue};

/// How urgent a line is; the number goes out as `Log-Level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Printed on every console.
    Console = 0,
    /// Something must be done at once.
    Alert = 1,
    /// A subsystem is unusable.
    Crit = 2,
    /// An operation failed.
    Err = 3,
    /// Something is suspicious.
    Warning = 4,
    /// Worth knowing.
    Notice = 5,
    /// Normal running.
    Info = 6,
    /// For finding faults.
    Debug = 7,
}

impl Level {
    /// Every level, most urgent first.
    pub const EVERY: [Self; 8] = [
        Self::Console,
        Self::Alert,
        Self::Crit,
        Self::Err,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The name in capitals, as printed in log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "CONSOLE",
            Self::Alert => "ALERT",
            Self::Crit => "CRIT",
            Self::Err => "ERR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }

    /// The level of that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if number < 8 { Some(Self::EVERY[number as usize]) } else { None }
    }

    /// Finds a level by name, in any case. `error` is not one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which kind of logging a line comes from; the number goes out as `Text-Channel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TextChannel {
    /// Ordinary lines.
    #[default]
    Log = 0,
    /// The bare message, without date and place.
    LogClean = 1,
    /// About an event.
    Event = 2,
    /// About a call.
    Session = 3,
}

/// One line, formatted once and shared by everyone who prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How urgent.
    pub level: Level,
    /// Which kind.
    pub text_channel: TextChannel,
    /// Source file, base name.
    pub file: String,
    /// Source function.
    pub func: String,
    /// Source line.
    pub line: u32,
    /// UUID of the call it is about, or empty.
    pub user_data: String,
    /// The complete line as printed, newline included.
    pub text: String,
}

/// Where lines are published and read.
#[derive(Debug)]
pub struct LogHub {
    /// The least urgent level that has a reader, plus one; 0 without readers.
    ceiling: AtomicU8,
    readers: RwLock<Vec<Weak<Reader>>>,
}

struct Reader {
    /// Least urgent level wanted, plus one; 0 for none.
    ceiling: AtomicU8,
    queue: Queue<Arc<LogLine>>,
}

impl Item for Arc<LogLine> {
    fn size(&self) -> usize {
        size_of::<LogLine>()
            + self.file.len()
            + self.func.len()
            + self.user_data.len()
            + self.text.len()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

impl LogHub {
    /// A hub without readers.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { ceiling: AtomicU8::new(0), readers: RwLock::default() })
    }

    /// Whether a line of this level would reach anybody; ask before formatting one.
    pub fn enabled(&self, level: Level) -> bool {
        (level as u8) < self.ceiling.load(Ordering::Relaxed)
    }

    /// Hands a line to everyone whose level admits it. Never waits.
    pub fn publish(&self, line: LogLine) {
        if !self.enabled(line.level) {
            return;
        }
        let line = Arc::new(line);
        for reader in self.readers.read().iter().filter_map(Weak::upgrade) {
            if (line.level as u8) < reader.ceiling.load(Ordering::Relaxed) {
                reader.queue.push(Arc::clone(&line));
            }
        }
    }

    /// Reads lines up to `level` (`None`: nothing yet), holding at most `capacity` until read.
    pub fn subscribe(self: &Arc<Self>, capacity: usize, level: Option<Level>) -> LogSubscription {
        let reader = Arc::new(Reader { ceiling: AtomicU8::new(0), queue: Queue::new(capacity) });
        self.readers.write().push(Arc::downgrade(&reader));
        let subscription = LogSubscription { reader, hub: Arc::clone(self) };
        subscription.set_level(level);
        subscription
    }

    fn recount(&self) {
        let mut readers = self.readers.write();
        readers.retain(|reader| reader.strong_count() > 0);
        let highest = readers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|r| r.ceiling.load(Ordering::Relaxed))
            .max();
        self.ceiling.store(highest.unwrap_or(0), Ordering::Relaxed);
    }
}

/// One reader of log lines. Dropping it ends the subscription.
#[derive(Debug)]
pub struct LogSubscription {
    reader: Arc<Reader>,
    hub: Arc<LogHub>,
}

impl LogSubscription {
    /// Changes the least urgent level wanted; `None` stops the flow.
    pub fn set_level(&self, level: Option<Level>) {
        self.reader.ceiling.store(level.map_or(0, |l| l as u8 + 1), Ordering::Relaxed);
        self.hub.recount();
    }

    /// Whether any level is wanted.
    pub fn is_on(&self) -> bool {
        self.reader.ceiling.load(Ordering::Relaxed) > 0
    }

    /// The next line; `None` once too many were lost in a row.
    pub async fn recv(&mut self) -> Option<Arc<LogLine>> {
        loop {
            if self.is_overrun() {
                return None;
            }
            if let Some(line) = self.reader.queue.pop() {
                return Some(line);
            }
            self.reader.queue.changed().await;
        }
    }

    /// How many lines were lost because the queue was full.
    pub fn lost(&self) -> u64 {
        self.reader.queue.lost()
    }

    /// Whether more than 500 lines in a row were lost.
    pub fn is_overrun(&self) -> bool {
        self.reader.queue.is_overrun()
    }

    /// Forgets what is queued.
    pub fn clear(&self) {
        self.reader.queue.clear();
    }

    /// Moves at most `most` queued lines into `into`, which is empty.
    pub(crate) fn take(&self, most: usize, into: &mut VecDeque<Arc<LogLine>>) {
        self.reader.queue.take(most, into);
    }

    /// About how many bytes of lines wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.reader.queue.bytes()
    }

    pub(crate) fn has_lines(&self) -> bool {
        !self.reader.queue.is_empty()
    }

    pub(crate) fn queue(&self) -> &Queue<Arc<LogLine>> {
        &self.reader.queue
    }
}

impl Drop for LogSubscription {
    fn drop(&mut self) {
        self.reader.ceiling.store(0, Ordering::Relaxed);
        self.hub.recount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level) -> LogLine {
        LogLine {
            level,
            text_channel: TextChannel::Log,
            file: "a.rs".into(),
            func: "f".into(),
            line: 1,
            user_data: String::new(),
            text: format!("{level}\n"),
        }
    }

    #[tokio::test]
    async fn each_reader_gets_its_level_and_the_hub_knows_the_highest() {
        let hub = LogHub::new();
        assert!(!hub.enabled(Level::Console));
        let mut errors = hub.subscribe(10, Some(Level::Err));
        let mut all = hub.subscribe(10, None);
        assert!(hub.enabled(Level::Err) && !hub.enabled(Level::Warning));
        all.set_level(Some(Level::Debug));
        for level in [Level::Debug, Level::Err] {
            hub.publish(line(level));
        }
        assert_eq!(errors.recv().await.unwrap().level, Level::Err);
        assert_eq!(all.recv().await.unwrap().level, Level::Debug);
        drop(all);
        assert!(!hub.enabled(Level::Debug) && hub.enabled(Level::Err));
    }

    #[test]
    fn levels_have_names_but_error_is_none() {
        assert_eq!(Level::parse("Warning"), Some(Level::Warning));
        assert_eq!(Level::parse("error"), None);
        assert_eq!(Level::from_number(8), None);
    }
}
