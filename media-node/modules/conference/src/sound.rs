//! What is played to a room or to one in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use esl_server::event::Event;
use media::source::{self, SourceOptions};
use media::{Leg, PlayId, PlayPlan};

use super::member::Member;
use super::room::Room;
use super::speech;
use crate::app::play::source_options;
use crate::call::Channel;
use crate::host::expand_for;
use crate::switch::Switch;
use crate::text;

/// Files that wait for their turn, at most.
const WAITING: usize = 100;
/// Milliseconds before sounds that tell of arrivals and locks.
const LEAD_IN_MS: u64 = 400;

/// What plays somewhere: one file after the other, and one beside them.
#[derive(Default)]
pub struct Deck {
    main: Option<Track>,
    waiting: VecDeque<(Track, Box<PlayPlan>)>,
    aside: Option<Track>,
}

/// One file that plays, or waits.
struct Track {
    /// Known once it has begun.
    id: Option<PlayId>,
    /// Empty for the pause before a file, which fires no event.
    file: String,
    rate: u32,
    params: Vec<(String, String)>,
    asynchronous: bool,
    paused: Option<Instant>,
    /// When it would have begun had it neither been paused nor moved.
    since: Instant,
    /// Samples it has in all, where that is known.
    length: u64,
}

impl Track {
    fn position(&self) -> u64 {
        let until = self.paused.unwrap_or_else(Instant::now);
        let played = until.saturating_duration_since(self.since);
        played.as_micros() as u64 * u64::from(self.rate) / 1_000_000
    }
}

/// Music for those who wait.
#[derive(Debug, Default)]
pub struct Music {
    /// The profile's.
    pub sound: String,
    /// What a command chose instead.
    pub chosen: Option<String>,
    /// Switched off by a command.
    pub off: bool,
    /// Heard always.
    pub perpetual: String,
    /// A file that cannot be played is not tried again and again.
    pub(super) broken: bool,
}

/// Which plays are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that plays now.
    Current,
    /// The one beside the others.
    Async,
    /// All, the waiting ones too.
    All,
}

impl Deck {
    fn has(&self, id: PlayId) -> bool {
        self.main.iter().chain(&self.aside).any(|track| track.id == Some(id))
    }

    fn end(&mut self, id: PlayId) -> Option<Track> {
        let this = |track: &mut Track| track.id == Some(id);
        self.main.take_if(this).or_else(|| self.aside.take_if(this))
    }

    /// Begins what waits once nothing plays. `over`: on top of what the leg hears.
    fn next(&mut self, leg: &Leg, over: bool) {
        while self.main.is_none() {
            let Some((mut track, plan)) = self.waiting.pop_front() else { return };
            let begun = if over { leg.play_over(plan) } else { leg.play(plan) };
            track.id = begun.ok();
            track.since = Instant::now();
            self.main = track.id.is_some().then_some(track);
        }
    }

    fn stop(&mut self, leg: &Leg, which: Which) -> usize {
        let mut stopped = 0;
        if which == Which::All {
            stopped += self.waiting.iter().filter(|(track, _)| !track.file.is_empty()).count();
            self.waiting.clear();
        }
        for (wanted, track) in
            [(which != Which::Async, &self.main), (which != Which::Current, &self.aside)]
        {
            let Some(track) = track.as_ref().filter(|_| wanted) else { continue };
            if let Some(id) = track.id {
                let _over = leg.stop_play(id);
                stopped += usize::from(!track.file.is_empty());
            }
        }
        stopped
    }

    /// A pause before the next file, so that who has just come in hears it from its beginning.
    fn lead_in(&mut self, rate: u32) {
        let samples = vec![0; (u64::from(rate) * LEAD_IN_MS / 1000) as usize];
        let track = Track {
            id: None,
            file: String::new(),
            rate,
            params: Vec::new(),
            asynchronous: false,
            paused: None,
            since: Instant::now(),
            length: 0,
        };
        let plan = PlayPlan::from_samples(rate, samples.into());
        self.waiting.push_back((track, Box::new(plan)));
    }

    /// Pauses what plays or lets it go on; true if it is paused now. `None`: nothing plays.
    pub fn toggle(&mut self, leg: &Leg) -> Option<bool> {
        let track = self.main.as_mut()?;
        match track.paused.take() {
            Some(at) => track.since += at.elapsed(),
            None => track.paused = Some(Instant::now()),
        }
        let _over = leg.pause_play(track.id?, track.paused.is_some());
        Some(track.paused.is_some())
    }

    /// Position, length and file of what plays.
    pub fn status(&self) -> Option<(u64, u64, String)> {
        let track = self.main.as_ref().filter(|track| !track.file.is_empty())?;
        Some((track.position(), track.length, track.file.clone()))
    }

