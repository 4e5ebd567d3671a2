//! WebSocket (RFC 6455) on the client's side: the handshake, bytes in, messages out. Messages a server has compressed
//! (RFC 7692) are taken where that was offered; ours are never compressed.

use std::fmt::Write as _;
use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use thiserror::Error;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::http::MAX_HEAD;
use crate::websocket::FrameError;

const MAX_HEADERS: usize = 64;
const MAX_CONTROL: u64 = 125;
/// What is offered: each message by itself, so that nothing of one is needed for the next.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What a sender leaves out at the end of a compressed message (RFC 7692 §7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A request for a WebSocket. Nothing in it may hold a line break.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Value of `Host`.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Subprotocols offered.
    pub protocol: Option<&'a str>,
    /// Further headers.
    pub headers: &'a [(String, String)],
    /// Offer to take compressed messages.
    pub deflate: bool,
}

/// A handshake that waits for its answer.
#[derive(Debug)]
pub struct Handshake {
    key: String,
    deflate: bool,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Subprotocol it chose.
    pub protocol: Option<String>,
    /// It may send compressed messages.
    pub deflate: bool,
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Something in the request cannot be sent.
    #[error("a header cannot be sent: {0}")]
    Header(String),
    /// The server answered with another status.
    #[error("the server answered {0}")]
    Status(u16),
    /// The answer is none to a WebSocket handshake.
    #[error("the answer is none to a WebSocket handshake")]
    Answer,
}

impl Handshake {
    /// The handshake and its bytes.
    ///
    /// # Errors
    /// [`HandshakeError::Header`] when a part of the request would end its line.
    pub fn new(request: &Request<'_>) -> Result<(Self, Vec<u8>), HandshakeError> {
        let key = generate_key();
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            request.target, request.host
        );
        if let Some(protocol) = request.protocol {
            let _ = write!(text, "Sec-WebSocket-Protocol: {protocol}\r\n");
        }
        if request.deflate {
            let _ = write!(text, "Sec-WebSocket-Extensions: {DEFLATE}\r\n");
        }
        let fits = |part: &str| !part.contains(['\r', '\n', '\0']);
        for (name, value) in request.headers {
            let token = !name.is_empty() && name.bytes().all(is_token);
            if !(token && fits(value)) {
                return Err(HandshakeError::Header(name.chars().take(64).collect()));
            }
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !(fits(request.target) && fits(request.host)) || request.target.contains(' ') {
            return Err(HandshakeError::Header("the address".to_owned()));
        }
        text.push_str("\r\n");
        Ok((Self { key, deflate: request.deflate }, text.into_bytes()))
    }

    /// Takes the answer off the front of `buffer`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the server does not open a WebSocket.
    pub fn read(&self, buffer: &mut BytesMut) -> Result<Option<Accepted>, HandshakeError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let (length, accepted) = match response.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => (length, self.accept(&response)?),
            Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
            _ => return Err(HandshakeError::Answer),
        };
        buffer.advance(length);
        Ok(Some(accepted))
    }

    fn accept(&self, response: &httparse::Response<'_, '_>) -> Result<Accepted, HandshakeError> {
        let status = response.code.unwrap_or_default();
        if status != 101 {
            return Err(HandshakeError::Status(status));
        }
        let header = |name: &str| {
            let mut all = response.headers.iter();
            let found = all.find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
        };
        let upgrades = header("Upgrade").is_some_and(|word| word.eq_ignore_ascii_case("websocket"));
        let key = header("Sec-WebSocket-Accept") == Some(&derive_accept_key(self.key.as_bytes()));
        let extensions = header("Sec-WebSocket-Extensions").unwrap_or_default();
        let deflate = extensions.to_ascii_lowercase().contains("permessage-deflate");
        // An extension that was not offered changes what frames mean (RFC 6455 §4.1).
        let agreed = extensions.is_empty() || (deflate && self.deflate);
        if !(upgrades && key && agreed) {
            return Err(HandshakeError::Answer);
        }
        let protocol = header("Sec-WebSocket-Protocol").map(str::to_owned);
        Ok(Accepted { protocol, deflate })
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole text.
    Text(String),
    /// A whole binary message.
    Binary(Bytes),
    /// To be answered by [`pong`] with the same payload.
    Ping(Bytes),
    /// The answer to a ping of ours.
    Pong,
    /// The server ends the connection; 1005 when it says no code.
    Close(u16, String),
}

