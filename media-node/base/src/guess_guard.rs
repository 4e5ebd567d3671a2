//! Slows the guessing of passwords: back-off per address and per account, in bounded memory.
//!
//! Knows no sockets and no clock: a door (SIP, the Event Socket) asks before it judges a password, says how the
//! judgement came out, and decides itself what waiting means there. What is remembered:
//!
//! - Each **address** (an IPv6 one by its /64) that failed. After [`Limits::tries`] failures every further one doubles
//!   the time in which nothing from there is judged.
//! - Each **account** with failures, so that many addresses do not guess faster than one.
//! - Each **pair** of both that has passed. A phone that has proved itself is held back by its own failures only: neither
//!   a neighbour behind the same address nor a stranger at the same account keeps it out.
//!
//! Failures are forgotten one by one outside such times: a program with an old password that tries again twice a minute
//! bans nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How patient a door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures that cost nothing.
    pub tries: u32,
    /// How long nothing is judged after one failure more. Each further one doubles it.
    pub first: Duration,
    /// The longest such time for an address.
    pub longest: Duration,
    /// The longest for a loopback address: this machine's own programs share it.
    pub longest_loopback: Duration,
    /// The longest for an account: guessing at it must not lock its owner out for long.
    pub longest_account: Duration,
    /// After this much quiet one failure is forgotten.
    pub forget: Duration,
    /// Addresses, accounts and proven pairs remembered, of each kind. The least suspicious give way.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tries: 8,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(900),
            longest_loopback: Duration::from_secs(2),
            longest_account: Duration::from_secs(60),
            forget: Duration::from_secs(20),
            entries: 2048,
        }
    }
}

/// A client that presents a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Where from.
    pub address: IpAddr,
    /// Who he says he is, such as `1000@example.com`; `None` where there is one password for all.
    pub account: Option<&'a str>,
}

/// Whether a password may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Judge,
    /// Not before this much time has passed.
    Wait(Duration),
}

/// Who is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Everybody at an address who has not proved himself.
    Address(IpAddr),
    /// An account, at every address where it has not been proved.
    Account(String),
    /// An account at an address where it was proved before.
    Proven(IpAddr, String),
}

/// Failures and what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub subject: Subject,
    /// Failures not yet forgotten.
    pub failures: u32,
    /// How long nothing is judged from now on; zero when it is.
    pub wait: Duration,
    /// How long ago the last failure was.
    pub ago: Duration,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passwords judged and found wrong.
    pub failed: u64,
    /// Attempts that were told to wait.
    pub held_back: u64,
    /// Times an address or an account began to be held back.
    pub barred: u64,
}

/// The memory of one door.
#[derive(Debug)]
pub struct GuessGuard {
    limits: Limits,
    tables: Mutex<Tables>,
    failed: AtomicU64,
    held_back: AtomicU64,
    barred: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    addresses: Table<IpAddr>,
    accounts: Table<String>,
    proven: Table<(IpAddr, String)>,
}

