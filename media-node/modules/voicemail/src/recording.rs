//! Recording what a caller says, into a file that is whole at any time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::far;
use esl_server::event::EventName;
use media::event::RecordEnd;
use media::record::{RecordMix, SilenceStop, Tags};
use media::{LegEvent, RecordId, RecordReport, RecordSpec};
use switch_core::app::{
    self,
    play::{Keys, Play},
};
use switch_core::call::audio::{read_linear, set_read_codec};
use switch_core::call::{AppResult, Channel, Interrupt, LegEvent as CallEvent, Session, Wake};
use switch_core::clock;
use tokio::time::Instant;

use crate::profile::Profile;
use crate::prompts;

/// How long a finished recording's file may take to be closed.
const CLOSING: Duration = Duration::from_secs(2);
/// How quiet what is sent during a recording is.
const NOISE: u32 = 1400;

/// The recording that runs, and what is told at its end.
#[derive(Default)]
struct Ongoing {
    id: Option<RecordId>,
    report: Option<RecordReport>,
}

/// The media leg has news.
pub(crate) fn note(channel: &Channel, event: &LegEvent) {
    if let LegEvent::RecordDone { id, report } = event {
        channel.with(|data| {
            if let Some(ongoing) = data.find_slot::<Ongoing>().filter(|one| one.id == Some(*id)) {
                ongoing.report = Some(report.clone());
            }
        });
    }
}

/// What came of a recording.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Whole seconds of it.
    pub(crate) seconds: i64,
    /// There is a file.
    pub(crate) exists: bool,
    /// The key that ended it.
    pub(crate) key: Option<char>,
    /// The call ended meanwhile; the file is closed nevertheless.
    pub(crate) interrupted: Option<Interrupt>,
}

/// How a recording that may be heard and made again ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is a file of so many seconds.
    Kept(i64),
    /// There is none.
    None,
    /// One of the keys that lead elsewhere was pressed before there was anything.
    Key(char),
}

/// What is to be recorded.
pub(crate) struct Wish<'a> {
    /// The macro that says so; empty for none.
    pub(crate) prompt: &'a str,
    pub(crate) path: &'a Path,
    /// Too short ones are refused.
    pub(crate) bounded: bool,
    /// Keys that lead elsewhere.
    pub(crate) exits: &'a str,
}

/// Records until the caller is content: prompt, tone, recording, and the question what to do with it. With it, why the
/// call left meanwhile; what was recorded by then is kept.
pub(crate) async fn create(
    session: &mut Session,
    profile: &Profile,
    wish: &Wish<'_>,
) -> (Outcome, AppResult) {
    let skip_check = session.channel().is_true("skip_record_check");
    let mut tries = profile.max_retries;
    let mut kept = Outcome::None;
    loop {
        if let Err(interrupt) = begin(session, profile, wish.prompt).await {
            return (kept, Err(interrupt));
        }
        kept = Outcome::None;
        let taken = record(session, &Bounds::of(profile), wish.path).await;
        let short = wish.bounded && taken.seconds < profile.min_record_len;
        if short {
            let _gone = tokio::fs::remove_file(wish.path).await;
            if let Some(key) = taken.key.filter(|key| wish.exits.contains(*key)) {
                return (Outcome::Key(key), taken.interrupted.map_or(Ok(()), Err));
            }
            tracing::debug!(
                uuid = %session.channel().uuid(),
                "Message is less than minimum record length: {}, discarding it.", profile.min_record_len
            );
            if let Some(interrupt) = taken.interrupted {
                return (Outcome::None, Err(interrupt));
            }
            if tries == 0 {
                return (Outcome::None, Ok(()));
            }
            tries -= 1;
            if let Err(interrupt) = prompts::tell(session, "voicemail_ack", "too-small").await {
                return (Outcome::None, Err(interrupt));
            }
            continue;
        }
        if taken.exists {
            kept = Outcome::Kept(taken.seconds);
        }
        if let Some(interrupt) = taken.interrupted {
            return (kept, Err(interrupt));
        }
        match is_wanted(session, profile, wish.path, skip_check).await {
            Ok(true) => return (kept, Ok(())),
            Ok(false) => {}
            Err(interrupt) => return (kept, Err(interrupt)),
        }
    }
}

