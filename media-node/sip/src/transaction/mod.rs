//! The transaction layer (RFC 3261 §17 with RFC 6026), without sockets or clock.
//!
//! Messages, commands and `now` go in; [`Action`]s pile up in a queue the caller drains. Each
//! transaction carries a value `U` of its user, handed back with everything that concerns it.

mod answer;
mod client;
mod key;
mod ledger;
mod server;
mod timer;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use client::{Client, Verdict};
use key::{Key, Keys};
pub(crate) use ledger::{Account, Ledger, Source, Standing};
use server::{AckFor, Server};
pub(crate) use timer::Deadlines;

use crate::endpoint::Timers;
use crate::message::{Method, Request, Response};
use crate::transport::Path;

/// Names a transaction; a number is not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TxId(u64);

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
    key: Key,
    user: U,
    kind: Kind,
    /// What a server transaction holds on its source's account, in bytes.
    held: Option<(Account, usize)>,
}

/// All transactions of a stack.
#[derive(Debug)]
pub(crate) struct Transactions<U> {
    timers: Timers,
    entries: HashMap<TxId, Entry<U>>,
    clients: HashMap<Key, TxId>,
    servers: HashMap<Key, TxId>,
    /// How many requests of ours are on their way to, or were answered by, each address.
    asked: HashMap<SocketAddr, u32>,
    /// Requests of others without a final answer yet.
    unanswered: usize,
    /// Bytes held for the requests of others, by source.
    ledger: Ledger,
    deadlines: Deadlines<(TxId, Timer)>,
    actions: VecDeque<Action<U>>,
    sends: Vec<(Path, Bytes)>,
    serial: u64,
    keys: Keys,
}

impl<U: Clone> Transactions<U> {
    pub(crate) fn new(timers: Timers) -> Self {
        Self {
            timers,
            entries: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            asked: HashMap::new(),
            unanswered: 0,
            ledger: Ledger::default(),
            deadlines: Deadlines::new(),
            actions: VecDeque::new(),
            sends: Vec::new(),
            serial: 0,
            keys: Keys::default(),
        }
    }

