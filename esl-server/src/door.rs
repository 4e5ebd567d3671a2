//! Who is let in: places for connections, and whether a password may be judged.
//!
//! Clients that have not logged in yet are strangers. They never keep others out: a full house makes the oldest of them
//! give way, and one address has a share of its own.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::guess_guard::{Attempt, Entry, GuessGuard, Verdict, place};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// Longest time an attempt may be held back on its connection; one that would wait longer is refused.
const PATIENCE: Duration = Duration::from_secs(3);
/// Attempts of one address held back at once.
const HELD_BACK: usize = 4;
/// The log hears of strangers that gave way this often.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// The door of a listener.
pub(crate) struct Door {
    limits: Limits,
    guard: Arc<GuessGuard>,
    state: Mutex<DoorState>,
}

/// How many may be in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) strangers_per_address: usize,
}

#[derive(Default)]
struct DoorState {
    inside: usize,
    next: u64,
    /// Oldest first.
    strangers: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    held_back: HashMap<IpAddr, usize>,
    gave_way: u64,
    said: Option<Instant>,
}

impl Door {
    pub(crate) fn new(limits: Limits, guard: Arc<GuessGuard>) -> Arc<Self> {
        Arc::new(Self { limits, guard, state: Mutex::default() })
    }

    /// A place for a newcomer; `None` when all are taken by clients that have logged in.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let key = place(address);
        let mut state = self.state.lock();
        let mut of_address = state.strangers.iter().filter(|(_, (ip, _))| *ip == key);
        let first = of_address.next().map(|(id, _)| *id);
        let count = of_address.count() + usize::from(first.is_some());
        let leaver = if count >= self.limits.strangers_per_address.max(1) {
            first
        } else if state.inside >= self.limits.connections {
            Some(*state.strangers.first_key_value()?.0)
        } else {
            None
        };
        if let Some((address, leaver)) = leaver.and_then(|id| state.strangers.remove(&id)) {
            state.inside -= 1;
            leaver.notify_one();
            state.say_who_left(address);
        }
        let (id, way) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        state.inside += 1;
        state.strangers.insert(id, (key, Arc::clone(&way)));
        Some(Place { door: Arc::clone(self), id, address, way, known: false })
    }
}

impl DoorState {
    fn say_who_left(&mut self, address: IpAddr) {
        self.gave_way += 1;
        let now = Instant::now();
        if self.said.is_none_or(|at| now.duration_since(at) >= SAID_EVERY) {
            self.said = Some(now);
            let count = std::mem::take(&mut self.gave_way);
            warn!(
                "event socket: {count} connections that had not logged in gave way to others, the last from {address}"
            );
        }
    }
}

/// A connection's place. Dropping it frees the place.
pub(crate) struct Place {
    door: Arc<Door>,
    id: u64,
    address: IpAddr,
    way: Arc<Notify>,
    known: bool,
}

/// What is to be done about an attempt to log in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Judge it.
    Now,
    /// Judge it after that long.
    After(Duration),
    /// Refuse it unread.
    Refuse,
}

impl Place {
    /// The client has logged in.
    pub(crate) fn logged_in(&mut self) {
        if !self.known {
            let mut state = self.door.state.lock();
            // One that was just told to give way stays when its password came first.
            if state.strangers.remove(&self.id).is_none() {
                state.inside += 1;
            }
            drop(state);
            self.known = true;
        }
    }

    /// Resolves when the connection is to give way to another.
    pub(crate) async fn gives_way(&self) {
        self.way.notified().await;
    }

    /// Whether a password from here may be looked at.
    pub(crate) fn ask(&self, account: Option<&str>) -> Patience {
        match self.door.guard.ask(&self.attempt(account), Instant::now().into_std()) {
            Verdict::Judge => Patience::Now,
            Verdict::Wait(wait) if wait <= PATIENCE => Patience::After(wait),
            Verdict::Wait(_) => Patience::Refuse,
        }
    }

    /// A place among the few attempts of an address that may wait.
    pub(crate) fn hold_back(&self) -> Option<HeldBack> {
        let key = place(self.address);
        let mut state = self.door.state.lock();
        let count = state.held_back.entry(key).or_default();
        if *count >= HELD_BACK {
            return None;
        }
        *count += 1;
        Some(HeldBack { door: Arc::clone(&self.door), key })
    }

