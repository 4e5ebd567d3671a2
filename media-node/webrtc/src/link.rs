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
    /// The negotiated address of RTCP, where it has a port of its own.
    pub rtcp_remote: Option<SocketAddr>,
    /// The handshake. `None`: keys, if any, came with the descriptions. RTCP on a port of its own has another with the same
    /// parameters (RFC 5764 §4.2).
    pub dtls: Option<DtlsSpec>,
}

/// How packets reach the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Its address.
    pub to: SocketAddr,
    /// They go through the relay.
    pub relayed: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Packets go there from now on; `None`: the peer no longer answers, nothing may be sent.
    Path(Option<Way>),
    /// The handshake has brought these.
    Keys(SrtpKeys),
    /// RTCP goes there, from a port of its own.
    RtcpPath(Option<Way>),
    /// The handshake of the RTCP port has brought these.
    RtcpKeys(SrtpKeys),
    /// The handshake has failed; there will be no media.
    Failed(DtlsError),
}

/// Checks and handshake of one leg. See the module's description.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    rtp: Component,
    /// The RTCP port, where it is one of its own: the peer waits for both to work.
    rtcp: Option<Component>,
}

/// Checks and handshake of one port.
#[derive(Debug)]
struct Component {
    agent: Option<Agent>,
    /// The negotiated address.
    remote: Option<SocketAddr>,
    handshake: Handshake,
    /// Where packets go.
    path: Option<Way>,
    /// The checks under way have found it, or there are none.
    settled: bool,
    early: Vec<(Way, Vec<u8>)>,
    events: Vec<Happened>,
}

/// What happened to a port.
#[derive(Debug)]
enum Happened {
    Path(Option<Way>),
    Keys(SrtpKeys),
    Failed(DtlsError),
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

impl Handshake {
    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Running(engine) | Self::Done(engine, _) | Self::Failed(engine) => {
                engine.poll_transmit()
            }
            Self::None | Self::Waiting(_) => None,
        }
    }
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
        let rtp = Component::new(spec.ice.clone(), spec.remote, spec.dtls.clone(), now);
        let rtcp = rtcp_of(&spec, now);
        Self { spec, rtp, rtcp }
    }

    /// Takes a new agreement: other credentials are a restart of the checks (RFC 8445 §9), while the old path is used
    /// on; another fingerprint or role is a new handshake (RFC 8842 §4). What is the same goes on.
    pub fn update(&mut self, spec: LinkSpec, now: Instant) {
        let dtls = (self.spec.dtls != spec.dtls).then_some(&spec.dtls);
        self.rtp.update(spec.ice.as_ref(), spec.remote, dtls, now);
        let apart = spec.rtcp_ice.is_some() || spec.rtcp_remote.is_some();
        match &mut self.rtcp {
            Some(rtcp) if apart => rtcp.update(spec.rtcp_ice.as_ref(), spec.rtcp_remote, dtls, now),
            _ => self.rtcp = rtcp_of(&spec, now),
        }
        self.spec = spec;
    }

    /// Takes candidates of the peer that came later.
    pub fn add_candidates(&mut self, candidates: &[RemoteCandidate], now: Instant) {
        if let Some(agent) = &mut self.rtp.agent {
            agent.add_candidates(candidates, now);
        }
    }

    /// What was agreed last.
    pub fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Takes a datagram that is no media.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.rtp.handle(now, Way { to: from, relayed: false }, datagram);
    }

    /// The same for one that came through the relay.
    pub fn handle_relayed(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.rtp.handle(now, Way { to: from, relayed: true }, datagram);
    }

    /// Takes a datagram that came to the RTCP port and is no RTCP.
    pub fn handle_rtcp_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if let Some(rtcp) = &mut self.rtcp {
            rtcp.handle(now, Way { to: from, relayed: false }, datagram);
        }
    }

    /// The next datagram to send from the RTCP port, and where to.
    pub fn poll_rtcp_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.rtcp.as_mut()?.poll_transmit()
    }

    /// To be called when [`Link::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.rtp.handle_timeout(now);
        if let Some(rtcp) = &mut self.rtcp {
            rtcp.handle_timeout(now);
        }
    }

    /// When [`Link::handle_timeout`] is due; `None` = never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rtcp = self.rtcp.as_ref().and_then(Component::poll_timeout);
        self.rtp.poll_timeout().into_iter().chain(rtcp).min()
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.rtp.poll_transmit()
    }

    /// The next datagram to send through the relay, and where to; asked for after [`Link::poll_transmit`] has none.
    pub fn poll_relay_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.rtp.poll_relay_transmit()
    }

    /// What happened, oldest first.
    pub fn take_events(&mut self) -> Vec<LinkEvent> {
        let told = |happened| match happened {
            Happened::Path(way) => Some(LinkEvent::Path(way)),
            Happened::Keys(keys) => Some(LinkEvent::Keys(keys)),
            Happened::Failed(error) => Some(LinkEvent::Failed(error)),
        };
        let of_rtcp = |happened| match happened {
            Happened::Path(way) => Some(LinkEvent::RtcpPath(way)),
            Happened::Keys(keys) => Some(LinkEvent::RtcpKeys(keys)),
            // Someone else at the peer's RTCP port is no peer; one that makes no handshake there has audio all the same.
            Happened::Failed(error @ DtlsError::Fingerprint { .. }) => {
                Some(LinkEvent::Failed(error))
            }
            Happened::Failed(_) => None,
        };
        let rtp = std::mem::take(&mut self.rtp.events).into_iter().filter_map(told);
        let rtcp = self.rtcp.iter_mut().flat_map(|rtcp| std::mem::take(&mut rtcp.events));
        rtp.chain(rtcp.filter_map(of_rtcp)).collect()
    }
}

