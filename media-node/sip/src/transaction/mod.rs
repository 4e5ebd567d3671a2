//! The transaction layer (RFC 3261 §17 with RFC 6026), without sockets or clock.
//!
//! Messages, commands and `now` go in; [`Action`]s pile up in a queue the caller drains. Each
//! transaction carries a value `U` of its user, handed back with everything that concerns it.

mod client;
mod key;
mod server;
mod timer;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use client::{Client, Verdict};
use server::{AckFor, Server};
pub(crate) use timer::Deadlines;

use crate::endpoint::Timers;
use crate::message::{Method, Request, Response};
use crate::transport::Path;

/// Names a transaction; a number is not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TxId {
    index: usize,
    serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A, E, G.
    Retransmit,
    /// B, D, F, H, I, J, K, L, M.
    Timeout,
    /// 100 after 200 ms.
    Trying,
}

/// What a timer did to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fired {
    Continue,
    NeedsTrying,
    TimedOut,
    Finished,
}

/// What the caller must do.
#[derive(Debug)]
pub(crate) enum Action<U> {
    /// Put these bytes on the wire.
    Send { tx: TxId, path: Path, bytes: Bytes },
    /// A client transaction got no final response (timers B, F).
    TimedOut { user: U },
    /// A server INVITE transaction should send 100.
    NeedsTrying { tx: TxId, user: U },
    /// A client transaction is over; nothing of it will come any more.
    Ended { tx: TxId, user: U },
}

/// What an incoming request is to the layer.
#[derive(Debug)]
pub(crate) enum Incoming<U> {
    /// Unknown: the caller may open a server transaction.
    New,
    /// Absorbed.
    Known,
    /// A CANCEL for this pending or finished INVITE.
    Cancel { user: U },
    /// An ACK that is not for a failure: for a dialog.
    Ack,
}

/// What an incoming response is to the layer.
#[derive(Debug)]
pub(crate) enum ResponseFor<U> {
    /// For the user.
    User { user: U },
    /// Absorbed.
    Absorbed,
    /// Matches nothing.
    Stray,
}

/// Side effects of one step of one transaction.
struct Effects<'a> {
    now: Instant,
    id: TxId,
    timers: &'a Timers,
    deadlines: &'a mut Deadlines<(TxId, Timer)>,
    sends: &'a mut Vec<(Path, Bytes)>,
}

impl Effects<'_> {
    fn send(&mut self, path: &Path, bytes: &Bytes) {
        self.sends.push((*path, bytes.clone()));
    }

    fn arm(&mut self, timer: Timer, after: Duration) -> Option<Instant> {
        let at = self.now + after;
        self.deadlines.arm(at, (self.id, timer));
        Some(at)
    }
}

#[derive(Debug)]
enum Kind {
    Client(Client),
    Server(Server),
}

#[derive(Debug)]
struct Entry<U> {
    serial: u64,
    key: Box<str>,
    user: U,
    kind: Kind,
}

/// All transactions of a stack.
#[derive(Debug)]
pub(crate) struct Transactions<U> {
    timers: Timers,
    entries: Slab<Entry<U>>,
    clients: HashMap<Box<str>, TxId>,
    servers: HashMap<Box<str>, TxId>,
    deadlines: Deadlines<(TxId, Timer)>,
    actions: VecDeque<Action<U>>,
    sends: Vec<(Path, Bytes)>,
    serial: u64,
    /// Keys are written here before a lookup, so that only new transactions allocate one.
    scratch: String,
}

impl<U: Clone> Transactions<U> {
    pub(crate) fn new(timers: Timers) -> Self {
        Self {
            timers,
            entries: Slab::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            deadlines: Deadlines::new(),
            actions: VecDeque::new(),
            sends: Vec::new(),
            serial: 0,
            scratch: String::new(),
        }
    }

    /// Live transactions.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    // --- input: requests to send ---

    /// Sends a request that has its `Via` with a fresh branch. Not for ACK.
    pub(crate) fn send_request(
        &mut self,
        now: Instant,
        request: Request,
        path: Path,
        user: U,
    ) -> TxId {
        let branch = request.headers.via().and_then(|v| v.branch()).unwrap_or_default();
        key::client(&mut self.scratch, branch, &request.method);
        let key: Box<str> = self.scratch.as_str().into();
        let bytes = request.to_bytes();
        let id = self.next_id();
        self.clients.insert(key.clone(), id);
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let client = Client::start(Box::new(request), bytes, path, &mut fx);
        self.insert(id, Entry { serial: id.serial, key, user, kind: Kind::Client(client) });
        self.flush_sends(id);
        id
    }