    /// Live transactions.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Requests of others that wait for their final answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
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
        let key = self.keys.client(branch, &request.method);
        let bytes = request.to_bytes();
        let id = self.next_id();
        self.clients.insert(key, id);
        *self.asked.entry(path.remote).or_default() += 1;
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let client = Client::start(Box::new(request), bytes, path, &mut fx);
        self.entries.insert(id, Entry { key, user, kind: Kind::Client(client), held: None });
        self.flush_sends(id);
        id
    }

    /// Cancels a pending INVITE with a CANCEL of its own transaction, `extra` headers added by the
    /// caller. `None` when there is nothing to cancel, or not yet (no 1xx).
    pub(crate) fn cancel_request(&self, invite: TxId) -> Option<(Request, Path)> {
        match &self.entries.get(&invite)?.kind {
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
        let key = self.keys.server(request, &request.method);
        let Some(id) = self.servers.get(&key).copied() else {
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
            server.on_repeated_request(request, fx);
            AckFor::Failure
        });
        match verdict {
            Some(AckFor::Success) => Incoming::Ack,
            _ => Incoming::Known,
        }
    }

    fn find_cancelled(&mut self, cancel: &Request) -> Incoming<U> {
        let key = self.keys.server(cancel, &Method::Invite);
        match self.servers.get(&key).and_then(|id| self.entries.get(id)) {
            Some(entry) => Incoming::Cancel { user: entry.user.clone() },
            None => Incoming::New,
        }
    }

    /// May a request of this size be taken in, as far as the memory held for its source is concerned?
    pub(crate) fn affords(&self, account: Account, bytes: usize) -> bool {
        self.ledger.affords(account, pending_cost(bytes))
    }

    /// Opens a server transaction; responses will go the way of `path`. Until its final answer it holds the request,
    /// of `bytes`, on the account.
    pub(crate) fn open_server(
        &mut self,
        now: Instant,
        request: &Request,
        path: Path,
        user: U,
        (account, bytes): (Account, usize),
    ) -> TxId {
        let key = self.keys.server(request, &request.method);
        let id = self.next_id();
        self.servers.insert(key, id);
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let server = Server::start(request.method == Method::Invite, path, &mut fx);
        let cost = pending_cost(bytes);
        self.ledger.charge(account, cost);
        let held = Some((account, cost));
        self.unanswered += 1;
        self.entries.insert(id, Entry { key, user, kind: Kind::Server(server), held });
        id
    }

    /// Answers a request; false when it has had its final answer.
    pub(crate) fn respond(&mut self, now: Instant, id: TxId, response: &Response) -> bool {
        let answered = self.with_server(now, id, |server, fx| {
            server.respond(response, fx).then(|| (server.is_pending(), server.kept()))
        });
        let Some((pending, kept)) = answered.flatten() else { return false };
        if pending {
            return true;
        }
        self.unanswered = self.unanswered.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(&id)
            && let Some((account, held)) = &mut entry.held
        {
            self.ledger.adjust(*account, held, ENTRY_COST + kept);
        }
        true
    }

    /// Matches a response.
    pub(crate) fn receive_response(&mut self, now: Instant, response: &Response) -> ResponseFor<U> {
        let (Some(branch), Some(cseq)) =
            (response.headers.via().and_then(|v| v.branch()), response.headers.cseq())
        else {
            return ResponseFor::Stray;
        };
        let key = self.keys.client(branch, &cseq.method);
        let Some(id) = self.clients.get(&key).copied() else {
            return ResponseFor::Stray;
        };
        let Some(entry) = self.entries.get_mut(&id) else { return ResponseFor::Stray };
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
        let entry = self.entries.get(&id)?;
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
        self.fail(remote, |client| !client.path.transport.is_reliable() && client.is_unanswered())
    }

    /// A connection ended: nothing more comes over it. Ends the client transactions that wait for a first answer over it
    /// (RFC 3261 §18.4); one that was answered may go on over another.
    pub(crate) fn disconnected(&mut self, path: &Path) -> Vec<U> {
        self.fail(path.remote, |client| {
            let own = client.path.connection;
            client.path.transport == path.transport
                && client.path.verified == path.verified
                && (own.is_none() || own == path.connection)
                && client.is_unanswered()
        })
    }

    /// Ends client transactions towards an address.
    fn fail(&mut self, remote: SocketAddr, which: impl Fn(&Client) -> bool) -> Vec<U> {
        // Most such errors are about answers to strangers.
        if !self.asked.contains_key(&remote) {
            return Vec::new();
        }
        let hit = |entry: &Entry<U>| match &entry.kind {
            Kind::Client(client) => client.path.remote == remote && which(client),
            Kind::Server(_) => false,
        };
        let failed: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| hit(entry))
            .map(|(id, entry)| (*id, entry.user.clone()))
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
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
            let fired = match &mut entry.kind {
                Kind::Client(client) => client.on_timer(timer, at, &mut fx),
                Kind::Server(server) => server.on_timer(timer, at, &mut fx),
            };
            let user = entry.user.clone();
            let client = matches!(entry.kind, Kind::Client(_));
            self.flush_sends(id);
            match fired {
                Fired::Continue => {}
                Fired::NeedsTrying => self.actions.push_back(Action::NeedsTrying { tx: id, user }),
                Fired::Finished => {
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
        let entry = self.entries.get_mut(&id)?;
        let Kind::Server(server) = &mut entry.kind else {
            return None;
        };
        let mut fx = effects(now, id, &self.timers, &mut self.deadlines, &mut self.sends);
        let result = step(server, &mut fx);
        self.flush_sends(id);
        Some(result)
    }

    fn next_id(&mut self) -> TxId {
        self.serial += 1;
        TxId(self.serial)
    }

    fn remove(&mut self, id: TxId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some((account, held)) = entry.held {
            self.ledger.release(account, held);
        }
        let table = match entry.kind {
            Kind::Client(client) => {
                if let Some(count) = self.asked.get_mut(&client.path.remote) {
                    *count -= 1;
                    if *count == 0 {
                        self.asked.remove(&client.path.remote);
                    }
                }
                &mut self.clients
            }
            Kind::Server(server) => {
                if server.is_pending() {
                    self.unanswered = self.unanswered.saturating_sub(1);
                }
                &mut self.servers
            }
        };
        // A key used again may belong to a newer transaction.
        if table.get(&entry.key) == Some(&id) {
            table.remove(&entry.key);
        }
        self.shrink();
    }

    /// Gives back what a flood made the tables grow to.
    fn shrink(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() > SPARE_ENTRIES.max(len.saturating_mul(8)) {
            let keep = len.saturating_mul(2);
            self.entries.shrink_to(keep);
            self.clients.shrink_to(keep);
            self.servers.shrink_to(keep);
            self.deadlines.shrink();
            self.actions.shrink_to(keep);
            self.ledger.shrink();
        }
    }

    /// Addresses our requests have gone to and may yet be answered from.
    pub(crate) fn asked(&self) -> impl Iterator<Item = SocketAddr> {
        self.entries.values().filter_map(|entry| match &entry.kind {
            Kind::Client(client) if makes_familiar(&client.request.method) => {
                Some(client.path.remote)
            }
            _ => None,
        })
    }

    /// Bytes held for the requests of strangers, and of known peers.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        self.ledger.held()
    }

    fn flush_sends(&mut self, tx: TxId) {
        for (path, bytes) in self.sends.drain(..) {
            self.actions.push_back(Action::Send { tx, path, bytes });
        }
    }
}

/// Does a request of ours make its peer a known one? A NOTIFY does not: any stranger whose SUBSCRIBE is taken gets it.
pub(crate) fn makes_familiar(method: &Method) -> bool {
    *method != Method::Notify
}

/// What a transaction costs besides the texts it keeps: its places in the tables and its timers.
const ENTRY_COST: usize = 768;
/// Tables smaller than this are not worth shrinking.
const SPARE_ENTRIES: usize = 2048;

/// A request that waits for its answer is there twice: the bytes its body is part of, and the text of its headers.
fn pending_cost(bytes: usize) -> usize {
    ENTRY_COST + bytes.saturating_mul(2)
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
