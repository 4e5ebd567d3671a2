//! Playing files and tones: the play that applications and their prompts are made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::config::Params;
use esl_server::event::{Event, EventName};
use futures_util::future::Either;
use media::source::{self, SourceError, SourceOptions, Stream};
use media::{LegEvent, PlayId, PlayPlan};
use tokio::time::Instant;

use crate::call::{Channel, Interrupt, Session, Wake};
use crate::contract::{PromptKind, SourceKind};
use crate::switch::Switch;
use crate::text;

/// Plays whose end is remembered until the application that began them looks.
const ENDED: usize = 16;

/// What a channel remembers of its plays.
#[derive(Debug, Default)]
pub struct Plays {
    paused: bool,
    volume: i64,
    speed: i64,
    /// The play that runs, innermost, with its rate: what `uuid_fileman` steers.
    pub current: Option<(PlayId, u32)>,
    /// Ended plays: name, samples heard, position.
    ended: Vec<(PlayId, u64, u64)>,
}

/// What a key does to a play.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// Keys are taken; those in the list end the play.
    Stop(&'a str),
    /// Any key ends the play and stays in the queue.
    Any,
}

/// How a play ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it was played.
    Done,
    /// `uuid_break`.
    Broken,
    /// The time for it was over.
    TimedOut,
    /// A key; `None` when it was left in the queue.
    Key(Option<char>),
    /// No such file.
    NotFound,
    /// It cannot be played.
    Failed,
}

/// A play's details.
#[derive(Clone, Copy, Debug)]
pub struct Play<'a> {
    /// What to play.
    pub text: &'a str,
    /// What keys do.
    pub keys: Keys<'a>,
    /// How often; `None` = without limit.
    pub times: Option<u32>,
    /// Fires PLAYBACK_START and PLAYBACK_STOP.
    pub announced: bool,
    /// Longest time.
    pub limit: Option<Duration>,
}

impl<'a> Play<'a> {
    /// Once, announced, without a time limit.
    #[must_use]
    pub fn once(text: &'a str, keys: Keys<'a>) -> Self {
        Self { text, keys, times: Some(1), announced: true, limit: None }
    }
}

/// What is no file, but played by its prefix.
fn special<'t>(switch: &Switch, text: &'t str) -> Option<(&'static PromptKind, &'t str)> {
    let (prefix, rest) = text.split_once(':')?;
    let mut modules = switch.linked().iter();
    let kind = modules
        .find_map(|module| module.provides().prompts.iter().find(|kind| kind.prefix == prefix))?;
    Some((kind, rest))
}

/// Who gets files of that name, if they are not there already.
fn source_of(switch: &Switch, name: &str) -> Option<&'static SourceKind> {
    let (scheme, _) = name.split_once("://")?;
    let mut sources = switch.loaded_modules().into_iter().flat_map(|m| m.provides().sources);
    sources.find(|kind| kind.scheme == scheme)
}

/// What `text` names, with what modules fetch or make (`http://`, `tts://`) in place of its name. Items of a
/// `file_string://` that cannot be had are left out; the error says why the last of them could not.
pub async fn fetched(channel: &Arc<Channel>, text: &str, rate: u32) -> Result<String, SourceError> {
    let (_, name) = source::split_params(text);
    let Some(items) = name.strip_prefix("file_string://") else {
        return fetch(channel, text, rate).await;
    };
    let (mut all, mut failed) = (Vec::new(), None);
    for item in items.split('!') {
        match fetch(channel, item, rate).await {
            Ok(item) => all.push(item),
            Err(error) => failed = Some(error),
        }
    }
    let list = format!("{}{}", &text[..text.len() - items.len()], all.join("!"));
    failed.filter(|_| all.is_empty()).map_or(Ok(list), Err)
}

async fn fetch(channel: &Arc<Channel>, text: &str, rate: u32) -> Result<String, SourceError> {
    let (_, name) = source::split_params(text);
    let Some(kind) = source_of(channel.switch(), name) else { return Ok(text.to_owned()) };
    let path = (kind.fetch)(channel, name, rate).await;
    let path =
        path.map_err(|reason| SourceError::Unreadable { path: kind.scheme.into(), reason })?;
    Ok(format!("{}{}", &text[..text.len() - name.len()], path.to_string_lossy()))
}

