//! Reliable provisional responses (RFC 3262), both ways: PRACK for those we get, and repetition of ours until the PRACK comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{CallTimer, MAX_FORKS, Stage};
use super::exchange::Purpose;
use super::types::{DialogEvent, DialogId, Ended};
use super::{Content, Endpoint, Output};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::transport::Path;

const OPTION: &str = "100rel";
/// Responses that wait for the PRACK of an earlier one; further provisional ones are left out.
const MAX_WAITING: usize = 8;

fn has_option(headers: &Headers, name: Name) -> bool {
    headers.list(name).any(|tag| tag.eq_ignore_ascii_case(OPTION))
}

/// A provisional response of ours that has no PRACK yet.
#[derive(Debug)]
struct Unproved {
    bytes: Bytes,
    path: Path,
    interval: Duration,
    repeat_at: Instant,
    give_up_at: Instant,
}

/// Our side of an INVITE whose provisional responses go reliably.
#[derive(Debug)]
pub(super) struct Reliable {
    /// `RSeq` of the last one sent.
    last: u32,
    unproved: Option<Unproved>,
    waiting: VecDeque<Content>,
}

/// What a provisional response means to the one who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provisional {
    /// For the owner.
    Fresh,
    /// Seen before, or out of order.
    Seen,
}

impl Endpoint {
    // --- we called ---

    /// Sends the PRACK a reliable provisional response asks for.
    pub(super) fn prove(&mut self, now: Instant, id: DialogId, response: &Response) -> Provisional {
        let number = response.headers.number(Name::RSeq);
        let Some(number) = number.filter(|_| has_option(&response.headers, Name::Require)) else {
            return Provisional::Fresh;
        };
        let Some(call) = self.calls.get_mut(&id) else { return Provisional::Seen };
        let tag = response.headers.to_tag().unwrap_or("");
        let full = call.proved.len() >= MAX_FORKS;
        match call.proved.iter_mut().find(|(known, _)| known == tag) {
            Some((_, last)) if number == last.wrapping_add(1) => *last = number,
            Some(_) => return Provisional::Seen,
            None if full => return Provisional::Seen,
            None => call.proved.push((tag.to_owned(), number)),
        }
        let invite = response.headers.cseq().map_or(0, |c| c.number);
        let headers: Headers =
            [("RAck", format!("{number} {invite} INVITE"))].into_iter().collect();
        let credentials = call.credentials.clone();
        if let Some((request, hop)) = self.compose(id, Method::Prack, &headers, None) {
            self.start_exchange(now, request, hop, Purpose::Detached, credentials);
        }
        Provisional::Fresh
    }

    // --- we were called ---

    /// Whether provisional responses to this INVITE go reliably: the peer insists, or both sides like to.
    pub(super) fn goes_reliably(&self, invite: &Request) -> Option<Reliable> {
        let ours = self.config.identity.supported.split(',').any(|tag| tag.trim() == OPTION);
        let theirs = has_option(&invite.headers, Name::Require)
            || has_option(&invite.headers, Name::Supported);
        (ours && theirs).then(|| Reliable { last: 0, unproved: None, waiting: VecDeque::new() })
    }

    /// Keeps a response back while an earlier one waits for its PRACK. `None` when it was kept.
    pub(super) fn or_wait(&mut self, id: DialogId, content: Content) -> Option<Content> {
        let call = self.calls.get_mut(&id)?;
        let Some(reliable) = &mut call.reliable else { return Some(content) };
        if reliable.unproved.is_none() || !(101..300).contains(&content.status) {
            return Some(content);
        }
        if reliable.waiting.len() < MAX_WAITING || content.status >= 200 {
            reliable.waiting.push_back(content);
        }
        None
    }

    /// Numbers a provisional response that goes reliably.
    pub(super) fn number_provisional(&mut self, id: DialogId, response: &mut Response) {
        let first = self.tokens.cseq();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(reliable) = &mut call.reliable else { return };
        if (101..200).contains(&response.status) {
            reliable.last = if reliable.last == 0 { first.max(1) } else { reliable.last + 1 };
            response.headers.push(Name::Require, OPTION);
            response.headers.push(Name::RSeq, reliable.last.to_string());
        }
    }

    /// Repeats a provisional response until it has its PRACK.
    pub(super) fn await_prack(&mut self, now: Instant, id: DialogId, bytes: Bytes) {
        let timers = self.config.timers;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(reliable), Some(path)) = (&mut call.reliable, call.path) else { return };
        let (repeat_at, give_up_at) = (now + timers.t1, now + timers.t1x64);
        reliable.unproved =
            Some(Unproved { bytes, path, interval: timers.t1, repeat_at, give_up_at });
        self.call_timers.arm(repeat_at, (id, CallTimer::Prack));
    }

    pub(super) fn on_prack_timer(&mut self, now: Instant, at: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(unproved) = call.reliable.as_mut().and_then(|r| r.unproved.as_mut()) else {
            return;
        };
        if unproved.repeat_at != at {
            return;
        }
        if now >= unproved.give_up_at {
            return self.give_up_unproved(now, id);
        }
        unproved.interval *= 2;
        unproved.repeat_at = (now + unproved.interval).min(unproved.give_up_at);
        self.call_timers.arm(unproved.repeat_at, (id, CallTimer::Prack));
        let (path, bytes) = (unproved.path, unproved.bytes.clone());
        self.outputs.push_back(Output::Transmit { path, bytes, tx: None });
    }

    /// The peer never sent its PRACK: its call is refused (RFC 3262 §3).
    fn give_up_unproved(&mut self, now: Instant, id: DialogId) {
        let Some(Stage::Ringing { tx, request }) = self.calls.get(&id).map(|c| &c.stage) else {
            return;
        };
        let (tx, request) = (*tx, request.clone());
        let content =
            Content { status: 504, reason: String::new(), headers: Headers::new(), body: None };
        if let Some(response) = self.compose_invite_response(id, &request, content) {
            self.transactions.respond(now, tx, &response);
        }
        self.end_call(now, id, DialogEvent::Terminated(Ended::NoAck));
    }

    pub(super) fn on_prack(&mut self, now: Instant, id: DialogId, prack: Arc<Request>, path: Path) {
        if !self.proves(id, &prack) {
            return self.refuse_unknown_dialog(&prack, path);
        }
        self.refuse_new(now, &prack, path, 200, "", &Headers::new());
        self.event(id, DialogEvent::Prack(prack));
        while let Some(content) = self.next_waiting(id) {
            self.answer_invite(now, id, content);
        }
    }

    /// Does the PRACK name the response that waits for it?
    fn proves(&mut self, id: DialogId, prack: &Request) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Stage::Ringing { request, .. } = &call.stage else { return false };
        let invite = request.headers.cseq().map_or(0, |c| c.number);
        let Some(reliable) = call.reliable.as_mut().filter(|r| r.unproved.is_some()) else {
            return false;
        };
        let expected = format!("{} {invite} INVITE", reliable.last);
        let named: Vec<_> =
            prack.headers.get(Name::RAck).unwrap_or("").split_ascii_whitespace().collect();
        let fits = named.join(" ") == expected;
        if fits {
            reliable.unproved = None;
        }
        fits
    }

    /// The next response that may go now.
    fn next_waiting(&mut self, id: DialogId) -> Option<Content> {
        let reliable = self.calls.get_mut(&id)?.reliable.as_mut()?;
        if reliable.unproved.is_some() {
            return None;
        }
        reliable.waiting.pop_front()
    }
}
