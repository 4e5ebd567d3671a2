//! What comes to an RTP port and is no media: connectivity checks (STUN) and handshakes (DTLS), told apart by the first
//! octet (RFC 7983), and fax over UDPTL on a leg that is not bridged, or bridged to one with audio. The worker copies them into a ring of the leg's; the
//! control side answers from the same socket.
//!
//! A flood costs no more than the ring and so many datagrams per interval. The address in use has a share that
//! strangers cannot take from it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer, chunks::ChunkError};
use tokio::sync::Notify;

use crate::engine::Inner;
use crate::error::LegError;
use crate::ports::Sockets;
use crate::shared::{LegShared, Op, post};
use crate::srtp::{Srtp, SrtpKeys};

/// Octets that wait: two flights of a handshake with certificate chains.
const RING: usize = 8 * 1024;
/// Octets before each datagram: address, port, length, socket.
const HEAD: usize = 21;
/// Longest datagram taken.
const LONGEST: usize = 2048;
/// Datagrams per housekeeping interval: from the address in use, and from all others together.
const SHARES: (u32, u32) = (40, 40);

/// A datagram that is no media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Where it came from.
    pub from: SocketAddr,
    /// It came to the RTCP port.
    pub rtcp: bool,
    /// All of it.
    pub octets: Vec<u8>,
}

/// The control side of a leg whose peer is found by checks, or proved by a handshake. Held beside the
/// [`crate::Leg`]; it does not keep the leg open.
pub struct SideChannel {
    ring: Consumer<u8>,
    arrived: Arc<Notify>,
    sockets: Arc<Sockets>,
    leg: Arc<LegShared>,
    engine: Arc<Inner>,
}

impl std::fmt::Debug for SideChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SideChannel").field("leg", &self.leg.id).finish_non_exhaustive()
    }
}

/// The worker's end.
#[derive(Debug)]
pub(crate) struct SideInput {
    ring: Producer<u8>,
    arrived: Arc<Notify>,
    /// What is left of the shares in this interval.
    left: (u32, u32),
}

impl Drop for SideInput {
    fn drop(&mut self) {
        self.arrived.notify_one();
    }
}

impl SideChannel {
    pub(crate) fn new(
        sockets: Arc<Sockets>,
        leg: Arc<LegShared>,
        engine: Arc<Inner>,
    ) -> (Self, Box<SideInput>) {
        let (producer, ring) = RingBuffer::new(RING);
        let arrived = Arc::new(Notify::new());
        let input = SideInput { ring: producer, arrived: Arc::clone(&arrived), left: SHARES };
        (Self { ring, arrived, sockets, leg, engine }, Box::new(input))
    }

    /// The next datagram; `None` once the leg is closed. May be given up half-way without losing one.
    pub async fn recv(&mut self) -> Option<Datagram> {
        loop {
            let arrived = Arc::clone(&self.arrived);
            let notified = arrived.notified();
            if let Some(datagram) = self.take() {
                return Some(datagram);
            }
            if self.ring.is_abandoned() {
                return None;
            }
            notified.await;
        }
    }

    /// As [`SideChannel::recv`], without waiting.
    pub fn take(&mut self) -> Option<Datagram> {
        let mut head = [0; HEAD];
        read(&mut self.ring, &mut head).ok()?;
        let (ip, rest) = head.split_first_chunk::<16>()?;
        let [p0, p1, l0, l1, socket] = *rest.first_chunk()?;
        let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
        let from = SocketAddr::new(ip, u16::from_be_bytes([p0, p1]));
        let mut octets = vec![0; usize::from(u16::from_be_bytes([l0, l1]))];
        // Head and datagram were written at once.
        read(&mut self.ring, &mut octets).ok()?;
        Some(Datagram { from, rtcp: socket != 0, octets })
    }

    /// Sends a datagram from the leg's RTP port, or its RTCP port; where none is bound nothing is sent.
    ///
    /// # Errors
    /// The system's.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr, rtcp: bool) -> io::Result<()> {
        match &self.sockets.rtcp {
            _ if !rtcp => self.sockets.rtp.send_to(datagram, to).map(drop),
            Some(socket) => socket.send_to(datagram, to).map(drop),
            None => Ok(()),
        }
    }

    /// The leg's packets go to this address from now on; `None` = nowhere. See [`crate::params::PathSpec::Checked`].
    ///
    /// # Errors
    /// The worker is hopelessly behind.
    pub fn set_path(&self, to: Option<SocketAddr>) -> Result<(), LegError> {
        post(self.engine.mailboxes(), &self.leg, Op::Path(to))
    }

    /// The keys a handshake has brought; see [`crate::params::ProtectionSpec::Handshake`].
    ///
    /// # Errors
    /// The worker is hopelessly behind.
    pub fn set_keys(&self, keys: SrtpKeys) -> Result<(), LegError> {
        post(self.engine.mailboxes(), &self.leg, Op::Keys(Box::new(Srtp::new(keys))))
    }

    /// As [`SideChannel::set_path`], for RTCP on a port of its own.
    ///
    /// # Errors
    /// The worker is hopelessly behind.
    pub fn set_rtcp_path(&self, to: Option<SocketAddr>) -> Result<(), LegError> {
        post(self.engine.mailboxes(), &self.leg, Op::RtcpPath(to))
    }

    /// As [`SideChannel::set_keys`], for RTCP on a port of its own: it has a handshake of its own (RFC 5764 §4.2).
    ///
    /// # Errors
    /// The worker is hopelessly behind.
    pub fn set_rtcp_keys(&self, keys: SrtpKeys) -> Result<(), LegError> {
        post(self.engine.mailboxes(), &self.leg, Op::RtcpKeys(Box::new(Srtp::new(keys))))
    }
}

fn read(ring: &mut Consumer<u8>, out: &mut [u8]) -> Result<(), ChunkError> {
    let chunk = ring.read_chunk(out.len())?;
    let (front, back) = chunk.as_slices();
    let (head, tail) = out.split_at_mut(front.len());
    head.copy_from_slice(front);
    tail.copy_from_slice(back);
    chunk.commit_all();
    Ok(())
}

impl SideInput {
    /// Leaves a datagram for the control side; `known` = it comes from the address in use. False when it was dropped.
    pub(crate) fn offer(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        known: bool,
        rtcp: bool,
    ) -> bool {
        let left = if known { &mut self.left.0 } else { &mut self.left.1 };
        let Some(rest) = left.checked_sub(1).filter(|_| datagram.len() <= LONGEST) else {
            return false;
        };
        *left = rest;
        let mut head = [0; HEAD];
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        head[..16].copy_from_slice(&ip.octets());
        head[16..18].copy_from_slice(&from.port().to_be_bytes());
        head[18..20].copy_from_slice(&(datagram.len() as u16).to_be_bytes());
        head[20] = u8::from(rtcp);
        let Ok(chunk) = self.ring.write_chunk_uninit(HEAD + datagram.len()) else { return false };
        chunk.fill_from_iter(head.iter().chain(datagram).copied());
        self.arrived.notify_one();
        true
    }

    /// A new interval has begun.
    pub(crate) fn renew(&mut self) {
        self.left = SHARES;
    }
}
