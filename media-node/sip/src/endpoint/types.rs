//! What goes into and comes out of the endpoint: specifications of requests, events of dialogs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::digest::Authorizer;
use crate::message::{Headers, Method, Request, Response};
use crate::transport::{Path, Transport};
use crate::uri::{NameAddr, Uri};

/// Names a dialog within its stack. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId(pub u64);

/// Names a request of the peer that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) u64);

/// A payload with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Disposition`; left out when `None`.
    pub disposition: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

impl Body {
    /// A session description, labelled as the reference does.
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: "application/sdp".into(),
            disposition: Some("session".into()),
            bytes: bytes.into(),
        }
    }

    /// Any other payload.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), disposition: None, bytes: bytes.into() }
    }
}

/// An outgoing call.
///
/// `headers` are added to what the stack writes itself. A header the stack would write by default
/// (`User-Agent`, `Allow`, `Supported`, `Allow-Events`, `Accept`, `Max-Forwards`) is replaced by one
/// given here, and left out when given with an empty value.
#[derive(Clone, Debug)]
pub struct InviteSpec {
    /// Request-URI.
    pub request_uri: Uri,
    /// `To`, without tag.
    pub to: NameAddr,
    /// `From`; the stack adds the tag.
    pub from: NameAddr,
    /// Our `Contact`.
    pub contact: NameAddr,
    /// `Call-ID`; made up when `None`.
    pub call_id: Option<String>,
    /// First `CSeq`; made up when `None`.
    pub cseq: Option<u32>,
    /// `Route` headers, each one element, e.g. `<sip:proxy;lr>`. The first decides where to send.
    pub route: Vec<String>,
    /// Where to send, overriding route and Request-URI.
    pub next_hop: Option<Uri>,
    /// Transport, overriding that of the URI.
    pub transport: Option<Transport>,
    /// Further headers.
    pub headers: Headers,
    /// The offer; `None` leaves the offer to the peer.
    pub body: Option<Body>,
    /// Answers 401 and 407. `None`: they fail the call.
    pub credentials: Option<Arc<dyn Authorizer>>,
    /// Acknowledge a 2xx at once. False: the owner sends [`crate::stack::Dialog::ack`] with its answer.
    pub auto_ack: bool,
    /// Session interval to offer instead of the stack's, seconds; 0 offers none.
    pub session_expires: Option<u32>,
    /// Refresh the session by UPDATE instead of re-INVITE; `None` as the stack does.
    pub refresh_by_update: Option<bool>,
}

impl InviteSpec {
    /// A call to `request_uri` with everything else at its default.
    pub fn new(request_uri: Uri, from: NameAddr, contact: NameAddr) -> Self {
        Self {
            to: NameAddr::new(request_uri.without_headers()),
            request_uri,
            from,
            contact,
            call_id: None,
            cseq: None,
            route: Vec::new(),
            next_hop: None,
            transport: None,
            headers: Headers::new(),
            body: None,
            credentials: None,
            auto_ack: true,
            session_expires: None,
            refresh_by_update: None,
        }
    }
}

/// A request outside any dialog: REGISTER, OPTIONS, MESSAGE, NOTIFY... See [`InviteSpec`] for `headers`.
#[derive(Clone, Debug)]
pub struct OutOfDialog {
    /// Method.
    pub method: Method,
    /// Request-URI.
    pub request_uri: Uri,
    /// `To`; may have a tag (NOTIFY after a REFER).
    pub to: NameAddr,
    /// `From`; the stack adds a tag unless there is one.
    pub from: NameAddr,
    /// `Contact`; left out when `None`.
    pub contact: Option<NameAddr>,
    /// `Call-ID`; made up when `None`.
    pub call_id: Option<String>,
    /// First `CSeq`; made up when `None`.
    pub cseq: Option<u32>,
    /// `Route` headers; the first decides where to send.
    pub route: Vec<String>,
    /// Where to send, overriding route and Request-URI.
    pub next_hop: Option<Uri>,
    /// Transport, overriding that of the URI.
    pub transport: Option<Transport>,
    /// Further headers.
    pub headers: Headers,
    /// Payload.
    pub body: Option<Body>,
    /// Answers 401 and 407. `None`: they are the result.
    pub credentials: Option<Arc<dyn Authorizer>>,
}

impl OutOfDialog {
    /// A request with everything else at its default.
    pub fn new(method: Method, request_uri: Uri, from: NameAddr, to: NameAddr) -> Self {
        Self {
            method,
            request_uri,
            to,
            from,
            contact: None,
            call_id: None,
            cseq: None,
            route: Vec::new(),
            next_hop: None,
            transport: None,
            headers: Headers::new(),
            body: None,
            credentials: None,
        }
    }
}