async fn begin(session: &mut Session, profile: &Profile, prompt: &str) -> AppResult {
    session.check()?;
    if !prompt.is_empty() {
        prompts::tell(session, prompt, "").await?;
    }
    session.flush_digits();
    if !profile.tone_spec.is_empty() {
        let tone = format!("tone_stream://{}", profile.tone_spec);
        let play = Play { announced: false, ..Play::once(&tone, Keys::Stop("")) };
        session.play(play).await?;
    }
    Ok(())
}

/// Plays it as often as the caller wishes; false to record again.
async fn is_wanted(
    session: &mut Session,
    profile: &Profile,
    path: &Path,
    skip_check: bool,
) -> Result<bool, Interrupt> {
    let ending = prompts::ending_keys(profile);
    let mut play = profile.auto_playback;
    let keys = format!(
        "{}:{}:{}",
        profile.listen_file_key, profile.save_file_key, profile.record_file_key
    );
    loop {
        let mut key = None;
        if play {
            key = prompts::play_recording(session, profile, path, &ending).await?;
            key = key.filter(|key| !profile.terminator_key.contains(*key));
        }
        let typed = match key {
            Some(key) => key.to_string(),
            None if skip_check => return Ok(true),
            None => {
                let name = "voicemail_record_file_check";
                prompts::ask(session, name, &keys, 1, "", profile.digit_timeout).await?
            }
        };
        if typed == profile.record_file_key {
            return Ok(false);
        }
        play = typed == profile.listen_file_key;
        if !play {
            prompts::tell(session, "voicemail_ack", "saved").await?;
            return Ok(true);
        }
    }
}

/// Variables that become tags of the file and are used up with it, in the reference's order.
const TAGS: [&str; 6] = [
    "RECORD_TITLE",
    "RECORD_COPYRIGHT",
    "RECORD_SOFTWARE",
    "RECORD_ARTIST",
    "RECORD_COMMENT",
    "RECORD_DATE",
];

fn take_tags(channel: &Channel) -> Tags {
    let [title, copyright, software, artist, comment, date] = TAGS.map(|name| {
        let value = channel.variable(name).unwrap_or_default();
        channel.unset_var(name);
        far::into_plain(value)
    });
    Tags { title, copyright, software, artist, comment, date }
}

/// What ends a recording besides a key, and its form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Samples per second; those of the call if there is none.
    pub(crate) rate: Option<u32>,
    /// What is quieter than this is silence; 0 for no end by silence.
    pub(crate) threshold: u32,
    /// Seconds of silence that end it; 0 for three.
    pub(crate) silence_seconds: u32,
    /// Longest time in seconds; none if it is not above 0.
    pub(crate) seconds: i64,
}

impl Bounds {
    fn of(profile: &Profile) -> Self {
        Self {
            rate: profile.record_sample_rate,
            threshold: profile.record_threshold,
            silence_seconds: profile.record_silence_hits,
            seconds: profile.max_record_len,
        }
    }
}

/// Records until a key, silence or the longest time.
pub(crate) async fn record(session: &mut Session, bounds: &Bounds, path: &Path) -> Taken {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Taken::default() };
    if let Some(why) = not_writable(path).await {
        tracing::error!(uuid = %channel.uuid(), "Cannot record to {}: {why}", path.display());
        return Taken { interrupted: session.check().err(), ..Taken::default() };
    }
    let mut spec = RecordSpec::new(path);
    spec.mix = RecordMix::ReadOnly;
    spec.prompt = true;
    spec.rate = bounds.rate;
    spec.tags = take_tags(&channel);
    if bounds.threshold > 0 {
        let seconds = if bounds.silence_seconds == 0 { 3 } else { bounds.silence_seconds };
        let after_ms = seconds.saturating_mul(1000);
        let threshold = bounds.threshold;
        spec.silence = Some(SilenceStop { threshold, after_ms, before_ms: None });
    }
    let silence = spec.silence.is_some();
    channel.set_var("silence_hits_exhausted", "false");
    let codec = read_linear(&channel);
    let shown = path.to_string_lossy().into_owned();
    tell(&channel, EventName::RecordStart, &shown);
    let mut taken = Taken::default();
    let mut report = None;
    let begun = channel.with(|data| {
        let id = leg.record(spec).ok();
        *data.slot::<Ongoing>() = Ongoing { id, report: None };
        id
    });
    if let Some(id) = begun {
        // The far end gets something to hear meanwhile, as from the reference.
        let _closed = leg.silence(Some(NOISE));
        match follow(session, bounds.seconds).await {
            Ok(key) => taken.key = key,
            Err(interrupt) => taken.interrupted = Some(interrupt),
        }
        let _closed = leg.silence(None);
        let _over = leg.stop_record(id);
        report = await_report(session).await;
    }
    if let Some(report) = &report {
        set_figures(&channel, report);
        if silence && report.reason == RecordEnd::Silence {
            channel.set_var("silence_hits_exhausted", "true");
        }
        if let RecordEnd::Failed(why) = &report.reason {
            tracing::error!(uuid = %channel.uuid(), "Recording to {shown} failed: {why}");
        }
        taken.seconds = i64::try_from(report.millis() / 1000).unwrap_or(i64::MAX);
    }
    tell(&channel, EventName::RecordStop, &shown);
    if let Some(codec) = codec {
        set_read_codec(&channel, &codec);
    }
    taken.exists = tokio::fs::metadata(path).await.is_ok_and(|file| file.len() > 0);
    taken
}

