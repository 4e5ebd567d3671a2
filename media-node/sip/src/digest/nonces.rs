//! The server's nonces: which are live, and how far each has been counted.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Credentials;

/// Most nonces remembered; the oldest give way. Every unauthenticated request costs one, so the table
/// is bounded by memory, not by good manners.
const MAX_NONCES: usize = 200_000;

/// What a nonce presented by a client is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// Live, and `nc` moved on.
    Fresh,
    /// Unknown, expired, or `nc` did not grow: challenge again with `stale=true`.
    Stale,
}

/// Live nonces, without a clock.
#[derive(Debug, Default)]
pub struct Nonces {
    live: HashMap<String, Nonce>,
    /// Issue order, for expiry. An entry outlived by a renewed nonce is skipped.
    order: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Nonce {
    expires: Instant,
    count: u32,
}

impl Nonces {
    /// No nonces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a nonce until `now + ttl`.
    pub fn issue(&mut self, now: Instant, nonce: String, ttl: Duration) {
        self.sweep(now);
        while self.live.len() >= MAX_NONCES {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.live.remove(&oldest);
        }
        let expires = now + ttl;
        self.order.push_back((expires, nonce.clone()));
        self.live.insert(nonce, Nonce { expires, count: 0 });
    }

    /// Judges and counts the nonce of credentials. Call it before the secret is checked; renew with
    /// [`Nonces::renew`] after.
    pub fn check(&mut self, now: Instant, credentials: &Credentials) -> NonceState {
        let Some(nonce) = self.live.get_mut(&credentials.nonce).filter(|n| n.expires > now) else {
            return NonceState::Stale;
        };
        match credentials.nonce_count() {
            Some(count) if count <= nonce.count => NonceState::Stale,
            Some(count) => {
                nonce.count = count;
                NonceState::Fresh
            }
            // Without qop there is no count by which to tell a client from somebody who repeats what it said: such a
            // nonce serves once.
            None if credentials.auth.is_none() && nonce.count == 0 => {
                nonce.count = u32::MAX;
                NonceState::Fresh
            }
            None => NonceState::Stale,
        }
    }

    /// Extends a nonce after success.
    pub fn renew(&mut self, now: Instant, nonce: &str, ttl: Duration) {
        if let Some(entry) = self.live.get_mut(nonce) {
            entry.expires = now + ttl;
            self.order.push_back((entry.expires, nonce.to_owned()));
        }
    }

    /// Number remembered.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// True when none is remembered.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Forgets what expired.
    pub fn sweep(&mut self, now: Instant) {
        while let Some((expires, nonce)) = self.order.front() {
            if *expires > now {
                break;
            }
            if self.live.get(nonce).is_some_and(|n| n.expires <= now) {
                self.live.remove(nonce);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(nonce: &str, nc: Option<&str>) -> Credentials {
        let qop = nc.map(|nc| format!(", qop=auth, nc={nc}, cnonce=\"c\"")).unwrap_or_default();
        let text = format!(
            "Digest username=\"u\", realm=\"r\", nonce=\"{nonce}\", uri=\"sip:h\", response=\"0\"{qop}"
        );
        Credentials::parse(&text).unwrap()
    }

    #[test]
    fn counts_must_grow_and_nonces_expire() {
        let start = Instant::now();
        let ttl = Duration::from_secs(60);
        let mut nonces = Nonces::new();
        nonces.issue(start, "n".into(), ttl);
        assert_eq!(nonces.check(start, &with("n", Some("00000001"))), NonceState::Fresh);
        assert_eq!(nonces.check(start, &with("n", Some("00000001"))), NonceState::Stale);
        assert_eq!(nonces.check(start, &with("n", Some("0000000a"))), NonceState::Fresh);
        assert_eq!(nonces.check(start, &with("n", None)), NonceState::Stale);
        assert_eq!(nonces.check(start, &with("never issued", None)), NonceState::Stale);
        assert_eq!(nonces.check(start + ttl, &with("n", Some("0000000b"))), NonceState::Stale);
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        let start = Instant::now();
        let mut nonces = Nonces::new();
        nonces.issue(start, "n".into(), Duration::from_secs(60));
        assert_eq!(nonces.check(start, &with("n", None)), NonceState::Fresh);
        assert_eq!(nonces.check(start, &with("n", None)), NonceState::Stale);
        assert_eq!(nonces.check(start, &with("n", Some("00000001"))), NonceState::Stale);
    }

    #[test]
    fn a_renewed_nonce_outlives_its_first_term() {
        let start = Instant::now();
        let ttl = Duration::from_secs(60);
        let mut nonces = Nonces::new();
        nonces.issue(start, "n".into(), ttl);
        nonces.renew(start, "n", ttl * 3);
        nonces.sweep(start + ttl * 2);
        assert_eq!(nonces.check(start + ttl * 2, &with("n", None)), NonceState::Fresh);
        nonces.sweep(start + ttl * 3);
        assert!(nonces.is_empty());
    }
}
