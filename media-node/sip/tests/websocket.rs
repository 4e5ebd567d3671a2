//! SIP over WebSocket (RFC 7118) on real connections: handshake, frames, bounds, and what proxies say of clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sip::message::{Headers, Method};
use sip::stack::{Incoming, OutOfDialog, Peers, Stack, StackConfig, Transport};
use sip::uri::{NameAddr, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Everybody on loopback is a trusted proxy.
struct Proxies;

impl Peers for Proxies {
    fn knows(&self, _: SocketAddr, _: Transport) -> bool {
        false
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        peer.is_loopback()
    }
}

/// A stack with one WebSocket listener. It answers requests with 200 and says where they came from; lost connections are
/// told of likewise.
async fn stack(
    change: impl FnOnce(&mut StackConfig),
) -> (Stack, SocketAddr, mpsc::Receiver<String>) {
    let mut config = StackConfig::new(vec![(Transport::Ws, "127.0.0.1:0".parse().unwrap())]);
    change(&mut config);
    let (stack, mut incoming) = Stack::start(config).await.unwrap();
    let at = stack.listening()[0].1;
    let (told, tell) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(incoming) = incoming.recv().await {
            let said = match incoming {
                Incoming::Request(request) => {
                    let from = request.path.remote.to_string();
                    request.respond(200, "", Headers::new(), None);
                    from
                }
                Incoming::Disconnected(path) => format!("lost {}", path.remote),
                Incoming::Invite(_) => continue,
            };
            let _ = told.send(said).await;
        }
    });
    (stack, at, tell)
}

struct Browser(TcpStream);

impl Browser {
    async fn connect(at: SocketAddr, before: &[u8], headers: &str) -> Self {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(before).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut browser = Self(stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(browser.0.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        browser
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(payload.len()).ok().filter(|length| *length < 126) {
            Some(length) => frame.push(0x80 | length),
            None => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// First byte and payload of the next frame.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let first = self.0.read_u8().await.unwrap();
        let length = match self.0.read_u8().await.unwrap() {
            126 => usize::from(self.0.read_u16().await.unwrap()),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.unwrap();
        (first, payload)
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 64]).await, Ok(0) | Err(_))
    }
}

fn options(call: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bK{call};rport\r\nFrom: <sip:a@x>;tag=1\r\n\
         To: <sip:x>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn requests_are_answered_and_so_are_pings_and_a_close() {
    let (_stack, at, mut told) = stack(|_| {}).await;
    let mut browser = Browser::connect(at, b"", "").await;
    let own = browser.0.local_addr().unwrap().to_string();
    browser.send(1, b"\r\n\r\n").await;
    browser.send(9, b"there?").await;
    assert_eq!(browser.next().await, (0x8a, b"there?".to_vec()));
    browser.send(2, &options("one")).await;
    let (first, reply) = browser.next().await;
    let reply = String::from_utf8(reply).unwrap();
    assert_eq!(first, 0x81);
    assert!(
        reply.starts_with("SIP/2.0 200 OK\r\n") && reply.contains(";received=127.0.0.1"),
        "{reply}"
    );
    assert_eq!(told.recv().await.unwrap(), own);
    browser.send(8, b"\x03\xe8").await;
    assert_eq!(browser.next().await, (0x88, b"\x03\xe8".to_vec()));
    assert!(browser.is_closed().await);
    assert_eq!(told.recv().await.unwrap(), format!("lost {own}"));
}

#[tokio::test]
async fn a_browser_is_reached_over_its_own_connection_or_not_at_all() {
    let (stack, at, mut told) = stack(|_| {}).await;
    let mut browser = Browser::connect(at, b"", "").await;
    browser.send(1, &options("here")).await;
    let _reply = browser.next().await;
    let from = told.recv().await.unwrap();
    let ask = |to: String| {
        let who = NameAddr::parse("<sip:a@x>").unwrap();
        let uri = Uri::parse("sip:b@browser.invalid;transport=ws").unwrap();
        let mut asked = OutOfDialog::new(Method::Options, uri, who.clone(), who);
        asked.next_hop = Uri::parse(&format!("sip:b@{to};transport=ws"));
        let stack = stack.clone();
        async move { stack.request(asked).await.map(|reply| reply.response.status) }
    };
    let asked = tokio::spawn(ask(from));
    let (_, request) = browser.next().await;
    let request = String::from_utf8(request).unwrap();
    assert!(
        request.starts_with("OPTIONS sip:b@browser.invalid;transport=ws SIP/2.0\r\n"),
        "{request}"
    );
    assert!(request.contains(&format!("Via: SIP/2.0/WS {at};branch=")), "{request}");
    let keep = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = request.lines().filter(|line| keep.iter().any(|name| line.starts_with(name)));
    let reply = format!("SIP/2.0 204 No\r\n{}\r\n\r\n", lines.collect::<Vec<_>>().join("\r\n"));
    browser.send(1, reply.as_bytes()).await;
    assert_eq!(asked.await.unwrap(), Ok(204));
    assert!(ask("127.0.0.1:9".to_owned()).await.is_err(), "nothing connects to a browser");
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let (_stack, at, mut told) = stack(|config| config.peers = Some(Arc::new(Proxies))).await;
    let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 443\r\n";
    for (name, before, headers, client) in [
        ("line", &line[..], "", "192.0.2.7:40000"),
        ("header", b"", "X-Forwarded-For: 6.6.6.6, 2001:db8::7, 127.0.0.1\r\n", "[2001:db8::7]"),
        ("neither", b"", "", "127.0.0.1"),
    ] {
        let mut browser = Browser::connect(at, before, headers).await;
        // A branch of its own: the same one would be the same request again, answered where it came from first.
        browser.send(1, &options(name)).await;
        assert!(browser.next().await.1.starts_with(b"SIP/2.0 200"));
        let from = told.recv().await.unwrap();
        assert!(from.starts_with(client), "{from}");
        drop(browser);
        assert_eq!(told.recv().await.unwrap(), format!("lost {from}"));
    }
}

#[tokio::test]
async fn strangers_say_nothing_of_whom_they_are_and_get_their_share_only() {
    let (_stack, at, mut told) = stack(|config| {
        config.limits.strange_connections_per_address = 2;
        config.limits.message_bytes = 2000;
    })
    .await;
    let mut first = Browser::connect(at, b"", "X-Forwarded-For: 192.0.2.7\r\n").await;
    first.send(1, &options("forged")).await;
    assert!(told.recv().await.unwrap().starts_with("127.0.0.1:"));
    let mut second = Browser::connect(at, b"", "").await;
    let mut third = TcpStream::connect(at).await.unwrap();
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)), "a third connection is closed");
    second.send(1, &vec![b'x'; 2001]).await;
    assert_eq!(second.next().await, (0x88, 1009u16.to_be_bytes().to_vec()));
    assert!(second.is_closed().await);
    let lost = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    assert!(lost.starts_with("lost "), "{lost}");
    let mut proxy = TcpStream::connect(at).await.unwrap();
    proxy.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    proxy.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
}
