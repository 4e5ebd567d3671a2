//! Conversations that outlive their connection: numbered events, kept for a while for a client that comes back.
//!
//! A client asks for it with a header on its login (`Resume-Session`). Its events are numbered in their envelope
//! (`Event-Number`). When the connection ends, the subscription stays ([`Parked`]) with what was sent last; a client that
//! logs in again with its token and the last number it saw hears what it missed, or is told how much of it is lost.
//! Clients that do not ask notice nothing. The reference has no such thing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::auth::Permissions;
use super::filter::Filters;
use super::selection::Selections;
use super::{Restriction, Session};
use crate::bus::Subscription;
use crate::event::{Event, Format};
use crate::frame::Packet;

/// How long a conversation is kept for its client.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Conversations that are kept at once; of more, the oldest ends.
const MOST_PARKED: usize = 16;
/// What may wait for a client that is away: events, and bytes of them.
const AWAY: (usize, usize) = (20_000, 16 << 20);
/// How long the old connection of a client that came back may take to end.
const CALL_IN: Duration = Duration::from_secs(1);
/// Events that were sent and may not have arrived: at most so many, and so many bytes.
const SENT: (usize, usize) = (5000, 8 << 20);

/// What a login asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The token of an earlier conversation; anything else begins a new one.
    token: String,
    /// Number of the last event the client has; without it, it has all that were sent.
    after: Option<u64>,
}

impl Asked {
    /// Reads `Resume-Session` and `Resume-After` of a login.
    pub(super) fn of(packet: &Packet) -> Option<Self> {
        let token = packet.headers.get("Resume-Session")?.trim().to_owned();
        let after = packet.headers.get("Resume-After").and_then(|text| text.trim().parse().ok());
        Some(Self { token, after })
    }
}

/// The numbering of one conversation.
pub(super) struct Numbering {
    token: String,
    /// Number of the last event.
    last: u64,
    sent: VecDeque<(u64, Arc<Event>)>,
    sent_bytes: usize,
    /// Events that did not fit, told so far.
    lost: u64,
}

impl Numbering {
    fn new() -> Self {
        let token = uuid::Uuid::new_v4().to_string();
        Self { token, last: 0, sent: VecDeque::new(), sent_bytes: 0, lost: 0 }
    }

    /// Gives an event its number and keeps it for a client that has to ask again.
    fn number(&mut self, event: &Arc<Event>) -> u64 {
        self.last += 1;
        self.sent_bytes += event.size();
        self.sent.push_back((self.last, Arc::clone(event)));
        while self.sent.len() > SENT.0 || self.sent_bytes > SENT.1 {
            let Some((_, oldest)) = self.sent.pop_front() else { break };
            self.sent_bytes = self.sent_bytes.saturating_sub(oldest.size());
        }
        self.last
    }

    /// Events behind a number that are still there, and how many are not.
    fn since(&self, after: u64) -> (VecDeque<(u64, Arc<Event>)>, u64) {
        let again: VecDeque<_> =
            self.sent.iter().filter(|(number, _)| *number > after).cloned().collect();
        let first = again.front().map_or(self.last + 1, |(number, _)| *number);
        (again, first.saturating_sub(after + 1))
    }
}

/// What stays of a conversation whose connection has ended.
struct Kept {
    account: Option<String>,
    permissions: Permissions,
    events: Subscription,
    format: Format,
    listening: bool,
    my_events_on: bool,
    restriction: Restriction,
    filters: Filters,
    selections: Selections,
    numbering: Numbering,
    since: Instant,
}

/// Conversations of one listener that may be taken up again.
#[derive(Default)]
pub(crate) struct Parked {
    /// Those without a connection.
    kept: Mutex<HashMap<String, Kept>>,
    /// Those with one, and how it is told that its client has come back on another: the network may be cut without
    /// either end of the old connection noticing.
    live: Mutex<HashMap<String, Arc<Notify>>>,
    changed: Notify,
}

impl Parked {
    fn keep(&self, kept: Kept) {
        let mut all = self.kept.lock();
        if all.len() >= MOST_PARKED {
            let oldest = all.iter().min_by_key(|(_, kept)| kept.since);
            if let Some(token) = oldest.map(|(token, _)| token.clone()) {
                all.remove(&token);
            }
        }
        all.insert(kept.numbering.token.clone(), kept);
        drop(all);
        self.changed.notify_waiters();
    }

    /// The conversation of that token, for the same account with the same rights.
    fn take(&self, token: &str, session: &Session) -> Option<Kept> {
        let mut all = self.kept.lock();
        let kept = all.get(token)?;
        let same = kept.account == session.account && kept.permissions == session.permissions;
        same.then(|| all.remove(token)).flatten()
    }

    /// Has the connection of a conversation end, if it has one, so that its client can take it up here.
    async fn call_in(&self, token: &str) {
        let changed = self.changed.notified();
        let way = self.live.lock().get(token).cloned();
        if let Some(way) = way {
            way.notify_one();
            let _late = tokio::time::timeout(CALL_IN, changed).await;
        }
    }

    /// Ends the conversations whose time is over.
    pub(crate) fn sweep(&self, now: Instant) {
        let over: Vec<Kept> = {
            let mut all = self.kept.lock();
            let over = all.extract_if(|_, kept| now.duration_since(kept.since) >= WINDOW);
            over.map(|(_, kept)| kept).collect()
        };
        drop(over);
    }
}

