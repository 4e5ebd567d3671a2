//! The user agent core without sockets: transactions and dialogs, driven by bytes, commands and `now`.
//!
//! [`Endpoint`] has three groups of methods. *Input*: `handle_*` take messages, resolved names,
//! transport failures and the passing of time. *Commands*: what the owner of a call wants. *Output*:
//! [`Endpoint::poll_output`], to be drained after every input and command, and
//! [`Endpoint::next_timeout`], the latest moment to come back.

mod admission;
mod call;
mod compose;
mod config;
mod exchange;
mod inbound;
mod invite_client;
mod invite_server;
mod outbound;
mod reinvite;
mod reliable;
mod session_timer;
mod types;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

pub(crate) use admission::Doorman;
pub use admission::Peers;
pub(crate) use config::EndpointConfig;
pub use config::{Advertise, Identity, Limits, Rport, RportServer, Timers};
pub use session_timer::{LEAST_INTERVAL, SessionTimers, USUAL_LEAST};
pub use types::{
    Body, DialogEvent, DialogId, DialogInfo, Ended, Failure, InDialog, InviteSpec, OutOfDialog,
    Reply, RequestError, RequestId,
};

use admission::Admission;
use call::{Call, CallTimer};
use exchange::{Exchange, ExchangeId, Purpose};
use inbound::{Current, PendingRequest};
use outbound::Unsent;

use crate::message::{Headers, Request, Response};
use crate::token::Tokens;
use crate::transaction::{Account, Action, Deadlines, Source, Standing, Transactions, TxId};
use crate::transport::{Path, Transport};

/// Names a question to the owner of the sockets whose answer comes back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Status, headers and body of an answer.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    pub(crate) body: Option<Body>,
}

/// What the owner of the sockets must do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Put bytes on the wire; report failure with `handle_send_failure` when `tx` is given.
    Transmit { path: Path, bytes: Bytes, tx: Option<TxId> },
    /// Find addresses and come back with `handle_resolved`.
    Resolve { token: Token, host: String, port: Option<u16>, transport: Option<Transport> },
    /// A call arrived, from a known peer or a stranger.
    Invite { id: DialogId, request: Arc<Request>, path: Path, info: Box<DialogInfo>, known: bool },
    /// Another request outside dialogs arrived.
    Request { id: RequestId, request: Arc<Request>, path: Path, local_tag: String, known: bool },
    /// For the dialog's owner.
    Event { id: DialogId, event: DialogEvent },
    /// Identifiers of a dialog are known.
    Info { id: DialogId, info: Box<DialogInfo> },
    /// Result of a command given with this token.
    Reply { token: Token, result: Result<Box<Reply>, RequestError> },
}

/// Settings of a stack that may change while it runs.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// What the stack says of itself.
    pub identity: Identity,
    /// Session timers of calls from now on.
    pub session: SessionTimers,
    /// See [`Limits::requests_per_second`].
    pub requests_per_second: u32,
    /// See [`Limits::proceeding`].
    pub proceeding: usize,
    /// See [`Rport`].
    pub rport: Rport,
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// One of our requests.
    Exchange(ExchangeId),
    /// The INVITE of an incoming call.
    IncomingCall(DialogId),
    /// A request of the peer waiting for its answer, or one answered on the spot.
    Incoming,
    /// A CANCEL, or the BYE of a lost fork: nothing waits for it.
    Nobody,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Endpoint {
    config: EndpointConfig,
    transactions: Transactions<User>,
    /// Boxed: a table has up to twice the places it needs.
    calls: HashMap<DialogId, Box<Call>>,
    /// Call-ID, NUL, local tag.
    by_tags: HashMap<Box<str>, DialogId>,
    /// Call-ID, NUL, From tag, NUL, CSeq of unanswered INVITEs, to refuse merged copies (482).
    merged: HashMap<Box<str>, DialogId>,
    exchanges: Slab<Exchange>,
    unsent: HashMap<Token, Unsent>,
    pending: HashMap<RequestId, PendingRequest>,
    call_timers: Deadlines<(DialogId, CallTimer)>,
    admission: Admission,
    current: Current,
    outputs: VecDeque<Output>,
    tokens: Tokens,
    serial: u64,
}

impl Endpoint {
    pub(crate) fn new(config: EndpointConfig, tokens: Tokens) -> Self {
        Self {
            transactions: Transactions::new(config.timers),
            admission: Admission::new(config.limits.requests_per_second, config.peers.clone()),
            current: nobody(),
            config,
            calls: HashMap::new(),
            by_tags: HashMap::new(),
            merged: HashMap::new(),
            exchanges: Slab::new(),
            unsent: HashMap::new(),
            pending: HashMap::new(),
            call_timers: Deadlines::new(),
            outputs: VecDeque::new(),
            tokens,
            serial: 0,
        }
    }

