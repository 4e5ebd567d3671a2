//! Dialog state (RFC 3261 §12): identifiers, sequence numbers, route set and target. It writes the
//! requests of a dialog and judges those of the peer; it sends nothing itself.

use crate::message::{Headers, Method, Name, Request, tag_of};
use crate::uri::{NameAddr, Uri};

/// `Max-Forwards` of requests inside dialogs.
const MAX_FORWARDS: &str = "70";
/// Longest route set kept; a longer one is a mistake or an attack.
const MAX_ROUTES: usize = 32;

/// One side's view of a dialog, from the first INVITE on.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    /// `None` until the peer has answered.
    pub(crate) remote_tag: Option<String>,
    /// Our address with tag: `From` of our requests.
    pub(crate) local: String,
    /// The peer's, with tag once known: `To` of our requests.
    pub(crate) remote: String,
    pub(crate) local_seq: u32,
    pub(crate) remote_seq: Option<u32>,
    /// Our `Contact` value.
    pub(crate) contact: String,
    routes: Vec<String>,
    target: Uri,
    /// The peer's INVITE made the dialog.
    answered_here: bool,
    /// Number of the INVITE of ours that made the dialog, once it is acknowledged.
    first_ack: Option<u32>,
}

/// Why a request of the peer is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Other tags: not this dialog. 481.
    Foreign,
    /// `CSeq` went back. 500 (RFC 3261 §12.2.2).
    OutOfOrder,
}

impl Dialog {
    /// The callee's side of an INVITE. `None` without usable `Contact`.
    pub(crate) fn of_invite(invite: &Request, local_tag: String, local_seq: u32) -> Option<Self> {
        let headers = &invite.headers;
        let target = headers.contact()?.uri;
        Some(Self {
            call_id: headers.call_id().to_owned(),
            remote_tag: headers.from_tag().map(str::to_owned),
            local: with_tag(headers.get(Name::To)?, &local_tag),
            remote: headers.get(Name::From)?.to_owned(),
            local_tag,
            local_seq,
            remote_seq: headers.cseq().map(|c| c.number),
            contact: String::new(),
            routes: headers.list(Name::RecordRoute).take(MAX_ROUTES).map(str::to_owned).collect(),
            target,
            answered_here: true,
            first_ack: None,
        })
    }

    /// The caller's side, before any response.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of an INVITE that make a dialog, named one by one at the one call"
    )]
    pub(crate) fn calling(
        call_id: String,
        from: &NameAddr,
        to: &NameAddr,
        contact: &NameAddr,
        target: Uri,
        routes: Vec<String>,
        local_tag: String,
        local_seq: u32,
    ) -> Self {
        Self {
            call_id,
            remote_tag: None,
            local: with_tag(&from.to_string(), &local_tag),
            remote: to.to_string(),
            local_tag,
            local_seq,
            remote_seq: None,
            contact: contact.to_string(),
            routes,
            target,
            answered_here: false,
            first_ack: None,
        }
    }

    /// Takes tag, route set and target from a response to our INVITE (RFC 3261 §12.1.2). A later
    /// response of the same fork, or the 2xx of another, overrides.
    pub(crate) fn learn(&mut self, response: &Headers) {
        let Some(to) = response.get(Name::To) else { return };
        let Some(tag) = tag_of(to) else { return };
        self.remote_tag = Some(tag.to_owned());
        self.remote = to.to_owned();
        let mut routes: Vec<_> =
            response.list(Name::RecordRoute).take(MAX_ROUTES).map(str::to_owned).collect();
        routes.reverse();
        self.routes = routes;
        self.refresh_target(response);
    }

    /// The other side's new `Contact`.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(contact) = headers.contact() {
            self.target = contact.uri;
        }
    }

    /// Judges a request of the peer by tags and order, and counts it.
    pub(crate) fn admit(&mut self, request: &Request) -> Result<(), Refused> {
        if self.remote_tag.as_deref() != request.headers.from_tag() {
            return Err(Refused::Foreign);
        }
        let number = request.headers.cseq().map(|c| c.number);
        if request.method != Method::Ack {
            if number <= self.remote_seq {
                return Err(Refused::OutOfOrder);
            }
            self.remote_seq = number;
        }
        Ok(())
    }

    /// A new request: next `CSeq`, route set, no `Via`.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_seq = self.local_seq.wrapping_add(1) & i32::MAX as u32;
        self.request_numbered(method, self.local_seq)
    }

    /// The ACK of our INVITE with this number.
    pub(crate) fn ack(&mut self, number: u32) -> Request {
        let mut ack = self.request_numbered(Method::Ack, number);
        // As in the reference the ACK of an INVITE within the call carries none.
        if !self.answered_here && *self.first_ack.get_or_insert(number) == number {
            ack.headers.push(Name::Contact, &self.contact);
        }
        ack
    }

    fn request_numbered(&self, method: Method, number: u32) -> Request {
        let (uri, routes) = self.routing();
        let mut request = Request::new(method, uri);
        let cseq = format!("{number} {}", request.method);
        let headers = &mut request.headers;
        for route in routes {
            headers.push(Name::Route, route);
        }
        headers.push(Name::MaxForwards, MAX_FORWARDS);
        headers.push(Name::From, &self.local);
        headers.push(Name::To, &self.remote);
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, cseq);
        request
    }

    /// Request-URI and `Route` values (RFC 3261 §12.2.1.1). A first route without `lr` belongs to a
    /// strict router: it becomes the Request-URI and the target goes last.
    fn routing(&self) -> (Uri, Vec<String>) {
        let strict = self
            .routes
            .first()
            .and_then(|r| NameAddr::parse(r))
            .filter(|first| !first.uri.params().has("lr"));
        match strict {
            None => (self.target.without_headers(), self.routes.clone()),
            Some(first) => {
                let mut routes: Vec<_> = self.routes.iter().skip(1).cloned().collect();
                routes.push(format!("<{}>", self.target));
                (first.uri.without_headers(), routes)
            }
        }
    }

    /// True when proxies recorded themselves.
    pub(crate) fn has_route(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Where requests go next: the first route, else the target.
    pub(crate) fn next_hop(&self) -> Uri {
        self.routes
            .first()
            .and_then(|r| NameAddr::parse(r))
            .map_or_else(|| self.target.clone(), |first| first.uri)
    }
}

