//! Events of the switch that clients are told on event channels: what calls do (`presence.USER`), and all events
//! (`FSevent.NAME`) where the administrator wants that.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use serde_json::Value;
use switch_core::call::Channel;
use switch_core::switch::Switch;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::event_channels;
use crate::hub::Hub;
use crate::rpc::Object;

/// Events that wait to be told; what comes while so many wait is lost.
const QUEUE: usize = 2000;
/// Orders to the pump.
const ORDERS: usize = 16;

/// What clients have subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Presence,
    Everything,
}

/// Takes up events: new certificates from the beginning, others once a client wants them.
pub(crate) fn start(switch: &Arc<Switch>) {
    let hub = Hub::of(switch);
    let (orders, mut ordered) = mpsc::channel(ORDERS);
    *hub.pump.lock() = Some(orders);
    let mut events = switch.bus.subscribe(QUEUE);
    events.listen(EventName::CertReload);
    let switch = Arc::downgrade(switch);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                order = ordered.recv() => match order {
                    Some(Wanted::Presence) => events.listen(EventName::ChannelCallstate),
                    Some(Wanted::Everything) => events.listen(EventName::All),
                    None => return,
                },
                event = events.recv() => {
                    let (Some(event), Some(switch)) = (event, switch.upgrade()) else { return };
                    switch_core::tasks::step("Events for Verto clients", take(&switch, &event)).await;
                }
            }
        }
    });
}

async fn take(switch: &Arc<Switch>, event: &Event) {
    if event.name() == EventName::CertReload {
        let profiles = Hub::of(switch).profiles.read().clone();
        for profile in profiles {
            match profile.read_certificate().await {
                Ok(()) => {
                    tracing::info!("SSL certificates reloaded for profile {}", profile.name())
                }
                Err(problem) => {
                    tracing::error!("SSL reload failed for profile {}: {problem}", profile.name());
                }
            }
        }
    }
    let shared = Hub::of(switch).shared.load_full();
    if event.name() == EventName::ChannelCallstate
        && shared.enable_presence
        && let Some(told) = presence(event)
    {
        event_channels::broadcast(switch, &told);
    }
    if shared.enable_fs_events {
        event_channels::broadcast(switch, &whole(event));
    }
}

/// What a call does, for those who watch its user.
fn presence(event: &Event) -> Option<Object> {
    let id = event.get("channel-presence-id").filter(|id| !id.is_empty())?.into_owned();
    let mut data = Object::new();
    for (name, header) in [
        ("channelCallState", "channel-call-state"),
        ("originalChannelCallState", "original-channel-call-state"),
        ("channelState", "channel-state"),
        ("callerUserName", "caller-username"),
        ("callerIDName", "caller-caller-id-name"),
        ("callerIDNumber", "caller-caller-id-number"),
        ("calleeIDName", "caller-callee-id-name"),
        ("calleeIDNumber", "caller-callee-id-number"),
        ("channelUUID", "unique-id"),
        ("presenceCallDirection", "presence-call-direction"),
        ("channelPresenceID", "channel-presence-id"),
        ("channelPresenceData", "channel-presence-data"),
    ] {
        if let Some(value) = event.get(header) {
            data.insert(name.into(), value.into_owned().into());
        }
    }
    event.for_each_header(|name, value| {
        if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("PD-")) {
            data.insert(name.to_owned(), value.text().into_owned().into());
        }
    });
    let mut told = Object::new();
    told.insert("data".into(), data.into());
    told.insert("eventChannel".into(), format!("presence.{id}").into());
    Some(told)
}

/// An event as it is.
fn whole(event: &Event) -> Object {
    let data: Value = serde_json::from_slice(&event.json()).unwrap_or_default();
    let name = data.get("Event-Name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = match event.subclass() {
        Some(subclass) => format!("{name}::{subclass}"),
        None => name,
    };
    let mut told = Object::new();
    told.insert("eventChannel".into(), format!("FSevent.{}", name.to_ascii_lowercase()).into());
    told.insert("data".into(), data);
    told
}

/// A client has subscribed to a channel: events it needs are taken up, and what calls of the watched user do now is
/// told at once.
pub(crate) fn subscribed(switch: &Arc<Switch>, hub: &Hub, client: &Client, name: &str) {
    let family = name.split('.').next().unwrap_or_default();
    let starts = |word: &str| name.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    let wanted = if starts("presence") && hub.shared.load().enable_presence {
        Wanted::Presence
    } else if family.eq_ignore_ascii_case("FSevent") && hub.shared.load().enable_fs_events {
        Wanted::Everything
    } else {
        return;
    };
    if let Some(pump) = &*hub.pump.lock() {
        let _told_before = pump.try_send(wanted);
    }
    if wanted == Wanted::Presence && may_look(client) {
        let user = name.split_once('.').map(|(_, user)| user);
        for channel in switch.channels() {
            let id = channel.var("presence_id").filter(|id| !id.is_empty());
            if id.is_some_and(|id| user.is_none_or(|user| user == id)) {
                tell_state(&channel);
            }
        }
    }
}

/// Looking at all calls is done once a second for a client.
fn may_look(client: &Client) -> bool {
    let now = switch_core::clock::now_secs();
    client.with(|state| std::mem::replace(&mut state.looked, now) < now)
}

/// Tells of the state a call is in.
fn tell_state(channel: &Channel) {
    let state = channel.with(|data| data.call_state);
    channel.fire_with(
        EventName::ChannelCallstate,
        |event| {
            event.push("Original-Channel-Call-State", state.name());
            event.push("Channel-Call-State-Number", state.number().to_string());
        },
        |_| {},
    );
}
