//! The HTTP request a WebSocket begins with.

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tungstenite::handshake::derive_accept_key;

/// Request line and headers at most, bytes.
pub const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// The answer to what is no WebSocket handshake, as the reference gives it.
pub const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Not a request for a WebSocket; [`REFUSAL`] is what such a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a WebSocket handshake")]
pub struct NotWebSocket;

/// A request for a WebSocket, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The path asked for, with its query.
    pub path: String,
    /// `Sec-WebSocket-Protocol`, as it came.
    pub protocol: Option<String>,
    /// `X-Forwarded-For`: who a proxy says the client is. To be believed of trusted proxies only.
    pub forwarded_for: Option<String>,
    key: String,
}

impl Upgrade {
    /// Takes a request off the front of `buffer`; `None` when more bytes are needed. Path, origin and subprotocol do not
    /// matter, as in the reference.
    ///
    /// # Errors
    /// When it is anything else than a request for a WebSocket of version 13.
    pub fn read(buffer: &mut BytesMut) -> Result<Option<Self>, NotWebSocket> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let (length, upgrade) = match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => {
                (length, Self::of(&request)?)
            }
            Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
            _ => return Err(NotWebSocket),
        };
        buffer.advance(length);
        Ok(Some(upgrade))
    }

    fn of(request: &httparse::Request<'_, '_>) -> Result<Self, NotWebSocket> {
        let header = |name: &str| {
            let found =
                request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
        };
        let lists = |name: &str, word: &str| {
            header(name).is_some_and(|list| {
                list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
            })
        };
        let key = header("Sec-WebSocket-Key").filter(|key| !key.is_empty()).ok_or(NotWebSocket)?;
        let fits = request.method == Some("GET")
            && lists("Upgrade", "websocket")
            && lists("Connection", "upgrade")
            && header("Sec-WebSocket-Version") == Some("13");
        if !fits {
            return Err(NotWebSocket);
        }
        Ok(Self {
            path: request.path.unwrap_or("/").to_owned(),
            protocol: header("Sec-WebSocket-Protocol").map(str::to_owned),
            forwarded_for: header("X-Forwarded-For").map(str::to_owned),
            key: key.to_owned(),
        })
    }

    /// The answer that opens the WebSocket. The subprotocol is echoed whatever it is, as in the reference: a browser
    /// closes the connection when it is not one it offered.
    #[must_use]
    pub fn acceptance(&self) -> String {
        let protocol =
            self.protocol.iter().map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{}\r\n",
            derive_accept_key(self.key.as_bytes()),
            protocol.collect::<String>()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /ws?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, sip\r\n\r\n";

    #[test]
    fn a_handshake_is_answered_and_what_follows_is_left() {
        let mut buffer = BytesMut::from(&REQUEST.as_bytes()[..30]);
        assert_eq!(Upgrade::read(&mut buffer), Ok(None));
        buffer.extend_from_slice(&REQUEST.as_bytes()[30..]);
        buffer.extend_from_slice(b"more");
        let upgrade = Upgrade::read(&mut buffer).unwrap().unwrap();
        assert_eq!((upgrade.path.as_str(), &buffer[..]), ("/ws?x=1", &b"more"[..]));
        let answer = upgrade.acceptance();
        assert!(
            answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("Sec-WebSocket-Protocol: chat, sip\r\n\r\n"), "{answer}");
    }

    #[test]
    fn anything_else_is_refused() {
        for (from, to) in [
            ("GET", "POST"),
            ("Version: 13", "Version: 8"),
            ("keep-alive, Upgrade", "close"),
            ("WebSocket\r\n", "h2c\r\n"),
            ("dGhlIHNhbXBsZSBub25jZQ==", ""),
            ("GET /ws?x=1 HTTP/1.1", "OPTIONS sip:a SIP/2.0"),
        ] {
            let mut buffer = BytesMut::from(REQUEST.replacen(from, to, 1).as_bytes());
            assert_eq!(Upgrade::read(&mut buffer), Err(NotWebSocket), "{to}");
        }
        let mut endless = BytesMut::from(&b"GET / HTTP/1.1\r\nX: "[..]);
        endless.extend_from_slice(&[b'a'; MAX_HEAD]);
        assert_eq!(Upgrade::read(&mut endless), Err(NotWebSocket));
    }
}
