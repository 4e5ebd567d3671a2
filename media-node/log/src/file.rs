//! Log files: rollover by size, rotation, and surviving a disk that cannot be written.
//!
//! A file that fails is reported once, lines for it are counted instead of written, and it is tried
//! again every few seconds; calls never notice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dialplan_xml::text::is_true;
use esl_server::log::{Level, LogLine};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::level::Mappings;
use super::line::write_prefixed;

/// Rollover when the profile does not say: the reference's 10 MiB.
pub const DEFAULT_ROLLOVER: u64 = 10 * 1024 * 1024;
/// Call records are private: owner and group only.
const FILE_MODE: u32 = 0o640;
/// How long a failed file is left alone.
const RETRY: Duration = Duration::from_secs(5);
/// Rotated files of one second are numbered up to here.
const MOST_PER_SECOND: u32 = 1000;

/// One `<profile>` of `logfile.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProfile {
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Rotate at this many bytes; 0 for never.
    pub rollover: u64,
    /// Keep this many rotated files, numbered; 0 keeps all, named by date.
    pub maximum_rotate: u32,
    /// Write the call's uuid before each of its lines.
    pub uuid: bool,
    /// Which lines.
    pub mappings: Mappings,
}

impl FileProfile {
    /// The profile that is used when `logfile.conf` has none: everything, into `freeswitch.log`.
    pub fn standard(log_dir: &Path) -> Self {
        Self {
            name: "default".to_owned(),
            path: log_dir.join("freeswitch.log"),
            rollover: DEFAULT_ROLLOVER,
            maximum_rotate: 0,
            uuid: true,
            mappings: Mappings::default(),
        }
    }

    /// Reads one profile's `<settings>` and `<mappings>`; also returns what is wrong with them.
    pub fn parse<'a>(
        name: &str,
        params: impl IntoIterator<Item = (&'a str, &'a str)>,
        maps: impl IntoIterator<Item = (&'a str, &'a str)>,
        log_dir: &Path,
    ) -> (Self, Vec<String>) {
        let (mappings, mut complaints) = Mappings::parse(maps);
        let mut profile =
            Self { name: name.to_owned(), uuid: false, mappings, ..Self::standard(log_dir) };
        for (param, value) in params {
            let number = || value.trim().parse::<u64>().ok();
            let wrong = format!("{param}: \"{value}\" is not a number");
            match param.to_ascii_lowercase().as_str() {
                // An absolute path replaces the log directory.
                "logfile" => profile.path = log_dir.join(value),
                "rollover" => match number() {
                    Some(bytes) => profile.rollover = bytes,
                    None => complaints.push(wrong),
                },
                "maximum-rotate" => match number().and_then(|n| u32::try_from(n).ok()) {
                    Some(count) => profile.maximum_rotate = count,
                    None => complaints.push(wrong),
                },
                "uuid" => profile.uuid = is_true(value),
                _ => complaints.push(format!("unknown parameter \"{param}\"")),
            }
        }
        (profile, complaints)
    }
}

/// What went wrong or right with a file, for the console and the other outputs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) level: Level,
    pub(super) text: String,
}

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    profile: FileProfile,
    state: FileState,
    pending: Vec<u8>,
    pending_lines: u64,
}

#[derive(Debug)]
enum FileState {
    Open { file: File, size: u64 },
    Broken { retry: Instant, lost: u64 },
}

impl LogFile {
    /// Opens a profile's file; a failure is a notice, not an error.
    pub(super) fn open(profile: FileProfile, now: Instant) -> (Self, Option<Notice>) {
        let mut file = Self {
            profile,
            state: FileState::Broken { retry: now, lost: 0 },
            pending: Vec::new(),
            pending_lines: 0,
        };
        let notice = match file.reopen() {
            Ok(()) => None,
            Err(error) => Some(file.broken(&error, now)),
        };
        (file, notice)
    }

    pub(super) fn profile(&self) -> &FileProfile {
        &self.profile
    }

    /// Puts a line into the buffer, if the mappings take it.
    pub(super) fn add(&mut self, line: &LogLine) {
        if !self.profile.mappings.take(line.level, &line.file, &line.func) {
            return;
        }
        self.pending_lines = self.pending_lines.saturating_add(1);
        match &*line.user_data {
            "" => self.pending.extend_from_slice(line.text.as_bytes()),
            uuid if self.profile.uuid => write_prefixed(&mut self.pending, uuid, &line.text),
            _ => self.pending.extend_from_slice(line.text.as_bytes()),
        }
    }

