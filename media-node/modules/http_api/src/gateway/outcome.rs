//! Outcomes of calls the gateway was asked for, for later status requests; and requests by idempotency key.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use serde_json::Value;

/// Calls and requests that are remembered; the oldest are forgotten.
const MOST: usize = 10_000;

/// How a call that was asked for stands, beyond what its channel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its leg is being called.
    Dialling,
    /// It could not be made; the cause.
    Failed(String),
    /// It was answered.
    Answered,
}

/// An earlier request with the same idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Earlier {
    /// There is none: this one is noted.
    None,
    /// The same request; what it was answered.
    Same(Value),
    /// Another request.
    Other,
}

/// Outcomes by UUID, and requests by idempotency key.
#[derive(Default)]
pub(super) struct Outcomes {
    calls: Mutex<Table<Outcome>>,
    requests: Mutex<Table<(Value, Value)>>,
}

struct Table<T> {
    entries: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Table<T> {
    fn put(&mut self, key: &str, value: T) {
        if self.entries.insert(key.to_owned(), value).is_none() {
            self.order.push_back(key.to_owned());
            if self.order.len() > MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
    }
}

impl Outcomes {
    pub(super) fn of(&self, uuid: &str) -> Option<Outcome> {
        self.calls.lock().entries.get(uuid).cloned()
    }

    pub(super) fn set(&self, uuid: &str, outcome: Outcome) {
        self.calls.lock().put(uuid, outcome);
    }

    /// Notes a call that begins. False if one of that UUID is being made already.
    pub(super) fn begin(&self, uuid: &str) -> bool {
        let mut calls = self.calls.lock();
        if calls.entries.get(uuid) == Some(&Outcome::Dialling) {
            return false;
        }
        calls.put(uuid, Outcome::Dialling);
        true
    }

    /// A request came to nothing: its key may be used again.
    pub(super) fn forget(&self, key: &str) {
        let mut requests = self.requests.lock();
        requests.entries.remove(key);
        requests.order.retain(|known| known != key);
    }

    /// Notes a request and the answer it gets, unless its key was used before.
    pub(super) fn repeat(&self, key: &str, request: &Value, answer: &Value) -> Earlier {
        let mut requests = self.requests.lock();
        match requests.entries.get(key) {
            Some((same, answer)) if same == request => Earlier::Same(answer.clone()),
            Some(_) => Earlier::Other,
            None => {
                requests.put(key, (request.clone(), answer.clone()));
                Earlier::None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_stands_for_one_request() {
        let outcomes = Outcomes::default();
        let (request, answer) = (json!({ "to": "1" }), json!({ "uuid": "a" }));
        assert_eq!(outcomes.repeat("k", &request, &answer), Earlier::None);
        let again = outcomes.repeat("k", &request, &json!({ "uuid": "b" }));
        assert_eq!(again, Earlier::Same(answer.clone()));
        assert_eq!(outcomes.repeat("k", &json!({ "to": "2" }), &answer), Earlier::Other);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let outcomes = Outcomes::default();
        for n in 0..=MOST {
            outcomes.set(&n.to_string(), Outcome::Dialling);
        }
        assert_eq!(outcomes.of("0"), None);
        assert_eq!(outcomes.of(&MOST.to_string()), Some(Outcome::Dialling));
    }
}
