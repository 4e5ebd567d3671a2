//! What of the events a client asked for it wants: some of their headers, and only those that meet all of its conditions.
//!
//! Both are asked for with headers behind an `event` command and hold for the types that the command names
//! (`Event-Headers`, `Event-Filter`). The reference ignores such headers, and so does everything here without them.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::Test;
use crate::event::{Event, EventName};
use crate::frame::Packet;

/// Names of headers in one selection.
const MOST_NAMES: usize = 256;
/// Conditions in one selection.
const MOST_CONDITIONS: usize = 64;
/// Headers that are always there: without them nothing tells what an event is.
const ALWAYS: [&str; 2] = ["Event-Name", "Event-Subclass"];

/// The selections of one connection.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    types: HashMap<EventName, Arc<Selection>>,
    subclasses: HashMap<String, Arc<Selection>>,
}

/// What is wanted of the types of one `event` command.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Names, or beginnings of names with a star behind them; all headers if there are none.
    names: Vec<String>,
    /// All of them must hold.
    conditions: Vec<(String, Test)>,
}

/// Why a selection cannot be used; what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectionError {
    #[error("-ERR too many names in Event-Headers")]
    Names,
    #[error("-ERR too many conditions in Event-Filter")]
    Conditions,
    #[error("-ERR Event-Filter needs a header and a value")]
    Condition,
}

impl Selection {
    /// Reads `Event-Headers` (names, separated by commas or spaces) and `Event-Filter` (a header and what it must be, as for
    /// `filter`; repeatable) of an `event` command. `None` if it has neither.
    pub(super) fn of(packet: &Packet) -> Result<Option<Arc<Self>>, SelectionError> {
        let mut read = Self::default();
        for list in packet.headers.all("Event-Headers") {
            let names = list.split([',', ' ']).filter(|name| !name.is_empty());
            read.names.extend(names.map(str::to_ascii_lowercase));
        }
        for condition in packet.headers.all("Event-Filter") {
            let (header, value) = condition.trim().split_once(' ').unwrap_or((&condition, ""));
            if header.is_empty() || value.trim().is_empty() {
                return Err(SelectionError::Condition);
            }
            read.conditions.push((header.to_owned(), Test::parse(value)));
        }
        if read.names.len() > MOST_NAMES {
            return Err(SelectionError::Names);
        }
        if read.conditions.len() > MOST_CONDITIONS {
            return Err(SelectionError::Conditions);
        }
        let empty = read.names.is_empty() && read.conditions.is_empty();
        Ok((!empty).then(|| Arc::new(read)))
    }

    /// Whether an event meets all conditions. A header that is not there meets none, unless it must not be something.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.conditions.iter().all(|(header, test)| match event.get(header) {
            Some(value) => test.matches(&value) != test.is_negative(),
            None => test.is_negative(),
        })
    }

    /// Whether only some headers are wanted.
    pub(crate) fn cuts(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a header is wanted.
    pub(crate) fn wants(&self, header: &str) -> bool {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(begin) => {
                header.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin))
            }
            None => header.eq_ignore_ascii_case(name),
        };
        ALWAYS.iter().any(|name| name.eq_ignore_ascii_case(header)) || self.names.iter().any(named)
    }

    /// What the reply says of it.
    pub(super) fn told(&self) -> String {
        let headers = match self.names.len() {
            0 => "all headers".to_owned(),
            count => format!("{count} headers"),
        };
        format!("{headers}, {} conditions", self.conditions.len())
    }
}

impl Selections {
    /// A type was asked for, with that selection or without any.
    pub(super) fn set(&mut self, name: EventName, selection: Option<&Arc<Selection>>) {
        match selection {
            Some(selection) => self.types.insert(name, Arc::clone(selection)),
            None => self.types.remove(&name),
        };
    }

    /// The same for a subclass.
    pub(super) fn set_subclass(&mut self, name: &str, selection: Option<&Arc<Selection>>) {
        match selection {
            Some(selection) => self.subclasses.insert(name.to_owned(), Arc::clone(selection)),
            None => self.subclasses.remove(name),
        };
    }

