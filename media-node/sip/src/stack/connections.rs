//! The table of stream connections: who is connected, and what waits to be written.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::tcp::{self, Peer, StreamEvent, StreamLimits, WRITE_QUEUE};
use super::tls::Tls;
use crate::transaction::TxId;
use crate::transport::{ConnectionId, Path, Transport};

/// One connection as the stack sees it.
struct Connection {
    transport: Transport,
    writes: mpsc::Sender<Bytes>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Transactions whose bytes wait for the connection to open; they fail if it does not.
    opening: Option<Vec<TxId>>,
    /// The peer opened it.
    accepted: bool,
}

pub(super) struct Connections {
    table: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<(Transport, SocketAddr), ConnectionId>,
    events: mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
    tls: Option<Tls>,
    max: usize,
    max_per_address: usize,
    /// How many connections each peer has opened to us.
    accepted: HashMap<IpAddr, usize>,
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
        (max, max_per_address): (usize, usize),
    ) -> Self {
        Self {
            table: HashMap::new(),
            by_remote: HashMap::new(),
            events,
            limits,
            tls,
            max,
            max_per_address,
            accepted: HashMap::new(),
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
    ) -> (ConnectionId, mpsc::Receiver<Bytes>) {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (writes, receiver) = mpsc::channel(WRITE_QUEUE);
        self.table.insert(
            id,
            Connection {
                transport,
                writes,
                local,
                remote,
                opening: opening.then(Vec::new),
                accepted: !opening,
            },
        );
        self.by_remote.insert((transport, remote), id);
        (id, receiver)
    }

    /// Takes an accepted connection in, unless there are too many, of this peer or of all.
    pub(super) fn accept(
        &mut self,
        stream: TcpStream,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        let of_peer = self.accepted.get(&remote.ip()).copied().unwrap_or(0);
        if self.table.len() >= self.max || of_peer >= self.max_per_address {
            tracing::debug!(peer = %remote, "too many connections: closed");
            return;
        }
        self.accepted.insert(remote.ip(), of_peer + 1);
        let (id, writes) = self.add(transport, local, remote, false);
        let tls = self.tls_for(transport);
        tokio::spawn(tcp::welcome(id, stream, tls, self.limits, writes, self.events.clone()));
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
        let ip = connection.remote.ip();
        if connection.accepted
            && let Some(count) = self.accepted.get_mut(&ip)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.accepted.remove(&ip);
            }
        }
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
        connection.writes.try_send(bytes).map_err(|_| "peer does not read".to_owned())?;
        if let (Some(opening), Some(tx)) = (&mut connection.opening, tx) {
            opening.push(tx);
        }
        Ok(())
    }

    fn open(&mut self, path: &Path) -> Result<ConnectionId, String> {
        if self.table.len() >= self.max {
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
