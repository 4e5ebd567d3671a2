//! Call records on their way: the journal, the modules that want records, and the deliveries to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::reading::Reading;
use parking_lot::{Mutex, RwLock};
use records::journal::{JournalError, Options};
use records::{Delivery, Entry, Journal, Position, Sink};

use switch_core::call::Channel;
use tokio::task::AbortHandle;

use crate::active::Task;
use crate::record::{self, Recorder};

/// A call's end is shown at the latest so long after its record went to the journal, written or not.
const PATIENCE: Duration = Duration::from_secs(2);
/// When a module goes, and at the end, what is in the journal may still be delivered for so long.
const GOODBYE: Duration = Duration::from_secs(3);

/// The journal and who receives what is in it. Without a recorder nothing is written.
#[derive(Default)]
pub(crate) struct Records {
    journal: Mutex<Option<Arc<Journal>>>,
    recorders: RwLock<BTreeMap<&'static str, Arc<dyn Recorder>>>,
    deliveries: Mutex<BTreeMap<&'static str, Delivery>>,
    /// What removes old records, by module.
    keepers: Mutex<BTreeMap<&'static str, AbortHandle>>,
    /// What keeps `active_calls`, by module.
    shown: Mutex<BTreeMap<&'static str, Task>>,
    /// The journal's segment that was written to last.
    segment: AtomicU64,
}

impl Records {
    /// The journal, opened in `dir` when it is first needed.
    ///
    /// # Errors
    /// [`JournalError`] when the folder cannot be used.
    pub(crate) fn journal(&self, dir: &Path) -> Result<Arc<Journal>, JournalError> {
        let mut journal = self.journal.lock();
        if let Some(open) = &*journal {
            return Ok(Arc::clone(open));
        }
        let open = Journal::open(&dir.join("call_records"), Options::default())?;
        *journal = Some(Arc::clone(&open));
        Ok(open)
    }

    /// Adds a module that wants records, and its sink.
    pub(crate) fn add(
        &self,
        name: &'static str,
        recorder: Arc<dyn Recorder>,
        journal: &Arc<Journal>,
        sink: Box<dyn Sink>,
    ) {
        self.recorders.write().insert(name, recorder);
        let delivery = Delivery::start(Arc::clone(journal), sink);
        self.deliveries.lock().insert(name, delivery);
    }

    /// A module has a task that removes its old records. It ends with the module.
    pub(crate) fn keep(&self, name: &'static str, task: AbortHandle) {
        if let Some(before) = self.keepers.lock().insert(name, task) {
            before.abort();
        }
    }

    /// A module keeps `active_calls` as well, until it goes.
    pub(crate) async fn show(&self, name: &'static str, task: Task) {
        let before = self.shown.lock().insert(name, task);
        if let Some(before) = before {
            before.stop().await;
        }
    }

    /// A module goes: what is in the journal may still be delivered shortly; the rest it receives when it comes back.
    pub(crate) async fn remove(&self, name: &str) {
        if let Some(keeper) = self.keepers.lock().remove(name) {
            keeper.abort();
        }
        let shown = self.shown.lock().remove(name);
        if let Some(shown) = shown {
            shown.stop().await;
        }
        let delivery = self.deliveries.lock().remove(name);
        let journal = self.journal.lock().clone();
        if let (Some(delivery), Some(journal)) = (delivery, journal) {
            let end = *journal.end().borrow();
            let _in_time = tokio::time::timeout(GOODBYE, delivery.reached(end)).await;
            let _in_time = tokio::time::timeout(GOODBYE, delivery.stop()).await;
        }
        // Last: calls that end while a module is reloaded still have their records written for it.
        self.recorders.write().remove(name);
        if self.deliveries.lock().is_empty() {
            let journal = self.journal.lock().take();
            let _closed = tokio::task::spawn_blocking(move || drop(journal)).await;
        }
    }

    /// Writes the record of a call that has ended to the journal, if anybody wants it, and waits until it is there.
    pub(crate) async fn report(&self, channel: &Arc<Channel>) {
        let recorders: Vec<Arc<dyn Recorder>> = self.recorders.read().values().cloned().collect();
        if recorders.is_empty() || !record::is_wanted(channel) {
            return;
        }
        let mut entry = Entry::default();
        for recorder in recorders {
            recorder.wants(channel, &mut entry).await;
        }
        if entry.sinks.is_empty() {
            return;
        }
        entry.record = record::of(channel);
        let Some(journal) = self.journal.lock().clone() else { return };
        let Ok(body) = serde_json::to_vec(&entry) else { return };
        let uuid = channel.uuid();
        match tokio::time::timeout(PATIENCE, journal.append(body)).await {
            Ok(Ok(end)) => {
                let before = self.segment.swap(end.segment, Ordering::Relaxed);
                if before != end.segment {
                    self.tidy();
                }
            }
            Ok(Err(JournalError::Disk { path, source })) => tracing::error!(
                %uuid, fs_level = "ALERT",
                "the call record is kept in memory: {}: {source}", path.display()
            ),
            Ok(Err(error)) => {
                tracing::error!(%uuid, fs_level = "ALERT", "the call record is lost: {error}");
            }
            Err(_) => tracing::error!(
                %uuid, fs_level = "ALERT", "the disk takes long to write the call record"
            ),
        }
    }

    /// What the metrics page shows of the journal and its sinks.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let Some(journal) = self.journal.lock().clone() else { return Vec::new() };
        let counters = journal.counters();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut all = vec![
            Reading::counter(
                "records_written_total",
                "Call records written to the journal.",
                read(&counters.written),
            ),
            Reading::gauge(
                "records_waiting",
                "Call records kept in memory because the disk refuses them.",
                read(&counters.waiting) as f64,
            ),
            Reading::counter(
                "records_lost_total",
                "Call records lost: the disk refused them for too long.",
                read(&counters.lost),
            ),
        ];
        for (sink, delivery) in &*self.deliveries.lock() {
            let behind = journal.behind(delivery.position());
            let progress = delivery.progress();
            let own = [
                Reading::gauge(
                    "records_behind_bytes",
                    "Bytes of the journal that a sink has not received yet.",
                    behind as f64,
                ),
                Reading::counter(
                    "records_delivered_total",
                    "Call records a sink has received.",
                    read(&progress.delivered),
                ),
                Reading::counter(
                    "records_refused_total",
                    "Batches of call records a sink did not take; they are tried again.",
                    read(&progress.refused),
                ),
            ];
            all.extend(own.map(|reading| reading.of("sink", *sink)));
        }
        all
    }

    /// Where the slowest sink is.
    fn oldest(&self) -> Option<Position> {
        self.deliveries.lock().values().map(Delivery::position).min()
    }

    /// Deletes the segments every loaded sink has received: a few files at most.
    fn tidy(&self) {
        let (Some(journal), Some(oldest)) = (self.journal.lock().clone(), self.oldest()) else {
            return;
        };
        if let Err(error) = journal.release(oldest) {
            tracing::warn!("{error}");
        }
    }

    /// SIGHUP, `fsctl send_sighup`: modules that rotate their files do. Blocking.
    pub(crate) fn rotate(&self) {
        let recorders: Vec<Arc<dyn Recorder>> = self.recorders.read().values().cloned().collect();
        recorders.iter().for_each(|recorder| recorder.rotate());
    }
}
