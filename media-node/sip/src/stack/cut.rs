//! How messages stand on a connection: one after another (TCP, TLS), or each in a WebSocket message of its own (RFC 7118).

use std::io;

use bytes::{Bytes, BytesMut};
use streams::websocket::{self, Frames, Item};

use crate::message::{Frame, MessageLimits, StreamFramer};

/// Cuts messages out of what was read, and wraps those to be written.
pub(super) enum Cutter {
    Stream(StreamFramer),
    WebSocket(Frames),
}

/// What was cut out.
pub(super) enum Cut {
    Message(Bytes),
    /// To be written back, as it is.
    Answer(Bytes),
    /// To be written back; nothing follows.
    Last(Bytes),
    /// A sign of life, and nothing else.
    Nothing,
}

impl Cutter {
    pub(super) fn new(limits: MessageLimits, websocket: bool) -> Self {
        match websocket {
            true => Self::WebSocket(Frames::new(limits.bytes)),
            false => Self::Stream(StreamFramer::new(limits)),
        }
    }

    /// The buffer to read into. Bytes must only be appended.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Stream(framer) => framer.buffer(),
            Self::WebSocket(frames) => frames.buffer(),
        }
    }

    /// Room taken, bytes.
    pub(super) fn held(&mut self) -> usize {
        match self {
            Self::Stream(framer) => framer.held(),
            Self::WebSocket(frames) => frames.held(),
        }
    }

    /// Has a message begun that is not whole?
    pub(super) fn is_partial(&self) -> bool {
        match self {
            Self::Stream(framer) => framer.is_partial(),
            Self::WebSocket(frames) => frames.is_partial(),
        }
    }

    /// The next cut, `None` when more bytes are needed.
    pub(super) fn next_cut(&mut self) -> io::Result<Option<Cut>> {
        match self {
            Self::Stream(framer) => {
                let frame = framer.next_frame().map_err(io::Error::other)?;
                Ok(frame.map(|frame| match frame {
                    Frame::Message(bytes) => Cut::Message(bytes),
                    Frame::Ping => Cut::Answer(Bytes::from_static(b"\r\n")),
                }))
            }
            Self::WebSocket(frames) => {
                let item = frames.next_item().map_err(io::Error::other)?;
                Ok(item.map(|item| match item {
                    // A keep-alive (RFC 7118 §6). The reference does not answer it.
                    Item::Message(bytes) if is_blank(&bytes) => Cut::Nothing,
                    Item::Message(bytes) => Cut::Message(bytes),
                    Item::Ping(payload) => Cut::Answer(websocket::pong(&payload)),
                    Item::Pong => Cut::Nothing,
                    Item::Close(payload) => Cut::Last(websocket::close(&payload)),
                }))
            }
        }
    }

    /// A message as it is written.
    pub(super) fn wrap(&self, message: Bytes) -> Bytes {
        match self {
            Self::Stream(_) => message,
            Self::WebSocket(_) => websocket::message(&message),
        }
    }

    /// What asks a silent peer for a sign of life, where every peer answers that.
    pub(super) fn ping(&self) -> Option<Bytes> {
        matches!(self, Self::WebSocket(_)).then(websocket::ping)
    }

    /// What tells the peer why the connection ends.
    pub(super) fn farewell(&self, error: &io::Error) -> Option<Bytes> {
        let Self::WebSocket(_) = self else { return None };
        let error = error.get_ref()?.downcast_ref::<websocket::FrameError>()?;
        Some(websocket::close_with(error.code()))
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(bytes: &[u8]) -> Vec<String> {
        let mut cutter = Cutter::new(MessageLimits::default(), true);
        cutter.buffer().extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(cut) = cutter.next_cut().unwrap() {
            out.push(match cut {
                Cut::Message(bytes) => format!("message {}", bytes.len()),
                Cut::Answer(bytes) => format!("answer {:x?}", &bytes[..]),
                Cut::Last(bytes) => format!("last {:x?}", &bytes[..]),
                Cut::Nothing => "nothing".to_owned(),
            });
        }
        out
    }

    #[test]
    fn over_websocket_blank_messages_are_signs_of_life() {
        let masked = |first: u8, text: &[u8]| {
            let mut frame = vec![first, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
            frame.extend(text);
            frame
        };
        let bytes = [
            masked(0x81, b"\r\n\r\n"),
            masked(0x81, b"OPTIONS"),
            masked(0x89, b"x"),
            masked(0x8a, b""),
            masked(0x88, b""),
        ];
        assert_eq!(
            cuts(&bytes.concat()),
            ["nothing", "message 7", "answer [8a, 1, 78]", "nothing", "last [88, 0]"]
        );
    }
}
