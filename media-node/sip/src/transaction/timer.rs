//! Deadlines as data: a heap of (when, what). A cancelled timer stays in the heap and is recognised
//! as stale when it comes up, because its owner no longer waits for that instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A set of deadlines for owners named by `K`.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    pub(crate) fn arm(&mut self, at: Instant, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// When to look again. May be early (a stale entry), never late.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Gives back room that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.heap.shrink_to(self.heap.len().saturating_mul(2));
    }

    /// Takes the first deadline that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}
