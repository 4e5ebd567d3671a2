//! Receiving digits as RFC 4733 events.

use super::Digit;

/// Milliseconds after which an event whose end never came counts as ended.
const LOST_END_MS: u64 = 300;

/// Longest a key is held, in timestamp units: some minutes. A higher claim is cut.
const LONGEST: u32 = 0x00ff_ffff;

/// Turns telephone-event payloads into digits, each told once however often its packets repeat.
///
/// A digit is told at its first end packet, as the reference does. When all end packets are lost,
/// the next event or [`Receiver::expire`] tells it, with the duration seen last.
#[derive(Debug, Default)]
pub struct Receiver {
    current: Option<Event>,
    last_told: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    digit: Digit,
    timestamp: u32,
    duration: u32,
    seen_ms: u64,
}

impl Receiver {
    /// Takes one payload that arrived at `now_ms` with RTP timestamp `timestamp`. Gives the digit
    /// that ended and its duration in timestamp units.
    pub fn feed(&mut self, payload: &[u8], timestamp: u32, now_ms: u64) -> Option<(Digit, u32)> {
        let &[code, flags, d0, d1] = payload.first_chunk()?;
        let digit = Digit::from_event(code)?;
        let mut duration = u32::from(u16::from_be_bytes([d0, d1]));
        if self.last_told == Some(timestamp) {
            return None;
        }
        let mut missed = None;
        match &self.current {
            Some(event) if event.timestamp == timestamp => {
                // The 16-bit duration of a long event starts again from zero.
                let base = event.duration & !0xffff;
                duration += base;
                if duration.saturating_add(0x8000) < event.duration {
                    duration = duration.saturating_add(0x1_0000);
                }
                duration = duration.max(event.duration).min(LONGEST);
            }
            Some(event) => {
                // A reordered packet of an event before the current one tells nothing new.
                if (timestamp.wrapping_sub(event.timestamp) as i32) < 0 {
                    return None;
                }
                missed = Some((event.digit, event.duration));
            }
            None => {}
        }
        if flags & 0x80 != 0 {
            self.current = None;
            self.last_told = Some(timestamp);
            // If an unfinished event was pending too, it is told now and this one is kept for the
            // next packet or expiry: one digit per call, none lost.
            if let Some(before) = missed {
                self.current = Some(Event { digit, timestamp, duration, seen_ms: now_ms });
                self.last_told = None;
                return Some(before);
            }
            return Some((digit, duration));
        }
        self.current = Some(Event { digit, timestamp, duration, seen_ms: now_ms });
        missed
    }

    /// Tells a digit whose packets stopped coming without an end.
    pub fn expire(&mut self, now_ms: u64) -> Option<(Digit, u32)> {
        let event = self.current?;
        if now_ms.saturating_sub(event.seen_ms) < LOST_END_MS {
            return None;
        }
        self.current = None;
        self.last_told = Some(event.timestamp);
        Some((event.digit, event.duration))
    }

    /// Whether a key is down.
    pub fn active(&self) -> bool {
        self.current.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(code: u8, end: bool, duration: u16) -> [u8; 4] {
        let [d0, d1] = duration.to_be_bytes();
        [code, 10 | if end { 0x80 } else { 0 }, d0, d1]
    }

    fn told(digit: char, duration: u32) -> Option<(Digit, u32)> {
        Some((Digit::new(digit).unwrap(), duration))
    }

    #[test]
    fn a_digit_is_told_once_at_its_first_end_packet() {
        let mut r = Receiver::default();
        assert_eq!(r.feed(&payload(5, false, 160), 1000, 0), None);
        assert_eq!(r.feed(&payload(5, false, 320), 1000, 20), None);
        assert_eq!(r.feed(&payload(5, true, 480), 1000, 40), told('5', 480));
        assert_eq!(r.feed(&payload(5, true, 480), 1000, 41), None);
        assert_eq!(r.feed(&payload(5, false, 320), 1000, 60), None);
        assert_eq!(r.feed(&payload(5, true, 480), 2000, 80), told('5', 480));
    }

    #[test]
    fn a_digit_without_end_packets_is_told_by_the_next_or_by_time() {
        let mut r = Receiver::default();
        assert_eq!(r.feed(&payload(1, false, 800), 1000, 0), None);
        assert_eq!(r.feed(&payload(2, false, 160), 3000, 200), told('1', 800));
        assert_eq!(r.expire(400), None);
        assert_eq!(r.expire(600), told('2', 160));
        assert_eq!(r.expire(2000), None);
    }

    #[test]
    fn an_end_packet_right_after_an_unfinished_digit_loses_neither() {
        let mut r = Receiver::default();
        r.feed(&payload(1, false, 800), 1000, 0);
        assert_eq!(r.feed(&payload(2, true, 900), 3000, 200), told('1', 800));
        assert_eq!(r.feed(&payload(2, true, 900), 3000, 201), told('2', 900));
        assert_eq!(r.feed(&payload(2, true, 900), 3000, 202), None);
    }

    #[test]
    fn a_long_digit_keeps_growing_past_sixteen_bits() {
        let mut r = Receiver::default();
        r.feed(&payload(1, false, 65_000), 1000, 0);
        r.feed(&payload(1, false, 200), 1000, 20);
        assert_eq!(r.feed(&payload(1, true, 400), 1000, 40), told('1', 65_936));
    }

    #[test]
    fn short_and_unknown_payloads_are_ignored() {
        let mut r = Receiver::default();
        assert_eq!(r.feed(&[1, 2, 3], 1, 0), None);
        assert_eq!(r.feed(&payload(40, true, 100), 1, 0), None);
    }
}
