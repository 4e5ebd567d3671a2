//! Where a leg's peer really is (symmetric RTP, "auto-adjust").
//!
//! The announced address is believed until [`THRESHOLD`] packets in a row came from one other
//! source among the first [`WINDOW`]; then that source is the peer, and the leg is locked to it.
//! Once locked, packets from elsewhere are refused: media cannot be taken over in mid-call by
//! somebody who guesses a port. The same host may change its port after falling silent, as phones
//! and address translators do. This is stricter than the reference, which lets anybody be heard.
//!
//! Somebody who sprays all ports may become the peer of a leg whose real peer has not spoken yet. If the
//! announced address then speaks, early in the call, it is the peer after all.

use std::net::SocketAddr;

/// Packets in a row from one other source that make it the peer.
pub const THRESHOLD: u32 = 10;
/// First packets of a leg during which any source may become the peer.
pub const WINDOW: u32 = 50;
/// First packets of a leg during which the announced address, when it speaks at last, is the peer again.
pub const RETURN: u32 = 500;
/// Milliseconds the peer must have been silent before its host may change port.
pub const SILENT_MS: u64 = 500;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// From the peer.
    Accept,
    /// From the peer, whose address is now this packet's source.
    Moved,
    /// From somebody else.
    Refuse,
}

/// The state of one leg's address learning.
#[derive(Debug)]
pub struct Latch {
    remote: Option<SocketAddr>,
    /// Where the peer said it would be.
    announced: Option<SocketAddr>,
    symmetric: bool,
    seen: u32,
    heard_ms: u64,
    candidate: Option<SocketAddr>,
    tally: u32,
}

impl Latch {
    /// Learning starts anew, from the announced address.
    pub fn new(remote: Option<SocketAddr>, symmetric: bool) -> Self {
        Self {
            remote,
            announced: remote,
            symmetric,
            seen: 0,
            heard_ms: 0,
            candidate: None,
            tally: 0,
        }
    }

    /// Where to send.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Judges a packet from `from`.
    #[inline]
    pub fn judge(&mut self, from: SocketAddr, now_ms: u64) -> Verdict {
        if self.remote == Some(from) {
            self.seen = self.seen.saturating_add(1);
            self.heard_ms = now_ms;
            self.tally = 0;
            return Verdict::Accept;
        }
        self.judge_other(from, now_ms)
    }

    fn judge_other(&mut self, from: SocketAddr, now_ms: u64) -> Verdict {
        let same_host = self.remote.is_some_and(|r| r.ip() == from.ip());
        if !self.symmetric {
            return if same_host { Verdict::Accept } else { Verdict::Refuse };
        }
        if self.announced == Some(from) && self.seen < RETURN {
            // Learning begins anew: if this was nobody, the peer found before gets its chance.
            (self.remote, self.heard_ms, self.seen) = (Some(from), now_ms, 1);
            (self.candidate, self.tally) = (None, 0);
            return Verdict::Moved;
        }
        self.seen = self.seen.saturating_add(1);
        // Whoever is being heard keeps the leg: a burst from elsewhere must not take it away, however early.
        let unheard = self.remote.is_none() || self.heard_ms == 0;
        let silent = now_ms.saturating_sub(self.heard_ms) >= SILENT_MS;
        if !(unheard || silent && (same_host || self.seen <= WINDOW)) {
            return Verdict::Refuse;
        }
        if self.candidate == Some(from) {
            self.tally += 1;
        } else {
            self.candidate = Some(from);
            self.tally = 1;
        }
        if self.tally >= THRESHOLD {
            self.remote = Some(from);
            self.heard_ms = now_ms;
            self.tally = 0;
            return Verdict::Moved;
        }
        // While learning the newcomer is heard already: a phone behind an address translator loses
        // no first word.
        Verdict::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    #[test]
    fn ten_packets_from_another_source_make_it_the_peer() {
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        for n in 0..9 {
            assert_eq!(latch.judge(addr(2, 5000), n), Verdict::Accept);
            assert_eq!(latch.remote(), Some(addr(1, 4000)));
        }
        assert_eq!(latch.judge(addr(2, 5000), 9), Verdict::Moved);
        assert_eq!(latch.remote(), Some(addr(2, 5000)));
        assert_eq!(latch.judge(addr(2, 5000), 10), Verdict::Accept);
    }

    #[test]
    fn an_announced_peer_that_speaks_takes_its_leg_back_from_a_sprayer() {
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        let sprayed: Vec<_> = (0..20).map(|n| latch.judge(addr(9, 666), 1000 + n)).collect();
        assert!(sprayed.contains(&Verdict::Moved));
        assert_eq!(latch.judge(addr(1, 4000), 1100), Verdict::Moved);
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
        for n in 0..100 {
            assert_eq!(latch.judge(addr(9, 666), 1101 + n), Verdict::Refuse);
            latch.judge(addr(1, 4000), 1101 + n);
        }
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        for n in 0..u64::from(RETURN) {
            latch.judge(addr(2, 5000), 1000 + n * 20);
        }
        assert_eq!(latch.judge(addr(1, 4000), 12_000), Verdict::Refuse, "too late for that");
    }

    #[test]
    fn a_burst_from_elsewhere_does_not_take_a_leg_whose_peer_is_heard() {
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        latch.judge(addr(1, 4000), 20);
        for _ in 0..100 {
            assert_eq!(latch.judge(addr(9, 666), 21), Verdict::Refuse);
        }
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }

    #[test]
    fn a_locked_leg_refuses_strangers_and_follows_its_peers_host() {
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        for n in 0..u64::from(WINDOW) {
            latch.judge(addr(1, 4000), n * 20);
        }
        for n in 0..100 {
            assert_eq!(latch.judge(addr(9, 1), 5000 + n * 20), Verdict::Refuse);
            assert_eq!(latch.judge(addr(1, 4000), 5000 + n * 20), Verdict::Accept);
        }
        assert_eq!(latch.judge(addr(1, 4002), 7100), Verdict::Refuse, "peer still talking");
        let verdicts: Vec<_> = (0..10).map(|n| latch.judge(addr(1, 4002), 8000 + n)).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Moved));
    }

    #[test]
    fn alternating_sources_never_win() {
        let mut latch = Latch::new(Some(addr(1, 4000)), true);
        for n in 0..200 {
            latch.judge(addr(2, 5000), n);
            latch.judge(addr(3, 5000), n);
            latch.judge(addr(1, 4000), n);
        }
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }

    #[test]
    fn without_learning_only_the_announced_host_is_heard() {
        let mut latch = Latch::new(Some(addr(1, 4000)), false);
        assert_eq!(latch.judge(addr(1, 9999), 0), Verdict::Accept);
        assert_eq!(latch.judge(addr(2, 4000), 0), Verdict::Refuse);
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }
}
