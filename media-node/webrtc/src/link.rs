//! One leg's way to its peer: checks and handshake together, sans-IO.
//!
//! The client of a handshake begins once a path is there. What comes of a handshake is taken only from addresses that have
//! proved to be the peer's, or, without checks, from the host that was negotiated.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::srtp::{SrtpKeys, Suite};

use crate::dtls::{self, DtlsEngine, DtlsError, Fingerprint, Identity, Role};
use crate::ice::{Agent, IceEvent, IceSpec, RemoteCandidate};

/// Datagrams of a handshake kept until their sender has proved to be the peer: its checks and its hello cross.
const MOST_EARLY: usize = 4;
/// Longest of these.
const LONGEST_EARLY: usize = 1500;
/// How long a finished handshake is kept: for a peer whose last flight was lost.
const LINGER: Duration = Duration::from_secs(60);

/// Parameters of a handshake.
#[derive(Debug, Clone)]
pub struct DtlsSpec {
    /// Our certificate.
    pub identity: Identity,
    /// Our side of it.
    pub role: Role,
    /// The peer's certificate has one of these.
    pub fingerprints: Vec<Fingerprint>,
    /// Protection profiles, best first.
    pub suites: Vec<Suite>,
    /// Another number is another association, even with the same certificate: the peer began anew.
    pub association: u32,
}

impl PartialEq for DtlsSpec {
    /// Whether both lead to the same association; the identity is the process's.
    fn eq(&self, other: &Self) -> bool {
        (self.role, &self.fingerprints, self.association)
            == (other.role, &other.fingerprints, other.association)
    }
}

/// What was agreed about one leg.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkSpec {
    /// Connectivity checks. `None`: packets go to `remote`.
    pub ice: Option<IceSpec>,
    /// The same of the RTCP port, where it is one of its own.
    pub rtcp_ice: Option<IceSpec>,
    /// The negotiated address.
    pub remote: Option<SocketAddr>,
    /// The handshake. `None`: keys, if any, came with the descriptions.
    pub dtls: Option<DtlsSpec>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Packets go there from now on; `None`: the peer no longer answers, nothing may be sent.
    Path(Option<SocketAddr>),
    /// The handshake has brought these.
    Keys(SrtpKeys),
    /// The handshake has failed; there will be no media.
    Failed(DtlsError),
}

/// Checks and handshake of one leg. See the module's description.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    agent: Option<Agent>,
    /// Checks of the RTCP port: the peer waits for both to work.
    rtcp_agent: Option<Agent>,
    handshake: Handshake,
    /// Where packets go.
    path: Option<SocketAddr>,
    /// The checks under way have found it, or there are none.
    settled: bool,
    early: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<LinkEvent>,
}

enum Handshake {
    /// There is none, or it has failed.
    None,
    /// A path is not there yet.
    Waiting(DtlsSpec),
    Running(Box<dyn DtlsEngine>),
    /// Until then it is kept.
    Done(Box<dyn DtlsEngine>, Instant),
    /// Kept for the alert it has to send.
    Failed(Box<dyn DtlsEngine>),
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Waiting(_) => "Waiting",
            Self::Running(_) => "Running",
            Self::Done(..) => "Done",
            Self::Failed(_) => "Failed",
        })
    }
}

impl Link {
    /// Begins with what was agreed.
    pub fn new(spec: LinkSpec, now: Instant) -> Self {
        let mut link = Self {
            agent: spec.ice.clone().map(|ice| Agent::new(ice, now)),
            rtcp_agent: spec.rtcp_ice.clone().map(|ice| Agent::new(ice, now)),
            handshake: spec.dtls.clone().map_or(Handshake::None, Handshake::Waiting),
            path: None,
            settled: false,
            early: Vec::new(),
            events: Vec::new(),
            spec,
        };
        link.settle(now);
        link
    }

    /// Takes a new agreement: other credentials are a restart of the checks (RFC 8445 §9), while the old path is used
    /// on; another fingerprint or role is a new handshake (RFC 8842 §4). What is the same goes on.
    pub fn update(&mut self, spec: LinkSpec, now: Instant) {
        if renew(&mut self.agent, spec.ice.as_ref(), now) {
            self.settled = false;
        }
        renew(&mut self.rtcp_agent, spec.rtcp_ice.as_ref(), now);
        if self.spec.dtls != spec.dtls {
            self.handshake = spec.dtls.clone().map_or(Handshake::None, Handshake::Waiting);
        }
        self.spec = spec;
        self.settle(now);
    }

    /// Takes candidates of the peer that came later.
    pub fn add_candidates(&mut self, candidates: &[RemoteCandidate], now: Instant) {
        if let Some(agent) = &mut self.agent {
            agent.add_candidates(candidates, now);
        }
    }

