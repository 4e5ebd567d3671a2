//! SIP messages: reading them from bytes, looking into them, writing them.
//!
//! A message keeps every header in order and spelt as it arrived, known or not: the switch shows raw
//! header text to dialplans and passes unknown headers on. Typed views ([`Via`], [`CSeq`],
//! [`NameAddr`]) are made on demand. Nothing here knows a socket or a clock.

mod frame;
mod headers;
mod method;
mod multipart;
mod name;
mod parse;
mod reason;
pub(crate) mod scan;
mod typed;
mod write;

use bytes::Bytes;

pub use frame::{Frame, FrameError, StreamFramer};
pub use headers::{Header, Headers};
pub use method::Method;
pub use multipart::{Part, parts};
pub use name::Name;
pub use parse::{MessageLimits, ParseError, Rejected, parse};
pub use reason::reason_phrase;
pub(crate) use typed::split_host_port;
pub use typed::{CSeq, Via, ViaParams, tag_of};

use crate::uri::{NameAddr, Uri};

/// A request or a response.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Message {
    Request(Request),
    Response(Response),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// All headers.
    pub headers: Headers,
    /// The payload, `Content-Length` bytes long.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code, 100 to 699.
    pub status: u16,
    /// Reason phrase as it arrived; may be empty.
    pub reason: String,
    /// All headers.
    pub headers: Headers,
    /// The payload, `Content-Length` bytes long.
    pub body: Bytes,
}

impl Message {
    /// The header section.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::new(), body: Bytes::new() }
    }

    /// Begins a response: `Via`, `From`, `To`, `Call-ID`, `CSeq` copied (RFC 3261 §8.2.6.2). The
    /// caller adds a To tag and, for a dialog, `Record-Route`.
    pub fn response(&self, status: u16, reason: &str) -> Response {
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        let mut headers = Headers::new();
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for header in self.headers.iter().filter(|h| h.name == name) {
                headers.push(name, header.value);
            }
        }
        Response { status, reason: reason.to_owned(), headers, body: Bytes::new() }
    }
}

impl Response {
    /// True for 1xx.
    pub fn is_provisional(&self) -> bool {
        self.status < 200
    }

    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Headers {
    /// The topmost `Via`.
    pub fn via(&self) -> Option<Via<'_>> {
        self.list(Name::Via).next().and_then(Via::parse)
    }

    /// `From`.
    pub fn from_addr(&self) -> Option<NameAddr> {
        NameAddr::parse(self.get(Name::From)?)
    }

    /// `To`.
    pub fn to_addr(&self) -> Option<NameAddr> {
        NameAddr::parse(self.get(Name::To)?)
    }

    /// The `tag` of `From`, without parsing the rest.
    pub fn from_tag(&self) -> Option<&str> {
        tag_of(self.get(Name::From)?)
    }

    /// The `tag` of `To`, without parsing the rest.
    pub fn to_tag(&self) -> Option<&str> {
        tag_of(self.get(Name::To)?)
    }

    /// `Call-ID`; empty when missing.
    pub fn call_id(&self) -> &str {
        self.get(Name::CallId).unwrap_or("")
    }

    /// `CSeq`.
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.get(Name::CSeq)?)
    }

    /// The first `Contact`; `None` for a missing one and for `*`.
    pub fn contact(&self) -> Option<NameAddr> {
        self.list(Name::Contact).next().and_then(NameAddr::parse)
    }

    /// Unsigned value of `Max-Forwards`, `Expires`, `Content-Length`, `Min-Expires`, `RSeq`...
    /// Parameters after `;` are ignored; `None` when missing or not a number below 2^32.
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.get(name)?;
        let digits = value.split([';', '(']).next().unwrap_or(value);
        scan::trim(digits).parse().ok()
    }

    /// `Content-Type` without parameters, e.g. `application/sdp`.
    pub fn content_type(&self) -> Option<&str> {
        self.get(Name::ContentType).map(|v| scan::trim(v.split(';').next().unwrap_or(v)))
    }

    /// True when an option tag is listed in `Supported`, `Require` or the like.
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|t| t.eq_ignore_ascii_case(token))
    }
}
