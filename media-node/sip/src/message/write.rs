//! Messages to bytes, headers in the order the reference writes them.

use bytes::Bytes;

use super::headers::Headers;
use super::name::Name;
use super::{Request, Response};

impl Request {
    /// The wire form. Headers are written in [`Name`] order, unknown ones last; `Content-Length` is
    /// always that of the body.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(room(
            self.method.as_str().len() + self.uri.as_str().len() + " SIP/2.0\r\n".len() + 1,
            &self.headers,
            &self.body,
        ));
        for part in [self.method.as_str(), " ", self.uri.as_str(), " SIP/2.0\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        finish(out, &self.headers, &self.body)
    }
}

impl Response {
    /// The wire form; see [`Request::to_bytes`].
    pub fn to_bytes(&self) -> Bytes {
        let line = "SIP/2.0 200 \r\n".len() + self.reason.len();
        let mut out = Vec::with_capacity(room(line, &self.headers, &self.body));
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(&mut out, usize::from(self.status));
        out.push(b' ');
        out.extend(self.reason.bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        out.extend_from_slice(b"\r\n");
        finish(out, &self.headers, &self.body)
    }
}

/// Bytes of a whole message: what is sent is often kept for repetition, some of it as long as the call lasts.
fn room(start_line: usize, headers: &Headers, body: &Bytes) -> usize {
    let lines = headers
        .iter()
        .filter(|header| header.name != Name::ContentLength)
        .map(|header| header.text.len() + header.value.len() + ": \r\n".len());
    let digits = body.len().checked_ilog10().unwrap_or(0) as usize + 1;
    let length = "Content-Length: \r\n".len() + digits;
    start_line + lines.sum::<usize>() + length + "\r\n".len() + body.len()
}

fn finish(mut out: Vec<u8>, headers: &Headers, body: &Bytes) -> Bytes {
    let mut length_written = false;
    for index in headers.wire_order() {
        let Some(header) = headers.at(usize::from(index)) else { continue };
        if header.name == Name::ContentLength {
            continue;
        }
        if header.name == Name::Other && !length_written {
            push_length(&mut out, body.len());
            length_written = true;
        }
        for part in [header.text, ": ", header.value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if !length_written {
        push_length(&mut out, body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    while at > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;
    use crate::uri::Uri;

    #[test]
    fn headers_come_out_in_the_recorded_order() {
        let mut request = Request::new(Method::Bye, Uri::parse("sip:a@h").unwrap());
        request.headers.push_text("X-Last", "1");
        request.headers.push(Name::Reason, "Q.850;cause=16");
        request.headers.push(Name::From, "<sip:b@h>");
        request.headers.push(Name::Via, "SIP/2.0/UDP h");
        request.body = Bytes::from_static(b"hello");
        let expected = "BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:b@h>\r\n\
            Reason: Q.850;cause=16\r\nContent-Length: 5\r\nX-Last: 1\r\n\r\nhello";
        assert_eq!(request.to_bytes(), expected.as_bytes());
    }

    #[test]
    fn a_message_is_written_into_room_of_its_own_size() {
        let mut request = Request::new(Method::Bye, Uri::parse("sip:a@h").unwrap());
        request.headers.push_text("X-Last", "1");
        request.headers.push_text("Content-Length", "77");
        for body in ["", "123456789", "1234567890"] {
            request.body = Bytes::from_static(body.as_bytes());
            let line = "BYE sip:a@h SIP/2.0\r\n".len();
            assert_eq!(request.to_bytes().len(), room(line, &request.headers, &request.body));
        }
    }
}
