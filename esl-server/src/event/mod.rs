//! Events: what the switch says, built once and shared by everyone who listens.

mod encode;
mod headers;
mod name;
mod render;
mod value;
mod vars;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use encode::{url_decode, url_encode, url_encode_whole};
pub use headers::{Header, Headers};
pub use name::{EventName, UnknownEventName};
pub use render::Format;
pub use value::{MAX_ARRAY_INDEX, Value};
pub use vars::Vars;

use crate::bus::CoreStamp;

/// The header that names the subclass of a `CUSTOM` event.
const SUBCLASS: &str = "Event-Subclass";

/// One event.
///
/// Build it with [`Event::new`] and [`Event::push`], hand it to the bus, and it becomes immutable
/// behind an `Arc`. Each text form is rendered at most once, and only for a subscriber.
///
/// The core block (`Event-Name` to `Event-Sequence`) is written by the bus when the event is
/// stamped; it stands in front of everything else unless [`EventBus::stamp_last`] is used.
///
/// [`EventBus::stamp_last`]: crate::EventBus::stamp_last
#[derive(Clone)]
pub struct Event {
    name: EventName,
    subclass: Option<Box<str>>,
    parts: Vec<Part>,
    core: Option<CoreStamp>,
    /// How many parts stand before the core block.
    core_at: usize,
    body: Option<Bytes>,
    rendered: [OnceLock<Bytes>; Format::COUNT],
    /// See [`Event::size`].
    size: OnceLock<usize>,
}

/// A stretch of headers.
#[derive(Clone, Debug)]
enum Part {
    Header(Header),
    /// A shared snapshot whose names all get the same prefix.
    Vars {
        prefix: &'static str,
        vars: Arc<Vars>,
    },
}

