//! The server's nonces. One that was given out and never used costs nothing to remember: it carries when it was made,
//! sealed with a key of this process. Only nonces that proved a user are kept, with how far each has been counted, so a
//! flood of requests without credentials leaves nothing behind.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::Credentials;
use crate::token;

/// Most used nonces remembered. Beyond, the one that expires first gives way, and nonces made until then serve no more.
const MAX_USED: usize = 200_000;
/// Tables smaller than this are not worth shrinking.
const SPARE: usize = 2_048;

/// What a nonce presented by a client is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// Live, and `nc` moved on.
    Fresh,
    /// Not ours, expired, or `nc` did not grow: challenge again with `stale=true`.
    Stale,
}

/// Nonces of one profile, without a clock.
#[derive(Debug)]
pub struct Nonces {
    key: [u8; 32],
    epoch: Option<Instant>,
    serial: u32,
    used: HashMap<String, Used>,
    /// When to look at which; a nonce that was renewed is looked at again later.
    expiry: BinaryHeap<Reverse<(Instant, String)>>,
    /// Nonces made before this second that are not among the used ones serve no more.
    floor: u32,
}

#[derive(Debug)]
struct Used {
    expires: Instant,
    count: u32,
}

impl Default for Nonces {
    fn default() -> Self {
        Self::new()
    }
}

impl Nonces {
    /// No nonces.
    pub fn new() -> Self {
        Self {
            key: token::secret(),
            epoch: None,
            serial: 0,
            used: HashMap::new(),
            expiry: BinaryHeap::new(),
            floor: 0,
        }
    }

    /// A new nonce; a UUID, as the reference makes them.
    pub fn issue(&mut self, now: Instant) -> String {
        let second = self.second(now);
        self.serial = self.serial.wrapping_add(1);
        self.seal(second, self.serial)
    }

    /// Judges the nonce of credentials, whose life is `ttl` unless it was renewed. To be followed by
    /// [`Nonces::accept`] when the secret is right.
    pub fn check(&self, now: Instant, credentials: &Credentials, ttl: Duration) -> NonceState {
        let live = match self.used.get(&credentials.nonce) {
            Some(used) => used.expires > now && counts_on(credentials, used.count),
            None => self.is_live(now, &credentials.nonce, ttl) && counts_on(credentials, 0),
        };
        if live { NonceState::Fresh } else { NonceState::Stale }
    }

    /// The credentials are right: their nonce serves until `now + ttl`, with greater counts only. False when a client
    /// used the same nonce and count meanwhile.
    pub fn accept(&mut self, now: Instant, credentials: &Credentials, ttl: Duration) -> bool {
        if self.check(now, credentials, ttl) == NonceState::Stale {
            return false;
        }
        // Without qop there is no count by which to tell a client from one that repeats its messages: such a nonce
        // serves once.
        let count = credentials.nonce_count().unwrap_or(u32::MAX);
        self.sweep(now);
        let expires = now + ttl;
        match self.used.get_mut(&credentials.nonce) {
            Some(used) => {
                used.count = count;
                used.expires = used.expires.max(expires);
            }
            None => {
                self.make_room(now);
                self.used.insert(credentials.nonce.clone(), Used { expires, count });
                self.expiry.push(Reverse((expires, credentials.nonce.clone())));
            }
        }
        true
    }

    /// Extends a nonce after success.
    pub fn renew(&mut self, now: Instant, nonce: &str, ttl: Duration) {
        if let Some(used) = self.used.get_mut(nonce) {
            used.expires = now + ttl;
        }
    }

