//! Streams (TCP and TLS): listeners, connections opened and accepted, one task each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::connections::Queued;
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

/// Requests that came before the stream ended or broke are answered within this time.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Once there are as many answers as requests, another one (after a 100, say) is waited for so long.
const LAST_ANSWER: Duration = Duration::from_millis(500);
/// Room a connection's unfinished message has anyway; more is taken from what all of them share.
const OWN_ROOM: usize = 4 * 1024;
/// Bytes of unfinished messages of all connections; beyond, those that would take more are closed.
const SHARED_ROOM: usize = 32 * 1024 * 1024;

/// What one connection has to write, and what it counts.
pub(super) struct Writes {
    pub(super) messages: mpsc::Receiver<Bytes>,
    pub(super) queued: Arc<Queued>,
    /// Bytes of unfinished messages of all connections.
    pub(super) received: Arc<AtomicUsize>,
}

/// What one connection took of the room for unfinished messages.
struct Room {
    taken: usize,
    all: Arc<AtomicUsize>,
}

impl Room {
    /// Makes it so much; an error when there is no more room.
    fn resize(&mut self, bytes: usize) -> io::Result<()> {
        let wanted = bytes.saturating_sub(OWN_ROOM);
        if wanted > self.taken {
            let more = wanted - self.taken;
            if self.all.fetch_add(more, Ordering::Relaxed).saturating_add(more) > SHARED_ROOM {
                self.all.fetch_sub(more, Ordering::Relaxed);
                return Err(io::Error::other("too much unfinished on all connections"));
            }
        } else {
            self.all.fetch_sub(self.taken - wanted, Ordering::Relaxed);
        }
        self.taken = wanted;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

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
    writes: Writes,
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
    writes: Writes,
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
    mut writes: Writes,
    events: mpsc::Sender<StreamEvent>,
) {
    let mut owed = 0;
    let end = converse(id, &mut *wire, limits, patience, &mut writes, &mut owed, &events).await;
    if !matches!(end, Ok(End::Over)) {
        answer_last(&mut *wire, &mut writes, owed).await;
    }
    let reason = match end {
        Ok(_) => "closed".to_owned(),
        Err(error) => error.to_string(),
    };
    closed(id, reason, &events).await;
}

/// Writes the answers to requests that came before the peer stopped sending, or sent what is no message: they have been
/// handed on, and the peer may well read.
async fn answer_last(wire: &mut dyn Wire, writes: &mut Writes, mut owed: usize) {
    let until = Instant::now() + LAST_ANSWERS;
    let mut wait = if owed > 0 { until } else { return };
    while let Ok(Some(bytes)) = tokio::time::timeout_at(wait, writes.messages.recv()).await {
        writes.queued.written(bytes.len());
        if write(wire, &bytes).await.is_err() {
            return;
        }
        owed = owed.saturating_sub(1);
        if owed == 0 {
            wait = until.min(Instant::now() + LAST_ANSWER);
        }
    }
}

/// Will a message be answered?
fn is_question(message: &[u8]) -> bool {
    !message.starts_with(b"SIP/2.0 ") && !message.starts_with(b"ACK ")
}

/// How a conversation ended without an error.
enum End {
    /// The peer sends nothing more.
    HalfClosed,
    /// We have nothing more to say, or the peer was silent for too long.
    Over,
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
    writes: &mut Writes,
    owed: &mut usize,
    events: &mpsc::Sender<StreamEvent>,
) -> io::Result<End> {
    let mut room = Room { taken: 0, all: Arc::clone(&writes.received) };
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
                    return Ok(End::HalfClosed);
                }
                idle_until = Instant::now() + limits.idle;
                while let Some(frame) = framer.next_frame().map_err(io::Error::other)? {
                    patience = Patience::Idle;
                    match frame {
                        Frame::Ping => write(stream, b"\r\n").await?,
                        Frame::Message(bytes) => {
                            *owed += usize::from(is_question(&bytes));
                            if events.send(StreamEvent::Message { id, bytes }).await.is_err() {
                                return Ok(End::Over);
                            }
                        }
                    }
                }
                room.resize(framer.held())?;
                if framer.is_partial() && matches!(patience, Patience::Idle) {
                    patience = Patience::Message(Instant::now() + MESSAGE_TIMEOUT);
                }
            }
            bytes = writes.messages.recv() => match bytes {
                Some(bytes) => {
                    idle_until = Instant::now() + limits.idle;
                    writes.queued.written(bytes.len());
                    *owed = owed.saturating_sub(1);
                    write(stream, &bytes).await?;
                }
                None => return Ok(End::Over),
            },
            () = tokio::time::sleep_until(until) => return Ok(End::Over),
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
