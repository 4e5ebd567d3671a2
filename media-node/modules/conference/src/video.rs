//! Video of a room: who has the video floor, and who is shown whom. Packets are passed on as they are (`passthrough`): all
//! see the member that has the floor, which sees the one that had it before.

use std::sync::Arc;
use std::time::Duration;

use media::picture::{LegVideo, PictureOptions};
use media::{LegError, LegId};

use super::member::Member;
use super::room::Room;

/// What is known of the video floor.
#[derive(Clone, Copy, Debug, Default)]
pub struct VideoFloor {
    /// Who has it.
    pub holder: Option<u32>,
    /// Who had it before.
    pub last: Option<u32>,
    /// It was given by command: talking does not move it.
    pub locked: bool,
}

/// What a member's video was when it was looked at last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    leg: Option<LegId>,
    codec: Option<String>,
    sends: bool,
    wants: bool,
}

impl Known {
    fn of(video: &LegVideo) -> Self {
        Self {
            leg: video.leg.as_ref().map(|leg| leg.id()),
            codec: video.codec.clone(),
            sends: video.sends,
            wants: video.wants,
        }
    }
}

impl Member {
    /// What was negotiated of its video.
    pub(super) fn video(&self) -> LegVideo {
        let seen = self.channel.with(|data| data.find_slot::<LegVideo>().cloned());
        seen.unwrap_or_default()
    }

    /// Whether its call has video.
    #[must_use]
    pub fn has_video(&self) -> bool {
        self.channel
            .with(|data| data.find_slot::<LegVideo>().is_some_and(|video| video.codec.is_some()))
    }

    /// Whether it sends pictures.
    fn sends_video(&self) -> bool {
        let video = self.video();
        video.codec.is_some() && video.sends
    }
}

impl Room {
    /// Follows what has been negotiated of a member's video since it was looked at last.
    pub(super) fn follow_video(self: &Arc<Self>, member: &Arc<Member>) {
        let video = member.video();
        let now = Known::of(&video);
        let old = {
            let mut known = member.known_video.lock();
            if *known == now {
                return;
            }
            std::mem::replace(&mut *known, now.clone())
        };
        let joins = (&old.leg, &old.codec) != (&now.leg, &now.codec);
        if let (Some(leg), Some(codec), true) = (&video.leg, &video.codec, joins) {
            let state = member.state();
            let options = PictureOptions { hidden: !state.seen || state.held, ..video.options() };
            if leg.join_pictures(&self.mixer, options).is_err() {
                tracing::error!(uuid = %member.channel.uuid(), "Conference {}: no video: the media engine is overloaded", self.name);
            }
            tracing::debug!(uuid = %member.channel.uuid(), "Conference {}: member {} has {codec} video", self.name, member.id);
        }
        if let (Some(leg), None, true) = (&video.leg, &video.codec, joins) {
            let _left = leg.unbridge();
        }
        if joins {
            // A leg that joins, or leaves, is shown nothing before it is told again.
            *member.shown.lock() = None;
        }
        let _logged = self.hide_or_show(member);
        let sends = |known: &Known| known.codec.is_some() && known.sends;
        match (sends(&old), sends(&now)) {
            (false, true) => self.video_began(member),
            (true, false) => self.find_video_floor(Some(member.id)),
            _ => {}
        }
        self.show_again(member);
        self.show_pictures();
    }

    /// A member's video comes into the room: it is shown to all, unless the floor was given by command, or the one who
    /// has the word takes it back at once.
    fn video_began(self: &Arc<Self>, member: &Arc<Member>) {
        let forced = member.state().flags.join_video_floor;
        if forced {
            self.with(|s| s.video_floor.locked = true);
        }
        self.set_video_floor(Some(member), forced);
        let speaker = self.with(|s| s.floor).and_then(|id| self.member(id));
        if let Some(speaker) = speaker.filter(|m| m.state().energy_level <= 0 && m.sends_video()) {
            self.set_video_floor(Some(&speaker), false);
        }
    }

