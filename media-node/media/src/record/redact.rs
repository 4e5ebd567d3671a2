//! Keys that a caller presses, kept out of recordings and of what programs hear: the audio is held back a little, so that
//! a tone is silenced from its beginning, though it is known as one only when some of it has passed.

use base::redact::asks_for;

use crate::dtmf::inband::Detector;

/// How long audio is held back: longer than the detector takes to know a tone, and a tone leaks before its event.
const HELD_BACK_MS: usize = 60;
/// How long what may be the beginning of a key is held back while packets are late.
const WAITS_MS: usize = 400;
/// Silence after a key where nothing else is asked for.
const HANG_MS: u32 = 200;
/// Longest silence after a key.
const LONGEST_MS: u32 = 10_000;

/// That pressed keys are not to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redaction {
    /// Milliseconds that stay silent after a key.
    pub hang_ms: u32,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { hang_ms: HANG_MS }
    }
}

impl Redaction {
    /// As settings ask for it: `what` is true or a list of words among which is `audio`, `hang` is milliseconds, 200
    /// where it is none.
    #[must_use]
    pub fn asked(what: Option<&str>, hang: Option<&str>) -> Option<Self> {
        if !asks_for(what?, "audio") {
            return None;
        }
        let hang = hang.and_then(|hang| hang.trim().parse().ok());
        Some(Self { hang_ms: hang.unwrap_or(HANG_MS).min(LONGEST_MS) })
    }
}

/// Both sides of a leg on their way into a recording.
#[derive(Debug)]
pub(crate) struct Redactor {
    pub(crate) said: Side,
    pub(crate) heard: Side,
}

impl Redactor {
    pub(crate) fn new(asked: Redaction, rate: u32) -> Box<Self> {
        Box::new(Self { said: Side::new(asked, rate), heard: Side::new(asked, rate) })
    }
}

/// One side.
#[derive(Debug)]
pub(crate) struct Side {
    line: Box<[i16]>,
    at: usize,
    detector: Detector,
    /// Samples still to be silenced.
    mute: usize,
    hang: usize,
    /// Samples for which what is held back has waited for late packets, and the most it may.
    waited: usize,
    waits: usize,
}

impl Side {
    pub(crate) fn new(asked: Redaction, rate: u32) -> Self {
        let per_ms = rate as usize / 1000;
        Self {
            line: vec![0; (per_ms * HELD_BACK_MS).max(1)].into_boxed_slice(),
            at: 0,
            detector: Detector::new(rate),
            mute: 0,
            hang: per_ms * asked.hang_ms as usize,
            waited: 0,
            waits: per_ms * WAITS_MS,
        }
    }

    /// A key is down, however that is known.
    pub(crate) fn pressed(&mut self) {
        self.silence_next(self.line.len() + self.hang);
    }

    /// The same where so many samples of what was said before it have yet to come.
    pub(crate) fn pressed_behind(&mut self, samples: usize) {
        self.silence_next(self.line.len() + samples + self.hang);
    }

    /// Samples held back.
    pub(crate) fn held_back(&self) -> usize {
        self.line.len()
    }

    /// The next so many samples that come out are silent.
    pub(crate) fn silence_next(&mut self, samples: usize) {
        self.mute = self.mute.max(samples);
    }

    /// Takes audio, and gives what was held back in its place.
    pub(crate) fn pass(&mut self, pcm: &mut [i16]) {
        self.waited = 0;
        self.exchange(pcm, |sample, muted| if muted { 0 } else { sample });
    }

    /// Takes audio, and gives in its place what of the audio held back is not to be heard: for a mix in which it is already.
    pub(crate) fn withhold(&mut self, pcm: &mut [i16]) {
        self.waited = 0;
        self.exchange(pcm, |sample, muted| if muted { sample } else { 0 });
    }

    /// Nothing came: gives silence. What may be the beginning of a key stays held back meanwhile: were it let go, a tone in
    /// late packets would be known only from its second part.
    pub(crate) fn idle(&mut self, pcm: &mut [i16]) {
        pcm.fill(0);
        if self.waited < self.waits && self.detector.suspects() {
            self.waited += pcm.len();
        } else {
            self.exchange(pcm, |sample, muted| if muted { 0 } else { sample });
        }
    }

