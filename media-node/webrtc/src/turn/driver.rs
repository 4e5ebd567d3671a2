//! The task of one allocation: the connection to the server, and the way between it and the leg.
//!
//! The worker that sends the leg's packets knows nothing of relays. It sends to the *entrance*, a socket of this task on the
//! same host that hears the leg's port only; what comes there is passed on to the peer, and media of the peer comes from there.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::wire::Wire;
use super::{Account, Client, TurnError, TurnEvent};

/// Longest wait for an allocation: a description waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Checks and handshakes that wait for their reader, and orders that wait for the task.
const WAITING: usize = 64;
/// Longest datagram passed on.
pub(super) const LONGEST: usize = 2048;
/// Datagrams of peers that are no media, per [`SPAN`]: a peer's checks and handshake need fewer.
const SHARE: u32 = 80;
const SPAN: Duration = Duration::from_millis(100);
/// How long the end of an allocation may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection over TLS (`turns:`). The server's certificate must bear its name, and an authority vouch for it.
    Tls {
        /// File of authorities, PEM; the machine's own without one.
        authorities: Option<PathBuf>,
    },
}

/// A TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How it is reached.
    pub carrier: Carrier,
    /// The account.
    pub account: Account,
}

enum Order {
    Send(SocketAddr, Vec<u8>),
    Select(SocketAddr),
}

/// An allocation in use. Dropping it gives it back.
#[derive(Debug)]
pub struct Relay {
    relayed: SocketAddr,
    entrance: SocketAddr,
    orders: mpsc::Sender<Order>,
    datagrams: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
}

impl Relay {
    /// Asks `server` for an address that is relayed to the leg at `leg`. Takes two seconds at most.
    ///
    /// # Errors
    /// When there is none.
    pub async fn allocate(server: &Server, leg: SocketAddr) -> Result<Self, TurnError> {
        timeout(PATIENCE, Self::ask(server, leg)).await.unwrap_or(Err(TurnError::Silent))
    }

    async fn ask(server: &Server, leg: SocketAddr) -> Result<Self, TurnError> {
        let broken = |_: io::Error| TurnError::Connection;
        let mut wire = Wire::open(server, leg.ip()).await.map_err(|error| {
            tracing::warn!("TURN server {}: {error}", server.host);
            TurnError::Connection
        })?;
        let entrance = UdpSocket::bind(SocketAddr::new(leg.ip(), 0)).await.map_err(broken)?;
        entrance.connect(leg).await.map_err(broken)?;
        let reliable = server.carrier != Carrier::Udp;
        let mut client =
            Client::new(server.account.clone(), reliable, leg.is_ipv6(), Instant::now());
        let relayed = loop {
            step(&mut client, &mut wire).await?;
            match client.poll_event() {
                Some(TurnEvent::Allocated(relayed)) => break relayed,
                Some(TurnEvent::Failed(error)) => return Err(error),
                Some(TurnEvent::Data(..)) | None => {}
            }
        };
        let (orders, ordered) = mpsc::channel(WAITING);
        let (found, datagrams) = mpsc::channel(WAITING);
        let address = entrance.local_addr().map_err(broken)?;
        tokio::spawn(run(client, wire, entrance, ordered, found));
        Ok(Self { relayed, entrance: address, orders, datagrams })
    }

    /// The server's address that stands for the leg.
    pub fn relayed(&self) -> SocketAddr {
        self.relayed
    }

    /// Where the leg's packets are to be sent to be relayed.
    pub fn entrance(&self) -> SocketAddr {
        self.entrance
    }

    /// Sends a datagram to a peer. What finds no room is lost, as on any path.
    pub fn send(&self, to: SocketAddr, datagram: Vec<u8>) {
        let _lost = self.orders.try_send(Order::Send(to, datagram));
    }

    /// Media goes to that peer, and is taken from it.
    pub fn select(&self, peer: SocketAddr) {
        let _lost = self.orders.try_send(Order::Select(peer));
    }

