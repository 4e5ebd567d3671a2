//! `record`: writes what the caller says to a file, and waits for its end.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::EventName;
use media::event::RecordEnd;
use media::record::{RecordMix, SilenceStop};
use media::{RecordId, RecordReport, RecordSpec};
use tokio::time::Instant;

use super::play::terminators;
use super::record::{CLOSING, Ended, next_media_event, resolve, set_figures};
use crate::call::audio::{read_linear, set_read_codec};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, Wake};
use crate::text;

/// Seconds of silence that end a recording when a threshold is given without hits.
const SILENCE_SECONDS: u32 = 3;

/// The application.
pub(super) async fn record(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let channel = Arc::clone(session.channel());
    let Some(path) = words.first() else { return Ok(()) };
    let number = |index: usize| {
        let word = words.get(index).map(|w| w.trim_start_matches('+'));
        word.map_or(0, text::int).max(0)
    };
    let mut spec = RecordSpec::new(resolve(&channel, path));
    spec.mix = RecordMix::ReadOnly;
    let rate = channel.variable("record_rate").map_or(0, |r| text::int(&r));
    spec.rate = u32::try_from(rate).ok().filter(|r| *r > 0);
    spec.append = channel.is_true("RECORD_APPEND");
    if number(2) > 0 {
        let seconds = u32::try_from(number(3)).unwrap_or(0);
        let seconds = if seconds == 0 { SILENCE_SECONDS } else { seconds };
        let threshold = u32::try_from(number(2)).unwrap_or(u32::MAX);
        let after_ms = seconds.saturating_mul(1000);
        spec.silence = Some(SilenceStop { threshold, after_ms, before_ms: None });
    }
    channel.unset_var("playback_terminator_used");
    channel.set_var("silence_hits_exhausted", "false");
    let limit = time_limit(number(1));
    record_file(session, path, spec, limit).await
}

/// The reference compares whole seconds of the clock, so a limit of three ends between three and
/// four seconds.
fn time_limit(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s > 0)?;
    let now_us = u64::try_from(crate::clock::now_us()).unwrap_or(0);
    let into_second = Duration::from_micros(now_us % 1_000_000);
    Some(Duration::from_secs(seconds + 1).saturating_sub(into_second))
}

async fn record_file(
    session: &mut Session,
    path: &str,
    spec: RecordSpec,
    limit: Option<Duration>,
) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Ok(()) };
    if !session.wait_for(super::record::is_writable(&channel, path)).await? {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err(Interrupt::Hangup);
    }
    let codec = read_linear(&channel);
    channel.fire_with(
        EventName::RecordStart,
        |_| {},
        |event| {
            event.push("Record-File-Path", path.to_owned());
        },
    );
    let silence = spec.silence.is_some();
    let Ok(id) = leg.record(spec) else {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err(Interrupt::Hangup);
    };
    let result = follow(session, id, limit).await;
    let _over = leg.stop_record(id);
    let report = await_report(session, id).await;
    if let Some(report) = &report {
        channel.set_var("record_record_file_size", report.bytes.to_string());
        channel.set_var("record_file_size", report.bytes.to_string());
        set_figures(&channel, report, false);
        if silence && report.reason == RecordEnd::Silence {
            channel.set_var("silence_hits_exhausted", "true");
        }
    }
    channel.fire_with(
        EventName::RecordStop,
        |_| {},
        |event| {
            event.push("Record-File-Path", path.to_owned());
        },
    );
    if let Some(codec) = codec {
        set_read_codec(&channel, &codec);
    }
    result?;
    let (why, begun) = match &report {
        None => ("the recorder is gone", false),
        Some(RecordReport { reason: RecordEnd::Failed(why), samples, .. }) => {
            (why.as_str(), *samples > 0)
        }
        Some(_) => return Ok(()),
    };
    tracing::error!(uuid = %channel.uuid(), "Cannot record to {path}: {why}");
    if begun {
        // The disk filled up: what was recorded stays, and the call goes on.
        return Ok(());
    }
    channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
    Err(Interrupt::Hangup)
}

/// Waits for the end of a recording: a key, a break, the limit, silence.
async fn follow(session: &mut Session, id: RecordId, limit: Option<Duration>) -> AppResult {
    let keys = terminators(session.channel());
    let until = limit.map(|l| Instant::now() + l);
    loop {
        while let Some(digit) = session.take_digit() {
            if keys.contains(digit.digit) {
                session.channel().set_var("playback_terminator_used", digit.digit.to_string());
                return Ok(());
            }
        }
        if has_report(session.channel(), id) {
            return Ok(());
        }
        match session.wait(until).await? {
            Wake::Timeout | Wake::Broken => return Ok(()),
            _ => {}
        }
    }
}

fn has_report(channel: &Channel, id: RecordId) -> bool {
    channel.with(|data| data.slot::<Ended>().0.as_ref().is_some_and(|(ended, _)| *ended == id))
}

async fn await_report(session: &mut Session, id: RecordId) -> Option<RecordReport> {
    let until = Instant::now() + CLOSING;
    while !has_report(session.channel(), id) {
        let going_on = if session.check().is_ok() {
            !matches!(session.wait(Some(until)).await, Ok(Wake::Timeout))
        } else {
            next_media_event(session, until).await
        };
        if !going_on {
            return None;
        }
    }
    session.channel().with(|data| data.slot::<Ended>().0.take()).map(|(_, report)| report)
}
