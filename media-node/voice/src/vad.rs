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
        Self { threshold: 250, min_ms: 40, end_ms: 300, neural: false }
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
/// Speech is this many times louder than the noise before it.
const ABOVE_FLOOR: u64 = 3;
/// Gaps between sounds of one word, which do not start the count anew.
const GAP_MS: u32 = 20;

/// A detector for one side.
#[derive(Debug)]
pub struct Detector {
    settings: Settings,
    /// Loudness of the noise, in 1/16.
    floor: u64,
    sound_ms: u32,
    quiet_ms: u32,
    speaking: bool,
    piece: Vec<i16>,
    /// Factor of the threshold while the switch itself talks: what comes back of that is no speech.
    guard: u32,
    #[cfg(feature = "neural-vad")]
    network: Option<neural::Network>,
}

impl Detector {
    /// A detector in a quiet room.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            floor: 0,
            sound_ms: 0,
            quiet_ms: 0,
            speaking: false,
            piece: Vec::new(),
            guard: 1,
            #[cfg(feature = "neural-vad")]
            network: settings.neural.then(neural::Network::new),
        }
    }

    /// While something is played the far end's line may echo it: louder sound is asked for then.
    pub fn guard_echo(&mut self, playing: bool) {
        self.guard = if playing { 2 } else { 1 };
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
                self.piece.clear();
                if let Some(voice) = self.judge(level, loud) {
                    tell(voice);
                }
            }
        }
    }

    /// Is the piece speech by itself?
    #[cfg_attr(
        not(feature = "neural-vad"),
        allow(unused_variables, reason = "loudness has no need of the rate")
    )]
    fn is_voice(&mut self, level: u64, rate: u32) -> bool {
        let least = u64::from(self.settings.threshold) * u64::from(self.guard);
        #[cfg(feature = "neural-vad")]
        if let Some(network) = &mut self.network {
            // What comes back of the switch's own speech is a voice, too.
            return network.hears_voice(&self.piece, rate) && (self.guard == 1 || level >= least);
        }
        level >= least.max(self.floor / 16 * ABOVE_FLOOR)
    }

    fn judge(&mut self, level: u64, loud: bool) -> Option<Voice> {
        if !self.speaking {
            // Noise is learnt in a second or so, and forgotten a little faster.
            let target = level.min(2000) * 16;
            let step = if target > self.floor { 64 } else { 32 };
            self.floor = (self.floor * (step - 1) + target) / step;
        }
        if loud {
            self.sound_ms = self.sound_ms.saturating_add(PIECE_MS);
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
        assert_eq!(told, [(540, Voice::Begins), (1400, Voice::Ends)]);
    }

    #[test]
    fn clicks_are_no_speech_and_pauses_between_words_do_not_end_it() {
        let click = [(200, 0), (20, 9000), (200, 0), (20, 9000), (200, 0)];
        assert_eq!(run(&click, Settings::default(), false), []);
        let words = [(100, 0), (300, 3000), (200, 0), (300, 3000), (500, 0)];
        let told = run(&words, Settings::default(), false);
        assert_eq!(told, [(140, Voice::Begins), (1200, Voice::Ends)]);
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
}