    /// Cancels a pending INVITE with a CANCEL of its own transaction, `extra` headers added by the
    /// caller. `None` when there is nothing to cancel, or not yet (no 1xx).
    pub(crate) fn cancel_request(&self, invite: TxId) -> Option<(Request, Path)> {
        match &self.entry(invite)?.kind {
            Kind::Client(client) if client.is_proceeding() => {
                Some((client::cancel_of(&client.request), client.path))
            }
            _ => None,
        }
    }

    /// Forgets a client transaction without a word to its user.
    pub(crate) fn abandon(&mut self, id: TxId) {
        self.remove(id);
    }

    // --- input: from the wire ---

    /// Matches a request. For [`Incoming::New`] the caller decides whether to
    /// [`Transactions::open_server`].
    pub(crate) fn receive_request(&mut self, now: Instant, request: &Request) -> Incoming<U> {
        key::server(&mut self.scratch, request, &request.method);
        let Some(id) = self.servers.get(self.scratch.as_str()).copied() else {
            return match request.method {
                Method::Ack => Incoming::Ack,
                Method::Cancel => self.find_cancelled(request),
                _ => Incoming::New,
            };
        };
        let is_ack = request.method == Method::Ack;
        let verdict = self.with_server(now, id, |server, fx| {
            if is_ack {
                return server.on_ack(fx);
            }
            server.on_repeated_request(fx);
            AckFor::Failure
        });
        match verdict {
            Some(AckFor::Success) => Incoming::Ack,
            _ => Incoming::Known,
        }
    }

    fn find_cancelled(&mut self, cancel: &Request) -> Incoming<U> {
        key::server(&mut self.scratch, cancel, &Method::Invite);
        match self.servers.get(self.scratch.as_str()).and_then(|id| self.entry(*id)) {
            Some(entry) => Incoming::Cancel { user: entry.user.clone() },
            None => Incoming::New,
        }
    }

    /// Opens a server transaction; responses will go the way of `path`.
    pub(crate) fn open_server(
        &mut self,
        now: Instant,
        request: &Request,
        path: Path,
        user: U,
    ) -> TxId {
        key::server(&mut self.scratch, request, &request.method);
        let key: Box<str> = self.scratch.as_str().into();
        let id = self.next_id();
        self.servers.insert(key.clone(), id);
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let server = Server::start(request.method == Method::Invite, path, &mut fx);
        self.insert(id, Entry { serial: id.serial, key, user, kind: Kind::Server(server) });
        id
    }

    /// Answers a request; false when it has had its final answer.
    pub(crate) fn respond(&mut self, now: Instant, id: TxId, response: &Response) -> bool {
        let (status, bytes) = (response.status, response.to_bytes());
        self.with_server(now, id, |server, fx| server.respond(status, bytes, fx)).unwrap_or(false)
    }

    /// Matches a response.
    pub(crate) fn receive_response(&mut self, now: Instant, response: &Response) -> ResponseFor<U> {
        let (Some(branch), Some(cseq)) =
            (response.headers.via().and_then(|v| v.branch()), response.headers.cseq())
        else {
            return ResponseFor::Stray;
        };
        key::client(&mut self.scratch, branch, &cseq.method);
        let Some(id) = self.clients.get(self.scratch.as_str()).copied() else {
            return ResponseFor::Stray;
        };
        let Some(entry) = self.entries.get_mut(id.index).filter(|e| e.serial == id.serial) else {
            return ResponseFor::Stray;
        };
        let Kind::Client(client) = &mut entry.kind else {
            return ResponseFor::Stray;
        };
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let verdict = client.on_response(response, &mut fx);
        let user = entry.user.clone();
        self.flush_sends(id);
        match verdict {
            Verdict::Pass => ResponseFor::User { user },
            Verdict::Absorb => ResponseFor::Absorbed,
        }
    }

