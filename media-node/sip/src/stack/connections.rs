//! The table of stream connections: who is connected, and what waits to be written.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::greet::Greeting;
use super::tcp::{self, Peer, StreamEvent, StreamLimits, WRITE_QUEUE, Writes};
use crate::endpoint::{Limits, Peers};
use crate::transaction::{Source, TxId};
use crate::transport::{ConnectionId, Path, Transport};
use streams::tls::Tls;

/// One connection as the stack sees it.
struct Connection {
    transport: Transport,
    writes: mpsc::Sender<Bytes>,
    queued: Arc<Queued>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Transactions whose bytes wait for the connection to open; they fail if it does not.
    opening: Option<Vec<TxId>>,
    /// The peer opened it.
    accepted: bool,
    /// The peer is known, or we opened it.
    known: bool,
    /// Opened for a `sips:` address.
    verified: bool,
    /// A proxy opened it and has not said for whom: it counts for no source yet.
    unidentified: bool,
}

/// Transport and address of a peer, and whether an authority vouches for it.
type Peering = (Transport, SocketAddr, bool);

impl Connection {
    fn peering(&self) -> Peering {
        (self.transport, self.remote, self.verified)
    }
}

/// Bytes waiting to be written on one connection, and on all.
#[derive(Debug)]
pub(super) struct Queued {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
}

/// Bytes that may wait on one connection.
const MAX_QUEUED: usize = 512 * 1024;
/// Bytes that may wait on all connections; beyond, on one no more than [`LITTLE_QUEUED`].
const MAX_QUEUED_ALL: usize = 24 * 1024 * 1024;
const LITTLE_QUEUED: usize = 16 * 1024;

impl Queued {
    fn admits(&self, bytes: usize) -> bool {
        let own = self.own.load(Ordering::Relaxed).saturating_add(bytes);
        let all = self.all.load(Ordering::Relaxed).saturating_add(bytes);
        if own > if all > MAX_QUEUED_ALL { LITTLE_QUEUED } else { MAX_QUEUED } {
            return false;
        }
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// So many have been written.
    pub(super) fn written(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.all.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    all: usize,
    per_address: usize,
    strange: usize,
    strange_per_address: usize,
}

impl From<Limits> for Bounds {
    fn from(limits: Limits) -> Self {
        Self {
            all: limits.connections,
            per_address: limits.connections_per_address,
            strange: limits.strange_connections,
            strange_per_address: limits.strange_connections_per_address,
        }
    }
}

/// What TLS connections are made with.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates {
    pub(super) tls: Option<Tls>,
    /// Of WebSocket listeners.
    pub(super) wss: Option<Tls>,
}

pub(super) struct Connections {
    table: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<Peering, ConnectionId>,
    events: mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
    certificates: Certificates,
    peers: Option<Arc<dyn Peers>>,
    bounds: Bounds,
    /// How many connections each peer has opened to us.
    accepted: HashMap<Source, usize>,
    /// Those of strangers, oldest first.
    strange: BTreeSet<ConnectionId>,
    strange_of: HashMap<Source, usize>,
    queued: Arc<AtomicUsize>,
    received: Arc<AtomicUsize>,
    next: u64,
    /// Names that were looked up, by the address they led to: TLS asks for its peer by name.
    names: HashMap<SocketAddr, String>,
}

/// Names kept at most; beyond, all are forgotten, and learnt anew by the next lookups.
const MAX_NAMES: usize = 4096;

impl Connections {
    pub(super) fn new(
        events: mpsc::Sender<StreamEvent>,
        limits: StreamLimits,
        certificates: Certificates,
        peers: Option<Arc<dyn Peers>>,
        bounds: Bounds,
    ) -> Self {
        Self {
            table: HashMap::new(),
            by_remote: HashMap::new(),
            events,
            limits,
            certificates,
            peers,
            bounds,
            accepted: HashMap::new(),
            strange: BTreeSet::new(),
            strange_of: HashMap::new(),
            queued: Arc::default(),
            received: Arc::default(),
            next: 0,
            names: HashMap::new(),
        }
    }

    /// This address belongs to a host that was looked up.
    pub(super) fn name(&mut self, remote: SocketAddr, host: &str) {
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        self.names.insert(remote, host.to_owned());
    }

