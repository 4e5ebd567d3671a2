//! What all profiles share: sessions, calls, event channels, the numbers of our requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use switch_core::call::Channel;
use switch_core::switch::Switch;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::leg::Order;
use crate::profile::Profile;
use crate::rpc::{self, Object};
use crate::settings::Shared;

/// Calls one session may have at once.
const MOST_CALLS: usize = 64;

/// State of the module for a switch.
pub(crate) struct Hub {
    pub(crate) shared: ArcSwap<Shared>,
    pub(crate) debug: AtomicU8,
    pub(crate) profiles: RwLock<Vec<Arc<Profile>>>,
    /// Clients by session.
    sessions: Mutex<HashMap<String, Arc<Client>>>,
    /// UUIDs of calls by session.
    calls: Mutex<HashMap<String, Vec<Arc<str>>>>,
    pub(crate) channels: crate::event_channels::Subscriptions,
    pub(crate) store: crate::store::Store,
    /// Tells the pump of events what is wanted from now on.
    pub(crate) pump: Mutex<Option<mpsc::Sender<crate::pump::Wanted>>>,
    next_request: AtomicU32,
    pub(crate) detachments: AtomicU64,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            shared: ArcSwap::from_pointee(Shared::default()),
            debug: AtomicU8::new(0),
            profiles: RwLock::default(),
            sessions: Mutex::default(),
            calls: Mutex::default(),
            channels: crate::event_channels::Subscriptions::default(),
            store: crate::store::Store::default(),
            pump: Mutex::default(),
            next_request: AtomicU32::new(1),
            detachments: AtomicU64::new(0),
        }
    }
}

/// What is kept of a call on its channel.
#[derive(Default)]
pub(crate) struct Call {
    /// The session it belongs to.
    pub(crate) session: String,
    /// Orders to the leg; `None` for what is no call of ours.
    pub(crate) orders: Option<mpsc::Sender<Order>>,
    /// It waits for its client: the number of that waiting.
    pub(crate) detached: Option<u64>,
    /// It is not kept when its client is gone (`recoverCall`).
    pub(crate) unrecoverable: bool,
    /// The client has ended it, and need not be told.
    pub(crate) ended_by_client: bool,
}

/// How a client got its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    New,
    /// Another client of the same user had it; its calls wait to be offered to this one.
    TakenOver,
    /// It is another user's.
    Refused,
}

impl Hub {
    /// That of a switch.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        switch.module::<Self>()
    }

    /// A request of ours, with the next number.
    pub(crate) fn request(&self, method: &str, params: Object) -> Value {
        // 0 would be no number to the reference's clients.
        let id = self.next_request.fetch_add(1, Ordering::Relaxed).max(1);
        rpc::request(id, method, params)
    }

    /// Is what clients say and are told to be in the log?
    pub(crate) fn logs(&self, profile: &Profile) -> bool {
        self.debug.load(Ordering::Relaxed) > 0 || profile.settings.debug > 0
    }

    #[cfg(test)]
    fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        self.profiles.read().iter().find(|profile| profile.name() == name).cloned()
    }

    /// The client that bears a session.
    pub(crate) fn client(&self, session: &str) -> Option<Arc<Client>> {
        self.sessions.lock().get(session).cloned()
    }

    /// Clients of a user, the newest first.
    pub(crate) fn clients_of(&self, uid: &str) -> Vec<Arc<Client>> {
        let profiles = self.profiles.read();
        let mut found = Vec::new();
        for profile in profiles.iter() {
            let clients = profile.clients.read();
            let theirs = |client: &&Arc<Client>| {
                client.with(|state| {
                    state.authed && !state.session.is_empty() && state.login.uid == uid
                })
            };
            found.extend(clients.iter().filter(theirs).cloned());
        }
        found
    }

    /// Gives a client its session. One that another client of the same user bears is taken over: that client is told and
    /// let go.
    pub(crate) fn begin_session(&self, client: &Arc<Client>, session: &str) -> Begun {
        let before = {
            let mut sessions = self.sessions.lock();
            let before = sessions.get(session).filter(|other| !Arc::ptr_eq(other, client)).cloned();
            if let Some(before) = &before
                && before.uid() != client.uid()
            {
                return Begun::Refused;
            }
            sessions.insert(session.to_owned(), Arc::clone(client));
            before
        };
        client.with(|state| {
            session.clone_into(&mut state.session);
            state.begun = true;
        });
        if let Some(before) = &before {
            tracing::warn!("New connection for session {session} dropping previous connection.");
            self.channels.remove_client(before);
            before.send(self.request("verto.punt", Object::new()));
            before.with(|state| state.session.clear());
            before.let_go();
        }
        if before.is_some() { Begun::TakenOver } else { Begun::New }
    }

    /// A client is gone. True if the session was its own until now.
    pub(crate) fn end_session(&self, client: &Arc<Client>) -> bool {
        self.channels.remove_client(client);
        let session = client.session();
        let mut sessions = self.sessions.lock();
        let own = sessions.get(&session).is_some_and(|other| Arc::ptr_eq(other, client));
        if own {
            sessions.remove(&session);
        }
        own
    }

    /// Keeps a call under its session. False when it has too many.
    pub(crate) fn track(&self, session: &str, uuid: &Arc<str>) -> bool {
        let mut calls = self.calls.lock();
        let of_session = calls.entry(session.to_owned()).or_default();
        if of_session.len() >= MOST_CALLS {
            return false;
        }
        if !of_session.contains(uuid) {
            of_session.push(Arc::clone(uuid));
        }
        true
    }

    /// A call is over.
    pub(crate) fn untrack(&self, session: &str, uuid: &str) {
        let mut calls = self.calls.lock();
        if let Some(of_session) = calls.get_mut(session) {
            of_session.retain(|other| &**other != uuid);
            if of_session.is_empty() {
                calls.remove(session);
            }
        }
    }

    /// The calls of a session, the newest first.
    pub(crate) fn calls(&self, switch: &Switch, session: &str) -> Vec<Arc<Channel>> {
        let uuids = self.calls.lock().get(session).cloned().unwrap_or_default();
        uuids.iter().rev().filter_map(|uuid| switch.channel(uuid)).collect()
    }
}

