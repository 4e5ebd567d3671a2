//! A network in memory with a clock that only moves when told: what tests of the engine run on.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{MediaIo, Socket, Token, Wait};

/// Datagrams one socket holds before further ones are lost, like a socket buffer.
const INBOX: usize = 1024;

/// The network and its clock. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SimNet(Arc<Mutex<NetworkState>>);

#[derive(Debug, Default)]
struct NetworkState {
    now_us: u64,
    cpu_us: u64,
    sockets: HashMap<SocketAddr, VecDeque<(Vec<u8>, SocketAddr)>>,
}

/// One bound address of a [`SimNet`]; dropping it frees the address.
#[derive(Debug)]
pub struct SimSocket {
    net: SimNet,
    addr: SocketAddr,
}

impl SimNet {
    /// A network without sockets, at time one second.
    pub fn new() -> Self {
        let net = Self::default();
        net.state().now_us = 1_000_000;
        net
    }

    fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds an address.
    ///
    /// # Errors
    /// `AddrInUse` when it is bound already.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<SimSocket> {
        let mut state = self.state();
        if state.sockets.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.sockets.insert(addr, VecDeque::new());
        Ok(SimSocket { net: self.clone(), addr })
    }

    /// The time in microseconds.
    pub fn now_us(&self) -> u64 {
        self.state().now_us
    }

    /// Moves time on.
    pub fn advance_us(&self, us: u64) {
        self.state().now_us += us;
    }

    /// The worker needs so much processor time, while as much time goes by.
    pub fn compute_us(&self, us: u64) {
        let mut state = self.state();
        state.now_us += us;
        state.cpu_us += us;
    }
}

impl SimSocket {
    /// The address bound.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes the oldest datagram waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut state = self.net.state();
        let inbox = state.sockets.get_mut(&self.addr);
        let (packet, from) =
            inbox.and_then(VecDeque::pop_front).ok_or(io::ErrorKind::WouldBlock)?;
        let len = packet.len().min(buf.len());
        buf[..len].copy_from_slice(&packet[..len]);
        Ok((len, from))
    }

    /// Sends a datagram; to an address that is not bound it is lost.
    ///
    /// # Errors
    /// Never; the type matches a real socket's.
    pub fn send_to(&self, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        if let Some(inbox) = self.net.state().sockets.get_mut(&to)
            && inbox.len() < INBOX
        {
            inbox.push_back((packet.to_vec(), self.addr));
        }
        Ok(packet.len())
    }

    /// Everything that arrived, oldest first.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        let mut state = self.net.state();
        let inbox = state.sockets.get_mut(&self.addr);
        inbox.map(|i| i.drain(..).map(|(p, _)| p).collect()).unwrap_or_default()
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.net.state().sockets.remove(&self.addr);
    }
}

/// A worker's view of a [`SimNet`].
pub(crate) struct SimIo {
    net: SimNet,
    watched: Vec<(Token, SocketAddr)>,
}

impl SimIo {
    pub(crate) fn new(net: SimNet) -> Self {
        Self { net, watched: Vec::new() }
    }
}

impl MediaIo for SimIo {
    fn now_us(&self) -> u64 {
        self.net.now_us()
    }

    fn cpu_us(&self) -> u64 {
        self.net.state().cpu_us
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.net.now_us())
    }

    fn register(&mut self, token: Token, socket: &Socket) -> io::Result<()> {
        if let Socket::Sim(socket) = socket {
            self.watched.push((token, socket.addr));
        }
        Ok(())
    }

    fn deregister(&mut self, token: Token, _socket: &Socket) {
        self.watched.retain(|(t, _)| *t != token);
    }

    fn poll(&mut self, _wait: Wait, ready: &mut Vec<Token>) {
        ready.clear();
        let state = self.net.state();
        let waiting =
            |addr: &SocketAddr| state.sockets.get(addr).is_some_and(|inbox| !inbox.is_empty());
        ready.extend(self.watched.iter().filter(|(_, addr)| waiting(addr)).map(|(t, _)| *t));
    }
}
