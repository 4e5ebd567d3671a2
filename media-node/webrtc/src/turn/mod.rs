//! A client of TURN servers (RFC 8656): one allocation, sans-IO. Packets reach the peer through the server where no direct
//! path does.
//!
//! An answer counts if it has the request's 96 random bits, and, once the server has challenged us, a success only if it
//! is protected with the key; everything else is ignored. Permissions, requests under way and datagrams that wait are bounded.

pub mod driver;
mod message;
mod wire;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use message::{
    Challenge, Message, Response, TransactionId, Writer, attribute, method, response_to,
};

/// First wait for a response over UDP, doubled each time (RFC 8489 §6.2.1).
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Times a request is sent over UDP.
const TRIES: u32 = 6;
/// Wait for a response over TCP.
const RELIABLE_WAIT: Duration = Duration::from_secs(10);
/// Challenges one request answers: the first, and nonces that went stale.
const MOST_CHALLENGES: u32 = 3;
/// Lifetime asked for, seconds.
const LIFETIME: u32 = 600;
/// Permissions last five minutes (RFC 8656 §9), channels ten; both are renewed together.
const RENEW: Duration = Duration::from_secs(240);
/// Hosts that may send to us.
const MOST_PERMISSIONS: usize = 32;
/// Datagrams that wait to be sent.
const MOST_WAITING: usize = 128;
/// The channel we bind: one peer is in use at a time (RFC 8656 §12: 0x4000 to 0x4fff).
const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4fff;
/// Octets before data in a channel.
const CHANNEL_HEADER: usize = 4;

/// Account of a TURN server.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.user)
    }
}

/// Why there is no allocation, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// The server does not answer.
    #[error("the TURN server does not answer")]
    Silent,
    /// The server refuses the account.
    #[error("the TURN server refuses the user name or the password")]
    Account,
    /// The server refuses for another reason.
    #[error("the TURN server refuses with {0}")]
    Refused(u16),
    /// The answer names no relayed address.
    #[error("the TURN server's answer names no address")]
    NoAddress,
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random,
    /// No connection, or it broke.
    #[error("no connection to the TURN server")]
    Connection,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEvent {
    /// Packets to this address of the server's reach us.
    Allocated(SocketAddr),
    /// There is no allocation, or no longer.
    Failed(TurnError),
    /// A datagram of a peer.
    Data(SocketAddr, Vec<u8>),
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Allocate,
    Refresh,
    Permit(IpAddr),
    Bind(u16, SocketAddr),
}

impl Subject {
    const fn method(self) -> u16 {
        match self {
            Self::Allocate => method::ALLOCATE,
            Self::Refresh => method::REFRESH,
            Self::Permit(_) => method::CREATE_PERMISSION,
            Self::Bind(..) => method::CHANNEL_BIND,
        }
    }
}

/// A request that waits for its response.
struct Transaction {
    id: TransactionId,
    subject: Subject,
    datagram: Vec<u8>,
    sent: u32,
    challenges: u32,
    due: Instant,
}

/// A host that may send to us.
struct Permission {
    host: IpAddr,
    /// The server has refused; it is not asked again.
    refused: bool,
    renew: Instant,
}

/// The peer whose datagrams go by a channel.
struct Channel {
    number: u16,
    peer: SocketAddr,
    bound: bool,
}

/// One allocation. See the module's description.
pub struct Client {
    account: Account,
    /// Over TCP: nothing is sent twice.
    reliable: bool,
    /// The address we want has this family.
    ipv6: bool,
    challenge: Option<Challenge>,
    relayed: Option<SocketAddr>,
    over: bool,
    refresh: Option<Instant>,
    transactions: Vec<Transaction>,
    permissions: Vec<Permission>,
    channel: Option<Channel>,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<TurnEvent>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("relayed", &self.relayed).finish_non_exhaustive()
    }
}

