//! Rooms: who is in, who has the floor, what they may do, and the events about all that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use esl_server::event::{Event, EventName};
use media::{LegEvent, RecordId};
use parking_lot::Mutex;

use super::member::{Leave, Member};
use super::profile::Profile;
use super::recording::Recording;
use super::sound::{Deck, Music};
use crate::call::Channel;
use crate::clock;
use crate::switch::Switch;

/// Subclass of all events about conferences.
pub const SUBCLASS: &str = "conference::maintenance";

/// Seconds between two heartbeats of a room, at least.
const LEAST_BEAT: u64 = 20;

#[derive(Default)]
pub struct Rooms {
    by_name: Mutex<HashMap<String, Arc<Room>>>,
    last_member: AtomicU32,
}

/// One conference.
pub struct Room {
    pub name: String,
    pub uuid: String,
    /// How it is set up.
    pub profile: Profile,
    pub mixer: media::Leg,
    /// When it began, seconds since the epoch.
    pub created: i64,
    pub(super) switch: Arc<Switch>,
    state: Mutex<State>,
    /// What pages show of it; locked before the state, never while it is.
    pub(super) board: Mutex<Option<super::board::Board>>,
    /// Held while members are told whom they are shown, so that what is older does not come last; locked before the state.
    pub(super) showing: Mutex<()>,
}

/// What changes about a room.
#[derive(Default)]
pub struct State {
    /// Who is in, in order of arrival.
    pub members: Vec<Arc<Member>>,
    /// Who has the floor.
    pub floor: Option<u32>,
    pub video_floor: super::video::VideoFloor,
    pub flags: RoomFlags,
    /// What one has to type to come in.
    pub pin: String,
    /// What a moderator types.
    pub moderator_pin: String,
    /// Most members; 0 = no limit.
    pub max_members: u32,
    /// Where names of files are looked for.
    pub sound_prefix: String,
    /// Name and number of calls it makes.
    pub caller_id: (String, String),
    /// Seconds between the last mandatory member's leaving and the end.
    pub grace: u64,
    /// Sound of arrivals.
    pub enter_sound: String,
    /// Sound of departures.
    pub exit_sound: String,
    /// Heard by those who come in while a call list is being called.
    pub announcement: Option<String>,
    /// What programs keep here.
    pub variables: Vec<(String, String)>,
    /// Who does not hear whom.
    pub relations: Vec<Relation>,
    /// What plays to everybody.
    pub deck: Deck,
    /// Music on hold.
    pub music: Music,
    pub recordings: Vec<Recording>,
    /// The file recorded to last.
    pub recorded_to: Option<String>,
    /// The recording of the profile or of a variable was begun.
    pub auto_recorded: bool,
    /// Where that goes.
    pub auto_record: String,
    /// Fewer members than this end the room, once there were as many.
    pub least: usize,
    /// Mandatory members.
    pub mandatory: usize,
    /// Outgoing calls that have not been answered.
    pub originating: usize,
    /// Who has left, for `json-events`.
    pub left: super::json::Left,
    /// What goes into the record of the room.
    pub ledger: super::cdr::Ledger,
}

/// Flags of a room.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomFlags {
    /// No further member may join.
    pub locked: bool,
    /// It is ending.
    pub ending: bool,
    /// Members are muted until a moderator joins.
    pub wait_mod: bool,
    /// Quiet voices are mixed, too.
    pub audio_always: bool,
    /// A member has answered.
    pub answered: bool,
    /// There were as many members as it needs at least.
    pub enforce_min: bool,
    /// Made to bring two together.
    pub bridge_to: bool,
    /// Arrivals are heard.
    pub enter_sound: bool,
    /// Departures are heard.
    pub exit_sound: bool,
    /// `uuid_break` takes a member out.
    pub breakable: bool,
    /// A recording that was stopped begins again.
    pub restart_auto_record: bool,
    /// Video flags that only lists show.
    pub video_floor_only: bool,
    /// RFC 4579 notices.
    pub rfc4579: bool,
    /// Pages are told who is in it.
    pub livearray_sync: bool,
    /// What they are told of a member's state is JSON.
    pub json_status: bool,
    /// Programs are told the room as JSON when a member comes or leaves.
    pub json_events: bool,
}

