//! Messages on disk until the broker has them: a journal of their own for each profile.
//!
//! What is full is said once in a while, and further messages are dropped for as long as the circuit breaker says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use records::Position;
use records::journal::{Journal, JournalError, Options, Sync};
use serde::{Deserialize, Serialize};

use crate::Stats;

/// A new segment of the spool begins after so many bytes: what the broker has is given back in such pieces.
const SEGMENT: u64 = 8 << 20;

/// Why a profile has no spool.
#[derive(Debug, thiserror::Error)]
#[error("its spool: {0}")]
pub(crate) struct SpoolError(#[from] JournalError);

/// A message as it lies in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Routing key.
    pub(crate) key: String,
    /// `message-id`: the same however often the message is sent.
    pub(crate) id: String,
    /// When it was written, microseconds since the epoch.
    pub(crate) time: i64,
    /// The JSON document.
    pub(crate) body: String,
}

/// The spool of one profile.
pub(crate) struct Spool {
    journal: Arc<Journal>,
    most: u64,
    breaker: Duration,
    stats: Arc<Stats>,
    state: Mutex<State>,
}

struct State {
    /// Everything before is with the broker.
    sent: Position,
    /// Messages are dropped until then.
    closed_until: Option<Instant>,
}

impl Spool {
    /// Opens the spool `folder`, with what an earlier run left in it.
    pub(crate) fn open(
        folder: &Path,
        most: u64,
        breaker: Duration,
        stats: &Arc<Stats>,
    ) -> Result<Arc<Self>, SpoolError> {
        let options = Options {
            sync: Sync::Every(Duration::from_secs(1)),
            segment_bytes: SEGMENT.min(most),
            content: "AMQP messages",
        };
        let journal = Journal::open(folder, options)?;
        let saved = std::fs::read_to_string(journal.cursor_path(CURSOR)).ok();
        let beginning = journal.beginning()?;
        let sent = saved.and_then(|text| text.parse().ok()).unwrap_or(beginning).max(beginning);
        let spool = Self {
            journal,
            most,
            breaker,
            stats: Arc::clone(stats),
            state: Mutex::new(State { sent, closed_until: None }),
        };
        spool.measure();
        Ok(Arc::new(spool))
    }

    /// Adds messages; those that do not fit are dropped and counted. Waits for the disk.
    pub(crate) async fn add(&self, messages: Vec<Message>) {
        let mut waiting = Vec::with_capacity(messages.len());
        for message in messages {
            if !self.has_room() {
                self.stats.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if let Ok(body) = serde_json::to_vec(&message) {
                waiting.push(self.journal.append(body));
            }
        }
        for written in futures_util::future::join_all(waiting).await {
            match written {
                // The journal says so itself, and keeps what the disk refuses.
                Ok(_) | Err(JournalError::Disk { .. }) => {}
                Err(error) => {
                    self.stats.dropped.fetch_add(1, Ordering::Relaxed);
                    tracing::error!("AMQP {}: a message is lost: {error}", self.stats.name);
                }
            }
        }
        self.measure();
    }

    fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.closed_until.is_some_and(|until| now < until) {
            return false;
        }
        if self.journal.behind(state.sent) < self.most {
            return true;
        }
        state.closed_until = Some(now + self.breaker);
        tracing::error!(
            "AMQP {}: the spool is full ({} bytes). Messages are dropped for {:.1}s",
            self.stats.name,
            self.most,
            self.breaker.as_secs_f64()
        );
        false
    }

    /// The next messages the broker has not got, with the position behind each. Blocking; empty at the end.
    pub(crate) fn next(&self, count: usize) -> Result<Vec<(Position, Message)>, JournalError> {
        let from = self.state.lock().sent;
        let read = self.journal.read(from, count)?;
        let message = |(position, body): (Position, Vec<u8>)| {
            Some((position, serde_json::from_slice::<Message>(&body).ok()?))
        };
        let count = read.len();
        let last = read.last().map(|(position, _)| *position);
        let messages: Vec<_> = read.into_iter().filter_map(message).collect();
        if messages.is_empty() && count > 0 {
            // Nothing in them can be read: not worth stopping for.
            last.into_iter().for_each(|position| self.sent(position));
        }
        Ok(messages)
    }

    /// The broker has everything before that position. Blocking.
    pub(crate) fn sent(&self, position: Position) {
        self.state.lock().sent = position;
        let path = self.journal.cursor_path(CURSOR);
        let fresh = path.with_extension("position.new");
        let saved = std::fs::write(&fresh, position.to_string())
            .and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(error) = saved {
            tracing::error!("{}: {error}", path.display());
        }
        if let Err(error) = self.journal.release(position) {
            tracing::error!("{error}");
        }
        self.measure();
    }

    /// Resolves when there may be something to send.
    pub(crate) async fn changed(&self) {
        let mut end = self.journal.end();
        let sent = self.state.lock().sent;
        let _closed = end.wait_for(|end| *end > sent).await;
    }

    fn measure(&self) {
        let waiting = self.journal.behind(self.state.lock().sent);
        self.stats.waiting.store(waiting, Ordering::Relaxed);
    }
}

/// Name of the file that holds the position.
const CURSOR: &str = "broker";

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: usize) -> Message {
        Message { key: "a.b".into(), id: n.to_string(), time: 0, body: "{}".repeat(100) }
    }

    #[tokio::test]
    async fn what_is_not_sent_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let stats = Arc::new(Stats::default());
        let open = || Spool::open(folder.path(), 1 << 20, Duration::ZERO, &stats).unwrap();
        let spool = open();
        spool.add((0..10).map(message).collect()).await;
        let read = spool.next(4).unwrap();
        assert_eq!(read.len(), 4);
        spool.sent(read[3].0);
        drop(spool);
        let spool = open();
        let ids: Vec<String> = spool.next(99).unwrap().into_iter().map(|(_, m)| m.id).collect();
        assert_eq!(ids, ["4", "5", "6", "7", "8", "9"]);
    }

    #[tokio::test]
    async fn a_full_spool_drops_and_counts_and_takes_again_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let stats = Arc::new(Stats::default());
        let spool = Spool::open(folder.path(), 1000, Duration::ZERO, &stats).unwrap();
        for n in 0..20 {
            spool.add(vec![message(n)]).await;
        }
        let dropped = stats.dropped.load(Ordering::Relaxed);
        assert!((10..20).contains(&dropped), "{dropped}");
        let last = spool.next(99).unwrap().last().unwrap().0;
        spool.sent(last);
        spool.add(vec![message(99)]).await;
        assert_eq!(spool.next(99).unwrap()[0].1.id, "99");
        assert_eq!(stats.dropped.load(Ordering::Relaxed), dropped);
    }
}
