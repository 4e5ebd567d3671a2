//! The thread that writes log lines, and the bounded queue in front of it.
//!
//! A line costs the caller its formatting and a push; a slow disk or terminal costs lines, never time:
//! when the queue is full they are counted and the count is written once there is room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem};

use esl_server::log::{Level, LogLine, TextChannel};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::{Condvar, Mutex};

use super::console::Console;
use super::cpu::{Sampler, idle_hundredths};
use super::file::{LogFile, Notice};
use super::line::{Origin, write_prefix};
use super::settings::LogSettings;

/// Lines that may wait for the writer. Full: the new line is dropped and counted.
const QUEUE_LINES: usize = 16_384;
/// Lines kept from before the configuration is read, to be written to the log file as well.
const EARLY_LINES: usize = 1_000;
/// How long the writer lets lines gather after it has written some. While it sleeps, a line costs its caller no
/// wake-up, and a call's burst of lines becomes one write.
const GATHER: Duration = Duration::from_millis(10);
/// How often the idle CPU is sampled.
const SAMPLE: Duration = Duration::from_secs(1);

/// A formatted line and the parts JSON needs.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) line: Arc<LogLine>,
    pub(super) at: Timestamp,
    /// Idle CPU in hundredths of a percent.
    pub(super) idle: u32,
    /// Where the message begins in the text.
    pub(super) message_at: usize,
}

impl Entry {
    /// The message without date, level and place.
    pub(super) fn message(&self) -> &str {
        let text = self.line.text.get(self.message_at..).unwrap_or(&self.line.text);
        text.strip_suffix('\n').unwrap_or(text)
    }
}

/// What the writer is told beside lines. Never dropped.
pub(super) enum Order {
    Apply(LogSettings),
    ConsoleLevel(Option<Level>),
    Hangup,
    Flush(mpsc::Sender<()>),
    Detach,
    /// Where the console prints from now on.
    Screen(Box<dyn io::Write + Send>),
}

/// The queue, shared with everybody who logs.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
    dropped: AtomicU64,
    /// The least urgent level an output wants, plus one.
    ceiling: AtomicU8,
}

#[derive(Default)]
struct QueueState {
    entries: Vec<Entry>,
    orders: Vec<Order>,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
            ceiling: AtomicU8::new(u8::MAX),
        })
    }

    /// Whether an output wants lines of this level.
    pub(super) fn wants(&self, level: u8) -> bool {
        level < self.ceiling.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.state.lock();
        if state.entries.len() >= QUEUE_LINES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.entries.push(entry);
        let first = state.entries.len() == 1;
        drop(state);
        if first {
            self.wake.notify_one();
        }
    }

    pub(super) fn order(&self, order: Order) {
        self.state.lock().orders.push(order);
        self.wake.notify_one();
    }

    /// Lines lost to a full queue since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What is there, or nothing at `deadline`.
    fn take(&self, deadline: Instant, into: &mut Vec<Entry>) -> Vec<Order> {
        let mut state = self.state.lock();
        while state.entries.is_empty() && state.orders.is_empty() {
            if self.wake.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        mem::swap(&mut state.entries, into);
        mem::take(&mut state.orders)
    }
}

/// Starts the writer thread.
///
/// # Errors
/// The system has no thread to give.
pub(super) fn start(
    queue: Arc<Queue>,
    zone: TimeZone,
    settings: LogSettings,
    leaving: bool,
) -> io::Result<thread::JoinHandle<()>> {
    let console = if leaving { Console::stderr } else { Console::stdout };
    let console = settings.console.map(console);
    let mut writer = Writer::new(queue, zone, console);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        let mut sampler = Sampler::default();
        loop {
            sampler.sample();
            let deadline = Instant::now() + SAMPLE;
            while Instant::now() < deadline {
                // A bug costs the lines at hand, not all that are to come.
                if base::tasks::guarded("log", || writer.round(deadline)) != Some(false) {
                    thread::sleep(GATHER);
                }
            }
        }
    })
}

struct Writer {
    queue: Arc<Queue>,
    zone: TimeZone,
    console: Option<Console>,
    files: Vec<LogFile>,
    rotate_on_hup: bool,
    /// `None` once the configuration is read.
    early: Option<Vec<Entry>>,
    reported: u64,
    batch: Vec<Entry>,
}

