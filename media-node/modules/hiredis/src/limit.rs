//! The backend `hiredis` of `limit`: counters that several switches share. The realm names the profile, the resource the
//! key; with an interval the key ends in `_` and the number of the interval, and expires with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::BoxFuture;
use base::limits::{Allowance, Backend, Outcome};
use parking_lot::Mutex;
use redis::cmd;
use switch_core::clock;

use crate::Profiles;
use crate::client::{Failure, Profile};

pub(crate) const NAME: &str = "hiredis";
/// Gives one back. Never below zero: a server that was restarted may have forgotten what a call took, and a negative counter
/// would admit too many calls (the reference decreases all the same). With `1` it deletes a counter that is zero.
const DECREASE: &str = "local n=tonumber(redis.call('get',KEYS[1]) or '0');if n>0 then n=redis.call('decr',KEYS[1]) end;\
     if n<=0 and ARGV[1]=='1' then redis.call('del',KEYS[1]) end;return n";
/// Pause between tries to give back what no server was there for.
const PAUSE: Duration = Duration::from_secs(1);
/// Counters that wait to be given back.
const MOST_OWED: usize = 20_000;

/// A place that a call holds.
struct Held {
    realm: String,
    id: String,
    profile: Arc<Profile>,
}

impl Held {
    async fn decrease(&self) -> Result<Option<String>, Failure> {
        let deletes = u8::from(self.profile.settings.delete_when_zero);
        self.profile.run(cmd("EVAL").arg(DECREASE).arg(1).arg(&self.id).arg(deletes)).await
    }
}

/// The backend.
pub(crate) struct Limits {
    profiles: Arc<Profiles>,
    held: Mutex<HashMap<String, Vec<Held>>>,
    /// Counters to be decreased once a server is there again.
    owed: Mutex<VecDeque<Held>>,
}

impl Limits {
    pub(crate) fn new(profiles: Arc<Profiles>) -> Self {
        Self { profiles, held: Mutex::default(), owed: Mutex::default() }
    }

    async fn take_one(&self, uuid: &str, realm: &str, id: &str, allowed: Allowance) -> Outcome {
        let refused = Outcome::default();
        if realm.is_empty() {
            tracing::error!(uuid, "hiredis: realm must be defined");
            return refused;
        }
        let Some(profile) = self.profiles.find(realm) else {
            tracing::error!(uuid, "hiredis: Unable to locate profile[{realm}]");
            return refused;
        };
        let interval = i64::from(allowed.interval);
        let key = match interval {
            0 => id.to_owned(),
            _ => format!("{id}_{}", clock::now_secs() / interval),
        };
        let answer = profile.run(cmd("INCR").arg(&key)).await;
        let response = match answer {
            Ok(response) => response.unwrap_or_default(),
            Err(error) => return on_failure(uuid, &profile, &key, &error),
        };
        if interval > 0 && response == "1" {
            // Without it the key would stay; the next interval has another one.
            let _set = profile.run(cmd("EXPIRE").arg(&key).arg(interval)).await;
        }
        let mut outcome =
            Outcome { granted: true, variables: vec![("hiredis_raw_response", response.clone())] };
        let Ok(count) = response.parse::<i64>() else {
            outcome.granted = profile.settings.ignore_error;
            return outcome;
        };
        if count <= 0 {
            tracing::warn!(
                uuid,
                "limit not positive after increment, resource = {key}, val = {count}"
            );
        }
        let held = Held { realm: realm.to_owned(), id: id.to_owned(), profile };
        if allowed.max.is_some_and(|max| max > 0 && count > i64::from(max)) {
            outcome.granted = false;
            outcome.variables.push(("hiredis_limit_exceeded", "true".to_owned()));
            // Keys of intervals go by themselves.
            if interval == 0 {
                self.give_back(uuid, held).await;
            }
        } else if interval == 0 && count > 0 {
            self.held.lock().entry(uuid.to_owned()).or_default().push(held);
        }
        outcome
    }