/// The RTCP port's part of an agreement.
fn rtcp_of(spec: &LinkSpec, now: Instant) -> Option<Component> {
    let apart = spec.rtcp_ice.is_some() || spec.rtcp_remote.is_some();
    apart.then(|| Component::new(spec.rtcp_ice.clone(), spec.rtcp_remote, spec.dtls.clone(), now))
}

impl Component {
    fn new(
        ice: Option<IceSpec>,
        remote: Option<SocketAddr>,
        dtls: Option<DtlsSpec>,
        now: Instant,
    ) -> Self {
        let mut component = Self {
            agent: ice.map(|ice| Agent::new(ice, now)),
            remote,
            handshake: dtls.map_or(Handshake::None, Handshake::Waiting),
            path: None,
            settled: false,
            early: Vec::new(),
            events: Vec::new(),
        };
        component.settle(now);
        component
    }

    /// Takes a new agreement; `dtls` is there when it is another.
    fn update(
        &mut self,
        ice: Option<&IceSpec>,
        remote: Option<SocketAddr>,
        dtls: Option<&Option<DtlsSpec>>,
        now: Instant,
    ) {
        if renew(&mut self.agent, ice, now) {
            self.settled = false;
        }
        if let Some(dtls) = dtls {
            self.handshake = dtls.clone().map_or(Handshake::None, Handshake::Waiting);
        }
        self.remote = remote;
        self.settle(now);
    }

    fn handle(&mut self, now: Instant, from: Way, datagram: &[u8]) {
        match datagram.first() {
            Some(0..=3) => match &mut self.agent {
                Some(agent) if from.relayed => agent.handle_relayed(now, from.to, datagram),
                Some(agent) => agent.handle_datagram(now, from.to, datagram),
                None => {}
            },
            Some(20..=63) if self.is_peer(from.to) => self.handshake_datagram(now, from, datagram),
            Some(20..=63) if self.early.len() < MOST_EARLY && datagram.len() <= LONGEST_EARLY => {
                self.early.push((from, datagram.to_vec()));
            }
            _ => {}
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(agent) = self.agent.as_mut().filter(|agent| agent.poll_timeout() <= now) {
            agent.handle_timeout(now);
        }
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

    fn poll_timeout(&self) -> Option<Instant> {
        let engine = match &self.handshake {
            Handshake::Running(engine) => engine.poll_timeout(),
            Handshake::Done(_, until) => Some(*until),
            Handshake::None | Handshake::Waiting(_) | Handshake::Failed(_) => None,
        };
        self.agent.iter().map(Agent::poll_timeout).chain(engine).min()
    }

    fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if let Some(transmit) = self.agent.as_mut().and_then(Agent::poll_transmit) {
            return Some(transmit);
        }
        let path = self.path.filter(|path| !path.relayed)?;
        Some((path.to, self.handshake.poll_transmit()?))
    }

    fn poll_relay_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if let Some(transmit) = self.agent.as_mut().and_then(Agent::poll_relay_transmit) {
            return Some(transmit);
        }
        let path = self.path.filter(|path| path.relayed)?;
        Some((path.to, self.handshake.poll_transmit()?))
    }

    /// Whether what comes from there is the peer's.
    fn is_peer(&self, from: SocketAddr) -> bool {
        match (&self.agent, self.remote) {
            (Some(agent), _) => agent.knows(from),
            (None, Some(remote)) => remote.ip() == from.ip(),
            (None, None) => false,
        }
    }

    fn handshake_datagram(&mut self, now: Instant, from: Way, datagram: &[u8]) {
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
                IceEvent::Selected(to, relayed) => {
                    let way = Some(Way { to, relayed });
                    (self.path, self.settled) = (way, true);
                    self.events.push(Happened::Path(way));
                }
                IceEvent::Lost => self.events.push(Happened::Path(None)),
                IceEvent::Proved(_) => {}
            }
        }
        if self.agent.is_none() {
            let negotiated = self.remote.map(|to| Way { to, relayed: false });
            self.path = self.path.or(negotiated);
            self.settled = self.path.is_some();
        }
        if self.settled {
            self.begin(now);
        }
        if self.early.iter().any(|(from, _)| self.is_peer(from.to)) {
            let (known, rest) = std::mem::take(&mut self.early)
                .into_iter()
                .partition(|(from, _)| self.is_peer(from.to));
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
                self.events.push(Happened::Failed(error));
            }
        }
    }

    /// Takes what a step of the handshake has led to.
    fn note(&mut self, result: Result<(), DtlsError>, now: Instant) {
        self.handshake = match (std::mem::replace(&mut self.handshake, Handshake::None), result) {
            (Handshake::Running(engine), Err(error)) => {
                self.events.push(Happened::Failed(error));
                Handshake::Failed(engine)
            }
            (Handshake::Running(engine), Ok(())) => match engine.keys().cloned() {
                Some(keys) => {
                    self.events.push(Happened::Keys(keys));
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
