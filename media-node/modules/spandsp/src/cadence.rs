//! `spandsp_start_tone_detect`: tones with a cadence (ringing, busy, special information tones) in what a leg says, as
//! `spandsp.conf` describes them.

use std::collections::VecDeque;
use std::f32::consts::TAU;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dialplan_xml::Node;
use esl_server::event::{Event, EventName};
use media::Leg;
use media::record::RecordMix;
use media::record::live::LiveAudio;
use tokio::task::AbortHandle;

use switch_core::api::{Api, ApiCall};
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Session};
use switch_core::switch::Switch;
use switch_core::{api, app, foreign, text};

/// The applications.
pub(crate) const APPS: &[App] = &[
    app!(
        "spandsp_start_tone_detect",
        "mod_spandsp",
        Flags::NONE,
        "<name>",
        "Start background tone detection with cadence",
        start_application
    ),
    app!(
        "spandsp_stop_tone_detect",
        "mod_spandsp",
        Flags::NONE,
        "",
        "Stop background tone detection with cadence",
        stop_application
    ),
];

/// The commands.
pub(crate) const APIS: &[Api] = &[
    api!(
        "spandsp_start_tone_detect",
        "mod_spandsp",
        "<uuid> <name>",
        "Start background tone detection with cadence",
        start_command
    ),
    api!(
        "spandsp_stop_tone_detect",
        "mod_spandsp",
        "<uuid>",
        "Stop background tone detection with cadence",
        stop_command
    ),
];

/// How often the audio is looked at.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// Tones of one descriptor, and elements of one tone.
const MAX_TONES: usize = 32;
const MAX_ELEMENTS: usize = 10;
/// Segments remembered: those of the longest tone.
const SEGMENTS: usize = MAX_ELEMENTS;
/// Milliseconds between two looks at the audio; each look is at twice as much of it.
const STEP_MS: u32 = 20;
/// Steps a change has to last.
const STEADY: u32 = 2;
/// Mean square of samples below which it is silent.
const MIN_POWER: f32 = 10_000.0;
/// Share of the energy that the frequencies looked for must have.
const MIN_SHARE: f32 = 0.65;
/// The second of two frequencies has at least this part of the power of the first.
const MIN_SECOND: f32 = 0.12;

/// What sounds for a while: a pair of frequencies of the descriptor, one alone (0 as the second), or nothing (0, 0).
type Pair = (u32, u32);

const SILENCE: Pair = (0, 0);
/// Sound that is none of the tones.
const OTHER: Pair = (u32::MAX, 0);

/// One element of a cadence: what sounds, at least and at most how long (milliseconds; 0 = without end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    pair: Pair,
    min: u32,
    max: u32,
}

impl Element {
    /// Could this be it, if it is over? One that still sounds may yet become longer than it should.
    fn fits(&self, pair: Pair, ms: u32) -> bool {
        self.pair == pair && ms >= self.min && (self.max == 0 || ms <= self.max)
    }
}

/// One tone: its name in events, and its cadence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tone {
    key: String,
    elements: Vec<Element>,
}

/// The tones of a descriptor of `spandsp.conf`.
fn descriptor(switch: &Switch, name: &str) -> Option<Vec<Tone>> {
    let config = switch.config.load();
    let conf = config.document("spandsp.conf")?;
    let lists = conf.children_named("descriptors");
    let mut all = lists.flat_map(|list| list.children_named("descriptor"));
    let node = all.find(|node| node.attr_or_empty("name") == name)?;
    let tones = node.children_named("tone").take(MAX_TONES).map(|tone| {
        let number = |element: Node<'_>, name: &str| {
            u32::try_from(text::int(element.attr_or_empty(name))).unwrap_or(0)
        };
        let elements = tone.children_named("element").take(MAX_ELEMENTS).map(|element| {
            let (a, b) = (number(element, "freq1"), number(element, "freq2"));
            let pair = if a == 0 || b == 0 { (a.max(b), 0) } else { (a.min(b), a.max(b)) };
            Element { pair, min: number(element, "min"), max: number(element, "max") }
        });
        Tone { key: tone.attr_or_empty("name").to_owned(), elements: elements.collect() }
    });
    Some(tones.filter(|tone| !tone.elements.is_empty()).collect())
}

/// What sounds in a window of audio: the strongest of some frequencies.
struct PitchMeter {
    rate: u32,
    /// The frequencies, and their coefficients (Goertzel).
    pitches: Vec<(u32, f32)>,
    window: VecDeque<i16>,
    fresh: usize,
}

