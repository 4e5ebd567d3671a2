//! What is read, and which new requests are taken, while more comes in than can be served.
//!
//! Known peers (access lists, registered phones, gateways, running dialogs) have shares that strangers cannot use.
//! Within a share, sources that ask little get in beyond its bound, so that one that floods does not silence the
//! others. All counts have a fixed size, however many sources there are.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::transaction::{Source, Standing};
use crate::transport::Transport;

/// Tells known peers from strangers. Called for many messages, by the stack's task and its readers: must not block.
pub trait Peers: Send + Sync {
    /// Is it on an access list, registered, or a gateway? A datagram's address may be forged, so a port known with
    /// the address is a better sign than the address.
    fn knows(&self, peer: SocketAddr, transport: Transport) -> bool;

    /// Is it a proxy whose word about a client's address is believed: the PROXY protocol, `X-Forwarded-For`?
    fn is_proxy(&self, _peer: IpAddr) -> bool {
        false
    }
}

impl fmt::Debug for dyn Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// A source that had less than this part of a share asks little.
const LITTLE: u32 = 20;
/// Counters of one share's sources. Sources that fall on the same one are counted together.
const SLOTS: usize = 2048;

/// What is read of one standing's messages in a second. The rest is dropped unread.
#[derive(Clone, Copy, Debug)]
struct Reading {
    messages: u32,
    bytes: usize,
}

/// Messages read per new request allowed: its repetitions, ACKs, responses.
const MESSAGES_PER_REQUEST: u32 = 4;
const STRANGERS: Reading = Reading { messages: 4_000, bytes: 24 << 20 };
const KNOWN: Reading = Reading { messages: 100_000, bytes: 256 << 20 };
/// Time of a second the stack's task spends on strangers' messages, which slow machines need.
const TIME_FOR_STRANGERS: Duration = Duration::from_millis(250);

/// What the stack's task and its readers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The other ends of running dialogs and of requests of ours.
    familiar: RwLock<HashSet<IpAddr>>,
    per_second: AtomicU32,
}

impl Shared {
    fn is_familiar(&self, peer: IpAddr) -> bool {
        self.familiar.read().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }
}

/// Says whose messages are worth reading.
#[derive(Debug)]
pub(crate) struct Doorman {
    peers: Option<Arc<dyn Peers>>,
    shared: Arc<Shared>,
    window: Option<Instant>,
    known: Read,
    strangers: Read,
}

/// What was read of one standing in the current second.
#[derive(Debug, Default)]
struct Read {
    messages: Counts,
    bytes: usize,
}

impl Doorman {
    fn new(peers: Option<Arc<dyn Peers>>, shared: Arc<Shared>) -> Self {
        Self { peers, shared, window: None, known: Read::default(), strangers: Read::default() }
    }

    /// Is a message of this size worth reading? If so, who sent it. Asked once for each message.
    pub(crate) fn lets_in(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        transport: Transport,
        bytes: usize,
    ) -> Option<Standing> {
        if begins(&mut self.window, now) {
            for read in [&mut self.known, &mut self.strangers] {
                read.messages.reset();
                read.bytes = 0;
            }
        }
        let standing = self.standing_of(peer, transport);
        let (read, most) = match standing {
            Standing::Known => (&mut self.known, KNOWN),
            Standing::Stranger => (&mut self.strangers, STRANGERS),
        };
        let requests = self.shared.per_second.load(Ordering::Relaxed);
        let messages = most.messages.max(requests.saturating_mul(MESSAGES_PER_REQUEST));
        let reads = read.bytes.saturating_add(bytes) <= most.bytes
            && read.messages.admits(Source::of(peer.ip()), messages);
        if reads {
            read.bytes += bytes;
        }
        reads.then_some(standing)
    }

    fn standing_of(&self, peer: SocketAddr, transport: Transport) -> Standing {
        if self.shared.is_familiar(peer.ip()) || self.knows(peer, transport) {
            Standing::Known
        } else {
            Standing::Stranger
        }
    }

    /// Is it known whatever dialogs run?
    fn knows(&self, peer: SocketAddr, transport: Transport) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.knows(peer, transport))
    }

    /// Is it the other end of a running dialog, or of a request of ours?
    pub(crate) fn is_familiar(&self, peer: IpAddr) -> bool {
        self.shared.is_familiar(peer)
    }
}

/// Begins another second if it is time to; true if so.
fn begins(window: &mut Option<Instant>, now: Instant) -> bool {
    let over = window.is_none_or(|start| now.saturating_duration_since(start) >= SECOND);
    if over {
        *window = Some(now);
    }
    over
}

/// Counts a second's new requests (`max-recv-requests-per-second`) and the time spent on strangers.
#[derive(Debug)]
pub(super) struct Admission {
    shared: Arc<Shared>,
    doorman: Doorman,
    window: Option<Instant>,
    known: Counts,
    strangers: Counts,
    time: Duration,
}

#[derive(Debug)]
struct Counts {
    seen: u32,
    slots: Box<[u32]>,
    hasher: RandomState,
}

impl Default for Counts {
    fn default() -> Self {
        Self { seen: 0, slots: vec![0; SLOTS].into(), hasher: RandomState::new() }
    }
}

impl Counts {
    fn reset(&mut self) {
        if self.seen > 0 {
            self.seen = 0;
            self.slots.fill(0);
            // Another order of slots: sources that were counted together are not for long.
            self.hasher = RandomState::new();
        }
    }

    /// Counts one more of the source, unless there were `most`, or twice as many of sources that ask little.
    fn admits(&mut self, source: Source, most: u32) -> bool {
        let slot = self.hasher.hash_one(source) % SLOTS as u64;
        let Some(before) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot))
        else {
            return false;
        };
        let asks_little = *before < (most / LITTLE).max(1);
        if self.seen >= if asks_little { most.saturating_mul(2) } else { most } {
            return false;
        }
        self.seen += 1;
        *before = before.saturating_add(1);
        true
    }
}