impl Default for GuessGuard {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl GuessGuard {
    /// A guard that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tables: Mutex::default(),
            failed: AtomicU64::default(),
            held_back: AtomicU64::default(),
            barred: AtomicU64::default(),
        }
    }

    /// Whether this attempt may be judged now. Asking changes nothing but a counter.
    #[must_use]
    pub fn ask(&self, attempt: &Attempt<'_>, now: Instant) -> Verdict {
        let address = place(attempt.address);
        let account = attempt.account.map(name);
        let wait = {
            let tables = self.tables.lock();
            let pair =
                account.as_ref().and_then(|name| tables.proven.get(&(address, name.clone())));
            match pair {
                Some(pair) => pair.wait(now),
                None => {
                    let here =
                        tables.addresses.get(&address).map_or(Duration::ZERO, |e| e.wait(now));
                    let account = account.as_ref().and_then(|name| tables.accounts.get(name));
                    here.max(account.map_or(Duration::ZERO, |e| e.wait(now)))
                }
            }
        };
        if wait.is_zero() {
            return Verdict::Judge;
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        Verdict::Wait(wait)
    }

    /// The password was wrong, or there is no such account. Gives whom that holds back, if anybody.
    pub fn failed(&self, attempt: &Attempt<'_>, now: Instant) -> Option<Entry> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let limits = &self.limits;
        let address = place(attempt.address);
        let account = attempt.account.map(name);
        let mut tables = self.tables.lock();
        let pair = account.as_ref().map(|name| (address, name.clone()));
        if let Some(pair) = pair.filter(|pair| tables.proven.get(pair).is_some()) {
            let failure = tables.proven.fail(&pair, limits, limits.longest_account, now);
            drop(tables);
            return self.entry(failure, || Subject::Proven(pair.0, pair.1), now);
        }
        let longest = if address.is_loopback() { limits.longest_loopback } else { limits.longest };
        let here = tables.addresses.fail(&address, limits, longest, now);
        let there = account
            .as_ref()
            .map(|name| tables.accounts.fail(name, limits, limits.longest_account, now));
        drop(tables);
        let there = there.and_then(|failure| {
            self.entry(failure, || Subject::Account(account.unwrap_or_default()), now)
        });
        self.entry(here, || Subject::Address(address), now).or(there)
    }

    fn entry(
        &self,
        failure: Failures,
        subject: impl FnOnce() -> Subject,
        now: Instant,
    ) -> Option<Entry> {
        if failure.count <= self.limits.tries {
            return None;
        }
        if failure.count == self.limits.tries + 1 {
            self.barred.fetch_add(1, Ordering::Relaxed);
        }
        Some(failure.shown(subject(), now))
    }

    /// The password was right. Remembers the pair; what the address did before is not forgiven for it.
    pub fn passed(&self, attempt: &Attempt<'_>, now: Instant) {
        let Some(account) = attempt.account else { return };
        let pair = (place(attempt.address), name(account));
        let mut tables = self.tables.lock();
        tables.proven.set(pair, Failures::none(now), self.limits.entries, self.limits.forget, now);
    }

    /// Everybody with failures not yet forgotten, those held back longest first.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<Entry> {
        let forget = self.limits.forget;
        let tables = self.tables.lock();
        let mut all: Vec<Entry> = Vec::new();
        all.extend(tables.addresses.shown(forget, now, |ip| Subject::Address(*ip)));
        all.extend(tables.accounts.shown(forget, now, |name| Subject::Account(name.clone())));
        all.extend(
            tables.proven.shown(forget, now, |(ip, name)| Subject::Proven(*ip, name.clone())),
        );
        drop(tables);
        all.sort_by_key(|entry| std::cmp::Reverse((entry.wait, entry.failures)));
        all
    }

    /// Forgets the failures of an address or an account, or of all; says how many entries that were.
    pub fn clear(&self, who: Option<&str>) -> usize {
        let address = who.and_then(|who| who.parse().ok()).map(place);
        let account = who.map(name);
        let mut tables = self.tables.lock();
        let all = who.is_none();
        tables.addresses.forgive(|ip| all || Some(*ip) == address)
            + tables.accounts.forgive(|name| all || Some(name) == account.as_ref())
            + tables
                .proven
                .forgive(|(ip, name)| all || Some(*ip) == address || Some(name) == account.as_ref())
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            failed: self.failed.load(Ordering::Relaxed),
            held_back: self.held_back.load(Ordering::Relaxed),
            barred: self.barred.load(Ordering::Relaxed),
        }
    }
}

/// What counts as one address: for IPv6 the /64.
#[must_use]
pub fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

/// Longest account name told from others, in bytes.
const MAX_NAME: usize = 96;

fn name(account: &str) -> String {
    let mut end = account.len().min(MAX_NAME);
    while !account.is_char_boundary(end) {
        end -= 1;
    }
    account.get(..end).unwrap_or_default().to_ascii_lowercase()
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// The last failure, or the moment up to which quiet has been counted.
    since: Instant,
    last: Instant,
    /// Nothing is judged before. None until failures cost something: of attempts at the same moment one is noted a little
    /// later than another looks.
    until: Option<Instant>,
}

