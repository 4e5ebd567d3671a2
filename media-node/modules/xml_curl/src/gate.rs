//! How many lookups a web server gets at once, how many wait, and when it is left alone for a while.
//!
//! A server that hangs or is down costs the calls that asked it their own deadline. Two things keep one asker's trouble
//! from the others: places are shared, so that whose lookups hang runs out of places first; and the server is left alone
//! only when it fails nearly everybody, judged for known peers by what known peers got. Then it is not asked at all, but
//! for a few lookups now and then that find out whether it is back.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a gate lets through.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lookups on their way at once.
    pub concurrent: usize,
    /// Lookups that may wait for a place; further ones are refused.
    pub waiting: usize,
    /// Failures after which the server may be left alone, if nearly all fail; 0 for never.
    pub failures: u32,
    /// For how long it is left alone before some lookups try again.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrent: 200, waiting: 1_000, failures: 5, pause: Duration::from_secs(5) }
    }
}

/// On whose behalf a lookup is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The far end; `None` for the switch's own needs.
    pub source: Option<IpAddr>,
    /// A known peer, or one that has proved itself.
    pub known: bool,
}

impl Asker {
    /// The switch itself.
    pub const SWITCH: Self = Self { source: None, known: true };
}

/// Why a lookup was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server failed too often lately.
    Open,
    /// Too many are waiting.
    Full,
}

/// How many times the places still free one known peer may have; with four, it gets four fifths when it is alone.
const SHARE_OF_KNOWN: usize = 4;
/// The same for a stranger: half when it is alone, a third beside another one.
const SHARE_OF_STRANGER: usize = 1;
/// Strangers leave this part of the places to known peers.
const RESERVED: usize = 4;
/// Outcomes by which a server is judged.
const OUTCOMES: usize = 256;
/// The latest outcomes of one asker that count.
const OUTCOMES_OF_ONE: usize = 8;
/// Outcomes older than this do not count.
const MEMORY: Duration = Duration::from_secs(60);
/// Per cent of failures, each asker weighing the same, at which a server is left alone.
const TOO_MANY: usize = 80;
/// Askers that may find out at once whether a server is back.
const PROBES: usize = 4;

/// One binding's gate.
pub struct Gate {
    limits: Limits,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    active: Share,
    waiting: Share,
    queue: VecDeque<Waiter>,
    next: u64,
    outcomes: VecDeque<Outcome>,
    for_known: Breaker,
    for_strangers: Breaker,
}

/// What is taken of something shared.
#[derive(Default)]
struct Share {
    all: usize,
    strangers: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Share {
    /// May this asker have one more of so many?
    fn admits(&self, asker: Asker, most: usize) -> bool {
        let free = most.saturating_sub(self.all);
        let own = asker.source.and_then(|ip| self.by_source.get(&ip)).copied().unwrap_or(0);
        let times = if asker.known { SHARE_OF_KNOWN } else { SHARE_OF_STRANGER };
        let for_strangers = most - most / RESERVED;
        free > 0
            && (asker.source.is_none() || own < free * times)
            && (asker.known || self.strangers < for_strangers)
    }

    fn take(&mut self, asker: Asker) {
        self.all += 1;
        self.strangers += usize::from(!asker.known);
        if let Some(ip) = asker.source {
            *self.by_source.entry(ip).or_default() += 1;
        }
    }

    fn give_back(&mut self, asker: Asker) {
        self.all = self.all.saturating_sub(1);
        self.strangers = self.strangers.saturating_sub(usize::from(!asker.known));
        let Some(ip) = asker.source else { return };
        if let Some(own) = self.by_source.get_mut(&ip) {
            *own -= 1;
            if *own == 0 {
                self.by_source.remove(&ip);
            }
        }
    }
}

struct Waiter {
    number: u64,
    asker: Asker,
    go: oneshot::Sender<()>,
}

struct Outcome {
    at: Instant,
    asker: Asker,
    failed: bool,
}

/// A lookup that was let through. Dropped without a word, it says nothing about the server.
pub struct Pass<'g> {
    gate: &'g Gate,
    asker: Asker,
    told: bool,
}

