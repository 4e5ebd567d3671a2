//! Outcomes of calls the gateway was asked for, for later status requests; and requests by idempotency key.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use serde_json::Value;

use super::tenant::Tenant;

/// Calls and requests that are remembered. The oldest of the tenant that has most are forgotten first, so that one that
/// makes many calls does not make the others' forgotten.
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

/// What becomes of a request with an idempotency key, or without one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Claim {
    /// It is new, and its call begins.
    New,
    /// It was made before; what it was answered.
    Same(Value),
    /// Its key was used for another request.
    Other,
    /// A call of its UUID is being made already, or was made by another tenant.
    Taken,
}

/// A request to make a call.
pub(super) struct Request<'r> {
    pub(super) tenant: &'r Tenant,
    /// Its idempotency key.
    pub(super) key: Option<&'r str>,
    pub(super) asked: &'r Value,
    pub(super) uuid: &'r str,
}

/// Outcomes by UUID, and requests by idempotency key.
#[derive(Default)]
pub(super) struct Outcomes {
    calls: Mutex<Table<Outcome>>,
    requests: Mutex<Table<(Value, Value)>>,
}

struct Table<T> {
    entries: HashMap<String, (Tenant, T)>,
    /// Keys of each tenant, the oldest first.
    order: HashMap<Tenant, VecDeque<String>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: HashMap::new() }
    }
}

impl<T> Table<T> {
    fn put(&mut self, tenant: &Tenant, key: &str, value: T) {
        match self.entries.insert(key.to_owned(), (tenant.clone(), value)) {
            Some((before, _)) if before == *tenant => return,
            Some((before, _)) => self.leave(&before, key),
            None => {}
        }
        self.order.entry(tenant.clone()).or_default().push_back(key.to_owned());
        if self.entries.len() > MOST {
            self.forget_one();
        }
    }

    fn leave(&mut self, tenant: &Tenant, key: &str) {
        if let Some(keys) = self.order.get_mut(tenant) {
            keys.retain(|known| known != key);
            if keys.is_empty() {
                self.order.remove(tenant);
            }
        }
    }

    fn forget_one(&mut self) {
        let Some(tenant) = self.order.iter().max_by_key(|(_, keys)| keys.len()) else { return };
        let tenant = tenant.0.clone();
        let oldest = self.order.get_mut(&tenant).and_then(VecDeque::pop_front);
        if let Some(oldest) = oldest {
            self.entries.remove(&oldest);
        }
    }
}

impl Outcomes {
    /// How a call stands that this tenant asked for; of any, for who may see everything.
    pub(super) fn of(&self, tenant: &Tenant, uuid: &str) -> Option<Outcome> {
        let calls = self.calls.lock();
        let (whose, outcome) = calls.entries.get(uuid)?;
        (tenant.0.is_none() || whose == tenant).then(|| outcome.clone())
    }

    pub(super) fn set(&self, tenant: &Tenant, uuid: &str, outcome: Outcome) {
        self.calls.lock().put(tenant, uuid, outcome);
    }

    /// Notes a call that begins, with the answer its request gets. One of two at the same moment is first: a repeated
    /// request is never answered with a call that the first one was refused.
    pub(super) fn claim(&self, request: &Request<'_>, answer: &Value, is_up: bool) -> Claim {
        let mut requests = self.requests.lock();
        // Tenants do not meet each other's keys.
        let domain = request.tenant.0.as_deref().unwrap_or_default();
        let key = request.key.map(|key| format!("{domain} {key}"));
        if let Some((_, (same, answer))) = key.as_ref().and_then(|key| requests.entries.get(key)) {
            return match same == request.asked {
                true => Claim::Same(answer.clone()),
                false => Claim::Other,
            };
        }
        if is_up || !self.begin(request.tenant, request.uuid) {
            return Claim::Taken;
        }
        if let Some(key) = key {
            requests.put(request.tenant, &key, (request.asked.clone(), answer.clone()));
        }
        Claim::New
    }

