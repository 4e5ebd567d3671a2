//! Streams (TCP and TLS): listeners, connections opened and accepted, one task each.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::tls::Tls;
use crate::message::{Frame, MessageLimits, StreamFramer};
use crate::transport::{ConnectionId, Transport};

/// Messages waiting to be written on one connection; beyond, the connection counts as broken.
pub(super) const WRITE_QUEUE: usize = 256;
/// Time to open a connection. Shorter than timer B, so that the caller hears the true reason.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that connects must have sent a whole message within this time, and must finish each one it begins.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that does not read for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What connection tasks tell the stack.
#[derive(Debug)]
pub(super) enum StreamEvent {
    Accepted { stream: TcpStream, transport: Transport, local: SocketAddr, remote: SocketAddr },
    Opened { id: ConnectionId },
    Message { id: ConnectionId, bytes: Bytes },
    Closed { id: ConnectionId, reason: String },
}

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    pub(super) message: MessageLimits,
    pub(super) idle: Duration,
}

/// Binds a listener and starts accepting.
pub(super) async fn listen(
    transport: Transport,
    addr: SocketAddr,
    events: mpsc::Sender<StreamEvent>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(accept(listener, transport, bound, events));
    Ok(bound)
}

async fn accept(
    listener: TcpListener,
    transport: Transport,
    local: SocketAddr,
    events: mpsc::Sender<StreamEvent>,
) {
    loop {
        tokio::select! {
            () = events.closed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    if events.send(StreamEvent::Accepted { stream, transport, local, remote }).await.is_err() {
                        return;
                    }
                }
                // Out of descriptors: accepting again at once would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// Whom to connect to, over TLS when given, and by what name it was dialled.
pub(super) struct Peer {
    pub(super) remote: SocketAddr,
    pub(super) tls: Option<Tls>,
    pub(super) name: Option<String>,
}

/// Opens a connection and serves it.
pub(super) async fn open(
    id: ConnectionId,
    peer: Peer,
    limits: StreamLimits,
    writes: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<StreamEvent>,
) {
    let opened = timeout(CONNECT_TIMEOUT, connect(peer)).await;
    match opened {
        Ok(Ok(wire)) => {
            if events.send(StreamEvent::Opened { id }).await.is_ok() {
                serve(id, wire, limits, Patience::Idle, writes, events).await;
            }
        }
        Ok(Err(error)) => closed(id, error.to_string(), &events).await,
        Err(_) => closed(id, "connection attempt timed out".into(), &events).await,
    }
}

async fn connect(peer: Peer) -> io::Result<Box<dyn Wire>> {
    let Peer { remote, tls, name } = peer;
    let stream = TcpStream::connect(remote).await?;
    let _ = stream.set_nodelay(true);
    Ok(match tls {
        Some(tls) => {
            let name = Tls::name_of(remote.ip(), name);
            Box::new(tls.connector().connect(name, stream).await?)
        }
        None => Box::new(stream),
    })
}

/// Serves an accepted connection, after its TLS handshake when there is to be one.
pub(super) async fn welcome(
    id: ConnectionId,
    stream: TcpStream,
    tls: Option<Tls>,
    limits: StreamLimits,
    writes: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<StreamEvent>,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve(id, Box::new(stream), limits, Patience::of_stranger(), writes, events).await;
    };
    match timeout(CONNECT_TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(wire)) => {
            serve(id, Box::new(wire), limits, Patience::of_stranger(), writes, events).await;
        }
        Ok(Err(error)) => closed(id, error.to_string(), &events).await,
        Err(_) => closed(id, "TLS handshake timed out".into(), &events).await,
    }
}

/// Something bytes go over both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// What a connection is waited for.
#[derive(Clone, Copy)]
enum Patience {
    /// Anything; it may be idle.
    Idle,
    /// The rest of a message, or a stranger's first one, until then.
    Message(Instant),
}

impl Patience {
    fn of_stranger() -> Self {
        Self::Message(Instant::now() + MESSAGE_TIMEOUT)
    }
}

/// Reads and writes one connection until it ends.
async fn serve(
    id: ConnectionId,
    mut wire: Box<dyn Wire>,
    limits: StreamLimits,
    patience: Patience,
    mut writes: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<StreamEvent>,
) {
    let reason = match converse(id, &mut *wire, limits, patience, &mut writes, &events).await {
        Ok(()) => "closed".to_owned(),
        Err(error) => error.to_string(),
    };
    closed(id, reason, &events).await;
}

async fn closed(id: ConnectionId, reason: String, events: &mpsc::Sender<StreamEvent>) {
    // Without a receiver the stack is gone and needs no telling.
    let _ = events.send(StreamEvent::Closed { id, reason }).await;
}

async fn converse(
    id: ConnectionId,
    stream: &mut dyn Wire,
    limits: StreamLimits,
    mut patience: Patience,
    writes: &mut mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<StreamEvent>,
) -> io::Result<()> {
    let mut framer = StreamFramer::new(limits.message);
    let mut idle_until = Instant::now() + limits.idle;
    loop {
        let until = match patience {
            Patience::Idle => idle_until,
            Patience::Message(at) => at.min(idle_until),
        };
        tokio::select! {
            read = stream.read_buf(framer.buffer()) => {
                if read? == 0 {
                    return Ok(());
                }
                idle_until = Instant::now() + limits.idle;
                while let Some(frame) = framer.next_frame().map_err(io::Error::other)? {
                    patience = Patience::Idle;
                    match frame {
                        Frame::Ping => write(stream, b"\r\n").await?,
                        Frame::Message(bytes) => {
                            if events.send(StreamEvent::Message { id, bytes }).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                }
                if framer.is_partial() && matches!(patience, Patience::Idle) {
                    patience = Patience::Message(Instant::now() + MESSAGE_TIMEOUT);
                }
            }
            bytes = writes.recv() => match bytes {
                Some(bytes) => {
                    idle_until = Instant::now() + limits.idle;
                    write(stream, &bytes).await?;
                }
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(until) => return Ok(()),
        }
    }
}

async fn write(stream: &mut dyn Wire, bytes: &[u8]) -> io::Result<()> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    match timeout(WRITE_TIMEOUT, written).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "peer does not read")),
    }
}
