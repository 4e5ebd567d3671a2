//! Traces of calls: which call and which step of it something is done for, and how long steps took (OpenTelemetry's spans,
//! W3C Trace Context). Nothing is kept until [`enable`] was called; what is not taken away is bounded and dropped.
//!
//! The context is a thread's while a future is polled, as in [`crate::foreign`]: whatever a call's task does, however
//! deeply nested, finds it by [`current`]. Tasks inherit it by [`crate::foreign::spawn`].

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context as Poller, Poll};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;

/// Calls that are traced at once; of more, the newest are not.
const CALLS: usize = 100_000;
/// Longest text of an attribute, bytes.
const LONGEST: usize = 1024;

static ENABLED: AtomicBool = AtomicBool::new(false);
/// Of a million new traces, how many are kept.
static SAMPLED: AtomicU32 = AtomicU32::new(1_000_000);
static MOST: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static QUEUE: Mutex<VecDeque<Span>> = Mutex::new(VecDeque::new());
static ARRIVED: Notify = Notify::const_new();
static RUNNING: Mutex<Option<HashMap<Box<str>, Call>>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

/// A step of a trace, as `traceparent` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: [u8; 16],
    /// The span within it.
    pub span: [u8; 8],
    /// Whether it is kept.
    pub sampled: bool,
}

impl Context {
    /// Reads a header `traceparent` (W3C Trace Context, section 3.2.2).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = hex(version)?;
        // Later versions may have more behind the flags; this one has not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let [flags] = hex(flags)?;
        let read = Self { trace: hex(trace)?, span: hex(span)?, sampled: flags & 1 == 1 };
        (read.trace != [0; 16] && read.span != [0; 8]).then_some(read)
    }

    /// As a header `traceparent`.
    #[must_use]
    pub fn header(&self) -> String {
        let mut text = String::with_capacity(55);
        let _infallible = write!(
            text,
            "00-{}-{}-{:02x}",
            to_hex(&self.trace),
            to_hex(&self.span),
            u8::from(self.sampled)
        );
        text
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: new_span(), ..*self }
    }

    /// The first span of a new trace: that of a call's UUID where it is one, so that a trace is found by its call.
    fn first(uuid: &str) -> Self {
        let digits: String = uuid.chars().filter(|c| *c != '-').collect();
        let trace = hex(&digits).filter(|trace| *trace != [0; 16]).unwrap_or_else(random);
        let chance = u32::from_be_bytes(random()) % 1_000_000;
        Self { trace, span: new_span(), sampled: chance < SAMPLED.load(Ordering::Relaxed) }
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        bytes.fill(1);
    }
    bytes
}

fn new_span() -> [u8; 8] {
    let mut span: [u8; 8] = random();
    if span == [0; 8] {
        span[7] = 1;
    }
    span
}

/// What a span is to the other side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Internal,
    /// It answers a request from outside.
    Server,
    /// It asks another system.
    Client,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        Self::Text(text[..end.unwrap_or(0)].to_owned())
    }
}