/// The value with `;tag=`, unless it has one.
pub(crate) fn with_tag(value: &str, tag: &str) -> String {
    match tag_of(value) {
        Some(_) => value.to_owned(),
        None => {
            // A bare address must be bracketed first, or the tag would read as part of it.
            let bare = !value.contains('<');
            match NameAddr::parse(value).filter(|_| bare) {
                Some(address) => format!("{address};tag={tag}"),
                None => format!("{value};tag={tag}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, MessageLimits, parse};

    fn invite(extra: &str) -> Request {
        let text = format!(
            "INVITE sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:alice@a>;tag=fa\r\n\
             To: sip:bob@h\r\nCall-ID: c1\r\nCSeq: 10 INVITE\r\nContact: <sip:alice@192.0.2.1:5070>\r\n{extra}\r\n"
        );
        match parse(&bytes::Bytes::from(text), &MessageLimits::default()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!(),
        }
    }

    fn text(request: &Request) -> String {
        String::from_utf8(request.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_callee_answers_along_the_recorded_route() {
        let rr = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n";
        let mut dialog = Dialog::of_invite(&invite(rr), "tb".into(), 100).unwrap();
        let bye = dialog.request(Method::Bye);
        let expected = "BYE sip:alice@192.0.2.1:5070 SIP/2.0\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n\
            Max-Forwards: 70\r\nFrom: <sip:bob@h>;tag=tb\r\nTo: <sip:alice@a>;tag=fa\r\nCall-ID: c1\r\n\
            CSeq: 101 BYE\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(text(&bye), expected);
        assert_eq!(dialog.next_hop().as_str(), "sip:p1;lr");
    }

    #[test]
    fn a_strict_router_takes_the_request_uri() {
        let mut dialog =
            Dialog::of_invite(&invite("Record-Route: <sip:strict>\r\n"), "tb".into(), 1).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.as_str(), "sip:strict");
        assert_eq!(bye.headers.get(Name::Route), Some("<sip:alice@192.0.2.1:5070>"));
    }

    #[test]
    fn foreign_tags_and_old_numbers_are_refused() {
        let mut dialog = Dialog::of_invite(&invite(""), "tb".into(), 1).unwrap();
        let mut request = invite("");
        assert_eq!(dialog.admit(&request), Err(Refused::OutOfOrder));
        request.headers.set(Name::CSeq, "11 INVITE");
        assert_eq!(dialog.admit(&request), Ok(()));
        request.headers.set(Name::From, "<sip:alice@a>;tag=other");
        assert_eq!(dialog.admit(&request), Err(Refused::Foreign));
    }
}
