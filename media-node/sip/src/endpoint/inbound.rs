//! Messages from the wire: parsing, `Via` bookkeeping, limits, and who gets what.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::call::tags_key;
use super::compose::{Defaults, finish_response};
use super::types::{DialogId, RequestId};
use super::{Doorman, Endpoint, Output, RportServer, User};
use crate::message::{Headers, Message, Method, Name, ParseError, Request, Response, Via, parse};
use crate::transaction::{Account, Incoming, ResponseFor, Source, Standing, TxId};
use crate::transport::Path;
use crate::uri::Scheme;

/// The message being handled: whose it is, and its size.
pub(super) type Current = (Account, usize);

/// A request of the peer that waits for its owner's answer.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) tx: TxId,
    pub(super) request: Arc<Request>,
    pub(super) path: Path,
    pub(super) local_tag: String,
    pub(super) dialog: Option<DialogId>,
}

impl Endpoint {
    /// Is a message of this size from there worth reading? If so, who sent it; asked once for each message.
    pub(crate) fn reads(&mut self, now: Instant, path: &Path, bytes: usize) -> Option<Standing> {
        let Path { remote, transport, .. } = *path;
        let standing = self.admission.doorman().lets_in(now, remote, transport, bytes)?;
        self.has_time(now, standing).then_some(standing)
    }

    /// Is there time for a message of such a sender, which was found worth reading?
    pub(crate) fn has_time(&mut self, now: Instant, standing: Standing) -> bool {
        if self.admission.tick(now) {
            let calls = self.calls.values().filter(|call| call.is_running());
            let peers = calls.filter_map(|call| Some(call.path?.remote.ip()));
            self.admission.set_familiar(peers.chain(self.transactions.asked().map(|a| a.ip())));
        }
        self.admission.has_time(standing)
    }

    /// For a reader that finds out by itself what is worth reading.
    pub(crate) fn another_doorman(&self) -> Doorman {
        self.admission.another_doorman()
    }

    /// Handling a message of such a sender took so long.
    pub(crate) fn took(&mut self, standing: Standing, time: std::time::Duration) {
        self.admission.took(standing, time);
    }

    /// One datagram, or one message cut from a stream, that is worth reading.
    pub(crate) fn handle_bytes(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &Bytes,
        standing: Standing,
    ) {
        let account = Account { standing, source: Source::of(path.remote.ip()) };
        self.current = (account, bytes.len());
        match parse(bytes, &self.config.limits.message()) {
            Ok(Message::Request(request)) => self.handle_request(now, request, path),
            Ok(Message::Response(response)) => self.handle_response(now, response, path),
            Err(rejected) if rejected.error == ParseError::Empty => {}
            Err(rejected) => {
                tracing::debug!(peer = %path.remote, error = %rejected.error, "unusable message");
                if let Some(mut reply) = rejected.reply {
                    let back = stamp(&mut reply.headers, path, self.config.rport.server);
                    self.send_stateless(&reply, back);
                }
            }
        }
    }

    fn handle_response(&mut self, now: Instant, response: Response, path: Path) {
        match self.transactions.receive_response(now, &response) {
            ResponseFor::User { user: User::Exchange(id) } => {
                self.on_response(now, id, response, path)
            }
            ResponseFor::User { .. } | ResponseFor::Absorbed => {}
            ResponseFor::Stray => {
                tracing::debug!(peer = %path.remote, status = response.status, "response to nothing");
            }
        }
    }

    fn handle_request(&mut self, now: Instant, mut request: Request, path: Path) {
        let path = stamp(&mut request.headers, path, self.config.rport.server);
        match self.transactions.receive_request(now, &request) {
            Incoming::Known => {}
            Incoming::Cancel { .. } if self.is_full() => self.refuse_stateless(&request, path),
            Incoming::Cancel { user } => self.on_cancel(now, Arc::new(request), path, user),
            Incoming::Ack => {
                if let Some(id) = self.dialog_of(&request) {
                    self.on_ack(now, id, Arc::new(request));
                }
            }
            Incoming::New if self.is_full() => self.refuse_stateless(&request, path),
            Incoming::New if request.method == Method::Cancel => {
                self.refuse_unknown_dialog(&request, path)
            }
            Incoming::New if request.headers.to_tag().is_some() => match self.dialog_of(&request) {
                Some(id) => self.on_in_dialog(now, id, Arc::new(request), path),
                None => self.on_stray_in_dialog(now, request, path),
            },
            Incoming::New => self.on_out_of_dialog(now, request, path),
        }
    }