impl Failures {
    const fn none(now: Instant) -> Self {
        Self { count: 0, since: now, last: now, until: None }
    }

    fn wait(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// How many are left after the quiet so far.
    fn left(&self, forget: Duration, now: Instant) -> u32 {
        let from = self.until.map_or(self.since, |until| until.max(self.since));
        let quiet = now.saturating_duration_since(from);
        let forgotten = quiet.as_millis() / forget.as_millis().max(1);
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn fail(&mut self, limits: &Limits, longest: Duration, now: Instant) {
        self.count = self.left(limits.forget, now).saturating_add(1);
        (self.since, self.last) = (now, now);
        if let Some(doubled) = self.count.checked_sub(limits.tries + 1) {
            let factor = 1_u32.checked_shl(doubled).unwrap_or(u32::MAX);
            self.until = Some(now + limits.first.saturating_mul(factor).min(longest));
            // More would only be waited for again when it is forgotten.
            let enough = limits.tries + 32;
            self.count = self.count.min(enough);
        }
    }

    fn shown(&self, subject: Subject, now: Instant) -> Entry {
        Entry {
            subject,
            failures: self.count,
            wait: self.wait(now),
            ago: now.saturating_duration_since(self.last),
        }
    }
}

/// Entries looked at when one has to give way.
const LOOKED_AT: usize = 16;

#[derive(Debug)]
struct Table<K> {
    slots: Vec<(K, Failures)>,
    index: HashMap<K, usize>,
    hand: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { slots: Vec::new(), index: HashMap::new(), hand: 0 }
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn get(&self, key: &K) -> Option<&Failures> {
        self.index.get(key).and_then(|at| self.slots.get(*at)).map(|(_, failures)| failures)
    }

    fn fail(&mut self, key: &K, limits: &Limits, longest: Duration, now: Instant) -> Failures {
        let mut failures = self.get(key).copied().unwrap_or_else(|| Failures::none(now));
        failures.fail(limits, longest, now);
        self.set(key.clone(), failures, limits.entries, limits.forget, now);
        failures
    }

    fn set(&mut self, key: K, failures: Failures, most: usize, forget: Duration, now: Instant) {
        if let Some(slot) = self.index.get(&key).and_then(|at| self.slots.get_mut(*at)) {
            slot.1 = failures;
            return;
        }
        if self.slots.len() < most.max(1) {
            self.index.insert(key.clone(), self.slots.len());
            self.slots.push((key, failures));
            return;
        }
        let weakest = (0..LOOKED_AT.min(self.slots.len()))
            .map(|step| (self.hand + step) % self.slots.len())
            .min_by_key(|at| {
                self.slots.get(*at).map(|(_, f)| (f.wait(now), f.left(forget, now), f.last))
            });
        self.hand = (self.hand + LOOKED_AT) % self.slots.len();
        if let Some(at) = weakest
            && let Some(slot) = self.slots.get_mut(at)
        {
            self.index.remove(&slot.0);
            *slot = (key.clone(), failures);
            self.index.insert(key, at);
        }
    }

    /// Entries with failures left.
    fn shown<'a>(
        &'a self,
        forget: Duration,
        now: Instant,
        subject: impl Fn(&K) -> Subject + 'a,
    ) -> impl Iterator<Item = Entry> + 'a {
        self.slots.iter().filter_map(move |(key, failures)| {
            let left = failures.left(forget, now);
            (left > 0).then(|| Entry { failures: left, ..failures.shown(subject(key), now) })
        })
    }

    /// Forgets failures, not successes.
    fn forgive(&mut self, meant: impl Fn(&K) -> bool) -> usize {
        let mut forgiven = 0;
        for (key, failures) in &mut self.slots {
            if failures.count > 0 && meant(key) {
                *failures = Failures { until: None, count: 0, ..*failures };
                forgiven += 1;
            }
        }
        forgiven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(address: IpAddr, account: Option<&str>) -> Attempt<'_> {
        Attempt { address, account }
    }

