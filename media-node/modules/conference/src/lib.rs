//! The `conference` application: a call's stay in a room.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod commands;
mod music;
pub mod profile;
pub mod room;

use std::sync::Arc;
use std::time::Duration;

use media::LegEvent;
use tokio::time::Instant;

use crate::app;
use crate::app::play::{Keys, Play, source_options};
use crate::app::{App, Flags};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, Wake};
use crate::clock;
use crate::contract::{Plain, Provides};

use profile::{Profile, Wanted, split_flags};
use room::{Leave, Member, MemberState, Room};

/// The module.
pub const MODULE: Plain = Plain::new(
    "mod_conference",
    Provides { applications: &[APPS], commands: &[commands::APIS], ..Provides::NOTHING },
);

/// The family.
pub const APPS: &[App] =
    &[app!("conference", "mod_conference", Flags::NO_MEDIA, "", "conference", conference)];

/// How long one may take to type the PIN.
const PIN_TIME: Duration = Duration::from_secs(10);

async fn conference(session: &mut Session, argument: &str) -> AppResult {
    let mut wanted = Wanted::parse(argument);
    if wanted.name.is_empty() {
        tracing::error!(uuid = %session.channel().uuid(), "conference: no room named");
        return Ok(());
    }
    answer_or_pre_answer(session).await?;
    loop {
        let Some(leave) = visit(session, &wanted).await? else { return Ok(()) };
        match leave {
            Leave::Moved(name) => wanted.name = name,
            Leave::HungUp => {
                session.channel().hangup(Cause::NORMAL_CLEARING);
                return Err(Interrupt::Hangup);
            }
            Leave::Kicked | Leave::Ended => return Ok(()),
        }
    }
}

/// One stay. `None` when the room was not entered.
async fn visit(session: &mut Session, wanted: &Wanted) -> Result<Option<Leave>, Interrupt> {
    let switch = Arc::clone(session.switch());
    let channel = Arc::clone(session.channel());
    let lookup = Profile::find(&switch, &wanted.name, &wanted.profile, channel.uuid());
    let Some(profile) = session.wait_for(lookup).await? else {
        tracing::error!(uuid = %channel.uuid(), "Cannot find conference profile {}", wanted.profile);
        return Ok(None);
    };
    let room = match switch.module::<room::Rooms>().enter(&switch, &wanted.name, profile) {
        Ok(room) => room,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot open conference: {error}");
            return Ok(None);
        }
    };
    let admitted = admit(session, &room, wanted).await;
    let moderator = match admitted {
        Ok(Some(moderator)) => moderator,
        refused => {
            abandon(&room);
            return refused.map(|_| None);
        }
    };
    let state = first_state(&channel, &room, wanted, moderator);
    stay(session, &room, state).await.map(Some)
}

/// A room nobody got into does not remain.
fn abandon(room: &Arc<Room>) {
    if room.members().is_empty() {
        room.close_if_empty();
    }
}

/// Lock, number of members and PIN. The answer: moderator or not; `None` = not admitted.
async fn admit(
    session: &mut Session,
    room: &Arc<Room>,
    wanted: &Wanted,
) -> Result<Option<bool>, Interrupt> {
    let (locked, count) = room.with(|s| (s.locked, s.members.len()));
    let sound = if locked {
        Some("locked-sound")
    } else if room.profile.max_members > 0 && count >= room.profile.max_members as usize {
        Some("max-members-sound")
    } else {
        None
    };
    if let Some(name) = sound {
        play_sound(session, room, name).await?;
        return Ok(None);
    }
    let pin = room.with(|s| s.pin.clone());
    let moderator_pin = room.profile.moderator_pin.clone();
    if pin.is_empty() && moderator_pin.is_empty() {
        return Ok(Some(false));
    }
    let judge = |typed: &str| {
        if !moderator_pin.is_empty() && typed == moderator_pin {
            Some(true)
        } else {
            (typed == pin).then_some(false)
        }
    };
    if !wanted.pin.is_empty() {
        return Ok(judge(&wanted.pin));
    }
    if pin.is_empty() && moderator_pin.is_empty() {
        return Ok(Some(false));
    }
    for _ in 0..room.profile.pin_retries.max(1) {
        let typed = ask_pin(session, room, pin.len().max(moderator_pin.len())).await?;
        if let Some(moderator) = judge(&typed) {
            return Ok(Some(moderator));
        }
        play_sound(session, room, "bad-pin-sound").await?;
    }
    Ok(None)
}

