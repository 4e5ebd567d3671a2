//! The bounded queue between the firing side and one reader.
//!
//! Firing never waits: a full queue loses the item, counts it, and after [`MAX_LOST_RUN`] losses in
//! a row the queue is declared overrun, for its reader to give up. Full is a number of items, or
//! [`MAX_BYTES`] of them: a hundred thousand events of a call with many variables would be a
//! gigabyte. A reader takes everything at once, and is woken only when the queue was empty before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// More consecutive losses than this end a reader.
pub(crate) const MAX_LOST_RUN: u32 = 500;

/// Most bytes of items that wait for one reader.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// What a queue holds.
pub(crate) trait Item {
    /// About how many bytes it keeps in memory.
    fn size(&self) -> usize;
}

pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    capacity: AtomicUsize,
    most_bytes: AtomicUsize,
    wake: Notify,
    lost: AtomicU64,
    overrun: AtomicBool,
}

struct Inner<T> {
    items: VecDeque<T>,
    bytes: usize,
    lost_run: u32,
}

impl<T: Item> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner { items: VecDeque::new(), bytes: 0, lost_run: 0 }),
            capacity: AtomicUsize::new(capacity),
            most_bytes: AtomicUsize::new(MAX_BYTES),
            wake: Notify::new(),
            lost: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
        }
    }

    /// Sets how much may wait from now on; what waits stays.
    pub(crate) fn bound(&self, capacity: usize, most_bytes: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.most_bytes.store(most_bytes, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, item: T) {
        let mut inner = self.inner.lock();
        let first = inner.items.is_empty();
        let size = item.size();
        let capacity = self.capacity.load(Ordering::Relaxed);
        let most_bytes = self.most_bytes.load(Ordering::Relaxed);
        if inner.items.len() < capacity && (first || inner.bytes + size <= most_bytes) {
            inner.bytes += size;
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
        let mut inner = self.inner.lock();
        let item = inner.items.pop_front()?;
        inner.bytes = inner.bytes.saturating_sub(item.size());
        Some(item)
    }

    /// Moves at most `most` items into `into`, which is empty.
    pub(crate) fn take(&self, most: usize, into: &mut VecDeque<T>) {
        let mut inner = self.inner.lock();
        if inner.items.len() <= most {
            std::mem::swap(&mut inner.items, into);
            inner.bytes = 0;
        } else {
            into.extend(inner.items.drain(..most));
            let taken: usize = into.iter().map(Item::size).sum();
            inner.bytes = inner.bytes.saturating_sub(taken);
        }
    }

    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.items.clear();
        inner.bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.lock().items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().items.len()
    }

    /// Something about the item that has waited longest.
    pub(crate) fn first<V>(&self, of: impl FnOnce(&T) -> V) -> Option<V> {
        self.inner.lock().items.front().map(of)
    }

    /// About how many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
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

    impl Item for u32 {
        fn size(&self) -> usize {
            1
        }
    }

    impl Item for Vec<u8> {
        fn size(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn bytes_fill_a_queue_too_and_leaving_items_give_them_back() {
        let queue = Queue::new(1000);
        let big = vec![0_u8; MAX_BYTES / 4];
        for _ in 0..6 {
            queue.push(big.clone());
        }
        assert_eq!((queue.len(), queue.lost(), queue.bytes()), (4, 2, MAX_BYTES));
        assert!(queue.pop().is_some());
        queue.push(vec![0]);
        let mut taken = VecDeque::new();
        queue.take(2, &mut taken);
        assert_eq!(queue.bytes(), MAX_BYTES / 4 + 1);
        queue.take(9, &mut VecDeque::new());
        assert_eq!(queue.bytes(), 0);
        queue.push(vec![0; MAX_BYTES + 1]);
        assert_eq!(queue.len(), 1, "one item always has room");
        queue.clear();
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn losses_are_counted_and_a_success_forgives_them() {
        let queue = Queue::new(2);
        for n in 0_u32..4 {
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