/// Collects bytes of a connection and hands out messages.
pub struct Frames {
    buffer: BytesMut,
    /// Fragments of an unfinished message: whether it is text, whether it is compressed.
    fragments: Option<(bool, bool, BytesMut)>,
    limit: usize,
    inflate: Option<Box<InflateState>>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frames({} bytes waiting)", self.buffer.len())
    }
}

impl Frames {
    /// For messages of at most `limit` bytes, compressed ones if that was agreed on. `buffer` is what came with the
    /// handshake's answer.
    #[must_use]
    pub fn new(buffer: BytesMut, limit: usize, deflate: bool) -> Self {
        let inflate = deflate.then(|| InflateState::new_boxed(DataFormat::Raw));
        Self { buffer, fragments: None, limit, inflate }
    }

    /// The buffer to read into. Bytes must only be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next item, `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the connection cannot go on.
    pub fn next_item(&mut self) -> Result<Option<Item>, FrameError> {
        loop {
            let mut head = Cursor::new(&self.buffer[..]);
            let parsed = FrameHeader::parse(&mut head).map_err(|_| FrameError::Protocol)?;
            let Some((header, length)) = parsed else { return Ok(None) };
            let head = usize::try_from(head.position()).map_err(|_| FrameError::Protocol)?;
            let length = self.check(&header, length)?;
            if self.buffer.len() - head < length {
                // A long message comes in many pieces: room for all of it at once.
                let missing = head + length - self.buffer.len();
                self.buffer.reserve(missing.min(1 << 20));
                return Ok(None);
            }
            self.buffer.advance(head);
            let payload = self.buffer.split_to(length);
            if let Some(item) = self.take(&header, payload)? {
                return Ok(Some(item));
            }
        }
    }

    fn check(&self, header: &FrameHeader, length: u64) -> Result<usize, FrameError> {
        let control = matches!(header.opcode, OpCode::Control(_));
        let first = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        let odd = header.mask.is_some() || header.rsv2 || header.rsv3;
        let compressed = header.rsv1 && !(first && self.inflate.is_some());
        if odd || compressed || (control && (length > MAX_CONTROL || !header.is_final)) {
            return Err(FrameError::Protocol);
        }
        let length = usize::try_from(length).map_err(|_| FrameError::TooLong(self.limit))?;
        let before = self.fragments.as_ref().filter(|_| !control).map_or(0, |(_, _, f)| f.len());
        if before.saturating_add(length) > self.limit.max(125) {
            return Err(FrameError::TooLong(self.limit));
        }
        Ok(length)
    }

