//! The task of one leg that gives its [`Link`] datagrams and the time. Handshakes are computed here, on the control side.

use std::collections::VecDeque;
use std::time::Instant;

use media::{Datagram, SideChannel};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::ice::RemoteCandidate;
use crate::link::{Link, LinkEvent, LinkSpec, Way};
use crate::turn::driver::Relay;

/// Orders that wait for a task; a signalling message brings one.
const ORDERS: usize = 8;
/// Events that wait for their reader.
const EVENTS: usize = 16;

/// What a link is told.
#[derive(Debug)]
enum Order {
    Update(Box<LinkSpec>),
    Candidates(Vec<RemoteCandidate>),
}

/// The owner's end of a link. The task ends with the leg, or with this.
#[derive(Debug)]
pub struct LinkHandle {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<LinkEvent>,
}

impl LinkHandle {
    /// Starts the task of a leg. `relay` is the one its description names, if it names one.
    pub fn start(side: SideChannel, spec: LinkSpec, relay: Option<Relay>) -> Self {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (told, events) = mpsc::channel(EVENTS);
        tokio::spawn(drive(side, spec, relay, ordered, told));
        Self { orders, events }
    }

    /// Tells of a new agreement; see [`Link::update`]. False when the task is not keeping up.
    pub fn update(&self, spec: LinkSpec) -> bool {
        self.orders.try_send(Order::Update(Box::new(spec))).is_ok()
    }

    /// Tells of candidates that came later.
    pub fn add_candidates(&self, candidates: Vec<RemoteCandidate>) -> bool {
        self.orders.try_send(Order::Candidates(candidates)).is_ok()
    }

    /// The next event; `None` once the task has ended. May be given up half-way.
    pub async fn event(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// An event that is there already.
    pub fn try_event(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }
}

async fn drive(
    mut side: SideChannel,
    spec: LinkSpec,
    mut relay: Option<Relay>,
    mut orders: mpsc::Receiver<Order>,
    told: mpsc::Sender<LinkEvent>,
) {
    let mut link = Link::new(spec, Instant::now());
    let mut untold = VecDeque::new();
    loop {
        deliver(&mut link, &side, relay.as_ref(), &mut untold);
        let due = link.poll_timeout();
        let timeout = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let relayed = async {
            match &mut relay {
                Some(relay) => relay.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = side.recv() => match datagram {
                Some(Datagram { from, rtcp: true, octets }) => {
                    link.handle_rtcp_datagram(Instant::now(), from, &octets);
                }
                Some(Datagram { from, rtcp: false, octets }) => {
                    link.handle_datagram(Instant::now(), from, &octets);
                }
                None => return,
            },
            datagram = relayed => match datagram {
                Some((from, octets)) => link.handle_relayed(Instant::now(), from, &octets),
                // The server has ended it; a path through it dies by its checks.
                None => relay = None,
            },
            order = orders.recv() => match order {
                Some(Order::Update(spec)) => link.update(*spec, Instant::now()),
                Some(Order::Candidates(candidates)) => link.add_candidates(&candidates, Instant::now()),
                None => return,
            },
            room = told.reserve(), if !untold.is_empty() => match (room, untold.pop_front()) {
                (Ok(room), Some(event)) => room.send(event),
                (Ok(_), None) => {}
                (Err(_), _) => return,
            },
            () = timeout => link.handle_timeout(Instant::now()),
        }
    }
}

/// Sends what is to be sent, and does what happened. Of paths that wait to be told only the newest counts, so that what
/// waits has a bound: a path, the keys, a failure.
fn deliver(
    link: &mut Link,
    side: &SideChannel,
    relay: Option<&Relay>,
    untold: &mut VecDeque<LinkEvent>,
) {
    while let Some((to, datagram)) = link.poll_transmit() {
        // An address that cannot be reached is what the checks are to find out.
        let _ = side.send_to(&datagram, to, false);
    }
    while let Some((to, datagram)) = link.poll_relay_transmit() {
        if let Some(relay) = relay {
            relay.send(to, datagram);
        }
    }
    while let Some((to, datagram)) = link.poll_rtcp_transmit() {
        let _ = side.send_to(&datagram, to, true);
    }
    for event in link.take_events() {
        // A worker that takes no more commands is beyond help; the leg's timeouts end it.
        let _ = match &event {
            LinkEvent::Path(way) => side.set_path(way.and_then(|way| way_out(way, relay))),
            LinkEvent::Keys(keys) => side.set_keys(keys.clone()),
            LinkEvent::RtcpPath(way) => side.set_rtcp_path(way.map(|way| way.to)),
            LinkEvent::RtcpKeys(keys) => side.set_rtcp_keys(keys.clone()),
            LinkEvent::Failed(_) => Ok(()),
        };
        let same =
            |other: &LinkEvent| std::mem::discriminant(other) == std::mem::discriminant(&event);
        untold.retain(|other| !same(other));
        untold.push_back(event);
    }
}

/// Where the worker sends the leg's packets: to the peer, or to the relay's entrance.
fn way_out(way: Way, relay: Option<&Relay>) -> Option<std::net::SocketAddr> {
    match relay {
        Some(relay) if way.relayed => {
            relay.select(way.to);
            Some(relay.entrance())
        }
        _ if way.relayed => None,
        _ => Some(way.to),
    }
}