    /// The word was given to a member: its picture follows, at once or when it has kept it for `video-auto-floor-msec`.
    pub(super) fn move_video_floor(self: &Arc<Self>, member: &Arc<Member>) {
        if !member.sends_video() || self.with(|s| s.video_floor.holder) == Some(member.id) {
            return;
        }
        let wait = u64::try_from(self.profile.number("video-auto-floor-msec", 0)).unwrap_or(0);
        if wait == 0 || member.state().energy_level <= 0 {
            return self.set_video_floor(Some(member), false);
        }
        let (room, member) = (Arc::downgrade(self), Arc::downgrade(member));
        crate::foreign::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let (Some(room), Some(member)) = (room.upgrade(), member.upgrade()) else { return };
            if room.with(|s| s.floor) == Some(member.id) && member.sends_video() {
                room.set_video_floor(Some(&member), false);
            }
        });
    }

    /// Gives the video floor to a member, if it was not given by command (or `force` is); without one, to another that
    /// has video, or to none.
    pub(super) fn set_video_floor(self: &Arc<Self>, member: Option<&Arc<Member>>, force: bool) {
        let old = self.with(|s| {
            s.video_floor.locked &= member.is_some();
            (force || !s.video_floor.locked).then_some(s.video_floor.holder)
        });
        let Some(old) = old else { return };
        if member.is_some_and(|m| old == Some(m.id) || !m.sends_video()) {
            return;
        }
        let other = || self.members().into_iter().find(|m| Some(m.id) != old && m.sends_video());
        let next = member.cloned().or_else(other);
        self.with(|s| {
            if member.is_some() && old.is_some() {
                s.video_floor.last = old;
            }
            s.video_floor.holder = next.as_ref().map(|m| m.id);
            if s.video_floor.last == s.video_floor.holder {
                s.video_floor.last = None;
            }
        });
        self.tell_video_floor(old);
        let old = old.and_then(|id| self.member(id));
        next.iter().chain(&old).for_each(|member| self.show_again(member));
        self.show_pictures();
    }

    /// Talking moves the video floor again after it was given by command.
    pub(super) fn clear_video_floor(&self) {
        self.with(|s| s.video_floor.locked = false);
        self.show_pictures();
    }

    /// Finds who is to be shown: the one who has the word, or else any with video. `gone`: that one has none any more.
    pub(super) fn find_video_floor(self: &Arc<Self>, gone: Option<u32>) {
        let lost = self.with(|s| {
            let floor = &mut s.video_floor;
            if floor.last.is_some() && floor.last == gone {
                floor.last = None;
            }
            let lost = floor.holder.is_some() && floor.holder == gone;
            if lost {
                (floor.holder, floor.locked) = (None, false);
            }
            lost
        });
        let with_video: Vec<_> = self.members().into_iter().filter(|m| m.sends_video()).collect();
        let mut others = with_video.iter().filter(|m| Some(m.id) != gone);
        let speaker = self.with(|s| s.floor);
        let speaker = others.clone().find(|m| Some(m.id) == speaker);
        if let Some(member) = speaker {
            self.set_video_floor(Some(member), false);
        }
        if self.with(|s| s.video_floor.holder).is_none() {
            match others.next() {
                Some(member) => self.set_video_floor(Some(member), false),
                None if lost => self.tell_video_floor(gone),
                None => {}
            }
        }
        let floor = self.with(|s| s.video_floor);
        if floor.last.is_none() {
            let mut others = with_video.iter().filter(|m| Some(m.id) != gone);
            let last = others.find(|m| Some(m.id) != floor.holder).map(|m| m.id);
            self.with(|s| s.video_floor.last = last);
        }
        self.show_pictures();
    }

    fn tell_video_floor(&self, old: Option<u32>) {
        if self.profile.suppresses("floor-change") {
            return;
        }
        let word = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let new = self.with(|s| s.video_floor.holder);
        self.fire("video-floor-change", |event| {
            event.push("Old-ID", word(old));
            event.push("New-ID", word(new));
        });
    }

    /// Whether others are shown a member's pictures.
    ///
    /// # Errors
    /// The media engine is overloaded and did not take it.
    pub(super) fn hide_or_show(&self, member: &Member) -> Result<(), LegError> {
        let state = member.state();
        let Some(leg) = member.video().leg else { return Ok(()) };
        match leg.hide_pictures(!state.seen || state.held) {
            Err(full @ LegError::QueueFull) => {
                tracing::error!(uuid = %member.channel.uuid(), "Conference {}: member {}'s video is not hidden or shown: {full}", self.name, member.id);
                Err(full)
            }
            // A leg that is closed shows nothing.
            Ok(()) | Err(LegError::Closed) => Ok(()),
        }
    }

    /// Tells each member's leg whom it is shown.
    pub(super) fn show_pictures(&self) {
        let (floor, members) = self.with(|s| (s.video_floor, s.members.clone()));
        let find = |id: Option<u32>| members.iter().find(|m| Some(m.id) == id);
        let (holder, last) = (find(floor.holder), find(floor.last));
        for member in &members {
            let video = member.video();
            let (Some(leg), Some(codec)) = (&video.leg, &video.codec) else { continue };
            let state = member.state();
            // The holder of the floor without another to look at sees its own picture, as in the reference.
            let before = last.filter(|_| floor.holder == Some(member.id) && !floor.locked);
            let source = before.or(holder).filter(|_| video.wants && state.sees && !state.held);
            let shown = source.map(|source| (source, source.video()));
            let (to, note) = match &shown {
                None => (None, None),
                Some((source, theirs)) if theirs.fits(&video) => {
                    (theirs.leg.as_ref(), Some(format!("shown member {}", source.id)))
                }
                Some((source, theirs)) => {
                    let other = theirs.codec.as_deref().unwrap_or("no codec");
                    let why = format!(
                        "! member {} sends {other}, this one takes {codec}: it is not shown",
                        source.id
                    );
                    (None, Some(why))
                }
            };
            self.note_shown(member, note);
            let mut told = member.shown.lock();
            let source = to.map(|leg| leg.id());
            // One command for each change: all are looked at whenever one member changes.
            if *told != Some(source) {
                *told = leg.look_at(to.map(|leg| &**leg)).is_ok().then_some(source);
            }
        }
    }

    /// Keeps for `explain media` what a member sees, and says in the log why it sees nothing.
    fn note_shown(&self, member: &Member, note: Option<String>) {
        let changed = member.channel.with(|data| {
            let video = data.slot::<LegVideo>();
            let changed = video.note != note;
            video.note.clone_from(&note);
            changed
        });
        if let (true, Some(why)) = (changed, note.as_deref().and_then(|n| n.strip_prefix("! "))) {
            tracing::warn!(uuid = %member.channel.uuid(), "Conference {}: {why}", self.name);
        }
    }

    /// A member's call leaves the room.
    pub(super) fn leave_pictures(&self, member: &Member) {
        let video = member.video();
        if let Some(leg) = video.leg {
            let _left = leg.unbridge();
        }
        self.note_shown(member, None);
    }

    /// Keeps a member's pictures from the others.
    ///
    /// # Errors
    /// The media engine is overloaded: they are seen as before.
    pub fn vmute(self: &Arc<Self>, member: &Arc<Member>) -> Result<(), LegError> {
        self.set_seen(member, false)?;
        self.fire_member(member, "vmute-member", |_| {});
        Ok(())
    }

    /// Shows them again.
    ///
    /// # Errors
    /// The media engine is overloaded: they are hidden as before.
    pub fn unvmute(self: &Arc<Self>, member: &Arc<Member>) -> Result<(), LegError> {
        self.set_seen(member, true)?;
        self.fire_member(member, "unvmute-member", |_| {});
        Ok(())
    }

    fn set_seen(self: &Arc<Self>, member: &Arc<Member>, seen: bool) -> Result<(), LegError> {
        let before = member.state().seen;
        member.change(self, |state| state.seen = seen);
        let set = self.hide_or_show(member);
        if set.is_err() {
            member.change(self, |state| state.seen = before);
        }
        set
    }

    /// Shows a member nothing, or again what the others see.
    pub fn vblind(self: &Arc<Self>, member: &Arc<Member>, blind: bool) {
        member.change(self, |state| state.sees = !blind);
        self.show_pictures();
        let action = if blind { "vblind-member" } else { "unvblind-member" };
        self.fire_member(member, action, |_| {});
    }
}

/// Why a member is not given the video floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVideoFloor {
    /// That member has it.
    HeldBy(u32),
    /// It sends no pictures that could be shown.
    SendsNone,
}

/// Takes the video floor, or gives it back to talking: `None` when another has it, else who was given it by command.
///
/// # Errors
/// Another has it, or there is nothing to show.
pub fn toggle_video_floor(
    room: &Arc<Room>,
    member: &Arc<Member>,
    force: bool,
) -> Result<Option<u32>, NoVideoFloor> {
    let floor = room.with(|s| s.video_floor);
    if floor.holder == Some(member.id) && floor.locked {
        room.with(|s| s.video_floor.locked = false);
        room.give_floor(Some(member));
        room.show_pictures();
        return Ok(None);
    }
    if !member.sends_video() {
        return Err(NoVideoFloor::SendsNone);
    }
    match floor.holder.filter(|_| !force) {
        Some(holder) => Err(NoVideoFloor::HeldBy(holder)),
        None => {
            room.with(|s| s.video_floor.locked = true);
            room.set_video_floor(Some(member), true);
            room.show_pictures();
            Ok(Some(member.id))
        }
    }
}