impl Writer {
    fn new(queue: Arc<Queue>, zone: TimeZone, console: Option<Console>) -> Self {
        let writer = Self {
            queue,
            zone,
            console,
            files: Vec::new(),
            rotate_on_hup: true,
            early: Some(Vec::new()),
            reported: 0,
            batch: Vec::new(),
        };
        writer.publish_ceiling();
        writer
    }

    /// Waits for work until `deadline` and does it: lines first, so that an order given after a line
    /// acts after it. Tells whether there were lines.
    fn round(&mut self, deadline: Instant) -> bool {
        let mut batch = mem::take(&mut self.batch);
        let orders = self.queue.take(deadline, &mut batch);
        for entry in &batch {
            self.add(entry);
        }
        let any = !batch.is_empty();
        batch.clear();
        self.batch = batch;
        self.report_dropped();
        self.flush();
        for order in orders {
            self.handle(order);
        }
        any
    }

    fn add(&mut self, entry: &Entry) {
        if let Some(console) = &mut self.console {
            console.add(entry);
        }
        for file in &mut self.files {
            file.add(&entry.line);
        }
        if let Some(early) = self.early.as_mut().filter(|early| early.len() < EARLY_LINES) {
            early.push(entry.clone());
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.queue.dropped();
        let new = dropped.saturating_sub(self.reported);
        if new > 0 {
            self.reported = dropped;
            let text =
                format!("{new} log lines were lost: they came faster than they can be written");
            self.say(Notice { level: Level::Warning, text });
        }
    }

    fn flush(&mut self) {
        if self.console.as_mut().is_some_and(|console| console.flush().is_err()) {
            // Nothing reads the terminal any more; the files go on.
            self.console = None;
            self.publish_ceiling();
        }
        let (now, date) = (Instant::now(), Timestamp::now());
        let mut notices = Vec::new();
        for file in &mut self.files {
            notices.extend(file.flush(now, date, &self.zone));
        }
        self.say_all(notices);
    }

    fn handle(&mut self, order: Order) {
        match order {
            Order::Apply(settings) => self.apply(settings),
            Order::ConsoleLevel(level) => {
                if let Some(console) = &mut self.console {
                    let settings = console.settings().clone();
                    console.configure(super::settings::ConsoleSettings { level, ..settings });
                }
                self.publish_ceiling();
            }
            Order::Hangup => {
                let (now, date) = (Instant::now(), Timestamp::now());
                let mut notices = Vec::new();
                for file in &mut self.files {
                    notices.extend(file.hangup(self.rotate_on_hup, now, date, &self.zone));
                }
                self.say_all(notices);
            }
            Order::Flush(done) => {
                let _ = done.send(());
            }
            Order::Screen(screen) => {
                if let Some(console) = &mut self.console {
                    console.show_on(screen);
                }
            }
            Order::Detach => {
                self.console = None;
                self.publish_ceiling();
            }
        }
    }

    fn apply(&mut self, settings: LogSettings) {
        match (settings.console, &mut self.console) {
            (Some(new), Some(console)) => console.configure(new),
            (Some(_), None) => {}
            (None, _) => self.console = None,
        }
        self.rotate_on_hup = settings.rotate_on_hup;
        let mut notices = Vec::new();
        let now = Instant::now();
        // Files that stay are opened again: the old handle may be one that failed.
        self.files = settings
            .files
            .into_iter()
            .map(|profile| {
                let (file, notice) = LogFile::open(profile, now);
                notices.extend(notice);
                file
            })
            .collect();
        for entry in self.early.take().into_iter().flatten() {
            for file in &mut self.files {
                file.add(&entry.line);
            }
        }
        self.publish_ceiling();
        self.say_all(notices);
        self.flush();
    }

    fn publish_ceiling(&self) {
        let console = self.console.as_ref().and_then(|console| {
            let settings = console.settings();
            let level = settings.level? as u8;
            Some(settings.mappings.highest()?.min(level))
        });
        let files = self.files.iter().filter_map(|file| file.profile().mappings.highest());
        let highest = files.chain(console).max();
        // Before the configuration is read, lines of every level may be wanted by a file later.
        let highest = if self.early.is_some() { Some(7) } else { highest };
        self.queue.ceiling.store(highest.map_or(0, |h| h + 1), Ordering::Relaxed);
    }

    fn say_all(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            self.say(notice);
        }
        if let Some(console) = &mut self.console {
            let _ = console.flush();
        }
    }

