//! Video of a room (`passthrough`: packets are forwarded, never decoded): which member holds the video floor, and which
//! member each leg is sent. All members receive the holder of the video floor; the holder receives the previous one.
//!
//! The video floor follows the audio floor (`state.floor`, the member that speaks) unless a command has locked it. A change
//! is told in three ways: the event `video-floor-change`, the live arrays of the two members concerned, and one command to
//! the media leg of each member whose source changes ([`Room::show_pictures`]).

use std::sync::Arc;
use std::time::Duration;

use media::picture::{FurtherLine, LegVideo, PictureOptions, RoomTakes, Watches};
use media::{Leg, LegError, LegId};

use super::member::Member;
use super::room::Room;

/// The video floor of a room.
#[derive(Clone, Copy, Debug, Default)]
pub struct VideoFloor {
    /// The member whose video the others receive.
    pub holder: Option<u32>,
    /// The previous holder, which the holder itself receives.
    pub last: Option<u32>,
    /// Given by command or flag: the audio floor does not move it.
    pub locked: bool,
}

/// What was negotiated of a member's video, as the room last acted on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    leg: Option<LegId>,
    codec: Option<String>,
    sends: bool,
    wants: bool,
    /// With what of RTCP the far end understands, which a later exchange may say.
    options: PictureOptions,
    further: Vec<(LegId, bool)>,
}

impl Known {
    fn of(video: &LegVideo) -> Self {
        Self {
            leg: video.leg.as_ref().map(|leg| leg.id()),
            codec: video.codec.clone(),
            sends: video.sends,
            wants: video.wants,
            options: video.options(),
            further: video.further.iter().map(|line| (line.leg.id(), line.wants)).collect(),
        }
    }
}

/// What a member's video leg receives from the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The leg whose packets are forwarded to it.
    source: Option<LegId>,
    watches: Option<Watches>,
    /// The legs of its further lines, and what each receives.
    lines: Vec<LegId>,
    further: Vec<Option<Candidate>>,
}

impl Member {
    /// A copy of the slot in which its leg keeps what was negotiated of its video.
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

    /// Whether a video codec is agreed on and the far end sends: only such a member can hold the video floor.
    fn sends_video(&self) -> bool {
        let video = self.video();
        video.codec.is_some() && video.sends
    }
}

impl Room {
    /// Applies what has been negotiated of a member's video since the last call: joins or leaves the room's video, takes
    /// or gives up the video floor. Called when the member joins and whenever its call is notified.
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
        // Known to those who negotiate from now on: the next description may have further lines.
        let (lines, takes) = (self.profile.further_lines(), self.profile.takes_of_video());
        member.channel.with(|data| {
            let video = data.slot::<LegVideo>();
            (video.room_lines, video.room_takes) = (lines, takes);
        });
        let joins = (&old.leg, &old.codec, old.options) != (&now.leg, &now.codec, now.options);
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
        let is_new = |leg: &Leg| joins || old.further.iter().all(|(known, _)| *known != leg.id());
        for FurtherLine { leg, .. } in video.further.iter().filter(|line| is_new(&line.leg)) {
            // One that joins has no source until it is told one; who had a line keeps it.
            if let Some(shown) = &mut *member.shown.lock() {
                shown.lines.clear();
            }
            // The far end only receives on them.
            let options = PictureOptions { hidden: true, small: true, ..video.options() };
            if leg.join_pictures(&self.mixer, options).is_err() {
                // Not known: tried again when the call is notified next.
                member.known_video.lock().further.retain(|(known, _)| *known != leg.id());
                tracing::error!(uuid = %member.channel.uuid(), "Conference {}: a line without video: the media engine is overloaded", self.name);
            }
        }
        if joins {
            // A leg that joins or leaves has no source until it is told one.
            *member.shown.lock() = None;
        }
        // Once more after `options.hidden` above: a `vmute` or `hold` that came between reading the state and the join was
        // sent to a leg that was not in the room yet. Both read the state under its lock, so the later one is right.
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

    /// A member talks while another has the floor: further lines may show it.
    pub(super) fn show_speaker(&self, member: &Member) {
        if member.sends_video() {
            self.show_pictures();
        }
    }

    /// A member begins to send video: it takes the video floor unless that is locked. The holder of the audio floor takes it
    /// back at once in a room without talk detection (`energy-level` 0), where talking never would.
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

    /// A member was given the audio floor: it is given the video floor too, at once or when it has kept the audio floor for
    /// `video-auto-floor-msec`.
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

    /// Gives the video floor to a member, unless it is locked and `force` is not set; with `None`, to the first other member
    /// that sends video, or to none.
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

    /// Unlocks the video floor: it follows the audio floor again from its next change on. The holder stays.
    pub(super) fn clear_video_floor(&self) {
        self.with(|s| s.video_floor.locked = false);
        self.show_pictures();
    }

