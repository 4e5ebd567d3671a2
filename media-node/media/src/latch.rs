//! Where a leg's peer really is (symmetric RTP, "auto-adjust").
//!
//! The negotiated address is preferred: media goes there until another source has proved to be the peer, and
//! goes back there with the first packet that comes from it, at any time. The reference gives a stream to any
//! source of ten packets, for good; anybody who sprays the port range would get the audio of every leg
//! whose peer has not sent yet. How much proof a source needs depends on who it may be:
//!
//! - the host the signalling comes from, where the negotiated address is another one (an address translator
//!   between us and the peer): [`THRESHOLD`] packets, as in the reference;
//! - another port of the negotiated host, or any host where the peer is known to be behind a translator:
//!   [`DOUBTFUL`] packets, a second of audio;
//! - any other host: it is heard after as many packets, and never sent to.
//!
//! All of them at the pace of a stream, not as a burst, and only while the peer itself is silent. A doubtful
//! source that falls silent before it has sent [`ESTABLISHED`] packets loses the leg after [`LEAK_MS`].

use std::net::{IpAddr, SocketAddr};

/// Packets in a row that make the expected source the peer.
pub const THRESHOLD: u32 = 10;
/// Packets in a row that make a source the peer that might as well be a stranger.
pub const DOUBTFUL: u32 = 50;
/// First packets of a leg during which a source of another host may become the peer.
pub const WINDOW: u32 = 50;
/// Packets from which a doubtful source keeps the leg through its silence.
pub const ESTABLISHED: u32 = 250;
/// Milliseconds of silence after which a doubtful source is sent nothing more: five packets of 20 ms.
pub const LEAK_MS: u64 = 100;
/// Milliseconds the peer must have been silent before its host may change port.
pub const SILENT_MS: u64 = 500;
/// Milliseconds of time a packet of a run stands for at least: a burst is no stream.
const PACE_MS: u64 = 5;
/// Milliseconds between two packets after which a run begins anew.
const RUN_GAP_MS: u64 = 300;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// From the peer.
    Accept,
    /// From the peer, whose address is now this packet's source.
    Moved,
    /// From another source.
    Refuse,
    /// Not to be heard; but the peer, that holds with 0.0.0.0, turns out to send from where it did.
    StillThere,
}

/// What a source other than the one in use may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The peer, after that many packets.
    Peer(u32),
    /// Heard after that many packets; nothing is sent to it.
    Heard(u32),
}

/// The state of one leg's address learning.
#[derive(Debug)]
pub struct Latch {
    /// Where media is sent.
    remote: Option<SocketAddr>,
    /// The negotiated address.
    announced: Option<SocketAddr>,
    /// The host the peer's signalling comes from.
    signalling: Option<IpAddr>,
    symmetric: bool,
    /// Packets of the peer so far.
    seen: u32,
    /// When `remote` was heard last; 0 = never.
    heard_ms: u64,
    candidate: Option<Candidate>,
    /// `remote` was learnt from a doubtful source.
    doubtful: bool,
    /// A source that is heard and not sent to.
    guest: Option<SocketAddr>,
    /// An address looked out for, neither heard nor sent to, and its packets so far.
    watched: Option<(SocketAddr, u32)>,
}

/// A source on its way to become the peer.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    from: SocketAddr,
    needs: u32,
    packets: u32,
    since_ms: u64,
    last_ms: u64,
}

impl Latch {
    /// Learning starts anew, from the negotiated address. `signalling` is the host the peer's signalling comes
    /// from, if known.
    pub fn new(remote: Option<SocketAddr>, symmetric: bool, signalling: Option<IpAddr>) -> Self {
        Self {
            remote,
            announced: remote,
            signalling,
            symmetric,
            seen: 0,
            heard_ms: 0,
            candidate: None,
            doubtful: false,
            guest: None,
            watched: None,
        }
    }

    /// Tells once that packets still come from `from`, without hearing them. For a leg that is held with 0.0.0.0 and
    /// learns no address.
    #[must_use]
    pub fn watching(self, from: Option<SocketAddr>) -> Self {
        Self { watched: from.map(|from| (from, 0)), ..self }
    }

    /// The peer's address as known now.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Where to send at `now_ms`.
    #[inline]
    pub fn destination(&self, now_ms: u64) -> Option<SocketAddr> {
        if self.doubtful && self.has_lost_its_claim(now_ms) { self.announced } else { self.remote }
    }

