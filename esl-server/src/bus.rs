//! The bus: stamps events and hands each to everyone who wants it.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};

use crate::event::{Caller, Event, EventName, Vars};
use crate::queue::{Item, Queue};

/// What every event says about the switch it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreInfo {
    /// `Core-UUID`: made anew at each start, so clients can tell a restart.
    pub core_uuid: String,
    /// `FreeSWITCH-Hostname`.
    pub hostname: String,
    /// `FreeSWITCH-Switchname`.
    pub switchname: String,
    /// `FreeSWITCH-IPv4`; empty becomes `127.0.0.1`.
    pub ipv4: String,
    /// `FreeSWITCH-IPv6`; empty becomes `::1`.
    pub ipv6: String,
}

/// Stamps events with their core block and delivers them to subscribers.
pub struct EventBus {
    core: ArcSwap<Vars>,
    zone: TimeZone,
    second: Mutex<Arc<Second>>,
    sequence: AtomicU64,
    /// How many subscriptions want each type.
    wanted: Arc<[AtomicU32; EventName::COUNT]>,
    subscribers: Arc<ArcSwap<Vec<Arc<Shared>>>>,
    /// Held while an event is handed out: every reader sees events in the same order.
    order: Mutex<()>,
    /// Events that readers who are gone have lost.
    lost_before: Arc<AtomicU64>,
}

/// A reader of the bus, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Events in its queue.
    pub waiting: usize,
    /// About how many bytes they hold.
    pub bytes: usize,
    /// Events that did not fit.
    pub lost: u64,
    /// Age of the oldest event that waits.
    pub lag: Duration,
}

/// A reader's place, for who wants to know how far it is behind.
#[derive(Clone)]
pub(crate) struct Depth(Arc<Shared>);

impl Depth {
    pub(crate) fn read(&self) -> Reader {
        self.0.reader()
    }
}

impl fmt::Debug for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Depth").field(&self.read()).finish()
    }
}

impl EventBus {
    /// A bus with no subscribers; the first event it stamps is number 1.
    pub fn new(info: CoreInfo) -> Arc<Self> {
        Arc::new(Self {
            core: ArcSwap::from_pointee(core_block(info)),
            zone: TimeZone::system(),
            second: Mutex::new(Arc::new(Second { at: i64::MIN, dates: Vars::new() })),
            sequence: AtomicU64::new(0),
            wanted: Arc::new([const { AtomicU32::new(0) }; EventName::COUNT]),
            subscribers: Arc::default(),
            order: Mutex::default(),
            lost_before: Arc::default(),
        })
    }

    /// Replaces what later events say about the switch, after a change of address or name.
    pub fn set_core_info(&self, info: CoreInfo) {
        self.core.store(Arc::new(core_block(info)));
    }

    /// Whether anybody would receive an event of this type. Ask before building an expensive one;
    /// when the answer is no, call [`Self::skip`] so that sequence numbers stay honest.
    pub fn wants(&self, name: EventName) -> bool {
        self.wanted[name.index()].load(Ordering::Relaxed) > 0
            || self.wanted[EventName::All.index()].load(Ordering::Relaxed) > 0
    }