/// A name without the marks of what a far end said.
fn as_meant(name: Cow<'static, str>) -> Cow<'static, str> {
    if base::far::is_marked(&name) { base::far::plain(&name).into_owned().into() } else { name }
}

impl Event {
    /// An event without headers.
    pub const fn new(name: EventName) -> Self {
        Self {
            name,
            subclass: None,
            parts: Vec::new(),
            core: None,
            core_at: 0,
            body: None,
            rendered: [const { OnceLock::new() }; Format::COUNT],
            size: OnceLock::new(),
        }
    }

    /// A `CUSTOM` event of that subclass (`module::event` by convention, compared exactly).
    pub fn custom(subclass: impl Into<Box<str>>) -> Self {
        let mut event = Self::new(EventName::Custom);
        event.subclass = Some(subclass.into()).filter(|s| !s.is_empty());
        event
    }

    /// An event made of headers that were collected elsewhere, such as a client's packet.
    pub fn from_headers(name: EventName, headers: Headers) -> Self {
        let mut event = Self::new(name);
        event.parts.reserve(headers.len());
        for header in headers {
            event.push(header.name, header.value);
        }
        event
    }

    /// The type.
    pub const fn name(&self) -> EventName {
        self.name
    }

    /// Changes the type; meant for an event that is re-fired as another.
    pub fn rename(&mut self, name: EventName) {
        self.changed();
        self.name = name;
    }

    /// The subclass of a `CUSTOM` event.
    pub fn subclass(&self) -> Option<&str> {
        self.subclass.as_deref()
    }

    /// Appends a header; a repeated name is kept (except in events whose names are unique, where
    /// the new value replaces the old one). An empty value deletes every header of that name. What is marked in either as
    /// a far end's ([`base::far`]) is written as it is meant.
    pub fn push(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> &mut Self {
        let (name, value) = (as_meant(name.into()), value.into().as_meant());
        self.changed();
        if self.name == EventName::Custom && name.eq_ignore_ascii_case(SUBCLASS) {
            self.subclass = Some(value.text()).filter(|s| !s.is_empty()).map(Into::into);
        } else if value.is_empty() {
            self.remove(&name);
        } else if let (base, Some(index)) = value::split_index(&name) {
            let base = base.to_owned();
            self.set_item(base, index, &value.text());
        } else {
            if self.name.unique_headers() {
                self.remove(&name);
            }
            self.parts.push(Part::Header(Header { name, value }));
        }
        self
    }

    /// Appends a header only when there is a value.
    pub fn push_some(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: Option<impl Into<Value>>,
    ) -> &mut Self {
        if let Some(value) = value {
            self.push(name, value);
        }
        self
    }

    /// Replaces every header of that name by one at the end; an empty value only deletes.
    pub fn set(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> &mut Self {
        let name = name.into();
        self.remove(&name);
        self.push(name, value)
    }

    /// Appends a whole snapshot, each name with `prefix` in front; nothing is copied.
    pub fn push_vars(&mut self, prefix: &'static str, vars: Arc<Vars>) -> &mut Self {
        self.changed();
        if !vars.is_empty() {
            self.parts.push(Part::Vars { prefix, vars });
        }
        self
    }

    /// Deletes every header of that name, from snapshots too; true when there was one. The core
    /// block cannot be deleted.
    pub fn remove(&mut self, name: &str) -> bool {
        self.changed();
        let mut found = false;
        for part in &mut self.parts {
            if let Part::Vars { prefix, vars } = part
                && let Some(bare) = strip_prefix(name, prefix)
                && vars.value(bare).is_some()
            {
                found |= Arc::make_mut(vars).remove(bare);
            }
        }
        let mut at = 0;
        let mut before_core = self.core_at;
        self.parts.retain(|part| {
            let gone = matches!(part, Part::Header(h) if h.name.eq_ignore_ascii_case(name));
            before_core -= usize::from(gone && at < self.core_at);
            found |= gone;
            at += 1;
            !gone
        });
        self.core_at = before_core;
        found
    }

    fn set_item(&mut self, name: String, index: usize, item: &str) {
        let held = self.parts.iter_mut().find_map(|part| match part {
            Part::Header(h) if h.name.eq_ignore_ascii_case(&name) => Some(&mut h.value),
            _ => None,
        });
        if let Some(value) = held {
            value.set_item(index, item);
            return;
        }
        let mut value = Value::Array(Box::default());
        value.set_item(index, item);
        if !value.is_empty() {
            self.parts.push(Part::Header(Header { name: name.into(), value }));
        }
    }

    /// The first value of that name in any case, not encoded; core block and snapshots included.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(subclass) = &self.subclass
            && name.eq_ignore_ascii_case(SUBCLASS)
        {
            return Some(Cow::Borrowed(subclass));
        }
        let (before, after) =
            self.parts.split_at_checked(self.core_at).unwrap_or((&self.parts, &[]));
        find(before, name).or_else(|| self.core_value(name)).or_else(|| find(after, name))
    }

    fn core_value(&self, name: &str) -> Option<Cow<'_, str>> {
        match &self.core {
            Some(core) => core.get(self.name, name),
            None => {
                name.eq_ignore_ascii_case("Event-Name").then_some(Cow::Borrowed(self.name.as_str()))
            }
        }
    }

    /// The body, if it has one; it may be empty.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Gives the event a body.
    pub fn set_body(&mut self, body: impl Into<Bytes>) -> &mut Self {
        self.changed();
        self.body = Some(body.into());
        self
    }

    /// The event's place in the global order; 0 before it was stamped.
    pub fn sequence(&self) -> u64 {
        self.core.as_ref().map_or(0, CoreStamp::sequence)
    }

    /// When the event was stamped, in microseconds since 1970; 0 before.
    pub(crate) fn micros(&self) -> i64 {
        self.core.as_ref().map_or(0, CoreStamp::micros)
    }

    /// Whether the core block has been written.
    pub const fn is_stamped(&self) -> bool {
        self.core.is_some()
    }

    /// Visits every header in order: subclass, then headers with the core block in its place.
    pub fn for_each_header(&self, mut visit: impl FnMut(&str, &Value)) {
        if let Some(subclass) = &self.subclass {
            visit(SUBCLASS, &Value::One(subclass.as_ref().into()));
        }
        for (at, part) in self.parts.iter().enumerate() {
            if at == self.core_at {
                self.visit_core(&mut visit);
            }
            match part {
                Part::Header(h) => visit(&h.name, &h.value),
                Part::Vars { prefix, vars } => {
                    for (name, value) in vars.iter() {
                        visit(&format!("{prefix}{name}"), value);
                    }
                }
            }
        }
        if self.core_at >= self.parts.len() {
            self.visit_core(&mut visit);
        }
    }

    /// The event with only those of its headers that are wanted, its subclass and its body.
    pub(crate) fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let mut cut = Self::new(self.name);
        cut.subclass.clone_from(&self.subclass);
        cut.body.clone_from(&self.body);
        self.for_each_header(|name, value| {
            if name != SUBCLASS && wanted(name) {
                let (name, value) = (name.to_owned().into(), value.clone());
                cut.parts.push(Part::Header(Header { name, value }));
            }
        });
        cut
    }

    fn visit_core(&self, visit: &mut impl FnMut(&str, &Value)) {
        if let Some(core) = &self.core {
            core.for_each(self.name, |name, text| visit(name, &Value::One(text.into())));
        }
    }

    pub(crate) fn stamp(&mut self, core: CoreStamp, last: bool) {
        self.changed();
        if self.name.unique_headers() {
            core.for_each(self.name, |name, _| {
                self.remove(name);
            });
        }
        self.core_at = if last { self.parts.len() } else { 0 };
        self.core = Some(core);
    }

    /// About how many bytes one rendered form has. Asked of finished events only; counted once.
    pub(crate) fn size(&self) -> usize {
        /// The core block, and what separates names and values.
        const CORE: usize = 512;
        *self.size.get_or_init(|| {
            let parts: usize = self
                .parts
                .iter()
                .map(|part| match part {
                    Part::Header(h) => h.name.len() + h.value.size() + 4,
                    Part::Vars { prefix, vars } => vars
                        .iter()
                        .map(|(name, value)| prefix.len() + name.len() + value.size() + 4)
                        .sum(),
                })
                .sum();
            CORE + parts + self.body.as_ref().map_or(0, Bytes::len)
        })
    }

    fn changed(&mut self) {
        self.size = OnceLock::new();
        if self.rendered.iter().any(|r| r.get().is_some()) {
            self.rendered = [const { OnceLock::new() }; Format::COUNT];
        }
    }
}