impl Gate {
    /// A gate for a server nothing is known about.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { concurrent: limits.concurrent.max(1), ..limits };
        Self { limits, state: Mutex::default() }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// At once when the server is left alone or the queue is full; later when it failed meanwhile.
    pub async fn enter(&self, asker: Asker) -> Result<Pass<'_>, Refused> {
        let (mut waiting, go) = {
            let mut state = self.state.lock();
            let now = Instant::now();
            if state.breaker(asker).refuses(asker, now) {
                return Err(Refused::Open);
            }
            if state.active.admits(asker, self.limits.concurrent) {
                state.active.take(asker);
                state.breaker(asker).admit(asker, now);
                return Ok(Pass { gate: self, asker, told: false });
            }
            if !state.waiting.admits(asker, self.limits.waiting) {
                return Err(Refused::Full);
            }
            let (go, called) = oneshot::channel();
            (Waiting { gate: self, asker, number: state.wait(asker, go), over: false }, called)
        };
        if go.await.is_err() {
            return Err(Refused::Full);
        }
        waiting.over = true;
        let mut pass = Pass { gate: self, asker, told: true };
        if !self.state.lock().breaker(asker).admit(asker, Instant::now()) {
            return Err(Refused::Open);
        }
        pass.told = false;
        Ok(pass)
    }

    /// Lookups on their way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.state.lock().active.all
    }

    /// Lookups waiting for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.all
    }

    /// `closed` (asked), `open` (left alone) or `half-open` (being tried), perhaps for strangers only.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let state = self.state.lock();
        match (&state.for_known, &state.for_strangers) {
            (Breaker::Open { .. }, _) => "open",
            (Breaker::Trying { .. }, _) => "half-open",
            (Breaker::Closed, Breaker::Closed) => "closed",
            (Breaker::Closed, Breaker::Open { .. }) => "open for strangers",
            (Breaker::Closed, Breaker::Trying { .. }) => "half-open for strangers",
        }
    }
}

impl GateState {
    fn breaker(&mut self, asker: Asker) -> &mut Breaker {
        if asker.known { &mut self.for_known } else { &mut self.for_strangers }
    }

    fn wait(&mut self, asker: Asker, go: oneshot::Sender<()>) -> u64 {
        self.waiting.take(asker);
        self.next += 1;
        self.queue.push_back(Waiter { number: self.next, asker, go });
        self.next
    }

    /// A place is free again: calls those who may have it, in their order.
    fn give_back(&mut self, asker: Asker, most: usize) {
        self.active.give_back(asker);
        let mut at = 0;
        while self.active.all < most
            && let Some(waiter) = self.queue.get(at)
        {
            if !self.active.admits(waiter.asker, most) {
                at += 1;
                continue;
            }
            let Some(waiter) = self.queue.remove(at) else { return };
            self.waiting.give_back(waiter.asker);
            if waiter.go.send(()).is_ok() {
                self.active.take(waiter.asker);
            }
        }
    }

    /// Notes how a lookup ended. True if the server is left alone from now on.
    fn note(&mut self, asker: Asker, failed: bool, limits: Limits, now: Instant) -> bool {
        self.outcomes.push_back(Outcome { at: now, asker, failed });
        while self.outcomes.len() > OUTCOMES
            || self.outcomes.front().is_some_and(|o| now.duration_since(o.at) > MEMORY)
        {
            self.outcomes.pop_front();
        }
        let fails = failed && limits.failures > 0;
        let judged_by_all = fails && self.fails(limits, |_| true);
        let judged_by_known = fails && self.fails(limits, |asker| asker.known);
        // What a stranger gets says nothing about the server to known peers; what they get does to everybody.
        let mut opened = false;
        if asker.known {
            opened |= self.for_known.note(asker, failed, judged_by_known, now + limits.pause);
        }
        opened | self.for_strangers.note(asker, failed, judged_by_all, now + limits.pause)
    }

    /// Do nearly all lookups of such askers fail, each asker weighing the same?
    fn fails(&self, limits: Limits, counts: impl Fn(Asker) -> bool) -> bool {
        let mut askers: HashMap<Option<IpAddr>, (usize, usize)> = HashMap::new();
        for outcome in self.outcomes.iter().rev().filter(|o| counts(o.asker)) {
            let (failed, all) = askers.entry(outcome.asker.source).or_default();
            if *all < OUTCOMES_OF_ONE.max(limits.failures as usize) {
                *failed += usize::from(outcome.failed);
                *all += 1;
            }
        }
        let failures: usize = askers.values().map(|(failed, _)| failed).sum();
        let rates: usize = askers.values().map(|(failed, all)| failed * 100 / (*all).max(1)).sum();
        failures >= limits.failures as usize && rates >= TOO_MANY * askers.len()
    }
}