    /// Notes how a password was judged; gives whom that holds back.
    pub(crate) fn judged(&self, account: Option<&str>, right: bool) -> Option<Entry> {
        let (attempt, now) = (self.attempt(account), Instant::now().into_std());
        if right {
            self.door.guard.passed(&attempt, now);
            return None;
        }
        self.door.guard.failed(&attempt, now)
    }

    pub(crate) const fn attempt<'a>(&self, account: Option<&'a str>) -> Attempt<'a> {
        Attempt { address: self.address, account }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.state.lock();
        // Not counted any more when it gave way.
        if state.strangers.remove(&self.id).is_some() || self.known {
            state.inside -= 1;
        }
    }
}

/// An attempt that waits.
pub(crate) struct HeldBack {
    door: Arc<Door>,
    key: IpAddr,
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        let mut state = self.door.state.lock();
        if let Some(count) = state.held_back.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.held_back.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_now::gave_way;

    use super::*;

    mod futures_now {
        use std::pin::pin;
        use std::task::{Context, Waker};

        pub(super) fn gave_way(place: &super::Place) -> bool {
            let mut cx = Context::from_waker(Waker::noop());
            pin!(place.gives_way()).poll(&mut cx).is_ready()
        }
    }

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn door(connections: usize, strangers_per_address: usize) -> Arc<Door> {
        Door::new(Limits { connections, strangers_per_address }, Arc::default())
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_who_has_logged_in_stays() {
        let door = door(3, 10);
        let mut known = door.enter(A).unwrap();
        known.logged_in();
        let (old, new) = (door.enter(A).unwrap(), door.enter(B).unwrap());
        let next = door.enter(B).unwrap();
        assert!(gave_way(&old) && !gave_way(&new) && !gave_way(&known));
        drop(old);
        assert_eq!(door.state.lock().inside, 3);
        drop((new, next));
        let mut places = [door.enter(A).unwrap(), door.enter(B).unwrap()];
        places.iter_mut().for_each(Place::logged_in);
        assert!(door.enter(B).is_none(), "all have logged in");
        drop(known);
        assert!(door.enter(B).is_some());
    }

    #[test]
    fn an_address_takes_its_share_of_strangers_only() {
        let door = door(100, 2);
        let other = door.enter(B).unwrap();
        let (first, second) = (door.enter(A).unwrap(), door.enter(A).unwrap());
        let third = door.enter(A).unwrap();
        assert!(gave_way(&first) && !gave_way(&second) && !gave_way(&other));
        drop((first, second, third, other));
        assert_eq!(door.state.lock().inside, 0);
    }

    #[test]
    fn a_password_that_came_just_before_keeps_the_place() {
        let door = door(1, 10);
        let mut first = door.enter(A).unwrap();
        let second = door.enter(B).unwrap();
        first.logged_in();
        assert_eq!(door.state.lock().inside, 2);
        drop((first, second));
        assert_eq!(door.state.lock().inside, 0);
    }

    #[test]
    fn few_attempts_of_an_address_wait_at_once() {
        let door = door(100, 100);
        let place = door.enter(A).unwrap();
        let waiting: Vec<_> = (0..HELD_BACK).map(|_| place.hold_back().unwrap()).collect();
        assert!(place.hold_back().is_none());
        assert!(door.enter(B).unwrap().hold_back().is_some());
        drop(waiting);
        assert!(door.state.lock().held_back.is_empty());
        assert!(place.hold_back().is_some());
    }

    #[test]
    fn guesses_wait_a_little_then_longer_than_anybody_would() {
        let door = door(100, 100);
        let place = door.enter(A).unwrap();
        for _ in 0..8 {
            assert_eq!(place.ask(None), Patience::Now);
            place.judged(None, false);
        }
        place.judged(None, false);
        assert!(matches!(place.ask(None), Patience::After(_)));
        for _ in 0..4 {
            place.judged(None, false);
        }
        assert_eq!(place.ask(None), Patience::Refuse);
        assert_eq!(door.enter(B).unwrap().ask(None), Patience::Now);
    }
}
