//! What a stream's task works with: the writing half of a connection, pings, files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use media::source::SourceOptions;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::time::Instant;

use crate::link::Io;
use crate::outbox::Outbox;
use crate::registry::Totals;

/// Decodes a file whole.
pub(crate) fn decode(path: &std::path::Path, rate: u32, most: usize) -> Result<Vec<i16>, String> {
    let options = SourceOptions::new(rate, "/");
    let mut plan = media::source::open(&path.to_string_lossy(), &options)
        .map_err(|error| error.to_string())?;
    let (mut samples, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let n = plan.fill(&mut piece);
        samples.extend_from_slice(&piece[..n]);
        if n < piece.len() || samples.len() > most {
            return Ok(samples);
        }
    }
}

/// A file with mode 0600.
pub(crate) async fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).await?;
    file.write_all(bytes).await?;
    file.flush().await
}

/// Counts a stream as open while it lives.
pub(crate) struct OpenCount(Arc<Totals>);

impl OpenCount {
    pub(crate) fn new(totals: &Arc<Totals>) -> Self {
        totals.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(totals))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The writing half, a message at a time. Its steps may be dropped half-way: nothing is lost or sent twice.
pub(crate) struct Writing {
    io: WriteHalf<Box<dyn Io>>,
    message: BytesMut,
    unflushed: bool,
}

impl Writing {
    pub(crate) fn new(io: WriteHalf<Box<dyn Io>>) -> Self {
        Self { io, message: BytesMut::new(), unflushed: false }
    }

    pub(crate) fn refill(&mut self, outbox: &mut Outbox) {
        if self.message.is_empty()
            && let Some(next) = outbox.next()
        {
            self.message.extend_from_slice(&next);
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.message.is_empty() || self.unflushed
    }

    pub(crate) async fn step(&mut self) -> std::io::Result<()> {
        if self.message.is_empty() {
            self.io.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        self.unflushed = true;
        if self.io.write_buf(&mut self.message).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    pub(crate) async fn flush_all(&mut self, outbox: &mut Outbox) -> std::io::Result<()> {
        self.refill(outbox);
        while self.has_work() {
            self.step().await?;
            self.refill(outbox);
        }
        Ok(())
    }

    pub(crate) async fn shut_down(&mut self) -> std::io::Result<()> {
        self.io.shutdown().await
    }
}

/// Lines of the log that a program's messages cause: a few, then one a second. A program that floods would fill a disk.
pub(crate) struct Complaints {
    left: u32,
    since: Instant,
    left_out: u64,
}

impl Complaints {
    /// Lines at once.
    const BURST: u32 = 20;

    pub(crate) fn new(now: Instant) -> Self {
        Self { left: Self::BURST, since: now, left_out: 0 }
    }

    /// May a line be written now? `Some` says how many were left out since the last.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since += Duration::from_secs(seconds);
            let gained = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(gained).min(Self::BURST);
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.left_out += 1;
            return None;
        };
        self.left = left;
        Some(self.rest())
    }

    /// How many lines were left out since the last: for the end, when no line follows that could tell.
    pub(crate) fn rest(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

/// Pings, and how long their answers take.
pub(crate) struct Pings {
    every: Option<Duration>,
    next: Instant,
    asked: Option<Instant>,
}

pub(crate) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Pings {
    pub(crate) fn new(every: Option<Duration>) -> Self {
        Self { every, next: Instant::now() + every.unwrap_or_default(), asked: None }
    }

    pub(crate) fn due(&mut self) -> Due {
        let Some(every) = self.every else { return Due::Nothing };
        let now = Instant::now();
        if now < self.next {
            return Due::Nothing;
        }
        self.next = now + every;
        if self.asked.replace(now).is_some() { Due::Dead } else { Due::Ping }
    }

    pub(crate) fn answered(&mut self) -> Duration {
        self.asked.take().map(|at| at.elapsed()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_complaints_is_a_burst_and_then_one_line_a_second() {
        let begin = Instant::now();
        let mut complaints = Complaints::new(begin);
        let told = (0..1000).filter(|_| complaints.admit(begin).is_some()).count();
        assert_eq!(told, 20);
        let later = begin + Duration::from_millis(1500);
        assert_eq!(complaints.admit(later), Some(980));
        assert_eq!(complaints.admit(later), None);
        assert_eq!(complaints.admit(begin + Duration::from_secs(2)), Some(1));
        let calm = begin + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| complaints.admit(calm).is_some()).count(), 20);
        assert_eq!(
            (complaints.rest(), complaints.rest()),
            (980, 0),
            "the end of a flood is told once"
        );
    }
}
