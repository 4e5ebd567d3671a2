//! Keys that run applications during a call: a meta key, then the bound one (`bind_meta_app`).
//!
//! A leg may listen to its own digits and to those its partner sends it. Digits that a binding uses reach neither the
//! applications nor the other leg.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::digit_filter;
use crate::call::{Channel, Digit, broadcast};

/// The bound key must follow the meta key within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which leg runs the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOn {
    /// The leg that has the binding.
    Own,
    /// The leg it is bridged to.
    Partner,
    /// The one who pressed the keys.
    Same,
    /// The other one.
    Opposite,
}

/// What a key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub application: String,
    pub argument: String,
    /// Who runs it.
    pub run_on: RunOn,
    /// At once, without music for the other leg.
    pub inline: bool,
    /// Only the first time.
    pub once: bool,
}

/// What is to become of a digit.
#[derive(Debug, PartialEq, Eq)]
enum KeyVerdict {
    Pass,
    Used,
    Run(Binding),
}

/// The bindings for the digits of one party.
#[derive(Debug, Default)]
struct Keys {
    bound: HashMap<char, Binding>,
    armed: Option<Instant>,
}

impl Keys {
    fn take(&mut self, meta: char, digit: char, now: Instant) -> KeyVerdict {
        if self.bound.is_empty() {
            return KeyVerdict::Pass;
        }
        let armed =
            self.armed.take().is_some_and(|since| now.saturating_duration_since(since) <= PATIENCE);
        if digit == meta {
            // Twice the meta key is the key itself.
            if armed {
                return KeyVerdict::Pass;
            }
            self.armed = Some(now);
            return KeyVerdict::Used;
        }
        if !armed {
            return KeyVerdict::Pass;
        }
        let Some(binding) = self.bound.get(&digit).cloned() else { return KeyVerdict::Used };
        if binding.once {
            self.bound.remove(&digit);
        }
        KeyVerdict::Run(binding)
    }
}

/// A leg's bindings.
#[derive(Debug, Default)]
pub struct MetaKeys {
    own: Keys,
    partner: Keys,
}

impl MetaKeys {
    /// Binds a key for the leg's own digits, for its partner's, or for both.
    pub fn bind(&mut self, key: char, own: bool, partner: bool, binding: &Binding) {
        if own {
            self.own.bound.insert(key, binding.clone());
        }
        if partner {
            self.partner.bound.insert(key, binding.clone());
        }
    }

    /// Forgets one key, or all.
    pub fn unbind(&mut self, key: Option<char>) {
        for keys in [&mut self.own, &mut self.partner] {
            match key {
                Some(key) => drop(keys.bound.remove(&key)),
                None => keys.bound.clear(),
            }
        }
    }

    /// Is nothing bound?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.bound.is_empty() && self.partner.bound.is_empty()
    }
}

fn meta_key(channel: &Channel) -> char {
    channel.var("bind_meta_key").and_then(|key| key.chars().next()).unwrap_or('*')
}

/// Looks at a digit that `channel`'s far end pressed. True if a binding used it.
pub(super) fn uses(channel: &Arc<Channel>, digit: Digit) -> bool {
    let now = Instant::now();
    let partner = channel.partner();
    let listeners = [Some((channel, true)), partner.as_ref().map(|partner| (partner, false))];
    for (owner, own) in listeners.into_iter().flatten() {
        if owner.with(|data| data.find_slot::<MetaKeys>().is_none_or(|keys| keys.is_empty())) {
            continue;
        }
        let meta = meta_key(owner);
        let verdict = owner.with(|data| {
            let keys = data.slot::<MetaKeys>();
            let keys = if own { &mut keys.own } else { &mut keys.partner };
            keys.take(meta, digit.digit, now)
        });
        // A key bound for once may have been the last one.
        digit_filter::note(owner);
        match verdict {
            KeyVerdict::Pass => {}
            KeyVerdict::Used => return true,
            KeyVerdict::Run(binding) => {
                run(owner, own, &binding);
                return true;
            }
        }
    }
    false
}

fn run(owner: &Arc<Channel>, pressed_by_owner: bool, binding: &Binding) {
    let on_owner = match binding.run_on {
        RunOn::Own => true,
        RunOn::Partner => false,
        RunOn::Same => pressed_by_owner,
        RunOn::Opposite => !pressed_by_owner,
    };
    let leg = if on_owner { Some(Arc::clone(owner)) } else { owner.partner() };
    let Some(leg) = leg else { return };
    tracing::info!(
        uuid = %leg.uuid(),
        "{} Processing meta digit \"{}\" [{}]", leg.name(), binding.application, binding.argument
    );
    if binding.inline {
        let Binding { application, argument, .. } = binding.clone();
        let _full = leg.job(Box::new(move |session| {
            Box::pin(async move {
                let _moved = session.execute(&application, &argument).await;
            })
        }));
    } else {
        broadcast::run(&leg, &binding.application, &binding.argument, leg.partner().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(once: bool) -> Binding {
        Binding {
            application: "hangup".into(),
            argument: String::new(),
            run_on: RunOn::Same,
            inline: false,
            once,
        }
    }

    fn bound(once: bool) -> Keys {
        Keys { bound: HashMap::from([('1', binding(once))]), armed: None }
    }

    #[test]
    fn the_meta_key_and_a_bound_key_run_the_application() {
        let (mut keys, now) = (bound(false), Instant::now());
        assert_eq!(keys.take('*', '5', now), KeyVerdict::Pass);
        assert_eq!(keys.take('*', '*', now), KeyVerdict::Used);
        assert_eq!(keys.take('*', '1', now), KeyVerdict::Run(binding(false)));
        assert_eq!(keys.take('*', '1', now), KeyVerdict::Pass);
    }

    #[test]
    fn an_unbound_key_after_the_meta_key_is_swallowed_and_a_second_meta_key_passes() {
        let (mut keys, now) = (bound(false), Instant::now());
        assert_eq!(keys.take('*', '*', now), KeyVerdict::Used);
        assert_eq!(keys.take('*', '9', now), KeyVerdict::Used);
        assert_eq!(keys.take('*', '*', now), KeyVerdict::Used);
        assert_eq!(keys.take('*', '*', now), KeyVerdict::Pass);
    }

    #[test]
    fn a_late_key_is_an_ordinary_digit() {
        let (mut keys, now) = (bound(false), Instant::now());
        assert_eq!(keys.take('*', '*', now), KeyVerdict::Used);
        assert_eq!(keys.take('*', '1', now + Duration::from_secs(6)), KeyVerdict::Pass);
    }

    #[test]
    fn a_once_binding_works_once() {
        let (mut keys, now) = (bound(true), Instant::now());
        keys.take('*', '*', now);
        assert_eq!(keys.take('*', '1', now), KeyVerdict::Run(binding(true)));
        assert!(keys.bound.is_empty());
    }
}