impl Client {
    /// Asks for an allocation. `reliable`: over TCP; `ipv6`: the relayed address is to be one.
    pub fn new(account: Account, reliable: bool, ipv6: bool, now: Instant) -> Self {
        let mut client = Self {
            account,
            reliable,
            ipv6,
            challenge: None,
            relayed: None,
            over: false,
            refresh: None,
            transactions: Vec::new(),
            permissions: Vec::new(),
            channel: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        client.ask(Subject::Allocate, LIFETIME, 0, now);
        client
    }

    /// The address peers send to.
    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Sends a datagram to a peer. Until the server has let its host through the datagram may be lost.
    pub fn send(&mut self, peer: SocketAddr, payload: &[u8], now: Instant) {
        if self.relayed.is_none() || self.over || !self.permit(peer.ip(), now) {
            return;
        }
        let bound = self.channel.as_ref().filter(|channel| channel.bound && channel.peer == peer);
        let datagram = match (bound, u16::try_from(payload.len())) {
            (_, Err(_)) => return,
            (Some(channel), Ok(length)) => {
                let mut out = Vec::with_capacity(CHANNEL_HEADER + payload.len() + 3);
                out.extend_from_slice(&channel.number.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(payload);
                if self.reliable {
                    out.resize(out.len().next_multiple_of(4), 0);
                }
                out
            }
            (None, Ok(_)) => {
                let Some(id) = transaction() else { return };
                Writer::new(method::SEND, &id)
                    .put_address(attribute::XOR_PEER_ADDRESS, peer)
                    .put(attribute::DATA, payload)
                    .finish("", None)
            }
        };
        self.push(datagram);
    }

    /// Binds a channel to the peer that is in use from now on: four octets instead of 36 before each datagram.
    pub fn bind(&mut self, peer: SocketAddr, now: Instant) {
        let same = self.channel.as_ref().is_some_and(|channel| channel.peer == peer);
        if same || self.relayed.is_none() || !self.permit(peer.ip(), now) {
            return;
        }
        // A number is bound to one peer for as long as the allocation lives.
        let number = self.channel.as_ref().map_or(FIRST_CHANNEL, |channel| channel.number + 1);
        if number > LAST_CHANNEL {
            return;
        }
        self.channel = Some(Channel { number, peer, bound: false });
        self.ask(Subject::Bind(number, peer), 0, 0, now);
    }

    /// Gives the allocation back.
    pub fn release(&mut self, now: Instant) {
        if self.relayed.take().is_some() {
            self.transactions.clear();
            self.ask(Subject::Refresh, 0, 0, now);
        }
        self.over = true;
    }

    /// Lets a host through. False when it is refused, or one too many.
    fn permit(&mut self, host: IpAddr, now: Instant) -> bool {
        if let Some(known) = self.permissions.iter().find(|known| known.host == host) {
            return !known.refused;
        }
        if self.permissions.len() >= MOST_PERMISSIONS || host.is_ipv6() != self.ipv6 {
            return false;
        }
        let renew = now + RENEW;
        self.permissions.push(Permission { host, refused: false, renew });
        self.ask(Subject::Permit(host), 0, 0, now);
        true
    }

    fn push(&mut self, datagram: Vec<u8>) {
        if self.out.len() < MOST_WAITING {
            self.out.push_back(datagram);
        }
    }

    /// Sends a request; `challenges` it has answered already.
    fn ask(&mut self, subject: Subject, lifetime: u32, challenges: u32, now: Instant) {
        let Some(id) = transaction() else {
            return self.fail(TurnError::Random);
        };
        let message = Writer::new(subject.method(), &id);
        let lifetime = lifetime.to_be_bytes();
        let message = match subject {
            Subject::Allocate => {
                let message = message.put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                let message = match self.ipv6 {
                    true => message.put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]),
                    false => message,
                };
                message.put(attribute::LIFETIME, &lifetime)
            }
            Subject::Refresh => message.put(attribute::LIFETIME, &lifetime),
            Subject::Permit(host) => {
                message.put_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(host, 0))
            }
            Subject::Bind(number, peer) => message
                .put(attribute::CHANNEL_NUMBER, &[number.to_be_bytes(), [0, 0]].concat())
                .put_address(attribute::XOR_PEER_ADDRESS, peer),
        };
        let datagram = message.finish(&self.account.user, self.challenge.as_ref());
        let wait = if self.reliable { RELIABLE_WAIT } else { FIRST_WAIT };
        self.push(datagram.clone());
        let due = now + wait;
        self.transactions.push(Transaction { id, subject, datagram, sent: 1, challenges, due });
    }

    fn fail(&mut self, error: TurnError) {
        if !self.over {
            self.over = true;
            self.relayed = None;
            self.transactions.clear();
            self.events.push_back(TurnEvent::Failed(error));
        }
    }

    /// Takes a datagram of the server's: over TCP one message, as [`frame`] cuts them out. What is no answer to a request of
    /// ours and no datagram of a peer that may send changes nothing.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        match datagram.first() {
            Some(0x40..=0x4f) => self.channel_data(datagram),
            Some(0..=3) => {
                let Some(message) = Message::parse(datagram) else { return };
                if message.kind == method::DATA {
                    return self.indication(&message);
                }
                self.response(&message, datagram, now);
            }
            _ => {}
        }
    }

    fn channel_data(&mut self, datagram: &[u8]) {
        let Some(&[n0, n1, l0, l1]) = datagram.first_chunk() else { return };
        let number = u16::from_be_bytes([n0, n1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let payload = datagram.get(CHANNEL_HEADER..CHANNEL_HEADER + length);
        let channel = self.channel.as_ref().filter(|channel| channel.number == number);
        if let (Some(payload), Some(channel)) = (payload, channel) {
            let event = TurnEvent::Data(channel.peer, payload.to_vec());
            self.tell(event);
        }
    }

    fn indication(&mut self, message: &Message<'_>) {
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        let (Some(peer), Some(data)) = (peer, message.get(attribute::DATA)) else { return };
        let permitted = |known: &Permission| known.host == peer.ip() && !known.refused;
        if self.permissions.iter().any(permitted) {
            let event = TurnEvent::Data(peer, data.to_vec());
            self.tell(event);
        }
    }

    fn tell(&mut self, event: TurnEvent) {
        if self.events.len() < MOST_WAITING {
            self.events.push_back(event);
        }
    }

    fn response(&mut self, message: &Message<'_>, datagram: &[u8], now: Instant) {
        let known = |asked: &Transaction| asked.id == message.id;
        let Some(at) = self.transactions.iter().position(known) else { return };
        let subject = self.transactions[at].subject;
        match response_to(message, subject.method()) {
            Some(Response::Success) => {
                // A request that carried no integrity (a server without accounts) is answered without.
                let genuine =
                    self.challenge.as_ref().is_none_or(|challenge| challenge.vouches_for(datagram));
                if genuine {
                    self.transactions.remove(at);
                    self.succeeded(subject, message, now);
                }
            }
            Some(Response::Failure) => {
                let asked = self.transactions.remove(at);
                self.refused(&asked, message, now);
            }
            None => {}
        }
    }

    fn succeeded(&mut self, subject: Subject, message: &Message<'_>, now: Instant) {
        match subject {
            Subject::Allocate => {
                let relayed = message.address(attribute::XOR_RELAYED_ADDRESS);
                let Some(relayed) = relayed.filter(|at| at.is_ipv6() == self.ipv6) else {
                    return self.fail(TurnError::NoAddress);
                };
                self.relayed = Some(relayed);
                self.refresh = Some(now + renewal(message));
                self.events.push_back(TurnEvent::Allocated(relayed));
            }
            Subject::Refresh => self.refresh = Some(now + renewal(message)),
            Subject::Permit(host) => {
                for known in self.permissions.iter_mut().filter(|known| known.host == host) {
                    known.renew = now + RENEW;
                }
            }
            Subject::Bind(number, _) => {
                if let Some(channel) = self.channel.as_mut().filter(|c| c.number == number) {
                    channel.bound = true;
                }
            }
        }
    }

    fn refused(&mut self, asked: &Transaction, message: &Message<'_>, now: Instant) {
        let error = message.error().unwrap_or(500);
        let (realm, nonce) = (message.get(attribute::REALM), message.get(attribute::NONCE));
        let challenged = match (error, realm, nonce, &self.challenge) {
            (401, Some(realm), Some(nonce), None) => {
                let Account { user, password } = &self.account;
                Some(Challenge::new(user, password, realm, nonce))
            }
            (438, _, Some(nonce), Some(challenge)) => Some(challenge.renewed(nonce)),
            _ => None,
        };
        if let Some(challenge) = challenged.filter(|_| asked.challenges < MOST_CHALLENGES) {
            self.challenge = Some(challenge);
            let lifetime = if self.over { 0 } else { LIFETIME };
            return self.ask(asked.subject, lifetime, asked.challenges + 1, now);
        }
        let error = match error {
            401 | 441 => TurnError::Account,
            other => TurnError::Refused(other),
        };
        match asked.subject {
            Subject::Allocate | Subject::Refresh => self.fail(error),
            Subject::Permit(host) => {
                for known in self.permissions.iter_mut().filter(|known| known.host == host) {
                    known.refused = true;
                }
            }
            // Indications still reach the peer.
            Subject::Bind(..) => {}
        }
    }

    /// To be called when [`Client::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut silent = false;
        let mut again = Vec::new();
        let (reliable, over) = (self.reliable, self.over);
        self.transactions.retain_mut(|asked| {
            if asked.due > now {
                return true;
            }
            if reliable || asked.sent >= TRIES {
                silent |= matches!(asked.subject, Subject::Allocate | Subject::Refresh) && !over;
                return false;
            }
            asked.due = now + FIRST_WAIT * 2u32.pow(asked.sent);
            asked.sent += 1;
            again.push(asked.datagram.clone());
            true
        });
        again.into_iter().for_each(|datagram| self.push(datagram));
        if silent {
            return self.fail(TurnError::Silent);
        }
        if self.over {
            return;
        }
        if self.refresh.is_some_and(|due| due <= now) {
            self.refresh = None;
            self.ask(Subject::Refresh, LIFETIME, 0, now);
        }
        let due: Vec<IpAddr> = self
            .permissions
            .iter()
            .filter(|p| !p.refused && p.renew <= now)
            .map(|p| p.host)
            .collect();
        for host in due {
            for known in self.permissions.iter_mut().filter(|known| known.host == host) {
                known.renew = now + RENEW;
            }
            self.ask(Subject::Permit(host), 0, 0, now);
            let bound = self.channel.as_ref().filter(|c| c.peer.ip() == host);
            if let Some((number, peer)) = bound.map(|channel| (channel.number, channel.peer)) {
                self.ask(Subject::Bind(number, peer), 0, 0, now);
            }
        }
    }

    /// When [`Client::handle_timeout`] is due; `None` = never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.transactions.iter().map(|asked| asked.due);
        let permitted = self.permissions.iter().filter(|p| !p.refused).map(|p| p.renew);
        let kept = self.refresh.into_iter().chain(permitted).filter(|_| !self.over);
        asked.chain(kept).min()
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }
}

/// Octets of the first message of a stream (RFC 8656 §12.5): `None` while its header is not whole, an error when it is none.
///
/// # Errors
/// The stream is no TURN server's.
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, TurnError> {
    let Some(&[kind, _, l0, l1]) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    match kind {
        0..=3 => Ok(Some(message::HEADER + length)),
        0x40..=0x4f => Ok(Some(CHANNEL_HEADER + length.next_multiple_of(4))),
        _ => Err(TurnError::Connection),
    }
}

/// When to refresh: a minute before the lifetime ends, or half of a short one.
fn renewal(message: &Message<'_>) -> Duration {
    let lifetime = message.number(attribute::LIFETIME).unwrap_or(LIFETIME).clamp(10, 3600);
    Duration::from_secs(u64::from(lifetime.saturating_sub(60).max(lifetime / 2)))
}

fn transaction() -> Option<TransactionId> {
    let mut id = [0; 12];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id).ok()?;
    Some(id)
}

#[cfg(test)]
mod tests;