    /// Decreases a counter; if no server is there, later.
    async fn give_back(&self, uuid: &str, held: Held) {
        let answer = held.decrease().await;
        let Err(error) = answer else { return };
        tracing::error!(
            uuid,
            "hiredis: profile[{}] error decrementing [{}] because [{error}]",
            held.realm,
            held.id
        );
        if error == Failure::Unreachable {
            let mut owed = self.owed.lock();
            if owed.len() >= MOST_OWED {
                owed.pop_front();
            }
            owed.push_back(held);
        }
    }

    /// Gives back what no server was there for, once one is. Runs while the module is loaded.
    pub(crate) async fn settle(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let rounds = self.owed.lock().len();
            for _ in 0..rounds {
                let Some(held) = self.owed.lock().pop_front() else { break };
                if held.decrease().await == Err(Failure::Unreachable) {
                    self.owed.lock().push_back(held);
                    break;
                }
            }
        }
    }
}

/// What becomes of a call when its counter could not be increased.
fn on_failure(uuid: &str, profile: &Profile, key: &str, error: &Failure) -> Outcome {
    let settings = &profile.settings;
    let realm = &settings.name;
    if *error == Failure::Unreachable && settings.ignore_connect_fail {
        tracing::info!(
            uuid,
            "hiredis: ignoring profile[{realm}] connection error incrementing [{key}]"
        );
        return Outcome { granted: true, variables: vec![] };
    }
    if settings.ignore_error {
        tracing::info!(
            uuid,
            "hiredis: ignoring profile[{realm}] general error incrementing [{key}]"
        );
        return Outcome { granted: true, variables: vec![] };
    }
    tracing::error!(uuid, "hiredis: profile[{realm}] error incrementing [{key}] because [{error}]");
    let said = match error {
        Failure::Refused(words) => words.clone(),
        Failure::Unreachable | Failure::Unsupported => String::new(),
    };
    Outcome { granted: false, variables: vec![("hiredis_raw_response", said)] }
}

impl Backend for Limits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn take<'a>(
        &'a self,
        uuid: &'a str,
        realm: &'a str,
        id: &'a str,
        allowed: Allowance,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(self.take_one(uuid, realm, id, allowed))
    }

    fn release<'a>(&'a self, uuid: &'a str, only: Option<(&'a str, &'a str)>) -> BoxFuture<'a, ()> {
        let mut given = Vec::new();
        {
            let mut all = self.held.lock();
            if let Some(held) = all.get_mut(uuid) {
                match only {
                    None => given = std::mem::take(held),
                    // One of several of the same name (reference behaviour).
                    Some((realm, id)) => {
                        let meant = |h: &Held| h.id == id && (realm.is_empty() || h.realm == realm);
                        given.extend(held.iter().position(meant).map(|at| held.remove(at)));
                    }
                }
                if held.is_empty() {
                    all.remove(uuid);
                }
            }
        }
        Box::pin(async move {
            for held in given {
                self.give_back(uuid, held).await;
            }
        })
    }

    fn holds(&self, uuid: &str) -> bool {
        self.held.lock().contains_key(uuid)
    }

    fn usage<'a>(&'a self, realm: &'a str, id: &'a str) -> BoxFuture<'a, i64> {
        Box::pin(async move {
            let Some(profile) = self.profiles.find(realm) else {
                tracing::error!("hiredis: Unable to locate profile[{realm}]");
                return -1;
            };
            match profile.run(cmd("GET").arg(id)).await {
                Ok(count) => count.as_deref().map_or(0, base::text::int),
                Err(error) => {
                    tracing::error!(
                        "hiredis: profile[{realm}] error querying [{id}] because [{error}]"
                    );
                    -1
                }
            }
        })
    }

    fn status(&self) -> String {
        "-ERR not supported".into()
    }

    fn cannot_reset(&self) -> &'static str {
        "hiredis: unable to globally reset hiredis limit resources. Use 'hiredis_raw set resource_name 0'"
    }
}
