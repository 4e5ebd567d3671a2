//! Did a person answer, or a machine? By how long the greeting is and how many words it has, as Asterisk's application and
//! mod_amd judge it.

/// Settings, in milliseconds but for those that say otherwise; names and defaults are mod_amd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Mean absolute sample below which there is silence.
    pub silence_threshold: u32,
    /// Longest word of a person.
    pub maximum_word_length: u32,
    /// Words from which it is a machine.
    pub maximum_number_of_words: u32,
    /// Silence that separates words.
    pub between_words_silence: u32,
    /// Shortest sound that is a word.
    pub min_word_length: u32,
    /// How long is listened at most.
    pub total_analysis_time: u32,
    /// Silence after a greeting that shows that a person waits for an answer.
    pub after_greeting_silence: u32,
    /// Longest greeting of a person.
    pub greeting: u32,
    /// Longest silence of a person before the greeting.
    pub initial_silence: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            silence_threshold: 256,
            maximum_word_length: 5000,
            maximum_number_of_words: 3,
            between_words_silence: 50,
            min_word_length: 100,
            total_analysis_time: 5000,
            after_greeting_silence: 800,
            greeting: 1500,
            initial_silence: 2500,
        }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A person.
    Human,
    /// A machine.
    Machine,
    /// It cannot be told.
    NotSure,
}

impl Answer {
    /// As `amd_result` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "HUMAN",
            Self::Machine => "MACHINE",
            Self::NotSure => "NOTSURE",
        }
    }
}

/// A judgement, and the figures behind it (`amd_cause`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Who.
    pub answer: Answer,
    /// Why: `LONGGREETING-1520-1500`.
    pub cause: String,
}

/// Length of the pieces looked at.
const PIECE_MS: u32 = 20;

/// Listens to the beginning of a call.
#[derive(Debug)]
pub struct Listener {
    settings: Settings,
    piece: Vec<i16>,
    total: u32,
    silence: u32,
    voice: u32,
    /// Of the sound that goes on.
    running: u32,
    words: u32,
    in_word: bool,
    before_greeting: bool,
    in_greeting: bool,
}

impl Listener {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            piece: Vec::new(),
            total: 0,
            silence: 0,
            voice: 0,
            running: 0,
            words: 0,
            in_word: false,
            before_greeting: true,
            in_greeting: false,
        }
    }

    /// Hears samples at `rate`; a judgement once there is one.
    pub fn hear(&mut self, samples: &[i16], rate: u32) -> Option<Judgement> {
        let length = (rate * PIECE_MS / 1000).max(1) as usize;
        for sample in samples {
            self.piece.push(*sample);
            if self.piece.len() >= length {
                let sum: u64 = self.piece.iter().map(|s| u64::from(s.unsigned_abs())).sum();
                let level = sum / self.piece.len() as u64;
                self.piece.clear();
                let loud = level >= u64::from(self.settings.silence_threshold);
                if let Some(judgement) = self.judge(loud) {
                    return Some(judgement);
                }
            }
        }
        None
    }

    fn judge(&mut self, loud: bool) -> Option<Judgement> {
        self.total += PIECE_MS;
        let judgement = if loud { self.sound() } else { self.quiet() };
        let most = self.settings.total_analysis_time;
        judgement.or_else(|| {
            (self.total >= most).then(|| self.say(Answer::NotSure, "TOOLONG", &[self.total]))
        })
    }

    fn say(&self, answer: Answer, why: &str, figures: &[u32]) -> Judgement {
        let figures = figures.iter().map(u32::to_string).collect::<Vec<_>>().join("-");
        Judgement { answer, cause: format!("{why}-{figures}") }
    }

    fn quiet(&mut self) -> Option<Judgement> {
        let settings = self.settings;
        self.silence += PIECE_MS;
        if self.silence >= settings.between_words_silence {
            // What was too short for a word does not count as voice either.
            if self.running < settings.min_word_length && !self.in_word {
                self.voice = self.voice.saturating_sub(self.running);
            }
            self.in_word = false;
            self.running = 0;
        }
        if self.before_greeting && self.silence >= settings.initial_silence {
            let figures = [self.silence, settings.initial_silence];
            return Some(self.say(Answer::Machine, "INITIALSILENCE", &figures));
        }
        if self.in_greeting && self.silence >= settings.after_greeting_silence {
            let figures = [self.silence, settings.after_greeting_silence];
            return Some(self.say(Answer::Human, "HUMAN", &figures));
        }
        None
    }

    fn sound(&mut self) -> Option<Judgement> {
        let settings = self.settings;
        self.running += PIECE_MS;
        self.voice += PIECE_MS;
        if self.running >= settings.min_word_length {
            self.silence = 0;
            self.before_greeting = false;
            self.in_greeting = true;
            if !self.in_word {
                self.in_word = true;
                self.words += 1;
            }
        }
        if self.running >= settings.maximum_word_length {
            let figures = [self.running, settings.maximum_word_length];
            return Some(self.say(Answer::Machine, "MAXWORDLENGTH", &figures));
        }
        if self.words >= settings.maximum_number_of_words {
            let figures = [self.words, settings.maximum_number_of_words];
            return Some(self.say(Answer::Machine, "MAXWORDS", &figures));
        }
        if self.in_greeting && self.voice >= settings.greeting {
            let figures = [self.voice, settings.greeting];
            return Some(self.say(Answer::Machine, "LONGGREETING", &figures));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(parts: &[(u32, i16)]) -> Option<(Answer, String)> {
        let mut listener = Listener::new(Settings::default());
        for (ms, level) in parts {
            let samples: Vec<i16> =
                (0..ms * 8).map(|n| if n % 8 < 4 { *level } else { -*level }).collect();
            if let Some(judgement) = listener.hear(&samples, 8000) {
                return Some((judgement.answer, judgement.cause));
            }
        }
        None
    }

    #[test]
    fn a_word_and_a_wait_is_a_person() {
        let (answer, cause) = judged(&[(400, 0), (500, 4000), (2000, 0)]).unwrap();
        assert_eq!((answer, cause.as_str()), (Answer::Human, "HUMAN-800-800"));
    }

    #[test]
    fn a_long_greeting_many_words_or_nothing_at_all_is_a_machine() {
        let (answer, cause) = judged(&[(300, 0), (3000, 4000)]).unwrap();
        assert_eq!((answer, cause.as_str()), (Answer::Machine, "LONGGREETING-1500-1500"));
        let words = [(200, 4000), (100, 0)].repeat(5);
        assert_eq!(judged(&words).unwrap(), (Answer::Machine, "MAXWORDS-3-3".into()));
        let (answer, cause) = judged(&[(5000, 100)]).unwrap();
        assert_eq!((answer, cause.as_str()), (Answer::Machine, "INITIALSILENCE-2500-2500"));
    }

    #[test]
    fn clicks_are_no_words_and_what_cannot_be_told_is_said() {
        let clicks = [(60, 4000), (500, 0)].repeat(12);
        assert_eq!(judged(&clicks).unwrap().1, "INITIALSILENCE-2500-2500".to_owned());
        let unsure = [(200, 4000), (700, 0), (200, 4000), (700, 0), (60, 4000)];
        assert_eq!(judged(&unsure), None);
    }
}