fn tell(channel: &Channel, name: EventName, path: &str) {
    channel.fire_with(
        name,
        |_| {},
        |event| {
            event.push("Record-File-Path", path.to_owned());
        },
    );
}

fn set_figures(channel: &Channel, report: &RecordReport) {
    let ms = report.millis();
    channel.set_vars([
        ("record_record_file_size", report.bytes.to_string()),
        ("record_file_size", report.bytes.to_string()),
        ("record_seconds", (ms / 1000).to_string()),
        ("record_ms", ms.to_string()),
        ("record_samples", report.samples.to_string()),
    ]);
}

/// Why a file cannot be written, after its folder was made.
async fn not_writable(path: &Path) -> Option<std::io::Error> {
    media::record::check_form(path).err().or({
        let folder = path.parent().unwrap_or(path);
        tokio::fs::create_dir_all(folder).await.err()
    })
}

async fn follow(session: &mut Session, seconds: i64) -> Result<Option<char>, Interrupt> {
    let until = time_limit(seconds).map(|limit| Instant::now() + limit);
    loop {
        if let Some(digit) = session.take_digit() {
            return Ok(Some(digit.digit));
        }
        if has_report(session.channel()) {
            return Ok(None);
        }
        match session.wait(until).await? {
            Wake::Timeout | Wake::Broken => return Ok(None),
            _ => {}
        }
    }
}

/// The reference compares whole seconds of the clock, so a limit of three ends between three and four seconds.
fn time_limit(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    let into_second = clock::now_us().rem_euclid(1_000_000).unsigned_abs();
    Some(Duration::from_secs(seconds + 1).saturating_sub(Duration::from_micros(into_second)))
}

fn has_report(channel: &Channel) -> bool {
    channel.with(|data| data.slot::<Ongoing>().report.is_some())
}

/// The report, also of a call that is over.
async fn await_report(session: &mut Session) -> Option<RecordReport> {
    let channel = Arc::clone(session.channel());
    let until = Instant::now() + CLOSING;
    while !has_report(&channel) {
        let going_on = if session.check().is_ok() {
            !matches!(session.wait(Some(until)).await, Ok(Wake::Timeout))
        } else {
            let next = tokio::time::timeout_at(until, session.leg_mut().event(&channel)).await;
            if let Ok(CallEvent::Media(event)) = &next {
                app::media_changed(session, event);
            }
            next.is_ok()
        };
        if !going_on {
            return None;
        }
    }
    channel.with(|data| data.slot::<Ongoing>().report.take())
}

/// Seconds of a file, whatever its form; 0 when it cannot be read.
pub(crate) async fn measure(path: &Path) -> i64 {
    let text = path.to_string_lossy().into_owned();
    let read = tokio::task::spawn_blocking(move || {
        let plan =
            media::source::open(&text, &media::source::SourceOptions::new(8000, "/")).ok()?;
        Some(plan.len_samples()? / u64::from(plan.rate().max(1)))
    });
    read.await.ok().flatten().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0)
}

