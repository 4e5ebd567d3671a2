//! A call as the endpoint keeps it: the dialog, where its INVITE stands, and what waits for an ACK.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::exchange::ExchangeId;
use super::reinvite::{Reinvite, Waiting};
use super::reliable::Reliable;
use super::session_timer::{Session, SessionTimers};
use super::types::{DialogEvent, DialogId, DialogInfo, Ended, RequestId};
use super::{Endpoint, Output};
use crate::dialog::Dialog;
use crate::digest::Authorizer;
use crate::message::{Headers, Request};
use crate::transaction::TxId;
use crate::transport::{Path, Transport};
use crate::uri::Uri;

/// Most forks of one INVITE remembered, to acknowledge their repeated 2xx.
pub(super) const MAX_FORKS: usize = 16;

/// Where the INVITE that made the call stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// We called; no final response yet.
    Calling { exchange: ExchangeId, cancel: Cancel },
    /// We were called and have not answered.
    Ringing { tx: TxId, request: Arc<Request> },
    /// Answered, by either side.
    Up,
    /// Our BYE is on its way.
    Leaving,
}

/// Whether the owner wants the call it is making to stop.
#[derive(Debug)]
pub(super) enum Cancel {
    No,
    /// Wanted, but no 1xx yet allows it (RFC 3261 §9.1).
    Wanted(Headers),
    Sent,
}

/// A 2xx of ours that has not been acknowledged (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) cseq: u32,
    pub(super) bytes: Bytes,
    pub(super) path: Path,
    pub(super) interval: Duration,
    pub(super) repeat_at: Instant,
    pub(super) give_up_at: Instant,
}

/// An ACK we sent, to be repeated when its 2xx is.
#[derive(Debug)]
pub(super) struct SentAck {
    pub(super) tag: String,
    pub(super) cseq: u32,
    pub(super) path: Path,
    pub(super) bytes: Bytes,
}

/// Timers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallTimer {
    /// Repeat an unacknowledged 2xx.
    Repeat,
    /// Stop repeating and hang up.
    NoAck,
    /// The cancelled INVITE never got its final response.
    Cancelled,
    /// Refresh the session, or end it.
    Session,
    /// A re-INVITE that met one of the peer's goes again.
    Glare,
    /// Repeat a provisional response that has no PRACK.
    Prack,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) dialog: Dialog,
    pub(super) stage: Stage,
    /// How the peer's last message came; in-dialog requests reuse its connection.
    pub(super) path: Option<Path>,
    /// Ignore route set and target: the peer is behind NAT and reachable only where it sent from.
    pub(super) pinned: bool,
    pub(super) next_hop: Option<Uri>,
    pub(super) transport: Option<Transport>,
    pub(super) credentials: Option<Arc<dyn Authorizer>>,
    pub(super) auto_ack: bool,
    /// Our INVITE answers have shown `Accept`.
    pub(super) told_accept: bool,
    /// `CSeq` of an INVITE of ours whose 2xx waits for the owner's ACK.
    pub(super) owes_ack: Option<u32>,
    pub(super) acks: Vec<SentAck>,
    pub(super) unacked: Option<Unacked>,
    /// BYE wanted while our 2xx was not acknowledged (RFC 3261 §15).
    pub(super) bye_after_ack: Option<Headers>,
    pub(super) reinvite_out: Option<ExchangeId>,
    /// What `reinvite_out` sends.
    pub(super) reinviting: Option<Reinvite>,
    /// The re-INVITE to be sent next.
    pub(super) waiting: Option<Waiting>,
    /// We made the call.
    pub(super) originated: bool,
    pub(super) session: Session,
    /// Provisional responses of ours go reliably.
    pub(super) reliable: Option<Reliable>,
    /// Last reliable provisional response of each fork that we sent a PRACK for.
    pub(super) proved: Vec<(String, u32)>,
    pub(super) reinvite_in: Option<RequestId>,
    pub(super) requests: Vec<RequestId>,
    pub(super) cancelled_until: Option<Instant>,
    pub(super) merge_key: Option<Box<str>>,
}

impl Call {
    pub(super) fn new(dialog: Dialog, stage: Stage, session: SessionTimers) -> Self {
        Self {
            dialog,
            stage,
            path: None,
            pinned: false,
            next_hop: None,
            transport: None,
            credentials: None,
            auto_ack: true,
            told_accept: false,
            owes_ack: None,
            acks: Vec::new(),
            unacked: None,
            bye_after_ack: None,
            reinvite_out: None,
            reinviting: None,
            waiting: None,
            originated: false,
            session: Session::new(session),
            reliable: None,
            proved: Vec::new(),
            reinvite_in: None,
            requests: Vec::new(),
            cancelled_until: None,
            merge_key: None,
        }
    }

