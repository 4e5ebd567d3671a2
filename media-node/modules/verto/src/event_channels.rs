//! Event channels: who has subscribed to which, and what they are told.

use std::collections::HashMap;
use std::sync::Arc;

use ::event_channels::EventChannels;
use parking_lot::Mutex;
use serde_json::Value;
use switch_core::switch::Switch;

use crate::client::Client;
use crate::hub::{Call, Hub};
use crate::rpc::{self, Object};

/// Event channels one client may have subscribed to.
const MOST_OF_A_CLIENT: usize = 500;
/// Longest name of one.
const LONGEST_NAME: usize = 512;

/// Families that need an explicit permission, or a grant of the module they are of.
const GUARDED: [&str; 2] = ["conference-mod", "conference-chat"];

/// Families that are granted for as long as a call is in a room.
const GRANTED: [&str; 4] =
    ["conference-liveArray", "conference-chat", "conference-info", "conference-mod"];

/// Who has subscribed to what.
#[derive(Default)]
pub(crate) struct Subscriptions(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_channel: HashMap<String, Vec<Subscriber>>,
}

struct Subscriber {
    client: Arc<Client>,
    /// Events it was told on this channel.
    serial: u32,
}

/// How a subscription went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    New,
    Already,
    /// It may not, or has too many.
    Refused,
}

impl Subscriptions {
    /// Subscribes a client.
    pub(crate) fn add(&self, client: &Arc<Client>, channel: &str) -> Subscribed {
        let mut table = self.0.lock();
        if channel.len() > LONGEST_NAME {
            return Subscribed::Refused;
        }
        let of_client = |subscriber: &Subscriber| Arc::ptr_eq(&subscriber.client, client);
        if table.by_channel.get(channel).is_some_and(|list| list.iter().any(of_client)) {
            return Subscribed::Already;
        }
        let count = table.by_channel.values().filter(|list| list.iter().any(of_client)).count();
        if count >= MOST_OF_A_CLIENT {
            return Subscribed::Refused;
        }
        let list = table.by_channel.entry(channel.to_owned()).or_default();
        list.push(Subscriber { client: Arc::clone(client), serial: 0 });
        Subscribed::New
    }

    /// Ends a subscription. False if there was none.
    pub(crate) fn remove(&self, client: &Arc<Client>, channel: &str) -> bool {
        let mut table = self.0.lock();
        let Some(list) = table.by_channel.get_mut(channel) else { return false };
        let before = list.len();
        list.retain(|subscriber| !Arc::ptr_eq(&subscriber.client, client));
        let removed = list.len() < before;
        if list.is_empty() {
            table.by_channel.remove(channel);
        }
        removed
    }

    /// A client is gone.
    pub(crate) fn remove_client(&self, client: &Arc<Client>) {
        let mut table = self.0.lock();
        table.by_channel.retain(|_, list| {
            list.retain(|subscriber| !Arc::ptr_eq(&subscriber.client, client));
            !list.is_empty()
        });
    }

    /// Tells the subscribers of one channel.
    pub(crate) fn tell(&self, hub: &Hub, channel: &str, event: &Object) {
        self.tell_those(hub, channel, event, |_| true);
    }

    /// Tells the subscribers of one channel that may (still) hear of it.
    fn tell_those(&self, hub: &Hub, channel: &str, event: &Object, may: impl Fn(&Client) -> bool) {
        let mut table = self.0.lock();
        let Some(list) = table.by_channel.get_mut(channel) else { return };
        for subscriber in list.iter_mut().filter(|subscriber| may(&subscriber.client)) {
            let mut params = event.clone();
            params.insert("eventSerno".into(), subscriber.serial.into());
            params.insert("subscribedChannel".into(), channel.into());
            subscriber.serial = subscriber.serial.wrapping_add(1);
            subscriber.client.send(hub.request("verto.event", params));
        }
    }
}

/// May a client subscribe to a channel, or send to it?
pub(crate) fn may(switch: &Switch, client: &Client, channel: &str) -> bool {
    let session = client.session();
    // What is told about an own call is told to its owner.
    let own = switch.channel(channel).is_some_and(|call| {
        call.with(|data| {
            data.find_slot::<Call>()
                .is_some_and(|call| !session.is_empty() && call.session == session)
        })
    });
    if own {
        return true;
    }
    if !session.is_empty() && switch.module::<EventChannels>().may(&session, channel) {
        return true;
    }
    let is = |family: &str| ::event_channels::family(channel).eq_ignore_ascii_case(family);
    let events = is("FSevent");
    let hub = Hub::of(switch);
    if events && !hub.shared.load().enable_fs_events {
        return false;
    }
    // Who leads a room or writes to it is in it, and was granted that.
    let guarded = events || GUARDED.iter().any(|family| is(family));
    client.with(|state| {
        let login = &state.login;
        // Events of the whole switch need an explicit permission.
        login.root || login.event_channels.has_family(channel, !guarded)
    })
}