    /// Gives a leg back to the negotiated address when a doubtful source has fallen silent. Returns
    /// that address when this happened now.
    pub fn expire(&mut self, now_ms: u64) -> Option<SocketAddr> {
        if !self.doubtful || !self.has_lost_its_claim(now_ms) {
            return None;
        }
        self.doubtful = false;
        (self.remote, self.heard_ms, self.seen) = (self.announced, 0, 0);
        self.remote
    }

    fn has_lost_its_claim(&self, now_ms: u64) -> bool {
        self.announced.is_some()
            && self.seen < ESTABLISHED
            && now_ms.saturating_sub(self.heard_ms) > LEAK_MS
    }

    /// Judges a packet from `from`.
    #[inline]
    pub fn judge(&mut self, from: SocketAddr, now_ms: u64) -> Verdict {
        if self.remote == Some(from) {
            self.seen = self.seen.saturating_add(1);
            self.heard_ms = now_ms;
            self.candidate = None;
            self.guest = None;
            return Verdict::Accept;
        }
        self.judge_other(from, now_ms)
    }

    fn judge_other(&mut self, from: SocketAddr, now_ms: u64) -> Verdict {
        if !self.symmetric {
            if let Some((_, packets)) =
                self.watched.as_mut().filter(|(watched, _)| *watched == from)
            {
                *packets = packets.saturating_add(1);
                return if *packets == THRESHOLD { Verdict::StillThere } else { Verdict::Refuse };
            }
            let same_host = self.remote.is_some_and(|r| r.ip() == from.ip());
            return if same_host { Verdict::Accept } else { Verdict::Refuse };
        }
        if self.announced == Some(from) {
            return self.move_to(from, 1, now_ms);
        }
        self.expire(now_ms);
        let unheard = self.remote.is_none() || self.heard_ms == 0;
        if !unheard && now_ms.saturating_sub(self.heard_ms) < SILENT_MS {
            return Verdict::Refuse;
        }
        let Some(claim) = self.claim(from, unheard) else { return Verdict::Refuse };
        if self.guest == Some(from) {
            return Verdict::Accept;
        }
        let (Claim::Peer(needs) | Claim::Heard(needs)) = claim;
        let Some(run) = self.count(from, needs, now_ms) else { return Verdict::Refuse };
        let pace = run.last_ms.saturating_sub(run.since_ms) >= u64::from(needs - 1) * PACE_MS;
        if run.packets < needs || !pace {
            return Verdict::Refuse;
        }
        if matches!(claim, Claim::Peer(_)) {
            self.move_to(from, run.packets, now_ms);
            self.doubtful = needs == DOUBTFUL;
            return Verdict::Moved;
        }
        self.guest = Some(from);
        Verdict::Accept
    }

    /// What a source may become while the peer is silent.
    fn claim(&self, from: SocketAddr, unheard: bool) -> Option<Claim> {
        let same_host = |to: Option<SocketAddr>| to.is_some_and(|to| to.ip() == from.ip());
        if !unheard {
            // Phones and address translators change their port after a pause; a host changes at the start only.
            return if same_host(self.remote) {
                Some(Claim::Peer(THRESHOLD))
            } else {
                (self.seen <= WINDOW).then_some(Claim::Peer(DOUBTFUL))
            };
        }
        let Some(announced) = self.announced else { return Some(Claim::Peer(THRESHOLD)) };
        let translated = self.signalling.is_some_and(|host| host != announced.ip());
        Some(if translated && self.signalling == Some(from.ip()) {
            Claim::Peer(THRESHOLD)
        } else if translated || from.ip() == announced.ip() {
            Claim::Peer(DOUBTFUL)
        } else {
            Claim::Heard(DOUBTFUL)
        })
    }

    /// Counts a packet of a run. `None` while a source that is expected more than this one is running.
    fn count(&mut self, from: SocketAddr, needs: u32, now_ms: u64) -> Option<Candidate> {
        let fresh = self.candidate.filter(|run| now_ms.saturating_sub(run.last_ms) <= RUN_GAP_MS);
        let run = match fresh {
            Some(run) if run.from == from => {
                Candidate { packets: run.packets.saturating_add(1), last_ms: now_ms, ..run }
            }
            Some(run) if run.needs < needs => return None,
            _ => Candidate { from, needs, packets: 1, since_ms: now_ms, last_ms: now_ms },
        };
        self.candidate = Some(run);
        Some(run)
    }

