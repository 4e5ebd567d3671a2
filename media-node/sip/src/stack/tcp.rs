//! Streams (TCP, TLS and WebSocket): listeners, connections opened and accepted, one task each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use streams::tls::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::connections::Queued;
use super::cut::{Cut, Cutter};
use super::greet::{Greeted, Greeting, greet};
use crate::message::MessageLimits;
use crate::transport::{ConnectionId, Transport};

/// Messages waiting to be written on one connection; beyond, the connection counts as broken.
pub(super) const WRITE_QUEUE: usize = 256;
/// Time to open a connection. Shorter than timer B, so that the caller hears the true reason.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that connects must have sent a whole message within this time, and must finish each one it begins.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that does not read for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for telling a peer that the connection ends.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// A WebSocket over which nothing came for so long is asked for a sign of life; browsers answer by themselves.
const PING_AFTER: Duration = Duration::from_secs(50);
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
    Accepted {
        stream: TcpStream,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    },
    Opened {
        id: ConnectionId,
    },
    /// A trusted proxy says whose connection it is.
    Identified {
        id: ConnectionId,
        client: SocketAddr,
    },
    Message {
        id: ConnectionId,
        bytes: Bytes,
    },
    Closed {
        id: ConnectionId,
        reason: String,
    },
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
    /// An authority must vouch for it, whatever the policy says.
    pub(super) verified: bool,
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
                let cutter = Cutter::new(limits.message, false);
                serve(id, wire, (limits, cutter), Patience::Idle, writes, events).await;
            }
        }
        Ok(Err(error)) => closed(id, error.to_string(), &events).await,
        Err(_) => closed(id, "connection attempt timed out".into(), &events).await,
    }
}

async fn connect(peer: Peer) -> io::Result<Box<dyn Wire>> {
    let Peer { remote, tls, name, verified } = peer;
    let stream = TcpStream::connect(remote).await?;
    let _ = stream.set_nodelay(true);
    Ok(match tls {
        Some(tls) => {
            let name = Tls::name_of(remote.ip(), name);
            Box::new(tls.connector(verified).connect(name, stream).await?)
        }
        None => Box::new(stream),
    })
}

/// Serves an accepted connection, after what it begins with.
pub(super) async fn welcome(
    id: ConnectionId,
    stream: TcpStream,
    greeting: Greeting,
    limits: StreamLimits,
    writes: Writes,
    events: mpsc::Sender<StreamEvent>,
) {
    let _ = stream.set_nodelay(true);
    let mut cutter = Cutter::new(limits.message, greeting.websocket);
    let plain = greeting.tls.is_none() && !greeting.websocket && greeting.proxy.is_none();
    let greeted = match plain {
        // Its first message may take longer than a handshake.
        true => Ok(Ok(Greeted { wire: Box::new(stream), rest: BytesMut::new(), client: None })),
        false => timeout(CONNECT_TIMEOUT, greet(stream, greeting)).await,
    };
    let Greeted { wire, rest, client } = match greeted {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) => return closed(id, error.to_string(), &events).await,
        Err(_) => return closed(id, "handshake timed out".into(), &events).await,
    };
    if let Some(client) = client
        && events.send(StreamEvent::Identified { id, client }).await.is_err()
    {
        return;
    }
    cutter.buffer().extend_from_slice(&rest);
    serve(id, wire, (limits, cutter), Patience::of_stranger(), writes, events).await;
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
    (limits, mut cutter): (StreamLimits, Cutter),
    patience: Patience,
    mut writes: Writes,
    events: mpsc::Sender<StreamEvent>,
) {
    let mut owed = 0;
    let mut conversation = Conversation {
        id,
        stream: &mut *wire,
        cutter: &mut cutter,
        limits,
        met: matches!(patience, Patience::Idle),
        patience,
        writes: &mut writes,
        owed: &mut owed,
        events: &events,
    };
    let end = conversation.run().await;
    if !matches!(end, Ok(End::Over)) {
        answer_last(&mut *wire, &cutter, &mut writes, owed).await;
    }
    let reason = match end {
        Ok(_) => "closed".to_owned(),
        Err(error) => {
            if let Some(farewell) = cutter.farewell(&error) {
                // The connection ends either way.
                let _ = write(&mut *wire, &farewell).await;
            }
            error.to_string()
        }
    };
    // TLS tells the peer that nothing was cut off; a peer that is gone cannot be told.
    let _ = timeout(FAREWELL_TIMEOUT, wire.shutdown()).await;
    closed(id, reason, &events).await;
}

