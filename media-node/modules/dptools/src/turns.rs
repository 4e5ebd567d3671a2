//! `mutex`: calls that go one at a time, in the order they came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Who waits for what; the first of each queue has its turn.
pub struct Turns {
    queues: Mutex<BTreeMap<String, VecDeque<Arc<str>>>>,
    changed: watch::Sender<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { queues: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Turns {
    /// Queues a call; nothing happens if it is queued already.
    pub fn queue(&self, key: &str, uuid: &Arc<str>) {
        let mut queues = self.queues.lock();
        let queue = queues.entry(key.to_owned()).or_default();
        if !queue.contains(uuid) {
            queue.push_back(Arc::clone(uuid));
        }
    }

    /// Is it that call's turn?
    #[must_use]
    pub fn has_turn(&self, key: &str, uuid: &str) -> bool {
        self.queues.lock().get(key).and_then(VecDeque::front).is_some_and(|first| &**first == uuid)
    }

    /// Takes a call out of one queue, or of all.
    pub fn leave(&self, key: Option<&str>, uuid: &str) {
        let mut queues = self.queues.lock();
        if queues.is_empty() {
            return;
        }
        queues.retain(|known, queue| {
            if key.is_none_or(|key| key == known) {
                queue.retain(|waiting| &**waiting != uuid);
            }
            !queue.is_empty()
        });
        drop(queues);
        self.changed.send_replace(());
    }

    /// Watches for turns that change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_in_order() {
        let turns = Turns::default();
        for uuid in ["a", "b", "c", "a"] {
            turns.queue("k", &uuid.into());
        }
        assert!(turns.has_turn("k", "a") && !turns.has_turn("k", "b"));
        turns.leave(None, "b");
        turns.leave(Some("other"), "a");
        assert!(turns.has_turn("k", "a"));
        turns.leave(Some("k"), "a");
        assert!(turns.has_turn("k", "c"));
    }
}