    /// Consumes the sequence number of an event without subscribers.
    pub fn skip(&self) {
        self.sequence.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the last event stamped or skipped.
    pub fn last_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Marks the creation of an event: sequence number, dates and caller, in front of its headers.
    pub fn stamp(&self, event: &mut Event, caller: Caller) {
        event.stamp(self.core_stamp(caller, base::clock::now_us()), false);
    }

    /// Like [`Self::stamp`], with the core block behind the headers the event already has; so the
    /// reference shows events that clients send.
    pub fn stamp_last(&self, event: &mut Event, caller: Caller) {
        event.stamp(self.core_stamp(caller, base::clock::now_us()), true);
    }

    /// [`Self::stamp`] at a given time, in microseconds since 1970.
    pub fn stamp_at(&self, event: &mut Event, caller: Caller, micros: i64) {
        event.stamp(self.core_stamp(caller, micros), false);
    }

    /// Hands a stamped event to everyone who wants it, in the same order to all.
    pub fn deliver(&self, event: Event) -> Arc<Event> {
        debug_assert!(event.is_stamped(), "an event is stamped before it is delivered");
        let event = Arc::new(event);
        let _in_order = self.order.lock();
        for subscriber in self.subscribers.load().iter() {
            if subscriber.interest.accepts(&event) {
                subscriber.queue.push(Queued { event: Arc::clone(&event), diverted: false });
            }
        }
        event
    }

    /// [`Self::stamp`] unless that was done, then [`Self::deliver`].
    pub fn fire(&self, mut event: Event, caller: Caller) -> Arc<Event> {
        if !event.is_stamped() {
            self.stamp(&mut event, caller);
        }
        self.deliver(event)
    }

    /// A subscription to nothing yet, that holds at most `capacity` events until they are read.
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let shared = Arc::new(Shared {
            interest: Interest {
                mask: [const { AtomicU64::new(0) }; MASK_WORDS],
                subclasses: RwLock::default(),
            },
            queue: Queue::new(capacity),
        });
        self.subscribers.rcu(|all| all.iter().chain([&shared]).cloned().collect::<Vec<_>>());
        Subscription {
            shared,
            wanted: Arc::clone(&self.wanted),
            subscribers: Arc::clone(&self.subscribers),
            lost_before: Arc::clone(&self.lost_before),
        }
    }

    /// How far each reader is behind.
    pub fn readers(&self) -> Vec<Reader> {
        let readers = self.subscribers.load();
        readers.iter().map(|shared| shared.reader()).collect()
    }

    /// Events lost by readers whose queue was full, those gone included.
    pub fn lost(&self) -> u64 {
        let now: u64 = self.readers().iter().map(|reader| reader.lost).sum();
        now + self.lost_before.load(Ordering::Relaxed)
    }

    fn core_stamp(&self, caller: Caller, micros: i64) -> CoreStamp {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        CoreStamp {
            core: self.core.load_full(),
            second: self.second_of(micros),
            micros,
            caller,
            sequence,
        }
    }

    /// The dates of a second are formatted once for all its events.
    fn second_of(&self, micros: i64) -> Arc<Second> {
        let at = micros.div_euclid(1_000_000);
        let mut current = self.second.lock();
        if current.at != at {
            *current = Arc::new(Second { at, dates: dates(at, &self.zone) });
        }
        Arc::clone(&current)
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus")
            .field("last_sequence", &self.last_sequence())
            .field("subscribers", &self.subscribers.load().len())
            .finish_non_exhaustive()
    }
}

fn core_block(info: CoreInfo) -> Vars {
    let or =
        |text: String, fallback: &str| if text.is_empty() { fallback.to_owned() } else { text };
    [
        ("Core-UUID", info.core_uuid),
        ("FreeSWITCH-Hostname", info.hostname),
        ("FreeSWITCH-Switchname", info.switchname),
        ("FreeSWITCH-IPv4", or(info.ipv4, "127.0.0.1")),
        ("FreeSWITCH-IPv6", or(info.ipv6, "::1")),
    ]
    .into_iter()
    .collect()
}

fn dates(second: i64, zone: &TimeZone) -> Vars {
    let Ok(at) = Timestamp::from_second(second) else {
        return Vars::new();
    };
    let local = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let gmt = at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    [("Event-Date-Local", local), ("Event-Date-GMT", gmt)].into_iter().collect()
}

/// One second's dates.
struct Second {
    at: i64,
    dates: Vars,
}

/// The core block of one event.
#[derive(Clone)]
pub(crate) struct CoreStamp {
    core: Arc<Vars>,
    second: Arc<Second>,
    micros: i64,
    caller: Caller,
    sequence: u64,
}

