//! From the journal to a sink, in order, each entry once.
//!
//! A sink's position is saved after each batch: by the sink itself, together with what it stored
//! ([`Sink::keeps_position`]), or in a file beside the journal. A record that comes alone is delivered at once; those
//! that follow within [`GATHER`] share a batch, since a batch costs more than the records in it. A sink in trouble is tried again with growing pauses; the journal keeps what it
//! has not got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::{Journal, Position};
use crate::record::Entry;

/// Entries per batch.
const BATCH: usize = 64;
/// From one batch that was not full to the next, at least.
const GATHER: Duration = Duration::from_millis(100);
/// Pauses between tries grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A boxed future.
pub type Deed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a sink did not take a batch. It is tried again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Who receives records.
pub trait Sink: Send + Sync {
    /// The name entries call it by: its module's.
    fn name(&self) -> &str;

    /// Does it store its position itself, together with what it received? Then none is kept beside the journal.
    fn keeps_position(&self) -> bool {
        false
    }

    /// The position stored with what was received. `None`: there is none yet, or it is kept beside the journal.
    fn position(&mut self) -> Deed<'_, Result<Option<Position>, SinkError>> {
        Box::pin(async { Ok(None) })
    }

    /// Receives entries that name it; `after` is the position behind the last. All or none: after an error the same
    /// entries come again.
    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        after: Position,
    ) -> Deed<'a, Result<(), SinkError>>;
}

/// Counters of a sink, for status and metrics.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries delivered since start.
    pub delivered: AtomicU64,
    /// Batches refused since start.
    pub refused: AtomicU64,
}

/// A running delivery.
pub struct Delivery {
    position: watch::Receiver<Position>,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Delivery {
    /// Starts to hand entries to a sink from where it stopped.
    #[must_use]
    pub fn start(journal: Arc<Journal>, sink: Box<dyn Sink>) -> Self {
        let (told, position) = watch::channel(Position::default());
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let mut runner = Runner { journal, sink, told, progress: Arc::clone(&progress), stopped };
        let task = tokio::spawn(async move {
            // A sink that dies of a bug is tried again: what it has not taken is still in the journal.
            while base::tasks::step("Call records", runner.run()).await.is_none() {
                if !runner.pause(PAUSES.1).await {
                    return;
                }
            }
        });
        Self { position, progress, stop, task }
    }

    /// Everything before this is delivered.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Counters.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits until everything before `position` is delivered.
    pub async fn reached(&self, position: Position) {
        let mut at = self.position.clone();
        let _ended = at.wait_for(|at| *at >= position).await;
    }

    /// Lets the batch under way end, then stops.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ended = self.task.await;
    }
}

struct Runner {
    journal: Arc<Journal>,
    sink: Box<dyn Sink>,
    told: watch::Sender<Position>,
    progress: Arc<Progress>,
    stopped: watch::Receiver<bool>,
}

impl Runner {
    async fn run(&mut self) {
        let mut end = self.journal.end();
        let Some(mut at) = self.begin().await else { return };
        self.told.send_replace(at);
        loop {
            if *self.stopped.borrow() {
                return;
            }
            match self.read(at).await {
                Ok(read) if read.is_empty() => {
                    let mut stopped = self.stopped.clone();
                    tokio::select! {
                        changed = end.wait_for(|end| *end > at) => if changed.is_err() { return },
                        _ = stopped.wait_for(|stop| *stop) => return,
                    }
                }
                Ok(read) => {
                    let (began, full) = (Instant::now(), read.len() == BATCH);
                    let Some(after) = self.hand_on(read).await else { return };
                    at = after;
                    if !full && !self.pause(GATHER.saturating_sub(began.elapsed())).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!("call records for {}: {error}", self.sink.name());
                    if !self.pause(PAUSES.1).await {
                        return;
                    }
                }
            }
        }
    }

