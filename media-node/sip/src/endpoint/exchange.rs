//! Our requests on their way to a final response, over as many transactions as challenges demand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::call::{Cancel, Stage};
use super::types::{DialogEvent, DialogId, Ended, Failure, Reply, RequestError};
use super::{Endpoint, Output, Token, User};
use crate::digest::{AuthRequest, Authorizer, Challenge};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::transaction::TxId;
use crate::transport::{Path, Transport};
use crate::uri::Uri;

/// Challenges answered per request: a proxy's, the server's, and one stale nonce.
const MAX_CHALLENGES: u8 = 3;

/// Names an exchange; slab index and a serial against reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExchangeId {
    pub(super) index: usize,
    pub(super) serial: u64,
}

/// Whom the result concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE of a call.
    Invite(DialogId),
    Reinvite(DialogId),
    Bye(DialogId),
    /// An UPDATE of our own that keeps the session alive.
    Refresh(DialogId),
    /// Another request in a dialog.
    InDialog(DialogId, Token),
    /// Outside dialogs.
    Single(Token),
    /// Nothing waits for it.
    Detached,
}

impl Purpose {
    /// The dialog the request belongs to.
    pub(super) fn dialog(self) -> Option<DialogId> {
        match self {
            Self::Invite(d) | Self::Reinvite(d) | Self::Bye(d) | Self::Refresh(d) => Some(d),
            Self::InDialog(d, _) => Some(d),
            Self::Single(_) | Self::Detached => None,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) uri: Uri,
    pub(super) transport: Option<Transport>,
    /// Send exactly there, without looking at the URI.
    pub(super) pinned: Option<Path>,
    /// Reuse this connection when the address turns out to be its.
    pub(super) prefer: Option<Path>,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) serial: u64,
    /// Without `Via`.
    pub(super) request: Request,
    pub(super) hop: Hop,
    pub(super) purpose: Purpose,
    pub(super) credentials: Option<Arc<dyn Authorizer>>,
    pub(super) challenges: u8,
    /// Intervals raised after a 422.
    pub(super) raises: u8,
    /// Further addresses of the next hop, to be tried when this one fails (RFC 3263 §4.3).
    pub(super) alternatives: VecDeque<Path>,
    /// `None` while the next hop's name is being looked up.
    pub(super) tx: Option<TxId>,
    pub(super) sent_at: Instant,
}

impl Endpoint {
    /// Sends a request. `None` when the stack is full.
    pub(super) fn start_exchange(
        &mut self,
        now: Instant,
        mut request: Request,
        hop: Hop,
        purpose: Purpose,
        credentials: Option<Arc<dyn Authorizer>>,
    ) -> Option<ExchangeId> {
        if self.transactions.len() >= self.config.limits.transactions {
            return None;
        }
        if let Some(who) = &credentials {
            let ahead = who.ahead(&auth_request(&request, &hop, None));
            put_credentials(&mut request.headers, ahead);
        }
        // It is kept for half a minute after the answer.
        request.headers.shrink();
        let serial = self.next_serial();
        let exchange = Exchange {
            serial,
            request,
            hop,
            purpose,
            credentials,
            challenges: 0,
            raises: 0,
            alternatives: VecDeque::new(),
            tx: None,
            sent_at: now,
        };
        let id = ExchangeId { index: self.exchanges.insert(exchange), serial };
        self.route_exchange(now, id);
        Some(id)
    }

    pub(super) fn exchange(&self, id: ExchangeId) -> Option<&Exchange> {
        self.exchanges.get(id.index).filter(|e| e.serial == id.serial)
    }

    pub(super) fn exchange_mut(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        self.exchanges.get_mut(id.index).filter(|e| e.serial == id.serial)
    }

    pub(super) fn forget_exchange(&mut self, id: ExchangeId) {
        if self.exchange(id).is_some() {
            self.exchanges.remove(id.index);
        }
    }