async fn ask_pin(session: &mut Session, room: &Room, most: usize) -> Result<String, Interrupt> {
    if let Some(sound) = room.profile.sound("pin-sound") {
        session.play(Play::once(&sound, Keys::Any)).await?;
    }
    let mut typed = String::new();
    let until = Instant::now() + PIN_TIME;
    loop {
        while let Some(digit) = session.take_digit() {
            if digit.digit == '#' {
                return Ok(typed);
            }
            typed.push(digit.digit);
            if typed.len() >= most {
                return Ok(typed);
            }
        }
        if matches!(session.wait(Some(until)).await?, Wake::Timeout | Wake::Broken) {
            return Ok(typed);
        }
    }
}

async fn play_sound(session: &mut Session, room: &Room, name: &str) -> AppResult {
    if let Some(sound) = room.profile.sound(name) {
        session.play(Play::once(&sound, Keys::Stop(""))).await?;
    }
    Ok(())
}

fn first_state(channel: &Channel, room: &Room, wanted: &Wanted, moderator: bool) -> MemberState {
    let mut flags = split_flags(&room.profile.member_flags);
    flags.extend(wanted.flags.iter().cloned());
    if let Some(more) = channel.variable("conference_member_flags") {
        flags.extend(split_flags(&more));
    }
    let has = |name: &str| flags.iter().any(|f| f == name);
    let energy = channel.variable("conference_join_energy_level");
    let energy = energy.and_then(|e| e.trim().parse().ok()).unwrap_or(room.profile.energy_level);
    MemberState {
        speaks: !has("mute"),
        hears: !has("deaf"),
        talking: false,
        energy: 0,
        energy_level: energy,
        volume_in: 0,
        volume_out: 0,
        last_talking: 0,
        moderator: moderator || has("moderator"),
        ends_room: has("endconf"),
        no_music: has("nomoh"),
        leave: None,
    }
}

async fn stay(
    session: &mut Session,
    room: &Arc<Room>,
    state: MemberState,
) -> Result<Leave, Interrupt> {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Ok(Leave::Ended) };
    let codec = call::audio::read_linear(&channel);
    channel.set_vars([
        ("conference_name", room.name.clone()),
        ("conference_uuid", room.uuid.clone()),
        ("conference_moderator", state.moderator.to_string()),
    ]);
    if leg.join(&room.mixer, state.options()).is_err() {
        return Ok(Leave::Ended);
    }
    let member = room.add(&channel, state);
    channel.set_var("conference_member_id", member.id.to_string());
    if !room.profile.auto_record.is_empty() && room.members().len() == 1 {
        room.record(&session.expand(&room.profile.auto_record));
    }
    greet(room, &channel);
    room.tend_music();
    let result = attend(session, room, &member).await;
    let _left = leg.unbridge();
    room.remove(&member);
    farewell(room, &channel);
    room.tend_music();
    if let Some(codec) = codec {
        call::audio::set_read_codec(&channel, &codec);
    }
    result
}

/// Sounds that tell the others of a newcomer; the first one hears that he is alone.
fn greet(room: &Arc<Room>, channel: &Channel) {
    let alone = room.members().len() == 1;
    let sound = if alone { "alone-sound" } else { "enter-sound" };
    play_to_room(room, channel, sound);
}

fn farewell(room: &Arc<Room>, channel: &Channel) {
    if !room.members().is_empty() {
        play_to_room(room, channel, "exit-sound");
    }
}

fn play_to_room(room: &Arc<Room>, channel: &Channel, sound: &str) {
    let Some(path) = room.profile.sound(sound) else { return };
    let options = source_options(channel, room.profile.rate);
    let room = Arc::clone(room);
    // Files are read where blocking does not matter; nobody waits for the sound.
    drop(tokio::task::spawn_blocking(move || room.play(&path, &options, true)));
}

