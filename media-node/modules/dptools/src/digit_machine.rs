//! Digit strings that do something (`bind_digit_action`): realms of bindings, one realm at a time.
//!
//! Digits that may still become a bound string are held back; those that cannot are let through as they came.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::regex::Pattern;
use esl_server::event::{Event, EventName};

use crate::call::{Channel, Digit, DigitSource, broadcast};
use crate::text;

/// Wait for the next digit unless `bind_digit_digit_timeout` says otherwise.
const DIGIT_TIMEOUT: Duration = Duration::from_millis(1500);
/// Digits held back at most.
const MAX_HELD: usize = 64;

/// Whose digits, or who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The leg that has the bindings.
    Own,
    /// The leg it is bridged to.
    Peer,
    /// Either.
    Both,
}

impl Party {
    /// The name in arguments; the leg itself when there is none.
    #[must_use]
    pub fn parse(name: Option<&str>) -> Self {
        match name.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            Some("peer") => Self::Peer,
            Some("both") => Self::Both,
            _ => Self::Own,
        }
    }

    fn has(self, own: bool) -> bool {
        matches!((self, own), (Self::Both, _) | (Self::Own, true) | (Self::Peer, false))
    }
}

/// One binding.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The digits, or `~` and a pattern.
    pub digits: String,
    /// `exec:app`, `api:command` or a header's name.
    pub what: String,
    /// Arguments or the header's value.
    pub value: String,
    /// Whose digits.
    pub listen: Party,
    /// Who acts.
    pub act: Party,
}

impl Bound {
    fn is(&self, typed: &str) -> bool {
        match self.digits.strip_prefix('~') {
            None => self.digits == typed,
            Some(pattern) => Pattern::cached(pattern).is_ok_and(|pattern| pattern.is_match(typed)),
        }
    }

    fn may_become(&self, typed: &str) -> bool {
        self.digits.starts_with('~')
            || (self.digits.len() > typed.len() && self.digits.starts_with(typed))
    }
}

/// What follows a digit.
#[derive(Debug)]
enum Next {
    /// Nothing is bound, or nothing fits: these digits are ordinary.
    Pass(Vec<Digit>),
    /// Held back until more come or the time is over.
    Wait,
    /// A binding fits.
    Run(Box<Bound>, String),
}

#[derive(Debug, Default)]
struct Input {
    held: Vec<Digit>,
    turn: u64,
}

/// A leg's bindings and what was typed so far.
#[derive(Debug, Default)]
pub struct DigitMachine {
    realms: HashMap<String, Vec<Bound>>,
    realm: Option<String>,
    own: Input,
    peer: Input,
}

impl DigitMachine {
    /// Adds a binding; the first realm named becomes the current one.
    pub fn bind(&mut self, realm: &str, bound: Bound) {
        self.realm.get_or_insert_with(|| realm.to_owned());
        self.realms.entry(realm.to_owned()).or_default().push(bound);
    }

    /// Chooses a realm; false if there is none of that name.
    pub fn set_realm(&mut self, realm: &str) -> bool {
        let known = self.realms.contains_key(realm);
        if known {
            self.realm = Some(realm.to_owned());
        }
        known
    }

    /// Forgets one realm, or `all`.
    pub fn clear(&mut self, realm: &str) {
        if realm.eq_ignore_ascii_case("all") {
            self.realms.clear();
        } else {
            self.realms.remove(realm);
        }
        if self.realm.as_ref().is_some_and(|current| !self.realms.contains_key(current)) {
            self.realm = None;
        }
    }

    /// Is nothing bound?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.realms.is_empty()
    }

    fn bindings(&self, own: bool) -> impl Iterator<Item = &Bound> {
        let current = self.realm.as_ref().and_then(|realm| self.realms.get(realm));
        current.into_iter().flatten().filter(move |bound| bound.listen.has(own))
    }

    fn input(&mut self, own: bool) -> &mut Input {
        if own { &mut self.own } else { &mut self.peer }
    }

    fn feed(&mut self, own: bool, digit: Digit, terminators: &str) -> Next {
        if self.bindings(own).next().is_none() {
            return Next::Pass(vec![digit]);
        }
        if terminators.contains(digit.digit) && !self.input(own).held.is_empty() {
            return self.settle(own);
        }
        let input = self.input(own);
        input.turn += 1;
        input.held.push(digit);
        if input.held.len() >= MAX_HELD {
            return self.settle(own);
        }
        let typed = typed(&self.input(own).held);
        if self.bindings(own).any(|bound| bound.may_become(&typed)) {
            return Next::Wait;
        }
        self.settle(own)
    }

    /// No more digits come: what was typed fits, or is let through.
    fn settle(&mut self, own: bool) -> Next {
        let input = self.input(own);
        input.turn += 1;
        let held = std::mem::take(&mut input.held);
        let text = typed(&held);
        match self.bindings(own).find(|bound| bound.is(&text)).cloned() {
            Some(bound) => Next::Run(Box::new(bound), text),
            None => Next::Pass(held),
        }
    }
}

fn typed(held: &[Digit]) -> String {
    held.iter().map(|digit| digit.digit).collect()
}