    fn other(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    /// How many guesses are judged within a time, asking without a pause.
    fn judged(guard: &GuessGuard, attempt: &Attempt<'_>, from: Instant, span: Duration) -> u32 {
        let mut count = 0;
        let mut now = from;
        while now < from + span {
            match guard.ask(attempt, now) {
                Verdict::Judge => {
                    guard.failed(attempt, now);
                    count += 1;
                    now += Duration::from_millis(1);
                }
                Verdict::Wait(wait) => now += wait,
            }
        }
        count
    }

    #[test]
    fn what_has_passed_a_moment_later_holds_back_no_attempt_of_now() {
        let guard = GuessGuard::default();
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_millis(5));
        let attempt = at(STRANGER, Some("1000"));
        guard.passed(&attempt, later);
        assert_eq!(guard.ask(&attempt, now), Verdict::Judge);
        guard.failed(&attempt, later);
        assert_eq!(guard.ask(&attempt, now), Verdict::Judge);
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait_up_to_its_longest() {
        let guard = GuessGuard::default();
        let mut now = Instant::now();
        let who = at(STRANGER, None);
        for _ in 0..8 {
            assert_eq!(guard.failed(&who, now), None);
            assert_eq!(guard.ask(&who, now), Verdict::Judge);
        }
        let mut waits = Vec::new();
        for _ in 0..40 {
            let entry = guard.failed(&who, now).unwrap();
            assert_eq!(entry.subject, Subject::Address(STRANGER));
            assert_eq!(guard.ask(&who, now), Verdict::Wait(entry.wait));
            waits.push(entry.wait.as_secs());
            now += entry.wait;
            assert_eq!(guard.ask(&who, now), Verdict::Judge);
        }
        assert_eq!(waits.get(..11).unwrap(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
        assert!(waits.iter().skip(10).all(|&wait| wait == 900));
        assert_eq!(guard.counts(), Counts { failed: 48, held_back: 40, barred: 1 });
    }

    #[test]
    fn a_day_of_guessing_judges_a_hundred_passwords_and_others_do_not_notice() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        let count = judged(&guard, &at(STRANGER, None), now, seconds(86_400));
        assert!((90..130).contains(&count), "{count}");
        assert_eq!(guard.ask(&at(other(1), None), now), Verdict::Judge);
    }

    #[test]
    fn this_machine_waits_two_seconds_at_most() {
        let guard = GuessGuard::default();
        let who = at(IpAddr::from([127, 0, 0, 1]), None);
        let now = Instant::now();
        judged(&guard, &who, now, seconds(600));
        let Verdict::Wait(wait) = guard.ask(&who, now) else { panic!("not held back") };
        assert!(wait <= seconds(602));
        assert_eq!(guard.failed(&who, now + seconds(603)).unwrap().wait, seconds(2));
    }

    #[test]
    fn failures_are_forgotten_one_by_one_in_quiet_times() {
        let guard = GuessGuard::default();
        let mut now = Instant::now();
        let who = at(STRANGER, Some("a@b"));
        // An old password, tried twice a minute for a day, bans nothing.
        for _ in 0..2880 {
            assert_eq!(guard.ask(&who, now), Verdict::Judge);
            assert_eq!(guard.failed(&who, now), None);
            now += seconds(30);
        }
        for _ in 0..9 {
            guard.failed(&who, now);
        }
        assert!(matches!(guard.ask(&who, now), Verdict::Wait(_)));
        assert!(guard.list(now + seconds(61)).len() >= 2);
        assert_eq!(guard.list(now + seconds(300)), []);
    }

    #[test]
    fn many_addresses_guess_at_an_account_no_faster_than_one() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        let mut judged = 0;
        for n in 0..1000 {
            let who = at(other(n), Some("1000@example.com"));
            if guard.ask(&who, now) == Verdict::Judge {
                judged += 1;
                guard.failed(&who, now);
            }
        }
        assert_eq!(judged, 9);
        assert_eq!(guard.ask(&at(other(5000), Some("1001@example.com")), now), Verdict::Judge);
        let wait = guard.list(now).first().unwrap().wait;
        assert!(wait <= seconds(60));
    }

    #[test]
    fn who_has_proved_himself_is_held_back_by_his_own_failures_only() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        let phone = at(STRANGER, Some("1000@example.com"));
        guard.passed(&phone, now);
        let neighbour = at(STRANGER, Some("1001@example.com"));
        for n in 0..50 {
            guard.failed(&neighbour, now);
            guard.failed(&at(other(n), Some("1000@example.com")), now);
        }
        assert_eq!(guard.ask(&phone, now), Verdict::Judge);
        assert!(matches!(guard.ask(&neighbour, now), Verdict::Wait(_)));
        assert!(matches!(
            guard.ask(&at(STRANGER, Some("1002@example.com")), now),
            Verdict::Wait(_)
        ));
        for _ in 0..9 {
            guard.failed(&phone, now);
        }
        assert!(matches!(guard.ask(&phone, now), Verdict::Wait(_)));
        assert!(guard.list(now).iter().any(|entry| matches!(entry.subject, Subject::Proven(..))));
    }