impl Admission {
    pub(super) fn new(per_second: u32, peers: Option<Arc<dyn Peers>>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.per_second.store(per_second, Ordering::Relaxed);
        Self {
            doorman: Doorman::new(peers, Arc::clone(&shared)),
            shared,
            window: None,
            known: Counts::default(),
            strangers: Counts::default(),
            time: Duration::ZERO,
        }
    }

    /// Other requests per second from now on.
    pub(super) fn retune(&mut self, per_second: u32) {
        self.shared.per_second.store(per_second, Ordering::Relaxed);
    }

    /// A doorman for a reader of its own.
    pub(super) fn another_doorman(&self) -> Doorman {
        Doorman::new(self.doorman.peers.clone(), Arc::clone(&self.shared))
    }

    /// The doorman of what the stack's task reads itself.
    pub(super) fn doorman(&mut self) -> &mut Doorman {
        &mut self.doorman
    }

    /// Begins another second if it is time to; true if so.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let begun = begins(&mut self.window, now);
        if begun {
            self.known.reset();
            self.strangers.reset();
            self.time = Duration::ZERO;
        }
        begun
    }

    /// An address that a dialog of ours, or a request of ours, goes to.
    pub(super) fn make_familiar(&mut self, peer: IpAddr) {
        if !self.shared.is_familiar(peer) {
            let mut familiar = self.shared.familiar.write().unwrap_or_else(PoisonError::into_inner);
            familiar.insert(peer);
        }
    }

    /// Replaces the familiar addresses.
    pub(super) fn set_familiar(&mut self, peers: impl Iterator<Item = IpAddr>) {
        let peers: HashSet<IpAddr> = peers.collect();
        *self.shared.familiar.write().unwrap_or_else(PoisonError::into_inner) = peers;
    }

    /// Is there time for a message of such a sender?
    pub(super) fn has_time(&self, standing: Standing) -> bool {
        standing == Standing::Known || self.time < TIME_FOR_STRANGERS
    }

    /// Handling a message took so long.
    pub(super) fn took(&mut self, standing: Standing, time: Duration) {
        if standing == Standing::Stranger {
            self.time += time;
        }
    }

    /// Is a new request outside dialogs taken? A running dialog gives no share of known peers' requests: anyone
    /// may have one where calls are taken from anybody.
    pub(super) fn admits(&mut self, peer: SocketAddr, transport: Transport) -> bool {
        let most = self.shared.per_second.load(Ordering::Relaxed);
        let counts =
            if self.doorman.knows(peer, transport) { &mut self.known } else { &mut self.strangers };
        most == 0 || counts.admits(Source::of(peer.ip()), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Trunk;

    impl Peers for Trunk {
        fn knows(&self, peer: SocketAddr, _transport: Transport) -> bool {
            peer == trunk()
        }
    }

    fn trunk() -> SocketAddr {
        "192.0.2.1:5060".parse().unwrap()
    }

    fn stranger(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, n], 5060))
    }

    fn admission(per_second: u32) -> (Admission, Instant) {
        let now = Instant::now();
        let mut admission = Admission::new(per_second, Some(Arc::new(Trunk)));
        admission.tick(now);
        (admission, now)
    }

    fn admitted(admission: &mut Admission, from: &[SocketAddr], each: usize) -> usize {
        let all = (0..each).flat_map(|_| from.iter());
        all.filter(|peer| admission.admits(**peer, Transport::Udp)).count()
    }

    #[test]
    fn strangers_however_many_leave_known_peers_their_share() {
        let (mut admission, now) = admission(1000);
        let strangers: Vec<_> = (0..200).map(stranger).collect();
        assert_eq!(admitted(&mut admission, &strangers, 15), 2000);
        assert_eq!(admitted(&mut admission, &[trunk()], 900), 900);
        assert_eq!(admitted(&mut admission, &[trunk()], 200), 100);
        assert!(admission.tick(now + SECOND));
        assert_eq!(admitted(&mut admission, &strangers[..1], 2000), 1000);
        assert_eq!(admitted(&mut admission, &strangers[1..2], 1), 1, "one that asks little");
    }

    #[test]
    fn a_running_dialog_gives_no_share_of_known_peers_requests() {
        let (mut admission, _) = admission(10);
        admission.make_familiar(stranger(1).ip());
        assert_eq!(admitted(&mut admission, &[stranger(1)], 100), 10);
        assert_eq!(admitted(&mut admission, &[trunk()], 10), 10);
    }

    #[test]
    fn what_is_read_of_strangers_is_bounded_by_number_bytes_and_time() {
        let (mut admission, now) = admission(100);
        let read = |admission: &Admission, peer, bytes: usize| {
            let mut doorman = admission.another_doorman();
            (0..10_000)
                .filter(|_| doorman.lets_in(now, peer, Transport::Udp, bytes).is_some())
                .count()
        };
        assert_eq!(read(&admission, stranger(1), 100), 4_000);
        assert_eq!(read(&admission, stranger(1), 60_000), (24 << 20) / 60_000);
        assert_eq!(read(&admission, trunk(), 100), 10_000);
        admission.make_familiar(stranger(1).ip());
        assert_eq!(read(&admission, stranger(1), 100), 10_000, "in a running dialog");
        admission.took(Standing::Stranger, TIME_FOR_STRANGERS);
        assert!(!admission.has_time(Standing::Stranger) && admission.has_time(Standing::Known));
        admission.tick(now + SECOND);
        assert!(admission.has_time(Standing::Stranger));
    }
}
