//! Session timers (RFC 4028): a call whose peer went away without a word ends, and proxies in between may forget it.
//!
//! Who refreshes, and how often, is agreed with every INVITE and UPDATE. Refreshes are sent by the endpoint itself, with the
//! description last sent; the owner of the call only hears what the peer answers.

use std::time::{Duration, Instant};

use super::Endpoint;
use super::call::{Call, CallTimer, Stage};
use super::exchange::{ExchangeId, Purpose};
use super::reinvite::Reinvite;
use super::types::{Body, DialogEvent, DialogId, Ended};
use crate::message::{Headers, Method, Name, Request, Response};
use crate::uri::Params;

/// Least interval anybody may ask for (RFC 4028 §4), seconds.
pub const LEAST_INTERVAL: u32 = 90;
/// `Min-SE` of requests where nothing is configured: what the reference's library sends.
pub const USUAL_LEAST: u32 = 120;
/// Longest interval kept; a longer one means none at all to anybody.
const LONGEST_INTERVAL: u32 = 7 * 24 * 3600;
/// A refresh that was refused is tried again after so long, while the session lasts.
const AGAIN: Duration = Duration::from_secs(10);
/// 422s answered with a longer interval, per request: one of each proxy on the way.
const MAX_RAISES: u8 = 3;
/// `Reason` of the BYE that ends a session that was not refreshed.
const TIMED_OUT: &str = "SIP;cause=408;text=\"Session timeout\"";

/// What a stack wants of session timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// Take part at all (`timer` in `Supported`).
    pub supported: bool,
    /// Interval offered, and the longest accepted, seconds; 0 offers none and accepts any.
    pub expires: u32,
    /// Shorter intervals are refused with 422, seconds.
    pub min: u32,
    /// `Min-SE` of requests; no shorter interval is asked for. Seconds.
    pub asked_min: u32,
    /// Refresh with UPDATE where the peer allows it, instead of re-INVITE.
    pub by_update: bool,
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self {
            supported: true,
            expires: 0,
            min: LEAST_INTERVAL,
            asked_min: USUAL_LEAST,
            by_update: false,
        }
    }
}

impl SessionTimers {
    /// An interval of ours is never shorter than what we let others answer; 0 stays none.
    fn rounded(&self, seconds: u32) -> u32 {
        if seconds == 0 { 0 } else { seconds.max(self.asked_min) }
    }
}

/// A `Session-Expires` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    seconds: u32,
    /// True: `refresher=uac`.
    by_client: Option<bool>,
}

impl Interval {
    fn of(headers: &Headers) -> Option<Self> {
        let value = headers.get(Name::SessionExpires)?;
        let (seconds, params) = value.split_once(';').unwrap_or((value, ""));
        let seconds: u64 = seconds.trim().parse().ok()?;
        let by_client = match Params::new(params).get("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
            _ => None,
        };
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).min(LONGEST_INTERVAL);
        Some(Self { seconds, by_client })
    }
}

fn value(seconds: u32, by_client: bool) -> String {
    format!("{seconds};refresher={}", if by_client { "uac" } else { "uas" })
}

fn supports(headers: &Headers) -> bool {
    let has = |name: Name| headers.list(name).any(|tag| tag.eq_ignore_ascii_case("timer"));
    has(Name::Supported) || has(Name::Require)
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    seconds: u32,
    we_refresh: bool,
}

/// The session timer of one call.
#[derive(Debug)]
pub(super) struct Session {
    wanted: SessionTimers,
    /// The least interval for answers: ours, or a proxy's on the way (Min-SE).
    least: u32,
    agreed: Option<Agreed>,
    /// When the timer goes off next.
    due: Option<Instant>,
    /// When the session ends for want of a refresh.
    ends: Option<Instant>,
    peer_takes_update: bool,
    /// Our description as last sent, for refreshes.
    pub(super) body: Option<Body>,
}

impl Session {
    pub(super) fn new(wanted: SessionTimers) -> Self {
        Self {
            wanted: SessionTimers { expires: wanted.rounded(wanted.expires), ..wanted },
            least: wanted.min.max(LEAST_INTERVAL),
            agreed: None,
            due: None,
            ends: None,
            peer_takes_update: false,
            body: None,
        }
    }

    /// Another interval than the stack's, for this call.
    pub(super) fn want(&mut self, seconds: u32) {
        self.wanted.expires = self.wanted.rounded(seconds);
    }

