//! UDP: each socket is read by a thread of its own, which does nothing but tell known peers from strangers.
//!
//! Datagrams of all senders come through one buffer of the kernel. Whatever a flood makes the stack's task do, the buffer
//! must be emptied, or datagrams of known peers are lost in it; so what waits, waits here, in two queues.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::mpsc;

use super::unreachable;
use crate::endpoint::Doorman;
use crate::transaction::Standing;
use crate::transport::Transport;

/// Largest datagram there is.
const DATAGRAM: usize = 65_536;
/// Kernel buffer asked for: a second of a busy trunk. The system may give less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Errors of one socket taken before datagrams get their turn.
const ERRORS: usize = 64;
/// How often a silent socket's thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Pause after an error that says nothing.
const PAUSE: Duration = Duration::from_millis(1);
/// Datagrams of known peers waiting for the stack's task; further ones are lost, as in a full socket buffer.
const KNOWN: usize = 2_048;
/// The same for strangers.
const STRANGERS: usize = 256;

/// What came in.
#[derive(Debug)]
pub(super) enum Received {
    Datagram {
        local: SocketAddr,
        remote: SocketAddr,
        bytes: Bytes,
        standing: Standing,
    },
    /// The network says that what was sent there did not arrive.
    Unreachable {
        peer: SocketAddr,
        reason: String,
    },
}

/// What the stack's task takes datagrams from.
pub(super) struct Inbox {
    pub(super) known: mpsc::Receiver<Received>,
    pub(super) strangers: mpsc::Receiver<Received>,
}

/// The sockets of one stack. Dropped, it ends the threads, and the ports are free.
pub(super) struct Udp {
    sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
    readers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    queues: Queues,
}

#[derive(Clone)]
struct Queues {
    known: mpsc::Sender<Received>,
    strangers: mpsc::Sender<Received>,
}

impl Udp {
    pub(super) fn new() -> (Self, Inbox) {
        let (known, from_known) = mpsc::channel(KNOWN);
        let (strangers, from_strangers) = mpsc::channel(STRANGERS);
        let udp = Self {
            sockets: Vec::new(),
            readers: Vec::new(),
            stop: Arc::default(),
            queues: Queues { known, strangers },
        };
        (udp, Inbox { known: from_known, strangers: from_strangers })
    }

    /// Binds one more address and gives back the one really bound.
    pub(super) fn bind(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        // Best effort: a smaller buffer only loses datagrams earlier.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        unreachable::enlarge(&socket, SOCKET_BUFFER);
        unreachable::listen(&socket, addr.is_ipv4());
        socket.set_read_timeout(Some(LOOK))?;
        socket.bind(&addr.into())?;
        let socket = Arc::new(UdpSocket::from(socket));
        let bound = socket.local_addr()?;
        self.sockets.push((bound, socket));
        Ok(bound)
    }

    /// Starts reading. `doorman` makes each thread's judge of who is let in.
    pub(super) fn start(&mut self, doorman: impl Fn() -> Doorman) -> io::Result<()> {
        for (local, socket) in &self.sockets {
            let reader = Reader {
                socket: Arc::clone(socket),
                local: *local,
                doorman: doorman(),
                queues: self.queues.clone(),
                stop: Arc::clone(&self.stop),
            };
            let thread = std::thread::Builder::new().name("sip-udp".into());
            self.readers.push(thread.spawn(move || reader.run())?);
        }
        Ok(())
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
        // The socket waits when it is read; the stack's task must not when it sends.
        let once = || {
            SockRef::from(&**socket).send_to_with_flags(
                bytes,
                &remote.into(),
                nix::libc::MSG_DONTWAIT,
            )
        };
        // The first error may be about an earlier datagram to somebody else; the second is about this one.
        let sent = once().or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Err(error),
            _ => once(),
        });
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            // At most LOOK away from its end; one that died of a bug has ended.
            let _ = reader.join();
        }
    }
}

/// One socket's thread.
struct Reader {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    doorman: Doorman,
    queues: Queues,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM].into_boxed_slice();
        while !self.stop.load(Ordering::Relaxed) {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, remote)) => {
                    let datagram = buffer.get(..length).unwrap_or(&[]);
                    // A bug that one datagram brings out costs that datagram, not the socket.
                    if catch_unwind(AssertUnwindSafe(|| self.take(remote, datagram))).is_err() {
                        tracing::error!(
                            "SIP stack: a bug cost one datagram; the socket is read on"
                        );
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                // ICMP errors of earlier sends surface here; they say nothing about this read.
                Err(_) if self.take_errors() => {}
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn take(&mut self, remote: SocketAddr, datagram: &[u8]) {
        let Some(standing) =
            self.doorman.lets_in(Instant::now(), remote, Transport::Udp, datagram.len())
        else {
            return;
        };
        let queue = match standing {
            Standing::Known => &self.queues.known,
            Standing::Stranger => &self.queues.strangers,
        };
        // Room first: what is not taken need not be copied.
        if let Ok(place) = queue.try_reserve() {
            let bytes = Bytes::copy_from_slice(datagram);
            place.send(Received::Datagram { local: self.local, remote, bytes, standing });
        }
    }

    /// Takes what the network said of datagrams sent earlier: peers that nobody listens at, hosts that cannot be reached.
    /// Of strangers nobody wants to know. False if there was nothing.
    fn take_errors(&self) -> bool {
        for turn in 0..ERRORS {
            match unreachable::take(&*self.socket) {
                Ok(Some((peer, reason))) if self.doorman.is_familiar(peer.ip()) => {
                    let _ = self.queues.known.try_send(Received::Unreachable { peer, reason });
                }
                Ok(_) => {}
                Err(_) => return turn > 0,
            }
        }
        true
    }
}
