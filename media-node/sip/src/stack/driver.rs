//! The stack's task: moves bytes between sockets and the endpoint, commands in, events out.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::queue;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, CommandQueue, DialogCommand, ReplyTo, WeakCommandSender};
use super::config::{Direction, Resolve, Trace};
use super::connections::Connections;
use super::handles::{Dialog, Incoming, IncomingInvite, IncomingRequest, InfoCell};
use super::resolve::{DEADLINE, MAX_LOOKUPS};
use super::tcp::StreamEvent;
use super::udp::{Inbox, Received, Udp};
use crate::endpoint::{
    Content, DialogEvent, DialogId, Endpoint, Output, Reply, RequestError, RequestId, Token,
};
use crate::message::{Headers, Response};
use crate::transaction::{Standing, TxId};
use crate::transport::{Path, Transport};

/// Commands taken in one go before the sockets get their turn.
const COMMAND_BATCH: usize = 256;
/// Datagrams of known peers taken in one go.
const BATCH: usize = 64;
/// Places of a dialog's queue kept for the events that end it.
const RESERVED_EVENTS: usize = 8;
/// Events kept for a call its owner has not taken on yet.
const MAX_BACKLOG: usize = 16;
/// A stopping stack waits so long for its BYEs to be answered.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Lookups answered and not yet taken in.
pub(super) const INNER_QUEUE: usize = 1024;
/// Messages of stream connections not yet taken in; each may have 64 kB.
pub(super) const STREAM_QUEUE: usize = 128;

/// Where requests wait for the switch.
pub(super) struct Lanes {
    pub(super) known: mpsc::Sender<Incoming>,
    pub(super) strangers: mpsc::Sender<Incoming>,
}

impl Lanes {
    fn send(&self, known: bool, incoming: Incoming) -> Result<(), Incoming> {
        let lane = if known { &self.known } else { &self.strangers };
        lane.try_send(incoming).map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Who hears of a dialog.
struct Owner {
    /// `None` until an incoming call is taken on.
    events: Option<queue::Sender<DialogEvent>>,
    backlog: Vec<DialogEvent>,
    info: InfoCell,
}

enum Waiting {
    Reply(ReplyTo<Reply>),
    Response(ReplyTo<Response>),
}

/// An answered lookup.
pub(super) struct Resolved {
    token: Token,
    host: String,
    found: Vec<(Transport, std::net::SocketAddr)>,
}

pub(super) struct Driver {
    pub(super) endpoint: Endpoint,
    pub(super) udp: Udp,
    pub(super) inbox: Inbox,
    pub(super) connections: Connections,
    pub(super) commands: CommandQueue,
    /// To give away inside handles.
    pub(super) commander: WeakCommandSender,
    pub(super) streams: mpsc::Receiver<StreamEvent>,
    pub(super) resolved: mpsc::Receiver<Resolved>,
    pub(super) resolved_tx: mpsc::Sender<Resolved>,
    pub(super) incoming: Lanes,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) trace: Option<Arc<dyn Trace>>,
    pub(super) dialog_queue: usize,
    pub(super) state: State,
}

/// Bookkeeping of the task.
#[derive(Default)]
pub(super) struct State {
    owners: HashMap<DialogId, Owner>,
    waiting: HashMap<Token, Waiting>,
    next_token: u64,
    lookups: usize,
    stop_at: Option<Instant>,
    /// No handle is left to command anything.
    deaf: bool,
}

impl Driver {
    pub(super) async fn run(mut self) {
        let sleep = tokio::time::sleep(Duration::from_secs(3600));
        tokio::pin!(sleep);
        let mut crowded = false;
        loop {
            self.guarded(|driver| driver.drain(Instant::now()));
            if self.finished() {
                return;
            }
            // What was handed over last waits on this thread, and no other thread takes it from there: between two
            // messages of a flood, a known peer's request gets its turn.
            if std::mem::take(&mut crowded) {
                tokio::task::yield_now().await;
            }
            let wake = self.next_wake();
            if sleep.deadline() != wake {
                sleep.as_mut().reset(wake);
            }
            tokio::select! {
                Some(received) = self.inbox.known.recv() => {
                    self.guarded(|driver| driver.receive(received));
                    self.receive_known();
                }
                Some(received) = self.inbox.strangers.recv() => {
                    self.receive_known();
                    self.guarded(|driver| driver.receive(received));
                    crowded = true;
                }
                command = self.commands.recv(), if !self.state.deaf => match command {
                    Some(command) => self.guarded(|driver| driver.take_commands(command)),
                    // Every handle is gone: nobody can be told anything any more.
                    None => {
                        self.state.deaf = true;
                        self.guarded(Self::stop);
                    }
                },
                Some(event) = self.streams.recv() => {
                    self.guarded(|driver| driver.on_stream(event));
                    crowded = true;
                }
                Some(resolved) = self.resolved.recv() => {
                    self.guarded(|driver| driver.on_resolved(&resolved));
                }
                () = &mut sleep => {
                    self.guarded(|driver| driver.endpoint.handle_timeout(Instant::now()));
                }
            }
        }
    }