    /// A line of the writer's own: to the console and to the files that still can be written.
    fn say(&mut self, notice: Notice) {
        let (at, idle) = (Timestamp::now(), idle_hundredths());
        let origin = Origin { at, idle, level: notice.level, file: "writer.rs", line: line!() };
        let mut text = String::new();
        write_prefix(&mut text, &origin, &self.zone);
        let message_at = text.len();
        text.push_str(&notice.text);
        text.push('\n');
        let line = Arc::new(LogLine {
            level: notice.level,
            text_channel: TextChannel::Log,
            file: "writer.rs".to_owned(),
            func: "log".to_owned(),
            line: origin.line,
            user_data: String::new(),
            text,
        });
        if self.console.is_none() && self.files.len() == 1 {
            // The only output has failed: the process's own standard error is the last resort.
            eprint!("{}", line.text);
        }
        self.add(&Entry { line, at, idle, message_at });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file::FileProfile;
    use super::super::test_line;
    use super::*;
    use base::scratch::Scratch;

    fn entry(text: &str) -> Entry {
        let line = Arc::new(test_line(Level::Info, "", text));
        Entry { line, at: Timestamp::UNIX_EPOCH, idle: 0, message_at: 0 }
    }

    fn settings(files: Vec<FileProfile>) -> LogSettings {
        LogSettings { console: None, files, rotate_on_hup: true }
    }

    fn writer() -> (Writer, Arc<Queue>) {
        let queue = Queue::new();
        (Writer::new(Arc::clone(&queue), TimeZone::UTC, None), queue)
    }

    #[test]
    fn lines_from_before_the_configuration_reach_the_file() {
        let dir = Scratch::new("writer");
        let (mut writer, queue) = writer();
        queue.push(entry("early"));
        writer.round(Instant::now());
        queue.order(Order::Apply(settings(vec![FileProfile::standard(dir.path())])));
        queue.push(entry("late"));
        writer.round(Instant::now());
        queue.push(entry("later"));
        writer.round(Instant::now());
        let text = fs::read_to_string(dir.path().join("freeswitch.log")).expect("log");
        assert_eq!(text, "early\nlate\nlater\n");
    }

    #[test]
    fn a_full_queue_loses_lines_counts_them_and_says_so() {
        let dir = Scratch::new("writer");
        let (mut writer, queue) = writer();
        queue.order(Order::Apply(settings(vec![FileProfile::standard(dir.path())])));
        writer.round(Instant::now());
        for _ in 0..QUEUE_LINES + 3 {
            queue.push(entry("x"));
        }
        assert_eq!(queue.dropped(), 3);
        writer.round(Instant::now());
        let text = fs::read_to_string(dir.path().join("freeswitch.log")).expect("log");
        assert_eq!(text.lines().filter(|line| *line == "x").count(), QUEUE_LINES);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("[WARNING]") && last.contains("3 log lines were lost"), "{last}");
    }

    #[test]
    fn nobody_wanting_a_level_is_known_before_formatting() {
        let dir = Scratch::new("writer");
        let (mut writer, queue) = writer();
        assert!(queue.wants(7), "until the configuration is read");
        let (profile, _) = FileProfile::parse("p", [], [("all", "err,crit")], dir.path());
        queue.order(Order::Apply(settings(vec![profile])));
        writer.round(Instant::now());
        assert!(queue.wants(3) && !queue.wants(4));
        queue.order(Order::Apply(settings(Vec::new())));
        writer.round(Instant::now());
        assert!(!queue.wants(0));
    }

    #[test]
    fn hangup_rotates_after_the_lines_before_it() {
        let dir = Scratch::new("writer");
        let (mut writer, queue) = writer();
        let profile = FileProfile { maximum_rotate: 3, ..FileProfile::standard(dir.path()) };
        queue.order(Order::Apply(settings(vec![profile])));
        writer.round(Instant::now());
        queue.push(entry("before"));
        queue.order(Order::Hangup);
        writer.round(Instant::now());
        queue.push(entry("after"));
        writer.round(Instant::now());
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
        assert_eq!(read("freeswitch.log.1"), "before\n");
        assert_eq!(read("freeswitch.log"), "after\n");
    }
}
