//! Getting a request onto the wire: next hop, address, `Via`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::exchange::{ExchangeId, Hop};
use super::types::{DialogId, RequestError};
use super::{Endpoint, Output, Token, User};
use crate::message::{Name, Request};
use crate::transport::{Path, Transport};
use crate::uri::{Scheme, Uri};

/// Addresses of one next hop tried at most.
const MAX_ADDRESSES: usize = 16;

/// What waits for a name to be resolved.
#[derive(Debug)]
pub(super) enum Unsent {
    Exchange(ExchangeId),
    /// An ACK, which has no transaction.
    Ack {
        dialog: DialogId,
        ack: Box<Request>,
        hop: Hop,
    },
}

/// A next hop as written in its URI.
struct Target<'a> {
    host: &'a str,
    port: Option<u16>,
    transport: Option<Transport>,
    /// `sips:`: the peer's certificate must be one an authority vouches for.
    verified: bool,
}

impl<'a> Target<'a> {
    fn of(hop: &'a Hop) -> Self {
        let params = hop.uri.params();
        let transport = hop
            .transport
            .or_else(|| Transport::parse(params.get("transport")?))
            .or_else(|| (hop.uri.scheme() == Scheme::Sips).then_some(Transport::Tls));
        let host = params.get("maddr").filter(|m| !m.is_empty()).unwrap_or_else(|| hop.uri.host());
        let verified = hop.uri.scheme() == Scheme::Sips;
        Self { host, port: hop.uri.port(), transport, verified }
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl Endpoint {
    /// Sends an exchange's request, asking for addresses first when its next hop is a name.
    pub(super) fn route_exchange(&mut self, now: Instant, id: ExchangeId) {
        let Some(hop) = self.exchange(id).map(|e| e.hop.clone()) else { return };
        match self.find_path(&hop) {
            Found::Path(path) => self.launch(now, id, path),
            Found::Ask { host, port, transport } => {
                self.ask(Unsent::Exchange(id), host, port, transport);
            }
        }
    }

    fn ask(
        &mut self,
        unsent: Unsent,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) {
        let token = Token(self.next_serial());
        self.unsent.insert(token, unsent);
        self.outputs.push_back(Output::Resolve { token, host, port, transport });
    }

    /// The answer to [`Output::Resolve`]; the first usable address is taken, the others stand by.
    pub(crate) fn handle_resolved(
        &mut self,
        now: Instant,
        token: Token,
        found: &[(Transport, SocketAddr)],
    ) {
        let Some(unsent) = self.unsent.remove(&token) else { return };
        let hop = match &unsent {
            Unsent::Exchange(id) => self.exchange(*id).map(|exchange| &exchange.hop),
            Unsent::Ack { hop, .. } => Some(hop),
        };
        let verified = hop.is_some_and(|hop| hop.uri.scheme() == Scheme::Sips);
        let usable = found.iter().filter_map(|(transport, remote)| {
            let local = self.listener(*transport, *remote)?;
            Some(Path { transport: *transport, local, remote: *remote, connection: None, verified })
        });
        let mut usable: VecDeque<Path> = usable.take(MAX_ADDRESSES).collect();
        let path = usable.pop_front();
        match (unsent, path) {
            (Unsent::Exchange(id), Some(path)) => {
                let Some(exchange) = self.exchange_mut(id) else { return };
                exchange.alternatives = usable;
                let path = with_connection(path, exchange.hop.prefer);
                self.launch(now, id, path);
            }
            (Unsent::Exchange(id), None) => {
                let host =
                    self.exchange(id).map(|e| e.hop.uri.host().to_owned()).unwrap_or_default();
                self.exchange_failed(now, id, RequestError::Unresolvable(host));
            }
            (Unsent::Ack { dialog, ack, hop }, Some(path)) => {
                self.launch_ack(dialog, *ack, with_connection(path, hop.prefer));
            }
            (Unsent::Ack { .. }, None) => {}
        }
    }

    fn find_path(&self, hop: &Hop) -> Found {
        if let Some(path) = hop.pinned {
            return Found::Path(path);
        }
        let target = Target::of(hop);
        // A connection the peer opened to us is the only way to it over WebSocket.
        if let Some(path) = hop.prefer.filter(|p| p.transport.is_websocket()) {
            return Found::Path(path);
        }
        if let Some(ip) = target.ip() {
            let transport = target.transport.unwrap_or(Transport::Udp);
            let remote = SocketAddr::new(ip, target.port.unwrap_or(transport.default_port()));
            if let Some(local) = self.listener(transport, remote) {
                let verified = target.verified;
                let path = Path { transport, local, remote, connection: None, verified };
                return Found::Path(with_connection(path, hop.prefer));
            }
        }
        Found::Ask { host: target.host.to_owned(), port: target.port, transport: target.transport }
    }

    /// Our address for a transport and the peer's family.
    fn listener(&self, transport: Transport, remote: SocketAddr) -> Option<SocketAddr> {
        let listening = self.config.listening.iter();
        listening
            .filter(|(t, a)| {
                // A WebSocket client behind a proxy may have an address of the other family.
                *t == transport && (a.is_ipv4() == remote.is_ipv4() || t.is_websocket())
            })
            .map(|(_, a)| *a)
            .next()
    }

    pub(super) fn launch(&mut self, now: Instant, id: ExchangeId, path: Path) {
        let Some(request) = self.exchange(id).map(|e| e.request.clone()) else { return };
        let request = self.with_via(request, &path);
        if crate::transaction::makes_familiar(&request.method) {
            self.admission.make_familiar(path.remote.ip());
        }
        let tx = self.transactions.send_request(now, request, path, Self::user_of(id));
        if let Some(exchange) = self.exchange_mut(id) {
            exchange.tx = Some(tx);
            exchange.sent_at = now;
        }
    }

    /// Sends a request that belongs to no exchange (CANCEL has its INVITE's Via already).
    pub(super) fn send_detached(&mut self, now: Instant, request: Request, path: Path) {
        self.transactions.send_request(now, request, path, User::Nobody);
    }

    /// Sends an ACK and remembers it for repetition.
    pub(super) fn route_ack(&mut self, dialog: DialogId, ack: Request, hop: Hop) {
        match self.find_path(&hop) {
            Found::Path(path) => self.launch_ack(dialog, ack, path),
            Found::Ask { host, port, transport } => {
                self.ask(Unsent::Ack { dialog, ack: Box::new(ack), hop }, host, port, transport);
            }
        }
    }

    fn launch_ack(&mut self, dialog: DialogId, ack: Request, path: Path) {
        let ack = self.with_via(ack, &path);
        let bytes = ack.to_bytes();
        self.remember_ack(dialog, &ack, path, bytes.clone());
        self.outputs.push_back(Output::Transmit { path, bytes, tx: None });
    }

    fn with_via(&mut self, mut request: Request, path: &Path) -> Request {
        let shown = self.shown_address(path);
        let branch = self.tokens.branch();
        // The reference leaves the default port out.
        let port = if shown.port() == path.transport.default_port() {
            String::new()
        } else {
            format!(":{}", shown.port())
        };
        let host = match shown.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        // A connection needs none, and the reference writes none there.
        let asks = self.config.rport.client && path.transport == Transport::Udp;
        let rport = if asks { "rport;" } else { "" };
        request.headers.push(
            Name::Via,
            format!("SIP/2.0/{} {host}{port};{rport}branch={branch}", path.transport),
        );
        request
    }

    /// The address the peer shall see.
    pub(super) fn shown_address(&self, path: &Path) -> SocketAddr {
        let chosen = self
            .config
            .advertise
            .as_ref()
            .and_then(|a| a.address_for(path.remote.ip(), path.transport));
        match chosen {
            Some(chosen) if chosen.port() == 0 => SocketAddr::new(chosen.ip(), path.local.port()),
            Some(chosen) => chosen,
            None => path.local,
        }
    }
}

enum Found {
    Path(Path),
    Ask { host: String, port: Option<u16>, transport: Option<Transport> },
}

fn with_connection(path: Path, prefer: Option<Path>) -> Path {
    match prefer {
        Some(known) if known.transport == path.transport && known.remote == path.remote => known,
        _ => path,
    }
}

/// The hop of a URI, nothing else said.
pub(super) fn hop_to(uri: Uri) -> Hop {
    Hop { uri, transport: None, pinned: None, prefer: None }
}
