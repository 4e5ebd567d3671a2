//! What a server transaction keeps of an answer, to give it again when the request is repeated.
//!
//! An answer copies headers of its request. A repeated request brings them along, so of a large answer only the rest
//! is kept: a stranger's 60 kB of `Via` are not remembered for the 32 seconds of timer J.

use bytes::Bytes;

use crate::dialog::with_tag;
use crate::message::{Headers, Name, Request, Response, tag_of};

/// Answers up to this size are kept whole, bytes.
const SMALL: usize = 1536;
/// Size of a header table, bytes.
const TABLE: usize = 640;

#[derive(Debug)]
pub(super) enum Answer {
    /// As it went out.
    Whole(Bytes),
    /// All but the headers the request brings again.
    Rest(Box<Rest>),
}

#[derive(Debug)]
pub(super) struct Rest {
    status: u16,
    reason: Box<str>,
    to_tag: Option<Box<str>>,
    headers: Headers,
    body: Bytes,
}

impl Answer {
    /// For a response that is sent again only when its request is.
    pub(super) fn to_repeated(response: &Response, bytes: Bytes) -> Self {
        if bytes.len() <= SMALL {
            return Self::Whole(bytes);
        }
        let mut headers = Headers::new();
        for header in response.headers.iter().filter(|header| !is_copied(header.name)) {
            headers.push_header(header);
        }
        Self::Rest(Box::new(Rest {
            status: response.status,
            reason: response.reason.as_str().into(),
            to_tag: response.headers.get(Name::To).and_then(tag_of).map(Into::into),
            headers,
            body: Bytes::copy_from_slice(&response.body),
        }))
    }

    /// Bytes it takes to keep.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Rest(rest) => TABLE + rest.headers.text().len() + rest.body.len(),
        }
    }

    /// The bytes of the answer to a repeated request.
    pub(super) fn again(&self, request: &Request) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::Rest(rest) => {
                let mut response = request.response(rest.status, &rest.reason);
                if let Some(tag) = &rest.to_tag {
                    let to = with_tag(response.headers.get(Name::To).unwrap_or(""), tag);
                    response.headers.set(Name::To, to);
                }
                for header in rest.headers.iter() {
                    response.headers.push_header(header);
                }
                response.body = rest.body.clone();
                response.to_bytes()
            }
        }
    }
}

/// Is it one of the headers [`Request::response`] copies?
fn is_copied(name: Name) -> bool {
    matches!(name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, MessageLimits, parse};

    fn request(filler: &str) -> Request {
        let text = format!(
            "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;x={filler}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\r\n"
        );
        match parse(&Bytes::from(text), &MessageLimits::default()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    fn answer_to(request: &Request) -> Response {
        let mut response = request.response(401, "");
        let to = with_tag(response.headers.get(Name::To).unwrap(), "ours");
        response.headers.set(Name::To, to);
        response.headers.push(Name::UserAgent, "ua");
        response.headers.push(Name::WwwAuthenticate, "Digest realm=\"h\", nonce=\"n\"");
        response.headers.push_text("X-Own", "1");
        response.body = Bytes::from_static(b"why");
        response
    }

    #[test]
    fn a_large_answer_is_kept_small_and_comes_again_the_same() {
        let request = request(&"v".repeat(50_000));
        let response = answer_to(&request);
        let bytes = response.to_bytes();
        assert!(bytes.len() > 50_000);
        let kept = Answer::to_repeated(&response, bytes.clone());
        assert!(kept.size() < 1_000, "{}", kept.size());
        assert_eq!(kept.again(&request), bytes);
    }

    #[test]
    fn a_small_answer_is_kept_as_it_is() {
        let request = request("v");
        let response = answer_to(&request);
        let kept = Answer::to_repeated(&response, response.to_bytes());
        assert!(matches!(kept, Answer::Whole(_)));
        assert_eq!(kept.again(&request), response.to_bytes());
    }
}
