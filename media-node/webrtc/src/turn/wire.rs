//! What a TURN client speaks over: datagrams, a connection, or one over TLS.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::driver::{Carrier, LONGEST, Server};
use super::frame;

/// How long authorities that were read serve: each call that needs a relay would read them anew.
const SERVE: Duration = Duration::from_secs(60);
/// Files of authorities kept.
const MOST_FILES: usize = 16;

/// A connection, protected or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The connection to the server.
pub(super) enum Wire {
    Datagrams(UdpSocket),
    Stream { stream: Box<dyn Stream>, buffer: Vec<u8> },
}

impl Wire {
    /// Connects from that address of ours.
    pub(super) async fn open(server: &Server, from: IpAddr) -> io::Result<Self> {
        let found = tokio::net::lookup_host((&*server.host, server.port)).await?;
        let mut found = found.filter(|at| at.is_ipv4() == from.is_ipv4());
        let to = found.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        match &server.carrier {
            Carrier::Udp => {
                let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
                socket.connect(to).await?;
                Ok(Self::Datagrams(socket))
            }
            Carrier::Tcp => {
                let stream = connect(to).await?;
                Ok(Self::Stream { stream: Box::new(stream), buffer: Vec::new() })
            }
            Carrier::Tls { authorities } => {
                let config = client_config(authorities.clone()).await?;
                let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
                let stream = connect(to).await?;
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                Ok(Self::Stream { stream: Box::new(stream), buffer: Vec::new() })
            }
        }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        match self {
            // A server that is not there yet, or a full socket: the client asks again.
            Self::Datagrams(socket) => socket.send(datagram).await.map(drop).or(Ok(())),
            Self::Stream { stream, .. } => {
                // A server that does not read is a broken one; media must not wait for it.
                let written = timeout(Duration::from_secs(1), async {
                    stream.write_all(datagram).await?;
                    stream.flush().await
                });
                written.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// The next message. May be given up half-way without losing any.
    pub(super) async fn recv(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => loop {
                into.resize(LONGEST, 0);
                match socket.recv(into).await {
                    Ok(length) => {
                        into.truncate(length);
                        return Ok(());
                    }
                    // Nothing listens at that port (yet): the client's timer says when that is the end.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => return Err(error),
                }
            },
            Self::Stream { stream, buffer } => loop {
                let whole = frame(buffer).map_err(|_| io::ErrorKind::InvalidData)?;
                if let Some(length) = whole.filter(|length| *length <= buffer.len()) {
                    into.clear();
                    into.extend(buffer.drain(..length));
                    return Ok(());
                }
                if buffer.len() > LONGEST + 64 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if stream.read_buf(buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            },
        }
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

type Kept = HashMap<Option<PathBuf>, (Instant, Arc<ClientConfig>)>;

/// The client's side of TLS with those authorities. Reading them is no work for the runtime's threads.
async fn client_config(authorities: Option<PathBuf>) -> io::Result<Arc<ClientConfig>> {
    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
    let known = {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().and_then(|kept| kept.get(&authorities)).cloned()
    };
    if let Some((_, config)) = known.filter(|(since, _)| since.elapsed() < SERVE) {
        return Ok(config);
    }
    let file = authorities.clone();
    let made =
        tokio::task::spawn_blocking(move || read(file)).await.map_err(io::Error::other)??;
    let made = Arc::new(made);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if kept.len() >= MOST_FILES {
        kept.clear();
    }
    kept.insert(authorities, (Instant::now(), Arc::clone(&made)));
    Ok(made)
}

fn read(file: Option<PathBuf>) -> io::Result<ClientConfig> {
    let found: Vec<CertificateDer<'static>> = match &file {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_authorities_that_is_not_there_is_named() {
        let error = client_config(Some("/nowhere/ca.pem".into())).await.unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/ca.pem: "), "{error}");
        assert!(client_config(None).await.is_ok());
    }
}