    /// One step. A bug that one message brings out costs that message, not all calls of the profile.
    fn guarded(&mut self, step: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            tracing::error!("SIP stack: a bug cost one message or command; the stack goes on");
        }
    }

    fn next_wake(&self) -> tokio::time::Instant {
        let idle = Instant::now() + Duration::from_secs(3600);
        let next = [self.endpoint.next_timeout(), self.state.stop_at].into_iter().flatten().min();
        next.unwrap_or(idle).into()
    }

    fn finished(&self) -> bool {
        let Some(at) = self.state.stop_at else { return false };
        Instant::now() >= at || self.endpoint.load().0 == 0
    }

    fn stop(&mut self) {
        if self.state.stop_at.is_none() {
            let now = Instant::now();
            self.state.stop_at = Some(now + STOP_PATIENCE);
            self.endpoint.release_all(now);
        }
    }

    // --- in ---

    /// Datagrams of known peers that are there, before anything else.
    fn receive_known(&mut self) {
        for _ in 0..BATCH {
            let Ok(received) = self.inbox.known.try_recv() else { return };
            self.guarded(|driver| driver.receive(received));
        }
    }

    fn receive(&mut self, received: Received) {
        let now = Instant::now();
        match received {
            Received::Datagram { local, remote, bytes, standing } => {
                if !self.endpoint.has_time(now, standing) {
                    return;
                }
                let path = Path {
                    transport: Transport::Udp,
                    local,
                    remote,
                    connection: None,
                    verified: false,
                };
                show(self.trace.as_deref(), Direction::Received, &path, &bytes);
                timed(&mut self.endpoint, standing, |endpoint| {
                    endpoint.handle_bytes(now, path, &bytes, standing);
                });
            }
            Received::Unreachable { peer, reason } => {
                self.endpoint.handle_unreachable(now, peer, &reason);
            }
        }
    }

    fn on_stream(&mut self, event: StreamEvent) {
        let now = Instant::now();
        match event {
            StreamEvent::Accepted { stream, transport, local, remote } => {
                self.connections.accept(stream, transport, local, remote);
            }
            StreamEvent::Opened { id } => self.connections.opened(id),
            StreamEvent::Identified { id, client } => self.connections.identified(id, client),
            StreamEvent::Message { id, bytes } => {
                let Some(path) = self.connections.path(id) else { return };
                let Some(standing) = self.endpoint.reads(now, &path, bytes.len()) else { return };
                if standing == Standing::Known {
                    self.connections.make_known(id);
                }
                show(self.trace.as_deref(), Direction::Received, &path, &bytes);
                timed(&mut self.endpoint, standing, |endpoint| {
                    endpoint.handle_bytes(now, path, &bytes, standing);
                });
            }
            StreamEvent::Closed { id, reason } => {
                let path = self.connections.path(id);
                let known = self.connections.is_known(id);
                let (failed, remote) = self.connections.closed(id);
                if let Some(path) = path {
                    if self.incoming.send(known, Incoming::Disconnected(path)).is_err() {
                        tracing::debug!(peer = %path.remote, "lost connection not told of: queue full");
                    }
                    self.endpoint.handle_disconnected(now, &path, &reason);
                }
                for tx in failed {
                    if let Some(remote) = remote {
                        self.endpoint.handle_send_failure(now, tx, remote, &reason);
                    }
                }
            }
        }
    }

    fn take_commands(&mut self, first: Command) {
        let now = Instant::now();
        self.on_command(now, first);
        for _ in 0..COMMAND_BATCH {
            match self.commands.try_recv() {
                Some(command) => self.on_command(now, command),
                None => return,
            }
        }
    }

