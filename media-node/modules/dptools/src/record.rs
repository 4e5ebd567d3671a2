//! Recording beside everything else: `record_session` and its kin. `record`, which only listens to the caller, is in
//! `record_file`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use esl_server::event::{Event, EventName};
use media::event::RecordEnd;
use media::record::{RecordMix, Redaction, SilenceStop, Tags};
use media::{LegEvent, RecordId, RecordReport, RecordSpec};
use tokio::time::Instant;

use super::play::source_options;
use super::record_hooks::{self, Conditions, Moment};
use super::{App, Flags, record_file};
use crate::app;
use crate::call::{AppResult, Cause, Channel, LegEvent as CallEvent, Session, Wake};
use crate::contract::{self, Sink};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "record",
        "mod_dptools",
        Flags::NONE,
        "<path> [<time_limit_secs>] [<silence_thresh>] [<silence_hits>]",
        "Record File",
        record_file::record
    )
    .path()
    .marked(),
    app!(
        "record_session",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path> [+<timeout>] [{var1=x,var2=y}]",
        "Record Session",
        record_session
    )
    .path()
    .marked(),
    app!(
        "stop_record_session",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Stop Record Session",
        stop_record_session
    )
    .path(),
    app!(
        "record_session_mask",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Replace audio in recording with blank data to make secret part of call.",
        mask
    )
    .path(),
    app!(
        "record_session_unmask",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Resume normal operation after calling mask",
        unmask
    )
    .path(),
    app!(
        "record_session_pause",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Pause recording of session",
        pause
    )
    .path(),
    app!(
        "record_session_resume",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<path>",
        "Resume recording of session",
        resume
    )
    .path(),
];

/// How long a finished recording's file may take to be closed.
pub(super) const CLOSING: Duration = Duration::from_secs(2);
/// Level below which `RECORD_FINAL_TIMEOUT_MS` counts silence unless told otherwise.
const SILENCE_LEVEL: u32 = 200;

/// The `record` application's recording that has ended.
#[derive(Default)]
pub(super) struct Ended(pub(super) Option<(RecordId, RecordReport)>);

/// Where recordings of the `record` application go that are not closed yet.
#[derive(Default)]
pub(super) struct Unsent(pub(super) Vec<(RecordId, Arc<dyn Sink>)>);

impl Unsent {
    fn take(&mut self, id: RecordId) -> Option<Arc<dyn Sink>> {
        let at = self.0.iter().position(|(unsent, _)| *unsent == id)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// A recording of a session, as the channel remembers it.
#[derive(Clone, Debug)]
pub struct Recording {
    path: String,
    pub(super) id: RecordId,
    variables: Vec<(String, String)>,
    /// Shorter ones are thrown away (`RECORD_MIN_SEC`), milliseconds.
    min_ms: u64,
    /// How it is written, for the leg that goes on with it.
    spec: RecordSpec,
    /// Sends it elsewhere once it is closed for good.
    sink: Option<Arc<dyn Sink>>,
    /// The leg that goes on with it once its file is closed.
    follower: Weak<Channel>,
    pub(super) conditions: Conditions,
    /// They are not met.
    pub(super) waiting: bool,
    /// Paused by a command.
    paused: bool,
}

impl Recording {
    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.waiting
    }
}

/// Why a session recording cannot begin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The leg has no media.
    #[error("no media")]
    NoMedia,
    /// That file is being written already.
    #[error("already recording to that file")]
    Busy,
    /// The partner writes that file already (`RECORD_CHECK_BRIDGE`).
    #[error("the partner is recording to that file")]
    Partner,
    /// The second start of a file stopped it (`RECORD_TOGGLE_ON_REPEAT`).
    #[error("stopped")]
    Toggled,
    /// The media engine refuses.
    #[error("the media engine is overloaded")]
    Overloaded,
    /// Nothing is sent to that address.
    #[error("{0}")]
    Address(String),
}