    fn add(&mut self, path: &Path, opening: bool) -> (ConnectionId, Writes) {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (writes, receiver) = mpsc::channel(WRITE_QUEUE);
        let queued = Arc::new(Queued { own: AtomicUsize::new(0), all: Arc::clone(&self.queued) });
        let connection = Connection {
            transport: path.transport,
            writes,
            queued: Arc::clone(&queued),
            local: path.local,
            remote: path.remote,
            opening: opening.then(Vec::new),
            accepted: !opening,
            known: opening,
            verified: path.verified,
            unidentified: false,
        };
        self.by_remote.insert(connection.peering(), id);
        self.table.insert(id, connection);
        (id, Writes { messages: receiver, queued, received: Arc::clone(&self.received) })
    }

    /// Takes an accepted connection in, unless there are too many, of this peer or of all. A stranger's may take the
    /// place of another's that is older.
    pub(super) fn accept(
        &mut self,
        stream: TcpStream,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        let websocket = transport.is_websocket();
        let proxy = self.peers.clone().filter(|peers| websocket && peers.is_proxy(remote.ip()));
        if self.table.len() >= self.bounds.all
            || (proxy.is_none() && !self.admits(transport, remote))
        {
            tracing::debug!(peer = %remote, "too many connections: closed");
            return;
        }
        let path = Path { transport, local, remote, connection: None, verified: false };
        let (id, writes) = self.add(&path, false);
        match &proxy {
            // All clients of the proxy share its address: they are counted once it has told theirs.
            Some(_) => {
                if let Some(connection) = self.table.get_mut(&id) {
                    connection.unidentified = true;
                }
                self.strange.insert(id);
                self.make_room_for_strangers();
            }
            None => self.count(id),
        }
        let tls = match transport {
            Transport::Wss => self.certificates.wss.clone(),
            Transport::Tls => self.certificates.tls.clone(),
            _ => None,
        };
        let greeting = Greeting { tls, websocket, proxy };
        let events = self.events.clone();
        tokio::spawn(tcp::welcome(id, stream, greeting, self.limits, writes, events));
    }

    /// May this peer open another connection to us?
    fn admits(&self, transport: Transport, remote: SocketAddr) -> bool {
        let source = Source::of(remote.ip());
        let count = |of: &HashMap<Source, usize>| of.get(&source).copied().unwrap_or(0);
        count(&self.accepted) < self.bounds.per_address
            && (count(&self.strange_of) < self.bounds.strange_per_address
                || self.knows(transport, remote))
    }

