//! Levels of members: energy, gain, volumes. Each is read without a value and set with one.

use std::sync::Arc;

use crate::member::{Member, changed_level};
use crate::room::Room;
use crate::text;

/// Sets a level if a value is given; the reply tells what it is.
pub(super) fn set(
    room: &Arc<Room>,
    member: &Arc<Member>,
    command: &str,
    value: Option<&str>,
) -> String {
    match command {
        "energy" => energy(room, member, value),
        "auto-energy" => auto_energy(room, member, value),
        "max-energy" => max_energy(room, member, value),
        "agc" => gain(room, member, value),
        "volume_in" => volume(room, member, value, true),
        "volume_out" => volume(room, member, value, false),
        _ => String::new(),
    }
}

fn energy(room: &Arc<Room>, member: &Arc<Member>, value: Option<&str>) -> String {
    let id = member.id;
    let before = member.state();
    let level = value.map_or(before.energy_level, |v| changed_level(before.energy_level, v));
    room.set_energy(member, level);
    let mut reply = format!("Energy {id} = {level}\n");
    if before.auto_energy > 0 && member.state().auto_energy == 0 {
        reply += "Auto-Energy level exceeded, Auto-Energy mode disabled\n";
    }
    if value.is_some() {
        room.fire_member(member, "energy-level-member", |event| {
            event.push("Energy-Level", level.to_string());
        });
    }
    reply
}

fn auto_energy(room: &Arc<Room>, member: &Arc<Member>, value: Option<&str>) -> String {
    if let Some(value) = value {
        member.change(room, |state| state.auto_energy = changed_level(state.auto_energy, value));
    }
    let state = member.state();
    let (auto, level) = (state.auto_energy, state.energy_level);
    if level == 0 {
        member.change(room, |state| state.energy_level = auto / 2);
    }
    if value.is_some() {
        let level = member.state().energy_level.to_string();
        room.fire_member(member, "auto-energy-level-member", |event| {
            event.push("Auto-Energy-Level", auto.to_string());
            event.push("Energy-Level", level);
        });
    }
    format!("{} = Auto-Energy: {auto} Energy: {level}\n", member.id)
}

/// `level[:mute ms[:hits]]`. The reference's reply has the two levels the wrong way round.
fn max_energy(room: &Arc<Room>, member: &Arc<Member>, value: Option<&str>) -> String {
    let (id, interval) = (member.id, i64::from(room.profile.interval.max(1)));
    if let Some(value) = value {
        member.change(room, |state| state.max_energy = changed_level(state.max_energy, value));
    }
    let state = member.state();
    let mut reply = String::new();
    if state.max_energy != 0 && state.max_energy < state.energy_level {
        member.change(room, |state| state.max_energy = 0);
        reply = format!("-ERR {id} Max-Energy cannot exceed energy level.\n");
    } else if let Some(value) = value {
        let mut parts = value.split(':').skip(1).filter(|p| !p.is_empty()).map(text::int);
        let mute = parts.next().filter(|ms| *ms >= 0);
        let hits = parts.next().filter(|hits| *hits >= 0);
        member.change(room, |state| {
            state.burst_mute = mute.map_or(state.burst_mute, |ms| ms / interval * interval);
            state.max_energy_hits = hits.unwrap_or(state.max_energy_hits);
        });
    }
    let state = member.state();
    let (max, mute, hits) = (state.max_energy, state.burst_mute, state.max_energy_hits);
    reply += &format!(
        "{id} = Max-Energy: {} Energy: {max} Max-Energy-Mute: {mute}ms Max-Energy-Hit-Trigger {hits}\n",
        state.energy_level
    );
    if value.is_some() {
        room.fire_member(member, "max-energy-level-member", |event| {
            event.push("Max-Energy-Level", max.to_string());
            event.push("Max-Energy-Mute", mute.to_string());
            event.push("Max-Energy-Hit-Trigger", hits.to_string());
            event.push("Energy-Level", max.to_string());
        });
    }
    reply
}

fn gain(room: &Arc<Room>, member: &Arc<Member>, value: Option<&str>) -> String {
    if let Some(value) = value {
        member.change(room, |state| match value.to_ascii_lowercase().as_str() {
            "up" | "down" => state.gain.level = changed_level(state.gain.level, value),
            _ => state.gain.set(value),
        });
    }
    let level = member.state().gain.level;
    if value.is_some() {
        room.fire_member(member, "agc-level-member", |event| {
            event.push("Agc-Level", level.to_string());
        });
    }
    format!("Agc {} = {level}\n", member.id)
}

/// How loud a member is heard (`inwards`), or hears.
fn volume(room: &Arc<Room>, member: &Arc<Member>, value: Option<&str>, inwards: bool) -> String {
    let state = member.state();
    let old = if inwards { state.volume_in } else { state.volume_out };
    let level = match value.map(str::to_ascii_lowercase).as_deref() {
        Some("up") => old + 1,
        Some("down") => old - 1,
        Some(number) => text::int(number),
        None => old,
    };
    let level = level.clamp(-4, 4);
    if value.is_some() {
        member.change(room, |state| {
            let place = if inwards { &mut state.volume_in } else { &mut state.volume_out };
            *place = level;
        });
        let action = if inwards { "volume-in-member" } else { "volume-out-member" };
        room.fire_member(member, action, |event| {
            event.push("Volume-Level", level.to_string());
        });
    }
    let side = if inwards { "IN" } else { "OUT" };
    format!("+OK Volume {side} {} = {level}\n", member.id)
}
