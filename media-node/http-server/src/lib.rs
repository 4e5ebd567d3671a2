//! The HTTP server of modules: one listener that serves an [`axum::Router`], with bounds on everything a client can fill.
//!
//! [`Bound::serve`] accepts; each client is served by [`hyper`] over a socket that gives up on a peer which does not read
//! ([`stall`]). [`tls`] reads certificates. What the router answers is not known here, nor are configuration files.

#![forbid(unsafe_code)]

mod clients;
mod drain;
mod problem;
mod stall;
pub mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use clients::{Clients, Place};
use drain::Shared;
use problem::Told;
use stall::Stall;

/// After an accept failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may take to end at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(2);
/// Bytes read ahead of a request's end, and longest head of a request.
const HEAD: usize = 32 << 10;

/// What clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; of more, the newest is closed unread.
    pub connections: usize,
    /// Connections of one address at once.
    pub per_address: usize,
    /// Longest body of a request, bytes. A longer one is answered with 413.
    pub body: usize,
    /// For a TLS handshake, and for the head of a request from the moment the connection is idle.
    pub head: Duration,
    /// From the end of a request's head until the head of its answer: a body that trickles in is cut off with 408.
    pub answer: Duration,
    /// A peer that takes nothing of what is written for so long is given up.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            per_address: 64,
            body: 64 << 10,
            head: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// Whether an address may speak at all. Asked once per connection, before a byte is read.
pub type Admits = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// How the listener is set up.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS, when certificates are configured ([`tls::server`]).
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Bounds.
    pub limits: Limits,
    /// Who may speak.
    pub admits: Admits,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// A bound listener that does not accept yet.
pub struct Bound {
    socket: TcpListener,
    config: Config,
}

impl Bound {
    /// Binds the address.
    ///
    /// # Errors
    /// [`BindError`] when it is taken or not ours.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let address = config.listen;
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { socket, config }),
            Err(source) => Err(BindError { address, source }),
        }
    }

    /// Where it listens; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Starts to answer, in a task of its own. Each request carries the client's address as
    /// `ConnectInfo<SocketAddr>`.
    #[must_use]
    pub fn serve(self, router: Router) -> Server {
        let (stop, stopped) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        let clients = Clients::new(self.config.limits.connections, self.config.limits.per_address);
        let router = router.layer(DefaultBodyLimit::max(self.config.limits.body));
        tokio::spawn(accept(self, router, Arc::clone(&clients), stopped, alive));
        Server { stop, gone, clients }
    }
}

/// A running server. Dropping it closes its connections without waiting.
pub struct Server {
    stop: watch::Sender<bool>,
    gone: mpsc::Receiver<()>,
    clients: Arc<Clients>,
}

impl Server {
    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.clients.count()
    }

    /// Connections refused since the start: by address, and for want of room.
    #[must_use]
    pub fn refused(&self) -> (u64, u64) {
        self.clients.refused()
    }

    /// Stops listening; requests under way are answered, but not waited for long.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let _late = timeout(SHUTDOWN, self.gone.recv()).await;
    }
}

async fn accept(
    bound: Bound,
    router: Router,
    clients: Arc<Clients>,
    stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let Bound { socket, config } = bound;
    let mut stop = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("http: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        if !(config.admits)(address) {
            clients.refuse_stranger(address);
            continue;
        }
        let Some(place) = clients.enter(address) else { continue };
        let client = Client {
            peer: SocketAddr::new(address, peer.port()),
            limits: config.limits,
            router: router.clone(),
            stopped: stopped.clone(),
            place,
            alive: alive.clone(),
        };
        tokio::spawn(client.greet(stream, config.tls.clone()));
    }
}

/// One connection.
struct Client {
    peer: SocketAddr,
    limits: Limits,
    router: Router,
    stopped: watch::Receiver<bool>,
    place: Place,
    alive: mpsc::Sender<()>,
}

impl Client {
    async fn greet(self, stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) {
        let _without = stream.set_nodelay(true);
        let stream = Stall::new(stream, self.limits.stall);
        let Some(tls) = tls else { return self.serve(stream).await };
        match timeout(self.limits.head, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!("http: TLS with {}: {error}", self.peer),
            Err(_) => tracing::debug!("http: TLS with {}: no handshake in time", self.peer),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, limits, router, mut stopped, place, alive } = self;
        let service = service_fn(move |request| answer(router.clone(), request, peer, limits));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(HEAD)
            .half_close(false);
        let connection =
            builder.serve_connection(TokioIo::new(Told::new(stream)), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stop = async move {
            let _dropped = stopped.wait_for(|stop| *stop).await;
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stop => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(SHUTDOWN, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!("http: {peer}: {error}");
        }
        drop((place, alive));
    }
}

/// Has the router answer a request.
async fn answer(
    mut router: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    limits: Limits,
) -> Result<Response, std::convert::Infallible> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(ConnectInfo(peer));
    let waits_for_leave = parts.headers.contains_key(header::EXPECT);
    // Known from its head: waiting for it would only end in 408.
    if body.size_hint().lower() > limits.body as u64 {
        let mut answer = problem::answer(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
        Shared::new(body).finish(0, true, &mut answer).await;
        return Ok(answer);
    }
    let rest = (!body.is_end_stream()).then(|| Shared::new(body));
    let body = rest.clone().map_or_else(axum::body::Body::empty, axum::body::Body::new);
    let within = timeout(limits.answer, router.call(Request::from_parts(parts, body)));
    let late = || problem::answer(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let (mut answer, in_time) = match within.await {
        Ok(answer) => (answer?, true),
        Err(_) => (late(), false),
    };
    if let Some(rest) = rest {
        let most = if in_time { limits.body } else { 0 };
        rest.finish(most, waits_for_leave || !in_time, &mut answer).await;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