impl CoreStamp {
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) const fn micros(&self) -> i64 {
        self.micros
    }

    pub(crate) fn write_plain(&self, out: &mut Vec<u8>, name: EventName) {
        out.extend_from_slice(format!("Event-Name: {name}\n").as_bytes());
        for line in self.core.plain_lines().chain(self.second.dates.plain_lines()) {
            out.extend_from_slice(line);
        }
        let Self { micros, caller, sequence, .. } = self;
        // File and function names need no encoding, except for generic functions (`<T>`).
        let function = caller.function().replace(['<', '>', ' ', ':', '&'], "_");
        out.extend_from_slice(
            format!(
                "Event-Date-Timestamp: {micros}\nEvent-Calling-File: {}\nEvent-Calling-Function: {function}\n\
                 Event-Calling-Line-Number: {}\nEvent-Sequence: {sequence}\n",
                caller.file_name(),
                caller.line,
            )
            .as_bytes(),
        );
    }

    pub(crate) fn get(&self, event: EventName, name: &str) -> Option<Cow<'_, str>> {
        let mut found = None;
        if !STAMPED_PREFIXES
            .iter()
            .any(|p| name.len() > p.len() && name.as_bytes()[..p.len()].eq_ignore_ascii_case(p))
        {
            return None;
        }
        self.for_each(event, |header, text| {
            if found.is_none() && header.eq_ignore_ascii_case(name) {
                found = Some(Cow::Owned(text.to_owned()));
            }
        });
        found
    }

    pub(crate) fn for_each(&self, name: EventName, mut visit: impl FnMut(&str, &str)) {
        visit("Event-Name", name.as_str());
        for (name, value) in self.core.iter().chain(self.second.dates.iter()) {
            visit(name, &value.text());
        }
        visit("Event-Date-Timestamp", &self.micros.to_string());
        visit("Event-Calling-File", self.caller.file_name());
        visit("Event-Calling-Function", self.caller.function());
        visit("Event-Calling-Line-Number", &self.caller.line.to_string());
        visit("Event-Sequence", &self.sequence.to_string());
    }
}

/// How the names of the core block begin.
const STAMPED_PREFIXES: [&[u8]; 3] = [b"Event-", b"Core-", b"FreeSWITCH-"];

const MASK_WORDS: usize = EventName::COUNT.div_ceil(64);

struct Shared {
    interest: Interest,
    queue: Queue<Queued>,
}

impl Shared {
    fn reader(&self) -> Reader {
        let oldest = self.queue.first(|queued| queued.event.micros());
        let age = oldest.map_or(0, |at| base::clock::now_us().saturating_sub(at));
        Reader {
            waiting: self.queue.len(),
            bytes: self.queue.bytes(),
            lost: self.queue.lost(),
            lag: Duration::from_micros(u64::try_from(age).unwrap_or(0)),
        }
    }
}

/// An event in a queue.
pub(crate) struct Queued {
    pub(crate) event: Arc<Event>,
    /// Sent past the type check by a call that diverts its events; filters do not apply either.
    pub(crate) diverted: bool,
}

impl Item for Queued {
    fn size(&self) -> usize {
        self.event.size()
    }
}

struct Interest {
    mask: [AtomicU64; MASK_WORDS],
    subclasses: RwLock<HashSet<Box<str>>>,
}

impl Interest {
    fn holds(&self, name: EventName) -> bool {
        let at = name.index();
        self.mask[at / 64].load(Ordering::Relaxed) & (1 << (at % 64)) != 0
    }

    /// Sets or clears one type; true when that changed something.
    fn change(&self, name: EventName, on: bool) -> bool {
        let at = name.index();
        let (word, bit) = (&self.mask[at / 64], 1 << (at % 64));
        let before = if on {
            word.fetch_or(bit, Ordering::Relaxed)
        } else {
            word.fetch_and(!bit, Ordering::Relaxed)
        };
        (before & bit != 0) != on
    }

    fn accepts(&self, event: &Event) -> bool {
        if self.holds(EventName::All) {
            return true;
        }
        self.holds(event.name())
            && match event.subclass() {
                Some(subclass) => self.subclasses.read().contains(subclass),
                None => true,
            }
    }
}

/// One reader's place on the bus. Dropping it ends the subscription.
pub struct Subscription {
    shared: Arc<Shared>,
    wanted: Arc<[AtomicU32; EventName::COUNT]>,
    subscribers: Arc<ArcSwap<Vec<Arc<Shared>>>>,
    lost_before: Arc<AtomicU64>,
}