    /// Gives the video floor, unless it is locked, to the holder of the audio floor if that sends video; a floor that is free
    /// goes to the first member that does. A missing previous holder is replaced too. `gone` names a member that sends no video
    /// any more; if it held the floor, the lock goes with it.
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

    /// Fires `video-floor-change`, unless the profile suppresses `floor-change`.
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

    /// Tells a member's leg whether its video is forwarded to the others: not while it is muted (`vmute`) or on hold.
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
            // The video of a closed leg is forwarded to none.
            Ok(()) | Err(LegError::Closed) => Ok(()),
        }
    }

    /// Tells the leg of each member whose source has changed which member it receives.
    pub(super) fn show_pictures(&self) {
        let _one_at_a_time = self.showing.lock();
        let (floor, members) = self.with(|s| (s.video_floor, s.members.clone()));
        let find = |id: Option<u32>| members.iter().find(|m| Some(m.id) == id);
        let (holder, last) = (find(floor.holder), find(floor.last));
        let speakers = speakers(&members);
        for member in &members {
            let video = member.video();
            let (Some(leg), Some(codec)) = (&video.leg, &video.codec) else { continue };
            let state = member.state();
            // A holder without a previous one receives its own video, as in the reference.
            let before = last.filter(|_| floor.holder == Some(member.id) && !floor.locked);
            let source = before.or(holder).filter(|_| video.wants && state.sees && !state.held);
            let theirs = source.map(|source| source.video()).unwrap_or_default();
            let to = theirs.leg.as_ref().filter(|_| theirs.fits(&video));
            let watches = source.map(|source| match to {
                Some(_) => Watches::Member(source.id),
                None => Watches::OtherCodec {
                    member: source.id,
                    sends: theirs.codec.clone(),
                    takes: codec.clone(),
                },
            });
            let mut told = member.shown.lock();
            let before = told.as_ref().map(|shown| &*shown.further).unwrap_or_default();
            let receives = video.wants && state.sees && !state.held;
            let open: Vec<_> = video.further.iter().map(|line| line.wants && receives).collect();
            let except = [Some(member.id), source.map(|source| source.id)];
            let fit = speakers.iter().filter(|speaker| {
                !except.contains(&Some(speaker.member)) && speaker.video.fits(&video)
            });
            let further = allot(before, fit.map(Speaker::candidate), &open);
            let lines = video.further.iter().map(|line| line.leg.id()).collect();
            let shown = Shown { source: to.map(|leg| leg.id()), watches, lines, further };
            // All members are gone through whenever one changes; a leg is told only what is new to it.
            if told.as_ref() == Some(&shown) {
                continue;
            }
            let mut accepted = leg.look_at(to.map(|leg| &**leg)).is_ok();
            for (line, to) in video.further.iter().zip(&shown.further) {
                let to = to.and_then(|to| speakers.iter().find(|s| s.candidate() == to));
                let to = to.and_then(|speaker| speaker.video.leg.as_deref());
                accepted &= line.leg.look_at(to).is_ok();
            }
            if let Some(why @ Watches::OtherCodec { .. }) = &shown.watches
                && video.watches != shown.watches
            {
                tracing::warn!(uuid = %member.channel.uuid(), "Conference {}: {why}", self.name);
            }
            member.channel.with(|data| {
                let video = data.slot::<LegVideo>();
                video.watches.clone_from(&shown.watches);
                video.also_watches = shown.further.iter().flatten().map(|c| c.member).collect();
            });
            // What the engine had no room for is told again at the next change.
            *told = accepted.then_some(shown);
        }
    }

    /// A member's call leaves the room: its video leg leaves the room's video.
    pub(super) fn leave_pictures(&self, member: &Member) {
        let video = member.video();
        for leg in video.leg.iter().chain(video.further.iter().map(|line| &line.leg)) {
            let _left = leg.unbridge();
        }
        *member.shown.lock() = None;
        member.channel.with(|data| {
            let video = data.slot::<LegVideo>();
            (video.watches, video.room_lines) = (None, 0);
            video.room_takes = RoomTakes::default();
            video.also_watches.clear();
        });
    }

    /// Stops forwarding a member's video to the others.
    ///
    /// # Errors
    /// The media engine is overloaded: it is forwarded as before.
    pub fn vmute(self: &Arc<Self>, member: &Arc<Member>) -> Result<(), LegError> {
        self.set_seen(member, false)?;
        self.fire_member(member, "vmute-member", |_| {});
        Ok(())
    }

    /// Forwards it again, from the next key frame on.
    ///
    /// # Errors
    /// The media engine is overloaded: it is not forwarded, as before.
    pub fn unvmute(self: &Arc<Self>, member: &Arc<Member>) -> Result<(), LegError> {
        self.set_seen(member, true)?;
        self.fire_member(member, "unvmute-member", |_| {});
        Ok(())
    }

    fn set_seen(self: &Arc<Self>, member: &Arc<Member>, seen: bool) -> Result<(), LegError> {
        let before = member.state().seen;
        member.change(self, |state| state.seen = seen);
        let set = self.hide_or_show(member);
        match set {
            // Further lines show another in its place.
            Ok(()) => self.show_pictures(),
            Err(_) => member.change(self, |state| state.seen = before),
        }
        set
    }

    /// Sends a member no video, or again that of the floor.
    pub fn vblind(self: &Arc<Self>, member: &Arc<Member>, blind: bool) {
        member.change(self, |state| state.sees = !blind);
        self.show_pictures();
        let action = if blind { "vblind-member" } else { "unvblind-member" };
        self.fire_member(member, action, |_| {});
    }
}

