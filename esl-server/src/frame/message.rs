//! Server to client: a header block, perhaps a body.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::lines::{self, BlockEnd};
use super::{FrameError, MAX_BLOCK, MAX_MESSAGE_BODY};
use crate::event::{Headers, url_decode};

/// What a server sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The header block, values as they were sent.
    pub headers: Headers,
    /// The body; empty when there is none.
    pub body: Bytes,
}

impl Message {
    /// `Content-Type`, or empty.
    pub fn content_type(&self) -> Cow<'_, str> {
        self.headers.get("Content-Type").unwrap_or_default()
    }

    /// `Reply-Text`, or empty. Encoded in the reply to `connect`.
    pub fn reply_text(&self) -> Cow<'_, str> {
        self.headers.get("Reply-Text").unwrap_or_default()
    }

    /// Whether this answers a command.
    pub fn is_reply(&self) -> bool {
        matches!(self.content_type().as_ref(), "command/reply" | "api/response")
    }

    /// The body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The headers and body of the plain event this carries, decoded. The reply to `connect` is
    /// itself such a block.
    pub fn plain_event(&self) -> (Headers, Bytes) {
        if self.content_type() != "text/event-plain" {
            return (decoded(&self.headers), self.body.clone());
        }
        // The envelope counted the bytes, so whatever follows the empty line is the body.
        let end = BlockEnd::default().find(&self.body).unwrap_or(self.body.len());
        let (block, body) = self.body.split_at_checked(end).unwrap_or((&self.body, &[]));
        (decoded(&parse(block)), self.body.slice_ref(body))
    }
}

fn decoded(headers: &Headers) -> Headers {
    let mut out = Headers::new();
    for header in headers {
        let value = url_decode(header.value.text().as_bytes());
        out.push(header.name.clone(), String::from_utf8_lossy(&value));
    }
    out
}

/// Cuts a stream of bytes into [`Message`]s.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    end: BlockEnd,
    pending: Option<(Headers, usize)>,
    /// Why the stream cannot be read further.
    broken: Option<FrameError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete message.
    ///
    /// # Errors
    /// A block or body over the limits; the stream cannot be read further.
    #[allow(clippy::should_implement_trait, reason = "more bytes may follow a None")]
    pub fn next(&mut self) -> Result<Option<Message>, FrameError> {
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

    fn decode(&mut self) -> Result<Option<Message>, FrameError> {
        if self.pending.is_none() {
            lines::skip_line_ends(&mut self.buffer);
            let Some(len) = self.end.find(&self.buffer) else {
                if self.buffer.len() > MAX_BLOCK {
                    return Err(FrameError::BlockTooLong { limit: MAX_BLOCK });
                }
                return Ok(None);
            };
            let headers = parse(&self.buffer.split_to(len));
            let announced = headers.get("Content-Length").map_or(0, |value| lines::length(&value));
            let limit = MAX_MESSAGE_BODY;
            let length = usize::try_from(announced).ok().filter(|&n| n <= limit);
            self.pending =
                Some((headers, length.ok_or(FrameError::BodyTooLong { announced, limit })?));
        }
        let Some((headers, length)) =
            self.pending.take_if(|(_, length)| self.buffer.len() >= *length)
        else {
            return Ok(None);
        };
        Ok(Some(Message { headers, body: self.buffer.split_to(length).freeze() }))
    }
}

fn parse(block: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines::lines(block).filter_map(lines::header) {
        headers.push(lines::text(name).into_owned(), lines::text(value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{Event, EventName, Format, Vars};

    fn decode(bytes: &[u8]) -> Vec<Message> {
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.next().unwrap()).collect()
    }

    #[test]
    fn messages_follow_each_other_without_anything_between() {
        let messages = decode(
            b"Content-Type: auth/request\n\nContent-Type: api/response\nContent-Length: 3\n\nhi\n\
              Content-Type: command/reply\nReply-Text: +OK\n\n",
        );
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[0].content_type(), "auth/request");
        assert_eq!(messages[1].text(), "hi\n");
        assert_eq!(messages[2].reply_text(), "+OK");
        assert!(messages[2].is_reply() && !messages[0].is_reply());
    }

    #[test]
    fn a_claimed_length_reserves_nothing_and_has_a_limit() {
        let mut decoder = Decoder::new();
        decoder.push(b"Content-Length: 200000000\n\nx");
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 1 << 20);
        let mut decoder = Decoder::new();
        decoder.push(b"Content-Length: 99999999999999999999999\n\n");
        let error = decoder.next();
        assert!(matches!(error, Err(FrameError::BodyTooLong { .. })));
        decoder.push(b"Content-Type: command/reply\n\n");
        assert_eq!(decoder.next(), error);
    }

    proptest! {
        #[test]
        fn any_bytes_split_anywhere_give_the_same_messages(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..200),
            cut in 0usize..200,
        ) {
            let mut whole = Decoder::new();
            whole.push(&bytes);
            let mut once = Vec::new();
            while let Ok(Some(message)) = whole.next() { once.push(message); }
            let mut split = Decoder::new();
            let mut twice = Vec::new();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            for part in [a, b] {
                split.push(part);
                while let Ok(Some(message)) = split.next() { twice.push(message); }
            }
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn an_event_survives_the_plain_form(
            own in proptest::collection::vec(("X-[A-Za-z]{1,9}", "[^%]{1,20}"), 0..6),
            vars in proptest::collection::vec(("[a-z]{1,9}", "[^%]{1,20}"), 0..6),
            body in proptest::option::of("[^%]{1,40}"),
        ) {
            let mut event = Event::new(EventName::General);
            for (name, value) in &own { event.push(name.clone(), value.as_str()); }
            let vars: Vars = vars.iter().map(|(n, v)| (n.clone(), v.as_str())).collect();
            event.push_vars("variable_", Arc::new(vars));
            if let Some(body) = &body { event.set_body(body.clone()); }
            let messages = decode(&event.message(Format::Plain));
            prop_assert_eq!(messages.len(), 1);
            let (mut headers, got) = messages[0].plain_event();
            headers.remove("Content-Length");
            let mut expected = Vec::new();
            event.for_each_header(|name, value| expected.push((name.to_owned(), value.text().into_owned())));
            let seen: Vec<_> = headers.iter().map(|h| (h.name.to_string(), h.value.text().into_owned())).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(&got[..], body.as_deref().unwrap_or("").as_bytes());
        }
    }
}