impl PitchMeter {
    /// `None` when a frequency cannot be in audio at that rate.
    fn new(rate: u32, tones: &[Tone]) -> Option<Self> {
        let pairs = tones.iter().flat_map(|tone| &tone.elements).map(|element| element.pair);
        let mut pitches: Vec<u32> = pairs.flat_map(|(a, b)| [a, b]).filter(|hz| *hz > 0).collect();
        pitches.sort_unstable();
        pitches.dedup();
        if pitches.iter().any(|hz| *hz >= rate / 2) {
            return None;
        }
        let coefficient = |hz: u32| 2.0 * (TAU * hz as f32 / rate as f32).cos();
        let pitches = pitches.into_iter().map(|hz| (hz, coefficient(hz))).collect();
        Some(Self { rate, pitches, window: VecDeque::new(), fresh: 0 })
    }

    /// Takes audio; calls `heard` for each step of [`STEP_MS`] with what sounds.
    fn feed(&mut self, samples: &[i16], mut heard: impl FnMut(Pair)) {
        let step = (self.rate / 1000 * STEP_MS) as usize;
        for sample in samples {
            if self.window.len() == step * 2 {
                self.window.pop_front();
            }
            self.window.push_back(*sample);
            self.fresh += 1;
            if self.fresh >= step {
                self.fresh = 0;
                heard(self.sounds());
            }
        }
    }

    fn sounds(&self) -> Pair {
        let n = self.window.len() as f32;
        let energy: f32 = self.window.iter().map(|s| f32::from(*s) * f32::from(*s)).sum();
        if energy / n < MIN_POWER {
            return SILENCE;
        }
        let (mut first, mut second) = ((0.0, 0), (0.0, 0));
        for &(hz, coefficient) in &self.pitches {
            let (mut s1, mut s2) = (0.0f32, 0.0f32);
            for sample in &self.window {
                (s1, s2) = (f32::from(*sample) + coefficient * s1 - s2, s1);
            }
            // The share of the energy that a steady tone of that frequency would have.
            let share = (s1 * s1 + s2 * s2 - coefficient * s1 * s2) / (energy * n / 2.0);
            if share > first.0 {
                (second, first) = (first, (share, hz));
            } else if share > second.0 {
                second = (share, hz);
            }
        }
        let two = second.0 >= first.0 * MIN_SECOND;
        match two {
            _ if first.0 + second.0 < MIN_SHARE => OTHER,
            true => (first.1.min(second.1), first.1.max(second.1)),
            false => (first.1, 0),
        }
    }
}

/// Finds tones in audio.
struct Detector {
    tones: Vec<Tone>,
    pitch_meter: PitchMeter,
    /// What has sounded before, and how long.
    past: VecDeque<(Pair, u32)>,
    now: (Pair, u32),
    /// What may sound from now on, and for how many steps it has.
    next: (Pair, u32),
    /// The tone that was told of last and has not ended.
    found: Option<usize>,
}

impl Detector {
    /// A detector for audio at `rate`. `None` when a frequency cannot be in it.
    fn new(tones: Vec<Tone>, rate: u32) -> Option<Self> {
        let pitch_meter = PitchMeter::new(rate, &tones)?;
        let (now, next) = ((SILENCE, 0), (SILENCE, 0));
        Some(Self { tones, pitch_meter, past: VecDeque::new(), now, next, found: None })
    }

    /// Takes audio; the indices of tones that are heard from now on.
    fn feed(&mut self, samples: &[i16]) -> Vec<usize> {
        let mut steps = Vec::new();
        self.pitch_meter.feed(samples, |heard| steps.push(heard));
        steps.into_iter().filter_map(|heard| self.sounds(heard, STEP_MS)).collect()
    }

    fn sounds(&mut self, heard: Pair, ms: u32) -> Option<usize> {
        if heard == self.now.0 {
            self.now.1 = self.now.1.saturating_add(ms);
            self.next.1 = 0;
        } else {
            let frames = if self.next.0 == heard { self.next.1 + 1 } else { 1 };
            self.next = (heard, frames);
            if frames < STEADY {
                return None;
            }
            // What was taken for an interruption was the beginning of something else.
            if self.past.len() == SEGMENTS {
                self.past.pop_front();
            }
            self.past.push_back(self.now);
            self.now = (heard, frames * ms);
            self.next.1 = 0;
        }
        if let Some(found) = self.found {
            if self.tones.get(found).is_some_and(|tone| self.may_go_on(tone)) {
                return None;
            }
            self.found = None;
        }
        self.found = self.tones.iter().position(|tone| self.is_heard(tone));
        self.found
    }