    /// Refreshes by UPDATE, or not, for this call.
    pub(super) fn refresh_by_update(&mut self, on: bool) {
        self.wanted.by_update = on;
    }

    /// Headers of an INVITE or UPDATE of ours.
    pub(super) fn offer(&self, headers: &mut Headers, initial: bool) {
        let (seconds, by_us) = match self.agreed {
            Some(agreed) => (agreed.seconds, agreed.we_refresh),
            None if initial => (self.wanted.expires, true),
            None => return,
        };
        if !self.wanted.supported || seconds == 0 {
            return;
        }
        // What was agreed on a shorter interval, because the peer asked for it, stays.
        let least = match self.agreed {
            Some(agreed) if agreed.seconds < self.wanted.asked_min => self.least,
            _ => self.least.max(self.wanted.asked_min),
        };
        headers.push(Name::SessionExpires, value(seconds.max(least), by_us));
        headers.push(Name::MinSe, least.to_string());
    }

    /// Agrees as the server of an INVITE or UPDATE, and says so in its 2xx.
    fn answer(&mut self, request: &Request, answer: &mut Headers) {
        self.note_peer(&request.headers);
        let asked = Interval::of(&request.headers);
        let theirs = supports(&request.headers);
        let ours = self.agreed.map_or(self.wanted.expires, |agreed| agreed.seconds);
        let seconds = match (asked.map_or(0, |a| a.seconds), ours) {
            (0, ours) => ours,
            (asked, 0) => asked,
            (asked, ours) => asked.min(ours.max(self.wanted.expires)),
        };
        if !self.wanted.supported || seconds == 0 {
            self.agreed = None;
            return;
        }
        let asked_least = request.headers.number(Name::MinSe).unwrap_or(0).min(LONGEST_INTERVAL);
        self.least = self.least.max(asked_least);
        let seconds = seconds.max(self.least);
        // The peer refreshes unless it cannot, or wants us to.
        let by_client = theirs && asked.and_then(|a| a.by_client).unwrap_or(true);
        answer.push(Name::SessionExpires, value(seconds, by_client));
        if by_client {
            answer.push(Name::Require, "timer");
        }
        self.agreed = Some(Agreed { seconds, we_refresh: !by_client });
    }

    /// Takes what the peer's 2xx to our INVITE or UPDATE says.
    fn learn(&mut self, response: &Headers) {
        self.note_peer(response);
        if !self.wanted.supported {
            return;
        }
        let ours = self.agreed.map_or(self.wanted.expires, |agreed| agreed.seconds);
        self.agreed = match Interval::of(response) {
            Some(said) if said.seconds > 0 => Some(Agreed {
                seconds: said.seconds.max(LEAST_INTERVAL),
                we_refresh: said.by_client.unwrap_or(true),
            }),
            // A peer without session timers may still be asked now and then whether it is there.
            _ if ours > 0 => Some(Agreed { seconds: ours.max(self.least), we_refresh: true }),
            _ => None,
        };
    }

    fn note_peer(&mut self, headers: &Headers) {
        if headers.get(Name::Allow).is_some() {
            self.peer_takes_update = headers.list(Name::Allow).any(|method| method == "UPDATE");
        }
    }

    /// Sets the timers anew after an agreement.
    fn start(&mut self, now: Instant) -> Option<Instant> {
        let Some(Agreed { seconds, we_refresh }) = self.agreed else {
            (self.due, self.ends) = (None, None);
            return None;
        };
        // RFC 4028 §10: the BYE goes out a little before the interval is over. A third of it, as said there, is too
        // early for peers that refresh short sessions late.
        let margin = (seconds / 10).min(32);
        let ends = now + Duration::from_secs((seconds - margin).into());
        self.ends = Some(ends);
        self.due =
            Some(if we_refresh { now + Duration::from_secs((seconds / 2).into()) } else { ends });
        self.due
    }
}