impl Subscription {
    /// Starts receiving a type. `ALL` means every type and every subclass; `CUSTOM` alone only
    /// those without a subclass.
    pub fn listen(&self, name: EventName) {
        if self.shared.interest.change(name, true) {
            self.wanted[name.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Starts receiving `CUSTOM` events of one subclass, compared exactly.
    pub fn listen_custom(&self, subclass: &str) {
        self.listen(EventName::Custom);
        self.shared.interest.subclasses.write().insert(subclass.into());
    }

    /// Stops receiving a type. Does not undo `ALL`.
    pub fn unlisten(&self, name: EventName) {
        if self.shared.interest.change(name, false) {
            self.wanted[name.index()].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Stops receiving one subclass; the type `CUSTOM` itself stays.
    pub fn unlisten_custom(&self, subclass: &str) {
        self.shared.interest.subclasses.write().remove(subclass);
    }

    /// Stops receiving anything and forgets what is queued.
    pub fn unlisten_everything(&self) {
        for &name in EventName::EVERY {
            self.unlisten(name);
        }
        self.shared.interest.subclasses.write().clear();
        self.shared.queue.clear();
    }

    /// Whether the type was asked for by name.
    pub fn listens(&self, name: EventName) -> bool {
        self.shared.interest.holds(name)
    }

    /// The next event; `None` once too many were lost in a row ([`Self::is_overrun`]).
    pub async fn recv(&mut self) -> Option<Arc<Event>> {
        loop {
            if self.is_overrun() {
                return None;
            }
            if let Some(queued) = self.shared.queue.pop() {
                return Some(queued.event);
            }
            self.shared.queue.changed().await;
        }
    }

    /// The next event if one is queued.
    pub fn try_recv(&mut self) -> Option<Arc<Event>> {
        self.shared.queue.pop().map(|queued| queued.event)
    }

    /// How many events were lost because the queue was full.
    pub fn lost(&self) -> u64 {
        self.shared.queue.lost()
    }

    /// Whether more than 500 events in a row were lost; such a reader is given up.
    pub fn is_overrun(&self) -> bool {
        self.shared.queue.is_overrun()
    }

    /// Sets how many events, and bytes of them, may wait from now on.
    pub(crate) fn bound(&self, capacity: usize, most_bytes: usize) {
        self.shared.queue.bound(capacity, most_bytes);
    }

    /// This place, for who wants to know how far its reader is behind.
    pub(crate) fn depth(&self) -> Depth {
        Depth(Arc::clone(&self.shared))
    }

    /// A way to put events into this queue past its type check, for calls that divert theirs.
    pub fn sink(&self) -> EventSink {
        EventSink { shared: Arc::clone(&self.shared) }
    }

    /// Moves at most `most` queued events into `into`, which is empty.
    pub(crate) fn take(&self, most: usize, into: &mut VecDeque<Queued>) {
        self.shared.queue.take(most, into);
    }

    /// About how many bytes of events wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.shared.queue.bytes()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.shared.queue.is_empty()
    }

    pub(crate) fn queue(&self) -> &Queue<Queued> {
        &self.shared.queue
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unlisten_everything();
        self.lost_before.fetch_add(self.lost(), Ordering::Relaxed);
        let gone = Arc::as_ptr(&self.shared);
        self.subscribers
            .rcu(|all| all.iter().filter(|s| Arc::as_ptr(s) != gone).cloned().collect::<Vec<_>>());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("queued", &self.shared.queue.len())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

/// Puts events of one call straight into one reader's queue, whatever that reader asked for.
#[derive(Clone)]
pub struct EventSink {
    shared: Arc<Shared>,
}

impl EventSink {
    /// Hands over a stamped event.
    pub fn send(&self, event: Arc<Event>) {
        self.shared.queue.push(Queued { event, diverted: true });
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus() -> Arc<EventBus> {
        EventBus::new(CoreInfo {
            core_uuid: "core".into(),
            hostname: "box".into(),
            switchname: "pbx".into(),
            ipv4: String::new(),
            ipv6: String::new(),
        })
    }

    fn names(reader: &mut Subscription) -> Vec<EventName> {
        std::iter::from_fn(|| reader.try_recv()).map(|event| event.name()).collect()
    }

    #[test]
    fn the_core_block_is_in_order_and_in_front() {
        let bus = bus();
        bus.skip();
        let mut event = Event::new(EventName::Heartbeat);
        event.push("Event-Info", "System Ready");
        let caller = Caller { file: "src/core/heart.rs", func: "core::heart::beat::here", line: 7 };
        bus.stamp_at(&mut event, caller, 1_709_633_472_000_123);
        let text = String::from_utf8(event.plain().to_vec()).unwrap();
        let (before, after) = text.split_once("Event-Date-Local: ").unwrap();
        assert_eq!(
            before,
            "Event-Name: HEARTBEAT\nCore-UUID: core\nFreeSWITCH-Hostname: box\nFreeSWITCH-Switchname: pbx\n\
             FreeSWITCH-IPv4: 127.0.0.1\nFreeSWITCH-IPv6: %3A%3A1\n"
        );
        let (_local, after) = after.split_once('\n').unwrap();
        assert_eq!(
            after,
            "Event-Date-GMT: Tue,%2005%20Mar%202024%2010%3A11%3A12%20GMT\nEvent-Date-Timestamp: 1709633472000123\n\
             Event-Calling-File: heart.rs\nEvent-Calling-Function: beat\nEvent-Calling-Line-Number: 7\n\
             Event-Sequence: 2\nEvent-Info: System%20Ready\n\n"
        );
        assert_eq!(event.get("event-sequence").as_deref(), Some("2"));
    }

    #[test]
    fn readers_get_what_they_listen_to_and_nobody_else_is_asked() {
        let bus = bus();
        assert!(!bus.wants(EventName::Dtmf));
        let mut reader = bus.subscribe(10);
        reader.listen(EventName::Dtmf);
        reader.listen(EventName::Dtmf);
        reader.listen_custom("a::b");
        assert!(bus.wants(EventName::Dtmf) && !bus.wants(EventName::Talk));
        for event in [
            Event::new(EventName::Dtmf),
            Event::new(EventName::Talk),
            Event::custom("a::b"),
            Event::custom("c"),
        ] {
            crate::fire!(bus, event);
        }
        assert_eq!(names(&mut reader), [EventName::Dtmf, EventName::Custom]);
        reader.unlisten(EventName::Dtmf);
        assert!(!bus.wants(EventName::Dtmf));
        reader.listen(EventName::All);
        assert!(bus.wants(EventName::Talk));
        crate::fire!(bus, Event::custom("c"));
        assert_eq!(names(&mut reader), [EventName::Custom]);
        drop(reader);
        assert!(!bus.wants(EventName::Talk) && !bus.wants(EventName::Custom));
        assert!(bus.subscribers.load().is_empty());
    }

    #[test]
    fn every_reader_holds_the_same_event() {
        let bus = bus();
        let (mut one, mut two) = (bus.subscribe(1), bus.subscribe(1));
        one.listen(EventName::Talk);
        two.listen(EventName::Talk);
        let fired = crate::fire!(bus, Event::new(EventName::Talk));
        assert!(
            Arc::ptr_eq(&one.try_recv().unwrap(), &fired)
                && Arc::ptr_eq(&two.try_recv().unwrap(), &fired)
        );
    }

    #[tokio::test]
    async fn a_reader_that_lost_too_much_is_given_up() {
        let bus = bus();
        let mut reader = bus.subscribe(1);
        reader.listen(EventName::Talk);
        for _ in 0..502 {
            crate::fire!(bus, Event::new(EventName::Talk));
        }
        assert_eq!(reader.lost(), 501);
        assert!(reader.recv().await.is_none());
    }

    #[test]
    fn what_a_client_sent_stands_before_the_core_block() {
        let bus = bus();
        let mut event = Event::new(EventName::Message);
        event.push("Event-Name", "whatever").push("X", "1");
        bus.stamp_last(&mut event, crate::caller!());
        assert!(
            event.plain().starts_with(b"X: 1\nEvent-Name: MESSAGE\n"),
            "MESSAGE holds each name once"
        );
        let mut event = Event::new(EventName::Notify);
        event.push("Event-Name", "whatever");
        bus.stamp_last(&mut event, crate::caller!());
        assert!(event.plain().starts_with(b"Event-Name: whatever\nEvent-Name: NOTIFY\n"));
    }
}
