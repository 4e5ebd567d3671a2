//! `record`: writes what the caller says to a file, and waits for its end.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::EventName;
use media::event::RecordEnd;
use media::record::{NOISE, RecordMix, SilenceStop, noise_level};
use media::{Leg, PlayId, RecordId, RecordReport, RecordSpec};
use tokio::time::Instant;

use super::play::terminators;
use super::record::{CLOSING, Ended, Unsent, next_media_event, set_figures, target};
use crate::call::audio::{read_linear, set_read_codec};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, Wake};
use crate::contract::Sink;
use crate::text;

/// Seconds of silence that end a recording when a threshold is given without hits.
const SILENCE_SECONDS: u32 = 3;

/// The application.
pub(super) async fn record(session: &mut Session, argument: &str) -> AppResult {
    let marked = text::words_marked(argument, 4);
    let words: Vec<String> = marked.iter().cloned().map(base::far::into_plain).collect();
    let channel = Arc::clone(session.channel());
    let (Some(path), Some(marked)) = (words.first(), marked.first()) else { return Ok(()) };
    let number = |index: usize| {
        let word = words.get(index).map(|w| w.trim_start_matches('+'));
        word.map_or(0, text::int).max(0)
    };
    let (file, sink) = match target(&channel, marked) {
        Ok(target) => target,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot record: {error}");
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            return Err(Interrupt::Hangup);
        }
    };
    let mut spec = RecordSpec::new(file);
    spec.mix = RecordMix::ReadOnly;
    let rate = channel.variable("record_rate").map_or(0, |r| text::int(&r));
    spec.rate = u32::try_from(rate).ok().filter(|r| *r > 0);
    spec.append = channel.is_true("RECORD_APPEND");
    spec.over = channel.is_true("RECORD_WRITE_OVER");
    spec.fill = channel.var("record_fill_cng").and_then(|level| noise_level(&level));
    spec.waste = waste(&channel);
    spec.silence = silence_stop(number(2), number(3));
    spec.redact = super::record::redaction(|name| channel.var(name));
    channel.unset_var("playback_terminator_used");
    channel.set_var("silence_hits_exhausted", "false");
    let limit = time_limit(number(1));
    record_file(session, path, spec, limit, sink).await
}

/// The noise a recording sends meanwhile (`record_waste_resources`): FreeSWITCH sends some unless told not to.
pub(super) fn waste(channel: &Channel) -> Option<u32> {
    let level = channel.var("record_waste_resources");
    level.map_or(Some(NOISE), |level| noise_level(&level))
}

/// Silence that ends a recording: below a level, for so many seconds. `None` without a level.
pub(super) fn silence_stop(threshold: i64, seconds: i64) -> Option<SilenceStop> {
    let threshold = u32::try_from(threshold.max(0)).unwrap_or(u32::MAX);
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let after_ms = seconds.unwrap_or(SILENCE_SECONDS).saturating_mul(1000);
    (threshold > 0).then_some(SilenceStop { threshold, after_ms, before_ms: None })
}

/// The reference compares whole seconds of the clock, so a limit of three ends between three and
/// four seconds.
pub(super) fn time_limit(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s > 0)?;
    let now_us = u64::try_from(crate::clock::now_us()).unwrap_or(0);
    let into_second = Duration::from_micros(now_us % 1_000_000);
    Some(Duration::from_secs(seconds + 1).saturating_sub(into_second))
}

/// Records until a key, the limit, silence or a break ends it; the channel ends if the file cannot be written. `sink` has
/// the file once it is closed, however late that is.
pub(super) async fn record_file(
    session: &mut Session,
    path: &str,
    spec: RecordSpec,
    limit: Option<Duration>,
    sink: Option<Arc<dyn Sink>>,
) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Ok(()) };
    if !session.wait_for(super::record::is_file_writable(&channel, spec.path.clone())).await? {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err(Interrupt::Hangup);
    }
    let indication = indicate(session, &leg).await?;
    let codec = read_linear(&channel);
    channel.fire_with(
        EventName::RecordStart,
        |_| {},
        |event| {
            event.push("Record-File-Path", path.to_owned());
        },
    );
    let silence = spec.silence.is_some();
    // Under one lock: its end may be told at once.
    let begun = channel.with(|data| {
        let id = leg.record(spec)?;
        data.slot::<Unsent>().0.extend(sink.map(|sink| (id, sink)));
        Ok::<_, media::LegError>(id)
    });
    let Ok(id) = begun else {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err(Interrupt::Hangup);
    };
    let result = follow(session, id, limit).await;
    let _over = leg.stop_record(id);
    if let Some(play) = indication {
        let _ended = leg.stop_play(play);
    }
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
    let shown = base::secrets::masked(path);
    tracing::error!(uuid = %channel.uuid(), "Cannot record to {shown}: {why}");
    if begun {
        // The disk filled up: what was recorded stays, and the call goes on.
        return Ok(());
    }
    channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
    Err(Interrupt::Hangup)
}

/// What the caller hears as a recording begins (`record_indication`), beside it.
async fn indicate(session: &mut Session, leg: &Leg) -> Result<Option<PlayId>, Interrupt> {
    let channel = Arc::clone(session.channel());
    let Some(name) = channel.var("record_indication").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    match session.open_plan(&name, leg.codec().rate()).await? {
        Ok(plan) => Ok(leg.play_alone(Box::new(plan)).ok()),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Indication file invalid: {error}");
            Ok(None)
        }
    }
}

/// Waits for the end of a recording: a key, a break, the limit, silence.
async fn follow(session: &mut Session, id: RecordId, limit: Option<Duration>) -> AppResult {
    let keys = terminators(session.channel());
    let starts_over = session.channel().is_true("record_restart_limit_on_dtmf");
    let mut until = limit.map(|l| Instant::now() + l);
    loop {
        while let Some(digit) = session.take_digit() {
            if starts_over {
                until = limit.map(|l| Instant::now() + l);
            }
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
