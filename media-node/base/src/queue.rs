//! A bounded queue from any thread to one task, for what there are many of: each call has half a dozen.
//!
//! An empty one is a lock and four words; memory is held for what waits, and given back once a burst was taken. (A
//! channel of tokio's keeps a block of thirty-two places and padded counters, more than a kilobyte.)

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Room kept in a queue that was emptied; more is given back.
const KEPT: usize = 8;

/// Why an item was not taken, with the item.
#[derive(Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// As many wait as may.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// Why there is no item now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// None waits.
    Empty,
    /// None waits, and no sender is left.
    Disconnected,
}

struct Inner<T> {
    items: VecDeque<T>,
    /// Of the task that waits in [`Receiver::recv`].
    waker: Option<Waker>,
    senders: usize,
    closed: bool,
}

struct Shared<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
}

/// A queue in which at most `capacity` items wait.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let inner = Inner { items: VecDeque::new(), waker: None, senders: 1, closed: false };
    let shared = Arc::new(Shared { inner: Mutex::new(inner), capacity });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Where items are put in.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// How many more items would be taken now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.capacity.saturating_sub(self.0.inner.lock().items.len())
    }

    /// Puts an item in, without waiting.
    ///
    /// # Errors
    /// The queue is full, or its receiver is gone.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut inner = self.0.inner.lock();
        if inner.closed {
            return Err(TrySendError::Closed(item));
        }
        if inner.items.len() >= self.0.capacity {
            return Err(TrySendError::Full(item));
        }
        inner.items.push_back(item);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.inner.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.senders -= 1;
        let waker = if inner.senders == 0 { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Where items are taken out, in the order they came.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The next item; `None` once all were taken and no sender is left. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // A queue that is filled as fast as it is read must not keep other tasks from their turn.
        let turn = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        let mut inner = self.0.inner.lock();
        match take(&mut inner) {
            Err(TryRecvError::Empty) => {
                if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    inner.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            taken => {
                turn.made_progress();
                Poll::Ready(taken.ok())
            }
        }
    }

    /// The next item, if it is there already.
    ///
    /// # Errors
    /// There is none, or there will be none.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        take(&mut self.0.inner.lock())
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.inner.lock().items.len()
    }

    /// None waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn take<T>(inner: &mut Inner<T>) -> Result<T, TryRecvError> {
    let Some(item) = inner.items.pop_front() else {
        return Err(if inner.senders == 0 {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        });
    };
    if inner.items.is_empty() && inner.items.capacity() > KEPT {
        inner.items = VecDeque::new();
    }
    Ok(item)
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.closed = true;
        let (items, waker) = (std::mem::take(&mut inner.items), inner.waker.take());
        drop(inner);
        // Items may hold senders of this queue: they are dropped without the lock.
        drop((items, waker));
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::at_once;

    #[test]
    fn items_come_in_order_and_a_full_queue_refuses() {
        let (sender, mut receiver) = bounded(2);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.clone().try_send(2), Ok(()));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(at_once(receiver.recv()), Some(Some(1)));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(at_once(receiver.recv()), None);
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (sender, mut receiver) = bounded(4);
        let other = sender.clone();
        assert_eq!(sender.try_send(1), Ok(()));
        drop((sender, other));
        assert_eq!(at_once(receiver.recv()), Some(Some(1)), "what was sent before still comes");
        assert_eq!(at_once(receiver.recv()), Some(None));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));

        let (sender, receiver) = bounded(4);
        drop(receiver);
        assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
    }

    #[test]
    fn an_item_may_hold_a_sender_of_its_queue() {
        struct Item(#[allow(dead_code, reason = "held for its drop")] Sender<Self>);
        let (sender, receiver) = bounded(4);
        assert!(sender.try_send(Item(sender.clone())).is_ok());
        drop(receiver);
        drop(sender);
    }

    #[test]
    fn room_for_a_burst_is_given_back() {
        let (sender, mut receiver) = bounded(256);
        for n in 0..256 {
            assert_eq!(sender.try_send(n), Ok(()));
        }
        while receiver.try_recv().is_ok() {}
        assert!(receiver.0.inner.lock().items.capacity() <= KEPT);
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_by_an_item_and_by_the_end() {
        let (sender, mut receiver) = bounded(1);
        let task = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(n) = receiver.recv().await {
                sum += n;
            }
            sum
        });
        for n in 1..=100 {
            while sender.try_send(n).is_err() {
                tokio::task::yield_now().await;
            }
        }
        drop(sender);
        assert_eq!(task.await.ok(), Some(5050));
    }
}