    /// Writes what is buffered, rotating first if the file is full.
    pub(super) fn flush(
        &mut self,
        now: Instant,
        date: Timestamp,
        zone: &TimeZone,
    ) -> Option<Notice> {
        if self.pending.is_empty() {
            return None;
        }
        let mut cured = None;
        if let FileState::Broken { retry, lost } = &mut self.state {
            if now < *retry {
                *lost = lost.saturating_add(self.pending_lines);
                self.forget_pending();
                return None;
            }
            let lost = *lost;
            if let Err(_still) = self.reopen() {
                self.state = FileState::Broken {
                    retry: now + RETRY,
                    lost: lost.saturating_add(self.pending_lines),
                };
                self.forget_pending();
                return None;
            }
            cured = (lost > 0).then(|| Notice {
                level: Level::Notice,
                text: format!(
                    "Log file {} is written again; {lost} lines are missing from it",
                    self.profile.path.display()
                ),
            });
        }
        match self.write(date, zone) {
            Ok(()) => cured,
            Err(error) => Some(self.broken(&error, now)),
        }
    }

    /// SIGHUP: begins a new file, or only opens the path again (for `logrotate`).
    pub(super) fn hangup(
        &mut self,
        rotate: bool,
        now: Instant,
        date: Timestamp,
        zone: &TimeZone,
    ) -> Option<Notice> {
        let notice = self.flush(now, date, zone);
        let done = if rotate { self.rotate(date, zone) } else { self.reopen() };
        match done {
            Ok(()) => notice,
            Err(error) => Some(self.broken(&error, now)),
        }
    }

    fn write(&mut self, date: Timestamp, zone: &TimeZone) -> io::Result<()> {
        let length = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        let full = match &self.state {
            FileState::Open { size, .. } => {
                self.profile.rollover > 0
                    && *size > 0
                    && size.saturating_add(length) > self.profile.rollover
            }
            FileState::Broken { .. } => false,
        };
        if full {
            self.rotate(date, zone)?;
        }
        if let FileState::Open { file, size } = &mut self.state {
            file.write_all(&self.pending)?;
            *size = size.saturating_add(length);
        }
        self.forget_pending();
        Ok(())
    }

    fn broken(&mut self, error: &io::Error, now: Instant) -> Notice {
        let lost = self.pending_lines;
        self.forget_pending();
        self.state = FileState::Broken { retry: now + RETRY, lost };
        Notice {
            level: Level::Crit,
            text: format!(
                "Log file {} cannot be written: {error}. The switch goes on without it and tries again \
                 every {} seconds",
                self.profile.path.display(),
                RETRY.as_secs()
            ),
        }
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_lines = 0;
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(dir) = self.profile.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&self.profile.path)?;
        let size = file.metadata()?.len();
        self.state = FileState::Open { file, size };
        Ok(())
    }

    fn rotate(&mut self, date: Timestamp, zone: &TimeZone) -> io::Result<()> {
        let path = &self.profile.path;
        let moved = match self.profile.maximum_rotate {
            0 => fs::rename(path, dated(path, date, zone)),
            most => shift(path, most),
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.reopen()
    }
}

