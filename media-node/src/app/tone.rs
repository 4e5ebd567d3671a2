//! `tone_detect`, `stop_tone_detect`: frequencies that sound together in a leg's audio, and what follows.

use std::sync::Arc;
use std::time::Duration;

use esl_server::CallMessage;
use esl_server::event::{Event, EventName};
use media::record::RecordMix;
use media::tone::ToneDetector;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{App, Flags};
use crate::api::{Api, ApiCall, usage};
use crate::call::{AppResult, Channel, Session};
use crate::{api, app, clock, text};

/// The family.
pub const APPS: &[App] = &[
    app!("tone_detect", "mod_dptools", Flags::NONE, "", "Detect tones", tone_detect),
    app!(
        "stop_tone_detect",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Stop detecting tones",
        stop_tone_detect
    ),
];

/// The command.
pub const APIS: &[Api] =
    &[api!("tone_detect", "mod_commands", SYNTAX, "Start tone detection on a channel", run)];

const SYNTAX: &str = "<uuid> <key> <tone_spec> [<flags> <timeout> <app> <args> <hits>]";
/// Tones one leg may be watched for.
const MAX_TONES: usize = 128;
/// How often the audio is looked at.
const FRAME: Duration = Duration::from_millis(20);
/// Frames after a hit in which no other is counted, unless `tone_detect_sleep` says otherwise.
const SLEEP: i64 = 25;
/// Frames after which hits are forgotten, unless `tone_detect_expires` says otherwise.
const EXPIRES: i64 = 250;

/// What to look for, and how often it has to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The name of it.
    pub key: String,
    /// Frequencies that sound together.
    pub frequencies: Vec<f32>,
    /// In what the leg hears instead of what it says.
    pub written: bool,
    /// Only once.
    pub once: bool,
    /// Hits it takes.
    pub hits: u32,
    /// Not longer than this.
    pub limit: Option<Duration>,
}

/// The tones a leg is watched for, by key.
#[derive(Debug, Default)]
pub struct Tones(Vec<(String, AbortHandle)>);

impl Tones {
    /// Their keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, task)| !task.is_finished()).map(|(key, _)| key.as_str())
    }
}

/// `480,620`
#[must_use]
pub fn frequencies(spec: &str) -> Vec<f32> {
    spec.split(',').filter_map(|hz| hz.trim().parse().ok()).filter(|hz| *hz > 0.0).collect()
}

/// Seconds from now (`+30`), or the time (seconds since the epoch) of the end; 0 is none. `Err` if it is over.
fn limit(word: Option<&str>) -> Result<Option<Duration>, ()> {
    let Some(word) = word else { return Ok(None) };
    let seconds = match word.strip_prefix('+') {
        Some(seconds) => text::int(seconds),
        None if text::int(word) == 0 => return Ok(None),
        None => text::int(word) - clock::now_secs(),
    };
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0).ok_or(())?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Watches a leg for tones; `found` is told each time all hits are there, and says whether to go on. A key that is
/// watched for already begins anew.
///
/// # Errors
/// Why it cannot be watched.
pub fn watch(
    channel: &Arc<Channel>,
    wanted: Wanted,
    found: impl FnMut(&Arc<Channel>) -> bool + Send + 'static,
) -> Result<(), &'static str> {
    let leg = channel.media().ok_or("there is no audio")?;
    let detector = ToneDetector::new(leg.codec().rate(), &wanted.frequencies)
        .ok_or("the frequencies cannot be heard")?;
    let number = |name: &str, default: i64| {
        let given = channel.var(name).map(|value| text::int(&value));
        given.filter(|&frames| frames > 0).unwrap_or(default)
    };
    let mut watching = Watching {
        detector,
        hits: 0,
        pause: 0,
        expires: 0,
        rules: (number("tone_detect_sleep", SLEEP), number("tone_detect_expires", EXPIRES)),
    };
    let total = match number("tone_detect_hits", 0) {
        0 => wanted.hits.max(1),
        hits => u32::try_from(hits).unwrap_or(1),
    };
    let mix = if wanted.written { RecordMix::WriteOnly } else { RecordMix::ReadOnly };
    let audio = leg.tap(mix).map_err(|_| "the media engine is overloaded")?;
    let key = wanted.key.clone();
    let weak = Arc::downgrade(channel);
    let task = tokio::spawn(async move {
        let mut tap = Tap { leg: Arc::downgrade(&leg), audio };
        drop(leg);
        let began = Instant::now();
        let (mut found, mut samples) = (found, Vec::new());
        let mut ticks = tokio::time::interval(FRAME);
        loop {
            ticks.tick().await;
            if wanted.limit.is_some_and(|limit| began.elapsed() >= limit) {
                return;
            }
            samples.clear();
            let open = tap.audio.read(&mut samples);
            let Some(channel) = weak.upgrade().filter(|_| open) else { return };
            if !watching.frame(&samples) || watching.hits < total {
                continue;
            }
            let name = format!("tone_detect_{}_total_time", wanted.key);
            channel.set_var(name, began.elapsed().as_millis().to_string());
            watching.again();
            if !found(&channel) {
                return;
            }
        }
    });
    channel.with(|data| {
        let tones = &mut data.tones.0;
        tones.retain(|(other, task)| {
            if *other == key {
                task.abort();
            }
            *other != key && !task.is_finished()
        });
        if tones.len() >= MAX_TONES {
            task.abort();
            return Err("too many tones");
        }
        tones.push((key, task.abort_handle()));
        Ok(())
    })
}