/// Takes messages of other modules to the clients of this one, or no more.
pub(crate) fn carry(switch: &Arc<Switch>, on: bool) {
    let carried = Arc::downgrade(switch);
    let outlet: ::event_channels::Outlet = Arc::new(move |message| {
        if let Some(switch) = carried.upgrade() {
            broadcast(&switch, message);
        }
    });
    switch.module::<EventChannels>().set_outlet("mod_verto", on.then_some(outlet));
}

/// Sends an event to the clients concerned: the client whose `sessid` is in it, or whose session or call the channel names, else
/// those that have subscribed to the channel, or to what stands before the first dot of its name.
pub(crate) fn broadcast(switch: &Switch, event: &Object) {
    let hub = Hub::of(switch);
    let Some(channel) = rpc::text(event, "eventChannel") else {
        tracing::error!("NO EVENT CHANNEL SPECIFIED");
        return;
    };
    if let Some(session) = rpc::text(event, "sessid") {
        match hub.client(session) {
            Some(client) => {
                client.send(hub.request("verto.event", event.clone()));
            }
            None => tracing::debug!("The client an event on {channel} is for is gone"),
        }
        return;
    }
    let direct = rpc::text(event, "eventChannelSessid").unwrap_or(channel);
    if let Some(client) = owner(switch, &hub, direct) {
        client.send(hub.request("verto.event", event.clone()));
        return;
    }
    // Who was in a room has left it since, subscribed or not.
    let of_room =
        GRANTED.iter().any(|family| ::event_channels::family(channel).eq_ignore_ascii_case(family));
    let hears = |client: &Client| !of_room || may(switch, client, channel);
    hub.channels.tell_those(&hub, channel, event, hears);
    if let Some((family, _)) = channel.split_once('.') {
        hub.channels.tell_those(&hub, family, event, hears);
    }
}

fn owner(switch: &Switch, hub: &Hub, name: &str) -> Option<Arc<Client>> {
    let of_call = switch.channel(name).and_then(|call| {
        call.with(|data| data.find_slot::<Call>().map(|call| call.session.clone()))
    });
    of_call.and_then(|session| hub.client(&session)).or_else(|| hub.client(name))
}

/// The names of a `verto.subscribe`: one, or several.
pub(crate) fn named(params: &Object) -> Vec<&str> {
    match rpc::get(params, "eventChannel") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).take(MOST_OF_A_CLIENT).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn subscribers_are_told_with_numbers_of_their_own() {
        let hub = Hub::default();
        let profile = Arc::new(Profile::for_tests());
        let (one, mut told) = Client::new(Arc::clone(&profile), ([127, 0, 0, 1], 1).into(), false);
        let (two, mut also) = Client::new(profile, ([127, 0, 0, 1], 2).into(), false);
        assert_eq!(hub.channels.add(&one, "demo"), Subscribed::New);
        assert_eq!(hub.channels.add(&one, "demo"), Subscribed::Already);
        let event = serde_json::json!({ "eventChannel": "demo", "data": 1 });
        let event = event.as_object().unwrap();
        hub.channels.tell(&hub, "demo", event);
        assert_eq!(hub.channels.add(&two, "demo"), Subscribed::New);
        hub.channels.tell(&hub, "demo", event);
        told.try_recv().unwrap();
        let second = told.try_recv().unwrap();
        assert!(second.contains(r#""eventSerno":1,"subscribedChannel":"demo""#), "{second}");
        assert!(also.try_recv().unwrap().contains(r#""eventSerno":0"#));
        assert!(hub.channels.remove(&one, "demo") && !hub.channels.remove(&one, "demo"));
        hub.channels.remove_client(&two);
        hub.channels.tell(&hub, "demo", event);
        assert!(told.try_recv().is_err() && also.try_recv().is_err());
        let many: Vec<_> = (0..=MOST_OF_A_CLIENT).map(|n| n.to_string()).collect();
        let refused =
            many.iter().filter(|name| hub.channels.add(&one, name) == Subscribed::Refused);
        assert_eq!(refused.count(), 1);
    }
}
