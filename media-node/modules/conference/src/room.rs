//! Rooms and their members: who is in, what they may, and the events about it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use esl_server::event::{Event, EventName};
use media::leg::Side;
use media::{LegEvent, MemberOptions, PlayId, RecordId};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::profile::Profile;
use crate::call::Channel;
use crate::clock;
use crate::switch::Switch;

/// The subclass of all events about conferences.
pub const SUBCLASS: &str = "conference::maintenance";

/// All rooms.
#[derive(Default)]
pub struct Rooms {
    by_name: Mutex<HashMap<String, Arc<Room>>>,
    last_member: AtomicU32,
}

/// One conference.
pub struct Room {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// How it is set up.
    pub profile: Profile,
    /// The mixer.
    pub mixer: media::Leg,
    /// When it began, seconds since the epoch.
    pub created: i64,
    switch: Arc<Switch>,
    state: Mutex<State>,
}

/// What changes about a room.
#[derive(Default)]
pub struct State {
    /// Who is in, in order of arrival.
    pub members: Vec<Arc<Member>>,
    /// Who has the floor.
    pub floor: Option<u32>,
    /// Nobody else may come in.
    pub locked: bool,
    /// What one has to type to come in.
    pub pin: String,
    /// Files playing to the room: play, name.
    pub plays: Vec<(PlayId, String)>,
    /// The one of them that is music for who is alone.
    pub(super) music: Option<PlayId>,
    /// Recordings: recording, file.
    pub recordings: Vec<(RecordId, String)>,
    /// Enter and exit sounds are played.
    pub sounds: (bool, bool),
}

impl State {
    /// The only one in the room, unless it wants no music.
    pub(super) fn lonely(&self) -> Option<Arc<Member>> {
        match self.members.as_slice() {
            [only] if !only.state().no_music => Some(Arc::clone(only)),
            _ => None,
        }
    }
}

/// Somebody in a room.
pub struct Member {
    /// Number, unique in the switch.
    pub id: u32,
    /// The call.
    pub channel: Arc<Channel>,
    /// When it came in, seconds since the epoch.
    pub joined: i64,
    state: Mutex<MemberState>,
}

/// What changes about a member.
#[derive(Clone, Debug)]
pub struct MemberState {
    /// Is heard.
    pub speaks: bool,
    /// Hears.
    pub hears: bool,
    /// Talks right now.
    pub talking: bool,
    /// Level when talking began last.
    pub energy: u32,
    /// Level from which it counts as talking.
    pub energy_level: u32,
    /// Listening volume, -4 to 4.
    pub volume_out: i64,
    /// Talking volume, -4 to 4.
    pub volume_in: i64,
    /// When it talked last, seconds since the epoch; 0 = never.
    pub last_talking: i64,
    /// Moderator.
    pub moderator: bool,
    /// The room ends when it leaves.
    pub ends_room: bool,
    /// While it is in, nobody hears music.
    pub no_music: bool,
    /// Why it has to leave.
    pub leave: Option<Leave>,
}

/// Why a member has to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Thrown out: the dialplan goes on.
    Kicked,
    /// Hung up.
    HungUp,
    /// Sent to another room.
    Moved(String),
    /// The room ended.
    Ended,
}