    fn exchange(&mut self, pcm: &mut [i16], give: impl Fn(i16, bool) -> i16) {
        // In pieces short enough that a tone is known before it would be let go.
        for piece in pcm.chunks_mut(80) {
            self.detector.feed(piece, |_, _| {});
            if self.detector.is_down() {
                self.pressed();
            }
            for sample in piece {
                if let Some(held) = self.line.get_mut(self.at) {
                    std::mem::swap(sample, held);
                }
                self.at = (self.at + 1) % self.line.len();
                *sample = give(*sample, self.mute > 0);
                self.mute = self.mute.saturating_sub(1);
            }
        }
    }
}

/// The mix of a conference on its way into recordings, held back as long as the audio of the members who redact.
#[derive(Debug, Default)]
pub(crate) struct HeldMix {
    line: Vec<i32>,
    at: usize,
    /// What of the mix that comes out next is not to be heard.
    withheld: Vec<i32>,
}

impl HeldMix {
    /// Begins to hold the mix back, where it is not.
    pub(crate) fn begin(&mut self, rate: u32) {
        self.line.resize(rate as usize / 1000 * HELD_BACK_MS, 0);
    }

    /// Samples held back.
    pub(crate) fn held_back(&self) -> usize {
        self.line.len()
    }

    /// Notes what one member withholds of this interval.
    pub(crate) fn withhold(&mut self, samples: &[i16]) {
        self.withheld.resize(self.withheld.len().max(samples.len()), 0);
        for (all, sample) in self.withheld.iter_mut().zip(samples) {
            *all += i32::from(*sample);
        }
    }

