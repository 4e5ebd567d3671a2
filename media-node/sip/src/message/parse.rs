//! From bytes to a message: start line, header lines, and the checks without which nothing else in
//! the stack may trust a message (RFC 3261 §7, §8.1.1, §8.2; judged by the messages of RFC 4475).

use bytes::Bytes;
use thiserror::Error;

use super::headers::Headers;
use super::method::Method;
use super::name::Name;
use super::scan::{is_token, trim};
use super::typed::{CSeq, Via};
use super::{Message, Request, Response};
use crate::uri::{NameAddr, Uri};

/// What a message may cost before it has proved anything.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Largest message, bytes, headers and body together.
    pub bytes: usize,
    /// Most header lines.
    pub headers: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        // 64 KiB is what a datagram can carry; 256 lines is twice the worst message of RFC 4475.
        Self { bytes: 64 * 1024, headers: 256 }
    }
}

/// Why bytes are not an acceptable message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing but line ends: a keep-alive, to be ignored.
    #[error("empty: a keep-alive")]
    Empty,
    /// Larger than [`MessageLimits::bytes`].
    #[error("message longer than {0} bytes")]
    TooLong(usize),
    /// More lines than [`MessageLimits::headers`].
    #[error("more than {0} header lines")]
    TooManyHeaders(usize),
    /// The headers do not end with an empty line.
    #[error("header section is not terminated")]
    Unterminated,
    /// Neither a request line nor a status line.
    #[error("malformed start line")]
    StartLine,
    /// The Request-URI cannot be read.
    #[error("malformed Request-URI")]
    RequestUri,
    /// Not SIP/2.0.
    #[error("unsupported SIP version")]
    Version,
    /// A status code outside 100 to 699.
    #[error("status code out of range")]
    Status,
    /// A header line that is not `name: value`, at this byte offset.
    #[error("malformed header line at byte {0}")]
    HeaderLine(usize),
    /// A mandatory header is missing.
    #[error("missing {} header", .0.as_str())]
    Missing(Name),
    /// A header that may appear once appears twice.
    #[error("repeated {} header", .0.as_str())]
    Repeated(Name),
    /// A header whose value cannot be read.
    #[error("malformed {} header", .0.as_str())]
    Malformed(Name),
    /// `CSeq` names another method than the request line.
    #[error("CSeq method does not match the request")]
    MethodMismatch,
    /// `Content-Length` promises more than arrived.
    #[error("body shorter than Content-Length")]
    ShortBody,
}

impl ParseError {
    /// The status with which a request with this fault is answered.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLong(_) | Self::TooManyHeaders(_) => 513,
            _ => 400,
        }
    }
}

/// A refused message, with the answer it deserves when one can be addressed.
#[derive(Debug)]
pub struct Rejected {
    /// What is wrong.
    pub error: ParseError,
    /// The 400, 505 or 513 to send; `None` for responses, ACK, and requests too broken to answer.
    pub reply: Option<Box<Response>>,
}

impl From<ParseError> for Rejected {
    fn from(error: ParseError) -> Self {
        Self { error, reply: None }
    }
}

/// Reads one datagram, or one frame cut by [`super::StreamFramer`]. Bytes after the body are ignored
/// (RFC 3261 §18.3). Header text that is not UTF-8 is taken as Latin-1.
pub fn parse(datagram: &Bytes, limits: &MessageLimits) -> Result<Message, Rejected> {
    if datagram.len() > limits.bytes {
        return Err(ParseError::TooLong(limits.bytes).into());
    }
    let start =
        datagram.iter().position(|b| *b != b'\r' && *b != b'\n').ok_or(ParseError::Empty)?;
    let bytes = datagram.get(start..).unwrap_or(&[]);
    let head_len = head_length(bytes).ok_or(ParseError::Unterminated)?;
    let head = text_of(bytes.get(..head_len).unwrap_or(&[]));
    let body = datagram.slice((start + head_len).min(datagram.len())..);

    let line_end = memchr::memchr(b'\n', head.as_bytes()).map_or(head.len(), |at| at + 1);
    let start_line = head.get(..line_end).unwrap_or("").trim_end_matches(['\r', '\n']);
    let parsed_start = start_line_of(start_line);
    let mut headers = Headers::over(String::new());
    let lines = read_headers(head, line_end, limits, &mut headers);

    let finish = || -> Result<(Start, usize), ParseError> {
        lines?;
        let start = parsed_start.clone()?;
        check(&start, &headers)?;
        Ok((start, body_length(&headers, body.len())?))
    };
    match finish() {
        Ok((Start::Request(method, uri), length)) => {
            Ok(Message::Request(Request { method, uri, headers, body: body.slice(..length) }))
        }
        Ok((Start::Response(status, reason), length)) => {
            Ok(Message::Response(Response { status, reason, headers, body: body.slice(..length) }))
        }
        Err(error) => Err(Rejected { error, reply: refusal(error, &parsed_start, headers) }),
    }
}

#[derive(Clone)]
enum Start {
    Request(Method, Uri),
    Response(u16, String),
}

/// Length of the header section with its empty line.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    for at in memchr::memchr_iter(b'\n', bytes) {
        match bytes.get(at + 1..)? {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => {}
        }
    }
    None
}

fn text_of(head: &[u8]) -> String {
    match std::str::from_utf8(head) {
        Ok(text) => text.to_owned(),
        Err(_) => head.iter().map(|b| char::from(*b)).collect(),
    }
}

