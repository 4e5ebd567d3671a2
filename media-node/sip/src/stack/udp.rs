//! UDP: sockets read in batches into one buffer.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::select_all;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::unreachable;

/// Largest datagram there is.
const DATAGRAM: usize = 65_536;
/// Kernel buffer asked for: a second of a busy trunk. The system may give less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Datagrams read from one socket before others get their turn.
pub(super) const BATCH: usize = 64;

pub(super) struct Udp {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Box<[u8]>,
}

impl Udp {
    pub(super) fn new() -> Self {
        Self { sockets: Vec::new(), buffer: vec![0; DATAGRAM].into_boxed_slice() }
    }

    /// Binds one more address and gives back the one really bound.
    pub(super) fn bind(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Best effort: a smaller buffer only loses datagrams earlier.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        unreachable::listen(&socket, addr.is_ipv4());
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let bound = socket.local_addr()?;
        self.sockets.push((bound, socket));
        Ok(bound)
    }

    /// Resolves when some socket has something to read, or an error to tell. Never without sockets.
    pub(super) async fn ready(&self) {
        let interest = Interest::READABLE | Interest::ERROR;
        match self.sockets.as_slice() {
            [] => std::future::pending().await,
            [(_, socket)] => drop(socket.ready(interest).await),
            many => drop(
                select_all(many.iter().map(|(_, socket)| Box::pin(socket.ready(interest)))).await,
            ),
        }
    }

    /// Takes what the network said of datagrams sent earlier: peers that nobody listens at, hosts that
    /// cannot be reached.
    pub(super) fn take_errors(&self, mut tell: impl FnMut(SocketAddr, &str)) {
        for (_, socket) in &self.sockets {
            for _ in 0..BATCH {
                match socket.try_io(Interest::ERROR, || unreachable::take(socket)) {
                    Ok(Some((peer, reason))) => tell(peer, &reason),
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Reads what is there, at most [`BATCH`] datagrams per socket.
    pub(super) fn receive(&mut self, mut take: impl FnMut(SocketAddr, SocketAddr, Bytes)) {
        for (local, socket) in &self.sockets {
            for _ in 0..BATCH {
                match socket.try_recv_from(&mut self.buffer) {
                    Ok((length, remote)) => {
                        let datagram = self.buffer.get(..length).unwrap_or(&[]);
                        take(*local, remote, Bytes::copy_from_slice(datagram));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // ICMP errors of earlier sends surface here; they say nothing about this read.
                    Err(_) => {}
                }
            }
        }
    }

    /// Sends one datagram. A full kernel buffer counts as sent: UDP may lose, and SIP repeats.
    pub(super) fn send(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        let exact = self.sockets.iter().find(|(addr, _)| *addr == local);
        let alike = || self.sockets.iter().find(|(addr, _)| addr.is_ipv4() == remote.is_ipv4());
        let Some((_, socket)) = exact.or_else(alike) else {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "no UDP socket for this address family",
            ));
        };
        // The first error may be about an earlier datagram to somebody else; the second is about this one.
        let sent = socket.try_send_to(bytes, remote).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Err(error),
            _ => socket.try_send_to(bytes, remote),
        });
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
