//! A member of a room: its rights, and how commands and keys change them.

use std::sync::Arc;

use media::leg::{AutoGain, MemberOptions, Side};
use media::record::Redaction;
use parking_lot::Mutex;

use super::profile::Profile;
use super::room::{Room, RoomFlags, Rooms};
use super::sound::Deck;
use crate::call::Channel;
use crate::{clock, text};

/// Highest level `up` goes to.
const TOP_LEVEL: i64 = 1800;
/// What `up` and `down` change a level by.
const LEVEL_STEP: i64 = 200;

/// A member of a room.
pub struct Member {
    /// Number, unique in the switch; a call keeps it from room to room.
    pub id: u32,
    /// The call.
    pub channel: Arc<Channel>,
    /// When it came in, seconds since the epoch.
    pub joined: i64,
    /// Milliseconds of the mixer's interval.
    interval: i64,
    state: Mutex<MemberState>,
    /// Its video as the room has taken it up.
    pub(super) known_video: Mutex<super::video::Known>,
    /// What its leg was told last; `None` where that is not known.
    pub(super) shown: Mutex<Option<super::video::Shown>>,
    /// What plays to it alone.
    pub(super) deck: Mutex<Deck>,
}

/// What changes about a member.
#[derive(Clone, Debug)]
pub struct MemberState {
    /// Flags it came with.
    pub flags: MemberFlags,
    /// Is heard.
    pub speaks: bool,
    pub hears: bool,
    /// Its pictures are shown.
    pub seen: bool,
    /// It is shown pictures.
    pub sees: bool,
    /// Is on hold: not heard.
    pub held: bool,
    /// Talks right now.
    pub talking: bool,
    /// Level when talking began last.
    pub energy: u32,
    /// Level from which it counts as talking.
    pub energy_level: i64,
    /// Level the energy level may rise to by itself; 0 = it does not.
    pub auto_energy: i64,
    /// Level that is too loud; 0 = none.
    pub max_energy: i64,
    /// Loud intervals that are let pass.
    pub max_energy_hits: i64,
    /// Milliseconds of silence after one more.
    pub burst_mute: i64,
    /// Automatic gain.
    pub gain: Gain,
    /// Pressed keys are silence in the room's recordings.
    redact: Option<Redaction>,
    /// Volume of what it hears, -4 to 4.
    pub volume_out: i64,
    /// Volume at which it is heard, -4 to 4.
    pub volume_in: i64,
    /// When it talked last, seconds since the epoch; 0 = never.
    pub last_talking: i64,
    /// Why it has to leave.
    pub leave: Option<Leave>,
}

/// Flags of a member.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the reference, each its own")]
pub struct MemberFlags {
    pub moderator: bool,
    /// `endconf`: the room ends when it leaves.
    pub ends_room: bool,
    /// `mandatory_member_endconf`: the room ends when the last of these has left.
    pub mandatory: bool,
    /// `mintwo`: fewer than two end the room.
    pub mintwo: bool,
    /// `ghost`: does not count.
    pub ghost: bool,
    /// `nomoh`: no music while it is alone.
    pub nomoh: bool,
    /// `mute-detect`: it is told when it talks while muted.
    pub mute_detect: bool,
    /// `dist-dtmf`: its digits go to the others.
    pub dist_dtmf: bool,
    /// `skip-dtmf`: gets no digits of others.
    pub skip_dtmf: bool,
    /// `join-only`: makes no room.
    pub join_only: bool,
    /// `second-screen`: only looks; nothing is heard of its coming.
    pub silent: bool,
    pub mute: bool,
    pub deaf: bool,
    /// `vmute`: its pictures are not shown.
    pub vmute: bool,
    /// `blind`: it is shown none.
    pub blind: bool,
    /// `join-vid-floor`: has the video floor as soon as it has video, also while others talk.
    pub join_video_floor: bool,
}

impl MemberFlags {
    /// Reads names of flags; unknown ones are left out.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        for name in names {
            match name {
                "mute" => flags.mute = true,
                "deaf" => flags.deaf = true,
                "vmute" => flags.vmute = true,
                "blind" => flags.blind = true,
                "join-vid-floor" => flags.join_video_floor = true,
                "moderator" => flags.moderator = true,
                "endconf" => flags.ends_room = true,
                "mandatory_member_endconf" => flags.mandatory = true,
                "mintwo" => flags.mintwo = true,
                "ghost" => flags.ghost = true,
                "nomoh" => flags.nomoh = true,
                "mute-detect" => flags.mute_detect = true,
                "dist-dtmf" => flags.dist_dtmf = true,
                "skip-dtmf" => flags.skip_dtmf = true,
                "join-only" => flags.join_only = true,
                "second-screen" => {
                    (flags.mute, flags.deaf, flags.silent) = (true, true, true);
                }
                _ => {}
            }
        }
        flags
    }
}

/// Automatic gain: level aimed at, low point, patience, margin, period. Off at level 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gain {
    /// Level aimed at.
    pub level: i64,
    low: i64,
    patience: i64,
    margin: i64,
    period: i64,
}