/// A yes-or-no step of one recording.
#[derive(Clone, Copy, Debug)]
pub enum Switch {
    /// Silence in place of the audio.
    Mask(bool),
    /// Time left out.
    Pause(bool),
}

pub(super) fn resolve(channel: &Channel, path: &str) -> PathBuf {
    source_options(channel, 8000).sound_prefix.join(path)
}

/// The file a recording to `path` is written to, and what sends it on if that is an address. What a far end said in it is
/// marked.
///
/// # Errors
/// Why nothing is recorded there.
pub(super) fn target(
    channel: &Channel,
    path: &str,
) -> Result<(PathBuf, Option<Arc<dyn Sink>>), String> {
    if let Some(sink) = contract::sink(channel.switch(), path) {
        return sink.map(|sink| (sink.file().to_owned(), Some(sink)));
    }
    let path = base::far::plain(path);
    match path.split_once("://") {
        Some((scheme, _)) => Err(format!("nothing writes to {scheme}://")),
        None => Ok((resolve(channel, &path), None)),
    }
}

/// Begins a recording beside everything else. `variables` win over the channel's. What a far end said in the path is
/// marked.
///
/// # Errors
/// See [`StartError`]; a file that cannot be opened is told later, by the log.
pub fn start(
    channel: &Arc<Channel>,
    marked: &str,
    limit: Option<Duration>,
    variables: Vec<(String, String)>,
) -> Result<(), StartError> {
    let path = &*base::far::plain(marked);
    let var = |name: &str| {
        let own = variables.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.clone()).or_else(|| channel.variable(name))
    };
    if is_recording_to(channel, path) {
        if var("RECORD_TOGGLE_ON_REPEAT").is_some_and(|v| text::is_true(&v)) {
            stop(channel, path);
            return Err(StartError::Toggled);
        }
        return Err(StartError::Busy);
    }
    if let Some(partner) = channel.partner()
        && var("RECORD_CHECK_BRIDGE").is_some_and(|v| text::is_true(&v))
        && is_recording_to(&partner, path)
    {
        if !partner.is_true("RECORD_TOGGLE_ON_REPEAT") {
            return Err(StartError::Partner);
        }
        stop(&partner, path);
        return Err(StartError::Toggled);
    }
    let (file, sink) = target(channel, marked).map_err(StartError::Address)?;
    let spec = session_spec(file, limit, &var);
    // What is added to an older recording is kept however short it is.
    let min_sec = var("RECORD_MIN_SEC").map_or(0, |s| text::int(&s)).max(0).unsigned_abs();
    let min_ms = if spec.append { 0 } else { min_sec.saturating_mul(1000) };
    let conditions = Conditions::of(&var);
    begin(channel, spec.clone(), |id| Recording {
        path: path.to_owned(),
        id,
        variables: variables.clone(),
        min_ms,
        spec,
        sink,
        follower: Weak::new(),
        conditions,
        waiting: false,
        paused: false,
    })?;
    channel.fire_with(
        EventName::RecordStart,
        |_| {},
        |event| {
            event.push("Record-File-Path", path.to_owned());
            push_variables(event, &variables);
        },
    );
    fire_bug(channel, EventName::MediaBugStart, path);
    record_hooks::run(channel, Moment::Start, &variables);
    Ok(())
}

/// Begins to write. The recording is remembered under the lock it is looked up under: its end may be told at once.
fn begin(
    channel: &Channel,
    spec: RecordSpec,
    new: impl FnOnce(RecordId) -> Recording,
) -> Result<(), StartError> {
    let leg = channel.media().ok_or(StartError::NoMedia)?;
    let answered = channel.is_answered();
    channel.with(|data| {
        let mut new = new(leg.record(spec).map_err(|_| StartError::Overloaded)?);
        new.waiting = !new.conditions.met(answered, data.bridge.is_some());
        if new.is_paused() {
            leg.pause_record(new.id, true).map_err(|_| StartError::Overloaded)?;
        }
        data.slot::<Vec<Recording>>().push(new);
        Ok(())
    })
}

