//! Digits: their names, their spelling in commands, and how they travel.

pub mod inband;
pub mod receive;
pub mod send;
pub mod tones;

use std::fmt;

/// One key of a telephone: `0`-`9`, `*`, `#`, `A`-`D`, or `F` (hook flash).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The key written `c`; lower case letters are taken too.
    pub fn new(c: char) -> Option<Self> {
        let event = match c.to_ascii_uppercase() {
            d @ '0'..='9' => d as u8 - b'0',
            '*' => 10,
            '#' => 11,
            l @ 'A'..='D' => l as u8 - b'A' + 12,
            'F' => 16,
            _ => return None,
        };
        Some(Self(event))
    }

    /// The key with RFC 4733 event code `code`.
    pub fn from_event(code: u8) -> Option<Self> {
        (code <= 16).then_some(Self(code))
    }

    /// RFC 4733 event code, 0-16.
    pub fn event(self) -> u8 {
        self.0
    }

    /// How the key is written.
    pub fn as_char(self) -> char {
        match self.0 {
            d @ 0..=9 => (b'0' + d) as char,
            10 => '*',
            11 => '#',
            l @ 12..=15 => (b'A' + l - 12) as char,
            _ => 'F',
        }
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// One step of a digit string to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitStep {
    /// Press a key for `duration` 8 kHz units (8 per millisecond).
    Press {
        /// The key.
        digit: Digit,
        /// 8 kHz units.
        duration: u32,
    },
    /// Wait.
    Pause {
        /// Milliseconds.
        ms: u32,
    },
}

/// Shortest digit, in 8 kHz units.
pub const MIN_DURATION: u32 = 400;
/// Longest digit, in 8 kHz units.
pub const MAX_DURATION: u32 = 192_000;
/// Duration used when none is given, in 8 kHz units.
pub const DEFAULT_DURATION: u32 = 2000;
/// Most steps one digit string may have.
pub const MAX_STEPS: usize = 128;

/// Reads a digit string as `send_dtmf` and `uuid_send_dtmf` take it: `1234#`, `12@150` (150 ms
/// each), `1@100+2@200`, with `w` = half a second and `W` = one second of pause. Characters that
/// are no digits are passed over. `default_duration` is in 8 kHz units.
pub fn parse_digits(text: &str, default_duration: u32) -> Vec<DigitStep> {
    let mut steps = Vec::new();
    for part in text.split('+') {
        let (digits, duration) = match part.split_once('@') {
            Some((digits, ms)) => {
                let ms = ms.trim().parse::<u32>().unwrap_or(0);
                (digits, if ms == 0 { default_duration } else { ms.saturating_mul(8) })
            }
            None => (part, default_duration),
        };
        let duration = clamp_duration(duration);
        for c in digits.chars() {
            let step = match c {
                'w' => DigitStep::Pause { ms: 500 },
                'W' => DigitStep::Pause { ms: 1000 },
                _ => match Digit::new(c) {
                    Some(digit) => DigitStep::Press { digit, duration },
                    None => continue,
                },
            };
            if steps.len() < MAX_STEPS {
                steps.push(step);
            }
        }
    }
    steps
}

/// Brings a duration (8 kHz units) into the allowed range.
pub fn clamp_duration(duration: u32) -> u32 {
    duration.clamp(MIN_DURATION, MAX_DURATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_strings_carry_durations_and_pauses() {
        let press = |c, duration| DigitStep::Press { digit: Digit::new(c).unwrap(), duration };
        assert_eq!(parse_digits("1#", 2000), [press('1', 2000), press('#', 2000)]);
        assert_eq!(parse_digits("1@100+2@10", 2000), [press('1', 800), press('2', 400)]);
        assert_eq!(
            parse_digits("awW?", 2000),
            [press('A', 2000), DigitStep::Pause { ms: 500 }, DigitStep::Pause { ms: 1000 }]
        );
    }

    #[test]
    fn every_event_code_is_one_key() {
        for code in 0..=16 {
            let digit = Digit::from_event(code).unwrap();
            assert_eq!(Digit::new(digit.as_char()), Some(digit));
        }
        assert_eq!(Digit::from_event(17), None);
    }
}
