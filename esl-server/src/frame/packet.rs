//! Client to server: a command line, headers, perhaps a body.

use bytes::{Bytes, BytesMut};

use super::lines::{self, BlockEnd};
use super::{FrameError, MAX_BLOCK, MAX_PACKET_BODY, MAX_UNAUTHENTICATED};
use crate::event::Headers;

/// What a client sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The first line, not trimmed.
    pub command: String,
    /// The lines after it.
    pub headers: Headers,
    /// The body, up to its first NUL.
    pub body: Option<Bytes>,
    /// The whole header block without its empty line; what `sendmsg` shows as `Command`.
    pub block: String,
}

/// Cuts a stream of bytes into [`Packet`]s.
///
/// Feed it with [`PacketDecoder::push`], then call [`PacketDecoder::next`] until it gives `None`.
#[derive(Debug)]
pub struct PacketDecoder {
    buffer: BytesMut,
    end: BlockEnd,
    pending: Option<Pending>,
    authenticated: bool,
    /// Why the stream cannot be read further.
    broken: Option<FrameError>,
}

/// A packet whose body is still arriving.
#[derive(Debug)]
struct Pending {
    packet: Packet,
    length: usize,
}

impl Default for PacketDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketDecoder {
    /// A decoder at the start of a stream, with the limits for clients that have not logged in.
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            end: BlockEnd::default(),
            pending: None,
            authenticated: false,
            broken: None,
        }
    }

    /// Lifts the limits for clients that have not logged in.
    pub const fn authenticated(&mut self) {
        self.authenticated = true;
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The buffer itself, for reading into without a copy.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether part of a packet has arrived.
    pub fn is_partial(&self) -> bool {
        self.pending.is_some() || self.buffer.iter().any(|b| !matches!(b, b'\r' | b'\n'))
    }

    /// The next complete packet.
    ///
    /// # Errors
    /// A packet over the limits in force; the stream cannot be read further.
    #[allow(clippy::should_implement_trait, reason = "more bytes may follow a None")]
    pub fn next(&mut self) -> Result<Option<Packet>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let next = self.decode();
        if let Err(error) = next {
            // What follows cannot be told from what was announced; nothing of it is kept or read.
            self.broken = Some(error);
            self.buffer = BytesMut::new();
        }
        next
    }

    fn decode(&mut self) -> Result<Option<Packet>, FrameError> {
        if self.pending.is_none() {
            lines::skip_line_ends(&mut self.buffer);
            let Some(block) = self.take_block()? else {
                return Ok(None);
            };
            self.begin(&block)?;
        }
        Ok(self.finish())
    }

    fn take_block(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let limit = if self.authenticated { MAX_BLOCK } else { MAX_UNAUTHENTICATED };
        match self.end.find(&self.buffer) {
            Some(len) if len <= limit || self.authenticated => Ok(Some(self.buffer.split_to(len))),
            None if self.buffer.len() <= limit => Ok(None),
            // Too long without an empty line: the reference takes what is there for a packet.
            None if self.authenticated => {
                self.end.reset();
                Ok(Some(self.buffer.split()))
            }
            _ => Err(FrameError::BlockTooLong { limit }),
        }
    }

    fn begin(&mut self, block: &[u8]) -> Result<(), FrameError> {
        let packet = parse(block);
        // A client that sends the length twice means one body (the reference waits for a second).
        let announced =
            packet.headers.get("Content-Length").map_or(0, |value| lines::length(&value));
        let limit = if self.authenticated { MAX_PACKET_BODY } else { MAX_UNAUTHENTICATED };
        let length = usize::try_from(announced).ok().filter(|&n| n <= limit);
        let length = length.ok_or(FrameError::BodyTooLong { announced, limit })?;
        self.pending = Some(Pending { packet, length });
        Ok(())
    }

    fn finish(&mut self) -> Option<Packet> {
        let Pending { mut packet, length } =
            self.pending.take_if(|p| self.buffer.len() >= p.length)?;
        if length > 0 {
            let mut body = self.buffer.split_to(length).freeze();
            if let Some(nul) = memchr::memchr(0, &body) {
                body.truncate(nul);
            }
            packet.body = Some(body);
        }
        Some(packet)
    }
}

