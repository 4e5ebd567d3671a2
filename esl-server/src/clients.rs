//! Who is connected, and how far each is behind: what `show event_clients` and the metrics page tell.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::bus::Depth;

/// The clients of an Event Socket, by number. A number is the smallest that is free: there are never more of them than
/// clients at once, so that they may be labels of metrics.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<u32, Arc<Client>>>);

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    peer: SocketAddr,
    /// Seconds since the epoch.
    since: i64,
    account: Mutex<Option<String>>,
    depth: Mutex<Option<Depth>>,
    sent: AtomicU64,
    unwritten: Mutex<Unwritten>,
}

/// What left the queue and has not all been taken by the system.
#[derive(Clone, Copy, Debug, Default)]
struct Unwritten {
    events: usize,
    bytes: usize,
    /// When the oldest of them was stamped, in microseconds since the epoch.
    since: i64,
}

/// How a client is doing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// Its number.
    pub number: u32,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// When it connected, in seconds since the epoch.
    pub since: i64,
    /// The directory user who logged in; `None` for the listener's own password, and before the login.
    pub account: Option<String>,
    /// Events that wait for it, with those that are being written.
    pub waiting: usize,
    /// About how many bytes they hold.
    pub bytes: usize,
    /// Events that did not fit into its queue.
    pub lost: u64,
    /// Age of the oldest event that waits.
    pub lag: Duration,
    /// Events that were written to its connection.
    pub sent: u64,
}

impl Clients {
    /// A client connects.
    pub(crate) fn enter(&self, peer: SocketAddr) -> Arc<Client> {
        let mut all = self.0.lock();
        let number = (1..).find(|number| !all.contains_key(number)).unwrap_or(u32::MAX);
        let client = Arc::new(Client {
            number,
            peer,
            since: base::clock::now_secs(),
            account: Mutex::default(),
            depth: Mutex::default(),
            sent: AtomicU64::new(0),
            unwritten: Mutex::default(),
        });
        all.insert(number, Arc::clone(&client));
        client
    }

    /// A client is gone.
    pub(crate) fn leave(&self, client: &Client) {
        self.0.lock().remove(&client.number);
    }

    /// All of them that have asked for events, by number.
    #[must_use]
    pub fn states(&self) -> Vec<ClientState> {
        let clients: Vec<_> = self.0.lock().values().cloned().collect();
        clients.iter().filter_map(|client| client.state()).collect()
    }
}

impl Client {
    /// It has logged in as a directory user.
    pub(crate) fn is_account(&self, account: &str) {
        *self.account.lock() = Some(account.to_owned());
    }

    /// That is its place on the bus.
    pub(crate) fn reads(&self, depth: Depth) {
        *self.depth.lock() = Some(depth);
    }

    /// An event, stamped at `stamped`, is to be written.
    pub(crate) fn takes(&self, stamped: i64, bytes: usize) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut unwritten = self.unwritten.lock();
        if unwritten.events == 0 {
            unwritten.since = stamped;
        }
        unwritten.events += 1;
        unwritten.bytes += bytes;
    }

    /// Everything that was to be written has been.
    pub(crate) fn has_all(&self) {
        *self.unwritten.lock() = Unwritten::default();
    }

    fn state(&self) -> Option<ClientState> {
        let reader = self.depth.lock().as_ref()?.read();
        let unwritten = *self.unwritten.lock();
        let age =
            |since: i64| u64::try_from(base::clock::now_us().saturating_sub(since)).unwrap_or(0);
        let lag = if unwritten.events > 0 {
            Duration::from_micros(age(unwritten.since))
        } else {
            reader.lag
        };
        Some(ClientState {
            number: self.number,
            peer: self.peer,
            since: self.since,
            account: self.account.lock().clone(),
            waiting: reader.waiting + unwritten.events,
            bytes: reader.bytes + unwritten.bytes,
            lost: reader.lost,
            lag,
            sent: self.sent.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventName};
    use crate::{CoreInfo, EventBus};

    #[test]
    fn a_client_that_does_not_read_shows_how_far_it_is_behind() {
        let bus = EventBus::new(CoreInfo {
            core_uuid: "core".into(),
            hostname: "box".into(),
            switchname: "pbx".into(),
            ipv4: String::new(),
            ipv6: String::new(),
        });
        let clients = Clients::default();
        let peer = "192.0.2.1:5000".parse().unwrap();
        let (one, two) = (clients.enter(peer), clients.enter(peer));
        assert!(clients.states().is_empty(), "neither has asked for events");
        let mut reader = bus.subscribe(2);
        reader.listen(EventName::Talk);
        two.reads(reader.depth());
        two.is_account("user@domain");
        let mut old = Event::new(EventName::Talk);
        bus.stamp_at(&mut old, crate::caller!(), base::clock::now_us() - 5_000_000);
        bus.deliver(old);
        for _ in 0..2 {
            crate::fire!(bus, Event::new(EventName::Talk));
        }
        let state = clients.states().remove(0);
        assert_eq!((state.number, state.waiting, state.lost), (2, 2, 1));
        assert!(state.lag >= Duration::from_secs(5), "{state:?}");
        assert_eq!(state.account.as_deref(), Some("user@domain"));
        while reader.try_recv().is_some() {}
        assert_eq!(clients.states()[0].lag, Duration::ZERO);
        two.takes(base::clock::now_us() - 7_000_000, 100);
        let state = clients.states().remove(0);
        assert!(
            (state.waiting, state.bytes, state.sent) == (1, 100, 1) && state.lag.as_secs() >= 7
        );
        two.has_all();
        assert_eq!(clients.states()[0].waiting, 0);
        clients.leave(&one);
        assert_eq!(clients.enter(peer).number, 1, "numbers are used again");
    }
}
