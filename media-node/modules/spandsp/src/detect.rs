//! `spandsp_start_fax_detect`: waits for the tone of a fax machine in a leg's audio, and runs an application then. A machine
//! that answers is also known by the preamble of its first frame, where the library is there to find it.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use esl_server::CallMessage;
use esl_server::event::{Event, EventName};
use fax::AnswerDetector;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Session};
use switch_core::{app, foreign, text};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::cadence::{FRAME, LegAudio};
use crate::ports::RATE;
use crate::settings;

/// The applications.
pub(crate) const APPS: &[App] = &[
    app!(
        "spandsp_start_fax_detect",
        "mod_spandsp",
        Flags::NONE,
        "<app>[ <arg>][ <timeout>][ <tone_type>]",
        "start fax detect",
        start_application
    ),
    app!(
        "spandsp_stop_fax_detect",
        "mod_spandsp",
        Flags::NONE,
        "",
        "stop fax detect",
        stop_application
    ),
];

/// The tone of a machine that calls (CNG, 500 ms of each 3.5 seconds), and of one that answers (CED, 3 seconds), Hz.
const CNG: u32 = 1100;
const CED: u32 = 2100;
/// Frames of 20 ms after which it is one: CNG may be as short as 425 ms.
const STEADY: u32 = 19;
/// Frequencies beside the right one that count as well: T.30 allows CNG 38 Hz of difference.
const BESIDE: f32 = 25.0;
/// Mean square of samples below which it is silent.
const MIN_POWER: f32 = 10_000.0;
/// Share of the energy that the tone must have.
const MIN_SHARE: f32 = 0.65;

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

/// Hears one steady tone.
struct Steady {
    /// Of the frequency and those beside it (Goertzel).
    coefficients: [f32; 3],
    /// Samples of a frame, and those that have come.
    frame: usize,
    samples: Vec<i16>,
    frames: u32,
}

impl Steady {
    /// `None` when audio at that rate cannot have the frequency.
    fn new(hz: u32, rate: u32) -> Option<Self> {
        if rate < 8000 || hz * 2 >= rate {
            return None;
        }
        let of = |hz: f32| 2.0 * (TAU * hz / rate as f32).cos();
        let hz = hz as f32;
        let coefficients = [hz - BESIDE, hz, hz + BESIDE].map(of);
        Some(Self { coefficients, frame: rate as usize / 50, samples: Vec::new(), frames: 0 })
    }

    /// Takes audio; true once the tone has lasted long enough.
    fn feed(&mut self, samples: &[i16]) -> bool {
        for sample in samples {
            self.samples.push(*sample);
            if self.samples.len() < self.frame {
                continue;
            }
            self.frames = if self.sounds() { self.frames + 1 } else { 0 };
            self.samples.clear();
            if self.frames >= STEADY {
                return true;
            }
        }
        false
    }

    fn sounds(&self) -> bool {
        let n = self.samples.len() as f32;
        let energy: f32 = self.samples.iter().map(|s| f32::from(*s) * f32::from(*s)).sum();
        energy / n >= MIN_POWER
            && self.coefficients.iter().any(|coefficient| {
                let (mut s1, mut s2) = (0.0_f32, 0.0_f32);
                for sample in &self.samples {
                    (s1, s2) = (f32::from(*sample) + coefficient * s1 - s2, s1);
                }
                let power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
                power / (energy * n / 2.0) >= MIN_SHARE
            })
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    application: String,
    argument: String,
    limit: Option<Duration>,
    hz: u32,
}

impl Wanted {
    /// `None` without an application and its argument.
    fn parse(text: &str) -> Option<Self> {
        let words = text::words(text, 4);
        let [application, argument, rest @ ..] = words.as_slice() else { return None };
        let seconds = rest.first().map_or(0, |word| text::int(word));
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let hz = if rest.get(1).is_some_and(|tone| tone == "ced") { CED } else { CNG };
        let (application, argument) = (application.clone(), argument.clone());
        Some(Self { application, argument, limit: seconds.map(Duration::from_secs), hz })
    }
}

async fn start_application(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some(wanted) = Wanted::parse(argument) else {
        tracing::error!(uuid = %channel.uuid(), "Cannot Enable fax detection '{argument}'");
        return Ok(());
    };
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "Enabling fax detection '{}' '{}'", wanted.application, wanted.argument
    );
    if let Err(why) = start(&channel, wanted) {
        tracing::error!(uuid = %channel.uuid(), "Cannot Enable fax detection: {why}");
    }
    Ok(())
}

async fn stop_application(session: &mut Session, _argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    tracing::info!(uuid = %channel.uuid(), fs_level = "NOTICE", "Disabling fax detection");
    let running = channel.with(|data| std::mem::take(data.slot::<Running>()));
    let ran = running.0.as_ref().is_some_and(|task| !task.is_finished());
    drop(running);
    if ran {
        session.run_hooks("fax_close_detect").await;
    }
    Ok(())
}

