//! Two endpoints and a wire between them, in simulated time. The wire has latency and, when told so,
//! loses and repeats datagrams by a fixed sequence: every run is the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::*;
use crate::message::{Message, MessageLimits, Method, Name, parse};
use crate::transport::Transport;
use crate::uri::{NameAddr, Uri};

pub(super) const ALICE: &str = "192.0.2.1:5060";
pub(super) const BOB: &str = "192.0.2.2:5060";

const LATENCY: Duration = Duration::from_millis(10);

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One end, with everything it told its owner.
pub(super) struct End {
    pub(super) endpoint: Endpoint,
    pub(super) at: SocketAddr,
    pub(super) invites: Vec<(DialogId, Arc<Request>)>,
    pub(super) requests: Vec<(RequestId, Arc<Request>)>,
    pub(super) events: Vec<(DialogId, DialogEvent)>,
    pub(super) replies: Vec<Result<Box<Reply>, RequestError>>,
    pub(super) sent: Vec<Bytes>,
}

impl End {
    fn new(at: &str, seed: u64, transport: Transport) -> Self {
        let config = EndpointConfig {
            listening: vec![(transport, addr(at))],
            timers: Timers::default(),
            session: SessionTimers::default(),
            identity: Identity::default(),
            limits: Limits::default(),
            advertise: None,
            rport: Rport::default(),
            peers: None,
        };
        Self {
            endpoint: Endpoint::new(config, Tokens::seeded(seed)),
            at: addr(at),
            invites: Vec::new(),
            requests: Vec::new(),
            events: Vec::new(),
            replies: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Short names of the events so far, e.g. `180 200 acked bye`.
    pub(super) fn story(&self) -> String {
        let words: Vec<String> = self.events.iter().map(|(_, e)| word(e)).collect();
        words.join(" ")
    }

    /// First words of what was sent, e.g. `INVITE 100 ACK`.
    pub(super) fn wire(&self) -> String {
        let words = self.sent.iter().map(|b| {
            let text = String::from_utf8_lossy(b);
            let text = text.strip_prefix("SIP/2.0 ").unwrap_or(&text);
            text.split(' ').next().unwrap_or("").to_owned()
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn word(event: &DialogEvent) -> String {
    match event {
        DialogEvent::Provisional(r) | DialogEvent::Answered(r) => r.status.to_string(),
        DialogEvent::Failed(f) => format!("failed-{}", f.status()),
        DialogEvent::Cancelled(_) => "cancelled".into(),
        DialogEvent::Acked(_) => "acked".into(),
        DialogEvent::Bye(_) => "bye".into(),
        DialogEvent::Reinvite(_) => "reinvite".into(),
        DialogEvent::Update(_) => "update".into(),
        DialogEvent::Info(_) => "info".into(),
        DialogEvent::Refer(_) => "refer".into(),
        DialogEvent::Notify(_) => "notify".into(),
        DialogEvent::Message(_) => "message".into(),
        DialogEvent::Prack(_) => "prack".into(),
        DialogEvent::ReinviteDone(Ok(_)) => "reinvited".into(),
        DialogEvent::ReinviteDone(Err(f)) => format!("reinvite-{}", f.status()),
        DialogEvent::Terminated(why) => format!("{why:?}").to_lowercase(),
    }
}

/// What happens to the n-th datagram.
pub(super) type Fate = fn(u64) -> usize;

pub(super) fn delivered(_: u64) -> usize {
    1
}

/// Every third is lost, every fifth comes twice.
pub(super) fn bad_wire(n: u64) -> usize {
    if n.is_multiple_of(3) {
        0
    } else if n.is_multiple_of(5) {
        2
    } else {
        1
    }
}

pub(super) struct Net {
    pub(super) alice: End,
    pub(super) bob: End,
    pub(super) now: Instant,
    transport: Transport,
    flying: Vec<(Instant, SocketAddr, SocketAddr, Bytes)>,
    fate: Fate,
    count: u64,
}

impl Net {
    pub(super) fn new() -> Self {
        Self::over(Transport::Udp, delivered)
    }

    pub(super) fn over(transport: Transport, fate: Fate) -> Self {
        let now = Instant::now();
        Self {
            alice: End::new(ALICE, 1, transport),
            bob: End::new(BOB, 2, transport),
            now,
            transport,
            flying: Vec::new(),
            fate,
            count: 0,
        }
    }

    /// Lets time pass, moving datagrams and running timers in order.
    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            self.drain();
            let timers = [self.alice.endpoint.next_timeout(), self.bob.endpoint.next_timeout()];
            let next = self.flying.iter().map(|f| f.0).chain(timers.into_iter().flatten()).min();
            match next {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    self.deliver();
                    self.alice.endpoint.handle_timeout(self.now);
                    self.bob.endpoint.handle_timeout(self.now);
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.flying).into_iter().partition(|f| f.0 <= now);
        self.flying = later;
        let due: Vec<(Instant, SocketAddr, SocketAddr, Bytes)> = due;
        for (_, from, to, bytes) in due {
            let transport = self.transport;
            for end in [&mut self.alice, &mut self.bob] {
                if end.at == to {
                    let path = Path {
                        transport,
                        local: to,
                        remote: from,
                        connection: None,
                        verified: false,
                    };
                    if let Some(standing) = end.endpoint.reads(now, &path, bytes.len()) {
                        end.endpoint.handle_bytes(now, path, &bytes, standing);
                    }
                }
            }
        }
    }

    fn drain(&mut self) {
        let now = self.now;
        for end in [&mut self.alice, &mut self.bob] {
            while let Some(output) = end.endpoint.poll_output(now) {
                match output {
                    Output::Transmit { path, bytes, .. } => {
                        end.sent.push(bytes.clone());
                        self.count += 1;
                        for copy in 0..(self.fate)(self.count) {
                            let at = now + LATENCY * (1 + copy as u32);
                            self.flying.push((at, end.at, path.remote, bytes.clone()));
                        }
                    }
                    Output::Invite { id, request, .. } => end.invites.push((id, request)),
                    Output::Request { id, request, .. } => end.requests.push((id, request)),
                    Output::Event { id, event } => end.events.push((id, event)),
                    Output::Reply { result, .. } => end.replies.push(result),
                    Output::Resolve { .. } | Output::Info { .. } => {}
                }
            }
        }
    }

    /// Alice calls Bob.
    pub(super) fn call(&mut self) -> DialogId {
        self.call_with(|_| {})
    }

    pub(super) fn call_with(&mut self, change: impl FnOnce(&mut InviteSpec)) -> DialogId {
        let uri = |text: &str| Uri::parse(text).unwrap();
        let from = NameAddr::parse("\"Alice\" <sip:alice@a.example>").unwrap();
        let contact = NameAddr::new(uri(&format!("sip:alice@{ALICE}")));
        let mut spec = InviteSpec::new(uri(&format!("sip:bob@{BOB}")), from, contact);
        spec.body = Some(Body::sdp("v=0\r\n"));
        change(&mut spec);
        let id = DialogId(2 * (1 + self.alice.invites.len() as u64) + 1000);
        self.alice.endpoint.invite(self.now, id, spec);
        id
    }

    /// Bob answers his n-th call.
    pub(super) fn bob_answers(&mut self, n: usize, status: u16) -> DialogId {
        let id = self.bob.invites[n].0;
        let mut headers = Headers::new();
        headers.push(Name::Contact, format!("<sip:bob@{BOB}>"));
        let content = Content { status, reason: String::new(), headers, body: None };
        self.bob.endpoint.answer_invite(self.now, id, content);
        id
    }

    /// A call that is up. Gives both names of it.
    pub(super) fn up() -> (Self, DialogId, DialogId) {
        let mut net = Self::new();
        let a = net.call();
        net.run(Duration::from_millis(50));
        let b = net.bob_answers(0, 200);
        net.run(Duration::from_millis(100));
        assert_eq!((net.alice.story().as_str(), net.bob.story().as_str()), ("200", "acked"));
        (net, a, b)
    }

    /// Puts bytes on the wire as if from a third party.
    pub(super) fn inject(&mut self, from: &str, to: &str, text: &str) {
        let bytes = Bytes::from(text.to_owned());
        self.flying.push((self.now, addr(from), addr(to), bytes));
    }
}

pub(super) fn content(status: u16) -> Content {
    Content { status, reason: String::new(), headers: Headers::new(), body: None }
}

/// The last message an end sent with this first word.
pub(super) fn last_sent(end: &End, first: &str) -> Message {
    let found = end.sent.iter().rev().find(|b| {
        let text = String::from_utf8_lossy(b);
        text.strip_prefix("SIP/2.0 ").unwrap_or(&text).starts_with(first)
    });
    parse(
        found.unwrap_or_else(|| panic!("no {first} in {}", end.wire())),
        &MessageLimits::default(),
    )
    .unwrap()
}

pub(super) fn sec(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn info() -> Method {
    Method::Info
}