/// The final response to an [`OutOfDialog`] request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The response; 401 and 407 only when no credentials fitted.
    pub response: Response,
    /// Where it came from.
    pub path: Path,
    /// `CSeq` of the last attempt; the next request of the same series uses a higher one.
    pub cseq: u32,
    /// `From` tag used.
    pub from_tag: String,
    /// Time from sending the last attempt to its final response.
    pub round_trip: std::time::Duration,
}

/// Why a request got no final response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// No response within 64 x T1 (timers B and F).
    #[error("no answer within the transaction timeout")]
    Timeout,
    /// The message could not be sent.
    #[error("transport error towards {to}: {reason}")]
    Transport {
        /// Where it should have gone.
        to: String,
        /// What the system said.
        reason: String,
    },
    /// The next hop's name has no address.
    #[error("cannot resolve {0}")]
    Unresolvable(String),
    /// The dialog is over, or not in a state for this.
    #[error("no such dialog, or it does not allow this now")]
    WrongState,
    /// A bound of the stack is reached.
    #[error("stack overloaded")]
    Overloaded,
    /// The stack has been shut down.
    #[error("stack stopped")]
    Stopped,
}

/// Why an outgoing call, or a re-INVITE, failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// A final response of 300 or more.
    Rejected(Box<Response>),
    /// There was no final response.
    NoResponse(RequestError),
}

impl Failure {
    /// Status for the hangup mapping: that of the response; 408 on timeout, 503 on transport errors
    /// (RFC 3261 §8.1.3.1).
    pub fn status(&self) -> u16 {
        match self {
            Self::Rejected(response) => response.status,
            Self::NoResponse(RequestError::Timeout) => 408,
            Self::NoResponse(_) => 503,
        }
    }

    /// The response, when there was one.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Rejected(response) => Some(response),
            Self::NoResponse(_) => None,
        }
    }
}

/// A request inside a dialog that its owner must answer with [`crate::stack::Dialog::respond`].
#[derive(Clone, Debug)]
pub struct InDialog {
    /// Names it in the answer.
    pub id: RequestId,
    /// The request.
    pub request: Arc<Request>,
}

/// What happens to a dialog. `Bye`, OPTIONS, unknown methods and retransmissions are answered by the
/// stack; everything carrying [`InDialog`] waits for the owner.
#[derive(Clone, Debug)]
pub enum DialogEvent {
    /// 1xx to our INVITE. With forks, the To tags differ.
    Provisional(Box<Response>),
    /// 2xx to our INVITE. Acknowledged already unless [`InviteSpec::auto_ack`] is false.
    Answered(Box<Response>),
    /// Our INVITE failed; the dialog is over.
    Failed(Failure),
    /// The caller cancelled before we answered; 487 is sent; the dialog is over.
    Cancelled(Arc<Request>),
    /// The caller acknowledged our 2xx (also that of a re-INVITE).
    Acked(Arc<Request>),
    /// The peer hung up; 200 is sent; the dialog is over.
    Bye(Arc<Request>),
    /// New session parameters are offered, or asked for when there is no body.
    Reinvite(InDialog),
    /// UPDATE.
    Update(InDialog),
    /// INFO.
    Info(InDialog),
    /// REFER.
    Refer(InDialog),
    /// NOTIFY.
    Notify(InDialog),
    /// MESSAGE.
    Message(InDialog),
    /// PRACK, answered 200 by the stack when it matches; shown for its body.
    Prack(Arc<Request>),
    /// Our re-INVITE ended. One that met the peer's (491) was sent again before that is said. Refreshes of the session
    /// that the stack sends by itself are told only when the peer accepts them, for its description.
    ReinviteDone(Result<Box<Response>, Failure>),
    /// The dialog is over for a reason none of the above told.
    Terminated(Ended),
}

/// Why a dialog ended without a word of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No ACK for our 2xx within 64 x T1; BYE was sent (RFC 3261 §13.3.1.4). Or no PRACK; the call was refused.
    NoAck,
    /// A request in the dialog was answered 408, 481 or not at all (RFC 3261 §12.2.1.2).
    PeerGone,
    /// Our BYE, CANCEL or refusal is through.
    ByUs,
    /// The session timer ran out; BYE was sent (RFC 4028 §10).
    SessionExpired,
    /// The connection to the peer is lost and cannot be opened again.
    Transport,
    /// The stack is stopping.
    Stopped,
}

/// Dialog identifiers and addresses, for channel variables and for `Replaces`.
#[derive(Clone, Debug)]
pub struct DialogInfo {
    /// `Call-ID`.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// Our address with tag: `From` of what we send.
    pub local: String,
    /// Peer's address, with tag once known: `To` of what we send.
    pub remote: String,
    /// The way of the first message received; for outgoing calls known after the first response.
    pub path: Option<Path>,
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dialog {}", self.0)
    }
}
