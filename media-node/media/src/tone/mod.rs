//! Tone descriptions (TGML): `%(2000,4000,440,480)`, `v=-7;%(100,0,350);d=100;w=50;123#`, `L=3;`.
//!
//! Grammar, element by element, separators optional:
//! - `%(on,off,f1[,f2...])`: those frequencies together for `on` ms, then `off` ms of silence;
//! - a key `0-9 * # A-D`: its two tones for the current duration and wait;
//! - `v=N` level in dBm0 per frequency (-63 to 0), `d=ms` and `w=ms` duration and wait of keys,
//!   `>=ms` / `<=ms` fade out / in by one step every so many ms, `+=N` size of that step in dB,
//!   `l=N` times each following element is played, `L=N` times the whole is played (-1 = without limit),
//!   `r=` and `c=` (rate, channels) are read and ignored: the leg decides those.

mod detect;
mod generator;

pub use detect::ToneDetector;
pub use generator::Generator;

/// Frequencies one element may sound at once.
pub const MAX_FREQUENCIES: usize = 18;
/// Elements one description may have.
pub const MAX_ELEMENTS: usize = 512;
/// Longest sound or silence of one element, in milliseconds.
const MAX_MS: f64 = 24.0 * 3600.0 * 1000.0;
/// Length of a key unless `d=` says otherwise: 2000 samples at 8 kHz, as the reference has it.
const KEY_MS: f64 = 250.0;
/// Pause after a key unless `w=` says otherwise: 500 samples at 8 kHz.
const KEY_WAIT_MS: f64 = 62.5;
/// Level unless `v=` says otherwise, dBm0.
const LEVEL: f32 = -7.0;

/// A parsed description.
#[derive(Debug, Clone, PartialEq)]
pub struct Tones {
    pub(crate) elements: Vec<Element>,
    pub(crate) loops: Loops,
}

/// How often something is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loops {
    /// So many times.
    Times(u32),
    /// For ever.
    Endless,
}

/// Frequencies, then silence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Element {
    pub(crate) on_ms: f64,
    pub(crate) off_ms: f64,
    pub(crate) frequencies: Vec<f32>,
    pub(crate) level: f32,
    pub(crate) fade: Option<Fade>,
    pub(crate) times: u32,
}

/// A level that changes while an element sounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fade {
    pub(crate) every_ms: f64,
    pub(crate) step: f32,
}

/// A mistake in a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct ToneError {
    /// Where, counted in octets from the start.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

struct Settings {
    on_ms: f64,
    off_ms: f64,
    level: f32,
    fade_ms: f64,
    fade_sign: f32,
    fade_step: f32,
    times: u32,
}