impl RoomFlags {
    /// Sets what `flags` names.
    pub fn set(&mut self, flags: &[String]) {
        for flag in flags {
            match flag.as_str() {
                "wait-mod" => self.wait_mod = true,
                "audio-always" => self.audio_always = true,
                "breakable" => self.breakable = true,
                "restart-auto-record" => self.restart_auto_record = true,
                "video-floor-only" => self.video_floor_only = true,
                "rfc-4579" => self.rfc4579 = true,
                "livearray-sync" => self.livearray_sync = true,
                "livearray-json-status" => self.json_status = true,
                "json-events" => self.json_events = true,
                _ => {}
            }
        }
    }
}

/// What one member may not do towards another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Whose it is.
    pub member: u32,
    /// Towards whom.
    pub other: u32,
    /// `member` is not heard by `other`.
    pub nospeak: bool,
    /// `member` does not hear `other`.
    pub nohear: bool,
}

impl Rooms {
    /// The room of that name, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Room>> {
        let rooms = self.by_name.lock();
        let exact = rooms.get(name);
        exact.or_else(|| rooms.values().find(|r| r.name.eq_ignore_ascii_case(name))).cloned()
    }

    /// All rooms, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Room>> {
        let mut all: Vec<_> = self.by_name.lock().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The room of that name, made when there is none; true if it was made.
    ///
    /// # Errors
    /// When no mixer can be had.
    pub fn enter(
        &self,
        switch: &Arc<Switch>,
        name: &str,
        profile: Profile,
    ) -> Result<(Arc<Room>, bool), media::OpenError> {
        let mut rooms = self.by_name.lock();
        let here = rooms.get(name).filter(|room| !room.with(|s| s.flags.ending));
        if let Some(room) = here {
            return Ok((Arc::clone(room), false));
        }
        let (mixer, events) = switch.media.open_mixer(profile.rate, profile.interval)?;
        let _closed = mixer.set_noise(profile.comfort_noise());
        let room = Arc::new(Room {
            name: name.to_owned(),
            uuid: clock::new_uuid(),
            mixer,
            created: clock::now_secs(),
            switch: Arc::clone(switch),
            state: Mutex::new(first_state(switch, &profile)),
            board: Mutex::default(),
            showing: Mutex::new(()),
            profile,
        });
        rooms.insert(name.to_owned(), Arc::clone(&room));
        room.profile.warn_of_video(name);
        drop(rooms);
        crate::foreign::spawn(follow_mixer(Arc::downgrade(&room), events));
        room.end_when_silent();
        room.beat();
        room.fire("conference-create", |_| {});
        Ok((room, true))
    }

    pub(super) fn next_member(&self) -> u32 {
        self.last_member.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn first_state(switch: &Switch, profile: &Profile) -> State {
    let sound = |name: &str| profile.sound(name).unwrap_or_default();
    let mut flags = RoomFlags { enter_sound: true, exit_sound: true, ..RoomFlags::default() };
    flags.set(&super::profile::split_flags(&profile.flags));
    State {
        flags,
        pin: profile.pin.clone(),
        moderator_pin: profile.moderator_pin.clone(),
        max_members: profile.max_members,
        sound_prefix: profile
            .sound("sound-prefix")
            .or_else(|| switch.global("sound_prefix"))
            .unwrap_or_default(),
        caller_id: profile.caller_id.clone(),
        grace: u64::try_from(profile.number("endconf-grace-time", 0)).unwrap_or(0),
        enter_sound: sound("enter-sound"),
        exit_sound: sound("exit-sound"),
        auto_record: profile.auto_record.clone(),
        music: Music { sound: sound("moh-sound"), ..Music::default() },
        least: 1,
        ..State::default()
    }
}

/// Notes what the mixer tells until the room is gone.
async fn follow_mixer(room: std::sync::Weak<Room>, mut events: media::LegEvents) {
    while let Some(event) = events.recv().await {
        let Some(room) = room.upgrade() else { return };
        base::tasks::guarded("Conference", || match event {
            LegEvent::PlayDone { id, samples, .. } => room.play_ended(id, samples),
            LegEvent::RecordStarted { id } => room.recording_began(id),
            LegEvent::RecordDone { id, report } => room.recording_ended(id, &report),
            _ => {}
        });
    }
}

impl Room {
    /// Looks at what changes, or changes it; keep it short.
    pub fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    /// Everybody in it, the last to come first, as lists show them.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.with(|s| s.members.iter().rev().cloned().collect())
    }

    /// How many count: ghosts do not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with(|s| s.count())
    }

    /// The member of that number.
    #[must_use]
    pub fn member(&self, id: u32) -> Option<Arc<Member>> {
        self.with(|s| s.members.iter().find(|m| m.id == id).cloned())
    }

    /// Flags and their names, in the order of lists.
    #[must_use]
    pub fn flags(&self) -> Vec<(&'static str, bool)> {
        self.with(|s| {
            let flags = s.flags;
            vec![
                ("locked", flags.locked),
                ("destruct", flags.ending),
                ("wait_mod", flags.wait_mod),
                ("audio_always", flags.audio_always),
                ("running", true),
                ("answered", flags.answered),
                ("enforce_min", flags.enforce_min),
                ("bridge_to", flags.bridge_to),
                ("dynamic", true),
                ("exit_sound", flags.exit_sound),
                ("enter_sound", flags.enter_sound),
                ("recording", !s.recordings.is_empty()),
                ("video_bridge", false),
                ("video_floor_only", flags.video_floor_only),
                ("video_rfc4579", flags.rfc4579),
                ("livearray_sync", flags.livearray_sync),
            ]
        })
    }

    // ---- events ----

    fn describe(&self, event: &mut Event) {
        let (count, ghosts, variables) =
            self.with(|s| (s.count(), s.ghosts(), s.variables.clone()));
        event.push("Conference-Name", self.name.clone());
        event.push("Conference-Domain", self.profile.domain.clone());
        event.push("Conference-Size", count.to_string());
        event.push("Conference-Ghosts", ghosts.to_string());
        event.push("Conference-Profile-Name", self.profile.name.clone());
        event.push("Conference-Unique-ID", self.uuid.clone());
        for (name, value) in variables {
            event.push(name, value);
        }
    }

    fn describe_member(&self, event: &mut Event, member: &Member) {
        let floor = self.with(|s| s.floor == Some(member.id));
        let state = member.state();
        let word = |on: bool| if on { "true" } else { "false" };
        event.push("Floor", word(floor));
        if self.profile.verbose {
            member.channel.describe(event);
        } else {
            member.channel.describe_plain(event);
        }
        event.push("Video", word(member.has_video()));
        event.push("Hear", word(state.hears));
        event.push("See", word(state.seen));
        event.push("Speak", word(state.speaks));
        event.push("Talking", word(state.talking));
        event.push("Mute-Detect", word(state.flags.mute_detect));
        event.push("Hold", word(state.held));
        event.push("Member-ID", member.id.to_string());
        event.push("Member-Type", if state.flags.moderator { "moderator" } else { "member" });
        event.push("Member-Ghost", word(state.flags.ghost));
        event.push("Energy-Level", state.energy_level.to_string());
        event.push("Current-Energy", state.energy.to_string());
    }

    /// Fires an event about the room.
    pub fn fire(&self, action: &str, more: impl FnOnce(&mut Event)) {
        self.fire_with(|_| {}, action, more);
    }

    /// The same, with something to say before the action, too.
    pub(super) fn fire_with(
        &self,
        before: impl FnOnce(&mut Event),
        action: &str,
        more: impl FnOnce(&mut Event),
    ) {
        if self.profile.suppresses(action) {
            return;
        }
        self.fire_built(|event| {
            self.describe(event);
            before(event);
            event.push("Action", action.to_owned());
            more(event);
        });
    }

    /// Tells that a member was sent to another room.
    pub fn fire_transfer(&self, member: &Member, target: &str) {
        let names = |event: &mut Event| {
            event.push("Old-Conference-Name", self.name.clone());
            event.push("New-Conference-Name", target.to_owned());
        };
        self.fire_member_with(member, names, "transfer", |_| {});
    }

    /// Fires an event about a member; `more` is said after the action.
    pub fn fire_member(&self, member: &Member, action: &str, more: impl FnOnce(&mut Event)) {
        self.fire_member_with(member, |_| {}, action, more);
    }

    /// The same, with something to say before the action, too.
    pub(super) fn fire_member_with(
        &self,
        member: &Member,
        before: impl FnOnce(&mut Event),
        action: &str,
        more: impl FnOnce(&mut Event),
    ) {
        if self.profile.suppresses(action) {
            return;
        }
        self.fire_built(|event| {
            self.describe(event);
            self.describe_member(event, member);
            before(event);
            event.push("Action", action.to_owned());
            more(event);
        });
    }

    /// Fires the end of a play: figures come before the action, a member's description after it.
    pub(super) fn fire_played(
        &self,
        member: Option<&Member>,
        figures: impl FnOnce(&mut Event),
        more: impl FnOnce(&mut Event),
    ) {
        if member.is_none() && self.profile.suppresses("play-file-done") {
            return;
        }
        self.fire_built(|event| {
            self.describe(event);
            figures(event);
            match member {
                Some(member) => {
                    event.push("Action", "play-file-member-done");
                    self.describe(event);
                    self.describe_member(event, member);
                }
                None => {
                    event.push("Action", "play-file-done");
                }
            }
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

    /// Adds a member.
    pub(super) fn add(self: &Arc<Self>, member: &Arc<Member>) {
        let flags = member.state().flags;
        self.with(|s| {
            s.members.push(Arc::clone(member));
            s.mandatory += usize::from(flags.mandatory);
            if flags.mintwo {
                s.least = s.least.max(2);
            }
            if flags.moderator {
                s.flags.wait_mod = false;
            }
            s.flags.enforce_min |= s.count() >= s.least;
        });
        super::cdr::joined(self, member);
        self.retune();
    }

    /// Tells programs now and then that the room is there (`heartbeat-period-sec`; less than 20 seconds are none).
    fn beat(self: &Arc<Self>) {
        let period = u64::try_from(self.profile.number("heartbeat-period-sec", 0)).unwrap_or(0);
        if period < LEAST_BEAT {
            return;
        }
        let room = Arc::downgrade(self);
        crate::foreign::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(period)).await;
                let Some(room) = room.upgrade().filter(|room| !room.with(|s| s.flags.ending))
                else {
                    return;
                };
                room.fire("conference-heartbeat", |_| {});
            }
        });
    }

    /// Removes a member; too few end the room.
    pub(super) fn remove(self: &Arc<Self>, member: &Arc<Member>) {
        let flags = member.state().flags;
        super::cdr::left(self, member);
        let had_floor = self.with(|s| {
            s.relations.retain(|r| r.member != member.id && r.other != member.id);
            s.floor.take_if(|id| *id == member.id).is_some()
        });
        if had_floor {
            self.tell_floor(None, None);
        }
        let (ends, last_mandatory, grace) = self.with(|s| {
            s.members.retain(|m| m.id != member.id);
            s.mandatory = s.mandatory.saturating_sub(usize::from(flags.mandatory));
            let few = s.flags.enforce_min && s.members.len() < s.least || s.members.is_empty();
            (flags.ends_room || few, flags.mandatory && s.mandatory == 0, s.grace)
        });
        if !ends {
            self.say_farewell(member);
        }
        self.fire_member(member, "del-member", |_| {});
        self.hide(member);
        self.tell_json(Some(member));
        self.separate();
        if ends {
            self.end();
        } else {
            self.take_floor_if_free();
            self.find_video_floor(Some(member.id));
            if last_mandatory {
                self.end_after(grace);
            }
        }
        self.close_if_empty();
    }

    /// Everybody has to leave.
    pub fn end(self: &Arc<Self>) {
        self.with(|s| s.flags.ending = true);
        self.stop_plays(super::sound::Which::All);
        for member in self.members() {
            member.leave(Leave::RoomEnded);
        }
    }

    /// Ends the room when no mandatory member is back after that many seconds.
    fn end_after(self: &Arc<Self>, seconds: u64) {
        let room = Arc::downgrade(self);
        crate::foreign::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if let Some(room) = room.upgrade().filter(|room| room.with(|s| s.mandatory == 0)) {
                room.end();
            }
        });
    }

    /// Ends the room when it has no members.
    pub fn close_if_empty(self: &Arc<Self>) {
        let all = self.switch.module::<Rooms>();
        let mut rooms = all.by_name.lock();
        let empty = self.with(|s| s.members.is_empty() && s.originating == 0);
        let here = rooms.get(&self.name).is_some_and(|r| Arc::ptr_eq(r, self));
        if empty && here {
            rooms.remove(&self.name);
            drop(rooms);
            self.with(|s| s.flags.ending = true);
            self.clear_board();
            self.fire("conference-destroy", |_| {});
            super::cdr::closed(self);
        }
    }

    /// What members may do has changed with the room: has the mixer follow.
    pub fn retune(&self) {
        let flags = self.with(|s| s.flags);
        for member in self.members() {
            member.tune(flags);
        }
    }

    /// Tells the mixer who does not hear whom.
    pub fn separate(&self) {
        let (relations, members) = self.with(|s| (s.relations.clone(), s.members.clone()));
        let leg = |id: u32| {
            let member = members.iter().find(|m| m.id == id)?;
            member.channel.media().map(|leg| leg.id())
        };
        let mut pairs = Vec::new();
        for relation in relations {
            let (Some(member), Some(other)) = (leg(relation.member), leg(relation.other)) else {
                continue;
            };
            if relation.nospeak {
                pairs.push((member, other));
            }
            if relation.nohear {
                pairs.push((other, member));
            }
        }
        let _closed = self.mixer.separate(pairs);
    }

    // ---- floor ----

    /// Gives the floor to a talker if it is free or its holder is silent.
    pub(super) fn offer_floor(self: &Arc<Self>, member: &Arc<Member>) {
        let holder = self.with(|s| s.floor).and_then(|id| self.member(id));
        let free = holder.is_none_or(|h| !h.state().talking || !h.state().speaks);
        let same = self.with(|s| s.floor == Some(member.id));
        if same {
            self.move_video_floor(member);
        } else if free && member.state().speaks {
            self.give_floor(Some(member));
        }
        // The video floor may be locked elsewhere, or follow later.
        self.show_speaker(member);
    }

    /// The floor is never free: the last member to join has it unless another talks.
    pub(super) fn take_floor_if_free(self: &Arc<Self>) {
        if self.with(|s| s.floor.is_none())
            && let Some(member) = self.members().first()
        {
            self.give_floor(Some(member));
        }
    }

    /// Hands the floor on.
    pub fn give_floor(self: &Arc<Self>, member: Option<&Arc<Member>>) {
        let old = self.with(|s| std::mem::replace(&mut s.floor, member.map(|m| m.id)));
        self.tell_floor(old, member.map(Arc::as_ref));
        let old = old.and_then(|id| self.member(id));
        for member in member.into_iter().chain(&old) {
            self.show_again(member);
        }
        if let Some(member) = member {
            self.move_video_floor(member);
        }
    }

    fn tell_floor(&self, old: Option<u32>, member: Option<&Member>) {
        if self.profile.suppresses("floor-change") {
            return;
        }
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

    /// The first member's channel, for names of files and variables.
    pub(super) fn first_channel(&self) -> Option<Arc<Channel>> {
        self.with(|s| s.members.first().map(|m| Arc::clone(&m.channel)))
    }

    /// The recording of that number.
    pub(super) fn recording_path(&self, id: RecordId) -> Option<String> {
        self.with(|s| s.recordings.iter().find(|r| r.id == id).map(|r| r.path.clone()))
    }
}

impl State {
    /// Members that are not ghosts.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len() - self.ghosts()
    }

    /// Members that do not count.
    #[must_use]
    pub fn ghosts(&self) -> usize {
        self.members.iter().filter(|m| m.state().flags.ghost).count()
    }
}
