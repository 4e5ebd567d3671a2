//! The table of stream connections: who is connected, and what waits to be written.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::tcp::{self, StreamEvent, StreamLimits, WRITE_QUEUE};
use crate::transaction::TxId;
use crate::transport::{ConnectionId, Path, Transport};

/// One connection as the stack sees it.
struct Connection {
    writes: mpsc::Sender<Bytes>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Transactions whose bytes wait for the connection to open; they fail if it does not.
    opening: Option<Vec<TxId>>,
}

pub(super) struct Connections {
    table: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<SocketAddr, ConnectionId>,
    events: mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
    max: usize,
    next: u64,
}

impl Connections {
    pub(super) fn new(events: mpsc::Sender<StreamEvent>, limits: StreamLimits, max: usize) -> Self {
        Self { table: HashMap::new(), by_remote: HashMap::new(), events, limits, max, next: 0 }
    }

    fn add(&mut self, local: SocketAddr, remote: SocketAddr, opening: bool) -> (ConnectionId, mpsc::Receiver<Bytes>) {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (writes, receiver) = mpsc::channel(WRITE_QUEUE);
        self.table.insert(id, Connection { writes, local, remote, opening: opening.then(Vec::new) });
        self.by_remote.insert(remote, id);
        (id, receiver)
    }

    /// Takes an accepted connection in, unless there are too many.
    pub(super) fn accept(&mut self, stream: TcpStream, local: SocketAddr, remote: SocketAddr) {
        if self.table.len() >= self.max {
            return;
        }
        let (id, writes) = self.add(local, remote, false);
        tokio::spawn(tcp::serve(id, stream, self.limits, writes, self.events.clone()));
    }

    pub(super) fn opened(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(&id) {
            connection.opening = None;
        }
    }

    /// Forgets a connection; gives the transactions that waited for it and its peer.
    pub(super) fn closed(&mut self, id: ConnectionId) -> (Vec<TxId>, Option<SocketAddr>) {
        let Some(connection) = self.table.remove(&id) else { return (Vec::new(), None) };
        if self.by_remote.get(&connection.remote) == Some(&id) {
            self.by_remote.remove(&connection.remote);
        }
        (connection.opening.unwrap_or_default(), Some(connection.remote))
    }

    /// The way messages of this connection come.
    pub(super) fn path(&self, id: ConnectionId) -> Option<Path> {
        let connection = self.table.get(&id)?;
        let Connection { local, remote, .. } = *connection;
        Some(Path { transport: Transport::Tcp, local, remote, connection: Some(id) })
    }

    /// Writes to the path's connection, to another one with the same peer, or to a new one.
    pub(super) fn send(&mut self, path: &Path, bytes: Bytes, tx: Option<TxId>) -> Result<(), String> {
        let known = path.connection.filter(|id| self.table.contains_key(id));
        let id = match known.or_else(|| self.by_remote.get(&path.remote).copied()) {
            Some(id) => id,
            None => self.open(path)?,
        };
        let Some(connection) = self.table.get_mut(&id) else { return Err("connection lost".into()) };
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
        let (id, writes) = self.add(path.local, path.remote, true);
        tokio::spawn(tcp::open(id, path.remote, self.limits, writes, self.events.clone()));
        Ok(id)
    }
}
