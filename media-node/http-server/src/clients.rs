//! Who is connected, and who was turned away.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two lines of the log about refusals.
const SAID_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Clients {
    most: usize,
    per_address: usize,
    inside: Mutex<Inside>,
    strangers: AtomicU64,
    too_many: AtomicU64,
}

#[derive(Default)]
struct Inside {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    said: Option<Instant>,
}

impl Clients {
    pub(crate) fn new(most: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            per_address,
            inside: Mutex::default(),
            strangers: AtomicU64::new(0),
            too_many: AtomicU64::new(0),
        })
    }

    /// A place, if there is one left for that address.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut inside = self.inside();
        let here = inside.by_address.get(&address).copied().unwrap_or(0);
        if inside.count >= self.most || here >= self.per_address {
            self.too_many.fetch_add(1, Ordering::Relaxed);
            inside.say(|| {
                tracing::warn!("http: connections refused: too many, the last from {address}")
            });
            return None;
        }
        inside.count += 1;
        inside.by_address.insert(address, here + 1);
        Some(Place { clients: Arc::clone(self), address })
    }

    pub(crate) fn refuse_stranger(&self, address: IpAddr) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
        self.inside().say(|| {
            tracing::warn!("http: connections refused by access list, the last from {address}")
        });
    }

    pub(crate) fn count(&self) -> usize {
        self.inside().count
    }

    pub(crate) fn refused(&self) -> (u64, u64) {
        (self.strangers.load(Ordering::Relaxed), self.too_many.load(Ordering::Relaxed))
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn say(&mut self, line: impl FnOnce()) {
        let now = Instant::now();
        if self.said.is_none_or(|at| now.duration_since(at) >= SAID_EVERY) {
            self.said = Some(now);
            line();
        }
    }
}

/// A connection's place. Dropping it frees the place.
pub(crate) struct Place {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.clients.inside();
        inside.count = inside.count.saturating_sub(1);
        match inside.by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.by_address.remove(&self.address);
            }
        }
    }
}