/// A call of this session. One of another's is as good as none.
pub(crate) fn call_of(switch: &Switch, session: &str, uuid: &str) -> Option<Arc<Channel>> {
    let channel = switch.channel(uuid)?;
    let own = channel.with(|data| {
        data.find_slot::<Call>().is_some_and(|call| {
            call.orders.is_some() && !session.is_empty() && call.session == session
        })
    });
    own.then_some(channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(hub: &Hub, uid: &str, port: u16) -> (Arc<Client>, mpsc::Receiver<String>) {
        let profile = match hub.profile("p") {
            Some(profile) => profile,
            None => {
                let profile = Arc::new(Profile::for_tests());
                hub.profiles.write().push(Arc::clone(&profile));
                profile
            }
        };
        let (client, messages) = Client::new(profile, ([127, 0, 0, 1], port).into(), false);
        client.with(|state| {
            state.authed = true;
            uid.clone_into(&mut state.login.uid);
        });
        client.profile.clients.write().insert(0, Arc::clone(&client));
        (client, messages)
    }

    #[test]
    fn a_session_is_taken_over_by_its_own_user_only() {
        let hub = Hub::default();
        let (first, mut told) = client(&hub, "a@x", 1);
        assert_eq!(hub.begin_session(&first, "s"), Begun::New);
        let (thief, _) = client(&hub, "b@x", 2);
        assert_eq!(hub.begin_session(&thief, "s"), Begun::Refused);
        assert!(!first.is_let_go() && Arc::ptr_eq(&hub.client("s").unwrap(), &first));
        let (second, _told) = client(&hub, "a@x", 3);
        assert_eq!(hub.begin_session(&second, "s"), Begun::TakenOver);
        assert!(first.is_let_go());
        assert!(told.try_recv().unwrap().contains(r#""method":"verto.punt""#));
        // The first leaves, and takes nothing of the second's with it.
        assert!(!hub.end_session(&first));
        assert!(Arc::ptr_eq(&hub.client("s").unwrap(), &second));
        assert_eq!(hub.clients_of("a@x").len(), 1);
        assert!(hub.end_session(&second));
        assert!(hub.client("s").is_none());
    }

    #[test]
    fn calls_of_a_session_are_bounded() {
        let hub = Hub::default();
        let uuid = |n: usize| Arc::from(format!("call-{n}").as_str());
        assert!((0..MOST_CALLS).all(|n| hub.track("s", &uuid(n))));
        assert!(!hub.track("s", &uuid(MOST_CALLS)));
        hub.untrack("s", "call-0");
        assert!(hub.track("s", &uuid(MOST_CALLS)));
    }
}