    /// Moves what plays to a place in milliseconds, or by some with a sign; the place in samples.
    pub fn seek(&mut self, leg: &Leg, text: &str) -> Option<u64> {
        let track = self.main.as_mut()?;
        let per_ms = i64::from(track.rate / 1000);
        let target = if text.starts_with(['+', '-']) {
            let step = Some(text::int(text)).filter(|step| *step != 0).unwrap_or(1000);
            let here = i64::try_from(track.position()).unwrap_or(i64::MAX);
            here.saturating_add(step.saturating_mul(per_ms)).max(0)
        } else {
            text::int(text).max(0).saturating_mul(per_ms)
        };
        let _over = leg.seek_play(track.id?, target, false);
        let target = target.unsigned_abs();
        let into = std::time::Duration::from_micros(
            target.saturating_mul(1_000_000) / u64::from(track.rate.max(1)),
        );
        let now = track.paused.unwrap_or_else(Instant::now);
        track.since = now.checked_sub(into).unwrap_or(now);
        Some(target)
    }

    /// Sets the volume of what plays, or of what plays beside it. False: nothing does.
    pub fn volume(&self, leg: &Leg, aside: bool, level: i64) -> bool {
        let track = if aside { &self.aside } else { &self.main };
        let Some(id) = track.as_ref().and_then(|t| t.id) else { return false };
        let percent = (100 + level.clamp(-50, 50) * 3).max(0);
        leg.play_volume(id, u32::try_from(percent).unwrap_or(100)).is_ok()
    }
}

/// The name of a file with a call's variables in it. What a far end said leaves no directory.
async fn file_for(switch: &Arc<Switch>, channel: &Arc<Channel>, name: &str) -> String {
    base::far::path(&expand_for(switch, Some(channel), name).await).into_owned()
}