/// A leg is put on hold: with `flip_record_on_hold` its recordings go on with the partner, who keeps them.
pub fn flip(holder: &Channel, on: bool) {
    if let Some(partner) = holder.partner().filter(|_| on && holder.is_true("flip_record_on_hold"))
    {
        hand_on(holder, &partner);
    }
}

/// A leg leaves its partner by a transfer: with `recording_follow_transfer` its recordings go on with the partner, in
/// the same files, once they are closed here.
pub fn follow(from: &Channel, to: &Arc<Channel>) {
    if from.is_true("recording_follow_transfer") {
        hand_on(from, to);
    }
}

/// The recordings of a leg go on with another, in the same files, once they are closed here.
pub(super) fn hand_on(from: &Channel, to: &Arc<Channel>) {
    if to.media().is_none() {
        return;
    }
    for name in ["record_post_process_exec_api", "record_post_process_exec_app"] {
        if let Some(value) = from.var(name) {
            to.set_var(name, value);
        }
    }
    from.with(|data| {
        data.slot::<Vec<Recording>>().iter_mut().for_each(|r| r.follower = Arc::downgrade(to))
    });
    stop(from, "all");
}

/// Goes on with a recording that was closed for that; false when there is none.
fn go_on(recording: &Recording, report: &RecordReport) -> bool {
    let Some(to) = recording.follower.upgrade().filter(|to| to.is_up()) else { return false };
    let mut spec = recording.spec.clone();
    spec.append = true;
    spec.limit_ms = spec.limit_ms.map(|limit| limit.saturating_sub(report.millis()).max(1));
    let follower = Weak::new();
    let new = |id| Recording { id, spec: spec.clone(), follower, ..recording.clone() };
    begin(&to, spec.clone(), new).is_ok()
}

/// Whether pressed keys are kept out (`redact_digits`).
pub(super) fn redaction(var: impl Fn(&str) -> Option<String>) -> Option<Redaction> {
    Redaction::asked(var("redact_digits").as_deref(), var("redact_hang_ms").as_deref())
}

fn session_spec(
    path: PathBuf,
    limit: Option<Duration>,
    var: &impl Fn(&str) -> Option<String>,
) -> RecordSpec {
    let truth = |name: &str| var(name).is_some_and(|v| text::is_true(&v));
    let number = |name: &str| var(name).and_then(|v| u32::try_from(text::int(&v)).ok());
    let mut spec = RecordSpec::new(path);
    spec.mix = if truth("RECORD_STEREO_SWAP") {
        RecordMix::StereoSwapped
    } else if truth("RECORD_STEREO") {
        RecordMix::Stereo
    } else if truth("RECORD_READ_ONLY") {
        RecordMix::ReadOnly
    } else if truth("RECORD_WRITE_ONLY") {
        RecordMix::WriteOnly
    } else {
        RecordMix::Mono
    };
    spec.rate = number("record_sample_rate").filter(|r| *r > 0);
    spec.append = truth("RECORD_APPEND");
    spec.lead = number("RECORD_PRE_BUFFER_FRAMES").unwrap_or(0);
    spec.limit_ms = limit.map(|l| l.as_millis() as u64);
    let (initial, last) = (number("RECORD_INITIAL_TIMEOUT_MS"), number("RECORD_FINAL_TIMEOUT_MS"));
    if initial.is_some() || last.is_some() {
        let threshold = number("RECORD_SILENCE_THRESHOLD").unwrap_or(SILENCE_LEVEL);
        let (after_ms, before_ms) = (last.unwrap_or(0), Some(initial.unwrap_or(0)));
        spec.silence = Some(SilenceStop { threshold, after_ms, before_ms });
    }
    spec.redact = redaction(var);
    let tag = |name: &str| var(name).unwrap_or_default();
    spec.tags = Tags {
        title: tag("RECORD_TITLE"),
        copyright: tag("RECORD_COPYRIGHT"),
        software: tag("RECORD_SOFTWARE"),
        artist: tag("RECORD_ARTIST"),
        comment: tag("RECORD_COMMENT"),
        date: tag("RECORD_DATE"),
    };
    spec
}