/// A leg's audio, given back when nobody looks any more.
struct Tap {
    leg: std::sync::Weak<media::Leg>,
    audio: media::record::live::LiveAudio,
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(leg) = self.leg.upgrade() {
            let _closed = leg.end_tap(&self.audio);
        }
    }
}

struct Watching {
    detector: ToneDetector,
    hits: u32,
    pause: i64,
    expires: i64,
    rules: (i64, i64),
}

impl Watching {
    /// One frame has passed; true if it was a hit.
    fn frame(&mut self, samples: &[i16]) -> bool {
        self.pause = (self.pause - 1).max(0);
        if self.expires > 0 {
            self.expires -= 1;
            if self.expires == 0 {
                (self.hits, self.pause) = (0, 0);
            }
        }
        let heard = self.detector.feed(samples);
        if !heard || self.pause > 0 {
            return false;
        }
        self.hits += 1;
        (self.pause, self.expires) = self.rules;
        true
    }

    fn again(&mut self) {
        (self.hits, self.pause, self.expires) = (0, 0, 0);
    }
}

/// Ends all watches of a leg.
pub fn stop(channel: &Channel) {
    let tones = channel.with(|data| std::mem::take(&mut data.tones.0));
    tones.iter().for_each(|(_, task)| task.abort());
}

/// Watches a leg, tells everybody what was found, and runs what was asked for then.
fn begin(
    channel: &Arc<Channel>,
    wanted: Wanted,
    application: Option<(String, String)>,
) -> Result<(), &'static str> {
    let key = wanted.key.clone();
    watch(channel, wanted, move |channel| {
        tracing::debug!(uuid = %channel.uuid(), "TONE {key} DETECTED");
        if let Some((application, argument)) = &application {
            let _full = channel.post(CallMessage::execute(application, argument));
        }
        let _full = channel.job(Box::new(|session| Box::pin(session.run_hooks("tone_detect"))));
        let event = || {
            let mut event = Event::new(EventName::DetectedTone);
            event.push("Detected-Tone", key.as_str());
            event
        };
        esl_server::fire!(channel.switch().bus, event());
        // Programs that steer the call get it as an event of the call.
        if channel.flags.controlled.load(std::sync::atomic::Ordering::Relaxed) {
            channel.queue_event(event());
        }
        // Found once, it is not looked for again before it is asked for again.
        false
    })
}

