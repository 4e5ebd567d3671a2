//! The inbound side: accepts clients, checks where they come from, lets them log in.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::guess_guard::GuessGuard;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::clients::{Client, Clients};
use crate::connection::Connection;
use crate::door::{Door, Limits};
use crate::session::Session;
use crate::session::reply::{BANNER, Farewell, RUDE_REJECTION};
use crate::session::resume::Parked;
use crate::switch::Switch;

/// Port of the Event Socket when none is configured.
pub const DEFAULT_PORT: u16 = 8021;
/// Password when none is configured.
pub const DEFAULT_PASSWORD: &str = "ClueCon";
/// Access list when none is configured: this machine only.
pub const DEFAULT_ACL: &str = "loopback.auto";

/// How long a refused peer may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to bind a port that is taken, as in the reference.
const BIND_RETRY: Duration = Duration::from_millis(100);
/// How long connections may take to say goodbye at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at conversations that wait for their clients.
const SWEEP: Duration = Duration::from_secs(5);
/// After an accept failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the inbound side is set up (`event_socket.conf`).
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen. `::` takes IPv4 too on Linux.
    pub listen: SocketAddr,
    /// What `auth` must give.
    pub password: String,
    /// Access lists; every one must admit a peer.
    pub acls: Vec<String>,
    /// Give up when the port cannot be bound, instead of trying without limit.
    pub stop_on_bind_error: bool,
    /// Connections served at once. When they are used up, the oldest client that has not logged in gives way; when all
    /// have, more are refused. The reference has no limit.
    pub max_connections: usize,
    /// Clients of one address that have not logged in; of more, the oldest gives way.
    pub max_strangers_per_address: usize,
    /// Slows the guessing of passwords.
    pub guard: Arc<GuessGuard>,
    /// What became of those who connected; its owner reads it.
    pub counts: Arc<Counts>,
}

/// Connections counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections now, logged in or not.
    pub clients: AtomicU64,
    /// Connections since the start.
    pub accepted: AtomicU64,
    /// Refused by access lists.
    pub refused_by_acl: AtomicU64,
    /// Refused because there were too many.
    pub refused_full: AtomicU64,
    /// Those connected now.
    pub present: Clients,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            password: DEFAULT_PASSWORD.to_owned(),
            acls: vec![DEFAULT_ACL.to_owned()],
            stop_on_bind_error: false,
            max_connections: 1024,
            max_strangers_per_address: 256,
            guard: Arc::default(),
            counts: Arc::default(),
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("acls", &self.acls)
            .field("stop_on_bind_error", &self.stop_on_bind_error)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A bound inbound side, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    config: ServerConfig,
}

impl Listener {
    /// Binds the configured address, once.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(config: ServerConfig) -> Result<Self, BindError> {
        match TcpListener::bind(config.listen).await {
            Ok(socket) => Ok(Self { socket, config }),
            Err(source) => Err(BindError { addr: config.listen, source }),
        }
    }

    /// Binds the configured address, trying without limit unless `stop_on_bind_error` says otherwise.
    ///
    /// # Errors
    /// The first failure, with `stop_on_bind_error`.
    pub async fn bind_patiently(config: ServerConfig) -> Result<Self, BindError> {
        let mut complained = false;
        loop {
            match Self::bind(config.clone()).await {
                Err(error) if !config.stop_on_bind_error => {
                    if !std::mem::replace(&mut complained, true) {
                        warn!("Socket Error! {error}, trying again");
                    }
                    sleep(BIND_RETRY).await;
                }
                result => return result,
            }
        }
    }

    /// Where it listens; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Starts accepting, in a task of its own.
    pub fn serve(self, switch: Arc<dyn Switch>) -> ServerHandle {
        let (shutdown, watched) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        let addr = self.socket.local_addr().ok();
        tokio::spawn(accept_all(self, switch, watched, alive));
        ServerHandle { shutdown, gone, addr }
    }
}

/// A running inbound side. Dropping it closes all connections too, without waiting.
#[derive(Debug)]
pub struct ServerHandle {
    shutdown: watch::Sender<bool>,
    gone: mpsc::Receiver<()>,
    addr: Option<SocketAddr>,
}

