//! `event`, `nixevent`, `noevents`, `myevents`, `filter`: what a connection wants to hear.

use std::sync::Arc;

use bytes::Bytes;

use super::reply;
use super::selection::Selection;
use super::{Outcome, Restriction, Session};
use crate::event::{Event, EventName, Format};
use crate::frame::Packet;
use crate::log::Level;
use crate::switch::leading_number;

/// What `myevents` subscribes to.
const MY_EVENTS: [EventName; 23] = [
    EventName::ChannelAnswer,
    EventName::ChannelApplication,
    EventName::ChannelBridge,
    EventName::ChannelCreate,
    EventName::ChannelData,
    EventName::ChannelDestroy,
    EventName::ChannelExecute,
    EventName::ChannelExecuteComplete,
    EventName::ChannelHangup,
    EventName::ChannelHangupComplete,
    EventName::ChannelOriginate,
    EventName::ChannelUuid,
    EventName::ChannelOutgoing,
    EventName::ChannelPark,
    EventName::ChannelProgress,
    EventName::ChannelProgressMedia,
    EventName::ChannelState,
    EventName::ChannelUnbridge,
    EventName::ChannelUnpark,
    EventName::DetectedSpeech,
    EventName::Dtmf,
    EventName::Notalk,
    EventName::Talk,
];

/// Levels above this number are taken for it.
const HIGHEST_LOG_NUMBER: i64 = 63;

impl Session {
    /// `event [plain|json|xml] <names> [CUSTOM <subclasses>]`.
    ///
    /// Headers behind it select headers and events for the types it names ([`Selection`]).
    pub(super) fn event(&mut self, packet: &Packet) -> Outcome {
        let selection = match Selection::of(packet) {
            Ok(selection) => selection,
            Err(error) => return error.to_string().into(),
        };
        let line = packet.command.as_str();
        let mut custom = false;
        let mut known = 0;
        for (at, item) in arguments(line).enumerate() {
            if let Some(format) = Format::parse(item).filter(|_| at == 0) {
                self.format = format;
            } else if item.is_empty() {
            } else if custom {
                if !self.permissions.subclass(item) {
                    return reply::DENIED.into();
                }
                self.events().listen_custom(item);
                self.selections.set_subclass(item, selection.as_ref());
                known += 1;
            } else if let Some(name) = EventName::parse(item) {
                if !self.permissions.event(name) {
                    return reply::DENIED.into();
                }
                self.events().listen(name);
                self.selections.set(name, selection.as_ref());
                custom = name == EventName::Custom;
                known += 1;
            }
        }
        if known == 0 {
            return reply::NO_KEYWORDS.into();
        }
        self.listening = true;
        let text = format!("+OK event listener enabled {}", self.format.as_str());
        match selection {
            Some(selection) => {
                let told = selection.told();
                Outcome::Reply(reply::command_with(&text, &[("Event-Selection", &told)]))
            }
            None => text.into(),
        }
    }

    /// `nixevent <names> [CUSTOM <subclasses>]`.
    pub(super) fn nixevent(&mut self, line: &str) -> String {
        let mut custom = false;
        let mut known = 0;
        for item in arguments(line) {
            if custom {
                self.events().unlisten_custom(item);
                self.selections.set_subclass(item, None);
                continue;
            }
            let Some(name) = EventName::parse(item) else {
                continue;
            };
            known += 1;
            match name {
                EventName::Custom => custom = true,
                EventName::All => {
                    for &name in EventName::EVERY {
                        self.events().unlisten(name);
                    }
                    self.selections.clear();
                }
                name => {
                    self.spell_out_all();
                    self.events().unlisten(name);
                    self.selections.set(name, None);
                }
            }
        }
        if known == 0 {
            return reply::NO_KEYWORDS.into();
        }
        self.listening = true;
        "+OK events nixed".into()
    }

    /// Turns `ALL` into every single type; subclasses are then only those asked for by name.
    fn spell_out_all(&mut self) {
        let events = self.events();
        if events.listens(EventName::All) {
            let all = EventName::EVERY.iter().copied();
            let added: Vec<_> = all.filter(|&name| !events.listens(name)).collect();
            added.iter().for_each(|&name| events.listen(name));
            events.unlisten(EventName::All);
            self.selections.spell_out_all(&added);
        }
    }

