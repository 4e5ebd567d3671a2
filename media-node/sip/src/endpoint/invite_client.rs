//! Calls we make: INVITE, its responses and forks, ACK, CANCEL, BYE, re-INVITE, requests in dialogs.

use std::time::Instant;

use super::call::{Call, CallTimer, Cancel, MAX_FORKS, SentAck, Stage};
use super::compose::{Defaults, finish_request};
use super::exchange::{ExchangeId, Hop, Purpose};
use super::outbound::hop_to;
use super::reliable::Provisional;
use super::types::{
    Body, DialogEvent, DialogId, Ended, Failure, InviteSpec, OutOfDialog, RequestError,
};
use super::{Endpoint, Output, Token};
use crate::dialog::{Dialog, with_tag};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::transport::Path;
use crate::uri::{NameAddr, Uri};

impl Endpoint {
    // --- commands ---

    /// Sends an INVITE. Everything else is told by events.
    pub(crate) fn invite(&mut self, now: Instant, id: DialogId, spec: InviteSpec) {
        let call_id = spec.call_id.unwrap_or_else(|| self.tokens.call_id());
        let number = spec.cseq.unwrap_or_else(|| self.tokens.cseq());
        let tag = spec.from.tag().map_or_else(|| self.tokens.tag(), str::to_owned);
        let target = spec.request_uri;
        let dialog = Dialog::calling(
            call_id,
            &spec.from,
            &spec.to,
            &spec.contact,
            target,
            spec.route,
            tag,
            number.wrapping_sub(1),
        );
        let hop = Hop {
            uri: spec.next_hop.clone().unwrap_or_else(|| dialog.next_hop()),
            transport: spec.transport,
            ..hop_to(dialog.next_hop())
        };
        // The stage is set below, once the exchange has its name.
        let mut call = Call::new(dialog, Stage::Up, self.config.session);
        call.originated = true;
        if let Some(seconds) = spec.session_expires {
            call.session.want(seconds);
        }
        if let Some(on) = spec.refresh_by_update {
            call.session.refresh_by_update(on);
        }
        call.session.body.clone_from(&spec.body);
        call.credentials = spec.credentials;
        call.auto_ack = spec.auto_ack;
        call.next_hop = spec.next_hop;
        call.transport = spec.transport;
        let mut request = call.dialog.request(Method::Invite);
        request.headers.push(Name::Contact, &call.dialog.contact);
        let defaults = Defaults::of_request(&Method::Invite, false);
        finish_request(&mut request, &spec.headers, spec.body, defaults, &self.config.identity);
        call.session.offer(&mut request.headers, true);
        let credentials = call.credentials.clone();
        self.outputs.push_back(Output::Info { id, info: call.info() });
        self.add_call(id, call);
        match self.start_exchange(now, request, hop, Purpose::Invite(id), credentials) {
            Some(exchange) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stage = Stage::Calling { exchange, cancel: Cancel::No };
                }
            }
            None => self.end_call(
                now,
                id,
                DialogEvent::Failed(Failure::NoResponse(RequestError::Overloaded)),
            ),
        }
    }

    /// Stops a call we are making.
    pub(crate) fn cancel(&mut self, now: Instant, id: DialogId, headers: Headers) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Calling { exchange, cancel } = &mut call.stage else { return };
        if matches!(cancel, Cancel::No) {
            let exchange = *exchange;
            *cancel = Cancel::Wanted(headers);
            if self.exchange(exchange).is_some_and(|e| e.tx.is_none()) {
                // Still looking for the address: nothing was sent, nothing needs cancelling.
                self.forget_exchange(exchange);
                self.end_call(now, id, DialogEvent::Terminated(Ended::ByUs));
                return;
            }
            self.try_cancel(now, id);
        }
    }

    /// Sends the wanted CANCEL if a 1xx allows it.
    fn try_cancel(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Calling { exchange, cancel } = &mut call.stage else { return };
        let exchange = *exchange;
        let Cancel::Wanted(headers) = cancel else { return };
        let headers = std::mem::take(headers);
        let tx = self.exchange(exchange).and_then(|e| e.tx);
        let sent = match tx.and_then(|tx| self.transactions.cancel_request(tx)) {
            Some((mut request, path)) => {
                let defaults = Defaults::of_request(&Method::Cancel, true);
                finish_request(&mut request, &headers, None, defaults, &self.config.identity);
                self.send_detached(now, request, path);
                true
            }
            None => false,
        };
        let until = now + self.config.timers.t1x64;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Calling { cancel, .. } = &mut call.stage else { return };
        if sent {
            *cancel = Cancel::Sent;
            // The final response should be 487 and soon; a peer that never sends it is given up.
            call.cancelled_until = Some(until);
            self.call_timers.arm(until, (id, CallTimer::Cancelled));
        } else {
            *cancel = Cancel::Wanted(headers);
        }
    }

    pub(super) fn give_up_cancelled(&mut self, now: Instant, id: DialogId) {
        let Some(Stage::Calling { exchange, .. }) = self.calls.get(&id).map(|c| &c.stage) else {
            return;
        };
        let exchange = *exchange;
        if let Some(tx) = self.exchange(exchange).and_then(|e| e.tx) {
            self.transactions.abandon(tx);
        }
        self.exchange_failed(now, exchange, RequestError::Timeout);
    }

    /// The owner's ACK of a 2xx (late offer).
    pub(crate) fn ack(&mut self, id: DialogId, headers: &Headers, body: Option<Body>) {
        let Some(number) = self.calls.get_mut(&id).and_then(|c| c.owes_ack.take()) else { return };
        self.send_ack(id, number, headers, body);
    }

    /// Hangs an answered call up; before the peer's ACK, as soon as that comes (RFC 3261 §15).
    pub(crate) fn bye(&mut self, now: Instant, id: DialogId, headers: Headers) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.stage {
            Stage::Up if call.unacked.is_some() => {
                // Dropping the dialog asks again, without headers.
                call.bye_after_ack.get_or_insert(headers);
            }
            Stage::Up => self.send_bye(now, id, &headers),
            Stage::Calling { .. } => self.cancel(now, id, headers),
            Stage::Ringing { .. } | Stage::Leaving => {}
        }
    }

    pub(super) fn send_bye(&mut self, now: Instant, id: DialogId, headers: &Headers) {
        if let Some(number) = self.calls.get_mut(&id).and_then(|c| c.owes_ack.take()) {
            // A 2xx must be acknowledged even by those who hang up on it.
            self.send_ack(id, number, &Headers::new(), None);
        }
        let Some((request, hop)) = self.compose(id, Method::Bye, headers, None) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.stage = Stage::Leaving;
        let credentials = call.credentials.clone();
        if self.start_exchange(now, request, hop, Purpose::Bye(id), credentials).is_none() {
            self.end_call(now, id, DialogEvent::Terminated(Ended::ByUs));
        }
    }

    /// BYE for a dialog that is being removed.
    pub(super) fn send_bye_detached(&mut self, now: Instant, id: DialogId, headers: &Headers) {
        if let Some((request, hop)) = self.compose(id, Method::Bye, headers, None) {
            self.start_exchange(now, request, hop, Purpose::Detached, None);
        }
    }

    /// Any other request in a dialog.
    pub(crate) fn request_in_dialog(
        &mut self,
        now: Instant,
        id: DialogId,
        token: Token,
        method: Method,
        headers: &Headers,
        body: Option<Body>,
    ) {
        let alive = self
            .calls
            .get(&id)
            .is_some_and(|c| !matches!(c.stage, Stage::Leaving) && c.dialog.remote_tag.is_some());
        let composed = if alive { self.compose(id, method, headers, body) } else { None };
        let credentials = self.calls.get(&id).and_then(|c| c.credentials.clone());
        let started = composed.and_then(|(request, hop)| {
            self.start_exchange(now, request, hop, Purpose::InDialog(id, token), credentials)
        });
        if started.is_none() {
            self.outputs.push_back(Output::Reply { token, result: Err(RequestError::WrongState) });
        }
    }

    /// A request outside dialogs.
    pub(crate) fn request(&mut self, now: Instant, token: Token, spec: OutOfDialog) {
        let OutOfDialog { method, request_uri, to, from, contact, call_id, cseq, route, .. } = spec;
        let hop_uri = spec.next_hop.unwrap_or_else(|| {
            route
                .first()
                .and_then(|r| NameAddr::parse(r))
                .map_or_else(|| request_uri.clone(), |r| r.uri)
        });
        let mut request = Request::new(method, request_uri);
        let number = cseq.unwrap_or_else(|| self.tokens.cseq());
        let cseq = format!("{number} {}", request.method);
        let call_id = call_id.unwrap_or_else(|| self.tokens.call_id());
        let tag = self.tokens.tag();
        let headers = &mut request.headers;
        for route in &route {
            headers.push(Name::Route, route);
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, with_tag(&from.to_string(), &tag));
        headers.push(Name::To, to.to_string());
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, cseq);
        if let Some(contact) = contact {
            headers.push(Name::Contact, contact.to_string());
        }
        let defaults = Defaults::of_request(&request.method, false);
        finish_request(&mut request, &spec.headers, spec.body, defaults, &self.config.identity);
        let hop = Hop { transport: spec.transport, ..hop_to(hop_uri) };
        if self
            .start_exchange(now, request, hop, Purpose::Single(token), spec.credentials)
            .is_none()
        {
            self.outputs.push_back(Output::Reply { token, result: Err(RequestError::Overloaded) });
        }
    }

    // --- responses ---

    pub(super) fn on_invite_response(
        &mut self,
        now: Instant,
        id: DialogId,
        exchange: ExchangeId,
        response: Response,
        path: Path,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            // The call is over; a fork that answers now must still be told so.
            if response.is_success() {
                self.drop_fork(now, exchange, &response);
            }
            return;
        };
        call.path = Some(Path { local: path.local, ..path });
        match response.status {
            100 => self.try_cancel(now, id),
            101..200 => {
                if matches!(call.stage, Stage::Calling { .. }) {
                    call.dialog.learn(&response.headers);
                }
                if self.prove(now, id, &response) == Provisional::Seen {
                    return;
                }
                self.event(id, DialogEvent::Provisional(Box::new(response)));
                self.try_cancel(now, id);
            }
            200..300 => self.on_invite_answered(now, id, exchange, response),
            _ => {
                self.forget_exchange(exchange);
                self.end_call(now, id, DialogEvent::Failed(Failure::Rejected(Box::new(response))));
            }
        }
    }

    fn on_invite_answered(
        &mut self,
        now: Instant,
        id: DialogId,
        exchange: ExchangeId,
        response: Response,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let tag = response.headers.to_tag().unwrap_or("").to_owned();
        let number = response.headers.cseq().map_or(0, |c| c.number);
        let Stage::Calling { cancel, .. } = &call.stage else {
            return self.on_repeated_answer(now, id, exchange, &tag, number, &response);
        };
        let unwanted = !matches!(cancel, Cancel::No);
        call.dialog.learn(&response.headers);
        call.stage = Stage::Up;
        call.owes_ack = Some(number);
        let (auto_ack, info) = (call.auto_ack, call.info());
        self.outputs.push_back(Output::Info { id, info });
        self.learn_session(now, id, &response.headers);
        if unwanted {
            // CANCEL and 2xx crossed (RFC 3261 §9.1, §15).
            self.send_bye(now, id, &Headers::new());
            return;
        }
        if auto_ack {
            self.ack(id, &Headers::new(), None);
        }
        self.event(id, DialogEvent::Answered(Box::new(response)));
    }

    /// A 2xx after the first: repeated because our ACK was lost, or from another fork.
    pub(super) fn on_repeated_answer(
        &mut self,
        now: Instant,
        id: DialogId,
        exchange: ExchangeId,
        tag: &str,
        number: u32,
        response: &Response,
    ) {
        let Some(call) = self.calls.get(&id) else { return };
        let known = call.acks.iter().find(|a| a.tag == tag && a.cseq == number);
        if let Some((path, bytes)) = known.map(|a| (a.path, a.bytes.clone())) {
            self.outputs.push_back(Output::Transmit { path, bytes, tx: None });
        } else if call.dialog.remote_tag.as_deref() != Some(tag) {
            self.drop_fork(now, exchange, response);
        }
    }

    /// Acknowledges the 2xx of a fork that lost, and hangs it up (RFC 3261 §13.2.2.4).
    fn drop_fork(&mut self, now: Instant, exchange: ExchangeId, response: &Response) {
        let Some(exchange) = self.exchange(exchange) else { return };
        let invite = &exchange.request;
        let Some(mut dialog) = dialog_of_fork(invite, response) else { return };
        let number = response.headers.cseq().map_or(0, |c| c.number);
        let Purpose::Invite(owner) = exchange.purpose else { return };
        let hop = Hop {
            uri: dialog.next_hop(),
            transport: exchange.hop.transport,
            pinned: None,
            prefer: None,
        };
        self.route_ack(owner, dialog.ack(number), hop.clone());
        let mut bye = dialog.request(Method::Bye);
        let defaults = Defaults::of_request(&Method::Bye, true);
        finish_request(&mut bye, &Headers::new(), None, defaults, &self.config.identity);
        self.start_exchange(now, bye, hop, Purpose::Detached, None);
    }

    // --- writing ---

    fn send_ack(&mut self, id: DialogId, number: u32, headers: &Headers, body: Option<Body>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut ack = call.dialog.ack(number);
        // Credentials of the INVITE go with its ACK (RFC 3261 §22.1).
        let hop = hop_of(call);
        finish_request(
            &mut ack,
            headers,
            body,
            Defaults::of_request(&Method::Ack, true),
            &self.config.identity,
        );
        self.route_ack(id, ack, hop);
    }

    pub(super) fn remember_ack(
        &mut self,
        id: DialogId,
        ack: &Request,
        path: Path,
        bytes: bytes::Bytes,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let tag = ack.headers.to_tag().unwrap_or("").to_owned();
        let cseq = ack.headers.cseq().map_or(0, |c| c.number);
        call.acks.retain(|a| a.tag != tag);
        if call.acks.len() < MAX_FORKS {
            call.acks.push(SentAck { tag, cseq, path, bytes });
        }
    }

    /// The next request of a dialog, and where it goes.
    pub(super) fn compose(
        &mut self,
        id: DialogId,
        method: Method,
        headers: &Headers,
        body: Option<Body>,
    ) -> Option<(Request, Hop)> {
        let call = self.calls.get_mut(&id)?;
        let hop = hop_of(call);
        let mut request = call.dialog.request(method);
        if makes_target(&request.method) && headers.get(Name::Contact).is_none() {
            request.headers.push(Name::Contact, &call.dialog.contact);
        }
        if let Some(body) = body.as_ref().filter(|_| request.method == Method::Invite) {
            call.session.body = Some(body.clone());
        }
        let defaults = Defaults::of_request(&request.method, true);
        finish_request(&mut request, headers, body, defaults, &self.config.identity);
        if matches!(request.method, Method::Invite | Method::Update) {
            call.session.offer(&mut request.headers, false);
        }
        Some((request, hop))
    }
}