    fn take(
        &mut self,
        header: &FrameHeader,
        payload: BytesMut,
    ) -> Result<Option<Item>, FrameError> {
        match header.opcode {
            OpCode::Control(Control::Close) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                let reason = payload.get(2..).unwrap_or_default();
                Ok(Some(Item::Close(code, String::from_utf8_lossy(reason).into_owned())))
            }
            OpCode::Control(Control::Ping) => Ok(Some(Item::Ping(payload.freeze()))),
            OpCode::Control(Control::Pong) => Ok(Some(Item::Pong)),
            OpCode::Data(kind @ (Data::Text | Data::Binary)) if self.fragments.is_none() => {
                let text = matches!(kind, Data::Text);
                if header.is_final {
                    return self.whole(text, header.rsv1, payload).map(Some);
                }
                self.fragments = Some((text, header.rsv1, payload));
                Ok(None)
            }
            OpCode::Data(Data::Continue) => {
                let (_, _, so_far) = self.fragments.as_mut().ok_or(FrameError::Protocol)?;
                so_far.extend_from_slice(&payload);
                match self.fragments.take_if(|_| header.is_final) {
                    Some((text, compressed, whole)) => {
                        self.whole(text, compressed, whole).map(Some)
                    }
                    None => Ok(None),
                }
            }
            _ => Err(FrameError::Protocol),
        }
    }

    fn whole(&mut self, text: bool, packed: bool, payload: BytesMut) -> Result<Item, FrameError> {
        let payload = if packed { self.unpack(payload)? } else { payload.freeze() };
        if !text {
            return Ok(Item::Binary(payload));
        }
        let text = String::from_utf8(payload.into()).map_err(|_| FrameError::Protocol)?;
        Ok(Item::Text(text))
    }

    fn unpack(&mut self, mut packed: BytesMut) -> Result<Bytes, FrameError> {
        let state = self.inflate.as_mut().ok_or(FrameError::Protocol)?;
        state.reset(DataFormat::Raw);
        packed.extend_from_slice(&TAIL);
        let (mut input, mut out) = (&packed[..], Vec::new());
        let mut piece = [0; 8192];
        loop {
            let done = inflate(state, input, &mut piece, MZFlush::Sync);
            input = input.get(done.bytes_consumed..).unwrap_or_default();
            if out.len() + done.bytes_written > self.limit {
                return Err(FrameError::TooLong(self.limit));
            }
            out.extend_from_slice(&piece[..done.bytes_written]);
            match done.status {
                Ok(MZStatus::StreamEnd) => break,
                Ok(_) if input.is_empty() && done.bytes_written < piece.len() => break,
                Ok(_) if done.bytes_consumed + done.bytes_written > 0 => {}
                // All of it was out when the last piece was full to the brim.
                _ if input.is_empty() && !out.is_empty() => break,
                _ => return Err(FrameError::Protocol),
            }
        }
        Ok(out.into())
    }
}

/// A text as one frame.
#[must_use]
pub fn text(text: &str) -> Bytes {
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

/// A binary message as one frame.
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    frame(OpCode::Data(Data::Binary), payload)
}