    fn on_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Invite { id, spec, events, info } => {
                self.state
                    .owners
                    .insert(id, Owner { events: Some(events), backlog: Vec::new(), info });
                self.endpoint.invite(now, id, *spec);
            }
            Command::Request { spec, reply } => {
                let token = self.wait(Waiting::Reply(reply));
                self.endpoint.request(now, token, *spec);
            }
            Command::Respond { id, content } => self.endpoint.answer_request(now, id, content),
            Command::Adopt { id, events } => self.adopt(id, events),
            Command::Dialog { id, command } => self.on_dialog_command(now, id, command),
            Command::Retune(tuning) => self.endpoint.retune(*tuning),
            Command::Stop => self.stop(),
        }
    }

    fn on_dialog_command(&mut self, now: Instant, id: DialogId, command: DialogCommand) {
        match command {
            DialogCommand::Respond(content) => self.endpoint.answer_invite(now, id, content),
            DialogCommand::Answer { id: request, content } => {
                self.endpoint.answer_request(now, request, content)
            }
            DialogCommand::Ack { headers, body } => self.endpoint.ack(id, &headers, body),
            DialogCommand::Cancel { headers } => self.endpoint.cancel(now, id, headers),
            DialogCommand::Bye { headers } => self.endpoint.bye(now, id, headers),
            DialogCommand::Reinvite { headers, body } => {
                self.endpoint.reinvite(now, id, &headers, body)
            }
            DialogCommand::Request { method, headers, body, reply } => {
                let token = self.wait(Waiting::Response(reply));
                self.endpoint.request_in_dialog(now, id, token, method, &headers, body);
            }
            DialogCommand::Pin => self.endpoint.pin_to_source(id),
            DialogCommand::Session { seconds, by_update } => {
                self.endpoint.set_session(id, seconds, by_update)
            }
            DialogCommand::Drop => {
                self.endpoint.release(now, id);
                self.state.owners.remove(&id);
            }
        }
    }

    fn adopt(&mut self, id: DialogId, events: queue::Sender<DialogEvent>) {
        let Some(owner) = self.state.owners.get_mut(&id) else { return };
        let mut over = false;
        for event in owner.backlog.drain(..) {
            over |= ends(&event);
            let _ = events.try_send(event);
        }
        if over {
            self.state.owners.remove(&id);
        } else {
            owner.events = Some(events);
        }
    }

    fn wait(&mut self, waiting: Waiting) -> Token {
        self.state.next_token += 1;
        // The endpoint's own tokens (lookups) are a separate series and never come back here.
        let token = Token(self.state.next_token);
        self.state.waiting.insert(token, waiting);
        token
    }

    // --- out ---

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output(now) {
            match output {
                Output::Transmit { path, bytes, tx } => self.transmit(now, path, bytes, tx),
                Output::Resolve { token, host, port, transport } => {
                    self.look_up(token, host, port, transport)
                }
                Output::Invite { id, request, path, info: made, known } => {
                    let info = InfoCell::default();
                    info.set(*made);
                    self.state.owners.insert(
                        id,
                        Owner { events: None, backlog: Vec::new(), info: info.clone() },
                    );
                    let Some(commands) = self.commander.upgrade() else { continue };
                    let dialog = Dialog::over(id, commands, info);
                    let invite =
                        IncomingInvite::new(request, path, known, dialog, self.dialog_queue);
                    if let Err(refused) = self.incoming.send(known, Incoming::Invite(invite)) {
                        self.refuse_call(now, id);
                        drop(refused);
                    }
                }
                Output::Request { id, request, path, local_tag, known } => {
                    let Some(commands) = self.commander.upgrade() else { continue };
                    let request =
                        IncomingRequest::new(request, (path, known), local_tag, id, commands);
                    if let Err(refused) = self.incoming.send(known, Incoming::Request(request)) {
                        self.endpoint.answer_request(now, id, overloaded());
                        drop(refused);
                    }
                }
                Output::Event { id, event } => self.tell(now, id, event),
                Output::Info { id, info } => {
                    if let Some(owner) = self.state.owners.get(&id) {
                        owner.info.set(*info);
                    }
                }
                Output::Reply { token, result } => self.reply(token, result),
            }
        }
    }

    fn transmit(&mut self, now: Instant, path: Path, bytes: Bytes, tx: Option<TxId>) {
        show(self.trace.as_deref(), Direction::Sent, &path, &bytes);
        let result = match path.transport {
            Transport::Udp => {
                self.udp.send(path.local, path.remote, &bytes).map_err(|e| e.to_string())
            }
            _ => self.connections.send(&path, bytes, tx),
        };
        if let (Err(reason), Some(tx)) = (result, tx) {
            self.endpoint.handle_send_failure(now, tx, path.remote, &reason);
        }
    }

    fn look_up(
        &mut self,
        token: Token,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) {
        if self.state.lookups >= MAX_LOOKUPS {
            self.endpoint.handle_resolved(Instant::now(), token, &[]);
            return;
        }
        self.state.lookups += 1;
        let lookup = self.resolver.resolve(host.clone(), port, transport);
        let answers = self.resolved_tx.clone();
        tokio::spawn(async move {
            let found = match tokio::time::timeout(DEADLINE, lookup).await {
                Ok(Ok(found)) => found,
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            let _ = answers.send(Resolved { token, host, found }).await;
        });
    }

    fn on_resolved(&mut self, resolved: &Resolved) {
        self.state.lookups = self.state.lookups.saturating_sub(1);
        for (transport, remote) in &resolved.found {
            if *transport == Transport::Tls {
                self.connections.name(*remote, &resolved.host);
            }
        }
        self.endpoint.handle_resolved(Instant::now(), resolved.token, &resolved.found);
    }

    fn refuse_call(&mut self, now: Instant, id: DialogId) {
        self.endpoint.answer_invite(now, id, overloaded());
        self.state.owners.remove(&id);
    }

    fn tell(&mut self, now: Instant, id: DialogId, event: DialogEvent) {
        let Some(owner) = self.state.owners.get_mut(&id) else { return };
        let over = ends(&event);
        let Some(events) = &owner.events else {
            if owner.backlog.len() < MAX_BACKLOG {
                owner.backlog.push(event);
            }
            return;
        };
        // An owner that does not keep up loses what the peer can repeat, never how the call ended.
        if let Some(request) = answerable(&event).filter(|_| events.room() <= RESERVED_EVENTS) {
            tracing::warn!(%id, "dialog queue full: request refused");
            self.endpoint.answer_request(now, request, overloaded());
            return;
        }
        if events.try_send(event).is_err() {
            tracing::debug!(%id, "dialog event lost: owner gone or queue full");
        }
        if over {
            self.state.owners.remove(&id);
        }
    }

    fn reply(&mut self, token: Token, result: Result<Box<Reply>, RequestError>) {
        match self.state.waiting.remove(&token) {
            Some(Waiting::Reply(reply)) => hand_back(reply, result.map(|r| *r)),
            Some(Waiting::Response(reply)) => hand_back(reply, result.map(|r| r.response)),
            None => {}
        }
    }
}