    /// Is the cadence complete? What sounds now is its last element.
    fn is_heard(&self, tone: &Tone) -> bool {
        let Some((last, before)) = tone.elements.split_last() else { return false };
        last.fits(self.now.0, self.now.1)
            && before.len() <= self.past.len()
            && before
                .iter()
                .rev()
                .zip(self.past.iter().rev())
                .all(|(e, (pair, ms))| e.fits(*pair, *ms))
    }

    /// Could what sounds now be a part of that tone still?
    fn may_go_on(&self, tone: &Tone) -> bool {
        let (pair, ms) = self.now;
        tone.elements.iter().any(|e| e.pair == pair && (e.max == 0 || ms <= e.max))
    }
}

/// The detection of a leg.
#[derive(Default)]
struct Running(Option<AbortHandle>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// The audio that comes from a leg's far end. Dropping it ends the tap.
pub(crate) struct LegAudio {
    leg: Weak<Leg>,
    audio: LiveAudio,
}

impl LegAudio {
    /// Of a leg.
    pub(crate) fn of(leg: &Arc<Leg>) -> Option<Self> {
        let audio = leg.tap(RecordMix::ReadOnly).ok()?;
        Some(Self { leg: Arc::downgrade(leg), audio })
    }

    /// What has come since the last time, in place of what is there; false when nothing more will come.
    pub(crate) fn read(&mut self, samples: &mut Vec<i16>) -> bool {
        samples.clear();
        self.audio.read(samples)
    }
}

impl Drop for LegAudio {
    fn drop(&mut self) {
        if let Some(leg) = self.leg.upgrade() {
            let _closed = leg.end_tap(&self.audio);
        }
    }
}

/// Why tones are not looked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum StartError {
    #[error("tones are looked for already")]
    Running,
    #[error("no tone descriptor defined with name '{0}'.  Update configuration.")]
    Unknown(String),
    #[error("its frequencies cannot be heard on this leg")]
    Frequencies,
    #[error("there is no audio")]
    NoMedia,
}

fn start(channel: &Arc<Channel>, name: &str) -> Result<(), StartError> {
    let running = |data: &mut Running| data.0.as_ref().is_some_and(|task| !task.is_finished());
    if channel.with(|data| running(data.slot::<Running>())) {
        return Err(StartError::Running);
    }
    let unknown = || StartError::Unknown(name.to_owned());
    let tones = descriptor(channel.switch(), name).ok_or_else(unknown)?;
    let leg = channel.media().ok_or(StartError::NoMedia)?;
    let mut detector = Detector::new(tones, leg.codec().rate()).ok_or(StartError::Frequencies)?;
    let mut heard = LegAudio::of(&leg).ok_or(StartError::NoMedia)?;
    let weak = Arc::downgrade(channel);
    let task = foreign::spawn(async move {
        let mut samples = Vec::new();
        let mut ticks = tokio::time::interval(FRAME);
        loop {
            ticks.tick().await;
            let open = heard.read(&mut samples);
            let Some(channel) = weak.upgrade().filter(|_| open) else { break };
            let found = detector.feed(&samples);
            let keys = found.iter().filter_map(|at| detector.tones.get(*at)).map(|tone| &tone.key);
            keys.for_each(|key| tell(&channel, key));
            if !found.is_empty() && channel.is_true("spandsp_tone_detect_stop_on_tone") {
                break;
            }
        }
    });
    // Another start at the same time may have left its own here: that one ends.
    let own = Running(Some(task.abort_handle()));
    drop(channel.with(|data| std::mem::replace(data.slot::<Running>(), own)));
    Ok(())
}

fn stop(channel: &Channel) {
    drop(channel.with(|data| std::mem::take(data.slot::<Running>())));
}

/// A tone was heard: hooks, and the event.
fn tell(channel: &Arc<Channel>, key: &str) {
    tracing::info!(uuid = %channel.uuid(), "DETECTED TONE: {key}");
    let hook = format!("spandsp_tone_detect_{key}");
    let _full = channel
        .job(Box::new(move |session| Box::pin(async move { session.run_hooks(&hook).await })));
    channel.fire_with(
        EventName::DetectedTone,
        |event: &mut Event| {
            event.push("Detected-Tone", key.to_owned());
            event.push("Unique-ID", channel.uuid().to_string());
        },
        |_| {},
    );
}

async fn start_application(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let name = argument.trim();
    let answer = if name.is_empty() {
        "-ERR missing descriptor name"
    } else {
        match start(&channel, name) {
            Ok(()) => "+OK started",
            Err(error) => {
                tracing::warn!(uuid = %channel.uuid(), "{error}");
                "-ERR failed to start tone detector"
            }
        }
    };
    channel.set_var("current_application_response", answer);
    Ok(())
}

