//! Event channels: named places where modules tell something, in JSON, to clients that others serve, and hear what those clients
//! say. A conference tells `conference-liveArray.ROOM` who is in it, and Verto's clients that have subscribed there hear it; neither
//! module knows the other.
//!
//! The state is a switch's: `switch.module::<EventChannels>()`. What is told is handed on at once and kept nowhere; bounds on what
//! waits for a slow client are those of the module that serves it.

#![deny(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

/// A message: a JSON object. `eventChannel` names the channel it is told on; with a `sessid` it is for that client alone.
pub type Message = serde_json::Map<String, Value>;

/// Takes messages to those who have subscribed. Called by the sender: it must not wait.
pub type Outlet = Arc<dyn Fn(&Message) + Send + Sync>;
/// Hears what clients say on the channels of a family. Called by those who serve them: it must not wait.
pub type Listener = Arc<dyn Fn(&str, &Message) + Send + Sync>;
/// Hears that a client is back and knows nothing of what it was told before.
pub type Greeter = Arc<dyn Fn(&str) + Send + Sync>;

/// Channels one client may be granted; more are not.
const MOST_OF_A_HOLDER: usize = 500;

/// What takes messages to clients, what listens to them, and what single clients may do beside what all are allowed.
#[derive(Default)]
pub struct EventChannels {
    outlets: RwLock<HashMap<&'static str, Outlet>>,
    listeners: RwLock<HashMap<&'static str, Listener>>,
    greeters: RwLock<HashMap<&'static str, Greeter>>,
    grants: Mutex<HashMap<String, HashMap<String, usize>>>,
}

/// The family of a channel: its name up to the first dot.
#[must_use]
pub fn family(channel: &str) -> &str {
    channel.split_once('.').map_or(channel, |(family, _)| family)
}

impl EventChannels {
    /// From now on `outlet` takes messages to the clients of that module; none ends it.
    pub fn set_outlet(&self, module: &'static str, outlet: Option<Outlet>) {
        put(&self.outlets, module, outlet);
    }

    /// From now on `listener` hears what clients say on channels of that family, in any case; none ends it.
    pub fn listen(&self, family: &'static str, listener: Option<Listener>) {
        put(&self.listeners, family, listener);
    }

    /// From now on `greeter` hears of clients that are back; none ends it.
    pub fn greet(&self, module: &'static str, greeter: Option<Greeter>) {
        put(&self.greeters, module, greeter);
    }

    /// Tells the clients concerned.
    pub fn tell(&self, message: &Message) {
        // What is called may tell something in turn.
        let outlets: Vec<_> = self.outlets.read().values().cloned().collect();
        outlets.iter().for_each(|outlet| outlet(message));
    }

    /// A client that is allowed to sends something on a channel. False if the channel has no listener.
    pub fn say(&self, channel: &str, message: &Message) -> bool {
        let family = family(channel);
        let listener = {
            let listeners = self.listeners.read();
            let of_family =
                |(name, _): &(&&'static str, &Listener)| name.eq_ignore_ascii_case(family);
            listeners.iter().find(of_family).map(|(_, listener)| Arc::clone(listener))
        };
        listener.inspect(|listener| listener(channel, message)).is_some()
    }

    /// A client has been away and is back.
    pub fn is_back(&self, holder: &str) {
        let greeters: Vec<_> = self.greeters.read().values().cloned().collect();
        greeters.iter().for_each(|greeter| greeter(holder));
    }

    /// A client may hear and use a channel, until that is taken back as often as it was granted.
    pub fn grant(&self, holder: &str, channel: &str) {
        let mut grants = self.grants.lock();
        let own = grants.entry(holder.to_owned()).or_default();
        if let Some(count) = own.get_mut(channel) {
            *count += 1;
        } else if own.len() < MOST_OF_A_HOLDER {
            own.insert(channel.to_owned(), 1);
        }
    }

    /// Takes a grant back.
    pub fn revoke(&self, holder: &str, channel: &str) {
        let mut grants = self.grants.lock();
        let Some(own) = grants.get_mut(holder) else { return };
        if let Some(count) = own.get_mut(channel) {
            *count -= 1;
            if *count == 0 {
                own.remove(channel);
            }
        }
        if own.is_empty() {
            grants.remove(holder);
        }
    }

    /// Was a client granted a channel?
    #[must_use]
    pub fn may(&self, holder: &str, channel: &str) -> bool {
        self.grants.lock().get(holder).is_some_and(|own| own.contains_key(channel))
    }
}

fn put<T>(table: &RwLock<HashMap<&'static str, T>>, key: &'static str, value: Option<T>) {
    let mut table = table.write();
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_outlets_and_what_is_said_to_the_familys_listener() {
        let channels = EventChannels::default();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = |word: &'static str| {
            let heard = Arc::clone(&heard);
            move |what: String| heard.lock().push(format!("{word} {what}"))
        };
        let (told, said, back) = (note("told"), note("said"), note("back"));
        channels.set_outlet(
            "a",
            Some(Arc::new(move |m: &Message| told(m["eventChannel"].to_string()))),
        );
        channels.listen(
            "room",
            Some(Arc::new(move |channel: &str, _: &Message| said(channel.to_owned()))),
        );
        channels.greet("a", Some(Arc::new(move |holder: &str| back(holder.to_owned()))));
        let message = serde_json::json!({ "eventChannel": "room.1" });
        let message = message.as_object().unwrap();
        channels.tell(message);
        assert!(channels.say("ROOM.1", message));
        assert!(!channels.say("rooms.1", message));
        channels.is_back("s");
        assert_eq!(*heard.lock(), ["told \"room.1\"", "said ROOM.1", "back s"]);
        channels.set_outlet("a", None);
        channels.listen("room", None);
        channels.tell(message);
        assert!(!channels.say("room.1", message));
        assert_eq!(heard.lock().len(), 3);
    }

    #[test]
    fn a_grant_lasts_until_it_is_taken_back_as_often_as_given() {
        let channels = EventChannels::default();
        assert!(!channels.may("s", "room.1"));
        channels.grant("s", "room.1");
        channels.grant("s", "room.1");
        channels.revoke("s", "room.1");
        assert!(channels.may("s", "room.1") && !channels.may("t", "room.1"));
        channels.revoke("s", "room.1");
        channels.revoke("s", "room.1");
        assert!(!channels.may("s", "room.1"));
        (0..=MOST_OF_A_HOLDER).for_each(|n| channels.grant("s", &n.to_string()));
        assert!(channels.may("s", "499") && !channels.may("s", "500"));
    }
}