/// In the room: talking, keys, and commands from outside, until something ends it.
async fn attend(
    session: &mut Session,
    room: &Arc<Room>,
    member: &Arc<Member>,
) -> Result<Leave, Interrupt> {
    loop {
        if let Some(leave) = member.state().leave {
            return Ok(leave);
        }
        while let Some(digit) = session.take_digit() {
            press(room, member, digit.digit);
        }
        match session.wait(None).await? {
            Wake::Media(LegEvent::Talking { on, energy }) => talking(room, member, on, energy),
            Wake::Broken if room.profile.breakable => return Ok(Leave::Ended),
            _ => {}
        }
    }
}

fn talking(room: &Arc<Room>, member: &Arc<Member>, on: bool, energy: u32) {
    let now = clock::now_secs();
    member.change(|state| {
        state.talking = on;
        state.last_talking = now;
        if on {
            state.energy = energy;
        }
    });
    room.fire_member(member, if on { "start-talking" } else { "stop-talking" }, |_| {});
    if on {
        room.offer_floor(member);
    }
}

/// What a key of the profile's caller controls does.
fn press(room: &Arc<Room>, member: &Arc<Member>, key: char) {
    let mut text = [0; 4];
    let key: &str = key.encode_utf8(&mut text);
    let control = room.profile.controls.iter().find(|(digits, ..)| digits == key);
    let Some((_, action, data)) = control else { return };
    room.fire_member(member, "dtmf", |event| {
        event.push("DTMF-Key", key.to_owned());
        event.push("Data", data.clone());
    });
    let state = member.state();
    match action.as_str() {
        "mute" => set_mute(room, member, state.speaks),
        "mute on" => set_mute(room, member, true),
        "mute off" => set_mute(room, member, false),
        "deaf mute" => {
            set_mute(room, member, state.speaks);
            set_deaf(room, member, state.hears);
        }
        "deaf" => set_deaf(room, member, state.hears),
        "hangup" => member.leave(Leave::HungUp),
        "lock" => set_lock(room, !room.with(|s| s.locked)),
        "energy up" => set_energy(room, member, state.energy_level.saturating_add(200)),
        "energy equ" => set_energy(room, member, room.profile.energy_level),
        "energy dn" => set_energy(room, member, state.energy_level.saturating_sub(200)),
        "vol talk up" => set_volume(room, member, true, state.volume_in + 1),
        "vol talk zero" => set_volume(room, member, true, 0),
        "vol talk dn" => set_volume(room, member, true, state.volume_in - 1),
        "vol listen up" => set_volume(room, member, false, state.volume_out + 1),
        "vol listen zero" => set_volume(room, member, false, 0),
        "vol listen dn" => set_volume(room, member, false, state.volume_out - 1),
        "transfer" => member.leave(Leave::Moved(data.clone())),
        _ => {}
    }
}

/// Mutes or unmutes a member.
pub fn set_mute(room: &Room, member: &Member, on: bool) {
    member.change(|state| state.speaks = !on);
    room.fire_member(member, if on { "mute-member" } else { "unmute-member" }, |_| {});
}

/// Makes a member deaf, or not.
pub fn set_deaf(room: &Room, member: &Member, on: bool) {
    member.change(|state| state.hears = !on);
    room.fire_member(member, if on { "deaf-member" } else { "undeaf-member" }, |_| {});
}

/// Locks or unlocks a room.
pub fn set_lock(room: &Room, on: bool) {
    room.with(|state| state.locked = on);
    room.fire(if on { "lock" } else { "unlock" }, |_| {});
}

/// Sets the level from which a member counts as talking.
pub fn set_energy(room: &Room, member: &Member, level: u32) {
    member.change(|state| state.energy_level = level.min(20_000));
    room.fire_member(member, "energy-level-member", |event| {
        event.push("Energy-Level", member.state().energy_level.to_string());
    });
}

/// Sets how loud a member is heard (`talking`), or hears.
pub fn set_volume(room: &Room, member: &Member, talking: bool, level: i64) {
    let level = level.clamp(-4, 4);
    member.change(|state| {
        if talking {
            state.volume_in = level;
        } else {
            state.volume_out = level;
        }
    });
    let action = if talking { "volume-in-member" } else { "volume-out-member" };
    room.fire_member(member, action, |event| {
        event.push("Volume-Level", level.to_string());
    });
}

/// A conference needs audio both ways: an inbound call that has none is answered.
async fn answer_or_pre_answer(session: &mut Session) -> AppResult {
    if session.channel().has_media() { Ok(()) } else { session.answer().await }
}