/// A lookup that waits for its place.
struct Waiting<'g> {
    gate: &'g Gate,
    asker: Asker,
    number: u64,
    /// It has its place, and another task answers for it.
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.gate.state.lock();
        match state.queue.iter().position(|waiter| waiter.number == self.number) {
            Some(at) => {
                state.queue.remove(at);
                state.waiting.give_back(self.asker);
            }
            // Called and given up in the same moment.
            None => state.give_back(self.asker, self.gate.limits.concurrent),
        }
    }
}

impl Pass<'_> {
    /// The server answered. True if it had been left alone until now.
    pub fn succeeded(mut self) -> bool {
        self.told = true;
        let mut state = self.gate.state.lock();
        let back = matches!(state.breaker(self.asker), Breaker::Trying { .. });
        if back {
            // It is another server than the one that failed.
            state.outcomes.clear();
            if self.asker.known {
                state.for_strangers = Breaker::Closed;
            }
        }
        state.note(self.asker, false, self.gate.limits, Instant::now());
        back
    }

    /// The server did not answer, or said that it cannot. True if it is left alone from now on.
    pub fn failed(mut self) -> bool {
        self.told = true;
        self.gate.state.lock().note(self.asker, true, self.gate.limits, Instant::now())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        if !self.told {
            state.breaker(self.asker).gave_up(self.asker, Instant::now());
        }
        state.give_back(self.asker, self.gate.limits.concurrent);
    }
}

#[derive(Default)]
enum Breaker {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// These askers find out whether the server is back: one whose lookups always fail must not decide alone.
    Trying {
        probes: Vec<Option<IpAddr>>,
        failed: usize,
    },
}

impl Breaker {
    fn refuses(&self, asker: Asker, now: Instant) -> bool {
        match self {
            Self::Closed => false,
            Self::Open { until } => now < *until,
            Self::Trying { probes, .. } => probes.len() >= PROBES || probes.contains(&asker.source),
        }
    }

    fn admit(&mut self, asker: Asker, now: Instant) -> bool {
        if self.refuses(asker, now) {
            return false;
        }
        match self {
            Self::Closed => {}
            Self::Open { .. } => {
                *self = Self::Trying { probes: vec![asker.source], failed: 0 };
            }
            Self::Trying { probes, .. } => probes.push(asker.source),
        }
        true
    }

    /// True if it opened.
    fn note(&mut self, asker: Asker, failed: bool, bad: bool, until: Instant) -> bool {
        match self {
            Self::Closed => {
                if failed && bad {
                    *self = Self::Open { until };
                }
                failed && bad
            }
            Self::Trying { probes, failed: fails } if probes.contains(&asker.source) => {
                if !failed {
                    *self = Self::Closed;
                    return false;
                }
                *fails += 1;
                let all = *fails >= probes.len();
                if all {
                    *self = Self::Open { until };
                }
                all
            }
            // Was on its way when the others failed.
            _ => false,
        }
    }