    #[test]
    fn success_does_not_forgive_an_address() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        for n in 0..9 {
            guard.failed(&at(STRANGER, Some(&format!("{n}@example.com"))), now);
            guard.passed(&at(STRANGER, Some("mine@example.com")), now);
        }
        assert!(matches!(guard.ask(&at(STRANGER, Some("x@example.com")), now), Verdict::Wait(_)));
        assert_eq!(guard.ask(&at(STRANGER, Some("mine@example.com")), now), Verdict::Judge);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_kept() {
        let guard = GuessGuard::new(Limits { entries: 64, ..Limits::default() });
        let now = Instant::now();
        for _ in 0..20 {
            guard.failed(&at(STRANGER, Some("victim")), now);
        }
        for n in 0..10_000 {
            let account = format!("{n:0>200}x");
            guard.failed(&at(other(n), Some(&account)), now);
            guard.passed(&at(other(n), Some(&account)), now);
        }
        assert!(matches!(guard.ask(&at(STRANGER, Some("new")), now), Verdict::Wait(_)));
        assert!(matches!(guard.ask(&at(other(77_777), Some("victim")), now), Verdict::Wait(_)));
        let tables = guard.tables.lock();
        assert_eq!(tables.addresses.slots.len(), 64);
        assert_eq!(tables.addresses.index.len(), 64);
        assert!(tables.accounts.slots.len() <= 64 && tables.proven.index.len() == 64);
        assert!(tables.accounts.slots.iter().all(|(name, _)| name.len() <= MAX_NAME));
    }

    #[test]
    fn one_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        for n in 0..9 {
            guard.failed(&at(format!("2001:db8::{n}").parse().unwrap(), None), now);
            guard.failed(&at(format!("::ffff:192.0.2.{}", 1).parse().unwrap(), None), now);
        }
        let held = |ip: &str| guard.ask(&at(ip.parse().unwrap(), None), now) != Verdict::Judge;
        assert!(held("2001:db8::dead:beef:0:1") && held("192.0.2.1"));
        assert!(!held("2001:db8:0:1::1") && !held("192.0.2.2"));
    }

    #[test]
    fn the_list_can_be_cleared_whole_and_in_part() {
        let guard = GuessGuard::default();
        let now = Instant::now();
        for _ in 0..9 {
            guard.failed(&at(STRANGER, Some("A@b")), now);
            guard.failed(&at(other(1), None), now);
        }
        assert_eq!(guard.list(now).len(), 3);
        assert_eq!(guard.clear(Some("192.0.2.1")), 1);
        assert!(matches!(guard.ask(&at(STRANGER, Some("a@B")), now), Verdict::Wait(_)));
        assert_eq!(guard.clear(Some("a@b")), 1);
        assert_eq!(guard.ask(&at(STRANGER, Some("a@b")), now), Verdict::Judge);
        assert_eq!(guard.clear(Some("nobody")), 0);
        assert_eq!(guard.clear(None), 1);
        assert_eq!(guard.list(now), []);
    }
}