/// Writes the answers to requests that came before the peer stopped sending, or sent what is no message: they have been
/// handed on, and the peer may well read.
async fn answer_last(wire: &mut dyn Wire, cutter: &Cutter, writes: &mut Writes, mut owed: usize) {
    let until = Instant::now() + LAST_ANSWERS;
    let mut wait = if owed > 0 { until } else { return };
    while let Ok(Some(bytes)) = tokio::time::timeout_at(wait, writes.messages.recv()).await {
        writes.queued.written(bytes.len());
        if write(wire, &cutter.wrap(bytes)).await.is_err() {
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

/// One connection while it lasts.
struct Conversation<'a> {
    id: ConnectionId,
    stream: &'a mut dyn Wire,
    cutter: &'a mut Cutter,
    limits: StreamLimits,
    patience: Patience,
    /// We opened it, or a message has come: from then on it may be idle.
    met: bool,
    writes: &'a mut Writes,
    /// Requests of the peer that have not been answered.
    owed: &'a mut usize,
    events: &'a mpsc::Sender<StreamEvent>,
}

impl Conversation<'_> {
    async fn run(&mut self) -> io::Result<End> {
        let mut room = Room { taken: 0, all: Arc::clone(&self.writes.received) };
        let mut idle_until = Instant::now() + self.limits.idle;
        let mut ping_at = Instant::now() + PING_AFTER;
        // What came together with the handshake.
        if let Some(end) = self.take_cuts().await? {
            return Ok(end);
        }
        loop {
            let until = match self.patience {
                Patience::Idle => idle_until,
                Patience::Message(at) => at.min(idle_until),
            };
            let ping = self.cutter.ping();
            tokio::select! {
                read = self.stream.read_buf(self.cutter.buffer()) => {
                    if read? == 0 {
                        return Ok(End::HalfClosed);
                    }
                    idle_until = Instant::now() + self.limits.idle;
                    ping_at = Instant::now() + PING_AFTER;
                    if let Some(end) = self.take_cuts().await? {
                        return Ok(end);
                    }
                    room.resize(self.cutter.held())?;
                    if self.cutter.is_partial() && matches!(self.patience, Patience::Idle) {
                        self.patience = Patience::Message(Instant::now() + MESSAGE_TIMEOUT);
                    }
                }
                bytes = self.writes.messages.recv() => match bytes {
                    Some(bytes) => {
                        idle_until = Instant::now() + self.limits.idle;
                        self.writes.queued.written(bytes.len());
                        *self.owed = self.owed.saturating_sub(1);
                        write(self.stream, &self.cutter.wrap(bytes)).await?;
                    }
                    None => return Ok(End::Over),
                },
                () = tokio::time::sleep_until(ping_at), if ping.is_some() => {
                    ping_at = Instant::now() + PING_AFTER;
                    write(self.stream, &ping.unwrap_or_default()).await?;
                }
                () = tokio::time::sleep_until(until) => return Ok(End::Over),
            }
        }
    }

    /// Hands on the messages that are whole, and answers what the connection itself must answer.
    async fn take_cuts(&mut self) -> io::Result<Option<End>> {
        while let Some(cut) = self.cutter.next_cut()? {
            match cut {
                Cut::Message(bytes) => {
                    self.met = true;
                    *self.owed += usize::from(is_question(&bytes));
                    let message = StreamEvent::Message { id: self.id, bytes };
                    if self.events.send(message).await.is_err() {
                        return Ok(Some(End::Over));
                    }
                }
                Cut::Answer(bytes) => write(self.stream, &bytes).await?,
                Cut::Last(bytes) => {
                    write(self.stream, &bytes).await?;
                    return Ok(Some(End::Over));
                }
                Cut::Nothing => {}
            }
            if self.met {
                self.patience = Patience::Idle;
            }
        }
        Ok(None)
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