    /// Is there no room for another transaction of the sender of the message being handled?
    fn is_full(&self) -> bool {
        let (account, bytes) = self.current;
        self.transactions.len() >= self.config.limits.transactions
            || !self.transactions.affords(account, bytes)
    }

    fn dialog_of(&self, request: &Request) -> Option<DialogId> {
        let key = tags_key(request.headers.call_id(), request.headers.to_tag()?);
        self.by_tags.get(&key).copied()
    }

    /// A tagged request of no dialog here. NOTIFY and SUBSCRIBE may belong to a subscription the switch keeps;
    /// OPTIONS is answered to anybody. Anybody can write a tag: it opens no way round the limits.
    fn on_stray_in_dialog(&mut self, now: Instant, request: Request, path: Path) {
        match request.method {
            Method::Notify | Method::Subscribe | Method::Options => {
                if self.has_room(path) {
                    self.pass_on(now, request, path);
                } else {
                    self.refuse_stateless(&request, path);
                }
            }
            _ => self.refuse_unknown_dialog(&request, path),
        }
    }

    /// Is there room for a new request from there?
    fn has_room(&mut self, path: Path) -> bool {
        let most = self.config.limits.proceeding;
        let busy = most > 0 && self.transactions.unanswered() >= most;
        !busy && self.admission.admits(path.remote, path.transport)
    }

    fn on_out_of_dialog(&mut self, now: Instant, request: Request, path: Path) {
        if !self.has_room(path) {
            return self.refuse_stateless(&request, path);
        }
        if matches!(request.uri.scheme(), Scheme::Other) {
            return self.refuse_new(now, &request, path, 416, "", &Headers::new());
        }
        if let Some(unsupported) = self.unsupported(&request) {
            let headers: Headers = [("Unsupported", unsupported)].into_iter().collect();
            return self.refuse_new(now, &request, path, 420, "", &headers);
        }
        match request.method {
            Method::Invite => self.on_invite(now, request, path),
            // Without a dialog there is nothing to inform; phones probe with it and expect 200.
            Method::Info => self.refuse_new(now, &request, path, 200, "", &Headers::new()),
            Method::Bye | Method::Update | Method::Prack => {
                self.refuse_unknown_dialog(&request, path)
            }
            Method::Other(_) => self.refuse_method(now, &request, path),
            _ if self.allows(&request.method) => self.pass_on(now, request, path),
            _ => self.refuse_method(now, &request, path),
        }
    }

    fn on_invite(&mut self, now: Instant, request: Request, path: Path) {
        if self.calls.len() >= self.config.limits.dialogs {
            return self.refuse_stateless(&request, path);
        }
        if let Some(headers) = self.refuses_session(&request) {
            return self.refuse_new(now, &request, path, 422, "", &headers);
        }
        let headers = &request.headers;
        let number = headers.cseq().map_or(0, |c| c.number);
        let key = format!("{}\0{}\0{number}", headers.call_id(), headers.from_tag().unwrap_or(""));
        if self.merged.contains_key(key.as_str()) {
            // The same request by another way (RFC 3261 §8.2.2.2).
            return self.refuse_new(now, &request, path, 482, "", &Headers::new());
        }
        self.on_new_call(now, Arc::new(request), path, key.into());
    }

    /// Hands a request outside dialogs to the switch.
    fn pass_on(&mut self, now: Instant, request: Request, path: Path) {
        let request = Arc::new(request);
        let tx = self.open_server(now, &request, path, User::Incoming);
        let id = RequestId(self.next_serial());
        let local_tag = request.headers.to_tag().map_or_else(|| self.tokens.tag(), str::to_owned);
        let pending = PendingRequest {
            tx,
            request: request.clone(),
            path,
            local_tag: local_tag.clone(),
            dialog: None,
        };
        self.pending.insert(id, pending);
        let known = self.current_is_known();
        self.outputs.push_back(Output::Request { id, request, path, local_tag, known });
    }

    /// Is the sender of the message being handled a known peer?
    pub(super) fn current_is_known(&self) -> bool {
        self.current.0.standing == Standing::Known
    }

    /// Opens a server transaction for the request being handled.
    pub(super) fn open_server(
        &mut self,
        now: Instant,
        request: &Request,
        path: Path,
        user: User,
    ) -> TxId {
        self.transactions.open_server(now, request, path, user, self.current)
    }