impl Rooms {
    /// The room of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.by_name.lock().get(name).cloned()
    }

    /// All rooms, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Room>> {
        let mut all: Vec<_> = self.by_name.lock().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The room of that name, made when there is none.
    ///
    /// # Errors
    /// When no mixer can be had.
    pub fn enter(
        &self,
        switch: &Arc<Switch>,
        name: &str,
        profile: Profile,
    ) -> Result<Arc<Room>, media::OpenError> {
        let mut rooms = self.by_name.lock();
        if let Some(room) = rooms.get(name) {
            return Ok(Arc::clone(room));
        }
        let (mixer, events) = switch.media.open_mixer(profile.rate, profile.interval)?;
        let state = State { pin: profile.pin.clone(), sounds: (true, true), ..State::default() };
        let room = Arc::new(Room {
            name: name.to_owned(),
            uuid: clock::new_uuid(),
            profile,
            mixer,
            created: clock::now_secs(),
            switch: Arc::clone(switch),
            state: Mutex::new(state),
        });
        rooms.insert(name.to_owned(), Arc::clone(&room));
        drop(rooms);
        tokio::spawn(follow_mixer(Arc::downgrade(&room), events));
        room.fire("conference-create", |_| {});
        Ok(room)
    }

    fn next_member(&self) -> u32 {
        self.last_member.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Notes what the mixer tells until the room is gone.
async fn follow_mixer(room: std::sync::Weak<Room>, mut events: mpsc::Receiver<LegEvent>) {
    while let Some(event) = events.recv().await {
        let Some(room) = room.upgrade() else { return };
        match event {
            LegEvent::PlayDone { id, .. } => room.play_ended(id),
            LegEvent::RecordDone { id, report } => room.recording_ended(id, &report),
            _ => {}
        }
    }
}

impl Room {
    /// Looks at what changes, or changes it; keep it short.
    pub fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    /// Everybody in it.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.with(|s| s.members.clone())
    }

    /// The member of that number.
    #[must_use]
    pub fn member(&self, id: u32) -> Option<Arc<Member>> {
        self.with(|s| s.members.iter().find(|m| m.id == id).cloned())
    }

    /// The flags lists show.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = self.with(|s| if s.locked { vec!["locked"] } else { Vec::new() });
        flags.extend([
            "running",
            "answered",
            "enforce_min",
            "dynamic",
            "exit_sound",
            "enter_sound",
        ]);
        flags.push("json_status");
        flags
    }

    // ---- events ----

    fn describe(&self, event: &mut Event) {
        event.push("Conference-Name", self.name.clone());
        event.push("Conference-Domain", self.profile.domain.clone());
        event.push("Conference-Size", self.with(|s| s.members.len()).to_string());
        event.push("Conference-Ghosts", "0");
        event.push("Conference-Profile-Name", self.profile.name.clone());
        event.push("Conference-Unique-ID", self.uuid.clone());
    }

    fn describe_member(&self, event: &mut Event, member: &Member) {
        let floor = self.with(|s| s.floor == Some(member.id));
        let state = member.state();
        let word = |on: bool| if on { "true" } else { "false" };
        event.push("Floor", word(floor));
        member.channel.describe_plain(event);
        event.push("Video", "false");
        event.push("Hear", word(state.hears));
        event.push("See", "true");
        event.push("Speak", word(state.speaks));
        event.push("Talking", word(state.talking));
        event.push("Mute-Detect", "false");
        event.push("Hold", "false");
        event.push("Member-ID", member.id.to_string());
        event.push("Member-Type", if state.moderator { "moderator" } else { "member" });
        event.push("Member-Ghost", "false");
        event.push("Energy-Level", state.energy_level.to_string());
        event.push("Current-Energy", state.energy.to_string());
    }

    /// Fires an event about the room.
    pub fn fire(&self, action: &str, more: impl FnOnce(&mut Event)) {
        self.fire_built(|event| {
            self.describe(event);
            event.push("Action", action.to_owned());
            more(event);
        });
    }

    /// Fires an event about a member.
    pub fn fire_member(&self, member: &Member, action: &str, more: impl FnOnce(&mut Event)) {
        self.fire_built(|event| {
            self.describe(event);
            self.describe_member(event, member);
            event.push("Action", action.to_owned());
            more(event);
        });
    }

    fn fire_built(&self, build: impl FnOnce(&mut Event)) {
        let bus = &self.switch.bus;
        if !bus.wants(EventName::Custom) {
            bus.skip();
            return;
        }
        let mut event = Event::custom(SUBCLASS);
        esl_server::stamp!(bus, &mut event);
        build(&mut event);
        bus.deliver(event);
    }

    // ---- coming and going ----

    /// Lets somebody in.
    pub fn add(self: &Arc<Self>, channel: &Arc<Channel>, state: MemberState) -> Arc<Member> {
        let member = Arc::new(Member {
            id: self.switch.module::<Rooms>().next_member(),
            channel: Arc::clone(channel),
            joined: clock::now_secs(),
            state: Mutex::new(state),
        });
        self.with(|s| s.members.push(Arc::clone(&member)));
        self.fire_member(&member, "add-member", |_| {});
        self.offer_floor(&member);
        member
    }

    /// Takes somebody out; the last one ends the room.
    pub fn remove(self: &Arc<Self>, member: &Arc<Member>) {
        let had_floor = self.with(|s| {
            s.members.retain(|m| m.id != member.id);
            s.floor == Some(member.id)
        });
        if had_floor {
            let next = self.members().into_iter().find(|m| m.state().speaks);
            self.give_floor(next.as_ref());
        }
        self.fire_member(member, "del-member", |_| {});
        let ends = member.state().ends_room;
        if ends {
            for other in self.members() {
                other.leave(Leave::Ended);
            }
        }
        self.close_if_empty();
    }

    /// Ends the room when nobody is in it.
    pub fn close_if_empty(self: &Arc<Self>) {
        let all = self.switch.module::<Rooms>();
        let mut rooms = all.by_name.lock();
        let empty = self.with(|s| s.members.is_empty());
        let here = rooms.get(&self.name).is_some_and(|r| Arc::ptr_eq(r, self));
        if empty && here {
            rooms.remove(&self.name);
            drop(rooms);
            self.fire("conference-destroy", |_| {});
        }
    }

    /// Gives the floor to a talker if nobody has it or its holder is silent.
    pub fn offer_floor(&self, member: &Arc<Member>) {
        let holder = self.with(|s| s.floor).and_then(|id| self.member(id));
        let free = holder.is_none_or(|h| !h.state().talking || !h.state().speaks);
        let same = self.with(|s| s.floor == Some(member.id));
        if free && !same && member.state().speaks {
            let nobody = self.with(|s| s.floor.is_none());
            if nobody || member.state().talking {
                self.give_floor(Some(member));
            }
        }
    }

    /// Hands the floor on.
    pub fn give_floor(&self, member: Option<&Arc<Member>>) {
        let old = self.with(|s| std::mem::replace(&mut s.floor, member.map(|m| m.id)));
        let word = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        self.fire_built(|event| {
            self.describe(event);
            event.push("Action", "floor-change");
            event.push("Old-ID", word(old));
            if let Some(member) = member {
                self.describe(event);
                self.describe_member(event, member);
            }
            event.push("New-ID", word(member.map(|m| m.id)));
        });
    }

    // ---- sound ----

    /// Plays a file to everybody. False when it cannot be played. Reads the file: call it where
    /// blocking does not matter.
    pub fn play(&self, path: &str, options: &media::source::SourceOptions, aside: bool) -> bool {
        let Ok(plan) = media::source::open(path, options) else { return false };
        let plan = Box::new(plan);
        let begun = if aside { self.mixer.play_over(plan) } else { self.mixer.play_within(plan) };
        let Ok(id) = begun else { return false };
        self.with(|s| s.plays.push((id, path.to_owned())));
        self.fire("play-file", |event| {
            event.push("File", path.to_owned());
        });
        true
    }

    /// Ends what plays; only the newest unless `all`. Returns how many.
    pub fn stop_plays(&self, all: bool) -> usize {
        let plays = self.with(|s| {
            let from = if all { 0 } else { s.plays.len().saturating_sub(1) };
            s.plays.get(from..).unwrap_or_default().to_vec()
        });
        for (id, _) in &plays {
            let _ended = self.mixer.stop_play(*id);
        }
        plays.len()
    }

    fn play_ended(self: &Arc<Self>, id: PlayId) {
        let found = self.with(|s| {
            s.music.take_if(|music| *music == id);
            let index = s.plays.iter().position(|(play, _)| *play == id)?;
            Some(s.plays.remove(index).1)
        });
        if let Some(path) = found {
            self.fire("play-file-done", |event| {
                event.push("File", path);
            });
            self.tend_music();
        }
    }

    /// Records the room. False when it is recorded there already or cannot be.
    pub fn record(&self, path: &str) -> bool {
        if self.with(|s| s.recordings.iter().any(|(_, p)| p == path)) {
            return false;
        }
        let Ok(id) = self.mixer.record(media::RecordSpec::new(path)) else { return false };
        self.with(|s| s.recordings.push((id, path.to_owned())));
        self.fire("start-recording", |event| {
            event.push("Path", path.to_owned());
        });
        true
    }

    /// Does something to the recording to `path`, or to all. Returns how many.
    pub fn each_recording(&self, path: &str, each: impl Fn(RecordId)) -> usize {
        let ids: Vec<RecordId> = self.with(|s| {
            let wanted = s.recordings.iter().filter(|(_, p)| path == "all" || p == path);
            wanted.map(|(id, _)| *id).collect()
        });
        ids.iter().for_each(|id| each(*id));
        ids.len()
    }

    fn recording_ended(&self, id: RecordId, report: &media::RecordReport) {
        let found = self.with(|s| {
            let index = s.recordings.iter().position(|(r, _)| *r == id)?;
            Some(s.recordings.remove(index).1)
        });
        let Some(path) = found else { return };
        self.fire("stop-recording", |event| {
            event.push("Path", path);
            event.push("Samples-Out", report.samples.to_string());
            event.push("Seconds-Out", (report.millis() / 1000).to_string());
            event.push("Milliseconds-Out", report.millis().to_string());
        });
    }
}

impl Member {
    /// A copy of what changes.
    #[must_use]
    pub fn state(&self) -> MemberState {
        self.state.lock().clone()
    }

    /// Changes something and has the mixer follow.
    pub fn change(&self, change: impl FnOnce(&mut MemberState)) {
        let (before, after) = {
            let mut state = self.state.lock();
            let before = state.clone();
            change(&mut state);
            (before, state.clone())
        };
        let Some(leg) = self.channel.media() else { return };
        let _closed = leg.set_member(after.options());
        for (side, was, is) in [
            (Side::Read, before.volume_in, after.volume_in),
            (Side::Write, before.volume_out, after.volume_out),
        ] {
            if was != is {
                crate::call::audio::set_level(&self.channel, side, is);
            }
        }
    }

    /// Tells the member's call to leave.
    pub fn leave(&self, why: Leave) {
        self.state.lock().leave = Some(why);
        self.channel.notify();
    }
}

impl MemberState {
    /// As the mixer takes it.
    #[must_use]
    pub fn options(&self) -> MemberOptions {
        MemberOptions { muted: !self.speaks, deaf: !self.hears, energy_level: self.energy_level }
    }
}