/// Ends the recording to `path`, or every one for `all`. False when there is none. Its events are
/// fired when the file is closed.
pub fn stop(channel: &Channel, path: &str) -> bool {
    for_each(channel, path, |leg, recording| {
        let _closed = leg.stop_record(recording.id);
    })
}

/// Whether the recording to `path` (any one for `all`) is still being written.
pub fn is_recording(channel: &Channel, path: &str) -> bool {
    let all = path.eq_ignore_ascii_case("all");
    channel.with(|data| data.slot::<Vec<Recording>>().iter().any(|r| all || r.path == path))
}

fn is_recording_to(channel: &Channel, path: &str) -> bool {
    channel.with(|data| data.slot::<Vec<Recording>>().iter().any(|r| r.path == path))
}

/// Can that file be written? Makes its directories, and tries. The caller gets an answer at once; [`start`] itself
/// leaves the file to the media engine.
pub async fn is_writable(channel: &Channel, path: &str) -> bool {
    let path = match target(channel, path) {
        Ok((path, _)) => path,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot record: {error}");
            return false;
        }
    };
    is_file_writable(channel, path).await
}

/// [`is_writable`] of the file itself.
pub(super) async fn is_file_writable(channel: &Channel, path: PathBuf) -> bool {
    match tokio::task::spawn_blocking(move || try_to_write(&path)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot record: {error}");
            false
        }
        Err(_) => false,
    }
}

fn try_to_write(path: &Path) -> std::io::Result<()> {
    media::record::check_form(path)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let new = !path.exists();
    std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    if new { std::fs::remove_file(path) } else { Ok(()) }
}

/// Files being recorded to.
pub fn paths(channel: &Channel) -> Vec<String> {
    channel.with(|data| data.slot::<Vec<Recording>>().iter().map(|r| r.path.clone()).collect())
}

/// Masks or pauses the recording to `path`, or every one for `all`. False when there is none.
pub fn switch(channel: &Channel, path: &str, what: Switch) -> bool {
    if let Switch::Pause(on) = what {
        channel.with(|data| {
            let all = path.eq_ignore_ascii_case("all");
            let recordings = data.slot::<Vec<Recording>>().iter_mut();
            recordings.filter(|r| all || r.path == path).for_each(|r| r.paused = on);
        });
    }
    for_each(channel, path, |leg, recording| {
        let _closed = match what {
            Switch::Mask(on) => leg.mask_record(recording.id, on),
            Switch::Pause(_) => leg.pause_record(recording.id, recording.is_paused()),
        };
    })
}

fn for_each(channel: &Channel, path: &str, each: impl Fn(&media::Leg, &Recording)) -> bool {
    let Some(leg) = channel.media() else { return false };
    let all = path.eq_ignore_ascii_case("all");
    let found: Vec<Recording> = channel.with(|data| {
        data.slot::<Vec<Recording>>().iter().filter(|r| all || r.path == path).cloned().collect()
    });
    found.iter().for_each(|recording| each(&leg, recording));
    !found.is_empty()
}