/// Requests that carry our `Contact`.
fn makes_target(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite | Method::Update | Method::Refer | Method::Notify | Method::Subscribe
    )
}

fn hop_of(call: &Call) -> Hop {
    // A call that was sent past its target stays on that way, unless proxies asked to stay in between.
    let detour = call.next_hop.as_ref().filter(|_| !call.dialog.has_route());
    let uri = detour.cloned().unwrap_or_else(|| call.dialog.next_hop());
    let transport = match &call.path {
        Some(path) if !uri.params().has("transport") => Some(path.transport),
        _ => call.transport.filter(|_| !uri.params().has("transport")),
    };
    // Its name is not looked up again: it might lead to another server than the one that has the call.
    let pinned = call.path.filter(|_| call.pinned || detour.is_some());
    Hop { uri, transport, pinned, prefer: call.path }
}

/// The dialog a 2xx of another fork makes.
fn dialog_of_fork(invite: &Request, response: &Response) -> Option<Dialog> {
    let headers = &invite.headers;
    let from = headers.from_addr()?;
    let contact = headers.contact()?;
    let target: Uri = response.headers.contact()?.uri;
    let number = headers.cseq().map_or(0, |c| c.number);
    let tag = headers.from_tag()?.to_owned();
    let mut dialog = Dialog::calling(
        headers.call_id().to_owned(),
        &from,
        &headers.to_addr()?,
        &contact,
        target,
        Vec::new(),
        tag,
        number,
    );
    dialog.learn(&response.headers);
    Some(dialog)
}