    /// Option tags required of us that we do not have.
    fn unsupported(&self, request: &Request) -> Option<String> {
        let supported = &self.config.identity.supported;
        let has = |tag: &str| supported.split(',').any(|s| s.trim().eq_ignore_ascii_case(tag));
        let missing: Vec<_> = request.headers.list(Name::Require).filter(|tag| !has(tag)).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    fn allows(&self, method: &Method) -> bool {
        self.config.identity.allow.split(',').any(|m| m.trim() == method.as_str())
    }

    // --- answers on the spot ---

    /// Opens a transaction and answers at once.
    pub(super) fn refuse_new(
        &mut self,
        now: Instant,
        request: &Request,
        path: Path,
        status: u16,
        reason: &str,
        headers: &Headers,
    ) {
        let mut response = request.response(status, reason);
        self.tag(&mut response);
        let defaults =
            Defaults::of_response(&request.method, status, request.headers.to_tag().is_some());
        finish_response(&mut response, headers, None, defaults, &self.config.identity);
        let tx = self.open_server(now, request, path, User::Incoming);
        self.transactions.respond(now, tx, &response);
    }

    /// 481. A repetition gets the same answer, so nothing is remembered: made-up dialogs must not fill the table.
    pub(super) fn refuse_unknown_dialog(&mut self, request: &Request, path: Path) {
        let mut response = request.response(481, "Call Does Not Exist");
        self.tag(&mut response);
        let in_dialog = request.headers.to_tag().is_some();
        let defaults = Defaults::of_response(&request.method, 481, in_dialog);
        finish_response(&mut response, &Headers::new(), None, defaults, &self.config.identity);
        self.send_stateless(&response, path);
    }

    /// 405 for what the profile does not allow, 501 for unknown methods.
    pub(super) fn refuse_method(&mut self, now: Instant, request: &Request, path: Path) {
        let status = if matches!(request.method, Method::Other(_)) { 501 } else { 405 };
        self.refuse_new(now, request, path, status, "", &Headers::new());
    }

    /// 503 that costs nothing to remember.
    fn refuse_stateless(&mut self, request: &Request, path: Path) {
        let mut response = request.response(503, "");
        self.tag(&mut response);
        response.headers.push(Name::RetryAfter, "5");
        self.send_stateless(&response, path);
    }

    fn tag(&mut self, response: &mut Response) {
        let tag = self.tokens.tag();
        let to = crate::dialog::with_tag(response.headers.get(Name::To).unwrap_or(""), &tag);
        response.headers.set(Name::To, to);
    }
}

/// Notes in the topmost `Via` where the request came from, and tells where its responses go
/// (RFC 3261 §18.2.1, RFC 3581). As the reference: `received` only when it tells something new.
fn stamp(headers: &mut Headers, path: Path, rport: RportServer) -> Path {
    let Some(raw) = headers.get(Name::Via) else { return path };
    let Some(via) = headers.via() else { return path };
    let source = path.remote;
    let agent = headers.get(Name::UserAgent).unwrap_or("");
    let follows = rport.follows(via.params.has("rport"), agent);
    let differs = via.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()
        != Some(source.ip());
    let back_port =
        if follows { source.port() } else { via.port.unwrap_or(path.transport.default_port()) };
    let remote =
        if path.transport.is_reliable() { source } else { SocketAddr::new(source.ip(), back_port) };
    let fills = via.params.get("rport") == Some("") && rport != RportServer::Never;
    if fills || differs {
        let stamped = stamped_via(raw, via, source, differs);
        headers.set_first(Name::Via, stamped);
    }
    Path { remote, ..path }
}

/// The `Via` value with `rport` filled in place and `received` appended to its first element.
fn stamped_via(raw: &str, via: Via<'_>, source: SocketAddr, differs: bool) -> String {
    let params = via.params.as_str();
    let first_end = crate::message::scan::find_outside(raw, b',').unwrap_or(raw.len());
    let rest = raw.get(first_end..).unwrap_or("");
    let first = raw.get(..first_end).unwrap_or(raw);
    let sent_by =
        first.strip_suffix(params).unwrap_or_else(|| first.split(';').next().unwrap_or(first));
    let mut out = sent_by.trim_end().to_owned();
    for (name, value) in via.params.iter() {
        let filled = name.eq_ignore_ascii_case("rport") && value.is_none_or(str::is_empty);
        match value {
            _ if filled => out.push_str(&format!(";{name}={}", source.port())),
            // A `received` of the sender's own making would misdirect the answer.
            _ if name.eq_ignore_ascii_case("received") => {}
            Some(value) => out.push_str(&format!(";{name}={value}")),
            None => out.push_str(&format!(";{name}")),
        }
    }
    if differs {
        out.push_str(&format!(";received={}", source.ip()));
    }
    out.push_str(rest);
    out
}