/// A member whose video can be sent to the others' further lines, and its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    member: u32,
    leg: LegId,
}

/// The same with what was negotiated.
struct Speaker {
    member: u32,
    leg: LegId,
    video: LegVideo,
}

impl Speaker {
    fn candidate(&self) -> Candidate {
        Candidate { member: self.member, leg: self.leg }
    }
}

/// The members that send video to the others: those that talk first, then by when they talked last.
fn speakers(members: &[Arc<Member>]) -> Vec<Speaker> {
    let receives = |member: &Arc<Member>| {
        member.channel.with(|data| {
            data.find_slot::<LegVideo>().is_some_and(|video| !video.further.is_empty())
        })
    };
    // Most rooms have no further lines, and need no list.
    if !members.iter().any(receives) {
        return Vec::new();
    }
    let mut found: Vec<_> = members
        .iter()
        .filter_map(|member| {
            let (video, state) = (member.video(), member.state());
            let leg = video.leg.as_ref().map(|leg| leg.id())?;
            let sends = video.codec.is_some() && video.sends && state.seen && !state.held;
            let speaker = Speaker { member: member.id, leg, video };
            sends.then_some(((!state.talking, -state.last_talking, member.id), speaker))
        })
        .collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, speaker)| speaker).collect()
}

/// Gives each open line one of `wanted`, the first ones first. One that has a line keeps it, so that pictures do not change
/// places.
fn allot<T: Copy + PartialEq>(
    before: &[Option<T>],
    wanted: impl Iterator<Item = T>,
    open: &[bool],
) -> Vec<Option<T>> {
    let wanted: Vec<T> = wanted.take(open.iter().filter(|open| **open).count()).collect();
    let kept = |line: usize| before.get(line).copied().flatten().filter(|c| wanted.contains(c));
    let mut all: Vec<_> =
        open.iter().enumerate().map(|(n, open)| kept(n).filter(|_| *open)).collect();
    for candidate in wanted {
        let mut free = all.iter().zip(open).map(|(line, open)| line.is_none() && *open);
        let free = free.position(|free| free).filter(|_| !all.contains(&Some(candidate)));
        if let Some(line) = free.and_then(|n| all.get_mut(n)) {
            *line = Some(candidate);
        }
    }
    all
}

/// Why a member is not given the video floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVideoFloor {
    /// Another member holds it.
    HeldBy(u32),
    /// It sends no video.
    SendsNone,
}

/// Gives a member the video floor and locks it there; of the member that holds it locked, unlocks it and gives that member
/// the audio floor. Returns the member it is locked to, `None` when it was unlocked.
///
/// # Errors
/// Another member holds it and `force` is not set, or this one sends no video.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_line_keeps_it_and_the_others_come_in_their_order() {
        let shown = |before: &[u32], wanted: &[u32], open: &[bool]| -> Vec<u32> {
            let before: Vec<_> = before.iter().map(|m| (*m > 0).then_some(*m)).collect();
            let after = allot(&before, wanted.iter().copied(), open);
            after.into_iter().map(Option::unwrap_or_default).collect()
        };
        assert_eq!(shown(&[], &[5, 3], &[true; 3]), [5, 3, 0]);
        assert_eq!(shown(&[5, 3, 0], &[7, 3, 5], &[true; 3]), [5, 3, 7]);
        assert_eq!(shown(&[5, 3, 7], &[8, 7, 5, 3], &[true; 3]), [5, 8, 7]);
        assert_eq!(shown(&[5, 8, 7], &[7], &[true; 3]), [0, 0, 7]);
        assert_eq!(shown(&[5, 8, 7], &[5, 8, 7], &[true; 2]), [5, 8], "a line is gone");
        assert_eq!(shown(&[5, 8, 7], &[5, 8, 7], &[true, false, true]), [5, 0, 8], "or put away");
    }
}
