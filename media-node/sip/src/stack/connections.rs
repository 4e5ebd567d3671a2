//! The table of stream connections: who is connected, and what waits to be written.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::tcp::{self, Peer, StreamEvent, StreamLimits, WRITE_QUEUE, Writes};
use super::tls::Tls;
use crate::endpoint::{Limits, Peers};
use crate::transaction::{Source, TxId};
use crate::transport::{ConnectionId, Path, Transport};

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

pub(super) struct Connections {
    table: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<(Transport, SocketAddr), ConnectionId>,
    events: mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
    tls: Option<Tls>,
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
        tls: Option<Tls>,
        peers: Option<Arc<dyn Peers>>,
        bounds: Bounds,
    ) -> Self {
        Self {
            table: HashMap::new(),
            by_remote: HashMap::new(),
            events,
            limits,
            tls,
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

    fn add(
        &mut self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        opening: bool,
    ) -> (ConnectionId, Writes) {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (writes, receiver) = mpsc::channel(WRITE_QUEUE);
        let queued = Arc::new(Queued { own: AtomicUsize::new(0), all: Arc::clone(&self.queued) });
        self.table.insert(
            id,
            Connection {
                transport,
                writes,
                queued: Arc::clone(&queued),
                local,
                remote,
                opening: opening.then(Vec::new),
                accepted: !opening,
                known: opening,
            },
        );
        self.by_remote.insert((transport, remote), id);
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
        let source = Source::of(remote.ip());
        let count = |of: &HashMap<Source, usize>| of.get(&source).copied().unwrap_or(0);
        let known = self.peers.as_ref().is_some_and(|peers| peers.knows(remote, transport));
        let too_many_strange = !known && count(&self.strange_of) >= self.bounds.strange_per_address;
        if self.table.len() >= self.bounds.all
            || count(&self.accepted) >= self.bounds.per_address
            || too_many_strange
        {
            tracing::debug!(peer = %remote, "too many connections: closed");
            return;
        }
        *self.accepted.entry(source).or_default() += 1;
        let (id, writes) = self.add(transport, local, remote, false);
        if known {
            self.make_known(id);
        } else {
            self.strange.insert(id);
            *self.strange_of.entry(source).or_default() += 1;
            self.make_room_for_strangers();
        }
        let tls = self.tls_for(transport);
        tokio::spawn(tcp::welcome(id, stream, tls, self.limits, writes, self.events.clone()));
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
        let peer = (connection.transport, connection.remote);
        if self.by_remote.get(&peer) == Some(&id) {
            self.by_remote.remove(&peer);
        }
        let source = Source::of(connection.remote.ip());
        if connection.accepted {
            uncount(&mut self.accepted, source);
        }
        self.no_longer_strange(id, source);
        (connection.opening.unwrap_or_default(), Some(connection.remote))
    }

    /// The way messages of this connection come.
    pub(super) fn path(&self, id: ConnectionId) -> Option<Path> {
        let connection = self.table.get(&id)?;
        let Connection { transport, local, remote, .. } = *connection;
        Some(Path { transport, local, remote, connection: Some(id) })
    }

    /// Writes to the path's connection, to another one with the same peer, or to a new one.
    pub(super) fn send(
        &mut self,
        path: &Path,
        bytes: Bytes,
        tx: Option<TxId>,
    ) -> Result<(), String> {
        let known = path.connection.filter(|id| self.table.contains_key(id));
        let id = match known.or_else(|| self.by_remote.get(&(path.transport, path.remote)).copied())
        {
            Some(id) => id,
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
        let (id, writes) = self.add(path.transport, path.local, path.remote, true);
        let tls = self.tls_for(path.transport);
        let name = self.names.get(&path.remote).cloned();
        let peer = Peer { remote: path.remote, tls, name };
        tokio::spawn(tcp::open(id, peer, self.limits, writes, self.events.clone()));
        Ok(id)
    }

    fn tls_for(&self, transport: Transport) -> Option<Tls> {
        self.tls.clone().filter(|_| transport == Transport::Tls)
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
