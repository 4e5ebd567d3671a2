//! Frequencies that sound together in a leg's audio: watching for them.

use std::sync::Arc;
use std::time::Duration;

use media::record::RecordMix;
use media::tone::ToneDetector;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Channel;
use crate::text;

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
    let task = crate::foreign::spawn(async move {
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

/// A leg's audio, released when it is not watched any more.
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

#[cfg(test)]
mod tests {
    use super::*;

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