/// What stands behind the key and the frequencies: `[flags] [timeout] [app args] [hits]`.
fn wanted(key: &str, spec: &str, rest: &[String], hits: Option<&str>) -> Result<Wanted, ()> {
    let flags = rest.first().map_or("r", String::as_str);
    Ok(Wanted {
        key: key.to_owned(),
        frequencies: frequencies(spec),
        written: flags.contains('w') && !flags.contains('r'),
        once: flags.contains('o'),
        hits: hits.map_or(1, |hits| u32::try_from(text::int(hits)).unwrap_or(1)),
        limit: limit(rest.get(1).map(String::as_str))?,
    })
}

/// `<key> <freqs> [r|w] [+timeout|0] [<app> <args>] [hits]`
async fn tone_detect(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 7);
    let [key, spec, rest @ ..] = words.as_slice() else {
        tracing::error!(uuid = %channel.uuid(), "INVALID ARGS!");
        return Ok(());
    };
    let word = |at: usize| rest.get(at).map(String::as_str);
    let (application, hits) = match (word(2), word(3)) {
        (Some(app), Some(args)) => (Some((app.to_owned(), args.to_owned())), word(4)),
        (hits, _) => (None, hits),
    };
    let Ok(wanted) = wanted(key, spec, rest, hits) else {
        tracing::error!(uuid = %channel.uuid(), "INVALID Timeout!");
        return Ok(());
    };
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "Enabling tone detection '{key}' '{spec}'"
    );
    if let Err(error) = begin(&channel, wanted, application) {
        tracing::error!(uuid = %channel.uuid(), "Cannot detect tones: {error}");
    }
    Ok(())
}

async fn stop_tone_detect(session: &mut Session, _argument: &str) -> AppResult {
    stop(session.channel());
    Ok(())
}

fn run(call: &ApiCall) -> String {
    let words = call.words(8);
    if words.is_empty() {
        return usage(SYNTAX);
    }
    let [uuid, key, spec, rest @ ..] = words.as_slice() else {
        tracing::error!("-ERR INVALID ARGS!");
        return String::new();
    };
    let Some(channel) = call.switch.channel(uuid) else {
        return "-ERR Cannot locate session!\n".into();
    };
    let word = |at: usize| rest.get(at).map(String::as_str);
    let application = word(2).map(|app| (app.to_owned(), word(3).unwrap_or_default().to_owned()));
    let Ok(wanted) = wanted(key, spec, rest, word(4)) else {
        tracing::error!(uuid = %channel.uuid(), "INVALID Timeout!");
        return String::new();
    };
    if let Err(error) = begin(&channel, wanted, application) {
        tracing::error!(uuid = %channel.uuid(), "Cannot detect tones: {error}");
    }
    let flags = word(0).unwrap_or("(null)");
    format!("+OK Enabling tone detection '{key}' '{spec}' '{flags}'\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_behind_the_frequencies_say_how() {
        let words = |text: &str| text::words(text, 8);
        let given = wanted("busy", "480,620", &words("w +5"), Some("3")).unwrap();
        assert_eq!(given.frequencies, [480.0, 620.0]);
        assert!(given.written && !given.once);
        assert_eq!((given.hits, given.limit), (3, Some(Duration::from_secs(5))));
        assert_eq!(wanted("x", "1", &words("r 0"), None).unwrap().limit, None);
        assert!(wanted("x", "1", &words("r +0"), None).is_err());
        assert!(wanted("x", "1", &words("r 5"), None).is_err());
    }

    #[test]
    fn hits_are_counted_apart_and_forgotten_in_time() {
        let tone: Vec<i16> = (0..160)
            .map(|n| ((n as f32 / 8000.0 * 1000.0 * std::f32::consts::TAU).sin() * 8000.0) as i16)
            .collect();
        let mut watching = Watching {
            detector: ToneDetector::new(8000, &[1000.0]).unwrap(),
            hits: 0,
            pause: 0,
            expires: 0,
            rules: (5, 20),
        };
        let hits: Vec<bool> = (0..14).map(|_| watching.frame(&tone)).collect();
        assert_eq!(hits.iter().filter(|hit| **hit).count(), 3);
        for _ in 0..20 {
            watching.frame(&[0; 160]);
        }
        assert_eq!(watching.hits, 0);
    }
}
