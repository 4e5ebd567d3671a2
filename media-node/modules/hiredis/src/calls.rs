//! Calls as keys (`call-state`): `session:{uuid}` for each leg, `room:{call_id}` for the legs of one conversation, and the
//! messages of [`call_messages`] published.
//!
//! The keys are what a dashboard or another node reads; they are not a record. Whatever a server missed while it was away
//! is written anew from memory when it is back, and messages that no server took are counted. Keys expire, so that
//! those of a switch that died go by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use esl_server::Subscription;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, pipe};
use serde_json::Value;
use switch_core::switch::Switch;
use tokio::time::{Instant, timeout};

use crate::client::{Profile, is_lost};
use crate::settings::CallState;

/// Events that may wait in memory while a server is slow.
const QUEUE: usize = 10_000;
/// Events taken from the bus at a time.
const BATCH: usize = 64;
/// Keys written at a time when a server comes back.
const CHUNK: usize = 500;
/// Seconds for which the end of a call can still be read.
const ENDED: i64 = 60;
/// How often a server that has nothing to be told is asked whether it is there: one that comes back empty must be told all.
const ALIVE: Duration = Duration::from_secs(2);
/// Pause between tries to reach a server.
const PAUSE: Duration = Duration::from_secs(1);

/// A leg as its key shows it.
struct Leg {
    room: String,
    fields: Vec<(&'static str, String)>,
}

impl Leg {
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.retain(|(field, _)| *field != name);
        self.fields.push((name, value.into()));
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_str())
    }

    fn unset(&mut self, name: &'static str) {
        self.fields.retain(|(field, _)| *field != name);
    }
}

/// The legs there are, and the commands that make a server know them.
struct Book<'s> {
    settings: &'s CallState,
    legs: HashMap<String, Leg>,
}

impl Book<'_> {
    fn session(&self, uuid: &str) -> String {
        format!("{}session:{uuid}", self.settings.prefix)
    }

    fn room(&self, call: &str) -> String {
        format!("{}room:{call}", self.settings.prefix)
    }

    fn ttl(&self) -> i64 {
        i64::try_from(self.settings.ttl.as_secs()).unwrap_or(300)
    }

    /// Takes a message in, and adds what it changes to `into`.
    fn take(&mut self, message: &call_messages::Message, into: &mut Pipeline) {
        let text = |name: &str| message.document.get(name).and_then(Value::as_str);
        let Some(uuid) = text("call_id").filter(|uuid| !uuid.is_empty()) else { return };
        let time = seconds(message.time);
        match message.kind {
            "CALL_INIT" => {
                let other = text("other_call_id").filter(|_| message.direction == "outbound");
                let room = other.map_or(uuid, |other| {
                    self.legs.get(other).map_or(other, |leg| leg.room.as_str())
                });
                let mut leg = Leg { room: room.to_owned(), fields: Vec::new() };
                for (field, name) in [
                    ("call_id", "call_id"),
                    ("switch", "switch"),
                    ("direction", "direction"),
                    ("from_number", "from"),
                    ("to_number", "to"),
                    ("context", "context"),
                    ("other_call_id", "other_call_id"),
                ] {
                    if let Some(value) = text(name) {
                        leg.set(field, value);
                    }
                }
                leg.set("room", leg.room.clone());
                leg.set("status", "init");
                leg.set("start_time", time);
                self.legs.insert(uuid.to_owned(), leg);
                self.write(uuid, into);
                return;
            }
            "CALL_END" => return self.end(uuid, text("cause").unwrap_or_default(), &time, into),
            _ => {}
        }
        let Some(leg) = self.legs.get_mut(uuid) else { return };
        match message.kind {
            "CALL_RINGING" => leg.set("status", "ringing"),
            "CALL_ANSWERED" => {
                leg.set("status", "answered");
                leg.set("answer_time", time);
            }
            "CALL_BRIDGED" => {
                leg.set("status", "bridged");
                if let Some(partner) = text("bridged_to") {
                    leg.set("bridged_to", partner);
                    let room = leg.room.clone();
                    self.join(partner, uuid, &room, into);
                }
            }
            "CALL_UNBRIDGED" => {
                let partner = leg.field("bridged_to").map(str::to_owned);
                self.part(uuid, into);
                if let Some(partner) = partner {
                    self.part(&partner, into);
                    self.write(&partner, into);
                }
            }
            _ => return,
        }
        self.write(uuid, into);
    }

    /// A leg is bridged to `partner`, whose room becomes its own. Only one event tells of both legs.
    fn join(&mut self, uuid: &str, partner: &str, room: &str, into: &mut Pipeline) {
        let Some(leg) = self.legs.get_mut(uuid) else { return };
        leg.set("status", "bridged");
        leg.set("bridged_to", partner);
        if leg.room != room {
            let left = std::mem::replace(&mut leg.room, room.to_owned());
            leg.set("room", room);
            into.cmd("SREM").arg(self.room(&left)).arg(uuid).ignore();
        }
        self.write(uuid, into);
    }

    /// A leg is bridged no more.
    fn part(&mut self, uuid: &str, into: &mut Pipeline) {
        let Some(leg) = self.legs.get_mut(uuid) else { return };
        leg.set("status", "answered");
        leg.unset("bridged_to");
        into.cmd("HDEL").arg(self.session(uuid)).arg("bridged_to").ignore();
    }

    /// A leg is over: its key says so for a while.
    fn end(&mut self, uuid: &str, cause: &str, time: &str, into: &mut Pipeline) {
        let Some(mut leg) = self.legs.remove(uuid) else { return };
        leg.set("status", "ended");
        leg.set("cause", cause);
        leg.set("end_time", time);
        let key = self.session(uuid);
        let hash = into.cmd("HSET").arg(&key);
        leg.fields.iter().for_each(|(name, value)| {
            hash.arg(*name).arg(value);
        });
        hash.ignore();
        into.cmd("EXPIRE").arg(&key).arg(ENDED).ignore();
        into.cmd("SREM").arg(self.room(&leg.room)).arg(uuid).ignore();
    }

    /// Everything about a leg.
    fn write(&self, uuid: &str, into: &mut Pipeline) {
        let Some(leg) = self.legs.get(uuid) else { return };
        let (key, room) = (self.session(uuid), self.room(&leg.room));
        let hash = into.cmd("HSET").arg(&key);
        leg.fields.iter().for_each(|(name, value)| {
            hash.arg(*name).arg(value);
        });
        hash.ignore();
        into.cmd("SADD").arg(&room).arg(uuid).ignore();
        into.cmd("EXPIRE").arg(&key).arg(self.ttl()).ignore();
        into.cmd("EXPIRE").arg(&room).arg(self.ttl()).ignore();
    }
}