/// Handles a message, and notes how long strangers kept the stack busy.
fn timed(endpoint: &mut Endpoint, standing: Standing, handle: impl FnOnce(&mut Endpoint)) {
    let started = Instant::now();
    handle(endpoint);
    endpoint.took(standing, started.elapsed());
}

/// The asker may have lost interest.
fn hand_back<T>(reply: oneshot::Sender<Result<T, RequestError>>, result: Result<T, RequestError>) {
    let _ = reply.send(result);
}

fn show(trace: Option<&dyn Trace>, direction: Direction, path: &Path, bytes: &[u8]) {
    if let Some(trace) = trace.filter(|t| t.enabled()) {
        trace.message(direction, path, bytes);
    }
}

fn overloaded() -> Content {
    let headers: Headers = [("Retry-After", "5")].into_iter().collect();
    Content { status: 503, reason: String::new(), headers, body: None }
}

/// True for the last event of a dialog.
fn ends(event: &DialogEvent) -> bool {
    matches!(
        event,
        DialogEvent::Failed(_)
            | DialogEvent::Cancelled(_)
            | DialogEvent::Bye(_)
            | DialogEvent::Terminated(_)
    )
}

fn answerable(event: &DialogEvent) -> Option<RequestId> {
    match event {
        DialogEvent::Reinvite(r)
        | DialogEvent::Update(r)
        | DialogEvent::Info(r)
        | DialogEvent::Refer(r)
        | DialogEvent::Notify(r)
        | DialogEvent::Message(r) => Some(r.id),
        _ => None,
    }
}
