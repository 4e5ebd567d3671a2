//! Who speaks: an energy detector with a floor that follows the noise of the line, or a small neural network (feature
//! `neural-vad`), which tells voices from other sounds.

#[cfg(feature = "neural-vad")]
mod neural;

/// Settings of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Mean absolute sample below which nothing is speech.
    pub threshold: u32,
    /// Milliseconds of sound in a row that are speech.
    pub min_ms: u32,
    /// Milliseconds of silence that end it.
    pub end_ms: u32,
    /// The network judges, where it is built in ([`HAS_NETWORK`]).
    pub neural: bool,
}

/// Is the network built in?
pub const HAS_NETWORK: bool = cfg!(feature = "neural-vad");

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 160, min_ms: 40, end_ms: 300, neural: false }
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Onset of speech.
    Begins,
    /// They have stopped.
    Ends,
}

/// Length of the pieces looked at.
const PIECE_MS: u32 = 10;
/// Speech is so many halves louder than the noise.
const ABOVE_FLOOR: u64 = 6;
/// Mean absolute sample of echoes that are no speech while something is played; twice the threshold if that is more.
const ECHO: u64 = 480;
/// Sound so many times above what speech is at least counts half as much again: few noises begin like that.
const STRONG: u64 = 3;
/// Gaps between sounds of one word, which do not start the count anew.
const GAP_MS: u32 = 20;
/// The noise of the line is the least that was heard in this many stretches of so many pieces: people who speak pause for
/// breath, noise does not.
const STRETCHES: usize = 6;
const STRETCH: u32 = 50;
/// Noise louder than this is not told from sound that goes on and on, such as a note that is held.
const LOUDEST: u64 = 1000;
/// Pieces whose mean is taken for that.
const SMOOTH: usize = 8;

/// The noise of a line.
#[derive(Debug)]
struct Floor {
    /// The last pieces' levels, in a ring.
    last: [u64; SMOOTH],
    heard: u32,
    /// The least of each stretch, the newest last.
    least: [u64; STRETCHES],
    now: u64,
}

impl Floor {
    fn new() -> Self {
        Self { last: [0; SMOOTH], heard: 0, least: [u64::MAX; STRETCHES], now: u64::MAX }
    }

    /// What it is; `None` until enough was heard to tell.
    fn level(&self) -> Option<u64> {
        let least = self.least.iter().copied().min().unwrap_or(u64::MAX).min(self.now);
        (least < u64::MAX).then_some(least.min(LOUDEST))
    }

    fn hear(&mut self, level: u64) {
        self.last[self.heard as usize % SMOOTH] = level;
        self.heard = self.heard.wrapping_add(1);
        if self.heard as usize >= SMOOTH {
            self.now = self.now.min(self.last.iter().sum::<u64>() / SMOOTH as u64);
        }
        if self.heard.is_multiple_of(STRETCH) {
            self.least.rotate_left(1);
            self.least[STRETCHES - 1] = self.now;
            self.now = u64::MAX;
        }
    }
}

/// A detector for one side.
#[derive(Debug)]
pub struct Detector {
    settings: Settings,
    floor: Floor,
    sound_ms: u32,
    quiet_ms: u32,
    speaking: bool,
    piece: Vec<i16>,
    /// The switch itself talks: what comes back of that is no speech.
    guarded: bool,
    #[cfg(feature = "neural-vad")]
    network: Option<neural::Network>,
}

