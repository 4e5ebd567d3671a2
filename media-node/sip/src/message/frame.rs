//! Cutting messages out of a byte stream (TCP, TLS): RFC 3261 §18.3, with the keep-alives of RFC 5626.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::name::Name;
use super::parse::{MessageLimits, head_length};

/// The stream cannot be continued: where the next message starts is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A message or its headers exceed [`MessageLimits::bytes`].
    #[error("message on a stream longer than {0} bytes")]
    TooLong(usize),
    /// `Content-Length` is missing, repeated or not a number.
    #[error("no usable Content-Length on a stream")]
    ContentLength,
}

/// What came out of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Bytes),
    /// A double CRLF: the peer wants a single CRLF back (RFC 5626 §3.5.1).
    Ping,
}

/// Collects stream bytes and hands out whole messages.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: BytesMut,
    limits: MessageLimits,
    /// Bytes already searched for the end of headers, so that a slow sender costs linear time.
    searched: usize,
    /// Length of the message whose headers are there, for the same reason.
    whole: Option<usize>,
}

impl StreamFramer {
    /// An empty framer.
    pub fn new(limits: MessageLimits) -> Self {
        Self { buffer: BytesMut::new(), limits, searched: 0, whole: None }
    }

    /// The buffer to read into. Bytes must only be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Room the buffer takes, bytes. An empty one is given back.
    pub fn held(&mut self) -> usize {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        self.buffer.capacity()
    }

    /// Has a message begun that is not whole?
    pub fn is_partial(&self) -> bool {
        self.buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// The next frame, `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(length) = self.whole {
            return Ok(self.take_message(length));
        }
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.buffer.advance(4);
            return Ok(Some(Frame::Ping));
        }
        // A lone CRLF may be a pong or half a ping; wait for the byte that decides.
        while self.buffer.len() > 2
            && self.buffer.starts_with(b"\r\n")
            && !self.buffer.starts_with(b"\r\n\r")
        {
            self.buffer.advance(2);
        }
        if self.buffer.starts_with(b"\r\n") || self.buffer.is_empty() {
            return Ok(None);
        }
        let from = self.searched.saturating_sub(3);
        let Some(head) = self.buffer.get(from..).and_then(head_length).map(|n| n + from) else {
            self.searched = self.buffer.len();
            return self.check_size(self.buffer.len()).map(|()| None);
        };
        let length = head.saturating_add(content_length(self.buffer.get(..head).unwrap_or(&[]))?);
        self.check_size(length)?;
        self.whole = Some(length);
        Ok(self.take_message(length))
    }

    fn take_message(&mut self, length: usize) -> Option<Frame> {
        if self.buffer.len() < length {
            return None;
        }
        (self.searched, self.whole) = (0, None);
        Some(Frame::Message(self.buffer.split_to(length).freeze()))
    }

    fn check_size(&self, length: usize) -> Result<(), FrameError> {
        if length > self.limits.bytes {
            Err(FrameError::TooLong(self.limits.bytes))
        } else {
            Ok(())
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut found = None;
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let is_length = std::str::from_utf8(name)
            .is_ok_and(|n| Name::recognise(n.trim_end_matches([' ', '\t'])) == Name::ContentLength);
        if !is_length {
            continue;
        }
        let value = std::str::from_utf8(value.get(1..).unwrap_or(&[]))
            .map_err(|_| FrameError::ContentLength)?;
        let value = value.trim_matches([' ', '\t', '\r']);
        if found.is_some() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(FrameError::ContentLength);
        }
        found = Some(value.parse().map_err(|_| FrameError::ContentLength)?);
    }
    found.ok_or(FrameError::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(framer: &mut StreamFramer, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        framer.buffer().extend_from_slice(bytes);
        framer.next_frame()
    }

    #[test]
    fn a_message_in_single_bytes_comes_out_whole() {
        let message = b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc";
        let mut framer = StreamFramer::new(MessageLimits::default());
        let (last, rest) = message.split_last().unwrap();
        for byte in rest {
            assert_eq!(feed(&mut framer, &[*byte]), Ok(None));
        }
        assert_eq!(
            feed(&mut framer, &[*last]),
            Ok(Some(Frame::Message(Bytes::from_static(message))))
        );
        assert_eq!(framer.next_frame(), Ok(None));
    }

    #[test]
    fn double_crlf_is_a_ping_and_single_crlf_is_nothing() {
        let mut framer = StreamFramer::new(MessageLimits::default());
        assert_eq!(feed(&mut framer, b"\r\n\r\n"), Ok(Some(Frame::Ping)));
        assert_eq!(feed(&mut framer, b"\r\n"), Ok(None));
        let message = b"A sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            feed(&mut framer, message),
            Ok(Some(Frame::Message(Bytes::from_static(message))))
        );
    }

    #[test]
    fn a_claimed_length_never_sizes_anything() {
        let mut framer = StreamFramer::new(MessageLimits { bytes: 100, headers: 10 });
        assert_eq!(
            feed(&mut framer, b"A sip:a SIP/2.0\r\nl: 999999\r\n\r\n"),
            Err(FrameError::TooLong(100))
        );
        let mut framer = StreamFramer::new(MessageLimits { bytes: 100, headers: 10 });
        assert_eq!(feed(&mut framer, &[b'x'; 101]), Err(FrameError::TooLong(100)));
        let mut framer = StreamFramer::new(MessageLimits::default());
        assert_eq!(
            feed(&mut framer, b"A sip:a SIP/2.0\r\nTo: x\r\n\r\n"),
            Err(FrameError::ContentLength)
        );
    }
}
