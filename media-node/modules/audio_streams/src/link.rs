//! The connection to a program: name, guard, TCP, TLS, handshake. No log line or error holds more of an address than its
//! host: paths, headers and texts may be secret.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http_client::tls::{self, TlsSettings};
use rustls::pki_types::ServerName;
use streams::client::{Accepted, Handshake, HandshakeError, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use voice::End;
use voice::target::{Allowed, Target};

/// Bytes the system may hold for a program.
const SEND_BUFFER: u32 = 48 * 1024;

/// Bytes both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An open connection.
pub(crate) struct Link {
    pub(crate) io: Box<dyn Io>,
    /// What came with the handshake's answer.
    pub(crate) early: BytesMut,
    /// The server may send compressed messages.
    pub(crate) deflate: bool,
    /// No WebSocket: bytes.
    pub(crate) raw: bool,
}

/// How to connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) protocol: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) deflate: bool,
    /// `Host` holds the bare name, and `Origin` too.
    pub(crate) bare_host: bool,
    pub(crate) tls: Tls,
}

/// How a server's certificate is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// PEM of authorities; the system's when absent.
    pub(crate) authorities: Option<String>,
    pub(crate) no_authority: bool,
    pub(crate) no_name: bool,
    pub(crate) expired: bool,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
}

/// Connects within `limit`.
pub(crate) async fn connect(
    target: &Target,
    way: &Way,
    allowed: &Allowed,
    limit: Duration,
) -> Result<Link, End> {
    timeout(limit, open(target, way, allowed)).await.unwrap_or(Err(End::Timeout))
}

async fn open(target: &Target, way: &Way, allowed: &Allowed) -> Result<Link, End> {
    let stream = dial(target, allowed).await?;
    let _best_effort = stream.set_nodelay(true);
    let mut io: Box<dyn Io> = if target.secure {
        let config = client_config(way.tls.clone()).await?;
        let name = ServerName::try_from(target.host.clone())
            .map_err(|error| End::Tls(error.to_string()))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        Box::new(connected.map_err(|error| End::Tls(error.to_string()))?)
    } else {
        Box::new(stream)
    };
    if target.raw {
        return Ok(Link { io, early: BytesMut::new(), deflate: false, raw: true });
    }
    let (accepted, early) = shake_hands(&mut io, target, way).await?;
    Ok(Link { io, early, deflate: accepted.deflate, raw: false })
}

/// Connects to the first address that may be connected to and answers. The address that was judged is the one connected
/// to: a name that changes in between leads nowhere else.
async fn dial(target: &Target, allowed: &Allowed) -> Result<TcpStream, End> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| End::Connect(error.to_string()))?.collect();
    let mut last = End::Connect(format!("{} has no address", target.host));
    for address in found {
        if !allowed.allows(&target.host, address.ip()) {
            last = End::Internal(refused(&target.host, address.ip()));
            continue;
        }
        match dial_one(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = End::Connect(error.to_string()),
        }
    }
    Err(last)
}

/// What a program does not take waits in our own queue, which drops the oldest: in the system's it would be heard late.
async fn dial_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect(address).await
}

fn refused(host: &str, address: IpAddr) -> String {
    if host.parse::<IpAddr>().is_ok() { host.to_owned() } else { format!("{host} ({address})") }
}

/// Reading certificates is no work for the runtime's threads.
async fn client_config(tls: Tls) -> Result<Arc<rustls::ClientConfig>, End> {
    let made = tokio::task::spawn_blocking(move || {
        tls::client(TlsSettings {
            check_authority: !tls.no_authority,
            check_name: !tls.no_name,
            authorities: tls.authorities.as_deref(),
            certificate: tls.certificate.as_deref(),
            key: tls.key.as_deref(),
            version: None,
            allow_expired: tls.expired,
        })
    });
    match made.await {
        Ok(Ok(config)) => Ok(Arc::new(config)),
        Ok(Err(error)) => Err(End::Tls(error.to_string())),
        Err(error) => Err(End::Tls(error.to_string())),
    }
}

async fn shake_hands(
    io: &mut Box<dyn Io>,
    target: &Target,
    way: &Way,
) -> Result<(Accepted, BytesMut), End> {
    let host = if way.bare_host { target.host.clone() } else { target.host_header() };
    let mut headers = way.headers.clone();
    if way.bare_host {
        headers.insert(0, ("Origin".to_owned(), target.host.clone()));
    }
    let request = Request {
        host: &host,
        target: &target.path,
        protocol: way.protocol.as_deref(),
        headers: &headers,
        deflate: way.deflate,
    };
    let failed = |error: HandshakeError| match error {
        HandshakeError::Status(status) => End::Handshake(status, error.to_string()),
        other => End::Handshake(0, other.to_string()),
    };
    let broken = |error: io::Error| End::Connect(error.to_string());
    let (handshake, bytes) = Handshake::new(&request).map_err(failed)?;
    io.write_all(&bytes).await.map_err(broken)?;
    io.flush().await.map_err(broken)?;
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if io.read_buf(&mut buffer).await.map_err(broken)? == 0 {
            return Err(End::Handshake(0, "the server closed the connection".to_owned()));
        }
        if let Some(accepted) = handshake.read(&mut buffer).map_err(failed)? {
            return Ok((accepted, buffer));
        }
    }
}