fn seconds(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros.rem_euclid(1_000_000))
}

/// Keeps a server told of calls, as long as the module is loaded.
pub(crate) async fn run(switch: Arc<Switch>, profile: Arc<Profile>) {
    let Some(settings) = &profile.settings.calls else { return };
    let mut writer = Writer {
        profile: &profile,
        book: Book { settings, legs: HashMap::new() },
        connection: None,
        try_at: Instant::now(),
    };
    let mut subscription = subscribe(&switch);
    let mut refresh = tokio::time::interval(settings.ttl / 3);
    let mut alive = tokio::time::interval(ALIVE);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = subscription.recv() => {
                let mut messages = Vec::new();
                match event {
                    Some(event) => messages.extend(call_messages::of(&event)),
                    None => {
                        let lost = subscription.lost();
                        tracing::error!("hiredis: profile[{}] {lost} events were lost", profile.settings.name);
                        profile.unpublished.fetch_add(lost, Ordering::Relaxed);
                        subscription = subscribe(&switch);
                        // The ends of some may be among them.
                        writer.book.legs.retain(|uuid, _| switch.channel(uuid).is_some());
                    }
                }
                while messages.len() < BATCH && let Some(event) = subscription.try_recv() {
                    messages.extend(call_messages::of(&event));
                }
                writer.tell(&messages).await;
            }
            _ = refresh.tick() => writer.refresh().await,
            _ = alive.tick(), if writer.connection.is_some() => writer.ping().await,
            () = tokio::time::sleep_until(writer.try_at), if writer.connection.is_none() => writer.connect().await,
        }
    }
}

fn subscribe(switch: &Switch) -> Subscription {
    let subscription = switch.bus.subscribe(QUEUE);
    call_messages::EVENTS.into_iter().for_each(|name| subscription.listen(name));
    subscription
}

struct Writer<'p> {
    profile: &'p Profile,
    book: Book<'p>,
    connection: Option<(MultiplexedConnection, Duration)>,
    /// When a server is looked for next.
    try_at: Instant,
}

