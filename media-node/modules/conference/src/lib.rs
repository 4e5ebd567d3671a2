//! The `conference` application: a call's stay in a room.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod board;
mod cdr;
mod chat;
pub mod commands;
mod declared;
mod json;
mod keys;
pub mod member;
pub mod outcall;
mod pages;
mod parameters;
pub mod profile;
pub mod recording;
pub mod room;
pub mod sound;
mod speech;
mod video;

pub use keys::{send_digits, toggle_floor};
pub use video::{NoVideoFloor, toggle_video_floor};

use std::sync::Arc;
use std::time::Duration;

use media::LegEvent;
use media::event::TalkReport;
use tokio::time::Instant;

use crate::BoxFuture;
use crate::app;
use crate::app::play::{Keys as PlayKeys, Play};
use crate::app::{App, Flags};
use crate::call::transfer::transfer;
use crate::call::{AppResult, Cause, Channel, CodecInfo, Direction, Interrupt, Session, Wake};
use crate::contract::{ChatKind, Module, NameList, NotLoaded, Provides};
use crate::switch::Switch;
use crate::{clock, text};

use keys::Keys;
use member::{Leave, Member, MemberFlags, MemberState};
use profile::{Profile, Wanted, split_flags};
use room::{Room, Rooms};

/// mod_conference.
pub struct Conference;

/// The module.
pub const MODULE: Conference = Conference;

impl Module for Conference {
    fn name(&self) -> &'static str {
        "mod_conference"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[commands::APIS],
            completions: include_str!("completions.txt"),
            name_lists: &[NameList {
                name: "::conference::conference_list_conferences",
                names: |switch, _| {
                    let rooms = switch.module::<Rooms>().all();
                    rooms.iter().map(|room| room.name.clone()).collect()
                },
            }],
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            chats: &[ChatKind { name: "conf", send: chat::send }],
            ..Provides::NOTHING
        }
    }

    /// Pages may lead rooms from now on.
    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        pages::listen(switch, true);
        Box::pin(std::future::ready(Ok(())))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        pages::listen(switch, false);
        Box::pin(std::future::ready(()))
    }
}

/// The family.
pub const APPS: &[App] = &[
    app!("conference", "mod_conference", Flags::NO_MEDIA, "", "conference", conference).marked(),
    app!(
        "conference_set_auto_outcall",
        "mod_conference",
        Flags::NO_MEDIA,
        "",
        "conference_set_auto_outcall",
        outcall::set_list
    ),
];

/// How long one may take to type the PIN.
const PIN_TIME: Duration = Duration::from_secs(10);
/// Sounds that ask for the PIN and refuse one where the profile names none.
const PIN_SOUNDS: (&str, &str) = ("conference/conf-pin.wav", "conference/conf-bad-pin.wav");
/// Seconds of silence after which an energy level that rose by itself falls by a step.
const AUTO_ENERGY_SECONDS: i64 = 5;
const AUTO_ENERGY_STEP: i64 = 100;

async fn conference(session: &mut Session, argument: &str) -> AppResult {
    let wanted = Wanted::parse(argument);
    if wanted.name.is_empty() {
        tracing::error!(uuid = %session.channel().uuid(), "conference: no room named");
        return Ok(());
    }
    answer_or_pre_answer(session).await?;
    let Some((room, leave)) = visit(session, &wanted).await? else { return Ok(()) };
    session.channel().unset_var("last_transfered_conference");
    match leave {
        Leave::RoomEnded => {
            let channel = session.channel();
            if channel.var("hangup_after_conference").is_none_or(|v| !text::is_false(&v)) {
                channel.hangup(Cause::NORMAL_CLEARING);
                return Err(Interrupt::Hangup);
            }
            Ok(())
        }
        Leave::Kicked(sound) => {
            if let Some(usual) = room.profile.sound("kicked-sound") {
                let sound = session.expand(&sound.unwrap_or(usual)).await.into_owned();
                let sound = base::far::path(&sound);
                play_file(session, &room, &sound).await?;
            }
            Ok(())
        }
        Leave::Out => Ok(()),
    }
}

