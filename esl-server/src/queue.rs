//! The bounded queue between the firing side and one reader.
//!
//! Firing never waits: a full queue loses the item, counts it, and after [`MAX_LOST_RUN`] losses in
//! a row the queue is declared overrun, for its reader to give up. A reader takes everything at
//! once, and is woken only when the queue was empty before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// More consecutive losses than this end a reader.
pub(crate) const MAX_LOST_RUN: u32 = 500;

pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
    wake: Notify,
    lost: AtomicU64,
    overrun: AtomicBool,
}

struct Inner<T> {
    items: VecDeque<T>,
    lost_run: u32,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner { items: VecDeque::new(), lost_run: 0 }),
            capacity,
            wake: Notify::new(),
            lost: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
        }
    }

    pub(crate) fn push(&self, item: T) {
        let mut inner = self.inner.lock();
        let first = inner.items.is_empty();
        if inner.items.len() < self.capacity {
            inner.items.push_back(item);
            inner.lost_run = 0;
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            inner.lost_run = inner.lost_run.saturating_add(1);
            if inner.lost_run > MAX_LOST_RUN && !self.overrun.swap(true, Ordering::Relaxed) {
                drop(inner);
                self.wake.notify_one();
            }
            return;
        }
        drop(inner);
        if first {
            self.wake.notify_one();
        }
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.inner.lock().items.pop_front()
    }

    /// Moves at most `most` items into `into`, which is empty.
    pub(crate) fn take(&self, most: usize, into: &mut VecDeque<T>) {
        let mut inner = self.inner.lock();
        if inner.items.len() <= most {
            std::mem::swap(&mut inner.items, into);
        } else {
            into.extend(inner.items.drain(..most));
        }
    }

    pub(crate) fn clear(&self) {
        self.inner.lock().items.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.lock().items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().items.len()
    }

    /// How many items were ever lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    /// Resolves when something may have arrived or the queue was overrun.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_and_a_success_forgives_them() {
        let queue = Queue::new(2);
        for n in 0..4 {
            queue.push(n);
        }
        assert_eq!((queue.len(), queue.lost()), (2, 2));
        assert_eq!(queue.pop(), Some(0));
        queue.push(9);
        for n in 0..MAX_LOST_RUN {
            queue.push(n);
        }
        assert!(!queue.is_overrun());
        queue.push(0);
        assert!(queue.is_overrun());
    }
}