    async fn begin(&mut self) -> Option<Position> {
        let mut pause = PAUSES.0;
        loop {
            let error = match self.sink.position().await {
                Ok(Some(position)) => return Some(position),
                Ok(None) => {
                    let path = self.journal.cursor_path(self.sink.name());
                    let saved = tokio::fs::read_to_string(&path).await;
                    if let Some(position) = saved.ok().and_then(|text| text.parse().ok()) {
                        return Some(position);
                    }
                    match self.journal.beginning() {
                        Ok(position) => return Some(position),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            tracing::warn!("call records for {} wait: {error}", self.sink.name());
            if !self.pause(pause).await {
                return None;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn read(
        &mut self,
        at: Position,
    ) -> Result<Vec<(Position, Vec<u8>)>, crate::JournalError> {
        let journal = Arc::clone(&self.journal);
        tokio::task::spawn_blocking(move || journal.read(at, BATCH))
            .await
            .unwrap_or(Err(crate::JournalError::Closed))
    }

    /// Hands a batch on until the sink takes it. `None`: stopped meanwhile.
    async fn hand_on(&mut self, read: Vec<(Position, Vec<u8>)>) -> Option<Position> {
        let after = read.last()?.0;
        let name = self.sink.name().to_owned();
        let entries: Vec<(Position, Entry)> = read
            .into_iter()
            .filter_map(|(position, body)| match serde_json::from_slice::<Entry>(&body) {
                Ok(entry) => entry.sinks.contains(&name).then_some((position, entry)),
                Err(error) => {
                    tracing::error!("the record before {position} cannot be read: {error}");
                    None
                }
            })
            .collect();
        let mut pause = PAUSES.0;
        while !entries.is_empty() {
            match self.sink.receive(&entries, after).await {
                Ok(()) => break,
                Err(error) => {
                    self.progress.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        "{name} did not take {} call records, next try in {} ms: {error}",
                        entries.len(),
                        pause.as_millis()
                    );
                    if !self.pause(pause).await {
                        return None;
                    }
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
        self.progress.delivered.fetch_add(entries.len() as u64, Ordering::Relaxed);
        if !self.sink.keeps_position() {
            self.save(after).await;
        }
        self.told.send_replace(after);
        Some(after)
    }

    async fn save(&self, position: Position) {
        let path = self.journal.cursor_path(self.sink.name());
        let fresh = path.with_extension("position.new");
        let saved = async {
            tokio::fs::write(&fresh, position.to_string()).await?;
            tokio::fs::rename(&fresh, &path).await
        };
        if let Err(error) = saved.await {
            tracing::error!("{}: {error}", path.display());
        }
    }

    /// False: stopped meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.clone();
        tokio::time::timeout(time, stopped.wait_for(|stop| *stop)).await.is_err()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::journal::Options;
    use crate::record::tests::sample;

    #[derive(Clone, Default)]
    struct Store {
        got: Arc<Mutex<Vec<String>>>,
        refusals: Arc<AtomicU64>,
    }

    impl Sink for Store {
        fn name(&self) -> &str {
            "store"
        }

        fn receive<'a>(
            &'a mut self,
            entries: &'a [(Position, Entry)],
            _after: Position,
        ) -> Deed<'a, Result<(), SinkError>> {
            Box::pin(async move {
                let left = self.refusals.load(Ordering::Relaxed);
                if left > 0 {
                    self.refusals.store(left - 1, Ordering::Relaxed);
                    return Err(SinkError("not now".into()));
                }
                self.got.lock().extend(entries.iter().map(|(_, entry)| entry.record.uuid.clone()));
                Ok(())
            })
        }
    }

    async fn add(journal: &Journal, uuid: usize, sink: &str) -> Position {
        let mut entry = Entry { sinks: vec![sink.into()], record: sample(), ..Entry::default() };
        entry.record.uuid = uuid.to_string();
        journal.append(serde_json::to_vec(&entry).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn each_entry_arrives_once_in_order_across_restarts_and_refusals() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::default();
        let mut count = 0;
        for round in 0..4 {
            let options = Options { segment_bytes: 8 << 10, ..Options::default() };
            let journal = Journal::open(dir.path(), options).unwrap();
            store.refusals.store(round, Ordering::Relaxed);
            let delivery = Delivery::start(Arc::clone(&journal), Box::new(store.clone()));
            let mut last = Position::default();
            for _ in 0..100 {
                add(&journal, 9999, "somebody else").await;
                last = add(&journal, count, "store").await;
                count += 1;
            }
            delivery.reached(last).await;
            assert_eq!(delivery.progress().refused.load(Ordering::Relaxed), round);
            delivery.stop().await;
        }
        let wanted: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        assert_eq!(*store.got.lock(), wanted);
    }

    #[tokio::test]
    async fn what_was_written_while_nobody_received_is_delivered_later() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        let last = add(&journal, 1, "store").await;
        let store = Store::default();
        let delivery = Delivery::start(Arc::clone(&journal), Box::new(store.clone()));
        delivery.reached(last).await;
        assert_eq!(*store.got.lock(), ["1"]);
        delivery.stop().await;
    }
}