/// A recording has ended: figures, events, and what else its variables ask for.
pub(super) fn ended(channel: &Arc<Channel>, id: RecordId, report: &RecordReport) {
    let recording = channel.with(|data| {
        let index = data.slot::<Vec<Recording>>().iter().position(|r| r.id == id)?;
        Some(data.slot::<Vec<Recording>>().remove(index))
    });
    let Some(recording) = recording else {
        // The `record` application waits for this one itself.
        let sink = channel.with(|data| {
            data.slot::<Ended>().0 = Some((id, report.clone()));
            data.slot::<Unsent>().take(id)
        });
        if let Some(sink) = sink {
            sink.send();
        }
        return;
    };
    if !matches!(report.reason, RecordEnd::Failed(_)) && go_on(&recording, report) {
        return;
    }
    if let RecordEnd::Failed(reason) = &report.reason {
        let shown = base::secrets::masked(&recording.path);
        tracing::error!(uuid = %channel.uuid(), "Error recording {shown}: {reason}");
        if channel.is_true("RECORD_HANGUP_ON_ERROR") {
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        }
    }
    let short = report.millis() < recording.min_ms;
    if short && std::fs::remove_file(&report.path).is_ok() {
        channel.set_var("RECORD_DISCARDED", "true");
    }
    if let Some(sink) = recording.sink.filter(|_| !short) {
        sink.send();
    }
    let cause = completion(report, short, !channel.is_up());
    channel.set_var("record_file_size", report.bytes.to_string());
    set_figures(channel, report, true);
    channel.set_var("record_completion_cause", cause);
    channel.fire_with(
        EventName::RecordStop,
        |_| {},
        |event| {
            event.push("Record-File-Path", recording.path.clone());
            push_variables(event, &recording.variables);
            event.push("Record-Completion-Cause", cause);
        },
    );
    fire_bug(channel, EventName::MediaBugStop, &recording.path);
    record_hooks::run(channel, Moment::Stop, &recording.variables);
}

/// The words are the reference's: an explicit stop counts as reaching the end, a hangup as silence.
fn completion(report: &RecordReport, short: bool, over: bool) -> &'static str {
    match &report.reason {
        RecordEnd::Failed(_) => "uri-failure",
        _ if short => "input-too-short",
        RecordEnd::Silence => "success-silence",
        RecordEnd::NoInput => "no-input-timeout",
        _ if report.samples == 0 => "empty-file",
        _ if over && report.spoke => "success-silence",
        _ if over => "no-input-timeout",
        _ => "success-maxtime",
    }
}

fn push_variables(event: &mut Event, variables: &[(String, String)]) {
    for (name, value) in variables {
        event.push(format!("Recording-Variable-{name}"), value.clone());
    }
}

fn fire_bug(channel: &Channel, name: EventName, path: &str) {
    channel.fire_with(
        name,
        |event| {
            event.push("Media-Bug-Function", "session_record");
            event.push("Media-Bug-Target", path.to_owned());
        },
        |_| {},
    );
}

pub(super) fn set_figures(channel: &Channel, report: &RecordReport, samples_first: bool) {
    let ms = report.millis();
    let samples = ("record_samples", report.samples.to_string());
    let times = [("record_seconds", (ms / 1000).to_string()), ("record_ms", ms.to_string())];
    if samples_first {
        channel.set_vars(std::iter::once(samples).chain(times));
    } else {
        channel.set_vars(times.into_iter().chain([samples]));
    }
}

/// CS_HANGUP: ends the session's recordings and waits until their files are closed.
pub(super) async fn stop_all(session: &mut Session) {
    let channel = Arc::clone(session.channel());
    if !stop(&channel, "all") {
        return;
    }
    let until = Instant::now() + CLOSING;
    while channel.with(|data| !data.slot::<Vec<Recording>>().is_empty()) {
        if !next_media_event(session, until).await {
            tracing::error!(uuid = %channel.uuid(), "A recording was not closed in time");
            return;
        }
    }
}

/// Takes news of the media leg on a call that is over, when nothing else is listened to any more.
pub(super) async fn next_media_event(session: &mut Session, until: Instant) -> bool {
    let channel = Arc::clone(session.channel());
    let next = tokio::time::timeout_at(until, session.leg_mut().event(&channel)).await;
    if let Ok(CallEvent::Media(event)) = &next {
        app::media_changed(session, event);
    }
    next.is_ok()
}

// ---- applications ----