    /// Answered, or made by us: not a call that anybody may have begun.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.stage, Stage::Ringing { .. })
    }

    pub(super) fn info(&self) -> Box<DialogInfo> {
        Box::new(DialogInfo {
            call_id: self.dialog.call_id.clone(),
            local_tag: self.dialog.local_tag.clone(),
            local: self.dialog.local.clone(),
            remote: self.dialog.remote.clone(),
            path: self.path,
        })
    }
}

/// Key of [`Endpoint::by_tags`].
pub(super) fn tags_key(call_id: &str, local_tag: &str) -> Box<str> {
    format!("{call_id}\0{local_tag}").into()
}

impl Endpoint {
    pub(super) fn add_call(&mut self, id: DialogId, call: Call) {
        self.by_tags.insert(tags_key(&call.dialog.call_id, &call.dialog.local_tag), id);
        if let Some(key) = &call.merge_key {
            self.merged.insert(key.clone(), id);
        }
        self.calls.insert(id, Box::new(call));
    }

    /// Removes a call; requests of the peer still unanswered get 487 or 481. Says nothing to the owner.
    pub(super) fn remove_call(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.by_tags.remove(&tags_key(&call.dialog.call_id, &call.dialog.local_tag));
        if let Some(key) = &call.merge_key {
            self.merged.remove(key);
        }
        for request in call.requests {
            self.answer_orphan(now, request);
        }
    }

    /// Removes a call and tells why.
    pub(super) fn end_call(&mut self, now: Instant, id: DialogId, event: DialogEvent) {
        if self.calls.contains_key(&id) {
            self.remove_call(now, id);
            self.event(id, event);
        }
    }

    /// The peer says it does not know the dialog: it is ended with a BYE (RFC 3261 §12.2.1.2), should it know it after
    /// all.
    pub(super) fn peer_gone(&mut self, now: Instant, id: DialogId) {
        self.send_bye_detached(now, id, &Headers::new());
        self.end_call(now, id, DialogEvent::Terminated(Ended::PeerGone));
    }

    /// Starts repeating a 2xx until it is acknowledged.
    pub(super) fn await_ack(
        &mut self,
        now: Instant,
        id: DialogId,
        cseq: u32,
        bytes: Bytes,
        path: Path,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        self.admission.make_familiar(path.remote.ip());
        let interval = self.config.timers.t1;
        let (repeat_at, give_up_at) = (now + interval, now + self.config.timers.t1x64);
        call.unacked = Some(Unacked { cseq, bytes, path, interval, repeat_at, give_up_at });
        self.call_timers.arm(repeat_at, (id, CallTimer::Repeat));
        self.call_timers.arm(give_up_at, (id, CallTimer::NoAck));
    }

    pub(super) fn on_call_timer(
        &mut self,
        now: Instant,
        at: Instant,
        id: DialogId,
        timer: CallTimer,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match timer {
            CallTimer::Repeat => {
                let Some(unacked) = call.unacked.as_mut().filter(|u| u.repeat_at == at) else {
                    return;
                };
                unacked.interval = (unacked.interval * 2).min(self.config.timers.t2);
                unacked.repeat_at = now + unacked.interval;
                self.call_timers.arm(unacked.repeat_at, (id, CallTimer::Repeat));
                let (path, bytes) = (unacked.path, unacked.bytes.clone());
                self.outputs.push_back(Output::Transmit { path, bytes, tx: None });
            }
            CallTimer::NoAck => {
                if call.unacked.as_ref().is_some_and(|u| u.give_up_at == at) {
                    call.unacked = None;
                    let headers = call.bye_after_ack.take().unwrap_or_default();
                    self.send_bye_detached(now, id, &headers);
                    self.end_call(now, id, DialogEvent::Terminated(Ended::NoAck));
                }
            }
            CallTimer::Cancelled => {
                if call.cancelled_until == Some(at) {
                    self.give_up_cancelled(now, id);
                }
            }
            CallTimer::Session => self.on_session_timer(now, at, id),
            CallTimer::Glare => self.on_glare_over(now, at, id),
            CallTimer::Prack => self.on_prack_timer(now, at, id),
        }
    }
}
