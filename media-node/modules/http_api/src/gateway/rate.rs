//! Requests per second of each client: a bucket that fills at the rate and holds two seconds' worth.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

/// Clients that are remembered. When there are more, the fullest buckets are forgotten: they lose nothing by it.
const MOST: usize = 10_000;

/// The buckets of all clients.
pub(super) struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), buckets: Mutex::default() }
    }

    /// Takes a token out of a client's bucket. False when there is none.
    pub(super) fn take(&self, client: &str, now: Instant) -> bool {
        let most = self.per_second * 2.0;
        let filled = |(tokens, at): (f64, Instant)| {
            (tokens + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(most)
        };
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MOST && !buckets.contains_key(client) {
            buckets.retain(|_, bucket| filled(*bucket) < most);
            if buckets.len() >= MOST {
                return false;
            }
        }
        let tokens = buckets.get(client).copied().map_or(most, filled);
        let allowed = tokens >= 1.0;
        let left = if allowed { tokens - 1.0 } else { tokens };
        buckets.insert(client.to_owned(), (left, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_holds_two_seconds_and_fills_again() {
        let rates = Rates::new(5);
        let start = Instant::now();
        let taken = (0..20).filter(|_| rates.take("a", start)).count();
        assert_eq!(taken, 10);
        assert!(rates.take("b", start), "another client has its own");
        let later = start + Duration::from_millis(500);
        assert_eq!((0..20).filter(|_| rates.take("a", later)).count(), 2);
    }

    #[test]
    fn clients_are_bounded() {
        let rates = Rates::new(1);
        let now = Instant::now();
        for n in 0..MOST {
            assert!(rates.take(&n.to_string(), now));
        }
        assert!(!rates.take("one more", now));
        assert!(rates.take("one more", now + Duration::from_secs(2)), "the others are full again");
    }
}