/// One stay. `None` when the room was not entered.
async fn visit(
    session: &mut Session,
    wanted: &Wanted,
) -> Result<Option<(Arc<Room>, Leave)>, Interrupt> {
    let switch = Arc::clone(session.switch());
    let channel = Arc::clone(session.channel());
    let name = match wanted.name.as_str() {
        "_uuid_" if wanted.bridge_to.is_some() => channel.uuid().to_string(),
        name => name.to_owned(),
    };
    let lookup = Profile::find(&switch, &name, &wanted.profile, channel.uuid());
    let Some(profile) = session.wait_for(lookup).await? else {
        tracing::error!(uuid = %channel.uuid(), "Cannot find conference profile {}", wanted.profile);
        return Ok(None);
    };
    let mut flags = wanted.flags.clone();
    flags.extend(combined(&channel, "conference_member_flags"));
    let names = split_flags(&profile.member_flags).into_iter().chain(flags.iter().cloned());
    let names: Vec<String> = names.collect();
    let own = MemberFlags::of(names.iter().map(String::as_str));
    let here = switch.module::<Rooms>().find(&name).is_some();
    if own.join_only && !here && wanted.bridge_to.is_none() {
        refuse_to_open(session, wanted, &profile).await?;
        return Ok(None);
    }
    if here && wanted.bridge_to.is_some() {
        tracing::error!(uuid = %channel.uuid(), "Conference {name} already exists!");
        return Ok(None);
    }
    let (room, made) = match switch.module::<Rooms>().enter(&switch, &name, profile) {
        Ok(entered) => entered,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot open conference: {error}");
            return Ok(None);
        }
    };
    if made {
        flags.extend(combined(&channel, "conference_flags"));
        found(&room, &channel, &flags, wanted.bridge_to.is_some());
    }
    channel.set_vars([
        ("conference_name", room.name.clone()),
        ("app_session_uuid", room.uuid.clone()),
    ]);
    let moderator = match &wanted.bridge_to {
        Some(dial) => call_other_side(session, &room, dial).await,
        None => admit(session, &room, wanted).await,
    };
    let moderator = match moderator {
        Ok(Some(moderator)) => moderator,
        refused => {
            room.close_if_empty();
            return refused.map(|_| None);
        }
    };
    if wanted.bridge_to.is_none() && channel.direction() == Direction::Inbound {
        room.with(|s| s.flags.answered = true);
    }
    let flags = MemberFlags { moderator: own.moderator || moderator, ..own };
    let leave = stay(session, &room, flags).await?;
    Ok(Some((room, leave)))
}

/// The flags of a variable and of all whose names begin with its name and an underscore.
fn combined(channel: &Channel, name: &str) -> Vec<String> {
    let longer = format!("{name}_");
    let values = channel.with(|data| {
        let named = data.vars.iter().filter(|(key, _)| *key == name || key.starts_with(&longer));
        named.map(|(_, value)| value.to_string()).collect::<Vec<_>>()
    });
    values.iter().flat_map(|value| split_flags(value)).collect()
}

/// The room is new: the founder's variables set it up.
fn found(room: &Room, channel: &Channel, flags: &[String], bridge: bool) {
    let var = |name: &str| channel.variable(name).filter(|value| !value.is_empty());
    let number = |name: &str| var(name).and_then(|value| u32::try_from(text::int(&value)).ok());
    let prefix = room.profile.sound("sound-prefix").is_none().then(|| var("sound_prefix"));
    room.with(|s| {
        s.flags.set(flags);
        if let Some(prefix) = prefix.flatten() {
            s.sound_prefix = prefix;
        }
        if s.music.sound.is_empty() {
            s.music.sound = var("conference_moh_sound").unwrap_or_default();
        }
        let perpetual = room.profile.sound("perpetual-sound");
        s.music.perpetual =
            perpetual.or_else(|| var("conference_perpetual_sound")).unwrap_or_default();
        if let Some(path) = var("conference_auto_record") {
            s.auto_record = path;
        }
        if let Some(most) = number("conference_max_members").filter(|most| *most != 1) {
            s.max_members = most;
        }
        if let Some(grace) = number("conference_endconference_grace_time") {
            s.grace = u64::from(grace);
        }
        if bridge {
            s.flags.bridge_to = true;
            s.least = 2;
        }
    });
}

/// `join-only`, and there is no room.
async fn refuse_to_open(session: &mut Session, wanted: &Wanted, profile: &Profile) -> AppResult {
    let channel = Arc::clone(session.channel());
    let bus = &session.switch().bus;
    let mut event = esl_server::event::Event::custom(room::SUBCLASS);
    esl_server::stamp!(bus, &mut event);
    channel.describe_plain(&mut event);
    event.push("Conference-Name", wanted.name.clone());
    event.push("Conference-Profile-Name", wanted.profile.clone());
    event.push("Action", "rejected-join-only");
    bus.deliver(event);
    if let Some(sound) = profile.sound("join-only-sound") {
        session.answer().await?;
        session.play(Play::once(&sound, PlayKeys::Stop(""))).await?;
    }
    if channel.var("hangup_after_conference").is_none_or(|v| !text::is_false(&v)) {
        channel.hangup(Cause::NORMAL_CLEARING);
        return Err(Interrupt::Hangup);
    }
    Ok(())
}

