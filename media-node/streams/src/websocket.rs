//! WebSocket frames (RFC 6455) on the server's side: bytes in, messages out, without extensions.
//!
//! Headers are read and written by `tungstenite`; messages are put together here, so that what a peer may make us keep has
//! the same bound as on any other stream.

use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Payload of a control frame at most (RFC 6455 §5.5).
const MAX_CONTROL: u64 = 125;

/// Why a connection cannot go on. The codes are those of RFC 6455 §7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A frame that breaks the rules: unknown type, extension bits, no mask, a fragment out of place.
    #[error("WebSocket frame against the protocol")]
    Protocol,
    /// A message longer than allowed, in one frame or in fragments.
    #[error("WebSocket message longer than {0} bytes")]
    TooLong(usize),
}

impl FrameError {
    /// The status code of the close frame that tells the peer.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::TooLong(_) => 1009,
        }
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message, text or binary alike.
    Message(Bytes),
    /// To be answered by [`pong`] with the same payload.
    Ping(Bytes),
    /// The answer to a ping of ours.
    Pong,
    /// The peer ends the connection; to be answered by [`close`] with the same payload.
    Close(Bytes),
}

/// Collects bytes of a connection and hands out messages.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    /// Fragments of an unfinished message; `None` between messages.
    fragments: Option<BytesMut>,
    limit: usize,
}

impl Frames {
    /// For messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), fragments: None, limit }
    }

    /// The buffer to read into. Bytes must only be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Room taken, bytes. An empty buffer is given back.
    pub fn held(&mut self) -> usize {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        self.buffer.capacity() + self.fragments.as_ref().map_or(0, BytesMut::capacity)
    }

    /// Has a frame or a message begun that is not whole?
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty() || self.fragments.is_some()
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
                return Ok(None);
            }
            self.buffer.advance(head);
            let mut payload = self.buffer.split_to(length);
            unmask(&mut payload, header.mask.ok_or(FrameError::Protocol)?);
            if let Some(item) = self.take(header, payload)? {
                return Ok(Some(item));
            }
        }
    }

    /// Checks a header before anything of its payload is waited for; gives the payload's length.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<usize, FrameError> {
        let control = matches!(header.opcode, OpCode::Control(_));
        // Only masked frames may come from clients (§5.1); no extension was agreed on.
        let odd = header.mask.is_none() || header.rsv1 || header.rsv2 || header.rsv3;
        if odd || (control && (length > MAX_CONTROL || !header.is_final)) {
            return Err(FrameError::Protocol);
        }
        let length = usize::try_from(length).map_err(|_| FrameError::TooLong(self.limit))?;
        let before = self.fragments.as_ref().filter(|_| !control).map_or(0, BytesMut::len);
        if before.saturating_add(length) > self.limit.max(125) {
            return Err(FrameError::TooLong(self.limit));
        }
        Ok(length)
    }

    fn take(&mut self, header: FrameHeader, payload: BytesMut) -> Result<Option<Item>, FrameError> {
        match header.opcode {
            OpCode::Control(Control::Close) => Ok(Some(Item::Close(payload.freeze()))),
            OpCode::Control(Control::Ping) => Ok(Some(Item::Ping(payload.freeze()))),
            OpCode::Control(Control::Pong) => Ok(Some(Item::Pong)),
            OpCode::Data(Data::Text | Data::Binary) if self.fragments.is_none() => {
                if header.is_final {
                    return Ok(Some(Item::Message(payload.freeze())));
                }
                self.fragments = Some(payload);
                Ok(None)
            }
            OpCode::Data(Data::Continue) => {
                let fragments = self.fragments.as_mut().ok_or(FrameError::Protocol)?;
                fragments.extend_from_slice(&payload);
                let whole = self.fragments.take_if(|_| header.is_final);
                Ok(whole.map(|whole| Item::Message(whole.freeze())))
            }
            _ => Err(FrameError::Protocol),
        }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A message as one frame: text where it is UTF-8, as what browsers are sent usually is.
#[must_use]
pub fn message(payload: &[u8]) -> Bytes {
    let kind = if std::str::from_utf8(payload).is_ok() { Data::Text } else { Data::Binary };
    frame(OpCode::Data(kind), payload)
}

/// A ping; the peer answers with a pong, which shows that it is still there.
#[must_use]
pub fn ping() -> Bytes {
    frame(OpCode::Control(Control::Ping), b"")
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// The answer to a close frame.
#[must_use]
pub fn close(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Close), payload)
}

/// A close frame of our own.
#[must_use]
pub fn close_with(code: u16) -> Bytes {
    close(&code.to_be_bytes())
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut out = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to memory cannot fail.
    let _infallible = header.format(length, &mut out);
    out.extend_from_slice(payload);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first];
        match u8::try_from(payload.len()).ok().filter(|n| *n < 126) {
            Some(length) => out.push(0x80 | length),
            None => {
                out.push(0x80 | 126);
                out.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    fn read(limit: usize, bytes: &[u8], step: usize) -> Result<Vec<Item>, FrameError> {
        let mut frames = Frames::new(limit);
        let mut items = Vec::new();
        for piece in bytes.chunks(step) {
            frames.buffer().extend_from_slice(piece);
            while let Some(item) = frames.next_item()? {
                items.push(item);
            }
        }
        Ok(items)
    }

    #[test]
    fn fragments_join_and_what_comes_between_is_told_first() {
        let mut bytes = masked(0x01, b"one ");
        bytes.extend(masked(0x89, b"there?"));
        bytes.extend(masked(0x00, b"two "));
        bytes.extend(masked(0x80, b"three"));
        bytes.extend(masked(0x82, &[b'x'; 300]));
        bytes.extend(masked(0x88, b"\x03\xe8bye"));
        let told = [
            Item::Ping(Bytes::from_static(b"there?")),
            Item::Message(Bytes::from_static(b"one two three")),
            Item::Message(Bytes::from(vec![b'x'; 300])),
            Item::Close(Bytes::from_static(b"\x03\xe8bye")),
        ];
        for step in [1, 7, bytes.len()] {
            assert_eq!(read(1000, &bytes, step).unwrap(), told);
        }
    }

    #[test]
    fn what_breaks_the_rules_ends_the_connection() {
        let unmasked = [0x81, 2, b'h', b'i'];
        let long_control = masked(0x89, &[0; 126]);
        let mut twice = masked(0x01, b"a");
        twice.extend(masked(0x81, b"b"));
        for bytes in [
            &unmasked[..],
            &long_control,
            &masked(0x80, b"lone"),
            &masked(0xc1, b"x"),
            &masked(0x83, b""),
            &twice,
        ] {
            assert_eq!(read(1000, bytes, 1), Err(FrameError::Protocol), "{bytes:?}");
        }
    }

    #[test]
    fn a_claimed_length_is_refused_before_it_is_waited_for() {
        let claims = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        assert_eq!(read(1000, &claims, 14), Err(FrameError::TooLong(1000)));
        let mut pieces = masked(0x02, &[0; 600]);
        pieces.extend(masked(0x80, &[0; 600]));
        assert_eq!(read(1000, &pieces, 100), Err(FrameError::TooLong(1000)));
    }

    #[test]
    fn ours_are_not_masked_and_text_where_they_can_be() {
        assert_eq!(&message(b"hi")[..], [0x81, 2, b'h', b'i']);
        assert_eq!(&message(b"\xff")[..], [0x82, 1, 0xff]);
        assert_eq!(&close_with(1009)[..], [0x88, 2, 3, 0xf1]);
        assert_eq!(message(&[b'a'; 70_000]).len(), 70_010);
    }
}
