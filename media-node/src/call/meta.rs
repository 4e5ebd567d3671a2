//! Keys that run an application in the middle of a conversation (`bind_meta_app`): the meta key (`*`), then
//! the key bound, within a few seconds.
//!
//! Bindings listen while the leg is bridged. The far end hears the keys too: audio and digits between bridged
//! legs do not pass through here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::broadcast::broadcast;
use super::channel::Channel;

/// How long after the meta key the bound key must come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The meta key, unless `bind_meta_key` names another.
const META_KEY: char = '*';

/// The leg an application runs on, seen from the leg whose keys are listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Here,
    There,
}

/// One key and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Binding {
    key: char,
    target: Target,
    once: bool,
    /// `application::argument`, as `uuid_broadcast` takes it.
    run: String,
}

/// What a leg's keys do.
#[derive(Debug, Default)]
pub struct MetaKeys {
    bindings: Vec<Binding>,
    /// Bindings that go to the other leg when this one is bridged.
    for_partner: Vec<Binding>,
    armed: Option<Instant>,
}

impl MetaKeys {
    /// Takes the argument of `bind_meta_app`: `<key> <listen: a|b|ab> <flags: a b o s i 1> <app>[::<arg>]`.
    /// `None`: not one.
    pub fn bind(&mut self, argument: &str) -> Option<()> {
        let mut words = argument.splitn(4, ' ').map(str::trim);
        let (key, listen, flags, app) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let key = key.chars().next().filter(|key| key.is_ascii_digit() || "*#".contains(*key))?;
        if app.is_empty() {
            return None;
        }
        let run = if app.contains("::") { app.to_owned() } else { format!("{app}::") };
        let has = |flag: char| flags.contains(flag);
        let binding = |target| Binding { key, target, once: has('1'), run: run.clone() };
        let (mine, partners) = if has('s') {
            (Target::Here, Target::Here)
        } else if has('o') {
            (Target::There, Target::There)
        } else if has('b') {
            (Target::There, Target::Here)
        } else {
            (Target::Here, Target::There)
        };
        if listen.contains('b') {
            replace(&mut self.for_partner, binding(partners));
        }
        if listen.contains('a') || !listen.contains('b') {
            replace(&mut self.bindings, binding(mine));
        }
        Some(())
    }

    /// Takes the argument of `unbind_meta_app`: a key, or nothing for all of them.
    pub fn unbind(&mut self, argument: &str) {
        let key = argument.trim().chars().next();
        for list in [&mut self.bindings, &mut self.for_partner] {
            list.retain(|binding| key.is_some_and(|key| key != binding.key));
        }
    }

    /// A key was pressed. What to run, if that completes a binding.
    fn press(&mut self, key: char, meta: char, now: Instant) -> Option<Binding> {
        if self.bindings.is_empty() {
            return None;
        }
        let armed = self.armed.take().is_some_and(|at| now.duration_since(at) <= PATIENCE);
        let found = self.bindings.iter().position(|binding| armed && binding.key == key);
        match found {
            Some(at) if self.bindings[at].once => Some(self.bindings.remove(at)),
            Some(at) => Some(self.bindings[at].clone()),
            None => {
                self.armed = (key == meta).then_some(now);
                None
            }
        }
    }
}

fn replace(list: &mut Vec<Binding>, binding: Binding) {
    list.retain(|other| other.key != binding.key);
    list.push(binding);
}

/// The legs are bridged: each hands the other the bindings meant for it.
pub(super) fn share(own: &Channel, peer: &Channel) {
    for (from, to) in [(own, peer), (peer, own)] {
        let bindings = from.with(|data| data.meta.for_partner.clone());
        to.with(|data| {
            for binding in bindings {
                replace(&mut data.meta.bindings, binding);
            }
        });
    }
}

/// A key pressed by a bridged leg.
pub(super) fn pressed(channel: &Arc<Channel>, key: char) {
    let meta = channel.var("bind_meta_key").and_then(|key| key.chars().next()).unwrap_or(META_KEY);
    let Some(binding) = channel.with(|data| data.meta.press(key, meta, Instant::now())) else {
        return;
    };
    let leg = match binding.target {
        Target::Here => Some(Arc::clone(channel)),
        Target::There => channel.partner(),
    };
    if let Some(leg) = leg {
        broadcast(&leg, &binding.run, "aleg");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keys: &mut MetaKeys, text: &str) -> Option<String> {
        let now = Instant::now();
        text.chars().fold(None, |_, key| keys.press(key, META_KEY, now)).map(|found| found.run)
    }

    #[test]
    fn the_meta_key_and_the_bound_key_run_the_application() {
        let mut keys = MetaKeys::default();
        keys.bind("1 a s execute_extension::dx XML features").unwrap();
        assert_eq!(press(&mut keys, "1"), None);
        assert_eq!(press(&mut keys, "*2"), None);
        assert_eq!(press(&mut keys, "*1").as_deref(), Some("execute_extension::dx XML features"));
        assert_eq!(press(&mut keys, "1"), None, "the meta key counts once");
    }

    #[test]
    fn the_bound_key_must_come_in_time() {
        let mut keys = MetaKeys::default();
        keys.bind("3 a s hangup").unwrap();
        let now = Instant::now();
        assert_eq!(keys.press('*', '*', now), None);
        assert_eq!(keys.press('3', '*', now + PATIENCE + Duration::from_millis(1)), None);
    }

    #[test]
    fn a_binding_for_the_other_leg_waits_for_it() {
        let mut keys = MetaKeys::default();
        keys.bind("1 b s record_session::/tmp/x.wav").unwrap();
        assert_eq!(press(&mut keys, "*1"), None);
        assert_eq!(keys.for_partner[0].target, Target::Here);
        keys.bind("2 b o hangup").unwrap();
        assert_eq!(keys.for_partner[1].target, Target::There);
    }

    #[test]
    fn a_binding_made_for_once_works_once() {
        let mut keys = MetaKeys::default();
        keys.bind("1 a 1s hangup").unwrap();
        assert_eq!(press(&mut keys, "*1").as_deref(), Some("hangup::"));
        assert_eq!(press(&mut keys, "*1"), None);
    }

    #[test]
    fn what_is_no_binding_is_refused() {
        for text in ["", "1", "1 a s", "x a s hangup", "1 a s "] {
            assert_eq!(MetaKeys::default().bind(text), None, "{text:?}");
        }
    }
}
