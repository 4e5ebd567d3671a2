//! The beginning of an accepted connection, before its first message: what a proxy says of the client, the TLS handshake,
//! the WebSocket handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use streams::http::{REFUSAL, Upgrade};
use streams::proxied::{self, Front};
use streams::tls::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::tcp::Wire;
use crate::endpoint::Peers;

/// What an accepted connection begins with.
pub(super) struct Greeting {
    pub(super) tls: Option<Tls>,
    pub(super) websocket: bool,
    /// The peer is a trusted proxy, as these say.
    pub(super) proxy: Option<Arc<dyn Peers>>,
}

/// A connection ready for messages.
pub(super) struct Greeted {
    pub(super) wire: Box<dyn Wire>,
    /// Read already, and belonging to the first message.
    pub(super) rest: BytesMut,
    /// The client, when a trusted proxy stands between.
    pub(super) client: Option<SocketAddr>,
}

/// Does what comes before the first message. The caller sets the deadline.
pub(super) async fn greet(stream: TcpStream, greeting: Greeting) -> io::Result<Greeted> {
    let remote = stream.peer_addr()?;
    let (stream, mut client) = match greeting.proxy {
        Some(_) => proxy_header(stream).await?,
        None => (Rewound { read: BytesMut::new(), stream }, None),
    };
    let mut wire: Box<dyn Wire> = match greeting.tls {
        Some(tls) => {
            expect_handshake(&stream).await?;
            Box::new(tls.acceptor().accept(stream).await?)
        }
        None => Box::new(stream),
    };
    let mut rest = BytesMut::new();
    if !greeting.websocket {
        return Ok(Greeted { wire, rest, client });
    }
    let upgrade = handshake(&mut *wire, &mut rest).await?;
    if let (Some(proxy), Some(list)) = (&greeting.proxy, &upgrade.forwarded_for) {
        let is_proxy = |ip: IpAddr| proxy.is_proxy(ip);
        // The header has no port: the connection's own tells several clients behind one address apart.
        let port = client.map_or(remote.port(), |client| client.port());
        client = proxied::forwarded_client(list, is_proxy)
            .map(|ip| SocketAddr::new(ip, port))
            .or(client);
    }
    Ok(Greeted { wire, rest, client })
}

/// Ends connections that do not begin with a TLS handshake without a word, as the reference does: what speaks plain SIP
/// there would take an alert for an answer.
async fn expect_handshake(stream: &Rewound) -> io::Result<()> {
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    match stream.read.first() {
        Some(read) => first = [*read],
        None => {
            stream.stream.peek(&mut first).await?;
        }
    }
    if first != [HANDSHAKE] {
        return Err(io::Error::other("not a TLS handshake"));
    }
    Ok(())
}

/// Takes the PROXY header off the front, if the proxy sends one.
async fn proxy_header(mut stream: TcpStream) -> io::Result<(Rewound, Option<SocketAddr>)> {
    let mut read = BytesMut::with_capacity(256);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxied::take_header(&mut read).map_err(io::Error::other)? {
            Front::Undecided => {}
            Front::Absent => return Ok((Rewound { read, stream }, None)),
            Front::Client(client) => return Ok((Rewound { read, stream }, client)),
        }
    }
}

/// Answers the request for a WebSocket; refuses anything else.
async fn handshake(wire: &mut dyn Wire, rest: &mut BytesMut) -> io::Result<Upgrade> {
    loop {
        match Upgrade::read(rest) {
            Ok(Some(upgrade)) => {
                wire.write_all(upgrade.acceptance().as_bytes()).await?;
                wire.flush().await?;
                return Ok(upgrade);
            }
            Ok(None) => {}
            Err(error) => {
                wire.write_all(REFUSAL).await?;
                wire.shutdown().await?;
                return Err(io::Error::other(error));
            }
        }
        if wire.read_buf(rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A connection of which more was read than belonged to the header in front.
struct Rewound {
    read: BytesMut,
    stream: TcpStream,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, out);
        }
        let length = self.read.len().min(out.remaining());
        out.put_slice(self.read.get(..length).unwrap_or_default());
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
