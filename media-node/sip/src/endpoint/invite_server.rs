//! Calls we receive: answering the INVITE, CANCEL, ACK, and requests of the peer inside dialogs.

use std::sync::Arc;
use std::time::Instant;

use super::call::{Call, Stage};
use super::compose::{Defaults, finish_response};
use super::inbound::PendingRequest;
use super::types::{DialogEvent, DialogId, Ended, InDialog, RequestId};
use super::{Content, Endpoint, User};
use crate::dialog::{Refused, with_tag};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::transaction::TxId;
use crate::transport::Path;

impl Endpoint {
    // --- commands ---

    /// Answers the INVITE of an incoming call: 1xx, 2xx or a refusal.
    pub(crate) fn answer_invite(&mut self, now: Instant, id: DialogId, content: Content) {
        let Some(content) = self.or_wait(id, content) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Ringing { tx, request } = &call.stage else { return };
        let (tx, request) = (*tx, request.clone());
        if let Some(contact) = content.headers.get(Name::Contact).filter(|_| content.status < 300) {
            call.dialog.contact = contact.to_owned();
        }
        let status = content.status;
        let response = self.compose_invite_response(id, &request, content);
        let Some(mut response) = response else { return };
        self.number_provisional(id, &mut response);
        if !self.transactions.respond(now, tx, &response) {
            return;
        }
        match status {
            100 => {}
            ..200 => self.await_prack(now, id, response.to_bytes()),
            200..300 => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stage = Stage::Up;
                    if let Some(key) = call.merge_key.take() {
                        self.merged.remove(&key);
                    }
                }
                let cseq = request.headers.cseq().map_or(0, |c| c.number);
                if let Some(path) = self.calls.get(&id).and_then(|c| c.path) {
                    self.await_ack(now, id, cseq, response.to_bytes(), path);
                }
                self.start_session(now, id);
            }
            _ => self.end_call(now, id, DialogEvent::Terminated(Ended::ByUs)),
        }
    }

    pub(super) fn compose_invite_response(
        &mut self,
        id: DialogId,
        request: &Request,
        content: Content,
    ) -> Option<Response> {
        let call = self.calls.get_mut(&id)?;
        let Content { status, reason, headers, body } = content;
        let mut response = request.response(status, &reason);
        if status > 100 {
            response.headers.set(Name::To, &call.dialog.local);
        }
        if (101..300).contains(&status) {
            for route in request.headers.all(Name::RecordRoute) {
                response.headers.push(Name::RecordRoute, route);
            }
            if headers.get(Name::Contact).is_none() && !call.dialog.contact.is_empty() {
                response.headers.push(Name::Contact, &call.dialog.contact);
            }
        }
        let mut defaults = Defaults::of_response(&Method::Invite, status, false);
        if status > 100 && std::mem::replace(&mut call.told_accept, true) {
            defaults = defaults.without_accept();
        }
        if let Some(body) = body.as_ref().filter(|_| (101..300).contains(&status)) {
            call.session.body = Some(body.clone());
        }
        finish_response(&mut response, &headers, body, defaults, &self.config.identity);
        Self::answer_session(call, request, &mut response);
        Some(response)
    }

    /// Answers any other request of the peer.
    pub(crate) fn answer_request(&mut self, now: Instant, id: RequestId, content: Content) {
        let Some(pending) = self.pending.get(&id) else { return };
        let (tx, request, dialog) = (pending.tx, pending.request.clone(), pending.dialog);
        let Content { status, reason, headers, body } = content;
        let mut response = request.response(status, &reason);
        if status > 100 {
            let to = with_tag(request.headers.get(Name::To).unwrap_or(""), &pending.local_tag);
            response.headers.set(Name::To, to);
        }
        let in_dialog = dialog.is_some();
        if let Some(call) = dialog.and_then(|d| self.calls.get_mut(&d)) {
            let shows_contact = matches!(
                request.method,
                Method::Invite | Method::Update | Method::Refer | Method::Subscribe
            );
            if shows_contact && (101..300).contains(&status) && headers.get(Name::Contact).is_none()
            {
                response.headers.push(Name::Contact, &call.dialog.contact);
            }
            if let Some(body) = body.as_ref().filter(|_| request.method == Method::Invite) {
                call.session.body = Some(body.clone());
            }
        }
        let defaults = Defaults::of_response(&request.method, status, in_dialog);
        finish_response(&mut response, &headers, body, defaults, &self.config.identity);
        if let Some(call) = dialog.and_then(|d| self.calls.get_mut(&d)) {
            Self::answer_session(call, &request, &mut response);
        }
        if !self.transactions.respond(now, tx, &response) || status < 200 {
            return;
        }
        let path = pending_path(&self.pending, id);
        self.pending.remove(&id);
        if let Some(dialog) = dialog {
            self.settle(now, dialog, id, &request, &response, path);
        }
    }

    /// What a final answer inside a dialog changes.
    fn settle(
        &mut self,
        now: Instant,
        dialog: DialogId,
        id: RequestId,
        request: &Request,
        response: &Response,
        path: Option<Path>,
    ) {
        let Some(call) = self.calls.get_mut(&dialog) else { return };
        call.requests.retain(|r| *r != id);
        if call.reinvite_in == Some(id) {
            call.reinvite_in = None;
        }
        if !response.is_success() || !matches!(request.method, Method::Invite | Method::Update) {
            return self.next_reinvite(now, dialog);
        }
        call.dialog.refresh_target(&request.headers);
        self.start_session(now, dialog);
        if request.method == Method::Invite {
            let cseq = request.headers.cseq().map_or(0, |c| c.number);
            if let Some(path) = path {
                self.await_ack(now, dialog, cseq, response.to_bytes(), path);
            }
        }
        self.next_reinvite(now, dialog);
    }

    /// In-dialog requests go straight back to where the peer's messages come from.
    pub(crate) fn pin_to_source(&mut self, id: DialogId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.pinned = true;
        }
    }

    /// The owner let go of the call: end it as its stage demands.
    pub(crate) fn release(&mut self, now: Instant, id: DialogId) {
        match self.calls.get(&id).map(|c| &c.stage) {
            Some(Stage::Ringing { .. }) => {
                let content = Content {
                    status: 480,
                    reason: String::new(),
                    headers: Headers::new(),
                    body: None,
                };
                self.answer_invite(now, id, content);
            }
            Some(Stage::Calling { .. }) => self.cancel(now, id, Headers::new()),
            Some(Stage::Up) => self.bye(now, id, Headers::new()),
            Some(Stage::Leaving) | None => {}
        }
    }

    /// Ends every call.
    pub(crate) fn release_all(&mut self, now: Instant) {
        let mut ids: Vec<_> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.release(now, id);
        }
    }

    // --- from the wire ---

    /// An INVITE that starts a call.
    pub(super) fn on_new_call(
        &mut self,
        now: Instant,
        request: Arc<Request>,
        path: Path,
        merge_key: Box<str>,
    ) {
        let local_tag = self.tokens.tag();
        let local_seq = self.tokens.cseq();
        let Some(dialog) = crate::dialog::Dialog::of_invite(&request, local_tag, local_seq) else {
            return self.refuse_new(
                now,
                &request,
                path,
                400,
                "Missing Contact Header",
                &Headers::new(),
            );
        };
        // Odd numbers are incoming calls, even ones the owner's.
        let id = DialogId(self.next_serial() * 2 + 1);
        let tx = self.open_server(now, &request, path, User::IncomingCall(id));
        let stage = Stage::Ringing { tx, request: request.clone() };
        let mut call = Call::new(dialog, stage, self.config.session);
        call.path = Some(path);
        call.reliable = self.goes_reliably(&request);
        call.merge_key = Some(merge_key);
        let info = call.info();
        self.add_call(id, call);
        let known = self.current_is_known();
        self.outputs.push_back(super::Output::Invite { id, request, path, info, known });
    }

    pub(super) fn on_needs_trying(&mut self, now: Instant, tx: TxId, user: User) {
        if let User::IncomingCall(id) = user {
            let Some(Stage::Ringing { request, .. }) = self.calls.get(&id).map(|c| &c.stage) else {
                return;
            };
            let trying = self.trying_of(&request.clone());
            self.transactions.respond(now, tx, &trying);
        }
    }

    fn trying_of(&self, request: &Request) -> Response {
        let mut response = request.response(100, "");
        let defaults = Defaults::of_response(&request.method, 100, false);
        finish_response(&mut response, &Headers::new(), None, defaults, &self.config.identity);
        response
    }

    /// A CANCEL that matched the INVITE transaction of `user`.
    pub(super) fn on_cancel(&mut self, now: Instant, cancel: Arc<Request>, path: Path, user: User) {
        let tx = self.open_server(now, &cancel, path, User::Incoming);
        let mut ok = cancel.response(200, "");
        let id = match user {
            User::IncomingCall(id) => Some(id),
            _ => None,
        };
        if let Some(call) = id.and_then(|id| self.calls.get(&id)) {
            ok.headers.set(Name::To, &call.dialog.local);
        }
        self.transactions.respond(now, tx, &ok);
        let Some(id) = id else { return };
        let Some(call) = self.calls.get(&id) else { return };
        let Stage::Ringing { tx, request } = &call.stage else { return };
        let tx = *tx;
        let mut terminated = request.response(487, "");
        terminated.headers.set(Name::To, &call.dialog.local);
        let defaults = Defaults::of_response(&Method::Invite, 487, false).without_accept();
        finish_response(&mut terminated, &Headers::new(), None, defaults, &self.config.identity);
        self.transactions.respond(now, tx, &terminated);
        self.end_call(now, id, DialogEvent::Cancelled(cancel));
    }

    /// An ACK that is not for a refusal.
    pub(super) fn on_ack(&mut self, now: Instant, id: DialogId, ack: Arc<Request>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.dialog.admit(&ack) == Err(Refused::Foreign) {
            return;
        }
        let number = ack.headers.cseq().map_or(0, |c| c.number);
        if call.unacked.as_ref().is_none_or(|u| u.cseq != number) {
            return;
        }
        call.unacked = None;
        let bye = call.bye_after_ack.take();
        self.event(id, DialogEvent::Acked(ack));
        match bye {
            Some(headers) => self.send_bye(now, id, &headers),
            None => self.next_reinvite(now, id),
        }
    }

    /// A request inside a dialog, not ACK or CANCEL.
    pub(super) fn on_in_dialog(
        &mut self,
        now: Instant,
        id: DialogId,
        request: Arc<Request>,
        path: Path,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.dialog.admit(&request) {
            Ok(()) => {}
            Err(Refused::Foreign) => return self.refuse_unknown_dialog(&request, path),
            Err(Refused::OutOfOrder) => {
                return self.refuse_new(now, &request, path, 500, "", &Headers::new());
            }
        }
        call.path = Some(path);
        if matches!(request.method, Method::Invite | Method::Update)
            && let Some(headers) = self.refuses_session(&request)
        {
            return self.refuse_new(now, &request, path, 422, "", &headers);
        }
        match request.method {
            Method::Bye => self.on_bye(now, id, request, path),
            Method::Invite => self.on_reinvite(now, id, request, path),
            Method::Options => self.refuse_new(now, &request, path, 200, "", &Headers::new()),
            Method::Prack => self.on_prack(now, id, request, path),
            Method::Update if !request.body.is_empty() && self.offer_is_open(id).is_some() => {
                // RFC 3311 §5.2: offers that meet are refused, one within another's answer waits.
                let ours = self.offer_is_open(id) == Some(Offerer::Us);
                let retry: Headers = [("Retry-After", "5")].into_iter().collect();
                let (status, headers) = if ours { (491, Headers::new()) } else { (500, retry) };
                self.refuse_new(now, &request, path, status, "", &headers);
            }
            Method::Update | Method::Info | Method::Refer | Method::Notify | Method::Message => {
                self.hand_over(now, id, request, path);
            }
            _ => self.refuse_method(now, &request, path),
        }
    }

    fn on_bye(&mut self, now: Instant, id: DialogId, request: Arc<Request>, path: Path) {
        self.refuse_new(now, &request, path, 200, "", &Headers::new());
        if let Some(Stage::Ringing { tx, request: invite }) = self.calls.get(&id).map(|c| &c.stage)
        {
            // BYE of an early dialog ends its INVITE too (RFC 3261 §15.1.2).
            let (tx, invite) = (*tx, invite.clone());
            let content =
                Content { status: 487, reason: String::new(), headers: Headers::new(), body: None };
            if let Some(response) = self.compose_invite_response(id, &invite, content) {
                self.transactions.respond(now, tx, &response);
            }
        }
        self.end_call(now, id, DialogEvent::Bye(request));
    }

    /// Whose re-INVITE of an established call waits for its answer.
    fn offer_is_open(&self, id: DialogId) -> Option<Offerer> {
        let call = self.calls.get(&id).filter(|call| matches!(call.stage, Stage::Up))?;
        let ours = call.reinvite_out.is_some().then_some(Offerer::Us);
        ours.or_else(|| call.reinvite_in.is_some().then_some(Offerer::Peer))
    }

    fn on_reinvite(&mut self, now: Instant, id: DialogId, request: Arc<Request>, path: Path) {
        let Some(call) = self.calls.get(&id) else { return };
        if matches!(call.stage, Stage::Ringing { .. }) || call.reinvite_in.is_some() {
            let retry: Headers = [("Retry-After", "5")].into_iter().collect();
            return self.refuse_new(now, &request, path, 500, "", &retry);
        }
        if call.reinvite_out.is_some() || !matches!(call.stage, Stage::Up) {
            return self.refuse_new(now, &request, path, 491, "", &Headers::new());
        }
        let trying = self.trying_of(&request);
        let Some((tx, request_id)) = self.hand_over(now, id, request, path) else { return };
        self.transactions.respond(now, tx, &trying);
        if let Some(call) = self.calls.get_mut(&id) {
            call.reinvite_in = Some(request_id);
        }
    }

    /// Opens a transaction and passes the request to the dialog's owner.
    fn hand_over(
        &mut self,
        now: Instant,
        id: DialogId,
        request: Arc<Request>,
        path: Path,
    ) -> Option<(TxId, RequestId)> {
        let tx = self.open_server(now, &request, path, User::Incoming);
        let request_id = RequestId(self.next_serial());
        let call = self.calls.get_mut(&id)?;
        call.requests.push(request_id);
        let local_tag = call.dialog.local_tag.clone();
        let pending =
            PendingRequest { tx, request: request.clone(), path, local_tag, dialog: Some(id) };
        self.pending.insert(request_id, pending);
        let in_dialog = InDialog { id: request_id, request };
        let event = match in_dialog.request.method {
            Method::Invite => DialogEvent::Reinvite(in_dialog),
            Method::Update => DialogEvent::Update(in_dialog),
            Method::Info => DialogEvent::Info(in_dialog),
            Method::Refer => DialogEvent::Refer(in_dialog),
            Method::Notify => DialogEvent::Notify(in_dialog),
            _ => DialogEvent::Message(in_dialog),
        };
        self.event(id, event);
        Some((tx, request_id))
    }

    /// Answers what a removed call leaves behind.
    pub(super) fn answer_orphan(&mut self, now: Instant, id: RequestId) {
        let status = match self.pending.get(&id).map(|p| &p.request.method) {
            Some(Method::Invite) => 487,
            Some(_) => 481,
            None => return,
        };
        let content =
            Content { status, reason: String::new(), headers: Headers::new(), body: None };
        self.answer_request(now, id, content);
    }
}

/// Who made the offer that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offerer {
    Us,
    Peer,
}

fn pending_path(
    pending: &std::collections::HashMap<RequestId, PendingRequest>,
    id: RequestId,
) -> Option<Path> {
    pending.get(&id).map(|p| p.path)
}