    /// Number remembered.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// True when none is remembered.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Forgets what expired.
    pub fn sweep(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.expiry.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((_, nonce))) = self.expiry.pop() else { break };
            match self.used.get(&nonce).map(|used| used.expires) {
                Some(expires) if expires > now => self.expiry.push(Reverse((expires, nonce))),
                Some(_) => {
                    self.used.remove(&nonce);
                }
                None => {}
            }
        }
        let keep = SPARE.max(self.used.len().saturating_mul(2));
        if self.used.capacity() > keep.saturating_mul(2) {
            self.used.shrink_to(keep);
            self.expiry.shrink_to(keep);
        }
    }

    /// While there are too many, forgets the one that expires first. What is forgotten must not serve again.
    fn make_room(&mut self, now: Instant) {
        while self.used.len() >= MAX_USED {
            let Some(Reverse((_, nonce))) = self.expiry.pop() else { return };
            self.used.remove(&nonce);
            self.floor = self.second(now).saturating_add(1);
        }
    }

    fn second(&mut self, now: Instant) -> u32 {
        let epoch = *self.epoch.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(epoch).as_secs()).unwrap_or(u32::MAX)
    }

    /// Was it made here, less than `ttl` ago?
    fn is_live(&self, now: Instant, nonce: &str, ttl: Duration) -> bool {
        let (Some(second), Some(epoch)) = (self.open(nonce), self.epoch) else { return false };
        let made = epoch + Duration::from_secs(second.into());
        second >= self.floor && now.saturating_duration_since(made) < ttl
    }

    // A UUID has 122 bits to use: 32 for the second and 28 for the serial number, hidden, and 62 that prove them.

    fn seal(&self, second: u32, serial: u32) -> String {
        let [a, b, c, d] = second.to_be_bytes();
        let [e, f, g, h] = serial.to_be_bytes();
        let plain = [a, b, c, d, f, g, e & 0x0f, h];
        let mut proof = self.hash(b'p', plain);
        proof[0] &= 0x3f;
        let pad = self.hash(b'm', proof);
        let mut bytes = [0; 16];
        for (out, (plain, pad)) in bytes.iter_mut().zip(plain.into_iter().zip(pad)) {
            *out = plain ^ pad;
        }
        bytes[8..].copy_from_slice(&proof);
        token::uuid_text(bytes)
    }

    /// The second a nonce of ours was made in.
    fn open(&self, nonce: &str) -> Option<u32> {
        let bytes = token::uuid_bytes(nonce)?;
        let (hidden, proof) = bytes.split_first_chunk::<8>()?;
        let mut proof: [u8; 8] = proof.try_into().ok()?;
        proof[0] &= 0x3f;
        let pad = self.hash(b'm', proof);
        let mut plain = *hidden;
        for (byte, pad) in plain.iter_mut().zip(pad) {
            *byte ^= pad;
        }
        // The high half of this byte is the UUID's version.
        plain[6] &= 0x0f;
        let mut expected = self.hash(b'p', plain);
        expected[0] &= 0x3f;
        let [a, b, c, d, ..] = plain;
        (expected == proof).then(|| u32::from_be_bytes([a, b, c, d]))
    }

    fn hash(&self, purpose: u8, data: [u8; 8]) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update([purpose]);
        hash.update(data);
        let mut out = [0; 8];
        for (to, from) in out.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        out
    }
}

/// Does the count of the credentials go on from the last one used?
fn counts_on(credentials: &Credentials, last: u32) -> bool {
    match credentials.nonce_count() {
        Some(count) => count > last,
        None => credentials.counted.is_none() && last == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

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
        let mut nonces = Nonces::new();
        let n = nonces.issue(start);
        let mut proves = |nc, at| nonces.accept(at, &with(&n, nc), TTL);
        assert!(proves(Some("00000001"), start));
        assert!(!proves(Some("00000001"), start));
        assert!(proves(Some("0000000a"), start));
        assert!(!proves(None, start));
        assert!(!proves(Some("0000000b"), start + TTL));
        let other = Nonces::new().issue(start);
        assert!(!nonces.accept(start, &with(&other, Some("00000001")), TTL), "another process's");
        assert!(!nonces.accept(start, &with("n", None), TTL));
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        let start = Instant::now();
        let mut nonces = Nonces::new();
        let n = nonces.issue(start);
        assert!(nonces.accept(start, &with(&n, None), TTL));
        assert!(!nonces.accept(start, &with(&n, None), TTL));
        assert!(!nonces.accept(start, &with(&n, Some("00000001")), TTL));
    }

    #[test]
    fn a_renewed_nonce_outlives_its_first_term_and_holds_nothing_up() {
        let start = Instant::now();
        let mut nonces = Nonces::new();
        let (long, short) = (nonces.issue(start), nonces.issue(start));
        assert!(nonces.accept(start, &with(&long, Some("00000001")), TTL));
        nonces.renew(start, &long, TTL * 3);
        assert!(nonces.accept(start, &with(&short, Some("00000001")), TTL));
        nonces.sweep(start + TTL * 2);
        assert_eq!(nonces.len(), 1);
        assert!(nonces.accept(start + TTL * 2, &with(&long, Some("00000002")), TTL));
        nonces.sweep(start + TTL * 4);
        assert!(nonces.is_empty());
    }

    #[test]
    fn nonces_never_used_cost_nothing_and_expire() {
        let start = Instant::now();
        let mut nonces = Nonces::new();
        let all: std::collections::HashSet<_> = (0..50_000).map(|_| nonces.issue(start)).collect();
        assert_eq!((all.len(), nonces.len()), (50_000, 0));
        let one = all.iter().next().unwrap();
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
        let later = start + TTL;
        let credentials = with(one, Some("00000001"));
        assert_eq!(nonces.check(start, &credentials, TTL), NonceState::Fresh);
        assert_eq!(nonces.check(later, &credentials, TTL), NonceState::Stale);
    }

    #[test]
    fn a_changed_nonce_is_nobodys() {
        let start = Instant::now();
        let mut nonces = Nonces::new();
        let nonce = nonces.issue(start);
        for at in (0..36).filter(|at| nonce.as_bytes()[*at] != b'-' && *at != 14 && *at != 19) {
            let digit = if nonce.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut changed = nonce.clone();
            changed.replace_range(at..=at, digit);
            let state = nonces.check(start, &with(&changed, Some("00000001")), TTL);
            assert_eq!(state, NonceState::Stale, "{changed} of {nonce}");
        }
    }
}