    /// What was agreed last.
    pub fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Takes a datagram that is no media.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        match datagram.first() {
            Some(0..=3) => {
                if let Some(agent) = &mut self.agent {
                    agent.handle_datagram(now, from, datagram);
                }
            }
            Some(20..=63) if self.is_peer(from) => self.handshake_datagram(now, from, datagram),
            Some(20..=63) if self.early.len() < MOST_EARLY && datagram.len() <= LONGEST_EARLY => {
                self.early.push((from, datagram.to_vec()));
            }
            _ => {}
        }
        self.settle(now);
    }

    /// Takes a datagram that came to the RTCP port and is no RTCP: a check. Keys of RTCP are those of RTP; a handshake of
    /// its own (RFC 5764 §4.2) is not made.
    pub fn handle_rtcp_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if let (Some(agent), Some(0..=3)) = (&mut self.rtcp_agent, datagram.first()) {
            agent.handle_datagram(now, from, datagram);
        }
    }

    /// The next datagram to send from the RTCP port, and where to.
    pub fn poll_rtcp_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.rtcp_agent.as_mut()?.poll_transmit()
    }

    /// To be called when [`Link::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let agents = self.agent.iter_mut().chain(&mut self.rtcp_agent);
        agents.filter(|agent| agent.poll_timeout() <= now).for_each(|a| a.handle_timeout(now));
        self.settle(now);
        match &mut self.handshake {
            Handshake::Running(engine) if engine.poll_timeout().is_some_and(|due| due <= now) => {
                let result = engine.handle_timeout(now);
                self.note(result, now);
            }
            Handshake::Done(_, until) if *until <= now => self.handshake = Handshake::None,
            _ => {}
        }
    }

    /// When [`Link::handle_timeout`] is due; `None` = never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let engine = match &self.handshake {
            Handshake::Running(engine) => engine.poll_timeout(),
            Handshake::Done(_, until) => Some(*until),
            Handshake::None | Handshake::Waiting(_) | Handshake::Failed(_) => None,
        };
        let agents = self.agent.iter().chain(&self.rtcp_agent).map(Agent::poll_timeout);
        agents.chain(engine).min()
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if let Some(transmit) = self.agent.as_mut().and_then(Agent::poll_transmit) {
            return Some(transmit);
        }
        match &mut self.handshake {
            Handshake::Running(engine) | Handshake::Done(engine, _) | Handshake::Failed(engine) => {
                Some((self.path?, engine.poll_transmit()?))
            }
            Handshake::None | Handshake::Waiting(_) => None,
        }
    }

    /// What happened, oldest first.
    pub fn take_events(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.events)
    }

    /// Whether what comes from there is the peer's.
    fn is_peer(&self, from: SocketAddr) -> bool {
        match (&self.agent, self.spec.remote) {
            (Some(agent), _) => agent.knows(from),
            (None, Some(remote)) => remote.ip() == from.ip(),
            (None, None) => false,
        }
    }

    fn handshake_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        // Without checks the peer's own port is where its handshake comes from; with them a waiting side may hear the
        // hello before the path is settled.
        if self.agent.is_none() || self.path.is_none() {
            self.path = Some(from);
        }
        self.begin(now);
        if let Handshake::Running(engine) | Handshake::Done(engine, _) = &mut self.handshake {
            let result = engine.handle_datagram(now, datagram);
            self.note(result, now);
        }
    }

    /// Takes what the checks brought, and begins the handshake when a path is there.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.agent.as_mut().and_then(Agent::poll_event) {
            match event {
                IceEvent::Selected(to) => {
                    (self.path, self.settled) = (Some(to), true);
                    self.events.push(LinkEvent::Path(Some(to)));
                }
                IceEvent::Lost => self.events.push(LinkEvent::Path(None)),
                IceEvent::Proved(_) => {}
            }
        }
        while self.rtcp_agent.as_mut().and_then(Agent::poll_event).is_some() {}
        if self.agent.is_none() {
            self.path = self.path.or(self.spec.remote);
            self.settled = self.path.is_some();
        }
        if self.settled {
            self.begin(now);
        }
        if self.early.iter().any(|(from, _)| self.is_peer(*from)) {
            let (known, rest) = std::mem::take(&mut self.early)
                .into_iter()
                .partition(|(from, _)| self.is_peer(*from));
            self.early = rest;
            let known: Vec<_> = known;
            for (from, datagram) in known {
                self.handshake_datagram(now, from, &datagram);
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        let Handshake::Waiting(spec) = &self.handshake else { return };
        let engine = dtls::engine(&spec.identity, spec.role, &spec.fingerprints, &spec.suites, now);
        match engine {
            Ok(engine) => self.handshake = Handshake::Running(engine),
            Err(error) => {
                self.handshake = Handshake::None;
                self.events.push(LinkEvent::Failed(error));
            }
        }
    }

    /// Takes what a step of the handshake has led to.
    fn note(&mut self, result: Result<(), DtlsError>, now: Instant) {
        self.handshake = match (std::mem::replace(&mut self.handshake, Handshake::None), result) {
            (Handshake::Running(engine), Err(error)) => {
                self.events.push(LinkEvent::Failed(error));
                Handshake::Failed(engine)
            }
            (Handshake::Running(engine), Ok(())) => match engine.keys().cloned() {
                Some(keys) => {
                    self.events.push(LinkEvent::Keys(keys));
                    Handshake::Done(engine, now + LINGER)
                }
                None => Handshake::Running(engine),
            },
            // The peer takes its leave by SIP; what it says here does not end a call.
            (other, _) => other,
        };
    }
}

/// Lets checks follow a new agreement; true when they begin anew.
fn renew(agent: &mut Option<Agent>, spec: Option<&IceSpec>, now: Instant) -> bool {
    if let (Some(agent), Some(spec)) = (&mut *agent, spec)
        && (&agent.spec().theirs, &agent.spec().ours) == (&spec.theirs, &spec.ours)
    {
        agent.add_candidates(&spec.candidates, now);
        return false;
    }
    *agent = spec.cloned().map(|spec| Agent::new(spec, now));
    true
}

#[cfg(all(test, feature = "dtls"))]
mod tests;