impl Session {
    /// Plays something and waits for its end.
    ///
    /// # Errors
    /// [`Interrupt`] when the call ended or moved; the play is over then, and told so.
    pub async fn play(&mut self, play: Play<'_>) -> Result<Ended, Interrupt> {
        if let Some((kind, text)) = special(self.switch(), play.text) {
            return (kind.play)(self, text, play.keys).await;
        }
        let channel = Arc::clone(self.channel());
        let Some(leg) = channel.media() else { return Ok(Ended::Failed) };
        let rate = leg.codec().rate();
        let plan = match self.open_plan(play.text, rate).await? {
            Ok(plan) => plan,
            Err(SourceError::Broken) => return Ok(Ended::Broken),
            Err(error) => {
                tracing::warn!(uuid = %channel.uuid(), "{}", base::secrets::masked(&error.to_string()));
                let missing = matches!(error, SourceError::NotFound { .. });
                return Ok(if missing { Ended::NotFound } else { Ended::Failed });
            }
        };
        let plan = if play.times == Some(1) { plan } else { plan.repeated(play.times) };
        let params = plan.params().to_vec();
        let offset = plan.position();
        if play.announced {
            announce(&channel, EventName::PlaybackStart, play.text, &params, None);
        }
        let started = Instant::now();
        let Ok(id) = leg.play_alone(Box::new(plan)) else { return Ok(Ended::Failed) };
        let outer = channel.with(|data| {
            (data.plays.paused, data.plays.volume, data.plays.speed) = (false, 0, 0);
            data.plays.current.replace((id, rate))
        });
        let result = self.follow(id, &play, started).await;
        channel.with(|data| data.plays.current = outer);
        let ended = channel.with(|data| data.plays.take(id));
        if ended.is_none() {
            let _closed = leg.stop_play(id);
        }
        if play.announced {
            let heard = match (&result, play.limit) {
                (Ok(Ended::TimedOut), Some(limit)) => limit,
                _ => started.elapsed(),
            };
            set_figures(&channel, ended.unwrap_or_else(|| estimate(heard, rate, offset)), rate);
            let done = matches!(result, Ok(Ended::Done | Ended::TimedOut) | Err(_));
            let status = if done { "done" } else { "break" };
            announce(&channel, EventName::PlaybackStop, play.text, &params, Some(status));
        }
        result
    }

    async fn follow(
        &mut self,
        id: PlayId,
        play: &Play<'_>,
        started: Instant,
    ) -> Result<Ended, Interrupt> {
        let until = play.limit.map(|limit| started + limit);
        loop {
            if let Some(key) = self.key_pressed(play.keys) {
                return Ok(Ended::Key(key));
            }
            if self.channel().with(|data| data.plays.has_ended(id)) {
                return Ok(Ended::Done);
            }
            match self.wait(until).await? {
                Wake::Broken => return Ok(Ended::Broken),
                Wake::Timeout => return Ok(Ended::TimedOut),
                _ => {}
            }
        }
    }

    fn key_pressed(&mut self, keys: Keys<'_>) -> Option<Option<char>> {
        match keys {
            Keys::Any => self.channel().with(|data| !data.digits.is_empty()).then_some(None),
            Keys::Stop(list) => {
                while let Some(digit) = self.take_digit() {
                    if list.contains(digit.digit) {
                        return Some(Some(digit.digit));
                    }
                }
                None
            }
        }
    }

    /// Opens what `text` names for a leg at `rate`; files are read off the call's task.
    pub async fn open_plan(
        &mut self,
        text: &str,
        rate: u32,
    ) -> Result<Result<PlayPlan, SourceError>, Interrupt> {
        let options = source_options(self.channel(), rate);
        if text.starts_with("tone_stream://%") || text.starts_with("silence_stream://") {
            return Ok(source::open(text, &options));
        }
        let channel = Arc::clone(self.channel());
        let mut fetching = std::pin::pin!(fetched(&channel, text, rate));
        let owned = loop {
            match self.wait_or(None, fetching.as_mut()).await? {
                Either::Right(Ok(owned)) => break owned,
                Either::Right(Err(error)) => return Ok(Err(error)),
                // An engine or a server may take long: a break ends the waiting, too.
                Either::Left(Wake::Broken) => return Ok(Err(SourceError::Broken)),
                Either::Left(_) => {}
            }
        };
        let opening = tokio::task::spawn_blocking(move || source::open(&owned, &options));
        let opened = self.wait_for(opening).await?;
        Ok(opened.unwrap_or_else(|_| Err(SourceError::NotFound { path: text.into() })))
    }
}

impl Plays {
    /// Notes that a play has ended.
    pub fn note(&mut self, event: &LegEvent) {
        if let LegEvent::PlayDone { id, samples, position, .. } = event {
            if self.ended.len() == ENDED {
                self.ended.remove(0);
            }
            self.ended.push((*id, *samples, *position));
        }
    }

    fn has_ended(&self, id: PlayId) -> bool {
        self.ended.iter().any(|(ended, ..)| *ended == id)
    }

    fn take(&mut self, id: PlayId) -> Option<(u64, u64)> {
        let index = self.ended.iter().position(|(ended, ..)| *ended == id)?;
        let (_, samples, position) = self.ended.remove(index);
        Some((samples, position))
    }
}

