//! Messages from the wire: parsing, `Via` bookkeeping, limits, and who gets what.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::tags_key;
use super::compose::{Defaults, finish_response};
use super::types::{DialogId, RequestId};
use super::{Endpoint, Output, RportServer, User};
use crate::message::{Headers, Message, Method, Name, ParseError, Request, Response, Via, parse};
use crate::transaction::{Incoming, ResponseFor, TxId};
use crate::transport::Path;
use crate::uri::Scheme;

/// A request of the peer that waits for its owner's answer.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) tx: TxId,
    pub(super) request: Arc<Request>,
    pub(super) path: Path,
    pub(super) local_tag: String,
    pub(super) dialog: Option<DialogId>,
}

/// Counts new requests per second (`max-recv-requests-per-second`). Sources that ask little are let in beyond that, up to
/// twice as many, so that one that floods does not silence the others.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: u32,
    window: Option<Instant>,
    seen: u32,
    by_source: HashMap<IpAddr, u32>,
}

/// A source that had less than this part of a second's requests asks little.
const LITTLE: u32 = 20;

impl RateLimit {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, window: None, seen: 0, by_source: HashMap::new() }
    }

    fn admits(&mut self, now: Instant, source: IpAddr) -> bool {
        if self.per_second == 0 {
            return true;
        }
        if self
            .window
            .is_none_or(|start| now.saturating_duration_since(start) >= Duration::from_secs(1))
        {
            (self.window, self.seen) = (Some(now), 0);
            self.by_source.clear();
        }
        let before = self.by_source.get(&source).copied().unwrap_or(0);
        let asks_little = before < (self.per_second / LITTLE).max(1);
        let most = if asks_little { self.per_second.saturating_mul(2) } else { self.per_second };
        if self.seen >= most {
            return false;
        }
        self.seen += 1;
        self.by_source.insert(source, before.saturating_add(1));
        true
    }
}

impl Endpoint {
    /// One datagram, or one message cut from a stream.
    pub(crate) fn handle_bytes(&mut self, now: Instant, path: Path, bytes: &Bytes) {
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
            Incoming::Cancel { user } => self.on_cancel(now, Arc::new(request), path, user),
            Incoming::Ack => {
                if let Some(id) = self.dialog_of(&request) {
                    self.on_ack(now, id, Arc::new(request));
                }
            }
            Incoming::New if self.transactions.len() >= self.config.limits.transactions => {
                self.refuse_stateless(&request, path);
            }
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

    fn dialog_of(&self, request: &Request) -> Option<DialogId> {
        let key = tags_key(request.headers.call_id(), request.headers.to_tag()?);
        self.by_tags.get(&key).copied()
    }

    /// A tagged request of no dialog here. NOTIFY may belong to a subscription the switch keeps;
    /// OPTIONS is answered to anybody.
    fn on_stray_in_dialog(&mut self, now: Instant, request: Request, path: Path) {
        match request.method {
            Method::Notify | Method::Subscribe | Method::Options => {
                self.pass_on(now, request, path)
            }
            _ => self.refuse_unknown_dialog(&request, path),
        }
    }

    fn on_out_of_dialog(&mut self, now: Instant, request: Request, path: Path) {
        if !self.rate.admits(now, path.remote.ip()) {
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
        let tx = self.transactions.open_server(now, &request, path, User::Incoming);
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
        self.outputs.push_back(Output::Request { id, request, path, local_tag });
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
        let tx = self.transactions.open_server(now, request, path, User::Incoming);
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

    /// 405 for what the profile does not allow, 501 for what nobody here knows.
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
    let first_end = crate::message::scan::find_outside(raw, b",").unwrap_or(raw.len());
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