/// Reads `<path> [+seconds] [{variables}]`; the path keeps its marks.
fn session_arguments(argument: &str) -> (String, Option<Duration>, Vec<(String, String)>) {
    let (plain, variables) = match argument.split_once('{') {
        Some((plain, rest)) => (plain, rest.trim_end().trim_end_matches('}')),
        None => (argument, ""),
    };
    let meant = |text: &str| base::far::plain(text.trim()).into_owned();
    let pair = |p: &str| p.split_once('=').map(|(n, v)| (meant(n), meant(v)));
    let variables = variables.split(',').filter_map(pair).collect();
    let words = text::words_marked(plain, 2);
    let limit = words.get(1).map(|w| text::int(base::far::plain(w).trim_start_matches('+')));
    let limit = limit.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    (words.first().cloned().unwrap_or_default(), limit.map(Duration::from_secs), variables)
}

async fn record_session(session: &mut Session, argument: &str) -> AppResult {
    let (path, limit, variables) = session_arguments(argument);
    if path.is_empty() {
        return Ok(());
    }
    let channel = Arc::clone(session.channel());
    if !session.wait_for(is_writable(&channel, &path)).await? {
        if channel.is_true("RECORD_HANGUP_ON_ERROR") {
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        }
        return session.check();
    }
    match start(&channel, &path, limit, variables) {
        Ok(()) | Err(StartError::Toggled) => {}
        Err(error) => {
            let shown = base::far::plain(&path);
            let shown = base::secrets::masked(&shown);
            tracing::error!(uuid = %channel.uuid(), "Cannot record session to {shown}: {error}");
        }
    }
    Ok(())
}

async fn stop_record_session(session: &mut Session, argument: &str) -> AppResult {
    let path = argument.trim();
    let channel = Arc::clone(session.channel());
    if !stop(&channel, path) {
        let shown = base::secrets::masked(path);
        tracing::warn!(uuid = %channel.uuid(), "No recording to {shown}");
        return Ok(());
    }
    let until = Instant::now() + CLOSING;
    while is_recording(&channel, path) {
        if matches!(session.wait(Some(until)).await?, Wake::Timeout) {
            break;
        }
    }
    Ok(())
}

async fn mask(session: &mut Session, argument: &str) -> AppResult {
    switch(session.channel(), argument.trim(), Switch::Mask(true));
    Ok(())
}

async fn unmask(session: &mut Session, argument: &str) -> AppResult {
    switch(session.channel(), argument.trim(), Switch::Mask(false));
    Ok(())
}

async fn pause(session: &mut Session, argument: &str) -> AppResult {
    switch(session.channel(), argument.trim(), Switch::Pause(true));
    Ok(())
}

async fn resume(session: &mut Session, argument: &str) -> AppResult {
    switch(session.channel(), argument.trim(), Switch::Pause(false));
    Ok(())
}

/// News of the media leg that recordings care about.
pub(super) fn note(channel: &Arc<Channel>, event: &LegEvent) {
    if let LegEvent::RecordDone { id, report } = event {
        ended(channel, *id, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_recordings_take_a_limit_and_variables() {
        let (path, limit, variables) = session_arguments("/tmp/a.wav +30 {RECORD_STEREO=true,x=y}");
        assert_eq!((path.as_str(), limit), ("/tmp/a.wav", Some(Duration::from_secs(30))));
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(variables, [pair("RECORD_STEREO", "true"), pair("x", "y")]);
        assert_eq!(session_arguments("/tmp/a.wav"), ("/tmp/a.wav".to_owned(), None, vec![]));
    }

    #[test]
    fn variables_shape_the_file() {
        let vars = [
            ("RECORD_STEREO", "yes"),
            ("RECORD_TITLE", "t"),
            ("record_sample_rate", "16000"),
            ("redact_digits", "audio"),
            ("redact_hang_ms", "300"),
        ];
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let spec = session_spec("/tmp/a.wav".into(), None, &var);
        assert_eq!((spec.mix, spec.rate), (RecordMix::Stereo, Some(16_000)));
        assert_eq!(spec.redact.map(|asked| asked.hang_ms), Some(300));
        assert_eq!((spec.tags.title.as_str(), spec.append), ("t", false));
    }
}
