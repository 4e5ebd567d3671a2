//! From what a leg's counters say of an interval to the state its audio is in (sans-IO).

use media::stats::Quality;

/// The state of a leg's audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Within the limits.
    #[default]
    Good,
    /// Beyond a limit of loss, jitter, round trip or score.
    Degraded,
    /// Packets flow one way only, and both were agreed on.
    OneWay,
    /// No packets flow.
    Silent,
}

impl State {
    /// All of them, best first.
    pub(crate) const ALL: [Self; 4] = [Self::Good, Self::Degraded, Self::OneWay, Self::Silent];

    /// The word in events and variables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::OneWay => "one-way",
            Self::Silent => "silent",
        }
    }
}

/// From where on audio is degraded (`media_quality.conf`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Share of packets lost, percent.
    pub(crate) loss_percent: f64,
    /// Interarrival jitter, milliseconds.
    pub(crate) jitter_ms: f64,
    /// Round trip, milliseconds.
    pub(crate) round_trip_ms: f64,
    /// Score below which it is.
    pub(crate) mos: f64,
    /// Seconds without packets until a direction counts as silent.
    pub(crate) silent_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            loss_percent: 5.0,
            jitter_ms: 80.0,
            round_trip_ms: 800.0,
            mos: 3.1,
            silent_seconds: 10,
        }
    }
}

/// What is expected of a leg, and what an interval brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Packets of the far end are expected (direction, hold).
    pub(crate) expects_in: bool,
    /// Packets of ours are: there is a partner whose audio is passed on.
    pub(crate) expects_out: bool,
    /// Packets received in the interval.
    pub(crate) packets_in: u64,
    /// Packets sent in the interval.
    pub(crate) packets_out: u64,
    /// The figures of the interval.
    pub(crate) quality: Quality,
}

/// What one interval says, and the reason.
pub(crate) fn judge(seen: &Seen, limits: &Limits) -> (State, &'static str) {
    let missing_in = seen.expects_in && seen.packets_in == 0;
    let missing_out = seen.expects_out && seen.packets_out == 0;
    match (missing_in, missing_out) {
        (true, true) => return (State::Silent, "nothing is received or sent"),
        (true, false) if seen.packets_out == 0 => return (State::Silent, "nothing is received"),
        (true, false) => return (State::OneWay, "nothing is received"),
        (false, true) if seen.packets_in > 0 => return (State::OneWay, "nothing is sent"),
        (false, true) => return (State::Silent, "nothing is sent"),
        (false, false) => {}
    }
    let Quality { inbound, outbound, round_trip_ms } = seen.quality;
    if round_trip_ms.is_some_and(|ms| ms > limits.round_trip_ms) {
        return (State::Degraded, "round trip");
    }
    let ways = [
        (inbound, ["loss inbound", "jitter inbound", "score inbound"]),
        (outbound, ["loss outbound", "jitter outbound", "score outbound"]),
    ];
    for (way, [loss, jitter, score]) in ways {
        let Some(way) = way else { continue };
        if way.loss_percent > limits.loss_percent {
            return (State::Degraded, loss);
        }
        if way.jitter_ms > limits.jitter_ms {
            return (State::Degraded, jitter);
        }
        if way.mos < limits.mos {
            return (State::Degraded, score);
        }
    }
    (State::Good, "")
}

/// Follows a leg's state: a change counts when it has lasted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Follower {
    state: State,
    candidate: State,
    /// Seconds the candidate has lasted.
    lasted: u64,
    /// Seconds in each state, in the order of [`State::ALL`].
    seconds: [u64; 4],
    worst: State,
}

impl Follower {
    /// The state now.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// The worst state so far.
    pub(crate) const fn worst(&self) -> State {
        self.worst
    }

    /// Seconds spent in a state.
    pub(crate) const fn seconds(&self, state: State) -> u64 {
        self.seconds[state as usize]
    }

