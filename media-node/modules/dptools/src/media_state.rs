//! A call's media as such: `media_reset`, `set_media_stats`, `sound_test`.

use std::sync::Arc;
use std::time::Duration;

use media::record::RecordMix;
use tokio::time::Instant;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Session, Wake, statistics};

/// The family.
pub const APPS: &[App] = &[
    app!(
        "media_reset",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Reset all bypass/proxy media flags",
        media_reset
    ),
    app!(
        "set_media_stats",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE),
        "",
        "Set Media Stats",
        set_media_stats
    ),
    app!("sound_test", "mod_dptools", Flags::NONE, "", "Analyze Audio", sound_test),
];

/// How often `sound_test` looks at the audio.
const FRAME: Duration = Duration::from_millis(20);
/// Frames whose peaks make one average.
const PERIOD: u64 = 50;

/// Media is to pass through the switch after all; only before there is any.
async fn media_reset(session: &mut Session, _argument: &str) -> AppResult {
    let channel = session.channel();
    if channel.has_media() {
        tracing::warn!(
            uuid = %channel.uuid(),
            "{} This function does not work once media has been established.",
            channel.name()
        );
        return Ok(());
    }
    channel.unset_var("bypass_media");
    channel.unset_var("proxy_media");
    tracing::info!(uuid = %channel.uuid(), "{} Reset MEDIA flags.", channel.name());
    Ok(())
}

async fn set_media_stats(session: &mut Session, _argument: &str) -> AppResult {
    statistics::set(session.channel());
    Ok(())
}

/// Loudness of one frame, and what is remembered of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Loudness {
    average: u64,
    peak: u64,
    period: (u64, u64),
    all: (u64, u64),
    overall: u64,
}

impl Loudness {
    fn take(&mut self, samples: &[i16]) {
        let levels = samples.iter().map(|sample| u64::from(sample.unsigned_abs()));
        self.average = levels.clone().sum::<u64>() / samples.len().max(1) as u64;
        self.peak = levels.max().unwrap_or(0);
        for (sum, count) in [&mut self.period, &mut self.all] {
            (*sum, *count) = (*sum + self.peak, *count + 1);
        }
    }

    /// The average of the period's peaks; begins another one when it is over.
    fn period(&mut self) -> u64 {
        let (sum, count) = self.period;
        if count >= PERIOD {
            self.period = (0, 0);
            self.overall = self.all.0 / self.all.1.max(1);
        }
        sum / count.max(1)
    }
}

/// Logs how loud the far end is, frame by frame, until the call ends or the application is broken.
async fn sound_test(session: &mut Session, _argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Ok(()) };
    let Ok(mut audio) = leg.tap(RecordMix::ReadOnly) else { return Ok(()) };
    let (mut loudness, mut samples) = (Loudness::default(), Vec::new());
    let result = loop {
        match session.wait(Some(Instant::now() + FRAME)).await {
            Ok(Wake::Broken) => break Ok(()),
            Ok(_) => {}
            Err(interrupt) => break Err(interrupt),
        }
        samples.clear();
        if !audio.read(&mut samples) {
            break Ok(());
        }
        if samples.is_empty() {
            continue;
        }
        loudness.take(&samples);
        let period = loudness.period();
        let Loudness { average, peak, overall, .. } = loudness;
        tracing::info!(
            uuid = %channel.uuid(), fs_level = "CONSOLE",
            "packet_avg={average} packet_peak={peak} period_avg={period} global_avg={overall}"
        );
    };
    let _closed = leg.end_tap(&audio);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_is_told_of_a_frame_a_period_and_the_whole() {
        let mut loudness = Loudness::default();
        loudness.take(&[100, -300]);
        assert_eq!((loudness.average, loudness.peak, loudness.period()), (200, 300, 300));
        for _ in 1..PERIOD {
            loudness.take(&[0, 100]);
        }
        assert_eq!(loudness.period(), (300 + 49 * 100) / 50);
        assert_eq!(loudness.overall, 104, "known once a period is over");
        loudness.take(&[i16::MIN]);
        assert_eq!((loudness.peak, loudness.period()), (32_768, 32_768));
    }
}
