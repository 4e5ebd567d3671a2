//! The endpoint's settings: timers, what it says of itself, bounds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::session_timer::SessionTimers;
use crate::message::MessageLimits;
use crate::transport::Transport;

/// Settings of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct EndpointConfig {
    /// Addresses bound, ports filled in.
    pub(crate) listening: Vec<(Transport, SocketAddr)>,
    pub(crate) timers: Timers,
    pub(crate) session: SessionTimers,
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) advertise: Option<Arc<dyn Advertise>>,
    pub(crate) rport: Rport,
    /// Who is known. `None`: the other ends of running dialogs only.
    pub(crate) peers: Option<Arc<dyn super::Peers>>,
}

/// Who is answered where his datagrams come from, rather than where his `Via` says (RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rport {
    /// Of those who send us requests.
    pub server: RportServer,
    /// We ask for it ourselves.
    pub client: bool,
}

/// See [`Rport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RportServer {
    /// Not at all, not even where asked for.
    Never,
    /// Who asks.
    Asked,
    /// Who asks, and phones known to need it and not to ask.
    KnownPhones,
    /// Everybody.
    Always,
}

impl Default for Rport {
    fn default() -> Self {
        Self { server: RportServer::Asked, client: true }
    }
}

impl RportServer {
    /// Does a request with this `User-Agent` go back to its source?
    pub(crate) fn follows(self, asked: bool, agent: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Asked => asked,
            Self::KnownPhones => asked || agent.starts_with("Polycom"),
            Self::Always => true,
        }
    }
}

/// The base values of RFC 3261's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate; the first retransmission interval.
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and of INVITE responses.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
    /// When a transaction gives up (64 x T1 in the RFC; set apart here as in the reference).
    pub t1x64: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(4),
            t1x64: Duration::from_secs(32),
        }
    }
}

/// Headers the stack adds to what it sends. Empty text leaves the header out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // One field per header of that name.
pub struct Identity {
    pub user_agent: String,
    pub allow: String,
    pub supported: String,
    pub allow_events: String,
    pub accept: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            user_agent: "FreeSWITCH-mod_sofia/1.10.12-release".into(),
            allow:
                "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY"
                    .into(),
            supported: "timer, path, replaces".into(),
            allow_events: "talk, hold, conference, refer".into(),
            accept: "application/sdp".into(),
        }
    }
}

/// Bounds of a stack, each with what happens beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of one message; larger ones are refused.
    pub message_bytes: usize,
    /// Header lines of one message; more are refused.
    pub header_lines: usize,
    /// Live transactions; a request beyond gets a stateless 503.
    pub transactions: usize,
    /// Live dialogs; an INVITE beyond gets 503.
    pub dialogs: usize,
    /// New requests outside dialogs per second (`max-recv-requests-per-second`); beyond: 503. 0 = no bound.
    pub requests_per_second: u32,
    /// Requests without a final answer (`max-proceeding`); a new one outside dialogs beyond gets 503. 0 = no bound.
    pub proceeding: usize,
    /// Open stream connections; one beyond is closed at once.
    pub connections: usize,
    /// Stream connections one address may have open to us; one beyond is closed at once.
    pub connections_per_address: usize,
    /// Stream connections over which nothing came from a known peer yet; for one beyond, the oldest is closed.
    pub strange_connections: usize,
    /// The same for one address; one beyond is closed at once.
    pub strange_connections_per_address: usize,
    /// Stream connections without traffic are closed after this.
    pub connection_idle: Duration,
    /// Requests waiting in the [`crate::stack::Incoming`] queue; beyond: 503.
    pub incoming_queue: usize,
    /// Events waiting for one dialog's owner; beyond, further requests in the dialog get 503 while
    /// room is kept for the end of the call.
    pub dialog_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            header_lines: 256,
            transactions: 200_000,
            dialogs: 50_000,
            requests_per_second: 1000,
            proceeding: 0,
            connections: 10_000,
            connections_per_address: 2_000,
            strange_connections: 1_024,
            strange_connections_per_address: 256,
            connection_idle: Duration::from_secs(600),
            incoming_queue: 1024,
            dialog_queue: 64,
        }
    }
}

impl Limits {
    pub(crate) fn message(&self) -> MessageLimits {
        MessageLimits { bytes: self.message_bytes, headers: self.header_lines }
    }
}

/// Chooses the address a peer is shown in `Via` and in Contacts made by the stack.
pub trait Advertise: Send + Sync {
    /// The address for this peer, or `None` for the bound one. Port 0 stands for the bound port.
    fn address_for(&self, peer: IpAddr, transport: Transport) -> Option<SocketAddr>;
}

impl fmt::Debug for dyn Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Advertise")
    }
}
