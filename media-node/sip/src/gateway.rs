//! The life of one gateway: registering, refreshing, failing, waiting, pinging. A state machine on a
//! one-second tick, without socket or clock, as the reference keeps it.

use std::time::{Duration, Instant};

/// A refresh goes out this long before the registration ends.
const REFRESH_AHEAD: u32 = 15;
/// How often one registration is asked for again because the registrar wants a longer lifetime.
const MOST_EXTENSIONS: u8 = 3;
/// Reply status that stands for "no response".
pub const LOCAL_TIMEOUT: u16 = 908;

/// State, with the reference's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as the reference prints them.
pub enum State {
    Unreged,
    Trying,
    Register,
    Reged,
    Unregister,
    Failed,
    FailWait,
    Noreg,
    Down,
    Timeout,
}

impl State {
    /// The word in events and listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreged => "UNREGED",
            Self::Trying => "TRYING",
            Self::Register => "REGISTER",
            Self::Reged => "REGED",
            Self::Unregister => "UNREGISTER",
            Self::Failed => "FAILED",
            Self::FailWait => "FAIL_WAIT",
            Self::Noreg => "NOREG",
            Self::Down => "DOWN",
            Self::Timeout => "TIMEOUT",
        }
    }
}

/// Settings, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// False: the gateway never registers.
    pub register: bool,
    /// Lifetime asked for.
    pub expires: u32,
    /// Wait after a failure, multiplied by the number of failures.
    pub retry: u32,
    /// Wait after [`LOCAL_TIMEOUT`], when set apart.
    pub retry_timeout: Option<u32>,
    /// Patience with one REGISTER.
    pub timeout: u32,
    /// Interval of OPTIONS pings; `None`: none.
    pub ping: Option<u32>,
    /// Successes needed to be up.
    pub ping_min: i32,
    /// Successes counted at most.
    pub ping_max: i32,
}

/// What the owner must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send REGISTER with this lifetime; 0 unregisters.
    Register(u32),
    /// Send OPTIONS.
    Ping,
    /// Tell that the state changed; with the reply that did it.
    State(State, Option<(u16, String)>),
    /// Tell that pings changed the status.
    PingStatus,
}

/// One gateway's registration and reachability.
#[derive(Clone, Debug)]
pub struct Registration {
    timing: Timing,
    /// Lifetime the registrar insists on at least, once it has said so (423).
    least_expires: u32,
    /// Times the present attempt was asked for again with a longer lifetime.
    extended: u8,
    state: State,
    up: bool,
    failures: u32,
    last_status: u16,
    deadline: Option<Instant>,
    granted: Option<u32>,
    ping_count: i32,
    next_ping: Option<Instant>,
    up_since: Option<Instant>,
}

impl Registration {
    /// A gateway that has just been loaded.
    pub fn new(now: Instant, timing: Timing) -> Self {
        let state = if timing.register { State::Unreged } else { State::Noreg };
        Self {
            timing,
            least_expires: 0,
            extended: 0,
            state,
            up: !timing.register,
            failures: 0,
            last_status: 0,
            deadline: None,
            granted: None,
            ping_count: 0,
            next_ping: timing.ping.map(|s| now + Duration::from_secs(s.into())),
            up_since: (!timing.register).then_some(now),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// True while calls may go out.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// When it became up.
    pub fn up_since(&self) -> Option<Instant> {
        self.up_since.filter(|_| self.up)
    }

    /// Successful pings counted.
    pub fn ping_count(&self) -> i32 {
        self.ping_count
    }

    /// When the next ping goes out.
    pub fn next_ping(&self) -> Option<Instant> {
        self.next_ping
    }

    /// When the present wait ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Registers now (`sofia profile X register`). False for a gateway that never registers.
    pub fn register(&mut self) -> bool {
        if self.timing.register {
            self.deadline = None;
            self.state = State::Unreged;
        }
        self.timing.register
    }

    /// Unregisters at the next tick. False for a gateway that never registers.
    pub fn unregister(&mut self) -> bool {
        if self.timing.register {
            self.state = State::Unregister;
        }
        self.timing.register
    }

    /// One second has passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.state {
            State::Unreged => {
                self.deadline = Some(now + secs(self.timing.timeout));
                self.extended = 0;
                self.enter(State::Trying, None, &mut actions);
                actions.push(Action::Register(self.expires()));
            }
            State::Trying if self.due(now) => {
                self.last_status = LOCAL_TIMEOUT;
                self.failures += 1;
                self.enter(State::Timeout, None, &mut actions);
            }
            State::Timeout => self.enter(State::Failed, None, &mut actions),
            State::Register => {
                self.failures = 0;
                self.up_since = Some(now);
                self.up = true;
                self.deadline = Some(now + secs(self.refresh_after()));
                self.enter(State::Reged, None, &mut actions);
            }
            State::Reged if self.due(now) => self.state = State::Unreged,
            State::Failed => {
                self.up = false;
                self.deadline = now.checked_add(Duration::from_secs(self.wait()));
                self.enter(State::FailWait, None, &mut actions);
            }
            State::FailWait if self.due(now) => self.state = State::Unreged,
            State::Unregister => {
                self.enter(State::Down, None, &mut actions);
                actions.push(Action::Register(0));
            }
            _ => {}
        }
        let pings = matches!(self.state, State::Noreg | State::Reged);
        if let Some(interval) =
            self.timing.ping.filter(|_| pings && self.next_ping.is_some_and(|at| at <= now))
        {
            self.next_ping = Some(now + secs(interval));
            actions.push(Action::Ping);
        }
        actions
    }