impl ServerHandle {
    /// Where it listens.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Stops listening, tells every client that the system is being shut down, and waits for the
    /// connections to close, but not long.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        // The channel closes when the last connection has dropped its sender.
        let _ = timeout(SHUTDOWN_TIMEOUT, self.gone.recv()).await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

async fn accept_all(
    listener: Listener,
    switch: Arc<dyn Switch>,
    mut shutdown: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let password: Arc<str> = match listener.config.password.as_str() {
        "" => DEFAULT_PASSWORD.into(),
        password => password.into(),
    };
    let limits = Limits {
        connections: listener.config.max_connections,
        strangers_per_address: listener.config.max_strangers_per_address,
    };
    let mut sweep = tokio::time::interval(SWEEP);
    let reception = Reception {
        door: Door::new(limits, Arc::clone(&listener.config.guard)),
        counts: Arc::clone(&listener.config.counts),
        acls: listener.config.acls.clone(),
        parked: Arc::default(),
        password,
        switch,
        shutdown: shutdown.clone(),
        alive,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            _ = sweep.tick() => {
                reception.parked.sweep(std::time::Instant::now());
                continue;
            }
            _ = shutdown.wait_for(|&down| down) => return,
        };
        match accepted {
            // A bug that one connection brings out costs that connection.
            Ok((stream, peer)) => {
                base::tasks::step("Event Socket", reception.receive(stream, peer)).await;
            }
            Err(error) => {
                warn!("cannot accept an event socket connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What each new connection meets.
struct Reception {
    door: Arc<Door>,
    counts: Arc<Counts>,
    acls: Vec<String>,
    parked: Arc<Parked>,
    password: Arc<str>,
    switch: Arc<dyn Switch>,
    shutdown: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Reception {
    /// Refuses a connection, or serves it in a task of its own.
    async fn receive(&self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let admitted = admits(&self.acls, self.switch.as_ref(), peer.ip());
        let place = admitted.then(|| self.door.enter(peer.ip().to_canonical())).flatten();
        let counts = &self.counts;
        let Some(place) = place else {
            let refused = if admitted { &counts.refused_full } else { &counts.refused_by_acl };
            refused.fetch_add(1, Ordering::Relaxed);
            warn!(
                "event socket: connection from {peer} refused{}",
                if admitted { ": too many" } else { " by access list" }
            );
            refuse(stream).await;
            return;
        };
        debug!("event socket: connection from {peer}");
        let (switch, password) = (Arc::clone(&self.switch), Arc::clone(&self.password));
        let client = self.counts.present.enter(peer);
        let session = Session::inbound(switch, password)
            .coming_from(peer)
            .known_as(Arc::clone(&client))
            .resumable(Arc::clone(&self.parked));
        let mut down = self.shutdown.clone();
        let down = Box::pin(async move {
            let _ = down.wait_for(|&down| down).await;
        });
        let mut connection = Connection::new(stream, session, down).at(place);
        connection.greet(BANNER);
        let alive = self.alive.clone();
        let foreign = base::foreign::is_foreign(peer.ip());
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let present = Present::new(Arc::clone(counts), client);
        let serve = async move {
            connection.run(None).await;
            drop(present);
            debug!("event socket: connection from {peer} closed");
            drop(alive);
        };
        tokio::spawn(base::foreign::scope(move || foreign, serve));
    }
}

/// A connection that is counted until it ends, however it ends.
struct Present(Arc<Counts>, Arc<Client>);

impl Present {
    fn new(counts: Arc<Counts>, client: Arc<Client>) -> Self {
        counts.clients.fetch_add(1, Ordering::Relaxed);
        Self(counts, client)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
        self.0.present.leave(&self.1);
    }
}

/// Every list must admit the peer. An IPv4 peer of a dual-stack socket is tested as IPv4.
fn admits(acls: &[String], switch: &dyn Switch, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if acls.is_empty() {
        return switch.acl_allows(DEFAULT_ACL, ip);
    }
    acls.iter().all(|list| switch.acl_allows(list, ip))
}

/// Says why and closes. Written at once: a fresh socket has room for it.
async fn refuse(mut stream: TcpStream) {
    let mut text = RUDE_REJECTION.to_vec();
    text.extend_from_slice(&Farewell::Goodbye.notice(None));
    let _ = timeout(REFUSAL_TIMEOUT, stream.write_all(&text)).await;
}
