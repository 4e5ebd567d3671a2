//! The real thing: epoll, an eventfd to be woken by, the monotonic clock.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{Timespec, clock_gettime};

use super::{MediaIo, Socket, Token, Wait};

/// Sockets handed over by one poll; the rest comes with the next.
const MAX_EVENTS: usize = 1024;
const WAKE: u64 = u64::MAX;

pub(crate) struct OsIo {
    epoll: OwnedFd,
    wake: Arc<Waker>,
    events: Vec<epoll::Event>,
}

/// Wakes a sleeping worker.
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub(crate) fn wake(&self) {
        // Full means a wake-up is pending already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The descriptors of an [`OsIo`], made before its thread is.
pub(crate) struct OsPoll {
    epoll: OwnedFd,
    wake: Arc<Waker>,
}

impl OsPoll {
    pub(crate) fn new() -> io::Result<(Self, Arc<Waker>)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let wake = Arc::new(Waker(wake));
        Ok((Self { epoll, wake: Arc::clone(&wake) }, wake))
    }

    /// To be called on the worker's thread, which from here on is woken on time to the microsecond.
    pub(crate) fn into_io(self) -> OsIo {
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        OsIo { epoll: self.epoll, wake: self.wake, events: Vec::with_capacity(MAX_EVENTS) }
    }
}

/// How far before others a media thread is put, as a nice value: what the reference takes.
const PRIORITY: i32 = -10;

/// Puts the calling thread before others. Without the right to it everything stays as it was.
pub(crate) fn raise_priority() {
    // Linux takes "this process" for the calling thread.
    let _ = rustix::process::setpriority_process(None, PRIORITY);
}

fn timespec(us: u64) -> Timespec {
    Timespec { tv_sec: (us / 1_000_000) as i64, tv_nsec: (us % 1_000_000 * 1000) as _ }
}

impl MediaIo for OsIo {
    fn now_us(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
    }

    fn cpu_us(&self) -> u64 {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        used.tv_sec as u64 * 1_000_000 + used.tv_nsec as u64 / 1000
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn register(&mut self, token: Token, socket: &Socket) -> io::Result<()> {
        let Socket::Udp(socket) = socket else { return Ok(()) };
        let data = epoll::EventData::new_u64(token.pack());
        Ok(epoll::add(&self.epoll, socket.as_fd(), data, epoll::EventFlags::IN)?)
    }

    fn deregister(&mut self, _token: Token, socket: &Socket) {
        if let Socket::Udp(socket) = socket {
            let _ = epoll::delete(&self.epoll, socket.as_fd());
        }
    }

    fn poll(&mut self, wait: Wait, ready: &mut Vec<Token>) {
        ready.clear();
        let timeout = match wait {
            Wait::Forever => None,
            Wait::No => Some(timespec(0)),
            Wait::Until(at) => Some(timespec(at.saturating_sub(self.now_us()))),
            Wait::Batch(at) => {
                let _ = clock_nanosleep_absolute(ClockId::Monotonic, &timespec(at));
                Some(timespec(0))
            }
        };
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        // Interrupted by a signal: the next pass polls again.
        let _ = epoll::wait(&self.epoll, spare, timeout.as_ref());
        for event in &self.events {
            match event.data.u64() {
                WAKE => {
                    let _ = rustix::io::read(&self.wake.0, &mut [0u8; 8]);
                }
                bits => ready.push(Token::unpack(bits)),
            }
        }
    }
}