impl Tones {
    /// Reads a description.
    ///
    /// # Errors
    /// With the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, ToneError> {
        Parser { text, at: 0 }.run()
    }

    /// Plays the whole so many times instead of as often as the description says.
    #[must_use]
    pub fn looped(mut self, loops: Loops) -> Self {
        self.loops = loops;
        self
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Tones, ToneError> {
        let mut tones = Tones { elements: Vec::new(), loops: Loops::Times(1) };
        let mut set = Settings {
            on_ms: KEY_MS,
            off_ms: KEY_WAIT_MS,
            level: LEVEL,
            fade_ms: 0.0,
            fade_sign: 0.0,
            fade_step: 1.0,
            times: 1,
        };
        while let Some(c) = self.rest().chars().next() {
            let element = if self.rest().get(1..2) == Some("=") {
                self.setting(c, &mut set, &mut tones.loops)?;
                None
            } else if c == '%' {
                Some(self.explicit(&set)?)
            } else {
                self.at += c.len_utf8();
                key_frequencies(c).map(|f| set.element(set.on_ms, set.off_ms, f.to_vec()))
            };
            if let Some(element) = element {
                if tones.elements.len() == MAX_ELEMENTS {
                    return Err(self.error("too many elements"));
                }
                tones.elements.push(element);
            }
        }
        Ok(tones)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> ToneError {
        ToneError { at: self.at, what }
    }

    fn setting(&mut self, c: char, set: &mut Settings, loops: &mut Loops) -> Result<(), ToneError> {
        let value = self.rest().get(2..).unwrap_or_default();
        let end = value.find(';').unwrap_or(value.len());
        let word = value.get(..end).unwrap_or_default().trim();
        let number = word.parse::<f64>().ok().filter(|n| n.is_finite());
        let Some(number) = number else { return Err(self.error("a number belongs after `=`")) };
        let ms = number.clamp(0.0, MAX_MS);
        match c {
            'v' => set.level = (number as f32).clamp(-63.0, 0.0),
            'd' => set.on_ms = ms,
            'w' => set.off_ms = ms,
            '>' => (set.fade_ms, set.fade_sign) = (ms, -1.0),
            '<' => (set.fade_ms, set.fade_sign) = (ms, 1.0),
            '+' => set.fade_step = (number as f32).clamp(0.0, 63.0),
            'l' => set.times = number.clamp(1.0, 1e6) as u32,
            'L' if number < 0.0 => *loops = Loops::Endless,
            'L' => *loops = Loops::Times(number.clamp(1.0, 1e9) as u32),
            'r' | 'c' => {}
            _ => return Err(self.error("unknown setting")),
        }
        self.at += 2 + end;
        Ok(())
    }

    fn explicit(&mut self, set: &Settings) -> Result<Element, ToneError> {
        let inside = self.rest().strip_prefix("%(").ok_or(self.error("`(` belongs after `%`"))?;
        let end = inside.find(')').ok_or(self.error("`%(` without `)`"))?;
        let mut numbers = Vec::with_capacity(4);
        for word in inside.get(..end).unwrap_or_default().split(',') {
            let number = word.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
            numbers.push(number.ok_or(self.error("not a number"))?);
            if numbers.len() > MAX_FREQUENCIES + 2 {
                return Err(self.error("too many frequencies"));
            }
        }
        let &[on, off, ref frequencies @ ..] = numbers.as_slice() else {
            return Err(self.error("`%(on,off,frequency...)` is needed"));
        };
        let frequencies = frequencies.iter().map(|f| *f as f32).filter(|f| *f > 0.0).collect();
        self.at += 2 + end + 1;
        Ok(set.element(on.min(MAX_MS), off.min(MAX_MS), frequencies))
    }
}

impl Settings {
    fn element(&self, on_ms: f64, off_ms: f64, frequencies: Vec<f32>) -> Element {
        let fade = (self.fade_ms > 0.0)
            .then_some(Fade { every_ms: self.fade_ms, step: self.fade_step * self.fade_sign });
        Element { on_ms, off_ms, frequencies, level: self.level, fade, times: self.times }
    }
}

pub(crate) fn key_frequencies(c: char) -> Option<[f32; 2]> {
    const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let key = "123A456B789C*0#D".find(c.to_ascii_uppercase())?;
    Some([*ROWS.get(key / 4)?, *COLUMNS.get(key % 4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_elements_settings_and_keys() {
        let tones = Tones::parse("v=-20;L=2;%(2000, 4000, 440.0,480);d=100;w=50;7").unwrap();
        assert_eq!(tones.loops, Loops::Times(2));
        let element = |on_ms, off_ms, frequencies: [f32; 2]| Element {
            on_ms,
            off_ms,
            frequencies: frequencies.to_vec(),
            level: -20.0,
            fade: None,
            times: 1,
        };
        let expected =
            [element(2000.0, 4000.0, [440.0, 480.0]), element(100.0, 50.0, [852.0, 1209.0])];
        assert_eq!(tones.elements, expected);
    }

    #[test]
    fn fades_and_repeats_apply_to_what_follows() {
        let tones = Tones::parse("%(10,0,400);>=4;+=.1;l=3;%(140,0,350,440)").unwrap();
        assert_eq!(tones.elements[0].fade, None);
        assert_eq!(tones.elements[1].fade, Some(Fade { every_ms: 4.0, step: -0.1 }));
        assert_eq!((tones.elements[0].times, tones.elements[1].times), (1, 3));
    }

    #[test]
    fn endless_is_a_negative_count() {
        assert_eq!(Tones::parse("L=-1;1").unwrap().loops, Loops::Endless);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at) in
            [("%(1,2,", 0), ("1%5", 1), ("v=x", 0), ("12q=3", 2), ("%(100)", 0), ("%(-1,0,5)", 0)]
        {
            assert_eq!(Tones::parse(text).map_err(|e| e.at), Err(at), "{text}");
        }
    }

    #[test]
    fn stray_characters_are_passed_over() {
        assert_eq!(Tones::parse(" ;\u{e9}1; ").unwrap().elements.len(), 1);
        assert!(Tones::parse("").unwrap().elements.is_empty());
    }
}