impl Endpoint {
    /// The interval of this call, instead of the stack's; before it is answered.
    pub(crate) fn set_session(&mut self, id: DialogId, seconds: u32, by_update: Option<bool>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.want(seconds);
            if let Some(on) = by_update {
                call.session.refresh_by_update(on);
            }
        }
    }

    /// `Min-SE` for the 422 that refuses an interval too short; `None` for one that will do.
    pub(super) fn refuses_session(&self, request: &Request) -> Option<Headers> {
        let session = self.config.session;
        let least = session.min.max(LEAST_INTERVAL);
        let short = session.supported
            && supports(&request.headers)
            && Interval::of(&request.headers).is_some_and(|asked| asked.seconds < least);
        short.then(|| [("Min-SE", least.to_string())].into_iter().collect())
    }

    /// Agrees with the request being answered 2xx, and writes that into the answer.
    pub(super) fn answer_session(call: &mut Call, request: &Request, response: &mut Response) {
        if response.is_success() && matches!(request.method, Method::Invite | Method::Update) {
            call.session.answer(request, &mut response.headers);
        }
    }

    /// A 2xx of the peer to our INVITE or UPDATE.
    pub(super) fn learn_session(&mut self, now: Instant, id: DialogId, response: &Headers) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.learn(response);
        }
        self.start_session(now, id);
    }

    /// Lets the time agreed on run from now.
    pub(super) fn start_session(&mut self, now: Instant, id: DialogId) {
        if let Some(at) = self.calls.get_mut(&id).and_then(|call| call.session.start(now)) {
            self.call_timers.arm(at, (id, CallTimer::Session));
        }
    }

    pub(super) fn on_session_timer(&mut self, now: Instant, at: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.session.due != Some(at) || !matches!(call.stage, Stage::Up) {
            return;
        }
        let over = call.session.ends.is_none_or(|ends| ends <= now);
        match call.session.agreed {
            Some(Agreed { we_refresh: true, .. }) if !over => self.refresh(now, id),
            Some(_) => self.end_session(now, id),
            None => {}
        }
    }

    fn refresh(&mut self, now: Instant, id: DialogId) {
        // Should the refresh come to nothing, the timer is there again.
        self.refresh_again(now, id);
        let Some(call) = self.calls.get(&id) else { return };
        if call.reinvite_out.is_some() || call.reinvite_in.is_some() {
            // What is under way refreshes too.
            return;
        }
        if call.session.wanted.by_update && call.session.peer_takes_update {
            let credentials = call.credentials.clone();
            if let Some((request, hop)) = self.compose(id, Method::Update, &Headers::new(), None) {
                self.start_exchange(now, request, hop, Purpose::Refresh(id), credentials);
            }
            return;
        }
        let body = call.session.body.clone();
        self.offer_again(now, id, Reinvite::refresh(body));
    }

    /// The peer's answer to an UPDATE that refreshes.
    pub(super) fn on_refreshed(&mut self, now: Instant, id: DialogId, response: &Response) {
        if response.is_success() {
            if let Some(call) = self.calls.get_mut(&id) {
                call.dialog.refresh_target(&response.headers);
            }
            self.learn_session(now, id, &response.headers);
        } else if matches!(response.status, 408 | 481) {
            self.peer_gone(now, id);
        }
    }

    /// Tries once more later, as long as the session lasts.
    pub(super) fn refresh_again(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(ends) = call.session.ends else { return };
        let at = (now + AGAIN).min(ends.max(now));
        call.session.due = Some(at);
        self.call_timers.arm(at, (id, CallTimer::Session));
    }

    /// The session was not refreshed in time.
    pub(super) fn end_session(&mut self, now: Instant, id: DialogId) {
        let headers: Headers = [("Reason", TIMED_OUT)].into_iter().collect();
        self.send_bye_detached(now, id, &headers);
        self.end_call(now, id, DialogEvent::Terminated(Ended::SessionExpired));
    }

    /// 422: repeats the request with the interval asked for. False when that was tried or makes no sense.
    pub(super) fn raise_session(
        &mut self,
        now: Instant,
        id: ExchangeId,
        response: &Response,
    ) -> bool {
        let Some(least) = response.headers.number(Name::MinSe).filter(|s| *s <= LONGEST_INTERVAL)
        else {
            return false;
        };
        let Some(exchange) = self.exchange_mut(id) else { return false };
        let Some(offered) = Interval::of(&exchange.request.headers) else { return false };
        if exchange.raises >= MAX_RAISES || least <= offered.seconds {
            return false;
        }
        exchange.raises += 1;
        let by_client = offered.by_client.unwrap_or(true);
        exchange.request.headers.set(Name::SessionExpires, value(least, by_client));
        exchange.request.headers.set(Name::MinSe, least.to_string());
        let dialog = exchange.purpose.dialog();
        if let Some(call) = dialog.and_then(|d| self.calls.get_mut(&d)) {
            call.session.least = call.session.least.max(least);
            if let Some(agreed) = &mut call.session.agreed {
                agreed.seconds = agreed.seconds.max(least);
            }
        }
        self.renumber(id);
        self.route_exchange(now, id);
        true
    }
}