    /// A response that matched a transaction of this exchange.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        id: ExchangeId,
        response: Response,
        path: Path,
    ) {
        let Some(exchange) = self.exchange(id) else { return };
        let purpose = exchange.purpose;
        if matches!(response.status, 401 | 407) && self.answer_challenge(now, id, &response, path) {
            return;
        }
        if response.status == 422 && self.raise_session(now, id, &response) {
            return;
        }
        if response.status == 503 && self.try_alternative(now, id) {
            return;
        }
        let is_final = response.status >= 200;
        match purpose {
            Purpose::Invite(call) => self.on_invite_response(now, call, id, response, path),
            Purpose::Reinvite(call) => self.on_reinvite_response(now, call, id, response, path),
            _ if !is_final => {}
            Purpose::Bye(call) => {
                self.forget_exchange(id);
                self.end_call(now, call, DialogEvent::Terminated(Ended::ByUs));
            }
            Purpose::Refresh(call) => {
                self.forget_exchange(id);
                self.on_refreshed(now, call, &response);
            }
            Purpose::InDialog(call, token) => {
                self.on_in_dialog_reply(now, call, token, id, response, path)
            }
            Purpose::Single(token) => self.on_single_reply(now, token, id, response, path),
            Purpose::Detached => self.forget_exchange(id),
        }
    }

    fn on_in_dialog_reply(
        &mut self,
        now: Instant,
        call: DialogId,
        token: Token,
        id: ExchangeId,
        response: Response,
        path: Path,
    ) {
        // Of a subscription in the dialog 481 says that this is gone, not the call (RFC 5057 §5.2); of a PRACK, that it
        // acknowledges nothing (RFC 3262 §3).
        let method = self.exchange(id).map(|e| e.request.method.clone());
        let of_call = !matches!(
            method,
            Some(Method::Notify | Method::Subscribe | Method::Refer | Method::Prack)
        );
        let gone = response.status == 481 && of_call;
        let refresh = response.is_success()
            && self.exchange(id).is_some_and(|e| e.request.method == Method::Update);
        if let Some(state) = self.calls.get_mut(&call).filter(|_| refresh) {
            state.dialog.refresh_target(&response.headers);
            self.learn_session(now, call, &response.headers);
        }
        self.on_single_reply(now, token, id, response, path);
        if gone {
            self.peer_gone(now, call);
        }
    }

    fn on_single_reply(
        &mut self,
        now: Instant,
        token: Token,
        id: ExchangeId,
        response: Response,
        path: Path,
    ) {
        let Some(exchange) = self.exchange(id) else { return };
        let headers = &exchange.request.headers;
        let reply = Reply {
            cseq: headers.cseq().map_or(0, |c| c.number),
            from_tag: headers.from_tag().unwrap_or("").to_owned(),
            round_trip: now.saturating_duration_since(exchange.sent_at),
            response,
            path,
        };
        self.forget_exchange(id);
        self.outputs.push_back(Output::Reply { token, result: Ok(Box::new(reply)) });
    }

    /// Repeats the request with credentials; false when there are none that fit.
    fn answer_challenge(
        &mut self,
        now: Instant,
        id: ExchangeId,
        response: &Response,
        path: Path,
    ) -> bool {
        let Some(exchange) = self.exchange_mut(id) else { return false };
        let Some(who) =
            exchange.credentials.clone().filter(|_| exchange.challenges < MAX_CHALLENGES)
        else {
            return false;
        };
        let challenges = Challenge::all_of(response);
        let refused_before =
            exchange.challenges > 0 && !challenges.iter().any(|c| c.stale || c.proxy);
        if refused_before {
            return false;
        }
        let asked = auth_request(&exchange.request, &exchange.hop, Some(path));
        let answers = who.answer(&challenges, &asked);
        if answers.is_empty() {
            return false;
        }
        exchange.challenges += 1;
        put_credentials(&mut exchange.request.headers, answers);
        self.renumber(id);
        self.route_exchange(now, id);
        true
    }

    /// Gives a repeated request the next number of its series.
    pub(super) fn renumber(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id.index).filter(|e| e.serial == id.serial)
        else {
            return;
        };
        let dialog = exchange.purpose.dialog();
        let last = exchange.request.headers.cseq().map_or(0, |c| c.number);
        let next = match dialog.and_then(|d| self.calls.get_mut(&d)) {
            Some(call) => {
                call.dialog.local_seq = call.dialog.local_seq.max(last) + 1;
                call.dialog.local_seq
            }
            None => last.saturating_add(1),
        };
        let cseq = format!("{next} {}", exchange.request.method);
        exchange.request.headers.set(Name::CSeq, cseq);
    }

    /// Sends the request to the next address of its next hop; false when there is none, or nothing wants it any more.
    fn try_alternative(&mut self, now: Instant, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchange(id) else { return false };
        if let Purpose::Invite(call) = exchange.purpose {
            let wanted = self.calls.get(&call).is_some_and(|call| {
                matches!(&call.stage, Stage::Calling { cancel: Cancel::No, .. })
            });
            if !wanted {
                return false;
            }
        }
        let Some(path) = self.exchange_mut(id).and_then(|e| e.alternatives.pop_front()) else {
            return false;
        };
        tracing::debug!(peer = %path.remote, "trying the next address");
        self.launch(now, id, path);
        true
    }

    /// No final response will come from there.
    pub(super) fn exchange_failed(&mut self, now: Instant, id: ExchangeId, error: RequestError) {
        if self.try_alternative(now, id) {
            return;
        }
        let Some(purpose) = self.exchange(id).map(|e| e.purpose) else { return };
        self.forget_exchange(id);
        match purpose {
            Purpose::Invite(call) => {
                self.end_call(now, call, DialogEvent::Failed(Failure::NoResponse(error)));
            }
            Purpose::Reinvite(call) => {
                self.on_reinvite_lost(now, call, error);
            }
            Purpose::Bye(call) => self.end_call(now, call, DialogEvent::Terminated(Ended::ByUs)),
            Purpose::Refresh(call) if error == RequestError::Timeout => self.end_session(now, call),
            Purpose::Refresh(_) => {}
            Purpose::InDialog(_, token) | Purpose::Single(token) => {
                self.outputs.push_back(Output::Reply { token, result: Err(error) });
            }
            Purpose::Detached => {}
        }
    }

    /// The user of a client transaction for this exchange.
    pub(super) fn user_of(id: ExchangeId) -> User {
        User::Exchange(id)
    }
}

fn auth_request<'a>(request: &'a Request, hop: &'a Hop, source: Option<Path>) -> AuthRequest<'a> {
    AuthRequest {
        method: request.method.as_str(),
        uri: request.uri.as_str(),
        to: request.headers.get(Name::To).unwrap_or(""),
        body: &request.body,
        hop: hop.uri.host(),
        source: source.map(|p| p.remote),
    }
}

fn put_credentials(headers: &mut Headers, answers: Vec<(Name, String)>) {
    for (name, _) in &answers {
        headers.remove(*name);
    }
    for (name, value) in answers {
        headers.push(name, value);
    }
}