/// Makes a file that was cut off whole: its header says how long it is. Seconds of it; `None` if nothing can be heard.
pub(crate) async fn mend(path: &Path) -> Option<i64> {
    let is_wav = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("wav"));
    if is_wav {
        let file = path.to_owned();
        let mended = tokio::task::spawn_blocking(move || mend_wav(&file)).await;
        if !matches!(mended, Ok(Ok(true))) {
            return None;
        }
    }
    Some(measure(path).await)
}

fn mend_wav(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let len = file.metadata()?.len();
    let mut head = [0; media::wav::HEADER_LEN];
    let start = head.len() as u64;
    if len <= start {
        return Ok(false);
    }
    file.read_exact(&mut head)?;
    let (mut named, mut channels, mut rate) = ([0; 4], [0; 2], [0; 4]);
    named.copy_from_slice(&head[40..44]);
    channels.copy_from_slice(&head[22..24]);
    rate.copy_from_slice(&head[24..28]);
    let named = u64::from(u32::from_le_bytes(named));
    if &head[..4] != b"RIFF" || &head[36..40] != b"data" {
        return Ok(false);
    }
    let mut after = [0; 4];
    file.seek(SeekFrom::Start(start + named))?;
    if named > 0 && file.read(&mut after)? == after.len() && &after == b"LIST" {
        // Tags stand behind the audio: the file was closed.
        return Ok(true);
    }
    let header = media::wav::Header {
        rate: u32::from_le_bytes(rate),
        channels: u16::from_le_bytes(channels).max(1),
    };
    let audio = len - start;
    let audio = audio - audio % (u64::from(header.channels) * 2);
    file.set_len(start + audio)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header.bytes(audio, 0))?;
    Ok(audio > 0)
}

/// Joins recordings into one file of 8000 samples per second.
pub(crate) async fn join(parts: Vec<std::path::PathBuf>, into: &Path) -> std::io::Result<()> {
    let into = into.to_owned();
    let joined = tokio::task::spawn_blocking(move || {
        let mut samples = Vec::new();
        for part in &parts {
            let options = media::source::SourceOptions::new(8000, "/");
            let text = part.to_string_lossy();
            let mut plan = media::source::open(&text, &options).map_err(std::io::Error::other)?;
            let mut piece = [0_i16; 1024];
            loop {
                let got = plan.fill(&mut piece);
                if got == 0 || samples.len() > MOST_SAMPLES {
                    break;
                }
                samples.extend_from_slice(&piece[..got]);
            }
        }
        let header = media::wav::Header { rate: 8000, channels: 1 };
        let mut bytes = header.bytes(samples.len() as u64 * 2, 0).to_vec();
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        std::fs::write(&into, bytes)
    });
    joined.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Of one joined file: two hours.
const MOST_SAMPLES: usize = 8000 * 7200;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_was_cut_off_is_as_long_as_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.wav");
        let header = media::wav::Header { rate: 8000, channels: 1 };
        let cases = [
            (0, 32_001, &b""[..], Some(2)),
            (16_000, 48_000, b"", Some(3)),
            (16_000, 16_000, b"LIST\x04\0\0\0INFO", Some(1)),
            (0, 0, b"", None),
        ];
        for (named, octets, tags, seconds) in cases {
            let mut bytes = header.bytes(named, 0).to_vec();
            bytes.resize(bytes.len() + octets, 1);
            bytes.extend_from_slice(tags);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(mend(&path).await, seconds, "{named} of {octets}");
        }
        std::fs::write(&path, b"RI").unwrap();
        assert_eq!(mend(&path).await, None);
        assert_eq!(mend(&folder.path().join("none.wav")).await, None);
    }

    #[tokio::test]
    async fn recordings_are_joined_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let header = media::wav::Header { rate: 8000, channels: 1 };
        for (name, value) in [("a.wav", 1_u8), ("b.wav", 2)] {
            let mut bytes = header.bytes(16_000, 0).to_vec();
            bytes.resize(bytes.len() + 16_000, value);
            std::fs::write(file(name), &bytes).unwrap();
        }
        join(vec![file("a.wav"), file("b.wav")], &file("c.wav")).await.unwrap();
        assert_eq!(measure(&file("c.wav")).await, 2);
        let bytes = std::fs::read(file("c.wav")).unwrap();
        assert_eq!((bytes[100], bytes[44 + 16_000 + 100]), (1, 2));
        assert!(join(vec![file("none.wav")], &file("d.wav")).await.is_err());
    }
}
