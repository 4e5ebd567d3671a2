//! Log levels of single calls (`uuid_loglevel`, `session_loglevel`): lines about such a call keep to the call's own
//! level instead of the core's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use esl_server::Level;
use parking_lot::RwLock;

static LEVELS: RwLock<BTreeMap<String, Level>> = RwLock::new(BTreeMap::new());
/// How many calls have a level of their own; almost always none.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The most talkative of them.
static WIDEST: AtomicU8 = AtomicU8::new(0);

/// Gives a call a level of its own, or takes it away.
pub fn set(uuid: &str, level: Option<Level>) {
    let mut levels = LEVELS.write();
    match level {
        Some(level) => drop(levels.insert(uuid.to_owned(), level)),
        None => drop(levels.remove(uuid)),
    }
    let widest = levels.values().map(|level| *level as u8).max().unwrap_or(0);
    WIDEST.store(widest, Ordering::Relaxed);
    COUNT.store(levels.len(), Ordering::Relaxed);
}

/// The call is over.
pub fn forget(uuid: &str) {
    if COUNT.load(Ordering::Relaxed) > 0 {
        set(uuid, None);
    }
}

/// May a line of that level be about a call that wants it, whatever the core's level?
pub(super) fn may_want(level: Level) -> bool {
    COUNT.load(Ordering::Relaxed) > 0 && level as u8 <= WIDEST.load(Ordering::Relaxed)
}

/// The call's own level.
pub(super) fn level(uuid: &str) -> Option<Level> {
    if COUNT.load(Ordering::Relaxed) == 0 || uuid.is_empty() {
        return None;
    }
    LEVELS.read().get(uuid).copied()
}

/// Gives a call a log level of its own, by name or number; false for one there is not. `disable` takes it away.
pub fn set_word(uuid: &str, word: &str) -> bool {
    let word = word.trim();
    if word.eq_ignore_ascii_case("disable") || word == "-1" {
        set(uuid, None);
        return true;
    }
    let number = || word.parse::<u8>().ok().filter(|&number| number <= 10);
    let level =
        Level::parse(word).or_else(|| Level::from_number(number()?.min(Level::Debug as u8)));
    if let Some(level) = level {
        set(uuid, Some(level));
    }
    level.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_level_until_it_is_over() {
        assert_eq!(level("log-level-test"), None);
        set("log-level-test", Some(Level::Info));
        assert_eq!(level("log-level-test"), Some(Level::Info));
        assert!(may_want(Level::Notice));
        forget("log-level-test");
        assert_eq!(level("log-level-test"), None);
    }
}
