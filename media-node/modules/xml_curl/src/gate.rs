//! How many lookups a web server gets at once, how many wait, and when it is left alone for a while.
//!
//! A server that hangs or is down costs the calls that asked it their own deadline. After some failures in a row it
//! is not asked at all, but for one lookup now and then that finds out whether it is back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// What a gate lets through.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lookups on their way at once.
    pub concurrent: usize,
    /// Lookups that may wait for a place; further ones are refused.
    pub waiting: usize,
    /// Failures in a row after which the server is left alone; 0 for never.
    pub failures: u32,
    /// For how long it is left alone before one lookup tries again.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrent: 100, waiting: 1_000, failures: 5, pause: Duration::from_secs(5) }
    }
}

/// Why a lookup was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server failed too often lately.
    Open,
    /// Too many are waiting.
    Full,
}

/// One binding's gate.
pub struct Gate {
    limits: Limits,
    places: Semaphore,
    waiting: AtomicUsize,
    breaker: Mutex<Breaker>,
}

/// A lookup that was let through. Dropped without a word, it says nothing about the server.
pub struct Pass<'g> {
    gate: &'g Gate,
    _place: SemaphorePermit<'g>,
    told: bool,
}

impl Gate {
    /// A gate for a server nothing is known about.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Semaphore::new(limits.concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            breaker: Mutex::new(Breaker::Closed { failures: 0 }),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// At once when the server is left alone or the queue is full; later when it failed meanwhile.
    pub async fn enter(&self) -> Result<Pass<'_>, Refused> {
        if self.breaker.lock().refuses(Instant::now()) {
            return Err(Refused::Open);
        }
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let _waiting = Waiting::new(self).ok_or(Refused::Full)?;
                self.places.acquire().await.map_err(|_| Refused::Full)?
            }
        };
        if !self.breaker.lock().admit(Instant::now()) {
            return Err(Refused::Open);
        }
        Ok(Pass { gate: self, _place: place, told: false })
    }

    /// Lookups on their way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.limits.concurrent.saturating_sub(self.places.available_permits())
    }

    /// Lookups waiting for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// `closed` (asked), `open` (left alone) or `half-open` (being tried).
    #[must_use]
    pub fn state(&self) -> &'static str {
        match *self.breaker.lock() {
            Breaker::Closed { .. } => "closed",
            Breaker::Open { .. } => "open",
            Breaker::Trying => "half-open",
        }
    }
}

struct Waiting<'g>(&'g Gate);

impl<'g> Waiting<'g> {
    fn new(gate: &'g Gate) -> Option<Self> {
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(gate);
        (before < gate.limits.waiting).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pass<'_> {
    /// The server answered. True if it had been left alone until now.
    pub fn succeeded(mut self) -> bool {
        self.told = true;
        let mut breaker = self.gate.breaker.lock();
        let back = matches!(*breaker, Breaker::Trying);
        *breaker = Breaker::Closed { failures: 0 };
        back
    }

    /// The server did not answer, or said that it cannot. True if it is left alone from now on.
    pub fn failed(mut self) -> bool {
        self.told = true;
        self.gate.breaker.lock().failed(self.gate.limits, Instant::now())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.gate.breaker.lock().gave_up(Instant::now());
        }
    }
}

enum Breaker {
    Closed { failures: u32 },
    Open { until: Instant },
    Trying,
}

impl Breaker {
    fn refuses(&self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => false,
            Self::Open { until } => now < *until,
            Self::Trying => true,
        }
    }

    fn admit(&mut self, now: Instant) -> bool {
        if self.refuses(now) {
            return false;
        }
        if matches!(self, Self::Open { .. }) {
            *self = Self::Trying;
        }
        true
    }

    fn failed(&mut self, limits: Limits, now: Instant) -> bool {
        let open = match self {
            Self::Closed { failures } => {
                *failures = failures.saturating_add(1);
                limits.failures > 0 && *failures >= limits.failures
            }
            Self::Trying => true,
            // Was on its way when the others failed.
            Self::Open { .. } => false,
        };
        if open {
            *self = Self::Open { until: now + limits.pause };
        }
        open
    }

    /// The lookup that tried was given up; the next one may try.
    fn gave_up(&mut self, now: Instant) {
        if matches!(self, Self::Trying) {
            *self = Self::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrent: usize, waiting: usize, failures: u32) -> Gate {
        Gate::new(Limits { concurrent, waiting, failures, pause: Duration::from_secs(5) })
    }

    async fn refused(gate: &Gate) -> Option<Refused> {
        gate.enter().await.err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_is_left_alone_and_tried_by_one() {
        let gate = gate(10, 10, 3);
        for opens in [false, false, true] {
            assert_eq!(gate.enter().await.ok().map(Pass::failed), Some(opens));
        }
        assert_eq!(refused(&gate).await, Some(Refused::Open));
        tokio::time::advance(Duration::from_secs(5)).await;
        let probe = gate.enter().await.ok();
        assert!(probe.is_some());
        assert_eq!(gate.state(), "half-open");
        assert_eq!(refused(&gate).await, Some(Refused::Open), "only one tries");
        assert_eq!(probe.map(Pass::failed), Some(true));
        assert_eq!(refused(&gate).await, Some(Refused::Open));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(gate.enter().await.ok().map(Pass::succeeded), Some(true));
        assert_eq!((gate.state(), refused(&gate).await), ("closed", None));
    }

    #[tokio::test(start_paused = true)]
    async fn success_forgets_failures() {
        let gate = gate(10, 10, 2);
        for _ in 0..5 {
            assert_eq!(gate.enter().await.ok().map(Pass::failed), Some(false));
            assert_eq!(gate.enter().await.ok().map(Pass::succeeded), Some(false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_given_up_lets_the_next_one_try() {
        let gate = gate(10, 10, 1);
        let _failed = gate.enter().await.ok().map(Pass::failed);
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(gate.enter().await);
        assert_eq!(refused(&gate).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_places_some_wait_and_the_rest_is_refused() {
        let gate = gate(1, 1, 0);
        let inside = gate.enter().await.ok();
        let mut waiting = std::pin::pin!(gate.enter());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!((gate.active(), gate.waiting()), (1, 1));
        assert_eq!(refused(&gate).await, Some(Refused::Full));
        drop(inside);
        assert!(waiting.await.is_ok());
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_of_failures_it_is_always_asked() {
        let gate = gate(1, 1, 0);
        for _ in 0..50 {
            assert_eq!(gate.enter().await.ok().map(Pass::failed), Some(false));
        }
    }
}
