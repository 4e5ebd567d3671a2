//! Caller controls: what the keys of a member do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::member::{Leave, Member};
use super::profile::Control;
use super::room::Room;
use crate::call::transfer::transfer;
use crate::call::{CodecInfo, Digit, DigitSource, Indication, Interrupt, Session};

/// What `energy up` and `energy dn` change the level by, and its top.
const ENERGY: (i64, i64) = (200, 1800);

/// Keys typed so far and what they may become.
pub(super) struct Keys {
    controls: Vec<Control>,
    typed: String,
    /// How long after a key the next one of a sequence may come.
    pause: Duration,
    until: Option<Instant>,
}

impl Keys {
    /// The keys of a member: of a variable of the call, of moderators, or of everybody.
    pub(super) fn of(room: &Room, member: &Member) -> Self {
        let profile = &room.profile;
        let moderators = profile.params.get("moderator-controls").filter(|g| !g.is_empty());
        let group = member
            .channel
            .variable("conference_controls")
            .filter(|group| !group.is_empty())
            .or_else(|| moderators.filter(|_| member.state().flags.moderator).map(str::to_owned))
            .or_else(|| profile.params.get("caller-controls").map(str::to_owned))
            .filter(|group| !group.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        let pause = profile.number("ivr-dtmf-timeout", 500).clamp(1, 60_000);
        Self {
            controls: profile.controls(&group),
            typed: String::new(),
            pause: Duration::from_millis(pause.unsigned_abs()),
            until: None,
        }
    }

    /// When keys typed so far are taken for all there will be.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// One more key; the control it completes, if it does.
    pub(super) fn press(&mut self, key: char) -> Option<Control> {
        self.typed.push(key);
        let exact = self.controls.iter().find(|c| c.digits == self.typed).cloned();
        let typed = self.typed.as_str();
        let longer = |c: &Control| c.digits.len() > typed.len() && c.digits.starts_with(typed);
        if self.controls.iter().any(longer) {
            self.until = Some(Instant::now() + self.pause);
            return None;
        }
        self.clear();
        exact
    }

    /// No further key has come in time: the control that was complete already.
    pub(super) fn time_out(&mut self) -> Option<Control> {
        let exact = self.controls.iter().find(|c| c.digits == self.typed).cloned();
        self.clear();
        exact
    }

    fn clear(&mut self) {
        self.typed.clear();
        self.until = None;
    }
}

/// Keys of one who shares them go to the others.
pub(super) fn distribute(room: &Room, from: &Member, key: Digit) {
    for member in room.members() {
        if member.id != from.id && !member.state().flags.skip_dtmf {
            send_digits(&member, &key.digit.to_string());
        }
    }
}

/// Sends digits to a member's far end.
pub fn send_digits(member: &Member, digits: &str) {
    let keys = digits.chars().filter(|c| c.is_ascii_digit() || "*#ABCDabcd".contains(*c));
    let keys: Vec<Digit> =
        keys.map(|digit| Digit { digit, duration: 2000, source: DigitSource::App }).collect();
    let _full = member.channel.job(Box::new(move |session| {
        Box::pin(async move {
            let _sent = session.indicate(Indication::Digits(keys)).await;
        })
    }));
}

/// Performs a control.
pub(super) async fn perform(
    session: &mut Session,
    room: &Arc<Room>,
    member: &Arc<Member>,
    control: &Control,
    codec: &mut Option<CodecInfo>,
) -> Result<(), Interrupt> {
    member.channel.set_var("conference_last_matching_digits", control.digits.clone());
    let data = base::far::into_plain(session.expand(&control.data).await.into_owned());
    let state = member.state();
    match control.action.to_ascii_lowercase().as_str() {
        "mute" if !state.held => set_mute(room, member, state.speaks),
        "mute on" if !state.held && state.speaks => set_mute(room, member, true),
        "mute off" if !state.held && !state.speaks => set_mute(room, member, false),
        "deaf mute" if !state.held => {
            set_mute(room, member, state.speaks);
            if state.speaks && state.hears {
                room.deafen(member, false);
            }
        }
        "deaf" => set_deaf(room, member, state.hears),
        "deaf on" if state.hears => set_deaf(room, member, true),
        "deaf off" if !state.hears => set_deaf(room, member, false),
        "moh toggle" => room.set_music("toggle"),
        "floor" => {
            let _held_by_another = toggle_floor(room, member);
        }
        "vmute" | "vmute on" if state.seen => {
            let _logged = room.vmute(member);
        }
        "vmute" | "vmute off" if !state.seen => {
            let _logged = room.unvmute(member);
        }
        "vid-floor" | "vid-floor-force" if member.has_video() => {
            let force = control.action == "vid-floor-force";
            let _refused = crate::toggle_video_floor(room, member, force);
        }
        "hangup" => member.leave(Leave::Out),
        "lock" => {
            let (locked, waiting) = room.with(|s| (s.flags.locked, s.flags.wait_mod));
            if state.flags.moderator || !waiting {
                room.lock(!locked);
            }
        }
        "energy up" => energy(room, member, (state.energy_level + ENERGY.0).min(ENERGY.1)),
        "energy equ" => energy(room, member, room.profile.energy_level),
        "energy dn" => energy(room, member, (state.energy_level - ENERGY.0).max(0)),
        "vol talk up" => volume(room, member, true, state.volume_out + 1),
        "vol talk zero" => volume(room, member, true, 0),
        "vol talk dn" => volume(room, member, true, state.volume_out - 1),
        "vol listen up" => volume(room, member, false, state.volume_in + 1),
        "vol listen zero" => volume(room, member, false, 0),
        "vol listen dn" => volume(room, member, false, state.volume_in - 1),
        "event" => room.fire_member(member, "dtmf", |event| {
            event.push("DTMF-Key", control.digits.clone());
            event.push("Data", data);
        }),
        "transfer" => {
            room.fire_member(member, "transfer", |event| {
                event.push("Dialplan", data.clone());
            });
            let mut words = data.split_ascii_whitespace();
            match words.next() {
                Some(exten) => {
                    let dialplan = words.next().unwrap_or("XML");
                    let context = words.next().unwrap_or("default");
                    transfer(&member.channel, exten, Some(dialplan), Some(context));
                }
                None => member.leave(Leave::Out),
            }
        }
        "execute_application" => {
            room.fire_member(member, "execute_app", |event| {
                event.push("Application", data.clone());
            });
            run(session, room, member, &data, codec.take()).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Runs an application; the member is out of the mix meanwhile.
async fn run(
    session: &mut Session,
    room: &Arc<Room>,
    member: &Arc<Member>,
    data: &str,
    codec: Option<CodecInfo>,
) -> Result<(), Interrupt> {
    let (application, argument) = data.split_once(' ').unwrap_or((data, ""));
    if let Some(codec) = codec {
        crate::call::audio::set_read_codec(&member.channel, &codec);
    }
    if application.is_empty() {
        return Ok(());
    }
    let leg = member.channel.media();
    let _left = leg.as_ref().map(|leg| leg.unbridge());
    let result = session.execute(application, argument.trim()).await;
    if let Some(leg) = member.channel.media() {
        let _joined = leg.join(&room.mixer, member.options(room.with(|s| s.flags)));
    }
    result
}

/// Mutes; taking that back lets hear again, too.
fn set_mute(room: &Arc<Room>, member: &Arc<Member>, on: bool) {
    if on {
        return room.mute(member, false);
    }
    room.unmute(member, false);
    if !member.state().hears {
        room.undeafen(member, false);
    }
}

fn set_deaf(room: &Arc<Room>, member: &Arc<Member>, on: bool) {
    if on { room.deafen(member, false) } else { room.undeafen(member, false) }
}

/// Takes the floor or gives it up: `None` when another member has it, else who has it now.
pub fn toggle_floor(room: &Arc<Room>, member: &Arc<Member>) -> Result<Option<u32>, u32> {
    match room.with(|s| s.floor) {
        Some(holder) if holder != member.id => Err(holder),
        Some(_) => {
            room.give_floor(None);
            Ok(None)
        }
        None => {
            room.give_floor(Some(member));
            Ok(Some(member.id))
        }
    }
}

fn energy(room: &Arc<Room>, member: &Arc<Member>, level: i64) {
    room.set_energy(member, level);
    member.change(room, |state| {
        if state.max_energy > 0 && level > state.max_energy {
            state.max_energy = 0;
        }
    });
    room.fire_member(member, "energy-level", |event| {
        event.push("New-Level", level.to_string());
    });
    let steps = (level.abs() / ENERGY.0).to_string();
    let names = steps.chars().map(|digit| format!("digits/{digit}.wav")).collect();
    room.play_row_to(member, names);
}

/// As in the reference, "talk" sets what the member hears and "listen" how it is heard.
fn volume(room: &Arc<Room>, member: &Arc<Member>, talk: bool, level: i64) {
    let level = level.clamp(-4, 4);
    member.change(room, |state| {
        let place = if talk { &mut state.volume_out } else { &mut state.volume_in };
        *place = level;
    });
    room.fire_member(member, if talk { "volume-level" } else { "gain-level" }, |event| {
        event.push("New-Level", level.to_string());
    });
    let mut names = Vec::new();
    if level < 0 {
        names.push("currency/negative.wav".to_owned());
    }
    names.push(format!("digits/{}.wav", level.abs()));
    room.play_row_to(member, names);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(digits: &[&str]) -> Keys {
        let control = |digits: &&str| Control {
            digits: (*digits).to_owned(),
            action: "mute".to_owned(),
            data: String::new(),
        };
        Keys {
            controls: digits.iter().map(control).collect(),
            typed: String::new(),
            pause: Duration::from_millis(500),
            until: None,
        }
    }

    #[test]
    fn a_key_alone_acts_at_once_and_others_do_nothing() {
        let mut keys = keys(&["0", "*"]);
        assert_eq!(keys.press('0').map(|c| c.digits).as_deref(), Some("0"));
        assert_eq!(keys.press('7'), None);
        assert_eq!(keys.deadline(), None);
    }

    #[test]
    fn the_start_of_a_longer_sequence_waits_for_more() {
        let mut keys = keys(&["1", "12"]);
        assert_eq!(keys.press('1'), None);
        assert!(keys.deadline().is_some());
        assert_eq!(keys.press('2').map(|c| c.digits).as_deref(), Some("12"));
        assert_eq!(keys.press('1'), None);
        assert_eq!(keys.time_out().map(|c| c.digits).as_deref(), Some("1"));
        assert_eq!(keys.deadline(), None);
    }
}