fn parse(block: &[u8]) -> Packet {
    let end = block.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let block = block.get(..end).unwrap_or_default();
    let mut lines = lines::lines(block);
    let command = lines.next().map(lines::text).unwrap_or_default().into_owned();
    let mut packet =
        Packet { command, block: lines::text(block).into_owned(), ..Packet::default() };
    for (name, value) in lines.filter_map(lines::header) {
        let (name, value) = (lines::text(name).into_owned(), lines::text(value));
        if name.eq_ignore_ascii_case("_body") {
            packet.body = Some(Bytes::from(value.into_owned()));
        } else {
            packet.headers.push(name, value);
        }
    }
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Packet> {
        let mut decoder = PacketDecoder::new();
        decoder.authenticated();
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.next().unwrap()).collect()
    }

    #[test]
    fn commands_come_with_either_line_end_and_stray_ones_before() {
        let packets = decode(b"\n\r\nEVENT PLAIN heartbeat\r\n\r\napi status\n\n\n  api x\n\n");
        let commands: Vec<_> = packets.iter().map(|p| p.command.as_str()).collect();
        assert_eq!(commands, ["EVENT PLAIN heartbeat", "api status", "  api x"]);
    }

    #[test]
    fn header_rules() {
        let packets =
            decode(b"sendmsg u1\nA:1\na:   2 \nno colon\nB: x\nb:\nC[1]: y\nD: ARRAY::p|:q\n\n");
        let headers: Vec<_> =
            packets[0].headers.iter().map(|h| format!("{}={}", h.name, h.value)).collect();
        assert_eq!(headers, ["A=1", "a=2 ", "C=ARRAY::|:y", "D=ARRAY::p|:q"]);
        assert_eq!(packets[0].command, "sendmsg u1");
    }

    #[test]
    fn bodies_are_counted_in_bytes_and_cut_at_nul() {
        let packets = decode("sendevent CUSTOM\ncontent-length: 4\n\nøx\0api a\n\n".as_bytes());
        assert_eq!(packets[0].body.as_deref(), Some("øx".as_bytes()));
        assert_eq!(packets[1].command, "api a");
        assert_eq!(decode(b"x\nContent-Length: 0\n\n")[0].body, None);
        assert_eq!(decode(b"x\n_body: hi\n\n")[0].body.as_deref(), Some(&b"hi"[..]));
    }

    #[test]
    fn before_login_only_small_packets_are_taken() {
        let mut decoder = PacketDecoder::new();
        decoder.push(&vec![b'a'; MAX_UNAUTHENTICATED + 1]);
        assert_eq!(decoder.next(), Err(FrameError::BlockTooLong { limit: MAX_UNAUTHENTICATED }));
        let mut decoder = PacketDecoder::new();
        decoder.push(b"auth x\nContent-Length: 1000000\n\n");
        assert!(matches!(
            decoder.next(),
            Err(FrameError::BodyTooLong { announced: 1_000_000, .. })
        ));
    }

    #[test]
    fn nothing_behind_an_oversized_body_is_taken_for_a_packet() {
        for (authenticated, length) in [(true, "10485761"), (false, "4097")] {
            let mut decoder = PacketDecoder::new();
            if authenticated {
                decoder.authenticated();
            }
            decoder.push(format!("api x\nContent-Length: {length}\n\nAuth Clue").as_bytes());
            let error = decoder.next();
            assert!(matches!(error, Err(FrameError::BodyTooLong { .. })));
            decoder.push(b"Con\n\napi status\n\n");
            assert_eq!(decoder.next(), error);
            assert!(!decoder.is_partial(), "nothing is kept");
        }
    }

    #[test]
    fn a_block_without_an_end_becomes_a_packet_at_the_limit() {
        let mut decoder = PacketDecoder::new();
        decoder.authenticated();
        decoder.push(&vec![b'a'; MAX_BLOCK]);
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(b"b");
        assert_eq!(decoder.next().unwrap().unwrap().command.len(), MAX_BLOCK + 1);
        assert!(!decoder.is_partial());
    }

    proptest! {
        #[test]
        fn any_bytes_split_anywhere_give_the_same_packets(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(0), any::<u8>()], 0..200),
            cut in 0usize..200,
        ) {
            let mut whole = PacketDecoder::new();
            whole.authenticated();
            whole.push(&bytes);
            let mut once = Vec::new();
            while let Ok(Some(packet)) = whole.next() { once.push(packet); }
            let mut split = PacketDecoder::new();
            split.authenticated();
            let mut twice = Vec::new();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            for part in [a, b] {
                split.push(part);
                while let Ok(Some(packet)) = split.next() { twice.push(packet); }
            }
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn well_formed_packets_survive(
            command in "[a-z]{1,8}( [a-zA-Z0-9:]{1,8}){0,3}",
            headers in proptest::collection::vec(("[A-Za-z-]{1,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..8),
            body in proptest::option::of("[ -~\n]{1,60}"),
        ) {
            let mut wire = format!("{command}\n");
            let mut expected = Headers::new();
            for (name, value) in &headers {
                if name.eq_ignore_ascii_case("content-length") || name == "_body" { continue; }
                wire += &format!("{name}: {value}\n");
                expected.push(name.clone(), value.as_str());
            }
            if let Some(body) = &body {
                wire += &format!("Content-Length: {}\n", body.len());
                expected.push("Content-Length", body.len());
            }
            wire += "\n";
            wire += body.as_deref().unwrap_or("");
            let packets = decode(wire.as_bytes());
            prop_assert_eq!(packets.len(), 1);
            prop_assert_eq!(&packets[0].command, &command);
            prop_assert_eq!(&packets[0].headers, &expected);
            prop_assert_eq!(packets[0].body.as_deref(), body.as_ref().map(String::as_bytes));
        }
    }
}