async fn stop_application(session: &mut Session, _argument: &str) -> AppResult {
    stop(session.channel());
    session.channel().set_var("current_application_response", "+OK stopped");
    Ok(())
}

fn start_command(call: &ApiCall) -> String {
    let (uuid, name) = call.args.trim().split_once(' ').unwrap_or((call.args.trim(), ""));
    if uuid.is_empty() {
        return "-ERR missing uuid\n".into();
    }
    if name.trim().is_empty() {
        return "-ERR missing descriptor name\n".into();
    }
    let Some(channel) = call.switch.channel(uuid) else {
        return "-ERR Cannot locate session\n".into();
    };
    match start(&channel, name.trim()) {
        Ok(()) => "+OK started\n".into(),
        Err(error) => {
            tracing::warn!(uuid = %channel.uuid(), "{error}");
            "-ERR failed to start tone detector\n".into()
        }
    }
}

fn stop_command(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return "-ERR missing session UUID\n".into();
    }
    let Some(channel) = call.switch.channel(uuid) else {
        return "-ERR Cannot locate session\n".into();
    };
    stop(&channel);
    "+OK stopped\n".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(key: &str, elements: &[(Pair, u32, u32)]) -> Tone {
        let elements = elements.iter().map(|&(pair, min, max)| Element { pair, min, max });
        Tone { key: key.to_owned(), elements: elements.collect() }
    }

    const BUSY: Pair = (480, 620);

    /// What is told of sounds, each for so many milliseconds.
    fn told(tones: &[Tone], sounds: &[(Pair, u32)]) -> Vec<String> {
        let mut detector = Detector::new(tones.to_vec(), 8000).unwrap();
        let mut told = Vec::new();
        for &(pair, ms) in sounds {
            for _ in 0..ms / 20 {
                told.extend(detector.sounds(pair, 20).map(|at| tones[at].key.clone()));
            }
        }
        told
    }

    fn all() -> Vec<Tone> {
        let silent = (0, 0);
        vec![
            tone("CED", &[((2100, 0), 700, 0)]),
            tone("SIT", &[((950, 0), 256, 400), ((1400, 0), 256, 400), ((1800, 0), 256, 400)]),
            tone("REORDER", &[(BUSY, 224, 316), (silent, 168, 352), (BUSY, 224, 316)]),
            tone("BUSY", &[(BUSY, 464, 536), (silent, 464, 572), (BUSY, 464, 536)]),
        ]
    }

    #[test]
    fn a_cadence_is_told_of_once_it_is_complete() {
        let busy = [(BUSY, 500), ((0, 0), 500)].repeat(4);
        assert_eq!(told(&all(), &busy), ["BUSY"], "once, while it goes on");
        let reorder = [(BUSY, 260), ((0, 0), 260)].repeat(4);
        assert_eq!(told(&all(), &reorder), ["REORDER"]);
        assert_eq!(told(&all(), &[((2100, 0), 3000)]), ["CED"]);
        let information = [((950, 0), 320), ((1400, 0), 320), ((1800, 0), 320)];
        assert_eq!(told(&all(), &information), ["SIT"]);
    }

    #[test]
    fn what_is_too_short_too_long_or_in_another_order_is_not_it() {
        assert!(told(&all(), &[((2100, 0), 400), ((0, 0), 400)].repeat(5)).is_empty());
        assert!(told(&all(), &[(BUSY, 900), ((0, 0), 500)].repeat(5)).is_empty());
        let other = [((1400, 0), 320), ((950, 0), 320), ((1800, 0), 320)];
        assert!(told(&all(), &other).is_empty());
        assert_eq!(told(&all(), &[((2100, 0), 1000), ((0, 0), 500)].repeat(2)), ["CED", "CED"]);
    }

    #[test]
    fn tones_are_told_apart_by_ear() {
        let sine = |hz: &[f32], ms: usize| -> Vec<i16> {
            let at = |n: usize, hz: f32| (n as f32 / 8000.0 * hz * TAU).sin();
            (0..ms * 8)
                .map(|n| hz.iter().map(|hz| at(n, *hz) * 6000.0).sum::<f32>() as i16)
                .collect()
        };
        let mut detector = Detector::new(all(), 8000).unwrap();
        let mut told = Vec::new();
        for _ in 0..4 {
            let sounds = [sine(&[480.0, 620.0], 500), sine(&[], 500)].concat();
            for frame in sounds.chunks(160) {
                told.extend(detector.feed(frame).into_iter().map(|at| all()[at].key.clone()));
            }
        }
        assert_eq!(told, ["BUSY"]);
        assert!(Detector::new(vec![tone("high", &[((5000, 0), 100, 0)])], 8000).is_none());
    }
}