fn start_line_of(line: &str) -> Result<Start, ParseError> {
    if line.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/")) {
        return status_line(line);
    }
    let mut words = line.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ParseError::StartLine);
    };
    let method = Method::parse(method).ok_or(ParseError::StartLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let versioned = version.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/"));
        return Err(if versioned { ParseError::Version } else { ParseError::StartLine });
    }
    // `?headers` have no place in a Request-URI (RFC 3261 §19.1.1).
    let uri = Uri::parse(uri).filter(|u| u.headers().is_empty()).ok_or(ParseError::RequestUri)?;
    Ok(Start::Request(method, uri))
}

fn status_line(line: &str) -> Result<Start, ParseError> {
    let (version, rest) = line.split_once(' ').ok_or(ParseError::StartLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(ParseError::Version);
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Status);
    }
    match code.parse() {
        Ok(status @ 100..=699) => Ok(Start::Response(status, reason.to_owned())),
        _ => Err(ParseError::Status),
    }
}

/// Names the header lines. On an error the headers before it stand, which is enough to answer.
fn read_headers(
    head: String,
    from: usize,
    limits: &MessageLimits,
    out: &mut Headers,
) -> Result<(), ParseError> {
    *out = Headers::over(head);
    let mut at = from;
    let mut count = 0;
    // Folded values are appended unfolded; offsets of the original text stay valid.
    let end = out.text().len();
    while let Some(line) = out.text().get(at..end).filter(|l| !l.is_empty() && !is_blank(l)) {
        let (length, folded) = logical_line(line);
        let line = line.get(..length).unwrap_or(line);
        let colon = memchr::memchr(b':', line.as_bytes()).ok_or(ParseError::HeaderLine(at))?;
        let name_text = line.get(..colon).unwrap_or("").trim_end_matches([' ', '\t']);
        if !is_token(name_text) {
            return Err(ParseError::HeaderLine(at));
        }
        count += 1;
        if count > limits.headers {
            return Err(ParseError::TooManyHeaders(limits.headers));
        }
        let name = Name::recognise(name_text);
        let name_at = (at as u32, (at + name_text.len()) as u32);
        let raw = line.get(colon + 1..).unwrap_or("");
        if folded {
            let value = unfold(raw);
            out.adopt_appended(name, name_at, &value);
        } else {
            let value = trim(raw);
            let lead = raw.len() - raw.trim_start_matches([' ', '\t', '\r', '\n']).len();
            let start = if value.is_empty() { at + colon + 1 } else { at + colon + 1 + lead };
            out.adopt(name, name_at, (start as u32, (start + value.len()) as u32));
        }
        at += length;
    }
    Ok(())
}

fn is_blank(line: &str) -> bool {
    line.starts_with('\n') || line.starts_with("\r\n")
}

/// Length of a line with its continuations, and whether there are any.
fn logical_line(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    let mut folded = false;
    for at in memchr::memchr_iter(b'\n', bytes) {
        match bytes.get(at + 1) {
            Some(b' ' | b'\t') => folded = true,
            _ => return (at + 1, folded),
        }
    }
    (bytes.len(), folded)
}

fn unfold(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for line in value.split(['\r', '\n']).map(trim).filter(|l| !l.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

fn check(start: &Start, headers: &Headers) -> Result<(), ParseError> {
    use ParseError::{Malformed, Missing, Repeated};
    let mut seen = 0u64;
    for header in headers.iter().filter(|h| h.name.is_single()) {
        let bit = 1u64 << (header.name as u8 & 63);
        if seen & bit != 0 {
            return Err(Repeated(header.name));
        }
        seen |= bit;
    }
    let need = |name: Name| headers.get(name).filter(|v| !v.is_empty()).ok_or(Missing(name));
    need(Name::CallId)?;
    need(Name::Via)?;
    for via in headers.list(Name::Via) {
        Via::parse(via).ok_or(Malformed(Name::Via))?;
    }
    for name in [Name::From, Name::To] {
        NameAddr::parse(need(name)?).ok_or(Malformed(name))?;
    }
    let cseq = CSeq::parse(need(Name::CSeq)?).ok_or(Malformed(Name::CSeq))?;
    if let Some(hops) = headers.get(Name::MaxForwards) {
        hops.parse::<u32>().ok().filter(|h| *h <= 255).ok_or(Malformed(Name::MaxForwards))?;
    }
    for contact in headers.list(Name::Contact).filter(|c| *c != "*") {
        NameAddr::parse(contact).ok_or(Malformed(Name::Contact))?;
    }
    match start {
        Start::Request(method, _) if *method != cseq.method => Err(ParseError::MethodMismatch),
        _ => Ok(()),
    }
}

/// Bytes of body to take: `Content-Length`, or all that came.
fn body_length(headers: &Headers, available: usize) -> Result<usize, ParseError> {
    let Some(value) = headers.get(Name::ContentLength) else {
        return Ok(available);
    };
    let length: usize = value
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| value.parse().ok())
        .flatten()
        .ok_or(ParseError::Malformed(Name::ContentLength))?;
    if length > available { Err(ParseError::ShortBody) } else { Ok(length) }
}

fn refusal(
    error: ParseError,
    start: &Result<Start, ParseError>,
    headers: Headers,
) -> Option<Box<Response>> {
    let is_request = match start {
        Ok(Start::Request(Method::Ack, _) | Start::Response(..)) | Err(ParseError::Status) => false,
        Ok(Start::Request(..)) | Err(ParseError::RequestUri | ParseError::Version) => true,
        // "INVITE  sip:x  SIP/2.0" deserves its 400; line noise does not.
        Err(_) => headers.get(Name::CSeq).is_some_and(|v| !v.ends_with("ACK")),
    };
    let addressable = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
    if !is_request || addressable.iter().any(|n| headers.get(*n).is_none()) {
        return None;
    }
    let uri = Uri::parse("sip:invalid")?;
    let request = Request { method: Method::Options, uri, headers, body: Bytes::new() };
    Some(Box::new(request.response(error.status(), "")))
}