    fn knows(&self, transport: Transport, remote: SocketAddr) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.knows(remote, transport))
    }

    /// Counts an accepted connection for its source.
    fn count(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get(&id) else { return };
        let (transport, remote) = (connection.transport, connection.remote);
        let source = Source::of(remote.ip());
        *self.accepted.entry(source).or_default() += 1;
        if self.knows(transport, remote) {
            self.make_known(id);
        } else {
            self.strange.insert(id);
            *self.strange_of.entry(source).or_default() += 1;
            self.make_room_for_strangers();
        }
    }

    /// A trusted proxy says whose connection it is: it is the client's from now on, and counts for the client's address.
    pub(super) fn identified(&mut self, id: ConnectionId, client: SocketAddr) {
        let Some(connection) = self.table.get_mut(&id).filter(|c| c.unidentified) else { return };
        let before = connection.peering();
        connection.remote = client;
        connection.unidentified = false;
        let (transport, after) = (connection.transport, connection.peering());
        if self.by_remote.get(&before) == Some(&id) {
            self.by_remote.remove(&before);
        }
        self.by_remote.insert(after, id);
        self.strange.remove(&id);
        if self.admits(transport, client) {
            self.count(id);
            return;
        }
        tracing::debug!(peer = %client, "too many connections: closed");
        self.table.remove(&id);
        self.by_remote.remove(&after);
    }

    /// Closes the oldest of strangers' connections while there are too many.
    fn make_room_for_strangers(&mut self) {
        while self.strange.len() > self.bounds.strange {
            let Some(oldest) = self.strange.first().copied() else { return };
            tracing::debug!(connection = oldest.0, "too many connections of strangers: closed");
            self.closed(oldest);
        }
    }

    /// A known peer sent something over it.
    pub(super) fn make_known(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(&id) else { return };
        connection.known = true;
        if connection.unidentified {
            self.strange.remove(&id);
            return;
        }
        let source = Source::of(connection.remote.ip());
        self.no_longer_strange(id, source);
    }

    /// Has a known peer sent something over it?
    pub(super) fn is_known(&self, id: ConnectionId) -> bool {
        self.table.get(&id).is_some_and(|connection| connection.known)
    }

    fn no_longer_strange(&mut self, id: ConnectionId, source: Source) {
        if self.strange.remove(&id) {
            uncount(&mut self.strange_of, source);
        }
    }

    pub(super) fn opened(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(&id) {
            connection.opening = None;
        }
    }

    /// Forgets a connection; gives the transactions that waited for it and its peer.
    pub(super) fn closed(&mut self, id: ConnectionId) -> (Vec<TxId>, Option<SocketAddr>) {
        let Some(connection) = self.table.remove(&id) else { return (Vec::new(), None) };
        let peer = connection.peering();
        if self.by_remote.get(&peer) == Some(&id) {
            self.by_remote.remove(&peer);
        }
        let source = Source::of(connection.remote.ip());
        if connection.unidentified {
            self.strange.remove(&id);
        } else {
            if connection.accepted {
                uncount(&mut self.accepted, source);
            }
            self.no_longer_strange(id, source);
        }
        (connection.opening.unwrap_or_default(), Some(connection.remote))
    }

    /// The way messages of this connection come.
    pub(super) fn path(&self, id: ConnectionId) -> Option<Path> {
        let connection = self.table.get(&id)?;
        let Connection { transport, local, remote, verified, .. } = *connection;
        Some(Path { transport, local, remote, connection: Some(id), verified })
    }

    /// Writes to the path's connection, to another one with the same peer, or to a new one.
    pub(super) fn send(
        &mut self,
        path: &Path,
        bytes: Bytes,
        tx: Option<TxId>,
    ) -> Result<(), String> {
        let known = path.connection.filter(|id| self.table.contains_key(id));
        let with =
            |transport| self.by_remote.get(&(transport, path.remote, path.verified)).copied();
        // Browsers write `transport=ws` for secure WebSocket too (RFC 7118 §5.2): address and port say which it is.
        let twin = match path.transport {
            Transport::Ws => Some(Transport::Wss),
            Transport::Wss => Some(Transport::Ws),
            Transport::Udp | Transport::Tcp | Transport::Tls => None,
        };
        let known = known.or_else(|| with(path.transport)).or_else(|| twin.and_then(with));
        let id = match known {
            Some(id) => id,
            // A browser cannot be connected to: it is reachable as long as it is connected.
            None if path.transport.is_websocket() => return Err("no such WebSocket".into()),
            None => self.open(path)?,
        };
        let Some(connection) = self.table.get_mut(&id) else {
            return Err("connection lost".into());
        };
        let size = bytes.len();
        if !connection.queued.admits(size) {
            return Err("peer does not read".into());
        }
        if connection.writes.try_send(bytes).is_err() {
            connection.queued.written(size);
            return Err("peer does not read".into());
        }
        if let (Some(opening), Some(tx)) = (&mut connection.opening, tx) {
            opening.push(tx);
        }
        Ok(())
    }

    fn open(&mut self, path: &Path) -> Result<ConnectionId, String> {
        if self.table.len() >= self.bounds.all {
            return Err("too many connections".into());
        }
        let (id, writes) = self.add(path, true);
        let tls = self.certificates.tls.clone().filter(|_| path.transport == Transport::Tls);
        let name = self.names.get(&path.remote).cloned();
        let peer = Peer { remote: path.remote, tls, name, verified: path.verified };
        tokio::spawn(tcp::open(id, peer, self.limits, writes, self.events.clone()));
        Ok(id)
    }
}

fn uncount(counts: &mut HashMap<Source, usize>, source: Source) {
    if let Some(count) = counts.get_mut(&source) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&source);
        }
    }
}