impl Room {
    /// A file's name as this room finds it.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        let (_, plain) = source::split_params(name);
        let prefix = self.with(|s| s.sound_prefix.clone());
        if prefix.is_empty() || plain.starts_with('/') || plain.contains("://") {
            return name.to_owned();
        }
        let params = &name[..name.len() - plain.len()];
        format!("{params}{prefix}/{plain}")
    }

    fn options(&self, channel: Option<&Arc<Channel>>) -> SourceOptions {
        let channel = channel.cloned().or_else(|| self.first_channel());
        match channel {
            Some(channel) => source_options(&channel, self.profile.rate),
            None => SourceOptions::new(self.profile.rate, ""),
        }
    }

    /// Opens a file where blocking does not matter.
    async fn open(
        &self,
        name: &str,
        channel: Option<&Arc<Channel>>,
        asynchronous: bool,
    ) -> Option<(Track, Box<PlayPlan>)> {
        let file = self.file(name);
        let options = self.options(channel);
        let opened = speech::file_behind(self, file.clone(), channel).await?;
        let opening = tokio::task::spawn_blocking(move || source::open(&opened, &options));
        let plan = opening.await.ok()?.ok()?;
        let track = Track {
            id: None,
            file,
            rate: plan.rate(),
            params: plan.params().to_vec(),
            asynchronous,
            paused: None,
            since: Instant::now(),
            length: plan.len_samples().unwrap_or(0),
        };
        let loops = track.params.iter().find(|(name, _)| name == "loops");
        let plan = match loops.map(|(_, count)| count.as_str()) {
            Some("inf" | "infinite" | "-1") => plan.repeated(None),
            Some(count) => plan.repeated(count.parse().ok().filter(|n| *n > 0).or(Some(1))),
            None => plan,
        };
        Some((track, Box::new(plan)))
    }

    /// Plays a file to everybody, after those that play already or beside them. False when it
    /// cannot be played, which is also told by an event.
    pub async fn play(
        self: &Arc<Self>,
        name: &str,
        channel: Option<&Arc<Channel>>,
        asynchronous: bool,
    ) -> bool {
        self.play_after(name, channel, asynchronous, false).await
    }

    async fn play_after(
        self: &Arc<Self>,
        name: &str,
        channel: Option<&Arc<Channel>>,
        asynchronous: bool,
        lead_in: bool,
    ) -> bool {
        if self.count() == 0 || name.is_empty() {
            return false;
        }
        let Some((mut track, plan)) = self.open(name, channel, asynchronous).await else {
            if speech::is_said(name) {
                return false;
            }
            let file = self.file(name);
            self.fire("play-file", |event| {
                event.push("File", file);
                event.push("Async", if asynchronous { "true" } else { "false" });
                event.push("Error", "File could not be played");
            });
            return false;
        };
        if asynchronous {
            let Ok(id) = self.mixer.play_over(plan) else { return false };
            track.id = Some(id);
            let replaced = self.with(|s| s.deck.aside.replace(track));
            if let Some(old) = replaced {
                let samples = old.position();
                self.tell_played(None, old, samples);
            }
            return true;
        }
        self.with(|s| {
            if s.deck.waiting.len() < WAITING {
                if lead_in {
                    s.deck.lead_in(self.profile.rate);
                }
                s.deck.waiting.push_back((track, plan));
            }
            s.deck.next(&self.mixer, false);
        });
        true
    }

    /// Plays a file to all members and returns at once. `channel`: whose variables the name may use.
    pub fn play_later(self: &Arc<Self>, name: String, channel: Option<Arc<Channel>>) {
        let room = Arc::clone(self);
        crate::foreign::spawn(async move {
            let name = match &channel {
                Some(channel) => file_for(&room.switch, channel, &name).await,
                None => name,
            };
            room.play_after(&name, channel.as_ref(), false, true).await;
        });
    }

    /// Plays a file to one member, on top of what it hears.
    pub async fn play_to(self: &Arc<Self>, member: &Arc<Member>, name: &str) -> bool {
        let name = file_for(&self.switch, &member.channel, name).await;
        if name.is_empty() {
            return false;
        }
        let Some(leg) = member.channel.media() else { return false };
        let Some((track, plan)) = self.open(&name, Some(&member.channel), false).await else {
            return false;
        };
        let mut deck = member.deck.lock();
        if deck.waiting.len() < WAITING {
            deck.waiting.push_back((track, plan));
        }
        deck.next(&leg, true);
        true
    }

    /// The same, returning at once.
    pub(super) fn play_aside_to(self: &Arc<Self>, member: &Arc<Member>, name: String) {
        self.play_row_to(member, vec![name]);
    }

    /// Several files one after the other; those that are not there are left out.
    pub(super) fn play_row_to(self: &Arc<Self>, member: &Arc<Member>, names: Vec<String>) {
        let (room, member) = (Arc::clone(self), Arc::clone(member));
        crate::foreign::spawn(async move {
            for name in names {
                room.play_to(&member, &name).await;
            }
        });
    }

    /// Does something with what plays to everybody, or to a member.
    pub fn on_deck<R>(
        &self,
        member: Option<&Arc<Member>>,
        act: impl FnOnce(&mut Deck, &Leg) -> R,
    ) -> Option<R> {
        match member {
            None => Some(self.with(|s| act(&mut s.deck, &self.mixer))),
            Some(member) => {
                let leg = member.channel.media()?;
                Some(act(&mut member.deck.lock(), &leg))
            }
        }
    }

    /// Tells that a command has begun a play.
    pub fn fire_play(&self, member: Option<&Member>, file: &str, asynchronous: Option<bool>) {
        let more = |event: &mut Event| {
            event.push("File", file.to_owned());
            if let Some(asynchronous) = asynchronous {
                event.push("Async", if asynchronous { "true" } else { "false" });
            }
        };
        let params = |event: &mut Event| {
            for (name, value) in source::split_params(file).0 {
                event.push(name, value);
            }
        };
        match member {
            Some(member) => self.fire_member_with(member, params, "play-file-member", more),
            None => self.fire_with(params, "play-file", more),
        }
    }

    /// Ends what plays to everybody. Returns how many.
    pub fn stop_plays(&self, which: Which) -> usize {
        self.with(|s| s.deck.stop(&self.mixer, which))
    }

    /// Ends what plays to one member. Returns how many.
    pub fn stop_member_plays(&self, member: &Member, which: Which) -> usize {
        let Some(leg) = member.channel.media() else { return 0 };
        // As in the reference, a member has nothing beside.
        let which = if which == Which::All { Which::All } else { Which::Current };
        member.deck.lock().stop(&leg, which)
    }

    pub(super) fn play_ended(self: &Arc<Self>, id: PlayId, samples: u64) {
        let track = self.with(|s| {
            let track = s.deck.end(id);
            s.deck.next(&self.mixer, false);
            track
        });
        if let Some(track) = track.filter(|track| !track.file.is_empty()) {
            self.tell_played(None, track, samples);
        }
        self.tend_music();
    }

    /// A play on a member's leg has ended; true if it was one of the conference's.
    pub(super) fn member_play_ended(&self, member: &Member, id: PlayId, samples: u64) {
        let Some(leg) = member.channel.media() else { return };
        let track = {
            let mut deck = member.deck.lock();
            if !deck.has(id) {
                return;
            }
            let track = deck.end(id);
            deck.next(&leg, true);
            track
        };
        if let Some(track) = track {
            self.tell_played(Some(member), track, samples);
        }
    }

    fn tell_played(&self, member: Option<&Member>, track: Track, samples: u64) {
        if speech::is_said(&track.file) {
            return;
        }
        let rate = u64::from(track.rate.max(1));
        // The reference counts each sample twice: when it is read ahead, and when it is played.
        let samples = samples * 2;
        self.fire_played(
            member,
            |event: &mut Event| {
                event.push("seconds", (samples / rate).to_string());
                event.push("milliseconds", (samples * 1000 / rate).to_string());
                event.push("samples", samples.to_string());
                for (name, value) in track.params {
                    event.push(name, value);
                }
            },
            |event| {
                event.push("File", track.file);
                if track.asynchronous {
                    event.push("Async", "true");
                }
            },
        );
    }

    // ---- music ----

    /// Begins music where it belongs: for one who is alone or waits for a moderator.
    pub fn tend_music(self: &Arc<Self>) {
        let wanted = self.with(|s| {
            if s.flags.ending || s.deck.aside.is_some() || s.music.broken || s.members.is_empty() {
                return None;
            }
            if !s.music.perpetual.is_empty() {
                return Some(s.music.perpetual.clone());
            }
            let sound = s.music.chosen.as_ref().unwrap_or(&s.music.sound);
            let quiet = s.music.off || s.members.iter().any(|m| m.state().flags.nomoh);
            let alone = !quiet && s.count() == 1;
            let free = s.deck.main.is_none() && s.deck.waiting.is_empty();
            let silence =
                ["silence", "indicate_hold"].iter().any(|w| sound.eq_ignore_ascii_case(w));
            let wanted = !sound.is_empty() && !silence;
            (wanted && free && (alone || s.flags.wait_mod)).then(|| sound.clone())
        });
        let Some(sound) = wanted else { return };
        let room = Arc::clone(self);
        crate::foreign::spawn(async move {
            if !room.play(&sound, None, true).await {
                room.with(|s| s.music.broken = true);
            }
        });
    }

    /// `moh`: `on`, `off`, `toggle`, `reset`, or other music.
    pub fn set_music(self: &Arc<Self>, what: &str) {
        let stop = self.with(|s| {
            s.music.broken = false;
            match what.to_ascii_lowercase().as_str() {
                "toggle" => s.music.off = !s.music.off,
                "on" => s.music.off = false,
                "off" => s.music.off = true,
                "reset" => s.music.chosen = None,
                _ => s.music.chosen = Some(what.to_owned()),
            }
            s.music.off || s.music.chosen.is_some()
        });
        if stop {
            self.stop_plays(Which::Async);
        }
        self.tend_music();
    }

    /// A member joined: the others hear it, or the member hears that it is alone.
    pub(super) fn greet(self: &Arc<Self>, member: &Arc<Member>) {
        let channel = &member.channel;
        let silent = channel.is_true("conference_silent_entry") || member.state().flags.silent;
        let (count, flags, sound, music) = self.with(|s| {
            let music = !s.music.sound.is_empty() || s.music.chosen.is_some();
            (s.count(), s.flags, s.enter_sound.clone(), music)
        });
        if count > 1 {
            if music {
                self.stop_plays(Which::Async);
                self.with(|s| s.music.off = false);
            }
            let own = channel.variable("conference_enter_sound").filter(|s| !s.is_empty());
            let sound = own.unwrap_or(sound);
            if flags.enter_sound && !silent && !sound.is_empty() {
                self.play_later(sound, Some(Arc::clone(channel)));
            }
            if !silent {
                self.announce_count(member, count);
            }
        } else if let Some(alone) = self.profile.sound("alone-sound")
            && !(silent || flags.wait_mod || flags.bridge_to || member.state().flags.ghost)
        {
            self.stop_plays(Which::Async);
            self.play_later(alone, Some(Arc::clone(channel)));
        }
        self.tend_music();
    }

    /// A member left and others remain.
    pub(super) fn say_farewell(self: &Arc<Self>, member: &Arc<Member>) {
        let channel = &member.channel;
        let (count, flags, sound) = self.with(|s| (s.count(), s.flags, s.exit_sound.clone()));
        let own = channel.variable("conference_exit_sound").filter(|s| !s.is_empty());
        let silent = member.state().flags.silent;
        let mut sounds = Vec::new();
        if let Some(own) = own {
            sounds.push(own);
        } else if flags.exit_sound && !silent && !sound.is_empty() {
            sounds.push(sound);
        }
        if count == 1 && !flags.wait_mod {
            sounds.extend(self.profile.sound("alone-sound"));
        }
        let (room, channel) = (Arc::clone(self), Arc::clone(channel));
        crate::foreign::spawn(async move {
            for name in sounds {
                let name = file_for(&room.switch, &channel, &name).await;
                room.play(&name, Some(&channel), false).await;
            }
            room.tend_music();
        });
    }
}
