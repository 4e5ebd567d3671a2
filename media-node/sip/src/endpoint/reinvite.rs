//! Our re-INVITEs: one at a time; those that must wait wait, and those that met one of the peer's go again (RFC 3261 §14).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::call::{CallTimer, Stage};
use super::exchange::{ExchangeId, Purpose};
use super::types::{Body, DialogEvent, DialogId, Failure, RequestError};
use crate::message::{Headers, Method, Response};
use crate::transport::Path;

/// Re-INVITEs that met one of the peer's go again so often.
const MAX_GLARES: u8 = 4;

/// A re-INVITE to be sent.
#[derive(Clone, Debug)]
pub(super) struct Reinvite {
    headers: Headers,
    body: Option<Body>,
    /// Only refreshes the session: the owner did not ask for it and hears of it only if it changes something.
    pub(super) refresh: bool,
    glares: u8,
}

impl Reinvite {
    pub(super) fn new(headers: Headers, body: Option<Body>) -> Self {
        Self { headers, body, refresh: false, glares: 0 }
    }

    /// One that only says we are still there.
    pub(super) fn refresh(body: Option<Body>) -> Self {
        Self { refresh: true, ..Self::new(Headers::new(), body) }
    }
}

/// One that waits, for a time or for another to end.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) until: Option<Instant>,
    what: Reinvite,
}

impl Endpoint {
    /// Offers new session parameters. While another offer is under way this one waits, the newest of several.
    pub(crate) fn reinvite(
        &mut self,
        now: Instant,
        id: DialogId,
        headers: &Headers,
        body: Option<Body>,
    ) {
        self.offer_again(now, id, Reinvite::new(headers.clone(), body));
    }

    pub(super) fn offer_again(&mut self, now: Instant, id: DialogId, what: Reinvite) {
        let Some(call) = self.calls.get_mut(&id) else {
            return self.reinvite_failed(id, &what, RequestError::WrongState);
        };
        if !matches!(call.stage, Stage::Up) {
            return self.reinvite_failed(id, &what, RequestError::WrongState);
        }
        // Nothing may be offered before our last answer is acknowledged (RFC 3261 §14.1).
        if call.reinvite_out.is_some() || call.reinvite_in.is_some() || call.unacked.is_some() {
            let replaced = call.waiting.replace(Waiting { until: None, what });
            if let Some(replaced) = replaced {
                self.reinvite_failed(id, &replaced.what, RequestError::WrongState);
            }
            return;
        }
        let credentials = call.credentials.clone();
        let kept = what.clone();
        let started = self.compose(id, Method::Invite, &what.headers, what.body).and_then(
            |(request, hop)| {
                self.start_exchange(now, request, hop, Purpose::Reinvite(id), credentials)
            },
        );
        match (started, self.calls.get_mut(&id)) {
            (Some(exchange), Some(call)) => {
                call.reinvite_out = Some(exchange);
                call.reinviting = Some(kept);
            }
            _ => self.reinvite_failed(id, &kept, RequestError::Overloaded),
        }
    }

    fn reinvite_failed(&mut self, id: DialogId, what: &Reinvite, error: RequestError) {
        if !what.refresh {
            self.event(id, DialogEvent::ReinviteDone(Err(Failure::NoResponse(error))));
        }
    }

    /// Sends what waited, now that nothing is in its way.
    pub(super) fn next_reinvite(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.waiting.as_ref().is_some_and(|waiting| waiting.until.is_none())
            && let Some(waiting) = call.waiting.take()
        {
            self.offer_again(now, id, waiting.what);
        }
    }

    pub(super) fn on_glare_over(&mut self, now: Instant, at: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.waiting.as_ref().is_some_and(|waiting| waiting.until == Some(at))
            && let Some(waiting) = call.waiting.take()
        {
            self.offer_again(now, id, waiting.what);
        }
    }

    /// 491: goes again after a while, as long as nothing newer waits. False when it has tried often enough.
    fn after_glare(&mut self, now: Instant, id: DialogId, what: &Reinvite) -> bool {
        let jitter = u64::from(self.tokens.cseq() % 190) * 10;
        let Some(call) = self.calls.get_mut(&id) else { return false };
        if what.glares >= MAX_GLARES || call.waiting.is_some() {
            return false;
        }
        // The side that made the Call-ID waits longer, so that the two do not meet again (RFC 3261 §14.1).
        let least = if call.originated { 2100 } else { 10 };
        let until = now + Duration::from_millis(least + jitter);
        let what = Reinvite { glares: what.glares + 1, ..what.clone() };
        call.waiting = Some(Waiting { until: Some(until), what });
        self.call_timers.arm(until, (id, CallTimer::Glare));
        true
    }

    pub(super) fn on_reinvite_response(
        &mut self,
        now: Instant,
        id: DialogId,
        exchange: ExchangeId,
        response: Response,
        path: Path,
    ) {
        if response.status < 200 {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            self.forget_exchange(exchange);
            return;
        };
        call.path = Some(path);
        let number = response.headers.cseq().map_or(0, |c| c.number);
        let tag = response.headers.to_tag().unwrap_or("").to_owned();
        if call.reinvite_out != Some(exchange) {
            return self.on_repeated_answer(now, id, exchange, &tag, number, &response);
        }
        call.reinvite_out = None;
        let what = call.reinviting.take();
        if !response.is_success() {
            self.forget_exchange(exchange);
            self.on_reinvite_refused(now, id, what, response);
            return;
        }
        call.dialog.refresh_target(&response.headers);
        call.owes_ack = Some(number);
        if call.auto_ack || what.as_ref().is_some_and(|w| w.refresh) {
            self.ack(id, &Headers::new(), None);
        }
        self.learn_session(now, id, &response.headers);
        self.event(id, DialogEvent::ReinviteDone(Ok(Box::new(response))));
        self.next_reinvite(now, id);
    }

    fn on_reinvite_refused(
        &mut self,
        now: Instant,
        id: DialogId,
        what: Option<Reinvite>,
        response: Response,
    ) {
        let status = response.status;
        let again = what.as_ref().is_some_and(|w| status == 491 && self.after_glare(now, id, w));
        if !again && !what.is_some_and(|w| w.refresh) {
            self.event(id, DialogEvent::ReinviteDone(Err(Failure::Rejected(Box::new(response)))));
        }
        if matches!(status, 408 | 481) {
            self.peer_gone(now, id);
        }
        self.next_reinvite(now, id);
    }

    /// No answer at all to our re-INVITE.
    pub(super) fn on_reinvite_lost(&mut self, now: Instant, id: DialogId, error: RequestError) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.reinvite_out = None;
        match call.reinviting.take() {
            // A peer that does not answer a refresh is gone (RFC 4028 §10).
            Some(what) if what.refresh && error == RequestError::Timeout => {
                self.end_session(now, id)
            }
            Some(what) => {
                self.reinvite_failed(id, &what, error);
                self.next_reinvite(now, id);
            }
            None => {}
        }
    }
}