/// Looks at a digit that `channel`'s far end pressed. True if it is held back or used.
pub(super) fn uses(channel: &Arc<Channel>, digit: Digit) -> bool {
    let partner = channel.partner();
    for (owner, own) in [Some((channel, true)), partner.as_ref().map(|partner| (partner, false))]
        .into_iter()
        .flatten()
    {
        if owner
            .with(|data| data.find_slot::<DigitMachine>().is_none_or(|machine| machine.is_empty()))
        {
            continue;
        }
        let terminators = owner.var("bda_terminators").unwrap_or_default();
        let (next, turn) = owner.with(|data| {
            let next = data.slot::<DigitMachine>().feed(own, digit, &terminators);
            (next, data.slot::<DigitMachine>().input(own).turn)
        });
        match next {
            Next::Pass(digits) if digits.len() == 1 && digits[0] == digit => {}
            next => {
                if matches!(next, Next::Wait) {
                    wait(owner, channel, own, turn);
                }
                act(owner, channel, own, next);
                return true;
            }
        }
    }
    false
}

/// Settles what was typed unless another digit comes in time.
fn wait(owner: &Arc<Channel>, speaker: &Arc<Channel>, own: bool, turn: u64) {
    let time = owner
        .var("bind_digit_digit_timeout")
        .and_then(|ms| u64::try_from(text::int(&ms)).ok())
        .filter(|&ms| ms > 0)
        .map_or(DIGIT_TIMEOUT, Duration::from_millis);
    let (owner, speaker) = (Arc::downgrade(owner), Arc::downgrade(speaker));
    crate::foreign::spawn(async move {
        tokio::time::sleep(time).await;
        let (Some(owner), Some(speaker)) = (owner.upgrade(), speaker.upgrade()) else { return };
        let next = owner.with(|data| {
            let machine = data.slot::<DigitMachine>();
            (machine.input(own).turn == turn).then(|| machine.settle(own))
        });
        if let Some(next) = next {
            act(&owner, &speaker, own, next);
        }
    });
}

fn act(owner: &Arc<Channel>, speaker: &Arc<Channel>, own: bool, next: Next) {
    match next {
        Next::Wait => {}
        Next::Pass(digits) => {
            for digit in digits {
                speaker.queue_digit(Digit { source: DigitSource::App, ..digit });
            }
            speaker.notify();
        }
        Next::Run(bound, digits) => {
            let target = match (bound.act, own) {
                (Party::Peer, _) => owner.partner(),
                _ => Some(Arc::clone(owner)),
            };
            if let Some(target) = target {
                run(&target, &bound, &digits);
            }
        }
    }
}

fn run(target: &Arc<Channel>, bound: &Bound, digits: &str) {
    target.set_var("last_matching_digits", digits.to_owned());
    let (what, digits) = (bound.what.clone(), digits.to_owned());
    crate::host::expand_then(target, &bound.value, move |target, value| {
        run_with(target, &what, value, digits);
    });
}

fn run_with(target: &Arc<Channel>, what: &str, value: String, digits: String) {
    let (kind, rest) = what.split_once(':').unwrap_or((what, ""));
    if kind.eq_ignore_ascii_case("exec") {
        broadcast::run(target, rest, &value, false);
    } else if kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("exec[")) {
        let application = rest.to_owned();
        let _full = target.job(Box::new(move |session| {
            Box::pin(async move {
                let _moved = session.execute(&application, &value).await;
            })
        }));
    } else if kind.eq_ignore_ascii_case("api") {
        let (target, command) = (Arc::clone(target), rest.to_owned());
        crate::foreign::spawn(async move {
            let switch = Arc::clone(target.switch());
            let reply = switch.run_api(&command, &value, Some(Arc::clone(&target))).await;
            target.set_var("bind_digit_action_api_result", reply.unwrap_or_default());
        });
    } else {
        let mut event = Event::new(EventName::ChannelData);
        event.push(what.to_owned(), value);
        event.push("digits", digits);
        target.queue_event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(digit: char) -> Digit {
        Digit { digit, duration: 2000, source: DigitSource::Rtp }
    }

    fn machine(digits: &[&str]) -> DigitMachine {
        let mut machine = DigitMachine::default();
        for digits in digits {
            let bound = Bound {
                digits: (*digits).to_owned(),
                what: "exec:log".into(),
                value: String::new(),
                listen: Party::Own,
                act: Party::Own,
            };
            machine.bind("realm", bound);
        }
        machine
    }

    fn feed(machine: &mut DigitMachine, digits: &str) -> String {
        let show = |next| match next {
            Next::Pass(held) => format!("pass {} ", typed(&held)),
            Next::Wait => "wait ".to_owned(),
            Next::Run(_, text) => format!("run {text} "),
        };
        digits.chars().map(|c| show(machine.feed(true, digit(c), "#"))).collect()
    }

    #[test]
    fn the_only_fitting_string_runs_at_once() {
        assert_eq!(feed(&mut machine(&["11", "22"]), "11"), "wait run 11 ");
    }

    #[test]
    fn a_string_that_may_grow_waits_for_time_or_terminator() {
        let mut machine = machine(&["1", "123"]);
        assert_eq!(feed(&mut machine, "1#"), "wait run 1 ");
        assert_eq!(feed(&mut machine, "123"), "wait wait run 123 ");
    }

    #[test]
    fn what_fits_nothing_is_let_through_whole() {
        assert_eq!(feed(&mut machine(&["123"]), "129"), "wait wait pass 129 ");
        assert_eq!(feed(&mut machine(&["123"]), "9"), "pass 9 ");
    }

    #[test]
    fn a_pattern_is_tried_when_no_more_digits_come() {
        let mut machine = machine(&["~^9\\d+$"]);
        assert_eq!(feed(&mut machine, "987#"), "wait wait wait run 987 ");
    }

    #[test]
    fn another_realm_has_other_bindings_and_a_cleared_one_none() {
        let mut machine = machine(&["1"]);
        assert!(!machine.set_realm("other"));
        machine.clear("realm");
        assert_eq!(feed(&mut machine, "1"), "pass 1 ");
    }
}