    /// `ALL` has become these single types: what was asked of it holds for them.
    pub(super) fn spell_out_all(&mut self, added: &[EventName]) {
        let Some(all) = self.types.remove(&EventName::All) else { return };
        self.types.extend(added.iter().map(|&name| (name, Arc::clone(&all))));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The selection that holds for an event: of its subclass, of its type, or of `ALL`. `listens` tells whether the type was
    /// asked for by name: such a type is not cut by what was asked of `ALL`.
    pub(super) fn find(
        &self,
        event: &Event,
        listens: impl Fn(EventName) -> bool,
    ) -> Option<&Arc<Selection>> {
        if self.types.is_empty() && self.subclasses.is_empty() {
            return None;
        }
        let subclass = event.subclass().and_then(|name| self.subclasses.get(name));
        if let Some(found) = subclass.or_else(|| self.types.get(&event.name())) {
            return Some(found);
        }
        let all = self.types.get(&EventName::All)?;
        (!listens(event.name())).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Packet;

    fn selection(
        headers: &[(&'static str, &str)],
    ) -> Result<Option<Arc<Selection>>, SelectionError> {
        let mut packet = Packet::default();
        for (name, value) in headers {
            packet.headers.push(*name, *value);
        }
        Selection::of(&packet)
    }

    fn event(headers: &[(&'static str, &str)]) -> Event {
        let mut event = Event::new(EventName::ChannelAnswer);
        for (name, value) in headers {
            event.push(*name, *value);
        }
        event
    }

    #[test]
    fn conditions_are_joined_by_and() {
        let both = selection(&[
            ("Event-Filter", "Call-Direction inbound"),
            ("Event-Filter", "variable_tenant /^acme/"),
            ("Event-Filter", "Caller-Context -test"),
        ])
        .unwrap()
        .unwrap();
        let good = [("Call-Direction", "INBOUND"), ("variable_tenant", "acme.example")];
        assert!(both.admits(&event(&good)));
        assert!(!both.admits(&event(&good[..1])));
        assert!(!both.admits(&event(&[good[0], ("variable_tenant", "beta")])));
        assert!(!both.admits(&event(&[good[0], good[1], ("Caller-Context", "test")])));
        assert!(both.admits(&event(&[good[0], good[1], ("Caller-Context", "public")])));
    }

    #[test]
    fn headers_are_wanted_by_name_or_beginning() {
        let some = selection(&[("Event-Headers", "Unique-ID, variable_sip_*")]).unwrap().unwrap();
        let wanted: Vec<_> = ["unique-id", "Variable_SIP_call_id", "Caller-Context", "Event-Name"]
            .map(|name| some.wants(name))
            .into();
        assert_eq!(wanted, [true, true, false, true]);
        assert!(some.admits(&event(&[])));
        assert!(selection(&[]).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_a_condition_is_refused() {
        for wrong in ["Call-Direction", " x"] {
            assert_eq!(
                selection(&[("Event-Filter", wrong)]).unwrap_err(),
                SelectionError::Condition
            );
        }
        let many = vec!["a"; MOST_NAMES + 1].join(",");
        assert_eq!(selection(&[("Event-Headers", &many)]).unwrap_err(), SelectionError::Names);
    }

    #[test]
    fn a_type_asked_for_by_name_is_not_cut_by_what_was_asked_of_all() {
        let cut = selection(&[("Event-Headers", "Unique-ID")]).unwrap();
        let mut all = Selections::default();
        all.set(EventName::All, cut.as_ref());
        assert!(all.find(&event(&[]), |_| false).is_some());
        assert!(all.find(&event(&[]), |_| true).is_none());
        all.set(EventName::ChannelAnswer, cut.as_ref());
        assert!(all.find(&event(&[]), |_| true).is_some());
        all.set_subclass("a::b", cut.as_ref());
        assert!(all.find(&Event::custom("a::b"), |_| true).is_some());
        assert!(all.find(&Event::custom("c"), |_| true).is_none());
    }
}