impl Gain {
    fn of(profile: &Profile) -> Self {
        Self {
            level: profile.number("auto-gain-level", 0).max(0),
            low: profile.number("auto-gain-low-energy-level", 0).max(0),
            patience: profile.number("auto-gain-change-factor", 3).max(0),
            margin: profile.number("auto-gain-margin", 20).max(0),
            period: profile.number("auto-gain-period-len", 10).max(1),
        }
    }

    /// Reads `level[:low[:patience]]`; parts that are not above zero change nothing.
    pub fn set(&mut self, text: &str) {
        let mut parts = text.split(':').map(text::int);
        for place in [&mut self.level, &mut self.low, &mut self.patience] {
            if let Some(value) = parts.next().filter(|value| *value > 0) {
                *place = value;
            }
        }
    }

    fn options(self) -> Option<AutoGain> {
        let part = |value: i64| u32::try_from(value).unwrap_or(0);
        (self.level > 0).then(|| AutoGain {
            level: part(self.level),
            low: part(self.low),
            margin: part(self.margin),
            patience: part(self.patience),
            period: part(self.period),
        })
    }
}

/// Why a member has to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Thrown out, with a sound of its own to hear: the dialplan goes on.
    Kicked(Option<String>),
    /// Asked to go: the dialplan goes on.
    Out,
    /// The room ended: the call ends, unless `hangup_after_conference` is false.
    RoomEnded,
}

/// A level that `up`, `down` or a number changes.
#[must_use]
pub fn changed_level(old: i64, text: &str) -> i64 {
    match text.to_ascii_lowercase().as_str() {
        "up" => (old + LEVEL_STEP).min(TOP_LEVEL),
        "down" => (old - LEVEL_STEP).max(0),
        _ => text::int(text),
    }
}

impl MemberState {
    /// As a member joins: profile, flags and the call's variables.
    pub(super) fn first(channel: &Channel, profile: &Profile, flags: MemberFlags) -> Self {
        let number = |name: &str, low: i64, high: i64| {
            let value = channel.variable(name).map(|v| text::int(&v));
            value.filter(|value| (low..=high).contains(value))
        };
        let interval = i64::from(profile.interval.max(1));
        Self {
            flags,
            speaks: !flags.mute,
            hears: !flags.deaf,
            seen: !flags.vmute,
            sees: !flags.blind,
            held: false,
            talking: false,
            energy: 0,
            energy_level: number("conference_join_energy_level", -1, TOP_LEVEL)
                .unwrap_or(profile.energy_level),
            auto_energy: profile.number("auto-energy-level", 0).max(0),
            max_energy: profile.number("max-energy-level", 0).max(0),
            max_energy_hits: profile.number("max-energy-hit-trigger", 5).max(0),
            burst_mute: profile.number("max-energy-level-mute-ms", 0).max(0) / interval * interval,
            gain: Gain::of(profile),
            redact: Redaction::asked(
                channel.var("redact_digits").as_deref(),
                channel.var("redact_hang_ms").as_deref(),
            ),
            volume_out: number("conference_join_volume_out", -4, 4).unwrap_or(0),
            volume_in: number("conference_join_volume_in", -4, 4).unwrap_or(0),
            last_talking: 0,
            leave: None,
        }
    }

    /// As the mixer takes it.
    fn options(&self, room: RoomFlags, interval: i64) -> MemberOptions {
        let part = |value: i64| u32::try_from(value).unwrap_or(0);
        let may_speak = self.speaks && !self.held;
        MemberOptions {
            muted: !may_speak || room.wait_mod,
            deaf: !self.hears,
            energy_level: part(self.energy_level),
            watched: may_speak || self.flags.mute_detect,
            always: room.audio_always,
            max_level: part(self.max_energy),
            max_hits: part(self.max_energy_hits),
            burst_mute: part(self.burst_mute / interval.max(1)),
            auto_gain: self.gain.options(),
            redact: self.redact,
        }
    }
}

impl Member {
    pub(super) fn new(room: &Room, channel: &Arc<Channel>, state: MemberState) -> Arc<Self> {
        let known = channel.var("conference_member_id").and_then(|id| id.parse().ok());
        let taken = |id: &u32| room.member(*id).is_none();
        Arc::new(Self {
            id: known.filter(taken).unwrap_or_else(|| room.switch.module::<Rooms>().next_member()),
            channel: Arc::clone(channel),
            joined: clock::now_secs(),
            interval: i64::from(room.profile.interval),
            state: Mutex::new(state),
            known_video: Mutex::default(),
            shown: Mutex::default(),
            deck: Mutex::default(),
        })
    }

    /// A copy of what changes.
    #[must_use]
    pub fn state(&self) -> MemberState {
        self.state.lock().clone()
    }

    /// How the mixer is to treat it.
    pub(super) fn options(&self, room: RoomFlags) -> MemberOptions {
        self.state.lock().options(room, self.interval)
    }