    /// A 423 to a REGISTER, with its `Min-Expires`: asks again at once for the lifetime the registrar wants, now and in
    /// future (RFC 3261 §10.2.8). `None` when that makes no difference; then it is a failure like others.
    pub fn on_too_brief(&mut self, least: u32) -> Option<Action> {
        if self.state != State::Trying
            || least <= self.expires()
            || self.extended >= MOST_EXTENSIONS
        {
            return None;
        }
        self.extended += 1;
        self.least_expires = least;
        Some(Action::Register(least))
    }

    /// The final reply to a REGISTER; `granted` is the lifetime of our contact in a 2xx.
    pub fn on_reply(&mut self, status: u16, phrase: &str, granted: Option<u32>) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state != State::Trying {
            return actions;
        }
        self.last_status = status;
        let reply = Some((status, phrase.to_owned()));
        if (200..300).contains(&status) {
            self.granted = granted;
            self.enter(State::Register, reply, &mut actions);
        } else {
            self.failures += 1;
            self.enter(State::Failed, reply, &mut actions);
        }
        actions
    }

    /// The final reply to a ping, `None` when there was none.
    pub fn on_ping(&mut self, now: Instant, status: Option<u16>) -> Vec<Action> {
        let alive = status.is_some_and(|s| (200..600).contains(&s) && s != 408 && s != 503);
        let was_up = self.up;
        if alive {
            self.ping_count = if self.ping_count < 0 {
                0
            } else {
                (self.ping_count + 1).min(self.timing.ping_max)
            };
            if self.ping_count >= self.timing.ping_min && !self.up {
                self.up = true;
                self.up_since = Some(now);
                if self.state == State::Failed {
                    self.state = State::Unreged;
                }
            }
        } else {
            if self.state == State::Reged {
                self.state = State::Failed;
            }
            if self.ping_count > 0 {
                self.ping_count -= 1;
            }
            if self.ping_count < self.timing.ping_min {
                self.up = false;
            }
        }
        if was_up == self.up { Vec::new() } else { vec![Action::PingStatus] }
    }

    fn enter(&mut self, state: State, reply: Option<(u16, String)>, actions: &mut Vec<Action>) {
        self.state = state;
        actions.push(Action::State(state, reply));
    }

    /// Lifetime to ask for.
    fn expires(&self) -> u32 {
        self.timing.expires.max(self.least_expires)
    }

    fn due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }

    /// The earlier of what was configured and what was granted.
    fn refresh_after(&self) -> u32 {
        let ahead = |e: u32| if e > 2 * REFRESH_AHEAD { e - REFRESH_AHEAD } else { (e / 2).max(1) };
        let configured = ahead(self.expires());
        self.granted.map_or(configured, |granted| configured.min(ahead(granted)))
    }

    fn wait(&self) -> u64 {
        let retry = u64::from(self.timing.retry);
        match (self.last_status, self.timing.retry_timeout) {
            (LOCAL_TIMEOUT, Some(own)) => own.into(),
            (503 | LOCAL_TIMEOUT, _) => retry,
            _ => retry * u64::from(self.failures.max(1)),
        }
    }
}

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        register: true,
        expires: 900,
        retry: 30,
        retry_timeout: None,
        timeout: 60,
        ping: None,
        ping_min: 1,
        ping_max: 1,
    };

    fn states(actions: &[Action]) -> Vec<State> {
        actions
            .iter()
            .filter_map(|a| if let Action::State(s, _) = a { Some(*s) } else { None })
            .collect()
    }

    #[test]
    fn registers_and_refreshes_ahead_of_time() {
        let start = Instant::now();
        let mut gateway = Registration::new(start, TIMING);
        assert_eq!(
            gateway.tick(start),
            [Action::State(State::Trying, None), Action::Register(900)]
        );
        let reply = gateway.on_reply(200, "OK", Some(120));
        assert_eq!(reply, [Action::State(State::Register, Some((200, "OK".into())))]);
        assert!(!gateway.is_up());
        assert_eq!(states(&gateway.tick(start)), [State::Reged]);
        assert!(gateway.is_up());
        assert!(gateway.tick(start + secs(104)).is_empty());
        gateway.tick(start + secs(105));
        assert_eq!(gateway.tick(start + secs(106)).last(), Some(&Action::Register(900)));
    }

    #[test]
    fn failures_wait_longer_each_time() {
        let mut now = Instant::now();
        let mut gateway = Registration::new(now, TIMING);
        for failures in 1..4u32 {
            gateway.tick(now);
            assert_eq!(states(&gateway.on_reply(403, "Forbidden", None)), [State::Failed]);
            gateway.tick(now);
            assert_eq!((gateway.state(), gateway.is_up()), (State::FailWait, false));
            now += secs(30 * failures);
            gateway.tick(now);
            assert_eq!(gateway.state(), State::Unreged);
        }
    }

    #[test]
    fn a_longer_lifetime_is_asked_for_when_the_registrar_wants_it() {
        let start = Instant::now();
        let mut gateway = Registration::new(start, TIMING);
        gateway.tick(start);
        assert_eq!(gateway.on_too_brief(900), None);
        assert_eq!(gateway.on_too_brief(1800), Some(Action::Register(1800)));
        gateway.on_reply(200, "OK", Some(1800));
        assert_eq!(states(&gateway.tick(start)), [State::Reged]);
        assert!(gateway.tick(start + secs(1784)).is_empty());
        gateway.tick(start + secs(1785));
        assert_eq!(gateway.tick(start + secs(1786)).last(), Some(&Action::Register(1800)));
        for least in 1801..=1803 {
            assert_eq!(gateway.on_too_brief(least), Some(Action::Register(least)));
        }
        assert_eq!(gateway.on_too_brief(1804), None);
    }

    #[test]
    fn silence_times_out() {
        let start = Instant::now();
        let mut gateway = Registration::new(start, TIMING);
        gateway.tick(start);
        assert!(gateway.tick(start + secs(59)).is_empty());
        assert_eq!(states(&gateway.tick(start + secs(60))), [State::Timeout]);
        assert!(gateway.on_reply(200, "OK", None).is_empty());
        assert_eq!(states(&gateway.tick(start + secs(61))), [State::Failed]);
        gateway.tick(start + secs(62));
        assert_eq!(gateway.deadline(), Some(start + secs(92)));
    }

    #[test]
    fn pings_take_a_gateway_down_and_up() {
        let start = Instant::now();
        let timing = Timing { register: false, ping: Some(5), ping_min: 1, ping_max: 3, ..TIMING };
        let mut gateway = Registration::new(start, timing);
        assert_eq!((gateway.state(), gateway.is_up()), (State::Noreg, true));
        assert!(gateway.tick(start + secs(4)).is_empty());
        assert_eq!(gateway.tick(start + secs(5)), [Action::Ping]);
        assert_eq!(gateway.on_ping(start, None), [Action::PingStatus]);
        assert!(!gateway.is_up());
        assert_eq!(gateway.on_ping(start, Some(404)), [Action::PingStatus]);
        assert!(gateway.is_up());
        assert!(gateway.on_ping(start, Some(200)).is_empty());
        assert!(gateway.on_ping(start, Some(503)).is_empty());
        assert_eq!(gateway.ping_count(), 1);
    }

    #[test]
    fn unregistering_says_goodbye() {
        let now = Instant::now();
        let mut gateway = Registration::new(now, TIMING);
        assert!(gateway.unregister());
        assert_eq!(gateway.tick(now), [Action::State(State::Down, None), Action::Register(0)]);
        assert!(gateway.tick(now).is_empty());
    }
}
