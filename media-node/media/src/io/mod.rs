//! Where packets come from and go to: the system's sockets, or an in-memory network whose clock a
//! test turns by hand. Workers are written against `MediaIo` and `Socket` only.

pub(crate) mod os;
pub mod simulated;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::SystemTime;

use simulated::{SimNet, SimSocket};

/// One bound datagram socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Udp(UdpSocket),
    Sim(SimSocket),
}

impl Socket {
    #[inline]
    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.recv_from(buf),
            Self::Sim(socket) => socket.recv_from(buf),
        }
    }

    #[inline]
    pub(crate) fn send_to(&self, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send_to(packet, to),
            Self::Sim(socket) => socket.send_to(packet, to),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Udp(socket) => socket.local_addr().map_or(0, |a| a.port()),
            Self::Sim(socket) => socket.addr().port(),
        }
    }
}

/// Where sockets are bound.
#[derive(Debug, Clone)]
pub(crate) enum Network {
    Os,
    Sim(SimNet),
}

impl Network {
    pub(crate) fn bind(&self, ip: IpAddr, port: u16) -> io::Result<Socket> {
        match self {
            Self::Os => {
                let socket = UdpSocket::bind((ip, port))?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Udp(socket))
            }
            Self::Sim(net) => net.bind(SocketAddr::new(ip, port)).map(Socket::Sim),
        }
    }
}

/// Names a socket to the worker that polls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) slot: u32,
    pub(crate) rtcp: bool,
}

impl Token {
    fn pack(self) -> u64 {
        (u64::from(self.slot) << 1) | u64::from(self.rtcp)
    }

    fn unpack(bits: u64) -> Self {
        Self { slot: (bits >> 1) as u32, rtcp: bits & 1 != 0 }
    }
}

/// How long a poll may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until this time, or a packet or command.
    Until(u64),
    /// Sleep until this time whatever arrives, then look: many packets per wake-up.
    Batch(u64),
    /// Until a packet or command comes.
    Forever,
}

/// What a worker needs from the world. Times are microseconds of a clock that never goes back.
pub(crate) trait MediaIo {
    fn now_us(&self) -> u64;
    /// Processor time this thread has used so far.
    fn cpu_us(&self) -> u64;
    fn wall(&self) -> SystemTime;
    fn register(&mut self, token: Token, socket: &Socket) -> io::Result<()>;
    fn deregister(&mut self, token: Token, socket: &Socket);
    /// Collects readable sockets into `ready` (cleared first).
    fn poll(&mut self, wait: Wait, ready: &mut Vec<Token>);
}