impl Session {
    /// Conversations of this connection's listener that may be taken up again.
    pub(crate) fn resumable(mut self, parked: Arc<Parked>) -> Self {
        self.parked = Some(parked);
        self
    }

    /// What a login that asked for numbered events is told; takes an earlier conversation up again if it can.
    pub(super) fn resume(&mut self) -> Vec<(&'static str, String)> {
        let (Some(asked), Some(parked)) = (self.asked.take(), self.parked.clone()) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        match parked.take(&asked.token, self) {
            Some(kept) => {
                let mut numbering = kept.numbering;
                let after = asked.after.unwrap_or(numbering.last).min(numbering.last);
                let (again, gone) = numbering.since(after);
                let lost = kept.events.lost().saturating_sub(numbering.lost);
                numbering.lost += lost;
                told.push(("Resume-From", (after + 1).to_string()));
                if gone + lost > 0 {
                    told.push(("Resume-Lost", (gone + lost).to_string()));
                }
                kept.events.bound(super::QUEUE_CAPACITY, crate::queue::MAX_BYTES);
                self.again = again;
                if let Some(client) = &self.client {
                    client.reads(kept.events.depth());
                }
                self.events = Some(kept.events);
                self.format = kept.format;
                self.listening = kept.listening;
                self.my_events_on = kept.my_events_on;
                self.restriction = kept.restriction;
                self.filters = kept.filters;
                self.selections = kept.selections;
                self.numbering = Some(numbering);
            }
            None => {
                // Nothing is known of what happened since: what an earlier conversation had is gone.
                if asked.after.is_some() {
                    told.push(("Resume-Lost", "unknown".to_owned()));
                }
                self.numbering = Some(Numbering::new());
            }
        }
        let token = self.numbering.as_ref().map(|numbering| numbering.token.clone());
        let token = token.unwrap_or_default();
        let way = Arc::new(Notify::new());
        parked.live.lock().insert(token.clone(), Arc::clone(&way));
        self.elsewhere = Some(way);
        told.push(("Resume-Session", token));
        told.push(("Resume-Window", WINDOW.as_secs().to_string()));
        told
    }

    /// Before a login is judged: ends the old connection of a client that comes back. Its token is as good as a password.
    pub(crate) async fn call_in(&self) {
        if let (Some(asked), Some(parked)) = (&self.asked, &self.parked) {
            parked.call_in(&asked.token).await;
        }
    }

    /// Resolves when the client has come back on another connection.
    pub(crate) async fn elsewhere(&self) {
        match &self.elsewhere {
            Some(way) => way.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The connection does not stand for its conversation any more.
    pub(super) fn leave(&mut self) {
        let Some(way) = self.elsewhere.take() else { return };
        if let Some(parked) = &self.parked {
            parked.live.lock().retain(|_, known| !Arc::ptr_eq(known, &way));
        }
    }

    /// The number of an event that is about to be sent; `None` without a resumable session.
    pub(crate) fn number(&mut self, event: &Arc<Event>) -> Option<u64> {
        Some(self.numbering.as_mut()?.number(event))
    }

    /// Events that are sent again after a client came back, with the numbers they had.
    pub(crate) fn again(&mut self) -> VecDeque<(u64, Arc<Event>)> {
        std::mem::take(&mut self.again)
    }

    /// The connection has ended without a word: keeps what its client may come back for. False if there is nothing.
    pub(crate) fn park(&mut self, now: Instant) -> bool {
        self.leave();
        let (Some(parked), Some(events)) = (self.parked.clone(), self.events.take()) else {
            return false;
        };
        let Some(numbering) = self.numbering.take().filter(|_| !events.is_overrun()) else {
            return false;
        };
        events.bound(AWAY.0, AWAY.1);
        parked.keep(Kept {
            account: self.account.clone(),
            permissions: self.permissions.clone(),
            events,
            format: self.format,
            listening: self.listening,
            my_events_on: self.my_events_on,
            restriction: std::mem::replace(&mut self.restriction, Restriction::None),
            filters: std::mem::take(&mut self.filters),
            selections: std::mem::take(&mut self.selections),
            numbering,
            since: now,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventName;

    fn event() -> Arc<Event> {
        Arc::new(Event::new(EventName::Heartbeat))
    }

    #[test]
    fn what_a_client_has_not_is_sent_again_and_the_rest_is_a_gap() {
        let mut numbering = Numbering::new();
        for _ in 0..10 {
            numbering.number(&event());
        }
        let (again, gone) = numbering.since(7);
        assert_eq!((again.iter().map(|(n, _)| *n).collect::<Vec<_>>(), gone), (vec![8, 9, 10], 0));
        assert_eq!(numbering.since(10).1, 0);
        numbering.sent.drain(..4);
        assert_eq!(numbering.since(1).1, 3, "2 to 4 are gone");
    }

    #[test]
    fn what_was_sent_is_kept_within_bounds() {
        let mut numbering = Numbering::new();
        for _ in 0..SENT.0 + 10 {
            numbering.number(&event());
        }
        assert_eq!(numbering.sent.len(), SENT.0);
        let large = || {
            let mut event = Event::new(EventName::Heartbeat);
            event.push("Large", "x".repeat(1 << 20));
            Arc::new(event)
        };
        for _ in 0..20 {
            numbering.number(&large());
        }
        assert!(numbering.sent_bytes <= SENT.1 && numbering.sent.len() < 20);
    }
}