    /// Takes the interval's mix, and gives the one held back as recordings may have it.
    pub(crate) fn pass(&mut self, sum: &[i32], out: &mut [i16]) {
        self.withheld.resize(self.withheld.len().max(sum.len()), 0);
        for ((sum, withheld), out) in sum.iter().zip(&mut self.withheld).zip(out) {
            let mut mixed = *sum;
            if let Some(held) = self.line.get_mut(self.at) {
                std::mem::swap(&mut mixed, held);
                self.at = (self.at + 1) % self.line.len();
            }
            mixed -= std::mem::take(withheld);
            *out = mixed.clamp(-0x8000, 0x7fff) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tones(pair: [f32; 2], ms: usize, rate: usize) -> Vec<i16> {
        let sample = |n: usize| {
            let t = n as f32 / rate as f32 * std::f32::consts::TAU;
            (pair.iter().map(|hz| (t * hz).sin()).sum::<f32>() * 5000.0) as i16
        };
        (0..rate / 1000 * ms).map(sample).collect()
    }

    #[test]
    fn a_tone_is_silent_from_its_beginning_and_speech_around_it_is_not() {
        for rate in [8000, 16_000, 48_000] {
            let mut side = Side::new(Redaction::default(), rate as u32);
            let speech = tones([500.0, 530.0], 500, rate);
            let key = tones([770.0, 1336.0], 100, rate);
            let mut audio = [&speech[..], &key, &vec![0; rate / 2], &speech].concat();
            audio.chunks_mut(rate / 50).for_each(|frame| side.pass(frame));
            let ms = |at: usize| rate / 1000 * at;
            let held = ms(HELD_BACK_MS);
            assert_eq!(audio[held..held + ms(440)], speech[..ms(440)], "{rate}: up to the key");
            let loud = |from: usize, to: usize| audio[ms(from)..ms(to)].iter().any(|s| *s != 0);
            assert!(!loud(560, 760), "{rate}: the key");
            let after = held + ms(1100);
            assert_eq!(audio[after..], speech[..audio.len() - after], "{rate}: what comes after");
        }
    }

    #[test]
    fn a_tone_in_packets_that_are_late_is_silent_from_its_beginning() {
        for (part, late) in (1..5).flat_map(|part| [(part, 1), (part, 4), (part, 15)]) {
            let mut side = Side::new(Redaction::default(), 8000);
            let speech = tones([500.0, 530.0], 200, 8000);
            let key = tones([770.0, 1336.0], 100, 8000);
            let mut out = Vec::new();
            let mut pass = |side: &mut Side, frame: &[i16]| {
                let mut frame = frame.to_vec();
                side.pass(&mut frame);
                out.extend(frame);
            };
            speech.chunks(160).for_each(|frame| pass(&mut side, frame));
            key.chunks(160).take(part).for_each(|frame| pass(&mut side, frame));
            let mut silence = vec![1; 160 * late];
            silence.chunks_mut(160).for_each(|frame| side.idle(frame));
            assert!(silence.iter().all(|sample| *sample == 0), "{part} {late}");
            key.chunks(160).skip(part).for_each(|frame| pass(&mut side, frame));
            (0..25).for_each(|_| pass(&mut side, &[0; 160]));
            assert!(out[480 + 160 * 8..].iter().all(|sample| *sample == 0), "{part} {late}");
        }
        let mut side = Side::new(Redaction::default(), 8000);
        side.pass(&mut tones([770.0, 1336.0], 20, 8000));
        let mut silence = vec![0; 8 * (WAITS_MS + 100)];
        silence.chunks_mut(160).for_each(|frame| side.idle(frame));
        assert!(silence.iter().any(|sample| *sample != 0), "it does not wait without limit");
    }

    #[test]
    fn a_key_that_comes_as_an_event_silences_what_leaked_before_it() {
        let mut side = Side::new(Redaction { hang_ms: 100 }, 8000);
        let mut before = [1000; 480];
        side.pass(&mut before);
        side.pressed();
        let mut after = [2000; 480 + 800 + 480 + 10];
        side.pass(&mut after);
        assert_eq!(after[..1280], [0; 1280], "what was held back, and the time after the key");
        assert_eq!(after[1280..], [2000; 490]);
    }

    #[test]
    fn a_key_of_one_member_leaves_the_mix_and_others_stay_whole() {
        let (mut mix, mut member) = (HeldMix::default(), Side::new(Redaction::default(), 8000));
        mix.begin(8000);
        let speech = tones([500.0, 530.0], 300, 8000);
        let own =
            [&speech[..], &tones([770.0, 1336.0], 100, 8000), &vec![0; 4000], &speech].concat();
        let other = tones([1900.0, 1930.0], own.len() / 8, 8000);
        let mut recorded = Vec::new();
        for (own, other) in own.chunks(160).zip(other.chunks(160)) {
            let sum: Vec<i32> =
                own.iter().zip(other).map(|(a, b)| i32::from(*a) + i32::from(*b)).collect();
            let mut withheld = own.to_vec();
            member.withhold(&mut withheld);
            mix.withhold(&withheld);
            let mut out = vec![0; own.len()];
            mix.pass(&sum, &mut out);
            recorded.extend(out);
        }
        let held = 8 * HELD_BACK_MS;
        assert_eq!(mix.held_back(), held);
        let at = |ms: usize| (recorded[held + 8 * ms], other[8 * ms], own[8 * ms]);
        for ms in (0..240).chain(1000..1100) {
            let (recorded, other, own) = at(ms);
            assert_eq!(i32::from(recorded), i32::from(other) + i32::from(own), "{ms}: both");
        }
        for ms in 300..400 {
            let (recorded, other, _) = at(ms);
            assert_eq!(recorded, other, "{ms}: the other alone");
        }
    }

    #[test]
    fn settings_say_what_is_redacted() {
        let asked = |what, hang| Redaction::asked(what, hang).map(|asked| asked.hang_ms);
        assert_eq!(asked(None, None), None);
        assert_eq!(asked(Some("false"), None), None);
        assert_eq!(asked(Some("true"), Some("x")), Some(200));
        assert_eq!(asked(Some("transcript, Audio"), Some("50")), Some(50));
        assert_eq!(asked(Some("transcript"), None), None);
        assert_eq!(asked(Some("all"), Some("99999999")), Some(10_000));
    }
}