impl Writer<'_> {
    async fn tell(&mut self, messages: &[call_messages::Message]) {
        let mut commands = pipe();
        let channel = &self.book.settings.channel;
        let channel = format!("{}{channel}", self.book.settings.prefix);
        for message in messages {
            self.book.take(message, &mut commands);
            commands.cmd("PUBLISH").arg(&channel).arg(message.document.to_string()).ignore();
        }
        if messages.is_empty() {
            return;
        }
        let counter = match self.send(&commands).await {
            true => &self.profile.published,
            false => &self.profile.unpublished,
        };
        counter.fetch_add(messages.len() as u64, Ordering::Relaxed);
    }

    /// Finds out whether the server is still there.
    async fn ping(&mut self) {
        let mut command = pipe();
        command.cmd("PING").ignore();
        self.send(&command).await;
    }

    /// Sends commands if there is a connection; one that fails is given up.
    async fn send(&mut self, commands: &Pipeline) -> bool {
        let Some((connection, patience)) = &mut self.connection else { return false };
        let name = &self.profile.settings.name;
        match timeout(*patience, commands.exec_async(connection)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) if !is_lost(&error) => {
                // A key of another type, a server that is read only: what else was in the batch is done.
                tracing::error!("hiredis: profile[{name}] calls cannot be written: {error}");
                return false;
            }
            Ok(Err(error)) => tracing::error!("hiredis: profile[{name}] {error}"),
            Err(_) => tracing::error!("hiredis: profile[{name}] no answer in time"),
        }
        self.connection = None;
        self.try_at = Instant::now() + PAUSE;
        false
    }

    /// Looks for a server and tells it everything.
    async fn connect(&mut self) {
        self.connection = self.profile.connect().await;
        self.try_at = Instant::now() + PAUSE;
        if self.connection.is_some() {
            tracing::info!(
                "hiredis: profile[{}] calls are written, {} now",
                self.profile.settings.name,
                self.book.legs.len()
            );
            self.refresh().await;
        }
    }

    /// Writes every leg anew, which puts the time of their end off.
    async fn refresh(&mut self) {
        let uuids: Vec<String> = self.book.legs.keys().cloned().collect();
        for some in uuids.chunks(CHUNK) {
            let mut commands = pipe();
            some.iter().for_each(|uuid| self.book.write(uuid, &mut commands));
            if !self.send(&commands).await {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(kind: &'static str, direction: &str, fields: Value) -> call_messages::Message {
        let mut document = json!({"direction": direction, "from": "1000", "to": "2000"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        call_messages::Message {
            kind,
            direction: direction.to_owned(),
            id: "id".into(),
            time: 1_700_000_000_250_000,
            document,
        }
    }

    #[test]
    fn legs_of_a_conversation_share_a_room_until_they_end() {
        let settings = CallState {
            prefix: "fs:".into(),
            channel: "calls".into(),
            ttl: Duration::from_secs(60),
        };
        let mut book = Book { settings: &settings, legs: HashMap::new() };
        let mut take = |kind, direction: &str, fields: Value| {
            let mut into = pipe();
            book.take(&message(kind, direction, fields), &mut into);
            let legs = book.legs.iter().map(|(uuid, leg)| (uuid.clone(), leg.room.clone()));
            (
                legs.collect::<HashMap<_, _>>(),
                String::from_utf8(into.get_packed_pipeline()).unwrap(),
            )
        };
        take("CALL_INIT", "inbound", json!({"call_id": "a"}));
        let (rooms, said) =
            take("CALL_INIT", "outbound", json!({"call_id": "b", "other_call_id": "a"}));
        assert_eq!((rooms["a"].as_str(), rooms["b"].as_str()), ("a", "a"));
        assert!(said.contains("fs:session:b") && said.contains("fs:room:a"), "{said}");
        assert!(said.contains("1700000000.250000"), "{said}");
        // A leg of another call is picked up: it changes its room.
        take("CALL_INIT", "inbound", json!({"call_id": "c"}));
        let (rooms, said) =
            take("CALL_BRIDGED", "inbound", json!({"call_id": "a", "bridged_to": "c"}));
        assert_eq!(rooms["c"], "a");
        assert!(said.contains("SREM") && said.matches("bridged_to").count() == 2, "{said}");
        let (_, said) = take("CALL_UNBRIDGED", "inbound", json!({"call_id": "a"}));
        assert_eq!(said.matches("HDEL").count(), 2, "{said}");
        let (rooms, _) =
            take("CALL_END", "outbound", json!({"call_id": "b", "cause": "NORMAL_CLEARING"}));
        assert_eq!(rooms.len(), 2);
        let (rooms, said) = take("CALL_RINGING", "outbound", json!({"call_id": "unknown"}));
        assert_eq!((rooms.len(), said.contains("HSET")), (2, false));
    }
}