    /// The wire refused what a transaction sent. Gives the user of a client transaction that was
    /// waiting for its answer.
    pub(crate) fn transport_failed(&mut self, id: TxId) -> Option<U> {
        let entry = self.entry(id)?;
        let waiting = match &entry.kind {
            Kind::Client(client) => client.is_pending(),
            // The peer repeats its request, over a new connection if need be.
            Kind::Server(_) => return None,
        };
        let user = entry.user.clone();
        self.remove(id);
        waiting.then_some(user)
    }

    /// Ends the client transactions over UDP that wait for a first answer from this address.
    pub(crate) fn unreachable(&mut self, remote: SocketAddr) -> Vec<U> {
        let hit = |entry: &Entry<U>| match &entry.kind {
            Kind::Client(client) => {
                client.path.remote == remote
                    && !client.path.transport.is_reliable()
                    && client.is_unanswered()
            }
            Kind::Server(_) => false,
        };
        let failed: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| hit(entry))
            .map(|(index, entry)| (TxId { index, serial: entry.serial }, entry.user.clone()))
            .collect();
        for (id, _) in &failed {
            self.remove(*id);
        }
        failed.into_iter().map(|(_, user)| user).collect()
    }

    // --- time ---

    /// When [`Transactions::handle_timeout`] must next be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Runs every timer that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, (id, timer))) = self.deadlines.pop_due(now) {
            let Some(entry) = self.entries.get_mut(id.index).filter(|e| e.serial == id.serial)
            else {
                continue;
            };
            let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
            let fired = match &mut entry.kind {
                Kind::Client(client) => client.on_timer(timer, at, &mut fx),
                Kind::Server(server) => server.on_timer(timer, at, &mut fx),
            };
            let user = entry.user.clone();
            self.flush_sends(id);
            match fired {
                Fired::Continue => {}
                Fired::NeedsTrying => self.actions.push_back(Action::NeedsTrying { tx: id, user }),
                Fired::Finished => {
                    let client = matches!(self.entry(id).map(|e| &e.kind), Some(Kind::Client(_)));
                    self.remove(id);
                    if client {
                        self.actions.push_back(Action::Ended { tx: id, user });
                    }
                }
                Fired::TimedOut => {
                    self.remove(id);
                    self.actions.push_back(Action::TimedOut { user });
                }
            }
        }
    }

    // --- output ---

    /// What to do next; call until `None` after every input.
    pub(crate) fn poll_action(&mut self) -> Option<Action<U>> {
        self.actions.pop_front()
    }

    // --- tables ---

    fn with_server<T>(
        &mut self,
        now: Instant,
        id: TxId,
        step: impl FnOnce(&mut Server, &mut Effects<'_>) -> T,
    ) -> Option<T> {
        let entry = self.entries.get_mut(id.index).filter(|e| e.serial == id.serial)?;
        let Kind::Server(server) = &mut entry.kind else {
            return None;
        };
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let result = step(server, &mut fx);
        self.flush_sends(id);
        Some(result)
    }

    fn entry(&self, id: TxId) -> Option<&Entry<U>> {
        self.entries.get(id.index).filter(|e| e.serial == id.serial)
    }

    fn next_id(&mut self) -> TxId {
        self.serial += 1;
        TxId { index: self.entries.vacant_key(), serial: self.serial }
    }

    fn insert(&mut self, id: TxId, entry: Entry<U>) {
        let index = self.entries.insert(entry);
        debug_assert_eq!(index, id.index);
    }

    fn remove(&mut self, id: TxId) {
        if self.entry(id).is_none() {
            return;
        }
        let entry = self.entries.remove(id.index);
        let table = match entry.kind {
            Kind::Client(_) => &mut self.clients,
            Kind::Server(_) => &mut self.servers,
        };
        // A colliding key may have been taken over by a newer transaction.
        if table.get(&entry.key) == Some(&id) {
            table.remove(&entry.key);
        }
    }

    fn flush_sends(&mut self, tx: TxId) {
        for (path, bytes) in self.sends.drain(..) {
            self.actions.push_back(Action::Send { tx, path, bytes });
        }
    }
}

fn effects<'a>(
    now: Instant,
    id: TxId,
    timers: &'a Timers,
    deadlines: &'a mut Deadlines<(TxId, Timer)>,
    sends: &'a mut Vec<(Path, Bytes)>,
) -> Effects<'a> {
    Effects { now, id, timers, deadlines, sends }
}