/// A room of two: the other side is called first.
async fn call_other_side(
    session: &mut Session,
    room: &Arc<Room>,
    dial: &str,
) -> Result<Option<bool>, Interrupt> {
    let switch = Arc::clone(session.switch());
    if dial.eq_ignore_ascii_case("none") {
        return Ok(Some(false));
    }
    let outcall = outcall::Outcall { dial: dial.to_owned(), ..Default::default() };
    match outcall::call(&switch, &room.name, Some(room), outcall, Some(&mut *session)).await {
        Ok(peer) => {
            if peer.is_answered() {
                session.answer().await?;
                room.with(|s| s.flags.answered = true);
            }
            Ok(Some(false))
        }
        Err(cause) => {
            tracing::error!(uuid = %session.channel().uuid(), "Cannot create outgoing channel, cause: {}", cause.name());
            session.channel().hangup(cause);
            Err(Interrupt::Hangup)
        }
    }
}

/// PIN, lock and number of members. The answer: moderator or not; `None` = not admitted.
async fn admit(
    session: &mut Session,
    room: &Arc<Room>,
    wanted: &Wanted,
) -> Result<Option<bool>, Interrupt> {
    let channel = Arc::clone(session.channel());
    let guarded = channel
        .variable("conference_enforce_security")
        .map_or(channel.direction() == Direction::Inbound, |v| text::is_true(&v));
    session.answer().await?;
    let moderator = if guarded { check_pin(session, room, wanted).await? } else { Some(false) };
    let Some(moderator) = moderator else { return Ok(None) };
    if let Some(sound) = room.with(|s| s.announcement.clone()) {
        play_file(session, room, &sound).await?;
    }
    let (locked, full) =
        room.with(|s| (s.flags.locked, s.max_members > 0 && s.count() >= s.max_members as usize));
    let refusal = if locked && guarded {
        tracing::info!(uuid = %channel.uuid(), "Conference {} is locked.", room.name);
        cdr::rejected(room, &channel, cdr::Reason::Locked);
        Some("locked-sound")
    } else if full {
        tracing::info!(uuid = %channel.uuid(), "Conference {} is full.", room.name);
        cdr::rejected(room, &channel, cdr::Reason::Full);
        Some("max-members-sound")
    } else {
        None
    };
    if let Some(name) = refusal {
        if let Some(sound) = room.profile.sound(name) {
            play_file(session, room, &sound).await?;
        }
        return Ok(None);
    }
    if let Some(sound) = room.profile.sound("member-enter-sound") {
        play_file(session, room, &sound).await?;
    }
    Ok(Some(moderator))
}

async fn check_pin(
    session: &mut Session,
    room: &Arc<Room>,
    wanted: &Wanted,
) -> Result<Option<bool>, Interrupt> {
    let channel = Arc::clone(session.channel());
    let (pin, moderator_pin) = room.with(|s| (s.pin.clone(), s.moderator_pin.clone()));
    // What the dialplan says is what is asked for, in the place of the room's own.
    let pin = if wanted.pin.is_empty() { pin } else { wanted.pin.clone() };
    let moderator_pin = channel
        .variable("conference_moderator_pin")
        .filter(|pin| !pin.is_empty())
        .unwrap_or(moderator_pin);
    if pin.is_empty() && moderator_pin.is_empty() {
        return Ok(Some(false));
    }
    let judge = |typed: &str| {
        if !moderator_pin.is_empty() && typed == moderator_pin {
            Some(true)
        } else {
            (!pin.is_empty() && typed == pin).then_some(false)
        }
    };
    if let Some(supplied) = channel.variable("supplied_pin") {
        let at = supplied.to_ascii_lowercase().find("x-confpin=").map_or(0, |at| at + 10);
        let supplied = supplied[at..].split(';').next().unwrap_or_default();
        if let Some(moderator) = judge(supplied) {
            return Ok(Some(moderator));
        }
    }
    let sound =
        |name: &str, usual: &str| room.profile.sound(name).unwrap_or_else(|| usual.to_owned());
    for _ in 0..room.profile.pin_retries.max(1) {
        let prompt = room.file(&sound("pin-sound", PIN_SOUNDS.0));
        let most = pin.len().max(moderator_pin.len());
        let typed = ask_pin(session, &prompt, most).await?;
        if let Some(moderator) = judge(&typed) {
            return Ok(Some(moderator));
        }
        play_file(session, room, &sound("bad-pin-sound", PIN_SOUNDS.1)).await?;
        session.flush_digits();
    }
    cdr::rejected(room, &channel, cdr::Reason::Pin);
    Ok(None)
}