    /// Has the mixer follow the room's flags and the member's state.
    pub(super) fn tune(&self, room: RoomFlags) {
        if let Some(leg) = self.channel.media() {
            let _closed = leg.set_member(self.options(room));
        }
    }

    /// Changes something and has the mixer follow.
    pub fn change(&self, room: &Room, change: impl FnOnce(&mut MemberState)) {
        let (before, after) = {
            let mut state = self.state.lock();
            let before = state.clone();
            change(&mut state);
            (before, state.clone())
        };
        self.tune(room.with(|s| s.flags));
        for (side, was, is) in [
            (Side::Read, before.volume_in, after.volume_in),
            (Side::Write, before.volume_out, after.volume_out),
        ] {
            if was != is {
                crate::call::audio::set_level(&self.channel, side, is);
            }
        }
        room.show_again(self);
    }

    /// Tells the member's call to leave.
    pub fn leave(&self, why: Leave) {
        self.state.lock().leave.get_or_insert(why);
        self.channel.notify();
    }
}

impl Room {
    /// Mutes a member; told by a sound unless `quiet`.
    pub fn mute(self: &Arc<Self>, member: &Arc<Member>, quiet: bool) {
        member.change(self, |state| (state.speaks, state.talking) = (false, false));
        self.fire_member(member, "mute-member", |_| {});
        self.indicate(member, "muted-sound", quiet);
    }

    /// Lets a member be heard again.
    pub fn unmute(self: &Arc<Self>, member: &Arc<Member>, quiet: bool) {
        member.change(self, |state| state.speaks = true);
        self.fire_member(member, "unmute-member", |_| {});
        self.indicate(member, "unmuted-sound", quiet);
    }

    /// Makes a member deaf.
    pub fn deafen(self: &Arc<Self>, member: &Arc<Member>, quiet: bool) {
        member.change(self, |state| state.hears = false);
        self.fire_member(member, "deaf-member", |_| {});
        self.indicate(member, "deaf-sound", quiet);
    }

    /// Lets a member hear again.
    pub fn undeafen(self: &Arc<Self>, member: &Arc<Member>, quiet: bool) {
        member.change(self, |state| state.hears = true);
        self.fire_member(member, "undeaf-member", |_| {});
        self.indicate(member, "undeaf-sound", quiet);
    }

    fn indicate(self: &Arc<Self>, member: &Arc<Member>, sound: &str, quiet: bool) {
        if let Some(path) = self.profile.sound(sound).filter(|_| !quiet) {
            self.play_aside_to(member, path);
        }
    }

    /// Puts a member on hold, with a file to hear if one is given.
    pub fn hold(self: &Arc<Self>, member: &Arc<Member>, file: Option<&str>) {
        member.change(self, |state| (state.held, state.talking) = (true, false));
        if let Some(file) = file {
            self.play_aside_to(member, file.to_owned());
        }
        let _logged = self.hide_or_show(member);
        self.show_pictures();
        self.fire_member(member, "hold-member", |_| {});
    }

    /// Takes a member off hold; what played to it ends.
    pub fn unhold(self: &Arc<Self>, member: &Arc<Member>) {
        member.change(self, |state| state.held = false);
        self.stop_member_plays(member, super::sound::Which::All);
        let _logged = self.hide_or_show(member);
        self.show_pictures();
        self.fire_member(member, "unhold-member", |_| {});
    }

    /// Locks the room or opens it again, with the sound of it.
    pub fn lock(self: &Arc<Self>, on: bool) {
        let (sound, action) =
            if on { ("is-locked-sound", "lock") } else { ("is-unlocked-sound", "unlock") };
        if let Some(path) = self.profile.sound(sound) {
            self.play_later(path, None);
        }
        self.with(|state| state.flags.locked = on);
        self.fire(action, |_| {});
    }

    /// Sets a member's energy level; an automatic or highest level below it is given up.
    pub fn set_energy(&self, member: &Member, level: i64) {
        member.change(self, |state| {
            state.energy_level = level;
            if state.auto_energy > 0 && level > state.auto_energy {
                state.auto_energy = 0;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_up_and_down_within_bounds_and_take_any_number() {
        assert_eq!(changed_level(1700, "UP"), 1800);
        assert_eq!(changed_level(100, "down"), 0);
        assert_eq!(changed_level(0, "99999"), 99_999);
        assert_eq!(changed_level(0, "-10"), -10);
    }

    #[test]
    fn flags_are_read_by_name() {
        let flags = MemberFlags::of(["moderator", "endconf", "nothing"]);
        assert!(flags.moderator && flags.ends_room && !flags.mute);
        let screen = MemberFlags::of(["second-screen"]);
        assert!(screen.mute && screen.deaf && screen.silent);
    }

    #[test]
    fn gain_settings_that_are_not_above_zero_change_nothing() {
        let mut gain = Gain { low: 5, ..Gain::default() };
        gain.set("1000:0:7");
        assert_eq!((gain.level, gain.low, gain.patience), (1000, 5, 7));
        assert_eq!(Gain::default().options(), None);
    }
}