/// `freeswitch.log.2024-03-05-10-11-12.1`, numbered so that no older file is overwritten.
fn dated(path: &Path, date: Timestamp, zone: &TimeZone) -> PathBuf {
    let local = zone.to_datetime(date);
    let stamp = format!(
        "{:04}-{:02}-{:02}-{:02}-{:02}-{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    let names = (1..MOST_PER_SECOND).map(|number| suffixed(path, &format!("{stamp}.{number}")));
    names
        .clone()
        .find(|name| !name.exists())
        .unwrap_or_else(|| suffixed(path, &format!("{stamp}.{MOST_PER_SECOND}")))
}

/// `.1` is the newest; what would become `.most + 1` goes.
fn shift(path: &Path, most: u32) -> io::Result<()> {
    for number in (1..most).rev() {
        let from = suffixed(path, &number.to_string());
        if from.exists() {
            fs::rename(from, suffixed(path, &(number + 1).to_string()))?;
        }
    }
    fs::rename(path, suffixed(path, "1"))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::test_line as line;
    use super::*;
    use base::scratch::Scratch;

    fn date() -> Timestamp {
        "2024-03-05T10:11:12Z".parse().expect("timestamp")
    }

    fn profile(dir: &Path) -> FileProfile {
        FileProfile { rollover: 0, ..FileProfile::standard(dir) }
    }

    struct Desk {
        file: LogFile,
        now: Instant,
    }

    impl Desk {
        fn open(profile: FileProfile) -> Self {
            let now = Instant::now();
            Self { file: LogFile::open(profile, now).0, now }
        }

        fn write(&mut self, text: &str) -> Option<Notice> {
            self.file.add(&line(Level::Info, "", text));
            self.file.flush(self.now, date(), &TimeZone::UTC)
        }

        fn hangup(&mut self, rotate: bool) -> Option<Notice> {
            self.file.hangup(rotate, self.now, date(), &TimeZone::UTC)
        }
    }

    fn read(path: impl AsRef<Path>) -> String {
        fs::read_to_string(path.as_ref())
            .unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
    }

    #[test]
    fn lines_of_a_call_carry_its_uuid() {
        let dir = Scratch::new("log");
        let mut desk = Desk::open(profile(dir.path()));
        desk.file.add(&line(Level::Info, "abc", "one\ntwo"));
        desk.write("bare");
        assert_eq!(read(dir.path().join("freeswitch.log")), "abc one\nabc two\nbare\n");
    }

    #[test]
    fn rolls_over_by_size_with_dated_names_that_never_collide() {
        let dir = Scratch::new("log");
        let mut desk = Desk::open(FileProfile { rollover: 8, ..profile(dir.path()) });
        for text in ["first", "second", "third"] {
            assert_eq!(desk.write(text), None);
        }
        let log = dir.path().join("freeswitch.log");
        assert_eq!(read(&log), "third\n");
        assert_eq!(read(suffixed(&log, "2024-03-05-10-11-12.1")), "first\n");
        assert_eq!(read(suffixed(&log, "2024-03-05-10-11-12.2")), "second\n");
    }

    #[test]
    fn keeps_at_most_so_many_numbered_files() {
        let dir = Scratch::new("log");
        let mut desk = Desk::open(FileProfile { maximum_rotate: 2, ..profile(dir.path()) });
        for text in ["1", "2", "3", "4"] {
            desk.write(text);
            assert_eq!(desk.hangup(true), None);
        }
        let log = dir.path().join("freeswitch.log");
        assert_eq!(read(&log), "");
        assert_eq!(read(suffixed(&log, "1")), "4\n");
        assert_eq!(read(suffixed(&log, "2")), "3\n");
        assert!(!suffixed(&log, "3").exists());
    }

    #[test]
    fn reopening_follows_a_file_moved_away() {
        let dir = Scratch::new("log");
        let log = dir.path().join("freeswitch.log");
        let mut desk = Desk::open(profile(dir.path()));
        desk.write("old");
        fs::rename(&log, suffixed(&log, "moved")).expect("moved by logrotate");
        assert_eq!(desk.hangup(false), None);
        desk.write("new");
        assert_eq!(read(&log), "new\n");
        assert_eq!(read(suffixed(&log, "moved")), "old\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_once_and_cured_later() {
        let dir = Scratch::new("log");
        let place = dir.path().join("place");
        fs::write(&place, "in the way").expect("file");
        let now = Instant::now();
        let (file, notice) = LogFile::open(profile(&place), now);
        let notice = notice.expect("a directory under a file cannot be made");
        assert_eq!(notice.level, Level::Crit);
        assert!(notice.text.contains("freeswitch.log cannot be written"), "{}", notice.text);
        let mut desk = Desk { file, now };
        assert_eq!(desk.write("lost"), None);
        assert_eq!(desk.write("lost too"), None);
        desk.now += RETRY;
        assert_eq!(desk.write("still in the way"), None);
        fs::remove_file(&place).expect("removed");
        desk.now += RETRY;
        let cured = desk.write("found").expect("notice of recovery");
        assert!(cured.text.contains("3 lines are missing"), "{}", cured.text);
        assert_eq!(read(place.join("freeswitch.log")), "found\n");
    }

    #[test]
    fn a_full_disk_is_reported_once() {
        // Opens for writing and has no space, for any user.
        let mut desk =
            Desk::open(FileProfile { path: "/dev/full".into(), ..profile(Path::new("/")) });
        let notice = desk.write("x").expect("no space");
        assert!(notice.text.contains("No space left on device"), "{}", notice.text);
        assert_eq!(desk.write("y"), None);
    }

    #[test]
    fn settings_are_read_and_mistakes_named() {
        let (read, complaints) = FileProfile::parse(
            "p",
            [
                ("logfile", "/x/y.log"),
                ("rollover", "123"),
                ("Maximum-Rotate", "many"),
                ("uuid", "true"),
                ("color", "blue"),
            ],
            [("all", "err")],
            Path::new("/log"),
        );
        assert_eq!(read.path, Path::new("/x/y.log"));
        assert_eq!((read.rollover, read.maximum_rotate, read.uuid), (123, 0, true));
        assert!(!read.mappings.take(Level::Info, "", ""));
        assert_eq!(
            complaints,
            ["Maximum-Rotate: \"many\" is not a number", "unknown parameter \"color\""]
        );
        let (plain, _) = FileProfile::parse("p", [], [], Path::new("/log"));
        assert_eq!(plain.path, Path::new("/log/freeswitch.log"));
        assert_eq!(plain.rollover, DEFAULT_ROLLOVER);
    }
}