/// Steers the play that runs (`uuid_fileman`): `pause`, `stop`, `restart`, `seek:[+-]ms`,
/// `volume:[+-]n`, `speed:[+-]n`. `None` when nothing plays, false for what is not to be had.
pub fn steer(channel: &Channel, order: &str) -> Option<bool> {
    let (leg, (id, rate)) = (channel.media()?, channel.with(|data| data.plays.current)?);
    let (verb, value) = order.split_once(':').unwrap_or((order, ""));
    let relative = value.starts_with(['+', '-']);
    let sent = match verb.to_ascii_lowercase().as_str() {
        "pause" => {
            let paused = channel.with(|data| {
                data.plays.paused = value.is_empty() && !data.plays.paused || text::is_true(value);
                data.plays.paused
            });
            leg.pause_play(id, paused)
        }
        "stop" => leg.stop_play(id),
        "restart" => {
            channel.with(|data| data.plays.speed = 0);
            leg.play_speed(id, 0).and_then(|()| leg.seek_play(id, 0, false))
        }
        "seek" => {
            let samples = text::int(value).saturating_mul(i64::from(rate)) / 1000;
            leg.seek_play(id, samples, relative)
        }
        "volume" | "speed" => {
            let speed = verb.eq_ignore_ascii_case("speed");
            let most = if speed { 2 } else { 4 };
            let level = channel.with(|data| {
                let place = if speed { &mut data.plays.speed } else { &mut data.plays.volume };
                let from = if relative { *place } else { 0 };
                *place = from.saturating_add(text::int(value)).clamp(-most, most);
                *place
            });
            match speed {
                true => leg.play_speed(id, level as i8),
                false => leg.play_volume(id, crate::call::audio::percent(level)),
            }
        }
        // `truncate`: what is played is never written to.
        _ => return Some(false),
    };
    Some(sent.is_ok())
}

/// Where names of files are looked for on this channel.
#[must_use]
pub fn source_options(channel: &Channel, rate: u32) -> SourceOptions {
    let prefix = channel
        .var("sound_prefix")
        .or_else(|| channel.switch().global("sounds_dir"))
        .unwrap_or_default();
    let mut options = SourceOptions::new(rate, prefix);
    options.native_extension = channel.media().map(|leg| leg.codec().name().to_owned());
    if let Some(extension) = channel.variable("native_backup_extension") {
        options.backup_extension = extension;
    }
    options.streams = streams(channel.switch());
    options
}

/// The music of `local_stream.conf`; without one of its own, `default` is what lies in the sounds' `music`.
fn streams(switch: &Switch) -> Vec<Stream> {
    let config = switch.config.load();
    let conf = config.document("local_stream.conf");
    let directories = conf.iter().flat_map(|conf| conf.children_named("directory"));
    let mut streams: Vec<Stream> = directories
        .map(|node| {
            let params = Params::read(Some(node), "param");
            let (name, path) = (node.attr_or_empty("name"), node.attr_or_empty("path"));
            Stream::read(name, path, |name| params.get(name))
        })
        .collect();
    if let Some(sounds) = switch.global("sounds_dir")
        && streams.iter().all(|stream| stream.name != "default")
    {
        streams.push(Stream::new("default", Path::new(&sounds).join("music"), false));
    }
    streams
}

/// The keys that end a play on this channel (`playback_terminators`, `*` by default).
#[must_use]
pub fn terminators(channel: &Channel) -> String {
    match channel.variable("playback_terminators") {
        None => "*".to_owned(),
        Some(list) if list.eq_ignore_ascii_case("none") => String::new(),
        Some(list) if list.eq_ignore_ascii_case("any") => "1234567890*#".to_owned(),
        Some(list) => list,
    }
}

fn announce(
    channel: &Channel,
    name: EventName,
    text: &str,
    params: &[(String, String)],
    status: Option<&str>,
) {
    let (_, path) = source::split_params(text.trim());
    let scheme = path.split_once("://").map(|(scheme, _)| scheme);
    channel.fire_with(
        name,
        |_| {},
        |event: &mut Event| {
            if let Some(scheme @ ("tone_stream" | "local_stream")) = scheme {
                event.push("Playback-File-Type", scheme.to_owned());
            }
            event.push("Playback-File-Path", path.to_owned());
            if let Some(status) = status {
                event.push("Playback-Status", status.to_owned());
            }
            for (name, value) in params {
                event.push(name.clone(), value.clone());
            }
        },
    );
}

/// Samples heard and position of a play that was cut short and began `offset` samples into the material.
fn estimate(heard: Duration, rate: u32, offset: u64) -> (u64, u64) {
    let samples = heard.as_millis() as u64 * u64::from(rate) / 1000;
    (samples, offset + samples)
}

fn set_figures(channel: &Channel, (samples, position): (u64, u64), rate: u32) {
    let ms = samples * 1000 / u64::from(rate.max(1));
    channel.set_vars([
        ("playback_last_offset_pos", position.to_string()),
        ("playback_seconds", (ms / 1000).to_string()),
        ("playback_ms", ms.to_string()),
        ("playback_samples", samples.to_string()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_play_cut_short_counts_its_offset_in_the_position_only() {
        let after = Duration::from_millis(1020);
        assert_eq!(estimate(after, 8000, 8000), (8160, 16_160));
        assert_eq!(estimate(after, 16_000, 0), (16_320, 16_320));
    }
}
