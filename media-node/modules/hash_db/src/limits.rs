//! `limit`, kept in memory: how many calls hold a resource, and how fast new ones come.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use base::limits::Allowance;
use parking_lot::Mutex;

/// A resource: realm and name.
pub type Resource = (String, String);

/// What is known of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls that hold it.
    pub total: u32,
    /// Calls since the interval began.
    pub rate: u32,
    /// Length of the interval in seconds; 0 when no rate is limited.
    pub interval: u32,
    /// When the interval began, seconds since the epoch.
    pub last_check: i64,
}

#[derive(Default)]
struct Entry {
    usage: Usage,
    holders: Vec<Arc<str>>,
}

/// `max[/interval]`; a negative or missing number means no limit.
#[must_use]
pub fn allowance(text: &str) -> Allowance {
    let (max, interval) = text.split_once('/').unwrap_or((text, "0"));
    let number = |text: &str| u32::try_from(crate::text::int(text)).ok();
    let max = if max.is_empty() { None } else { number(max) };
    Allowance { max, interval: number(interval).unwrap_or(0) }
}

/// Counters by resource.
#[derive(Default)]
pub struct Limits {
    entries: Mutex<BTreeMap<Resource, Entry>>,
}

impl Limits {
    /// Takes a resource for a call. `Err` with the usage when there is none left.
    ///
    /// A call that holds it already is not counted again.
    ///
    /// # Errors
    /// The usage found, if the allowance is used up.
    pub fn take(
        &self,
        resource: &Resource,
        uuid: &Arc<str>,
        allowed: Allowance,
        now: i64,
    ) -> Result<Usage, Usage> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(resource.clone()).or_default();
        let holds = entry.holders.contains(uuid);
        if allowed.interval > 0 {
            entry.usage.interval = allowed.interval;
            if entry.usage.last_check <= now - i64::from(allowed.interval) {
                entry.usage.rate = 1;
                entry.usage.last_check = now;
            } else {
                entry.usage.rate = entry.usage.rate.saturating_add(1);
                if allowed.max.is_some_and(|max| entry.usage.rate > max) {
                    return Err(entry.usage.clone());
                }
            }
        } else if !holds && allowed.max.is_some_and(|max| entry.usage.total >= max) {
            let usage = entry.usage.clone();
            if entry.holders.is_empty() && usage.interval == 0 {
                entries.remove(resource);
            }
            return Err(usage);
        }
        if !holds {
            entry.holders.push(Arc::clone(uuid));
            entry.usage.total = entry.usage.total.saturating_add(1);
        }
        Ok(entry.usage.clone())
    }

    /// Forgets what a call held: everything, or one resource. Returns what is left of each.
    pub fn release(&self, uuid: &str, only: Option<&Resource>) -> Vec<(Resource, Usage)> {
        let mut entries = self.entries.lock();
        let mut released = Vec::new();
        entries.retain(|resource, entry| {
            let meant = only.is_none_or(|only| only == resource);
            if let Some(at) = entry.holders.iter().position(|holder| meant && &**holder == uuid) {
                entry.holders.swap_remove(at);
                entry.usage.total = entry.usage.total.saturating_sub(1);
                released.push((resource.clone(), entry.usage.clone()));
            }
            // A rate is remembered for its interval; what nothing holds and nothing limits is not.
            !entry.holders.is_empty() || entry.usage.interval > 0
        });
        released
    }

    /// What is known of a resource.
    #[must_use]
    pub fn usage(&self, resource: &Resource) -> Usage {
        self.entries.lock().get(resource).map(|entry| entry.usage.clone()).unwrap_or_default()
    }

    /// Begins a new interval. False for an unknown resource.
    pub fn reset_interval(&self, resource: &Resource) -> bool {
        match self.entries.lock().get_mut(resource) {
            Some(entry) => {
                entry.usage.rate = 0;
                entry.usage.last_check = 0;
                true
            }
            None => false,
        }
    }

    /// Everything, and forgets rates whose interval is over and that nothing holds.
    #[must_use]
    pub fn all(&self, now: i64) -> Vec<(Resource, Usage)> {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| {
            !entry.holders.is_empty()
                || entry.usage.last_check > now - i64::from(entry.usage.interval)
        });
        entries.iter().map(|(resource, entry)| (resource.clone(), entry.usage.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        ("r".into(), "id".into())
    }

    #[test]
    fn calls_at_once_are_limited_and_released() {
        let limits = Limits::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let one = allowance("1");
        assert!(limits.take(&resource(), &a, one, 0).is_ok());
        assert!(limits.take(&resource(), &a, one, 0).is_ok(), "a holder is not counted again");
        assert_eq!(limits.take(&resource(), &b, one, 0).map_err(|usage| usage.total), Err(1));
        assert_eq!(limits.release("a", None).len(), 1);
        assert!(limits.take(&resource(), &b, one, 0).is_ok());
        assert_eq!(limits.release("b", Some(&("x".into(), "y".into()))).len(), 0);
        assert_eq!(limits.usage(&resource()).total, 1);
    }

    #[test]
    fn calls_per_time_begin_anew_with_each_interval() {
        let limits = Limits::default();
        let allowed = allowance("2/10");
        let take = |uuid: &str, now| limits.take(&resource(), &uuid.into(), allowed, now).is_ok();
        assert!(take("a", 100));
        assert!(take("b", 101));
        assert!(!take("c", 102));
        assert!(take("d", 110));
        assert_eq!(limits.usage(&resource()).rate, 1);
    }

    #[test]
    fn no_number_means_no_limit() {
        assert_eq!(allowance(""), Allowance { max: None, interval: 0 });
        assert_eq!(allowance("-1"), Allowance { max: None, interval: 0 });
        assert_eq!(allowance("3/60"), Allowance { max: Some(3), interval: 60 });
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let limits = Limits::default();
        limits.take(&resource(), &"a".into(), Allowance::default(), 5).unwrap_or_default();
        limits.release("a", None);
        assert!(limits.all(5).is_empty());
    }
}
