//! The pid file: one switch per run directory, found again by `-stop`.
//!
//! The file is locked as long as the switch lives, so a stale one left by a crash neither blocks a
//! start nor sends a signal to a stranger. Its name is the reference's, because init scripts know it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{process, thread};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Name of the pid file in the run directory.
pub const PID_FILE: &str = "freeswitch.pid";

/// How often `-stop` looks whether the switch has ended.
const STOP_POLL: Duration = Duration::from_millis(20);

/// A held pid file; dropping it removes the file.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    lock: Flock<File>,
}

/// Why a pid file could not be taken or used.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another switch holds the file.
    #[error(
        "another switch is running with pid file {path} (pid {pid}); stop it with -stop, or give this one its own -run directory"
    )]
    Running {
        /// The pid file.
        path: PathBuf,
        /// The pid in it, or `?`.
        pid: String,
    },
    /// No switch holds the file.
    #[error("no switch is running with pid file {path}")]
    NotRunning {
        /// The pid file.
        path: PathBuf,
    },
    /// The switch did not end in time.
    #[error("pid {pid} did not end within {waited:?}")]
    StillRunning {
        /// Who.
        pid: i32,
        /// How long.
        waited: Duration,
    },
    /// The file system or the kernel refused.
    #[error("pid file {path}: {source}")]
    Io {
        /// The pid file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PidFile {
    /// Takes the pid file of `run_dir` and writes this process's pid into it.
    ///
    /// # Errors
    /// Another switch holds it, or the file cannot be written.
    pub fn take(run_dir: &Path) -> Result<Self, PidFileError> {
        let path = run_dir.join(PID_FILE);
        let io = |source| PidFileError::Io { path: path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            // The directory may be the service user's while root starts the switch.
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(io)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let pid = read_pid(&mut file).map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                return Err(PidFileError::Running { path, pid });
            }
            Err((_, errno)) => return Err(io(errno.into())),
        };
        let written = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", process::id()));
        match written {
            Ok(()) => Ok(Self { path, lock }),
            Err(source) => Err(io(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Removed while still locked: no other process can have taken it in between.
        let _ = fs::remove_file(&self.path);
        let _ = self.lock.flush();
    }
}

/// Ends the switch that holds the pid file of `run_dir`, and waits until it is gone. `said` is told the
/// pid before the waiting begins.
///
/// # Errors
/// None is running, it may not be signalled, or it is still there after `patience`.
pub fn stop(
    run_dir: &Path,
    patience: Duration,
    said: impl FnOnce(i32),
) -> Result<(), PidFileError> {
    let path = run_dir.join(PID_FILE);
    let io = |source| PidFileError::Io { path: path.clone(), source };
    let not_running = || PidFileError::NotRunning { path: path.clone() };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_running()),
        Err(error) => return Err(io(error)),
    };
    if !held(&path).map_err(io)? {
        return Err(not_running());
    }
    let pid = read_pid(&mut file).ok_or_else(not_running)?;
    said(pid);
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|errno| io(errno.into()))?;
    let start = Instant::now();
    while held(&path).map_err(io)? {
        if start.elapsed() > patience {
            return Err(PidFileError::StillRunning { pid, waited: patience });
        }
        thread::sleep(STOP_POLL);
    }
    Ok(())
}

/// Whether another process has the file locked; a file that is gone is not held.
fn held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::scratch::Scratch;

    #[test]
    fn holds_the_pid_and_goes_with_the_process() {
        let dir = Scratch::new("pid");
        let path = dir.path().join(PID_FILE);
        let held = PidFile::take(dir.path()).expect("free directory");
        assert_eq!(fs::read_to_string(&path).expect("pid file"), process::id().to_string());
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_switch_is_refused_and_told_who_runs() {
        let dir = Scratch::new("pid");
        let _first = PidFile::take(dir.path()).expect("free directory");
        match PidFile::take(dir.path()) {
            Err(PidFileError::Running { pid, .. }) => assert_eq!(pid, process::id().to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stale_file_is_taken_over_and_never_signalled() {
        let dir = Scratch::new("pid");
        // Longer than any pid, so that truncation is seen too.
        fs::write(dir.path().join(PID_FILE), "12345678901234").expect("stale file");
        let stopped = stop(dir.path(), Duration::ZERO, |pid| panic!("signalled {pid}"));
        assert!(matches!(stopped, Err(PidFileError::NotRunning { .. })), "{stopped:?}");
        let held = PidFile::take(dir.path()).expect("stale file");
        let text = fs::read_to_string(held.path()).expect("pid file");
        assert_eq!(text, process::id().to_string());
    }

    #[test]
    fn stopping_nothing_says_so() {
        let dir = Scratch::new("pid");
        let stopped = stop(dir.path(), Duration::ZERO, |_| {});
        assert!(matches!(stopped, Err(PidFileError::NotRunning { .. })), "{stopped:?}");
    }
}
