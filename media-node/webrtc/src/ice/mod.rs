//! Connectivity checks (ICE, RFC 8445): which pair of addresses works, and whether it still does (RFC 7675).
//!
//! The agent is the crate `is`, one component and one local base per leg. Here it is kept from what a stranger may
//! send, and its requests are put into the order the reference writes them in.

mod stun;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, CandidateKind, IceAgent, IceAgentEvent, IceCreds, Protocol};

pub use stun::is_message;

/// Time between two checks of one agent (Ta). RFC 8445 §14 wants 50 ms where many streams start at once over one path,
/// and allows 5.
const PACE: Duration = Duration::from_millis(20);
/// Pairs that are checked.
const MOST_PAIRS: usize = 64;
/// Addresses of the peer that may prove themselves; it could make up others without end.
const MOST_SOURCES: usize = 32;
/// Candidates of the peer; as many as its description may have.
const MOST_CANDIDATES: usize = 64;

/// User fragment and password of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `a=ice-ufrag`
    pub ufrag: String,
    /// `a=ice-pwd`
    pub pwd: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.ufrag)
    }
}

impl Credentials {
    fn into_is(self) -> IceCreds {
        IceCreds { ufrag: self.ufrag, pass: self.pwd }
    }
}

/// How the peer came by an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its own.
    Host,
    /// What a server saw it come from.
    Reflexive,
    /// A relay's.
    Relayed,
}

/// An address where the peer may be reached, over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// Where.
    pub address: SocketAddr,
    /// How it came by it.
    pub kind: Kind,
    /// Its priority, as the peer says.
    pub priority: u32,
    /// Its foundation.
    pub foundation: String,
}

/// What descriptions agreed about checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSpec {
    /// The address our socket is bound to.
    pub base: SocketAddr,
    /// Ours.
    pub ours: Credentials,
    /// The peer's.
    pub theirs: Credentials,
    /// The peer's candidates so far.
    pub candidates: Vec<RemoteCandidate>,
    /// We decide which pair is used.
    pub controlling: bool,
    /// We answer checks and make none (`a=ice-lite` of ours).
    pub lite: bool,
    /// An address of a TURN server's whose packets reach us.
    pub relayed: Option<SocketAddr>,
}

/// What became of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceEvent {
    /// That source has proved to be the peer.
    Proved(SocketAddr),
    /// Packets are to go there; through the relay if the second says so.
    Selected(SocketAddr, bool),
    /// The peer no longer answers: nothing may be sent (RFC 7675 §5.1).
    Lost,
}

/// The checks of one leg, sans-IO.
#[derive(Debug)]
pub struct Agent {
    inner: IceAgent,
    spec: IceSpec,
    /// Candidates taken, so that the same ones told again do not count twice.
    taken: Vec<SocketAddr>,
    proved: Vec<SocketAddr>,
    /// What is to be sent through the relay.
    relay_out: VecDeque<(SocketAddr, Vec<u8>)>,
    due: Instant,
}

impl Agent {
    /// Begins the checks.
    pub fn new(spec: IceSpec, now: Instant) -> Self {
        let mut inner = IceAgent::new(spec.ours.clone().into_is());
        inner.set_ice_lite(spec.lite);
        inner.set_controlling(spec.controlling && !spec.lite);
        inner.set_timing_advance(PACE);
        inner.set_max_candidate_pairs(MOST_PAIRS);
        if let Ok(host) = Candidate::host(spec.base, Protocol::Udp) {
            inner.add_local_candidate(host);
        }
        let relayed = spec.relayed.map(|at| Candidate::relayed(at, spec.base, Protocol::Udp));
        if let Some(Ok(relayed)) = relayed {
            inner.add_local_candidate(relayed);
        }
        inner.set_remote_credentials(spec.theirs.clone().into_is());
        let candidates = spec.candidates.clone();
        let (taken, proved, relay_out) = Default::default();
        let mut agent = Self { inner, spec, taken, proved, relay_out, due: now };
        agent.add_candidates(&candidates, now);
        agent
    }

    /// Takes candidates the peer tells of later (trickle), or again.
    pub fn add_candidates(&mut self, candidates: &[RemoteCandidate], now: Instant) {
        for candidate in candidates {
            let ip = candidate.address.ip();
            let usable =
                candidate.address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
            let known = self.taken.contains(&candidate.address);
            if !usable || known || self.taken.len() >= MOST_CANDIDATES {
                continue;
            }
            self.taken.push(candidate.address);
            let kind = match candidate.kind {
                Kind::Host => CandidateKind::Host,
                Kind::Reflexive => CandidateKind::ServerReflexive,
                Kind::Relayed => CandidateKind::Relayed,
            };
            let (foundation, priority) = (candidate.foundation.clone(), candidate.priority);
            self.inner.add_remote_candidate(Candidate::from_parts(
                foundation,
                1,
                Protocol::Udp,
                priority,
                candidate.address,
                kind,
                None,
                None,
                None,
            ));
        }
        self.due = now;
    }

    /// What the checks are made with.
    pub fn spec(&self) -> &IceSpec {
        &self.spec
    }

    /// Whether that source has proved to be the peer.
    pub fn knows(&self, source: SocketAddr) -> bool {
        self.proved.contains(&source)
    }

    /// Takes a STUN message. What is not one, or not for us, or not authentic, changes nothing.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_at(self.spec.base, now, from, datagram);
    }

    /// The same for one that came through the relay.
    pub fn handle_relayed(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if let Some(relayed) = self.spec.relayed {
            self.handle_at(relayed, now, from, datagram);
        }
    }

    fn handle_at(
        &mut self,
        destination: SocketAddr,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        if !is_message(datagram) || self.proved.len() >= MOST_SOURCES && !self.knows(from) {
            return;
        }
        let Ok(message) = StunMessage::parse(datagram) else { return };
        let packet = StunPacket { proto: Protocol::Udp, source: from, destination, message };
        if self.inner.handle_packet(now, packet) {
            self.due = now;
        }
    }

    /// To be called when [`Agent::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
        self.due =
            self.inner.poll_timeout().unwrap_or(now + PACE).max(now + Duration::from_millis(1));
    }

    /// When [`Agent::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        loop {
            let transmit = self.inner.poll_transmit()?;
            let octets: Vec<u8> = transmit.contents.into();
            let octets = stun::dress(&octets, self.spec.theirs.pwd.as_bytes()).unwrap_or(octets);
            if Some(transmit.source) != self.spec.relayed {
                return Some((transmit.destination, octets));
            }
            if self.relay_out.len() < MOST_PAIRS {
                self.relay_out.push_back((transmit.destination, octets));
            }
        }
    }

    /// The next datagram to send through the relay, and where to; asked for after [`Agent::poll_transmit`] has none.
    pub fn poll_relay_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.relay_out.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        loop {
            return Some(match self.inner.poll_event()? {
                IceAgentEvent::DiscoveredRecv { source, .. } => {
                    if !self.knows(source) {
                        self.proved.push(source);
                    }
                    IceEvent::Proved(source)
                }
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    IceEvent::Selected(destination, Some(source) == self.spec.relayed)
                }
                IceAgentEvent::IceConnectionStateChange(state) if state.is_disconnected() => {
                    IceEvent::Lost
                }
                IceAgentEvent::IceConnectionStateChange(_) | IceAgentEvent::IceRestart(_) => {
                    continue;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