    /// The next datagram of a peer that is no media; `None` once the allocation is gone. May be given up half-way.
    pub async fn recv(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.datagrams.recv().await
    }
}

/// Sends what the client has to send, and gives it the next datagram or the time.
async fn step(client: &mut Client, wire: &mut Wire) -> Result<(), TurnError> {
    flush(client, wire).await?;
    let due = client.poll_timeout();
    let mut datagram = Vec::new();
    tokio::select! {
        read = wire.recv(&mut datagram) => {
            read.map_err(|_| TurnError::Connection)?;
            client.handle_datagram(&datagram, Instant::now());
        }
        () = until(due) => client.handle_timeout(Instant::now()),
    }
    Ok(())
}

async fn flush(client: &mut Client, wire: &mut Wire) -> Result<(), TurnError> {
    while let Some(datagram) = client.poll_transmit() {
        wire.send(&datagram).await.map_err(|_| TurnError::Connection)?;
    }
    Ok(())
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn run(
    mut client: Client,
    mut wire: Wire,
    entrance: UdpSocket,
    mut orders: mpsc::Receiver<Order>,
    found: mpsc::Sender<(SocketAddr, Vec<u8>)>,
) {
    let mut selected = None;
    let mut share = (SHARE, Instant::now());
    let (mut datagram, mut packet) = (Vec::new(), vec![0; LONGEST]);
    loop {
        while let Some(event) = client.poll_event() {
            match event {
                TurnEvent::Data(from, octets) => {
                    sort(from, octets, selected, &entrance, &found, &mut share).await;
                }
                TurnEvent::Failed(error) => {
                    tracing::warn!("TURN: {error}");
                    return;
                }
                TurnEvent::Allocated(_) => {}
            }
        }
        if flush(&mut client, &mut wire).await.is_err() {
            return;
        }
        let due = client.poll_timeout();
        tokio::select! {
            read = wire.recv(&mut datagram) => match read {
                Ok(()) => client.handle_datagram(&datagram, Instant::now()),
                Err(error) => {
                    tracing::warn!("TURN: the connection to the server broke: {error}");
                    return;
                }
            },
            read = entrance.recv(&mut packet) => {
                // An error is the leg's port that has been closed: the leg's end follows.
                let length = read.unwrap_or(0);
                if let (Some(peer), Some(media)) = (selected, packet.get(..length).filter(|p| !p.is_empty())) {
                    client.send(peer, media, Instant::now());
                } else if length == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            order = orders.recv() => match order {
                Some(Order::Send(to, octets)) => client.send(to, &octets, Instant::now()),
                Some(Order::Select(peer)) => {
                    selected = Some(peer);
                    client.bind(peer, Instant::now());
                }
                None => break,
            },
            () = until(due) => client.handle_timeout(Instant::now()),
        }
    }
    client.release(Instant::now());
    // The server forgets it by itself if this does not arrive.
    let _ = timeout(FAREWELL, async {
        while client.poll_timeout().is_some() && step(&mut client, &mut wire).await.is_ok() {}
    })
    .await;
}

/// Gives a peer's datagram to whom it is for: media to the leg, the rest to the checks.
async fn sort(
    from: SocketAddr,
    octets: Vec<u8>,
    selected: Option<SocketAddr>,
    entrance: &UdpSocket,
    found: &mpsc::Sender<(SocketAddr, Vec<u8>)>,
    share: &mut (u32, Instant),
) {
    match octets.first() {
        Some(0..=3 | 20..=63) => {
            let now = Instant::now();
            if now.duration_since(share.1) > SPAN {
                *share = (SHARE, now);
            }
            if let Some(left) = share.0.checked_sub(1) {
                share.0 = left;
                let _lost = found.try_send((from, octets));
            }
        }
        // Before the path is settled, the peer's media waits for nothing: it is lost, as it is without a relay.
        Some(128..=191) if selected.is_some_and(|peer| peer.ip() == from.ip()) => {
            let _lost = entrance.send(&octets).await;
        }
        _ => {}
    }
}