    fn move_to(&mut self, to: SocketAddr, seen: u32, now_ms: u64) -> Verdict {
        (self.remote, self.seen, self.heard_ms) = (Some(to), seen, now_ms);
        (self.candidate, self.guest, self.doubtful) = (None, None, false);
        Verdict::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    fn latch(signalling: Option<u8>) -> Latch {
        Latch::new(Some(addr(1, 4000)), true, signalling.map(|host| addr(host, 0).ip()))
    }

    /// Packets from a source, 20 ms apart; returns the last verdict and the time after it.
    fn stream(latch: &mut Latch, from: SocketAddr, packets: u64, now: u64) -> (Verdict, u64) {
        let mut verdict = Verdict::Refuse;
        for n in 0..packets {
            verdict = latch.judge(from, now + n * 20);
        }
        (verdict, now + packets * 20)
    }

    #[test]
    fn ten_packets_of_the_host_that_signals_make_it_the_peer() {
        let mut latch = latch(Some(2));
        let (verdict, now) = stream(&mut latch, addr(2, 5000), 9, 1000);
        assert_eq!((verdict, latch.remote()), (Verdict::Refuse, Some(addr(1, 4000))));
        assert_eq!(latch.judge(addr(2, 5000), now), Verdict::Moved);
        assert_eq!(latch.destination(now), Some(addr(2, 5000)));
        assert_eq!(latch.judge(addr(2, 5000), now + 20), Verdict::Accept);
    }

    #[test]
    fn ten_packets_of_a_stranger_take_nothing() {
        for (signalling, stranger) in
            [(None, 1), (None, 9), (Some(1), 1), (Some(1), 9), (Some(2), 9)]
        {
            let mut latch = latch(signalling);
            for n in 0..40 {
                assert_eq!(latch.judge(addr(stranger, 666), 1000 + n * 20), Verdict::Refuse);
                assert_eq!(latch.destination(1000 + n * 20), Some(addr(1, 4000)));
            }
        }
    }

    #[test]
    fn a_burst_is_no_stream_however_long() {
        let mut latch = latch(Some(2));
        for _ in 0..500 {
            assert_eq!(latch.judge(addr(2, 666), 1000), Verdict::Refuse);
        }
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }

    #[test]
    fn another_port_of_the_host_is_followed_after_a_second() {
        let mut latch = latch(Some(1));
        let (verdict, now) = stream(&mut latch, addr(1, 4002), u64::from(DOUBTFUL), 1000);
        assert_eq!((verdict, latch.destination(now)), (Verdict::Moved, Some(addr(1, 4002))));
    }

    #[test]
    fn another_host_is_heard_at_last_and_never_sent_to() {
        let mut latch = latch(Some(1));
        let (verdict, now) = stream(&mut latch, addr(7, 4002), 1000, 1000);
        assert_eq!((verdict, latch.destination(now)), (Verdict::Accept, Some(addr(1, 4000))));
        assert_eq!(latch.judge(addr(1, 4000), now), Verdict::Accept);
        assert_eq!(latch.judge(addr(7, 4002), now + 1), Verdict::Refuse);
    }

    #[test]
    fn a_doubtful_source_that_falls_silent_is_sent_five_packets_at_most() {
        let mut latch = latch(Some(2));
        let (_, now) = stream(&mut latch, addr(9, 666), u64::from(DOUBTFUL), 1000);
        let sent =
            (0..100u64).filter(|n| latch.destination(now + n * 20) == Some(addr(9, 666))).count();
        assert!((1..=5).contains(&sent), "{sent} packets");
        assert_eq!(latch.expire(now + 200), Some(addr(1, 4000)));
        assert_eq!((latch.remote(), latch.expire(now + 220)), (Some(addr(1, 4000)), None));
    }

    #[test]
    fn a_source_known_for_long_keeps_the_leg_through_its_silence() {
        let mut latch = latch(Some(2));
        let (_, now) = stream(&mut latch, addr(9, 666), u64::from(ESTABLISHED), 1000);
        assert_eq!(latch.expire(now + 60_000), None);
        assert_eq!(latch.destination(now + 60_000), Some(addr(9, 666)));
    }

    #[test]
    fn the_expected_source_keeps_the_leg_through_its_silence() {
        let mut latch = latch(Some(2));
        let (_, now) = stream(&mut latch, addr(2, 5000), u64::from(THRESHOLD), 1000);
        assert_eq!(latch.destination(now + 60_000), Some(addr(2, 5000)));
        assert_eq!((latch.expire(now + 60_000), latch.remote()), (None, Some(addr(2, 5000))));
    }

    #[test]
    fn the_negotiated_peer_takes_its_leg_back_at_any_time() {
        let mut latch = latch(Some(2));
        let (_, now) = stream(&mut latch, addr(2, 5000), 2000, 1000);
        assert_eq!(latch.remote(), Some(addr(2, 5000)));
        assert_eq!(latch.judge(addr(1, 4000), now), Verdict::Moved);
        assert_eq!(latch.destination(now), Some(addr(1, 4000)));
        for n in 0..100 {
            assert_eq!(latch.judge(addr(2, 5000), now + n * 20 + 1), Verdict::Refuse);
            assert_eq!(latch.judge(addr(1, 4000), now + n * 20 + 2), Verdict::Accept);
        }
    }

    #[test]
    fn a_burst_from_elsewhere_does_not_take_a_leg_whose_peer_is_heard() {
        let mut latch = latch(None);
        latch.judge(addr(1, 4000), 20);
        for _ in 0..100 {
            assert_eq!(latch.judge(addr(9, 666), 21), Verdict::Refuse);
        }
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }

    #[test]
    fn a_locked_leg_refuses_strangers_and_follows_its_peers_host() {
        let mut latch = latch(None);
        for n in 0..=u64::from(WINDOW) {
            latch.judge(addr(1, 4000), n * 20);
        }
        for n in 0..100 {
            assert_eq!(latch.judge(addr(9, 1), 5000 + n * 20), Verdict::Refuse);
            assert_eq!(latch.judge(addr(1, 4000), 5000 + n * 20), Verdict::Accept);
        }
        assert_eq!(latch.judge(addr(1, 4002), 7100), Verdict::Refuse, "peer still talking");
        assert_eq!(stream(&mut latch, addr(9, 1), 100, 8000).0, Verdict::Refuse);
        assert_eq!(stream(&mut latch, addr(1, 4002), 10, 11_000).0, Verdict::Moved);
    }

    #[test]
    fn strangers_alternating_with_the_expected_source_do_not_keep_it_out() {
        let mut latch = latch(Some(2));
        for n in 0..10 {
            latch.judge(addr(2, 5000), 1000 + n * 20);
            latch.judge(addr(3, 5000), 1005 + n * 20);
        }
        assert_eq!(latch.remote(), Some(addr(2, 5000)));
    }

    #[test]
    fn strangers_alternating_among_themselves_never_win() {
        let mut latch = latch(Some(2));
        for n in 0..200 {
            latch.judge(addr(3, 5000), 1000 + n * 20);
            latch.judge(addr(4, 5000), 1005 + n * 20);
        }
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }

    #[test]
    fn without_an_address_the_first_stream_is_the_peer() {
        let mut latch = Latch::new(None, true, None);
        assert_eq!(stream(&mut latch, addr(2, 5000), 10, 1000).0, Verdict::Moved);
    }

    #[test]
    fn a_peer_that_holds_with_no_address_is_reported_once_and_neither_heard_nor_sent_to() {
        let mut latch = Latch::new(None, false, None).watching(Some(addr(1, 4000)));
        let verdicts: Vec<_> = (0..30).map(|n| latch.judge(addr(1, 4000), 1000 + n * 20)).collect();
        let told = |verdict: &&Verdict| **verdict == Verdict::StillThere;
        assert_eq!(verdicts.iter().filter(told).count(), 1);
        assert_eq!(verdicts[THRESHOLD as usize - 1], Verdict::StillThere);
        assert!(!verdicts.iter().any(|v| matches!(v, Verdict::Accept | Verdict::Moved)));
        assert_eq!(stream(&mut latch, addr(9, 1), 100, 5000).0, Verdict::Refuse);
        assert_eq!((latch.remote(), latch.destination(9000)), (None, None));
    }

    #[test]
    fn without_learning_only_the_announced_host_is_heard() {
        let mut latch = Latch::new(Some(addr(1, 4000)), false, None);
        assert_eq!(latch.judge(addr(1, 9999), 0), Verdict::Accept);
        assert_eq!(latch.judge(addr(2, 4000), 0), Verdict::Refuse);
        assert_eq!(latch.remote(), Some(addr(1, 4000)));
    }
}