fn start(channel: &Arc<Channel>, wanted: Wanted) -> Result<(), &'static str> {
    let runs = |running: &mut Running| running.0.as_ref().is_some_and(|task| !task.is_finished());
    if channel.with(|data| runs(data.slot::<Running>())) {
        return Err("Max Tones Reached!");
    }
    let leg = channel.media().ok_or("there is no audio")?;
    let answers = wanted.hz == CED && leg.codec().rate() == RATE;
    let detector = Steady::new(wanted.hz, leg.codec().rate());
    let mut detector = detector.ok_or("the tone cannot be heard on this leg")?;
    let mut heard = LegAudio::of(&leg).ok_or("the media engine is overloaded")?;
    drop(leg);
    let weak = Arc::downgrade(channel);
    let switch = Arc::clone(channel.switch());
    let task = foreign::spawn(async move {
        let began = Instant::now();
        let mut preamble = None;
        if answers {
            let loading = tokio::task::spawn_blocking(move || settings::library(&switch)).await;
            preamble = loading.ok().and_then(Result::ok).and_then(|l| AnswerDetector::new(&l));
        }
        let mut samples = Vec::new();
        let mut ticks = tokio::time::interval(FRAME);
        loop {
            ticks.tick().await;
            let open = heard.read(&mut samples);
            let Some(channel) = weak.upgrade().filter(|_| open) else { return };
            let found = detector.feed(&samples)
                | preamble.as_mut().is_some_and(|preamble| preamble.feed(&samples));
            if found {
                tell(&channel, &wanted);
            }
            if found || wanted.limit.is_some_and(|limit| began.elapsed() >= limit) {
                channel.queue_hooks("fax_close_detect");
                return;
            }
        }
    });
    // Another start at the same time may have left its own here: that one ends.
    let own = Running(Some(task.abort_handle()));
    drop(channel.with(|data| std::mem::replace(data.slot::<Running>(), own)));
    Ok(())
}

/// The tone was heard: hooks, the application, the event.
fn tell(channel: &Arc<Channel>, wanted: &Wanted) {
    let Wanted { application, argument, .. } = wanted;
    tracing::info!(uuid = %channel.uuid(), "Fax Tone Detected. [{application}][{argument}]");
    channel.queue_hooks("fax_detect");
    if channel.post(CallMessage::execute(application, argument)).is_err() {
        tracing::warn!(uuid = %channel.uuid(), "{application} is lost: the call's queue is full");
    }
    let tone = |event: &mut Event| {
        event.push("Detected-Fax-Tone", "true");
    };
    channel.fire_with(EventName::DetectedTone, tone, |_| {});
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_and_its_argument_are_needed() {
        assert_eq!(Wanted::parse("transfer"), None);
        let wanted = Wanted::parse("transfer fax 5 ced").unwrap();
        assert_eq!((wanted.hz, wanted.limit), (CED, Some(Duration::from_secs(5))));
        let wanted = Wanted::parse("transfer 'fax XML default' -3").unwrap();
        assert_eq!((wanted.argument.as_str(), wanted.hz), ("fax XML default", CNG));
        assert_eq!(wanted.limit, None);
    }

    #[test]
    fn a_steady_tone_is_one_and_speech_of_that_pitch_is_none() {
        let tone = |hz: f32, ms: u32| -> Vec<i16> {
            let samples = 0..ms as usize * 8;
            samples.map(|n| ((n as f32 / 8000.0 * hz * TAU).sin() * 4000.0) as i16).collect()
        };
        let hears = |hz: u32, audio: &[i16]| {
            let mut detector = Steady::new(hz, 8000).unwrap();
            audio.chunks(150).any(|frame| detector.feed(frame))
        };
        assert!(hears(CNG, &tone(1100.0, 500)));
        for hz in [1062.0, 1075.0, 1088.0, 1112.0, 1125.0, 1138.0] {
            assert!(hears(CNG, &tone(hz, 425)), "{hz}");
        }
        assert!(!hears(CNG, &tone(1000.0, 500)) && !hears(CNG, &tone(1200.0, 500)));
        assert!(hears(CED, &tone(2085.0, 500)) && hears(CED, &tone(2115.0, 500)));
        assert!(Steady::new(4000, 8000).is_none());
        assert!(hears(CED, &tone(2100.0, 500)));
        assert!(!hears(CNG, &tone(1100.0, 300)));
        assert!(!hears(CNG, &tone(2100.0, 3000)));
        assert!(!hears(CED, &tone(1100.0, 3000)));
        let broken: Vec<i16> =
            (0..10).flat_map(|_| [tone(1100.0, 200), vec![0; 800]].concat()).collect();
        assert!(!hears(CNG, &broken));
    }
}