/// A step that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What was done.
    pub name: Cow<'static, str>,
    /// What it is to others.
    pub kind: Kind,
    /// Trace and span.
    pub context: Context,
    /// The span it belongs to.
    pub parent: Option<[u8; 8]>,
    /// Beginning, microseconds since the epoch.
    pub start: i64,
    /// End, microseconds since the epoch.
    pub end: i64,
    /// Further facts.
    pub attributes: Vec<(&'static str, Value)>,
    /// Moments in it, microseconds since the epoch.
    pub events: Vec<(&'static str, i64)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A call that is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its span.
    pub context: Context,
    /// The span that began it.
    pub parent: Option<[u8; 8]>,
}

/// Keeps spans from now on: up to `most` that were not taken yet, of `million` of a million new traces.
pub fn enable(most: usize, million: u32) {
    MOST.store(most, Ordering::Relaxed);
    SAMPLED.store(million, Ordering::Relaxed);
    ENABLED.store(true, Ordering::Relaxed);
}

/// Keeps none any more, and drops those that were not taken.
pub fn disable() {
    ENABLED.store(false, Ordering::Relaxed);
    QUEUE.lock().clear();
    *RUNNING.lock() = None;
}

/// Are spans kept?
#[must_use]
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Spans that found no place since the start of the process.
#[must_use]
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Keeps a span, if its trace is kept and there is a place for it.
pub fn record(span: Span) {
    if !enabled() || !span.context.sampled {
        return;
    }
    let mut queue = QUEUE.lock();
    if queue.len() >= MOST.load(Ordering::Relaxed) {
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    queue.push_back(span);
    drop(queue);
    ARRIVED.notify_one();
}

/// Takes up to so many spans, the oldest first.
#[must_use]
pub fn take(most: usize) -> Vec<Span> {
    let mut queue = QUEUE.lock();
    let count = queue.len().min(most);
    queue.drain(..count).collect()
}

/// Waits until there may be a span.
pub async fn arrived() {
    ARRIVED.notified().await;
}

/// The step this thread works for.
#[must_use]
pub fn current() -> Option<Context> {
    CURRENT.get()
}

/// A call that is traced.
#[must_use]
pub fn call(uuid: &str) -> Option<Call> {
    RUNNING.lock().as_ref()?.get(uuid).copied()
}

/// A call has ended; what was known of it.
pub fn end_call(uuid: &str) -> Option<Call> {
    RUNNING.lock().as_mut()?.remove(uuid)
}

/// A new call: part of the trace `given` (a `traceparent`) names, or of what begins it, or of one of its own.
fn begin(uuid: &str, given: Option<&str>) -> Option<Context> {
    let before = given.and_then(Context::parse).or_else(current);
    let context = before.map_or_else(|| Context::first(uuid), |before| before.child());
    let mut running = RUNNING.lock();
    let running = running.get_or_insert_default();
    if running.len() >= CALLS {
        return None;
    }
    let call = Call { context, parent: before.map(|before| before.span) };
    running.insert(uuid.into(), call);
    Some(context)
}

/// A future that is polled as a step of a trace.
pub struct Scoped<F> {
    context: Option<Context>,
    future: Pin<Box<F>>,
}

struct Before(Option<Context>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let _before = Before(CURRENT.get());
        if self.context.is_some() {
            CURRENT.set(self.context);
        }
        self.future.as_mut().poll(poller)
    }
}

/// Runs a future as a step of a trace; of whatever polls it, for `None`.
pub fn scope<F: Future>(context: Option<Context>, future: F) -> Scoped<F> {
    Scoped { context, future: Box::pin(future) }
}

/// The task of a call, which begins here.
pub fn of_call<F: Future>(uuid: &str, given: Option<String>, future: F) -> Scoped<F> {
    scope(if enabled() { begin(uuid, given.as_deref()) } else { None }, future)
}

/// Runs a future as a span of its own within what this thread works for, if that is traced.
pub async fn within<F: Future>(name: impl Into<Cow<'static, str>>, future: F) -> F::Output {
    let Some(parent) = current().filter(|_| enabled()) else { return future.await };
    let (context, start) = (parent.child(), clock::now_us());
    let output = scope(Some(context), future).await;
    record(Span {
        name: name.into(),
        kind: Kind::Internal,
        context,
        parent: Some(parent.span),
        start,
        end: clock::now_us(),
        attributes: Vec::new(),
        events: Vec::new(),
        error: None,
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn headers_are_read_as_they_are_written() {
        let read = Context::parse(HEADER).expect("a context");
        assert!(read.sampled);
        assert_eq!(read.header(), HEADER);
        let child = read.child();
        assert!(child.trace == read.trace && child.span != read.span);
        assert!(!Context::parse(&HEADER.replace("-01", "-00")).expect("a context").sampled);
        // A later version may say more.
        let later = format!("01{}-more", &HEADER[2..]);
        assert_eq!(Context::parse(&later).map(|read| read.trace), Some(read.trace));
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-\u{e9}bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_end_at_a_character() {
        let Value::Text(text) = Value::from("\u{e9}".repeat(LONGEST).as_str()) else { panic!() };
        assert_eq!(text.len(), LONGEST);
    }

    // One test: what is kept is the process's.
    #[tokio::test]
    async fn steps_of_a_call_are_spans_of_its_trace() {
        const UUID: &str = "0a1b2c3d-0000-4000-8000-00000000000f";
        assert_eq!(of_call(UUID, None, async { current() }).await, None);
        enable(3, 1_000_000);
        let inner = async {
            within("step", async {
                tokio::task::yield_now().await;
                let task = crate::foreign::spawn(of_call("second", None, async { current() }));
                (current(), task.await.expect("ended"))
            })
            .await
        };
        let (step, second) = of_call(UUID, None, inner).await;
        let (step, second) = (step.expect("a step"), second.expect("a call"));
        let first = call(UUID).expect("a call");
        assert_eq!(to_hex(&first.context.trace), UUID.replace('-', ""));
        assert_eq!((step.trace, second.trace), (first.context.trace, first.context.trace));
        assert_eq!(call("second").and_then(|call| call.parent), Some(step.span));
        let spans = take(10);
        assert_eq!(spans.len(), 1);
        assert_eq!((&*spans[0].name, spans[0].parent), ("step", Some(first.context.span)));
        assert_eq!(end_call(UUID), Some(first));
        assert_eq!((end_call(UUID), current()), (None, None));

        let told = of_call("third", Some(HEADER.to_owned()), async { current() }).await;
        assert_eq!(told.map(|told| told.trace), Context::parse(HEADER).map(|told| told.trace));

        // What is not taken is bounded; a trace that others do not keep is not kept here.
        for _ in 0..5 {
            record(spans[0].clone());
        }
        assert_eq!((take(10).len(), lost()), (3, 2));
        let mut unsampled = spans[0].clone();
        unsampled.context.sampled = false;
        record(unsampled);
        assert!(take(10).is_empty());
        disable();
        record(spans[0].clone());
        assert!(take(10).is_empty());
    }
}
