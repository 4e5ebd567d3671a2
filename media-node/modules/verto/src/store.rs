//! The JSON store (`store` of the JSON API): values that clients keep at the switch, for all or for a call.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use switch_core::call::Channel;
use switch_core::switch::Switch;

use crate::rpc::{self, Object};

/// Stores there may be, and values in one.
const MOST: usize = 1000;
/// Longest text of one store.
const LONGEST: usize = 1 << 20;

/// The stores that belong to no call, by name; and what was committed.
#[derive(Default)]
pub(crate) struct Store {
    stores: Mutex<HashMap<String, Object>>,
    committed: Mutex<HashMap<String, Object>>,
}

/// The store of a call: its slot.
#[derive(Default)]
struct OfCall(Object);

/// Does what a request of the JSON API asks.
pub(crate) fn run(switch: &Switch, store: &Store, request: &Object) -> Value {
    let empty = Object::new();
    let data = rpc::object_in(request, "data").unwrap_or(&empty);
    let answered = match rpc::text(data, "uuid") {
        Some(uuid) => match switch.channel(uuid) {
            Some(channel) => of_call(store, &channel, data),
            None => Err("Invalid INPUT, Missing UUID"),
        },
        None => {
            let name = rpc::text(data, "storeName").filter(|name| !name.is_empty());
            store.of_all(name.unwrap_or("global"), data)
        }
    };
    match answered {
        Ok(reply) => Value::Object(reply),
        Err(error) => json!({ "errorMessage": error }),
    }
}

fn of_call(store: &Store, channel: &Arc<Channel>, data: &Object) -> Result<Object, &'static str> {
    channel.with(|kept| store.change(&mut kept.slot::<OfCall>().0, data))
}

impl Store {
    fn of_all(&self, name: &str, data: &Object) -> Result<Object, &'static str> {
        let mut stores = self.stores.lock();
        if stores.len() >= MOST && !stores.contains_key(name) {
            return Err("Too many stores");
        }
        self.change(stores.entry(name.to_owned()).or_default(), data)
    }

    fn change(&self, own: &mut Object, data: &Object) -> Result<Object, &'static str> {
        let command = rpc::text(data, "cmd").filter(|command| !command.is_empty());
        let command = command.ok_or("INVALID INPUT, Command not supplied")?.to_ascii_lowercase();
        let key = rpc::text(data, "key").filter(|key| !key.is_empty());
        let file = rpc::text(data, "file").filter(|file| !file.is_empty());
        let mut reply = Object::new();
        let mut message = None;
        match command.as_str() {
            "add" => {
                let key = key.ok_or("INVALID INPUT, No key supplied")?;
                let value = rpc::get(data, key).ok_or("INVALID INPUT")?;
                let room = own.len() < MOST || own.contains_key(key);
                if !room || length(own) + value.to_string().len() > LONGEST {
                    return Err("The store is full");
                }
                own.insert(key.to_owned(), value.clone());
                message = Some("Item Added");
            }
            "del" => match key {
                Some(key) => {
                    own.shift_remove(key);
                    message = Some("Item Deleted");
                }
                None => {
                    own.clear();
                    message = Some("Store Deleted");
                }
            },
            "retrieve" => {
                let file = file.ok_or("INVALID INPUT, No file specified")?;
                *own = self.committed.lock().get(file).cloned().ok_or("CANNOT LOAD DATA")?;
                message = Some("Store Loaded");
            }
            "commit" if file.is_none() => return Err("INVALID INPUT, No file specified"),
            "dump" | "commit" => {}
            _ => return Err("INVALID INPUT, Unknown Command"),
        }
        let verbose = rpc::get(data, "verbose").is_some_and(rpc::means_yes);
        if verbose || command == "dump" {
            let dump = match key {
                Some(key) => own.get(key).cloned().ok_or("Key not found")?,
                None => Value::Object(own.clone()),
            };
            reply.insert("data".into(), dump);
            message = Some("Data Dumped");
        }
        let commit = rpc::text(data, "commit");
        if command == "commit" || commit.is_some() {
            let done = file.or(commit).is_some_and(|file| self.commit(file, own));
            reply.insert("commitStatus".into(), if done { "success" } else { "fail" }.into());
            message = message.or(Some("Message Comitted"));
        }
        if let Some(message) = message {
            reply.insert("message".into(), message.into());
        }
        Ok(reply)
    }

    fn commit(&self, file: &str, own: &Object) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut committed = self.committed.lock();
        let room = committed.len() < MOST || committed.contains_key(file);
        let fits = room && file.len() <= 255 && file.chars().all(plain);
        if fits {
            committed.insert(file.to_owned(), own.clone());
        }
        fits
    }
}

fn length(own: &Object) -> usize {
    own.iter().map(|(key, value)| key.len() + value.to_string().len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_shown_committed_and_loaded_again() {
        let store = Store::default();
        let run = |data: Value| store.of_all("global", data.as_object().unwrap());
        let say = |reply: Result<Object, &'static str>| {
            reply.map(|reply| Value::Object(reply).to_string())
        };
        assert_eq!(run(json!({})), Err("INVALID INPUT, Command not supplied"));
        let added = say(run(json!({ "cmd": "add", "key": "a", "a": { "x": 1 } })));
        assert_eq!(added.unwrap(), r#"{"message":"Item Added"}"#);
        let committed = say(run(json!({ "cmd": "commit", "file": "f-1" })));
        assert_eq!(
            committed.unwrap(),
            r#"{"commitStatus":"success","message":"Message Comitted"}"#
        );
        run(json!({ "cmd": "del" })).unwrap();
        assert_eq!(run(json!({ "cmd": "dump", "key": "a" })), Err("Key not found"));
        run(json!({ "cmd": "retrieve", "file": "f-1" })).unwrap();
        let dump = say(run(json!({ "cmd": "dump" })));
        assert_eq!(dump.unwrap(), r#"{"data":{"a":{"x":1}},"message":"Data Dumped"}"#);
        let bad = say(run(json!({ "cmd": "commit", "file": "../f" })));
        assert!(bad.unwrap().contains("fail"));
        let big = "x".repeat(LONGEST);
        assert!(run(json!({ "cmd": "add", "key": "b", "b": big })).is_err());
    }
}