    /// Takes what an interval of `seconds` says. Gives the state left when there is a new one: after two intervals in a row,
    /// or `silent_seconds` for directions without packets.
    pub(crate) fn take(&mut self, says: State, seconds: u64, limits: &Limits) -> Option<State> {
        self.seconds[self.state as usize] += seconds;
        if says == self.state {
            (self.candidate, self.lasted) = (says, 0);
            return None;
        }
        let dead = says >= State::OneWay;
        // From one-way to silent and back is one story: what lasts is that packets are missing.
        let same = says == self.candidate || dead && self.candidate >= State::OneWay;
        self.lasted = if same { self.lasted + seconds } else { seconds };
        self.candidate = says;
        let needed = if dead { limits.silent_seconds.max(1) } else { 2 * seconds };
        if self.lasted < needed {
            return None;
        }
        let left = std::mem::replace(&mut self.state, says);
        self.worst = self.worst.max(says);
        self.lasted = 0;
        Some(left)
    }

    /// Nothing can be said at the moment (a hold): what had begun to change is forgotten.
    pub(crate) fn pause(&mut self) {
        (self.candidate, self.lasted) = (self.state, 0);
    }
}

#[cfg(test)]
mod tests {
    use media::stats::Way;

    use super::*;

    fn flowing() -> Seen {
        let way = Way { packets: 250, mos: 4.4, ..Way::default() };
        Seen {
            expects_in: true,
            expects_out: true,
            packets_in: 250,
            packets_out: 250,
            quality: Quality { inbound: Some(way), outbound: Some(way), round_trip_ms: Some(20.0) },
        }
    }

    fn said(change: impl FnOnce(&mut Seen)) -> (State, &'static str) {
        let mut seen = flowing();
        change(&mut seen);
        judge(&seen, &Limits::default())
    }

    #[test]
    fn each_limit_is_told_with_its_direction() {
        assert_eq!(said(|_| {}), (State::Good, ""));
        let outbound = |seen: &mut Seen| seen.quality.outbound.as_mut().unwrap().loss_percent = 6.0;
        assert_eq!(said(outbound), (State::Degraded, "loss outbound"));
        let jitter = |seen: &mut Seen| seen.quality.inbound.as_mut().unwrap().jitter_ms = 90.0;
        assert_eq!(said(jitter), (State::Degraded, "jitter inbound"));
        assert_eq!(said(|seen| seen.quality.round_trip_ms = Some(900.0)).1, "round trip");
        assert_eq!(
            said(|seen| seen.quality.inbound.as_mut().unwrap().mos = 3.0).1,
            "score inbound"
        );
    }

    #[test]
    fn a_missing_direction_is_one_way_and_two_are_silence() {
        assert_eq!(said(|seen| seen.packets_in = 0), (State::OneWay, "nothing is received"));
        assert_eq!(said(|seen| seen.packets_out = 0), (State::OneWay, "nothing is sent"));
        assert_eq!(said(|seen| (seen.packets_in, seen.packets_out) = (0, 0)).0, State::Silent);
        // A parked leg sends nothing, a leg on hold receives nothing.
        assert_eq!(said(|seen| (seen.packets_out, seen.expects_out) = (0, false)).0, State::Good);
        assert_eq!(said(|seen| (seen.packets_in, seen.expects_in) = (0, false)).0, State::Good);
    }

    #[test]
    fn a_change_counts_when_it_has_lasted() {
        let (mut follower, limits) = (Follower::default(), Limits::default());
        assert_eq!(follower.take(State::Degraded, 5, &limits), None);
        assert_eq!(follower.take(State::Good, 5, &limits), None);
        assert_eq!(follower.take(State::Degraded, 5, &limits), None);
        assert_eq!(follower.take(State::Degraded, 5, &limits), Some(State::Good));
        assert_eq!((follower.state(), follower.worst()), (State::Degraded, State::Degraded));
        assert_eq!(follower.take(State::OneWay, 5, &limits), None);
        assert_eq!(follower.take(State::Silent, 5, &limits), Some(State::Degraded));
        assert_eq!(follower.take(State::Good, 5, &limits), None);
        follower.pause();
        assert_eq!(follower.take(State::Good, 5, &limits), None);
        assert_eq!(follower.take(State::Good, 5, &limits), Some(State::Silent));
        assert_eq!(follower.worst(), State::Silent);
        assert_eq!((follower.seconds(State::Good), follower.seconds(State::Degraded)), (20, 10));
    }
}
