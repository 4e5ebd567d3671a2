//! Client transactions (RFC 3261 §17.1, RFC 6026 §7.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Effects, Fired, Timer};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::transport::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    /// "Calling" for INVITE.
    Trying,
    Proceeding,
    Completed,
    /// INVITE only: a 2xx came; later ones (forks, repeats) still pass.
    Accepted,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) request: Box<Request>,
    pub(super) path: Path,
    bytes: Bytes,
    ack: Option<Bytes>,
    state: ClientState,
    interval: Duration,
    retransmit: Option<Instant>,
    timeout: Option<Instant>,
}

/// What the transaction user gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Absorb,
}

impl Client {
    pub(super) fn start(
        request: Box<Request>,
        bytes: Bytes,
        path: Path,
        fx: &mut Effects<'_>,
    ) -> Self {
        let mut client = Self {
            request,
            path,
            bytes,
            ack: None,
            state: ClientState::Trying,
            interval: fx.timers.t1,
            retransmit: None,
            timeout: None,
        };
        fx.send(&client.path, &client.bytes);
        if !path.transport.is_reliable() {
            client.retransmit = fx.arm(Timer::Retransmit, client.interval);
        }
        client.timeout = fx.arm(Timer::Timeout, fx.timers.t1x64);
        client
    }

    fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// True while a final response may still come.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, ClientState::Trying | ClientState::Proceeding)
    }

    /// True while the peer has said nothing at all.
    pub(super) fn is_unanswered(&self) -> bool {
        self.state == ClientState::Trying
    }

    /// True once a provisional response came, so that CANCEL is allowed (RFC 3261 §9.1).
    pub(super) fn is_proceeding(&self) -> bool {
        self.state == ClientState::Proceeding
    }

    pub(super) fn on_response(&mut self, response: &Response, fx: &mut Effects<'_>) -> Verdict {
        match (self.state, response.status) {
            (ClientState::Trying | ClientState::Proceeding, 100..200) => self.on_provisional(fx),
            (ClientState::Trying | ClientState::Proceeding, _) => self.on_final(response, fx),
            (ClientState::Accepted, 200..300) => Verdict::Pass,
            (ClientState::Completed, 300..) => {
                if let Some(ack) = &self.ack {
                    fx.send(&self.path, ack);
                }
                Verdict::Absorb
            }
            _ => Verdict::Absorb,
        }
    }

    fn on_provisional(&mut self, fx: &mut Effects<'_>) -> Verdict {
        if self.state == ClientState::Trying {
            self.state = ClientState::Proceeding;
            if self.is_invite() {
                (self.retransmit, self.timeout) = (None, None);
            } else if self.retransmit.is_some() {
                self.interval = fx.timers.t2;
            }
        }
        Verdict::Pass
    }

    fn on_final(&mut self, response: &Response, fx: &mut Effects<'_>) -> Verdict {
        let reliable = self.path.transport.is_reliable();
        self.retransmit = None;
        let linger = if !self.is_invite() {
            self.state = ClientState::Completed;
            if reliable { Duration::ZERO } else { fx.timers.t4 }
        } else if response.is_success() {
            self.state = ClientState::Accepted;
            fx.timers.t1x64
        } else {
            self.state = ClientState::Completed;
            let ack = ack_of_failure(&self.request, response).to_bytes();
            fx.send(&self.path, &ack);
            self.ack = Some(ack);
            if reliable { Duration::ZERO } else { fx.timers.t1x64 }
        };
        // Nothing is repeated from here on but the ACK, for half a minute.
        self.bytes = Bytes::new();
        self.request.headers = Headers::new();
        self.request.body = Bytes::new();
        self.timeout = fx.arm(Timer::Timeout, linger);
        Verdict::Pass
    }

    pub(super) fn on_timer(&mut self, timer: Timer, at: Instant, fx: &mut Effects<'_>) -> Fired {
        match timer {
            Timer::Retransmit if self.retransmit == Some(at) && self.is_pending() => {
                fx.send(&self.path, &self.bytes);
                self.interval = match self.state {
                    ClientState::Trying if self.is_invite() => self.interval * 2,
                    ClientState::Trying => (self.interval * 2).min(fx.timers.t2),
                    _ => fx.timers.t2,
                };
                self.retransmit = fx.arm(Timer::Retransmit, self.interval);
                Fired::Continue
            }
            Timer::Timeout if self.timeout == Some(at) => {
                if self.is_pending() {
                    Fired::TimedOut
                } else {
                    Fired::Finished
                }
            }
            _ => Fired::Continue,
        }
    }
}

/// ACK for a non-2xx final response (RFC 3261 §17.1.1.3): the INVITE's own Via, Route and Request-URI.
fn ack_of_failure(invite: &Request, response: &Response) -> Request {
    let mut ack = Request::new(Method::Ack, invite.uri.clone());
    copy_for_ack_or_cancel(invite, &mut ack);
    if let Some(to) = response.headers.get(Name::To) {
        ack.headers.set(Name::To, to);
    }
    let number = invite.headers.cseq().map_or(0, |c| c.number);
    ack.headers.push(Name::CSeq, format!("{number} ACK"));
    ack
}

/// CANCEL for a pending INVITE (RFC 3261 §9.1).
pub(super) fn cancel_of(invite: &Request) -> Request {
    let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
    copy_for_ack_or_cancel(invite, &mut cancel);
    let number = invite.headers.cseq().map_or(0, |c| c.number);
    cancel.headers.push(Name::CSeq, format!("{number} CANCEL"));
    cancel
}

fn copy_for_ack_or_cancel(invite: &Request, out: &mut Request) {
    if let Some(via) = invite.headers.get(Name::Via) {
        out.headers.push(Name::Via, via);
    }
    for name in [Name::Route, Name::MaxForwards, Name::From, Name::To, Name::CallId] {
        for value in invite.headers.all(name) {
            out.headers.push(name, value);
        }
    }
}