impl Detector {
    /// A detector in a quiet room.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            floor: Floor::new(),
            sound_ms: 0,
            quiet_ms: 0,
            speaking: false,
            piece: Vec::new(),
            guarded: false,
            #[cfg(feature = "neural-vad")]
            network: settings.neural.then(neural::Network::new),
        }
    }

    /// While something is played the far end's line may echo it: louder sound is asked for then.
    pub fn guard_echo(&mut self, playing: bool) {
        self.guarded = playing;
    }

    /// Is there speech now?
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Milliseconds since speech was heard last.
    #[must_use]
    pub fn quiet_ms(&self) -> u32 {
        self.quiet_ms
    }

    /// Hears samples at `rate`.
    pub fn hear(
        &mut self,
        samples: impl Iterator<Item = i16>,
        rate: u32,
        mut tell: impl FnMut(Voice),
    ) {
        let length = (rate * PIECE_MS / 1000).max(1) as usize;
        for sample in samples {
            self.piece.push(sample);
            if self.piece.len() >= length {
                let sum: u64 = self.piece.iter().map(|s| u64::from(s.unsigned_abs())).sum();
                let level = sum / self.piece.len() as u64;
                let loud = self.is_voice(level, rate);
                self.floor.hear(level);
                self.piece.clear();
                if let Some(voice) = self.judge(loud) {
                    tell(voice);
                }
            }
        }
    }

    /// Milliseconds of speech that the piece is by itself.
    #[cfg_attr(
        not(feature = "neural-vad"),
        allow(unused_variables, reason = "loudness has no need of the rate")
    )]
    fn is_voice(&mut self, level: u64, rate: u32) -> u32 {
        let least = u64::from(self.settings.threshold);
        let least = if self.guarded { (least * 2).max(ECHO) } else { least };
        #[cfg(feature = "neural-vad")]
        if let Some(network) = &mut self.network {
            // What comes back of the switch's own speech is a voice, too.
            let voice = network.hears_voice(&self.piece, rate) && (!self.guarded || level >= least);
            return if voice { PIECE_MS } else { 0 };
        }
        // A line that is loud from its first moment may be noise: the first 80 ms tell.
        let Some(floor) = self.floor.level() else { return 0 };
        let least = least.max(floor * ABOVE_FLOOR / 2);
        match level {
            level if level < least => 0,
            level if level < least * STRONG => PIECE_MS,
            _ => PIECE_MS + PIECE_MS / 2,
        }
    }

    fn judge(&mut self, sound_ms: u32) -> Option<Voice> {
        let loud = sound_ms > 0;
        if loud {
            self.sound_ms = self.sound_ms.saturating_add(sound_ms);
            self.quiet_ms = 0;
        } else {
            self.quiet_ms = self.quiet_ms.saturating_add(PIECE_MS);
            if self.quiet_ms > GAP_MS {
                self.sound_ms = 0;
            }
        }
        if !self.speaking && loud && self.sound_ms >= self.settings.min_ms {
            self.speaking = true;
            return Some(Voice::Begins);
        }
        if self.speaking && self.quiet_ms >= self.settings.end_ms {
            self.speaking = false;
            return Some(Voice::Ends);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of audio with a tone of that level in it, and when voices began and ended.
    fn run(parts: &[(u32, i16)], settings: Settings, guard: bool) -> Vec<(u32, Voice)> {
        let mut detector = Detector::new(settings);
        detector.guard_echo(guard);
        let (mut at, mut told) = (0, Vec::new());
        for (ms, level) in parts {
            for _ in 0..ms / 10 {
                let samples = (0..80).map(|n| if n % 8 < 4 { *level } else { -*level });
                at += 10;
                detector.hear(samples, 8000, |voice| told.push((at, voice)));
            }
        }
        told
    }

    #[test]
    fn speech_is_noticed_within_sixty_milliseconds_of_its_onset_and_its_end_after_the_silence() {
        let told = run(&[(500, 10), (600, 3000), (800, 10)], Settings::default(), false);
        assert_eq!(told, [(530, Voice::Begins), (1400, Voice::Ends)]);
    }

    #[test]
    fn clicks_are_no_speech_and_pauses_between_words_do_not_end_it() {
        let click = [(200, 0), (20, 9000), (200, 0), (20, 9000), (200, 0)];
        assert_eq!(run(&click, Settings::default(), false), []);
        let words = [(100, 0), (300, 3000), (200, 0), (300, 3000), (500, 0)];
        let told = run(&words, Settings::default(), false);
        assert_eq!(told, [(130, Voice::Begins), (1200, Voice::Ends)]);
    }

    #[test]
    fn a_noisy_line_is_not_speech_and_speech_above_it_is() {
        let told = run(&[(3000, 200), (400, 3000), (600, 200)], Settings::default(), false);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!((3010..=3060).contains(&told[0].0), "{told:?}");
    }

    #[test]
    fn an_echo_below_the_guard_is_no_speech() {
        let parts = [(200, 0), (400, 400), (400, 0)];
        assert_eq!(run(&parts, Settings::default(), true), []);
        assert_eq!(run(&parts, Settings::default(), false).len(), 2);
    }

    #[test]
    fn noise_that_begins_with_the_line_or_in_a_call_does_not_stay_speech() {
        assert_eq!(run(&[(5000, 700)], Settings::default(), false), []);
        let told = run(&[(1000, 10), (6000, 700), (300, 4000)], Settings::default(), false);
        let ends = told.iter().find(|(_, voice)| *voice == Voice::Ends).expect("an end");
        assert!(ends.0 <= 5000, "{told:?}");
        assert!(told.contains(&(7040, Voice::Begins)), "{told:?}");
        // A note that is held is no noise.
        assert_eq!(run(&[(200, 0), (9000, 4000)], Settings::default(), false).len(), 1);
    }
}