/// A ping.
#[must_use]
pub fn ping() -> Bytes {
    frame(OpCode::Control(Control::Ping), b"")
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame.
#[must_use]
pub fn close(code: u16) -> Bytes {
    frame(OpCode::Control(Control::Close), &code.to_be_bytes())
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut mask = [0; 4];
    // The mask keeps proxies from mistaking payload for requests; without randomness it is still one.
    let _weak = getrandom::fill(&mut mask);
    let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut out = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to memory cannot fail.
    let _infallible = header.format(length, &mut out);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Upgrade;
    use crate::websocket;

    fn request<'a>(headers: &'a [(String, String)]) -> Request<'a> {
        Request {
            host: "bot.test:8080",
            target: "/x?y=1",
            protocol: Some("audio.drachtio.org"),
            headers,
            deflate: true,
        }
    }

    #[test]
    fn our_own_server_understands_the_handshake_and_answers_it() {
        let headers = [("Authorization".to_owned(), "Bearer t".to_owned())];
        let (handshake, bytes) = Handshake::new(&request(&headers)).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains("\r\nAuthorization: Bearer t\r\n"), "{text}");
        assert!(text.contains("permessage-deflate"), "{text}");
        let upgrade = Upgrade::read(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
        assert_eq!(upgrade.path, "/x?y=1");
        let mut answer = BytesMut::from(upgrade.acceptance().as_bytes());
        answer.extend_from_slice(b"more");
        let whole = answer.clone();
        for cut in 0..whole.len() - 5 {
            assert_eq!(handshake.read(&mut BytesMut::from(&whole[..cut])), Ok(None), "{cut}");
        }
        let accepted = handshake.read(&mut answer).unwrap().unwrap();
        assert_eq!(accepted.protocol.as_deref(), Some("audio.drachtio.org"));
        assert_eq!((accepted.deflate, &answer[..]), (false, &b"more"[..]));
    }

    #[test]
    fn refusals_and_foreign_answers_are_told_apart() {
        let (handshake, _) = Handshake::new(&request(&[])).unwrap();
        let read = |text: &str| handshake.read(&mut BytesMut::from(text.as_bytes()));
        assert_eq!(read("HTTP/1.1 403 No\r\n\r\n"), Err(HandshakeError::Status(403)));
        assert_eq!(read("SIP/2.0 200 OK\r\n\r\n"), Err(HandshakeError::Answer));
        let wrong = "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
        assert_eq!(read(wrong), Err(HandshakeError::Answer));
        assert_eq!(read(&"x".repeat(MAX_HEAD)), Err(HandshakeError::Answer));
    }

    #[test]
    fn a_header_cannot_bring_another_one_with_it() {
        for (name, value) in [("A", "b\r\nC: d"), ("A\r\nB", "c"), ("A B", "c"), ("", "x")] {
            let headers = [(name.to_owned(), value.to_owned())];
            assert!(Handshake::new(&request(&headers)).is_err(), "{name:?}: {value:?}");
        }
    }

    fn read(limit: usize, deflate: bool, bytes: &[u8]) -> Result<Vec<Item>, FrameError> {
        let mut frames = Frames::new(BytesMut::new(), limit, deflate);
        let mut items = Vec::new();
        for piece in bytes.chunks(7) {
            frames.buffer().extend_from_slice(piece);
            while let Some(item) = frames.next_item()? {
                items.push(item);
            }
        }
        Ok(items)
    }

    #[test]
    fn texts_and_binaries_are_told_apart_and_fragments_join() {
        let mut bytes = websocket::message(b"hi").to_vec();
        bytes.extend([0x02, 1, 7, 0x00, 1, 8, 0x89, 1, b'p', 0x80, 1, 9]);
        bytes.extend(websocket::close(b"\x03\xe8bye"));
        let told = [
            Item::Text("hi".into()),
            Item::Ping(Bytes::from_static(b"p")),
            Item::Binary(Bytes::from_static(&[7, 8, 9])),
            Item::Close(1000, "bye".into()),
        ];
        assert_eq!(read(100, false, &bytes).unwrap(), told);
    }

    #[test]
    fn what_breaks_the_rules_ends_the_connection() {
        let masked = text("x");
        for bytes in [&masked[..], &[0xc1, 0], &[0x81, 1, 0xff], &[0x80, 0], &[0x83, 0]] {
            assert_eq!(read(100, false, bytes), Err(FrameError::Protocol), "{bytes:?}");
        }
        let long = websocket::message(&[b'a'; 200]);
        assert_eq!(read(150, false, &long), Err(FrameError::TooLong(150)));
    }

    #[test]
    fn compressed_messages_are_unpacked_and_bounded() {
        let packed = |plain: &[u8]| {
            let mut packed = miniz_oxide::deflate::compress_to_vec(plain, 6);
            // A final block needs no tail; a receiver must cope with both.
            let mut frame = vec![0xc1];
            match u8::try_from(packed.len()).ok().filter(|n| *n < 126) {
                Some(n) => frame.push(n),
                None => {
                    frame.push(126);
                    frame.extend((packed.len() as u16).to_be_bytes());
                }
            }
            frame.append(&mut packed);
            frame
        };
        // RFC 7692 §7.2.3.1: "Hello" twice, without context between them.
        let hello = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let twice = [hello, hello].concat();
        assert_eq!(
            read(100, true, &twice).unwrap(),
            [Item::Text("Hello".into()), Item::Text("Hello".into())]
        );
        let long = "sixteen bytes ok".repeat(4096);
        assert_eq!(
            read(1 << 20, true, &packed(long.as_bytes())).unwrap(),
            [Item::Text(long.clone())]
        );
        let bomb = packed(&vec![b'a'; 1 << 20]);
        assert_eq!(read(1 << 16, true, &bomb), Err(FrameError::TooLong(1 << 16)));
    }

    #[test]
    fn ours_are_masked_and_read_by_our_own_server() {
        let mut frames = websocket::Frames::new(100_000);
        frames.buffer().extend_from_slice(&text("hi"));
        frames.buffer().extend_from_slice(&binary(&[9; 70_000]));
        frames.buffer().extend_from_slice(&close(1000));
        let next = |frames: &mut websocket::Frames| frames.next_item().unwrap().unwrap();
        assert_eq!(next(&mut frames), websocket::Item::Message(Bytes::from_static(b"hi")));
        assert_eq!(next(&mut frames), websocket::Item::Message(Bytes::from(vec![9; 70_000])));
        assert_eq!(next(&mut frames), websocket::Item::Close(Bytes::from_static(&[3, 0xe8])));
    }
}