    /// Notes a call that begins. False if one of that UUID is being made already, or was made by another tenant.
    fn begin(&self, tenant: &Tenant, uuid: &str) -> bool {
        let mut calls = self.calls.lock();
        let known = calls.entries.get(uuid);
        if known.is_some_and(|(of, outcome)| of != tenant || *outcome == Outcome::Dialling) {
            return false;
        }
        calls.put(tenant, uuid, Outcome::Dialling);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(domain: &str) -> Tenant {
        Tenant(Some(domain.into()))
    }

    #[test]
    fn a_key_stands_for_one_request_of_a_tenant() {
        let outcomes = Outcomes::default();
        let (asked, answer) = (json!({ "to": "1" }), json!({ "uuid": "a" }));
        let (one, other) = (tenant("a.test"), tenant("b.test"));
        let request = Request { tenant: &one, key: Some("k"), asked: &asked, uuid: "a" };
        assert_eq!(outcomes.claim(&request, &answer, false), Claim::New);
        let again = outcomes.claim(&request, &json!({ "uuid": "b" }), false);
        assert_eq!(again, Claim::Same(answer.clone()));
        let changed = json!({ "to": "2" });
        let different = Request { asked: &changed, ..request };
        assert_eq!(outcomes.claim(&different, &answer, false), Claim::Other);
        let others = Request { tenant: &other, key: Some("k"), asked: &asked, uuid: "b" };
        assert_eq!(outcomes.claim(&others, &answer, false), Claim::New);
    }

    #[test]
    fn a_refused_request_leaves_its_key_free() {
        let outcomes = Outcomes::default();
        let (asked, answer, one) = (json!({}), json!({}), tenant("a.test"));
        let request = Request { tenant: &one, key: Some("k"), asked: &asked, uuid: "a" };
        assert_eq!(outcomes.claim(&request, &answer, true), Claim::Taken);
        assert_eq!(outcomes.claim(&request, &answer, false), Claim::New);
        let same_call = Request { key: None, ..request };
        assert_eq!(outcomes.claim(&same_call, &answer, false), Claim::Taken);
        outcomes.set(&one, "a", Outcome::Answered);
        let other = tenant("b.test");
        let theirs = Request { tenant: &other, key: None, ..request };
        assert_eq!(outcomes.claim(&theirs, &answer, false), Claim::Taken, "it is another's");
    }

    #[test]
    fn of_equal_requests_at_the_same_moment_one_makes_the_call() {
        let outcomes = Outcomes::default();
        let (asked, answer, one) = (json!({}), json!({}), tenant("a.test"));
        let new = std::thread::scope(|scope| {
            let claim = |n: usize| {
                let (outcomes, asked, answer, one) = (&outcomes, &asked, &answer, &one);
                scope.spawn(move || {
                    let uuid = n.to_string();
                    let request = Request { tenant: one, key: Some("k"), asked, uuid: &uuid };
                    outcomes.claim(&request, answer, false) == Claim::New
                })
            };
            let all: Vec<_> = (0..16).map(claim).collect();
            all.into_iter().filter_map(|one| one.join().ok()).filter(|new| *new).count()
        });
        assert_eq!(new, 1);
    }

    #[test]
    fn the_oldest_of_who_has_most_are_forgotten() {
        let outcomes = Outcomes::default();
        let (untenanted, one, other) = (Tenant::default(), tenant("a.test"), tenant("b.test"));
        outcomes.set(&other, "theirs", Outcome::Answered);
        for n in 0..MOST {
            outcomes.set(&one, &n.to_string(), Outcome::Dialling);
        }
        let last = (MOST - 1).to_string();
        assert_eq!(outcomes.of(&untenanted, "0"), None);
        assert_eq!(outcomes.of(&one, &last), Some(Outcome::Dialling));
        assert_eq!(outcomes.of(&other, &last), None);
        assert_eq!(outcomes.of(&other, "theirs"), Some(Outcome::Answered));
    }
}