fn find<'a>(parts: &'a [Part], name: &str) -> Option<Cow<'a, str>> {
    parts.iter().find_map(|part| match part {
        Part::Header(h) => h.name.eq_ignore_ascii_case(name).then(|| h.value.text()),
        Part::Vars { prefix, vars } => vars.value(strip_prefix(name, prefix)?).map(Value::text),
    })
}

fn strip_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { name.get(prefix.len()..) } else { None }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entry(&"Event-Name", &self.name.as_str());
        self.for_each_header(|name, value| {
            map.entry(&name, &value.text());
        });
        map.finish()
    }
}

/// The place in the source that fired an event; goes out as `Event-Calling-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Source file; its base name is sent.
    pub file: &'static str,
    /// Function; of a path the last named part is sent.
    pub func: &'static str,
    /// Line.
    pub line: u32,
}

impl Caller {
    /// Base name of the file.
    pub fn file_name(&self) -> &'static str {
        self.file.rsplit(['/', '\\']).next().unwrap_or(self.file)
    }

    /// Name of the function without its path and without closure markers.
    pub fn function(&self) -> &'static str {
        let path = self.func.strip_suffix("::here").unwrap_or(self.func);
        path.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or(path)
    }
}

/// The [`Caller`] of the place where this stands.
#[macro_export]
macro_rules! caller {
    () => {{
        fn here() {}
        $crate::Caller { file: file!(), func: ::std::any::type_name_of_val(&here), line: line!() }
    }};
}

/// Stamps an event here and now and delivers it: `fire!(bus, event)`. Gives the shared event.
#[macro_export]
macro_rules! fire {
    ($bus:expr, $event:expr) => {
        $bus.fire($event, $crate::caller!())
    };
}

/// Stamps an event that is delivered later, taking its sequence number now: `stamp!(bus, &mut event)`.
#[macro_export]
macro_rules! stamp {
    ($bus:expr, $event:expr) => {
        $bus.stamp($event, $crate::caller!())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_through_prefixes() {
        let mut event = Event::new(EventName::ChannelAnswer);
        event.push("Unique-ID", "u1").push("Nothing", "");
        event.push_vars("variable_", Arc::new([("sip_call_id", "c1")].into_iter().collect()));
        assert_eq!(event.get("unique-id").as_deref(), Some("u1"));
        assert_eq!(event.get("Variable_SIP_call_id").as_deref(), Some("c1"));
        assert_eq!(event.get("event-name").as_deref(), Some("CHANNEL_ANSWER"));
        assert_eq!(event.get("Nothing"), None);
        assert_eq!(event.get("var"), None);
    }

    #[test]
    fn repeated_names_stay_except_in_events_whose_names_are_unique() {
        let mut event = Event::new(EventName::ChannelHangupComplete);
        event.push("Hangup-Cause", "A").push("Hangup-Cause", "B");
        assert_eq!(event.get("Hangup-Cause").as_deref(), Some("A"));
        let mut event = Event::new(EventName::ChannelData);
        event.push("X", "A").push("Y", "1").push("x", "B");
        let mut seen = Vec::new();
        event.for_each_header(|name, value| seen.push(format!("{name}={value}")));
        assert_eq!(seen, ["Y=1", "x=B"]);
    }

    #[test]
    fn removing_reaches_into_a_snapshot_without_changing_the_owner_s() {
        let owner: Arc<Vars> = Arc::new([("a", "1"), ("b", "2")].into_iter().collect());
        let mut event = Event::new(EventName::General);
        event.push_vars("variable_", Arc::clone(&owner));
        assert!(event.remove("variable_a"));
        assert_eq!(event.get("variable_a"), None);
        assert_eq!(owner.len(), 2);
    }

    #[test]
    fn the_subclass_is_a_header_of_custom_events_only() {
        let mut event = Event::custom("a::b");
        assert_eq!(event.get("Event-Subclass").as_deref(), Some("a::b"));
        event.push("event-subclass", "c::d");
        assert_eq!(event.subclass(), Some("c::d"));
    }

    #[test]
    fn the_caller_is_named_by_file_and_function() {
        let caller = caller!();
        assert_eq!(caller.file_name(), "mod.rs");
        assert_eq!(caller.function(), "the_caller_is_named_by_file_and_function");
        let closure = || caller!();
        assert_eq!(closure().function(), "the_caller_is_named_by_file_and_function");
    }
}
