//! What a stack is started with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::endpoint::{Advertise, Identity, Limits, Peers, Rport, SessionTimers, Timers};
use crate::transport::{Path, Transport};
use streams::tls::Tls;

/// Configuration of one [`super::Stack`]: one SIP profile.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Addresses to listen on. Port 0 takes a free one, see [`super::Stack::listening`].
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Transaction timers.
    pub timers: Timers,
    /// Session timers (RFC 4028).
    pub session: SessionTimers,
    /// What the stack says of itself.
    pub identity: Identity,
    /// Bounds.
    pub limits: Limits,
    /// Certificate and key; needed to listen on TLS and to connect over it.
    pub tls: Option<Tls>,
    /// Certificate and key of secure WebSockets; needed to listen on them.
    pub wss: Option<Tls>,
    /// Sees every message sent and received.
    pub trace: Option<Arc<dyn Trace>>,
    /// Chooses the address shown to a peer (external address behind NAT). `None`: the bound one.
    pub advertise: Option<Arc<dyn Advertise>>,
    /// Finds the addresses of host names. `None`: the system's resolver.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// When responses go to where the request came from (RFC 3581).
    pub rport: Rport,
    /// Who is known. `None`: the other ends of running dialogs only.
    pub peers: Option<Arc<dyn Peers>>,
    /// Bound already, the stack reads, answers and sends nothing before this is true. `None`: at once.
    pub serve_when: Option<tokio::sync::watch::Receiver<bool>>,
}

impl StackConfig {
    /// Defaults for these addresses.
    pub fn new(listen: Vec<(Transport, SocketAddr)>) -> Self {
        Self {
            listen,
            timers: Timers::default(),
            session: SessionTimers::default(),
            identity: Identity::default(),
            limits: Limits::default(),
            tls: None,
            wss: None,
            trace: None,
            advertise: None,
            resolver: None,
            rport: Rport::default(),
            peers: None,
            serve_when: None,
        }
    }
}

/// Which way a traced message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Received,
    Sent,
}

/// Sees messages as they pass (`sofia profile X siptrace on`). Called on the stack's task: must not
/// block.
pub trait Trace: Send + Sync {
    /// True while anybody looks; checked first, so that tracing costs nothing when off.
    fn enabled(&self) -> bool;
    /// One whole message.
    fn message(&self, direction: Direction, path: &Path, bytes: &[u8]);
}

/// Finds addresses for a next hop given by name.
pub trait Resolve: Send + Sync {
    /// Addresses in order of preference. The stack gives up after its own deadline.
    fn resolve(
        &self,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> ResolveFuture;
}

/// Future of [`Resolve::resolve`].
pub type ResolveFuture =
    std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<(Transport, SocketAddr)>>> + Send>>;

impl fmt::Debug for dyn Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}
