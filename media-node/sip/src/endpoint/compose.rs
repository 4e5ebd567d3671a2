//! Writing messages the way the reference does: which default headers go with which message.

use crate::endpoint::config::Identity;
use crate::endpoint::types::Body;
use crate::message::{Headers, Method, Name, Request, Response};

/// Default headers of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    user_agent: bool,
    /// `Allow` and `Supported`.
    capabilities: bool,
    allow_events: bool,
    accept: bool,
}

impl Defaults {
    /// For a request. Re-INVITEs carry less than first ones.
    pub(super) fn of_request(method: &Method, in_dialog: bool) -> Self {
        match method {
            Method::Ack | Method::Cancel => Self::default(),
            Method::Invite => Self { allow_events: !in_dialog, ..Self::common() },
            Method::Notify | Method::Subscribe => Self { allow_events: true, ..Self::common() },
            _ => Self::common(),
        }
    }

    /// For a response.
    pub(super) fn of_response(method: &Method, status: u16, in_dialog: bool) -> Self {
        match (method, status) {
            (Method::Cancel, _) => Self::default(),
            (_, 100) => Self { user_agent: true, ..Self::default() },
            (Method::Invite, _) => {
                Self { allow_events: !in_dialog, accept: true, ..Self::common() }
            }
            (Method::Options, _) => Self { allow_events: true, accept: true, ..Self::common() },
            (Method::Refer | Method::Notify | Method::Subscribe, _) => {
                Self { allow_events: true, ..Self::common() }
            }
            _ => Self::common(),
        }
    }

    /// The same for a further answer to one INVITE: `Accept` goes with the first one only.
    pub(super) fn without_accept(self) -> Self {
        Self { accept: false, ..self }
    }

    fn common() -> Self {
        Self { user_agent: true, capabilities: true, ..Self::default() }
    }

    fn apply(self, identity: &Identity, headers: &mut Headers) {
        let all = [
            (self.user_agent, Name::UserAgent, &identity.user_agent),
            (self.accept, Name::Accept, &identity.accept),
            (self.capabilities, Name::Allow, &identity.allow),
            (self.capabilities, Name::Supported, &identity.supported),
            (self.allow_events, Name::AllowEvents, &identity.allow_events),
        ];
        for (wanted, name, value) in all {
            if wanted && !value.is_empty() && headers.get(name).is_none() {
                headers.push(name, value);
            }
        }
    }
}

/// Completes a request: the caller's headers first, then defaults it did not set.
pub(super) fn finish_request(
    request: &mut Request,
    extra: &Headers,
    body: Option<Body>,
    defaults: Defaults,
    identity: &Identity,
) {
    merge(&mut request.headers, extra);
    defaults.apply(identity, &mut request.headers);
    drop_empty(&mut request.headers, extra);
    if let Some(body) = body {
        request.body = label(&mut request.headers, body);
    }
}

/// Completes a response likewise.
pub(super) fn finish_response(
    response: &mut Response,
    extra: &Headers,
    body: Option<Body>,
    defaults: Defaults,
    identity: &Identity,
) {
    merge(&mut response.headers, extra);
    defaults.apply(identity, &mut response.headers);
    drop_empty(&mut response.headers, extra);
    if let Some(body) = body {
        response.body = label(&mut response.headers, body);
    }
}

/// Headers the stack alone writes.
fn is_reserved(name: Name) -> bool {
    matches!(
        name,
        Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::ContentLength
    )
}

fn merge(headers: &mut Headers, extra: &Headers) {
    for header in extra.iter().filter(|h| !is_reserved(h.name)) {
        match header.name {
            Name::MaxForwards => headers.set(header.name, header.value),
            _ => headers.push_header(header),
        }
    }
}

/// A header given empty asks for none.
fn drop_empty(headers: &mut Headers, extra: &Headers) {
    for header in extra.iter().filter(|h| h.value.is_empty() && !is_reserved(h.name)) {
        headers.remove_named(header.text);
    }
}

fn label(headers: &mut Headers, body: Body) -> bytes::Bytes {
    if headers.get(Name::ContentType).is_none() {
        headers.push(Name::ContentType, body.content_type);
    }
    if let Some(disposition) =
        body.disposition.filter(|_| headers.get(Name::ContentDisposition).is_none())
    {
        headers.push(Name::ContentDisposition, disposition);
    }
    body.bytes
}
