//! Server transactions (RFC 3261 §17.2, RFC 6026 §7.1).

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::{Effects, Fired, Timer};
use crate::message::{Request, Response};
use crate::transport::Path;

/// An INVITE not answered by then gets a 100 of the stack's own (RFC 3261 §17.2.1).
const AUTO_TRYING: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerState {
    Trying,
    Proceeding,
    Completed,
    /// INVITE: the failure is acknowledged; further ACKs are absorbed.
    Confirmed,
    /// INVITE: answered 2xx; the dialog repeats it, the transaction absorbs repeated INVITEs.
    Accepted,
}

/// What an ACK means to the transaction it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckFor {
    /// A failure: nothing for the user.
    Failure,
    /// A 2xx whose ACK (wrongly) repeats the branch: for the dialog.
    Success,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) path: Path,
    invite: bool,
    state: ServerState,
    last: Option<Answer>,
    interval: Duration,
    retransmit: Option<Instant>,
    timeout: Option<Instant>,
    trying: Option<Instant>,
}

impl Server {
    pub(super) fn start(invite: bool, path: Path, fx: &mut Effects<'_>) -> Self {
        Self {
            path,
            invite,
            state: ServerState::Trying,
            last: None,
            interval: fx.timers.t1,
            retransmit: None,
            timeout: None,
            trying: invite.then(|| fx.arm(Timer::Trying, AUTO_TRYING)).flatten(),
        }
    }

    /// True while a final response may still be sent.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, ServerState::Trying | ServerState::Proceeding)
    }

    /// Bytes kept to answer again.
    pub(super) fn kept(&self) -> usize {
        self.last.as_ref().map_or(0, Answer::size)
    }

    pub(super) fn on_repeated_request(&mut self, request: &Request, fx: &mut Effects<'_>) {
        if let (ServerState::Proceeding | ServerState::Completed, Some(last)) =
            (self.state, &self.last)
        {
            fx.send(&self.path, &last.again(request));
        }
    }

    pub(super) fn on_ack(&mut self, fx: &mut Effects<'_>) -> AckFor {
        match self.state {
            ServerState::Completed if self.invite => {
                self.state = ServerState::Confirmed;
                self.retransmit = None;
                let linger =
                    if self.path.transport.is_reliable() { Duration::ZERO } else { fx.timers.t4 };
                self.timeout = fx.arm(Timer::Timeout, linger);
                AckFor::Failure
            }
            ServerState::Accepted => AckFor::Success,
            _ => AckFor::Failure,
        }
    }

    /// Sends a response; false when the transaction has had its final one.
    pub(super) fn respond(&mut self, response: &Response, fx: &mut Effects<'_>) -> bool {
        if !self.is_pending() {
            return false;
        }
        let (status, bytes) = (response.status, response.to_bytes());
        fx.send(&self.path, &bytes);
        // Who has heard nothing yet repeats its INVITE, and is answered again. Repeating a refusal unasked would send
        // a forged source eleven answers to one question (RFC 3261 §26.3.2.4).
        let unheard = self.state == ServerState::Trying;
        self.trying = None;
        let repeats_unasked = self.invite && status >= 300 && !unheard;
        self.last = Some(match status {
            200.. if !repeats_unasked => Answer::to_repeated(response, bytes),
            _ => Answer::Whole(bytes),
        });
        let reliable = self.path.transport.is_reliable();
        match status {
            ..200 => self.state = ServerState::Proceeding,
            200..300 if self.invite => {
                self.state = ServerState::Accepted;
                self.last = None;
                self.timeout = fx.arm(Timer::Timeout, fx.timers.t1x64);
            }
            _ if self.invite => {
                self.state = ServerState::Completed;
                if !reliable && !unheard {
                    self.retransmit = fx.arm(Timer::Retransmit, self.interval);
                }
                self.timeout = fx.arm(Timer::Timeout, fx.timers.t1x64);
            }
            _ => {
                self.state = ServerState::Completed;
                let linger = if reliable { Duration::ZERO } else { fx.timers.t1x64 };
                self.timeout = fx.arm(Timer::Timeout, linger);
            }
        }
        true
    }

    pub(super) fn on_timer(&mut self, timer: Timer, at: Instant, fx: &mut Effects<'_>) -> Fired {
        match timer {
            Timer::Trying if self.trying == Some(at) => {
                self.trying = None;
                Fired::NeedsTrying
            }
            Timer::Retransmit
                if self.retransmit == Some(at) && self.state == ServerState::Completed =>
            {
                if let Some(Answer::Whole(last)) = &self.last {
                    fx.send(&self.path, last);
                }
                self.interval = (self.interval * 2).min(fx.timers.t2);
                self.retransmit = fx.arm(Timer::Retransmit, self.interval);
                Fired::Continue
            }
            // Timer H: our refusal was not acknowledged. There is no user of the transaction left to tell.
            Timer::Timeout if self.timeout == Some(at) => Fired::Finished,
            _ => Fired::Continue,
        }
    }
}