    /// `noevents`. Filters and the restriction of `myevents` stay.
    pub(super) fn noevents(&mut self) -> &'static str {
        if !std::mem::take(&mut self.listening) {
            return "-ERR not listening for events";
        }
        self.events().unlisten_everything();
        self.selections.clear();
        "+OK no longer listening for events"
    }

    /// `myevents` on a connection that is bound to a call.
    pub(super) fn my_events(&mut self, line: &str) -> &'static str {
        if self.my_events_on {
            return "-ERR aready enabled.";
        }
        if let Some(call) = &self.call {
            self.restriction = Restriction::Call(call.uuid().to_owned());
        }
        if line.contains("json") || line.contains("JSON") {
            self.format = Format::Json;
        } else if line.contains("xml") || line.contains("XML") {
            self.format = Format::Xml;
        }
        self.enable_my_events()
    }

    /// `myevents <uuid> [format]` on an inbound connection: binds it to that call.
    ///
    /// As in the reference the format is ignored, and an unknown UUID is an error only when
    /// a format follows it; without one the connection hears every event that is about a call.
    pub(super) fn my_events_of(&mut self, line: &str) -> &'static str {
        let mut words = arguments(line).filter(|word| !word.is_empty());
        let uuid = words.next().unwrap_or_default();
        match self.switch.call(uuid) {
            Some(call) => {
                self.restriction = Restriction::Call(call.uuid().to_owned());
                self.call = Some(call);
            }
            None if words.next().is_some() => return "-ERR invalid uuid",
            None => self.restriction = Restriction::AnyCall,
        }
        self.enable_my_events()
    }

    fn enable_my_events(&mut self) -> &'static str {
        for name in MY_EVENTS {
            if self.permissions.event(name) {
                self.events().listen(name);
            }
        }
        self.my_events_on = true;
        self.listening = true;
        "+OK Events Enabled"
    }

    /// `filter [add|delete] <header> [<value>]`: single spaces separate, the value is the rest of
    /// the line.
    pub(super) fn filter(&mut self, rest: &str) -> String {
        let rest = rest.trim_start_matches(' ');
        let Some((first, more)) = rest.split_once(' ') else {
            return "-ERR invalid syntax".into();
        };
        if first.eq_ignore_ascii_case("delete") {
            return self.filter_delete(more);
        }
        let (header, value) = match first.eq_ignore_ascii_case("add") {
            true => more.split_once(' ').map_or((more, None), |(h, v)| (h, Some(v))),
            false => (first, Some(more)),
        };
        if let Some(value) = value {
            self.filters.add(header, value);
        }
        format!("+OK filter added. [{header}]=[{}]", value.unwrap_or("(null)"))
    }

    fn filter_delete(&mut self, what: &str) -> String {
        let (header, value) = what.split_once(' ').unwrap_or((what, ""));
        if header.eq_ignore_ascii_case("all") {
            self.filters.clear();
        } else {
            self.filters.delete(header, Some(value).filter(|v| !v.is_empty()));
        }
        format!("+OK filter deleted. [{header}][{value}]")
    }

    /// `log [<level>]`; `rest` follows the verb.
    pub(super) fn log(&mut self, rest: &str) -> String {
        if !self.permissions.log() {
            return reply::DENIED.into();
        }
        let word = rest.trim_start_matches(' ').split(' ').next().unwrap_or_default();
        let Some((number, level)) = log_level(word) else {
            return "-ERR invalid log level".into();
        };
        self.logs().set_level(level);
        self.logging = true;
        format!("+OK log level {word} [{number}]")
    }

    /// `nolog`.
    pub(super) fn nolog(&mut self) -> &'static str {
        if let Some(logs) = &self.logs {
            logs.set_level(None);
            logs.clear();
        }
        if std::mem::take(&mut self.logging) { "+OK no longer logging" } else { "-ERR not loging" }
    }

    /// Whether an event from the queue goes to the client.
    pub(crate) fn admits(&self, event: &Event, diverted: bool) -> bool {
        self.listening
            && (diverted
                || self.restriction.admits(event)
                    && !self.is_own_destroy(event)
                    && self.filters.admit(event)
                    && self.selection(event).is_none_or(|selection| selection.admits(event)))
    }

    /// What the client wants of events of that kind, if not everything.
    fn selection(&self, event: &Event) -> Option<&Arc<Selection>> {
        let events = self.events.as_ref()?;
        self.selections.find(event, |name| events.listens(name))
    }

    /// An event as it goes to the client. One that is wanted whole is rendered once for all clients.
    pub(crate) fn message(&self, event: &Event, diverted: bool) -> Bytes {
        let message = match self.selection(event).filter(|s| s.cuts() && !diverted) {
            Some(selection) => event.only(|header| selection.wants(header)).message(self.format),
            None => event.message(self.format),
        };
        if let Some(client) = &self.client {
            client.takes(event.micros(), message.len());
        }
        message
    }

    /// Everything that was to be written to the client has been.
    pub(crate) fn written(&self) {
        if let Some(client) = &self.client {
            client.has_all();
        }
    }

    /// In the reference a bound connection keeps its call alive, so it never hears of its end.
    fn is_own_destroy(&self, event: &Event) -> bool {
        let is_destroy = match event.name() {
            EventName::ChannelDestroy => true,
            EventName::ChannelState => event.get("Channel-State").as_deref() == Some("CS_DESTROY"),
            _ => false,
        };
        is_destroy
            && self
                .call
                .as_ref()
                .is_some_and(|call| event.get("Unique-ID").as_deref() == Some(call.uuid()))
    }
}

impl Restriction {
    fn admits(&self, event: &Event) -> bool {
        match self {
            Self::None => true,
            Self::AnyCall => event.get("Unique-ID").is_some(),
            Self::Call(uuid) => {
                event.get("Unique-ID").as_deref() == Some(uuid)
                    || event.get("Job-Owner-UUID").as_deref() == Some(uuid)
            }
        }
    }
}

/// What follows the first space, split at single spaces: a double one makes an empty item.
fn arguments(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').skip(1)
}

/// The number to report and the level to read, `None` for neither.
fn log_level(word: &str) -> Option<(i64, Option<Level>)> {
    if word.is_empty() {
        return Some((7, Some(Level::Debug)));
    }
    if word.eq_ignore_ascii_case("disable") {
        return Some((-1, None));
    }
    if let Some(level) = Level::parse(word) {
        return Some((level as i64, Some(level)));
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = leading_number(word).clamp(0, HIGHEST_LOG_NUMBER);
    Some((number, u8::try_from(number.min(7)).ok().and_then(Level::from_number)))
}