    /// A number never used before.
    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    // --- output ---

    /// What to do next; call until `None` after every input and command.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        while let Some(action) = self.transactions.poll_action() {
            match action {
                Action::Send { tx, path, bytes } => {
                    self.outputs.push_back(Output::Transmit { path, bytes, tx: Some(tx) });
                }
                Action::TimedOut { user } => self.on_timed_out(now, user),
                Action::NeedsTrying { tx, user } => self.on_needs_trying(now, tx, user),
                Action::Ended { tx, user } => self.on_transaction_ended(tx, user),
            }
        }
        self.outputs.pop_front()
    }

    /// When `handle_timeout` must next be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [self.transactions.next_timeout(), self.call_timers.next()].into_iter().flatten().min()
    }

    /// Takes on other settings; what is bound stays.
    pub(crate) fn retune(&mut self, tuning: Tuning) {
        let Tuning { identity, session, requests_per_second, proceeding, rport } = tuning;
        self.config.limits.proceeding = proceeding;
        self.config.identity = identity;
        self.config.session = session;
        self.config.rport = rport;
        if self.config.limits.requests_per_second != requests_per_second {
            self.config.limits.requests_per_second = requests_per_second;
            self.admission.retune(requests_per_second);
        }
    }

    /// Live dialogs and transactions.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.calls.len(), self.transactions.len())
    }

    fn event(&mut self, id: DialogId, event: DialogEvent) {
        self.outputs.push_back(Output::Event { id, event });
    }

    // --- time ---

    /// Runs every timer that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some((at, (id, timer))) = self.call_timers.pop_due(now) {
            self.on_call_timer(now, at, id, timer);
        }
    }

    fn on_timed_out(&mut self, now: Instant, user: User) {
        if let User::Exchange(exchange) = user {
            self.exchange_failed(now, exchange, RequestError::Timeout);
        }
    }

    fn on_transaction_ended(&mut self, tx: TxId, user: User) {
        let User::Exchange(id) = user else { return };
        // After a challenge the exchange lives on in another transaction.
        if let Some(exchange) = self.exchange(id).filter(|e| e.tx == Some(tx)) {
            let purpose = exchange.purpose;
            let cseq = exchange.request.headers.cseq().map(|cseq| cseq.number);
            self.forget_exchange(id);
            if let (Purpose::Invite(call) | Purpose::Reinvite(call), Some(cseq)) = (purpose, cseq) {
                // Its 2xx comes no more: the ACK need not be repeated.
                if let Some(call) = self.calls.get_mut(&call) {
                    call.acks.retain(|ack| ack.cseq != cseq);
                }
            }
        }
    }

    // --- transport ---

    /// The wire refused bytes of this transaction.
    pub(crate) fn handle_send_failure(
        &mut self,
        now: Instant,
        tx: TxId,
        to: SocketAddr,
        reason: &str,
    ) {
        if let Some(User::Exchange(exchange)) = self.transactions.transport_failed(tx) {
            let error = RequestError::Transport { to: to.to_string(), reason: reason.to_owned() };
            self.exchange_failed(now, exchange, error);
        }
    }

    /// The network says that datagrams to this address do not arrive. Requests there that have had no
    /// answer at all fail now.
    pub(crate) fn handle_unreachable(&mut self, now: Instant, to: SocketAddr, reason: &str) {
        let users = self.transactions.unreachable(to);
        self.fail_all(now, users, to, reason);
    }

    /// A connection ended. Requests that went over it and have had no answer at all fail now.
    pub(crate) fn handle_disconnected(&mut self, now: Instant, path: &Path, reason: &str) {
        let users = self.transactions.disconnected(path);
        self.fail_all(now, users, path.remote, reason);
    }

    fn fail_all(&mut self, now: Instant, users: Vec<User>, to: SocketAddr, reason: &str) {
        for user in users {
            if let User::Exchange(exchange) = user {
                let error =
                    RequestError::Transport { to: to.to_string(), reason: reason.to_owned() };
                self.exchange_failed(now, exchange, error);
            }
        }
    }

    /// Sends a response that needs no transaction.
    fn send_stateless(&mut self, response: &Response, path: Path) {
        self.outputs.push_back(Output::Transmit { path, bytes: response.to_bytes(), tx: None });
    }
}

/// No message is being handled.
fn nobody() -> Current {
    let source = Source::of(std::net::Ipv4Addr::UNSPECIFIED.into());
    (Account { standing: Standing::Known, source }, 0)
}

#[cfg(test)]
mod tests;
