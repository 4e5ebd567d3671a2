//! Sending digits as RFC 4733 events.

use std::collections::VecDeque;

use super::{DigitStep, MAX_STEPS};

/// Times the end packet is sent (RFC 4733 §2.5.1.4), all at once as the reference does.
pub const END_COPIES: u8 = 3;
/// Power level put in every event, in -dBm0.
const VOLUME: u8 = 13;

/// What to send in one packet interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emit {
    /// The event payload.
    pub payload: [u8; 4],
    /// First packet of the digit: it carries the marker bit and a fresh timestamp, which the
    /// packets after it repeat.
    pub first: bool,
    /// How many times to send it (each under its own sequence number).
    pub copies: u8,
}

/// Plays a queue of digits, one step per packet interval. It has no room before the first digit: few legs send any.
#[derive(Debug)]
pub struct Sender {
    queue: VecDeque<DigitStep>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A key is down. Timestamp units.
    Pressing {
        event: u8,
        sofar: u32,
        duration: u32,
    },
    /// Nothing is sent for this many milliseconds more.
    Waiting(u32),
}

impl Default for Sender {
    fn default() -> Self {
        Self { queue: VecDeque::new(), state: State::Idle }
    }
}

impl Sender {
    /// Adds steps; those beyond [`MAX_STEPS`] waiting are dropped.
    pub fn push(&mut self, step: DigitStep) {
        if self.queue.len() < MAX_STEPS {
            self.queue.push_back(step);
        }
    }

    /// Forgets what has not begun.
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Whether there is something to do at the next interval.
    pub fn busy(&self) -> bool {
        self.state != State::Idle || !self.queue.is_empty()
    }

    /// Whether events take the place of audio right now.
    pub fn pressing(&self) -> bool {
        matches!(self.state, State::Pressing { .. })
            || (self.state == State::Idle && !self.queue.is_empty())
    }

    /// One packet interval of `ms` milliseconds at `rate` timestamp units per second, with a pause
    /// of `gap_ms` after each digit.
    pub fn tick(&mut self, ms: u32, rate: u32, gap_ms: u32) -> Option<Emit> {
        let frame = rate / 1000 * ms;
        if let State::Waiting(left) = self.state {
            if left > ms {
                self.state = State::Waiting(left - ms);
                return None;
            }
            self.state = State::Idle;
        }
        let first = self.state == State::Idle;
        if first {
            match self.queue.pop_front()? {
                DigitStep::Pause { ms: pause } => {
                    self.state = State::Waiting(pause);
                    return None;
                }
                DigitStep::Press { digit, duration } => {
                    let duration = (u64::from(duration) * u64::from(rate) / 8000) as u32;
                    self.state = State::Pressing { event: digit.event(), sofar: 0, duration };
                }
            }
        }
        let State::Pressing { event, sofar, duration } = self.state else { return None };
        let sofar = sofar + frame;
        // The first packet never is the last: a receiver must see a beginning.
        if sofar >= duration && !first {
            self.state = if gap_ms > 0 { State::Waiting(gap_ms) } else { State::Idle };
            return Some(Emit {
                payload: payload(event, true, duration),
                first,
                copies: END_COPIES,
            });
        }
        self.state = State::Pressing { event, sofar, duration };
        Some(Emit { payload: payload(event, false, sofar.min(duration)), first, copies: 1 })
    }
}

fn payload(event: u8, end: bool, duration: u32) -> [u8; 4] {
    // Longer than 16 bits: the field stays at its largest value rather than starting over.
    let [d0, d1] = u16::try_from(duration).unwrap_or(u16::MAX).to_be_bytes();
    [event, VOLUME | if end { 0x80 } else { 0 }, d0, d1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::Digit;

    fn press(c: char, duration: u32) -> DigitStep {
        DigitStep::Press { digit: Digit::new(c).unwrap(), duration }
    }

    #[test]
    fn a_digit_is_a_marked_start_growing_updates_and_three_ends() {
        let mut s = Sender::default();
        s.push(press('7', 480));
        let emits: Vec<_> = (0..4).map(|_| s.tick(20, 8000, 40)).collect();
        let emit = |flags, duration: u16, first, copies| {
            let [d0, d1] = duration.to_be_bytes();
            Some(Emit { payload: [7, flags, d0, d1], first, copies })
        };
        assert_eq!(
            emits,
            [emit(13, 160, true, 1), emit(13, 320, false, 1), emit(0x80 | 13, 480, false, 3), None]
        );
    }

    #[test]
    fn digits_are_apart_by_the_gap_and_pauses_are_waited() {
        let mut s = Sender::default();
        s.push(press('1', 400));
        s.push(DigitStep::Pause { ms: 60 });
        s.push(press('2', 400));
        let mut starts = Vec::new();
        for interval in 0..20 {
            if s.tick(20, 8000, 40).is_some_and(|e| e.first) {
                starts.push(interval);
            }
        }
        // 3 intervals of digit, 2 of gap, 1 + 3 of pause
        assert_eq!(starts, [0, 7]);
        assert!(!s.busy());
    }

    #[test]
    fn durations_follow_the_clock_of_the_codec() {
        let mut s = Sender::default();
        s.push(press('1', 400));
        let durations: Vec<u16> = (0..3)
            .filter_map(|_| s.tick(20, 16_000, 40))
            .map(|e| u16::from_be_bytes([e.payload[2], e.payload[3]]))
            .collect();
        assert_eq!(durations, [320, 640, 800]);
    }
}