    /// A lookup that tried was given up; the next one may try.
    fn gave_up(&mut self, asker: Asker, now: Instant) {
        if let Self::Trying { probes, failed } = self {
            probes.retain(|probe| *probe != asker.source);
            if probes.len() <= *failed {
                *self = Self::Open { until: now };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrent: usize, waiting: usize, failures: u32) -> Gate {
        Gate::new(Limits { concurrent, waiting, failures, pause: Duration::from_secs(5) })
    }

    async fn refused(gate: &Gate) -> Option<Refused> {
        gate.enter(Asker::SWITCH).await.err()
    }

    fn from(n: u8, known: bool) -> Asker {
        Asker { source: Some(IpAddr::from([192, 0, 2, n])), known }
    }

    async fn fails(gate: &Gate, asker: Asker) -> Option<bool> {
        gate.enter(asker).await.ok().map(Pass::failed)
    }

    async fn succeeds(gate: &Gate, asker: Asker) -> Option<bool> {
        gate.enter(asker).await.ok().map(Pass::succeeded)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_whose_lookups_hang_leaves_places_for_others() {
        let gate = gate(100, 100, 5);
        let mut held = Vec::new();
        for n in 1..=3 {
            for _ in 0..100 {
                let mut entering = Box::pin(gate.enter(from(n, false)));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                if let std::task::Poll::Ready(Ok(pass)) = entering.as_mut().poll(&mut context) {
                    held.push(pass);
                }
            }
        }
        assert_eq!(held.iter().filter(|pass| pass.asker == from(1, false)).count(), 50);
        assert!(held.len() <= 75, "{} places are taken by strangers", held.len());
        assert_eq!(gate.enter(from(4, true)).await.err(), None);
        drop(held);
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_always_fails_does_not_close_the_server_to_others() {
        let gate = gate(100, 100, 5);
        for _ in 0..40 {
            assert_eq!(fails(&gate, from(1, false)).await, Some(false));
            assert_eq!(succeeds(&gate, from(2, false)).await, Some(false));
        }
        for n in 3..20 {
            fails(&gate, from(n, false)).await;
        }
        assert_eq!(gate.state(), "open for strangers");
        assert_eq!(gate.enter(from(1, false)).await.err(), Some(Refused::Open));
        assert_eq!(succeeds(&gate, from(40, true)).await, Some(false), "a known peer is served");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_failures_in_any_order_is_no_reason_to_stop_asking() {
        let gate = gate(100, 100, 5);
        for _ in 0..10 {
            for _ in 0..54 {
                assert_eq!(succeeds(&gate, from(1, true)).await, Some(false));
            }
            for _ in 0..6 {
                assert_eq!(fails(&gate, from(1, true)).await, Some(false));
            }
        }
        let mut opened = Vec::new();
        for _ in 0..8 {
            opened.push(fails(&gate, from(1, true)).await);
        }
        assert!(opened.contains(&Some(true)), "and one that fails altogether is: {opened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_always_fails_does_not_decide_alone_whether_the_server_is_back() {
        let gate = gate(10, 10, 2);
        for _ in 0..2 {
            fails(&gate, from(1, false)).await;
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let hanging = gate.enter(from(1, false)).await.ok();
        assert!(hanging.is_some());
        assert_eq!(succeeds(&gate, from(2, false)).await, Some(true));
        assert_eq!(gate.state(), "closed");
        assert_eq!(hanging.map(Pass::failed), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_is_left_alone_and_tried_by_one() {
        let gate = gate(10, 10, 3);
        for opens in [false, false, true] {
            assert_eq!(gate.enter(Asker::SWITCH).await.ok().map(Pass::failed), Some(opens));
        }
        assert_eq!(refused(&gate).await, Some(Refused::Open));
        tokio::time::advance(Duration::from_secs(5)).await;
        let probe = gate.enter(Asker::SWITCH).await.ok();
        assert!(probe.is_some());
        assert_eq!(gate.state(), "half-open");
        assert_eq!(refused(&gate).await, Some(Refused::Open), "only one tries");
        assert_eq!(probe.map(Pass::failed), Some(true));
        assert_eq!(refused(&gate).await, Some(Refused::Open));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(gate.enter(Asker::SWITCH).await.ok().map(Pass::succeeded), Some(true));
        assert_eq!((gate.state(), refused(&gate).await), ("closed", None));
    }

    #[tokio::test(start_paused = true)]
    async fn success_forgets_failures() {
        let gate = gate(10, 10, 2);
        for _ in 0..5 {
            assert_eq!(gate.enter(Asker::SWITCH).await.ok().map(Pass::failed), Some(false));
            assert_eq!(gate.enter(Asker::SWITCH).await.ok().map(Pass::succeeded), Some(false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_given_up_lets_the_next_one_try() {
        let gate = gate(10, 10, 1);
        let _failed = gate.enter(Asker::SWITCH).await.ok().map(Pass::failed);
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(gate.enter(Asker::SWITCH).await);
        assert_eq!(refused(&gate).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_places_some_wait_and_the_rest_is_refused() {
        let gate = gate(1, 1, 0);
        let inside = gate.enter(Asker::SWITCH).await.ok();
        let mut waiting = std::pin::pin!(gate.enter(Asker::SWITCH));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!((gate.active(), gate.waiting()), (1, 1));
        assert_eq!(refused(&gate).await, Some(Refused::Full));
        drop(inside);
        assert!(waiting.await.is_ok());
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_of_failures_it_is_always_asked() {
        let gate = gate(1, 1, 0);
        for _ in 0..50 {
            assert_eq!(gate.enter(Asker::SWITCH).await.ok().map(Pass::failed), Some(false));
        }
    }
}