async fn ask_pin(session: &mut Session, prompt: &str, most: usize) -> Result<String, Interrupt> {
    session.play(Play::once(prompt, PlayKeys::Any)).await?;
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

/// Plays a file of the room to one who is not in it.
async fn play_file(session: &mut Session, room: &Room, name: &str) -> AppResult {
    session.play(Play::once(&room.file(name), PlayKeys::Stop(""))).await?;
    Ok(())
}

async fn stay(
    session: &mut Session,
    room: &Arc<Room>,
    flags: MemberFlags,
) -> Result<Leave, Interrupt> {
    let channel = Arc::clone(session.channel());
    let Some(leg) = channel.media() else { return Ok(Leave::Out) };
    let mut codec = call::audio::read_linear(&channel);
    let member = Member::new(room, &channel, MemberState::first(&channel, &room.profile, flags));
    let word = |on: bool| if on { "true" } else { "false" };
    channel.set_var("conference_member_id", member.id.to_string());
    channel.set_var("conference_moderator", word(flags.moderator));
    channel.set_var("conference_ghost", word(flags.ghost));
    match room.with(|s| s.recorded_to.clone()) {
        Some(path) => channel.set_var("conference_recording", path),
        None => channel.unset_var("conference_recording"),
    }
    channel.set_var("conference_uuid", room.uuid.clone());
    if channel.var("conference_call_key").is_none() {
        let number = channel.profile().caller_id_number.clone();
        let key = format!("conference_{}_{}_{number}", room.name, room.profile.domain);
        channel.set_var("conference_call_key", key);
    }
    if leg.join(&room.mixer, member.options(room.with(|s| s.flags))).is_err() {
        return Ok(Leave::Out);
    }
    let state = member.state();
    for (side, level) in
        [(media::leg::Side::Read, state.volume_in), (media::leg::Side::Write, state.volume_out)]
    {
        if level != 0 {
            call::audio::set_level(&channel, side, level);
        }
    }
    room.add(&member);
    room.greet(&member);
    if !channel.is_true("conference_silent_entry") {
        room.fire_member(&member, "add-member", |_| {});
    }
    room.show(&member);
    room.tell_json(None);
    room.take_floor_if_free();
    room.follow_video(&member);
    room.record_automatically(&channel);
    let result = match outcall::call_lists(session, room, &member).await {
        Ok(()) => attend(session, room, &member, &mut codec).await,
        Err(interrupt) => Err(interrupt),
    };
    let _left = leg.unbridge();
    room.leave_pictures(&member);
    room.stop_member_plays(&member, sound::Which::All);
    channel.unset_var("conference_call_key");
    if matches!(result, Ok(Leave::RoomEnded))
        && channel.var("hangup_after_conference").is_none_or(|v| !text::is_false(&v))
    {
        channel.hangup(Cause::NORMAL_CLEARING);
    }
    room.remove(&member);
    if let Some(codec) = codec {
        call::audio::set_read_codec(&channel, &codec);
    }
    result
}

/// In the room: talking, keys, and commands from outside, until something ends it.
async fn attend(
    session: &mut Session,
    room: &Arc<Room>,
    member: &Arc<Member>,
    codec: &mut Option<CodecInfo>,
) -> Result<Leave, Interrupt> {
    let mut keys = Keys::of(room, member);
    let pause = room.profile.number("auto-energy-seconds", AUTO_ENERGY_SECONDS).max(1);
    let pause = Duration::from_secs(pause.unsigned_abs());
    let mut quiet_since = Instant::now();
    loop {
        let state = member.state();
        if let Some(leave) = state.leave {
            return Ok(leave);
        }
        room.follow_video(member);
        while let Some(digit) = session.take_digit() {
            if state.flags.dist_dtmf {
                keys::distribute(room, member, digit);
            } else if let Some(control) = keys.press(digit.digit) {
                keys::perform(session, room, member, &control, codec).await?;
            }
        }
        if member.state().leave.is_some() {
            continue;
        }
        let rising = state.auto_energy > 0 && state.energy_level > room.profile.energy_level;
        let falls = (rising && !state.talking).then(|| quiet_since + pause);
        let until = keys.deadline().into_iter().chain(falls).min();
        match session.wait(until).await? {
            Wake::Media(LegEvent::Talking { on, energy, report }) => {
                quiet_since = Instant::now();
                talking(room, member, on, energy, report);
            }
            Wake::Media(LegEvent::PlayDone { id, samples, .. }) => {
                room.member_play_ended(member, id, samples);
            }
            Wake::Broken if room.with(|s| s.flags.breakable) => return Ok(Leave::Out),
            Wake::Timeout => {
                if keys.deadline().is_some_and(|at| at <= Instant::now())
                    && let Some(control) = keys.time_out()
                {
                    keys::perform(session, room, member, &control, codec).await?;
                }
                if falls.is_some_and(|at| at <= Instant::now()) {
                    quiet_since = Instant::now();
                    let least = room.profile.energy_level;
                    let level = (state.energy_level - AUTO_ENERGY_STEP).max(least);
                    member.change(room, |state| state.energy_level = level);
                }
            }
            _ => {}
        }
    }
}

fn talking(
    room: &Arc<Room>,
    member: &Arc<Member>,
    on: bool,
    energy: u32,
    report: Option<TalkReport>,
) {
    let now = clock::now_secs();
    member.change(room, |state| {
        state.talking = on;
        state.energy = energy;
        if on {
            state.last_talking = now;
        }
        if let Some(level) = report.and_then(|report| risen(state, &report, &room.profile)) {
            state.energy_level = level;
        }
    });
    let state = member.state();
    if on && state.flags.mute_detect && !state.speaks {
        let sound = room.profile.sound("mute-detect-sound");
        if let Some(sound) = sound.or_else(|| room.profile.sound("muted-sound")) {
            room.play_aside_to(member, sound);
        }
        room.fire_member(member, "mute-detect", |_| {});
    }
    if !state.speaks || state.held {
        return;
    }
    if on {
        room.fire_member(member, "start-talking", |_| {});
        room.offer_floor(member);
        return;
    }
    room.fire_member_with(
        member,
        |event| {
            report.iter().for_each(|report| describe_talk(event, report, room.profile.interval))
        },
        "stop-talking",
        |_| {},
    );
}

/// The energy level after a member has talked for a while, if it adjusts itself.
fn risen(state: &MemberState, report: &TalkReport, profile: &Profile) -> Option<i64> {
    let ms = u64::from(report.intervals) * u64::from(profile.interval);
    let noisy = u64::from(report.quiet) * 100 > u64::from(report.loud);
    if state.auto_energy <= 0 || ms <= 2000 || !noisy || report.loud == 0 {
        return None;
    }
    let average = report.level_sum / u64::from(report.loud) * 3 / 4;
    Some(i64::try_from(average).unwrap_or(i64::MAX).min(state.auto_energy))
}

fn describe_talk(event: &mut esl_server::event::Event, report: &TalkReport, interval: u32) {
    if report.loud == 0 || report.intervals == 0 || report.change_sum == 0 {
        return;
    }
    let (loud, all) = (f64::from(report.loud), f64::from(report.intervals));
    let quiet = f64::from(report.quiet.max(1));
    let (on, off) = (loud / all * 100.0, quiet / all * 100.0);
    event.push("talking-gate-hits", report.loud.to_string());
    event.push("talking-total-packets", report.intervals.to_string());
    event.push(
        "talking-duration-ms",
        (u64::from(report.intervals) * u64::from(interval)).to_string(),
    );
    for (name, value) in [
        ("talking-average-energy", report.level_sum as f64 / loud),
        ("talking-delta-average", report.change_sum as f64 / loud),
        ("talking-hit-on-percent", on),
        ("talking-non-hit-ratio", quiet / loud * 100.0),
        ("talking-hit-off-percent", off),
        ("talking-hit-off-differential", on - off),
    ] {
        event.push(name, format!("{value:.6}"));
    }
}

/// Sends a member to another room, or to this one with other settings.
pub fn send_to(member: &Member, room: &str) -> bool {
    let (name, profile) = room.split_once('@').unwrap_or((room, "default"));
    let moved =
        transfer(&member.channel, &format!("conference:{name}@{profile}"), Some("inline"), None);
    member.channel.set_var("last_transfered_conference", name.to_owned());
    moved
}

/// A conference needs audio both ways: an inbound call that has none is answered.
async fn answer_or_pre_answer(session: &mut Session) -> AppResult {
    if session.channel().has_media() { Ok(()) } else { session.answer().await }
}
